"""`nas compare`: figures worked out by hand on a table of six members, and what interrupts or spoils a comparison."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from nas_core.errors import NasError, RegistryError, StoreError
from nas_core.objective import Objectives
from nas_core.trial import Proposal
from nas_search.cli import boundary
from nas_search.compare.figures import Curves, curves, default_budgets, figures, labels_to
from nas_search.compare.journal import Journal
from nas_search.compare.picture import against_labels, against_time
from nas_search.compare.plan import make_plan
from nas_search.compare.problem import Problem
from nas_search.compare.run import run
from nas_search.compare.wish import resolved
from nas_search.table_files import read_table
from nas_spaces.tables import Table

# member        0 (0,x)  1 (0,y)  2 (1,x)  3 (1,y)  4 (2,x)  5 (2,y)
VALIDATION = [50.0, 60.0, 70.0, math.nan, 90.0, 80.0]
TEST = [49.0, 61.0, 69.0, math.nan, 88.0, 85.0]
PARAMS = [10, 20, 30, 40, 50, 60]
SECONDS = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]

# An optimizer that proposes members by number, in an order for each seed, and then has nothing left.
SCRIPTED = """
from nas_core.errors import Exhausted
from nas_core.trial import Proposal

class Scripted:
    requires = frozenset({"decisions"})

    def __init__(self, space, objectives, seed, *, orders):
        self.members, self.order, self.orders = list(space.enumerate()), orders[seed % len(orders)], orders

    def propose(self, history, n):
        if len(history) == len(self.order):
            raise Exhausted("the script is over")
        return [Proposal(self.members[self.order[len(history)]])]

    def state(self):
        return None

    def restore(self, state):
        pass

    def to_config(self):
        return {"name": "scripted.order:Scripted", "orders": self.orders}
"""
ORDERS = [[0, 3, 4, 4], [1, 2, 5]]
SCRIPT = f"scripted.order:Scripted:orders={json.dumps(ORDERS, separators=(',', ':'))}"


class Run(NamedTuple):
    code: int
    out: str
    err: str


Nas = Callable[..., Run]


@pytest.fixture
def nas(capsys: pytest.CaptureFixture[str]) -> Nas:
    def compare(*arguments: str | Path) -> Run:
        capsys.readouterr()
        code = boundary.run(["compare", *map(str, arguments)])
        return Run(code, *capsys.readouterr())

    return compare


def save_table(path: Path, rows: Sequence[int] = range(6), **more: Any) -> Path:
    meta = {
        "name": "six",
        "source": "made up",
        "licence": "none",
        "space": {"name": "six", "decisions": {"a": [0, 1, 2], "b": ["x", "y"]}},
        "units": {"val_accuracy": "%", "test_accuracy": "%", "params": "1", "train_seconds": "s"},
        "objective": "max:val_accuracy",
    }
    arrays = {
        "decisions": np.array([[i // 2, i % 2] for i in range(6)]),
        "val_accuracy": np.array(VALIDATION),
        "test_accuracy": np.array(TEST),
        "params": np.array(PARAMS),
        "train_seconds": np.array(SECONDS),
        "failed": np.array([False, False, False, True, False, False]),
    }
    Table({**meta, **more}, {name: array[list(rows)] for name, array in arrays.items()}).save(path)
    return path


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "modules" / "scripted").mkdir(parents=True)
    (tmp_path / "modules" / "scripted" / "order.py").write_text(SCRIPTED)
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    monkeypatch.chdir(tmp_path)
    yield save_table(tmp_path / "six.npz")
    for name in ("scripted", "scripted.order"):
        sys.modules.pop(name, None)


def problem_of(
    file: Path, objectives: Sequence[str] = ("max:val_accuracy",), constraints: Sequence[str] = ()
) -> Problem:
    return Problem(file, read_table(file), Objectives.parse(objectives, constraints))


def scripted(problem: Problem, budget: int = 4) -> tuple[list[dict[str, Any]], Curves]:
    config = {"name": "scripted.order:Scripted", "orders": ORDERS}
    records = [{"seed": seed, **run(problem, config, seed, budget)} for seed in (0, 1)]
    return records, curves(records, problem, budget)


def test_figures_of_one_objective_are_those_worked_out_by_hand(table: Path) -> None:
    problem = problem_of(table)
    records, drawn = scripted(problem)
    assert drawn.best.tolist() == [[50, 50, 90, 90], [60, 70, 80, 80]]
    # the failed member's time is not in the table; the second run ends after three labels
    np.testing.assert_array_equal(drawn.seconds, [[1, 1, 6, 11], [2, 5, 11, np.nan]])
    found = figures(records, problem, drawn, at=(1, 4), shares=(0.4,))
    assert found.pop("overhead_ms_per_label") > 0
    assert found == {
        "seeds": 2,
        "budget": 4,
        "labels": 3.5,
        # 3, and the budget of 4 for the run that did not find it: the standard error is 0.5
        "labels_to_optimum": {"mean": 3.5, "se": pytest.approx(0.5), "found": 0.5},
        # the best 40 % of the five members that did not fail reach 80
        "labels_to_top": {"0.4": {"mean": 3.0, "se": 0.0, "found": 1.0}},
        "best_at": {
            "1": {"mean": 55.0, "se": pytest.approx(5.0), "seeds": 2},
            "4": {"mean": 85.0, "se": pytest.approx(5.0), "seeds": 2},
        },
        "test_of_best": {"mean": 86.5, "se": pytest.approx(1.5), "seeds": 2},
        "hypervolume_at": None,
        "feasible_share": None,
        "failed": 0.5,
        "repeats": 0.5,
        "twins": None,
    }


def test_hypervolume_and_constraints_are_those_worked_out_by_hand(table: Path) -> None:
    problem = problem_of(table, ("max:val_accuracy", "min:params"), ("params<=50",))
    records, drawn = scripted(problem)
    facts = problem.facts()
    assert facts["reference"] == [50.0, 60.0]
    # steps of the front 60/20, 70/30, 90/50 above the corner: 10 · 40 + 10 · 30 + 20 · 10
    assert facts["hypervolume"] == 900.0
    assert drawn.volume is not None
    assert drawn.volume.tolist() == [[0, 0, 400, 400], [400, 700, 700, 700]]
    found = figures(records, problem, drawn, at=(4,), shares=())
    assert found["hypervolume_at"]["4"]["mean"] == 550.0
    assert found["best_at"]["4"]["mean"] == 80.0  # 90 and 70: the member of 80 has too many parameters
    assert found["feasible_share"]["mean"] == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert found["test_of_best"]["mean"] == (88.0 + 69.0) / 2


def test_a_seed_without_a_feasible_label_has_no_best(table: Path) -> None:
    problem = problem_of(table, constraints=("params<=10",))
    records, drawn = scripted(problem)
    found = figures(records, problem, drawn, at=(4,), shares=())
    assert found["best_at"]["4"] == {"mean": 50.0, "se": None, "seeds": 1}
    assert figures(records[1:], problem, curves(records[1:], problem, 4), at=(4,), shares=())["best_at"] == {
        "4": {"mean": None, "se": None, "seeds": 0}
    }
    assert found["labels_to_optimum"] == {"mean": 2.5, "se": pytest.approx(1.5), "found": 0.5}


def test_minimised_objectives_keep_their_sign(table: Path) -> None:
    records, drawn = scripted(problem_of(table, ("min:params",)))
    assert drawn.best.tolist() == [[10, 10, 10, 10], [20, 20, 20, 20]]
    assert all(record["test"] is None for record in records)


def test_labels_to_counts_the_budget_where_nothing_was_found() -> None:
    loss = np.array([[3.0, 1.0, 1.0], [np.inf, np.inf, 2.0]])
    assert labels_to(loss, 1.0) == {"mean": 2.5, "se": pytest.approx(0.5), "found": 0.5}
    assert labels_to(loss, 0.0)["mean"] == 3.0


def test_budgets_end_with_the_budget() -> None:
    assert default_budgets(192) == (10, 25, 50, 100, 150, 192)
    assert default_budgets(200) == (10, 25, 50, 100, 150, 192, 200)
    assert default_budgets(5) == (5,)


def test_lines_of_the_picture() -> None:
    values = np.array([[np.nan, 1.0, 3.0], [2.0, 3.0, 3.0]])
    line = against_labels(values)
    assert (line.x.tolist(), line.mean.tolist()) == ([2.0, 3.0], [2.0, 3.0])
    # two values 1 and 3: standard deviation sqrt(2), standard error 1
    np.testing.assert_allclose(line.half, [1.96, 0.0])
    timed = against_time(values, np.array([[1.0, 2.0, 4.0], [1.0, 5.0, 6.0]]))
    assert (timed.x[0], timed.x[-1]) == (2.0, 4.0)  # both have a value from 2 on, the shorter run ends at 4
    assert (timed.mean[0], timed.mean[-1]) == (1.5, 2.5)  # 1 and 2; 3 and 2
    assert len(against_time(values, np.array([[1.0, np.nan, np.nan], [1.0, 2.0, 3.0]])).x) == 0


def test_a_table_of_some_members_is_searched_in_its_closed_domain(table: Path, tmp_path: Path) -> None:
    problem = problem_of(save_table(tmp_path / "some.npz", rows=(1, 4, 5)))
    record = run(problem, {"name": "random"}, seed=0, budget=10)
    assert sorted(record["rows"]) == [0, 1, 2]  # each once, then the run ends
    assert record["failed"] == 0
    assert run(problem_of(table), {"name": "random"}, seed=0, budget=10)["failed"] == 1


def test_what_the_table_does_not_have_fails_and_counts(table: Path) -> None:
    problem = problem_of(table)
    member = problem.space.canonical([0, "x"])
    assert problem.label(Proposal(member, replicate=1)).result.reason == "not_in_table"  # type: ignore[union-attr]
    assert problem.label(Proposal(member)).result.metrics == {"val_accuracy": 50.0}  # type: ignore[union-attr]


def test_fidelities_named_and_unnamed(tmp_path: Path) -> None:
    meta = {
        "name": "two", "source": "-", "licence": "-", "space": {"name": "two", "decisions": {"a": [0, 1]}},
        "units": {"val_accuracy": "%", "test_accuracy": "%"}, "objective": "max:val_accuracy",
    }  # fmt: skip
    arrays = {
        "decisions": np.array([[0], [1]]),
        "val_accuracy@1": np.array([1.0, 2.0]),
        "val_accuracy@9": np.array([8.0, 7.0]),
        "test_accuracy@9": np.array([6.0, 5.0]),
    }
    Table(meta, arrays).save(tmp_path / "two.npz")
    high, low = problem_of(tmp_path / "two.npz"), problem_of(tmp_path / "two.npz", ["max:val_accuracy@1"])
    assert (high.fidelity, low.fidelity) == (9.0, 1.0)
    assert (high.facts()["best"], low.facts()["best"]) == (8.0, 2.0)
    assert high.test is not None
    assert high.test.tolist() == [6.0, 5.0]
    assert low.test is None  # no test after one epoch
    cheap = high.label(Proposal(high.space.canonical([0]), fidelity=1))
    assert not cheap.full
    assert cheap.result.metrics == {"val_accuracy": 1.0}  # type: ignore[union-attr]


def test_twins_and_repeats_are_counted_apart(tmp_path: Path) -> None:
    dead = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    twin = "|skip_connect~0|+|none~0|none~1|+|none~0|none~1|none~2|"  # its output is dead as well
    other = "|none~0|+|none~0|none~1|+|nor_conv_3x3~0|none~1|none~2|"
    meta = {
        "name": "cells", "source": "-", "licence": "-", "space": "nasbench201",
        "units": {"val_accuracy": "%"}, "objective": "max:val_accuracy",
    }  # fmt: skip
    arrays = {"architecture": np.array([dead, twin, other]), "val_accuracy": np.array([10.0, 10.0, 90.0])}
    Table(meta, arrays).save(tmp_path / "cells.npz")
    problem = problem_of(tmp_path / "cells.npz")
    all_of_them = run(problem, {"name": "random", "allow_twins": True}, seed=0, budget=9)
    assert (len(all_of_them["rows"]), all_of_them["twins"], all_of_them["repeats"]) == (3, 1, 0)
    without = run(problem, {"name": "random"}, seed=0, budget=9)
    assert (len(without["rows"]), without["twins"], without["repeats"]) == (2, 0, 0)


def test_directions_come_from_the_table_or_from_the_name(table: Path, tmp_path: Path) -> None:
    tables = [read_table(table)]
    assert str(resolved(["val_accuracy"], [], tables).objectives[0]) == "max:val_accuracy"
    assert str(resolved(["test_accuracy"], [], tables).objectives[0]) == "max:test_accuracy"
    assert str(resolved([], [], tables).objectives[0]) == "max:val_accuracy"
    with pytest.raises(NasError, match=r"without a direction: 'params'; expected max:params or min:params"):
        resolved(["params"], [], tables)
    small = read_table(save_table(tmp_path / "small.npz", objective="min:params"))
    assert str(resolved(["params"], [], [small]).objectives[0]) == "min:params"
    with pytest.raises(NasError, match="different objectives"):
        resolved([], [], [*tables, small])


def test_the_command_writes_its_files_and_prints_rows(table: Path, nas: Nas) -> None:
    done = nas("--table", table, "--optimizer", SCRIPT, "--optimizer", "random", "--budget", "4", "--seeds", "2",
               "--objective", "val_accuracy", "--out", "out", "--json", "--workers", "1")  # fmt: skip
    assert done.code == 0, done.err
    rows = json.loads(done.out)["rows"]
    assert [(row["table"], row["optimizer"]) for row in rows] == [("six", SCRIPT), ("six", "random")]
    for row in rows:
        assert set(row) == {
            "table", "optimizer", "seeds", "budget", "labels", "labels_to_optimum", "labels_to_top", "best_at",
            "test_of_best", "hypervolume_at", "feasible_share", "failed", "overhead_ms_per_label", "repeats", "twins",
        }  # fmt: skip
        assert (row["seeds"], row["budget"]) == (2, 4)
        assert set(row["labels_to_optimum"]) == {"mean", "se", "found"}
        assert set(row["best_at"]) == {"4"}
        assert isinstance(row["overhead_ms_per_label"], float)
    assert rows[0]["best_at"]["4"]["mean"] == 85.0
    raw = json.loads(Path("out/curves.json").read_text())
    assert raw["rows"] == rows
    # choices of the first run: member 3 failed
    assert raw["runs"][0]["values"] == [[50.0], None, [90.0], [90.0]]
    text = Path("out/table.md").read_text()
    assert "| 85 ± 5 | 86.5 ± 1.5 | 3.5 ± 0.5 (50 % found) |" in text


def test_a_figure_that_not_all_seeds_have_says_of_how_many(table: Path, nas: Nas) -> None:
    done = nas("--table", table, "--optimizer", SCRIPT, "--budget", "2", "--seeds", "2", "--objective", "val_accuracy",
               "--constraint", "params<=10", "--out", "out", "--workers", "1")  # fmt: skip
    assert done.code == 0, done.err
    assert "| 50 (1 of 2 seeds) | 49 (1 of 2 seeds) | 1.5 ± 0.5 (50 % found) |" in Path("out/table.md").read_text()


def test_an_optimizer_that_breaks_off_ends_the_comparison_with_its_words(table: Path, nas: Nas) -> None:
    broken = SCRIPTED.replace("Exhausted", "InvalidOption").replace("the script is over", "the script is torn")
    (table.parent / "modules" / "scripted" / "order.py").write_text(broken)
    done = nas("--table", table, "--optimizer", SCRIPT, "--budget", "4", "--seeds", "2", "--objective", "val_accuracy",
               "--out", "out", "--workers", "1")  # fmt: skip
    assert done.code == 2
    assert "the script is torn" in done.err
    assert len(Path("out/runs.jsonl").read_bytes().splitlines()) == 2  # the head, and the seed that was done before


def test_pictures_are_drawn(table: Path, nas: Nas) -> None:
    pytest.importorskip("matplotlib")
    done = nas("--table", table, "--optimizer", SCRIPT, "--budget", "4", "--seeds", "2", "--objective", "val_accuracy",
               "--objective", "min:params", "--constraint", "params<=50", "--out", "out", "--workers", "1")  # fmt: skip
    assert done.code == 0, done.err
    assert Path("out/curves.png").read_bytes().startswith(b"\x89PNG")
    assert Path("out/curves.svg").read_text().startswith("<?xml")


def without_clock(file: Path) -> list[dict[str, Any]]:
    runs = json.loads(file.read_text())["runs"]
    return [{key: value for key, value in of_run.items() if key != "search_ms"} for of_run in runs]


def test_a_killed_comparison_goes_on_where_it_was(table: Path, nas: Nas) -> None:
    arguments = ("--table", table, "--optimizer", "evolution:population=2,tournament=1", "--optimizer", "random",
                 "--budget", "4", "--seeds", "3", "--objective", "val_accuracy", "--out", "out", "--workers",
                 "2")  # fmt: skip
    assert nas(*arguments).code == 0
    journal, whole = Path("out/runs.jsonl"), without_clock(Path("out/curves.json"))
    text = journal.read_bytes()
    kept = text[: text.rstrip(b"\n").rfind(b"\n") + 1]
    journal.write_bytes(text[: len(kept) + 20])  # the last of six runs was being written
    Path("out/curves.json").unlink()
    assert nas(*arguments).code == 0
    assert without_clock(Path("out/curves.json")) == whole
    assert journal.read_bytes().startswith(kept)
    assert len(journal.read_bytes().splitlines()) == 7
    again = journal.read_bytes()
    assert nas(*arguments).code == 0
    assert journal.read_bytes() == again


def test_another_comparison_is_refused(table: Path, nas: Nas) -> None:
    arguments = ["--table", table, "--optimizer", "random", "--seeds", "1", "--objective", "val_accuracy", "--out",
                 "out", "--workers", "1", "--budget"]  # fmt: skip
    assert nas(*arguments, "2").code == 0
    refused = nas(*arguments, "3")
    assert refused.code == 2
    assert "the directory holds another comparison: 'budget 2, not 3'" in refused.err


def test_the_journal_keeps_whole_lines_and_refuses_damage(tmp_path: Path) -> None:
    record = {"table": "six", "optimizer": "random", "seed": 0, "values": [[1.0]]}
    with Journal(tmp_path, {"budget": 1}, {"python": "3"}) as journal:
        assert journal.records == []
        journal.add(record)
        with pytest.raises(StoreError, match="another process"):
            Journal(tmp_path, {"budget": 1}, {})
    path = tmp_path / "runs.jsonl"
    path.write_bytes(path.read_bytes() + b'{"table": "si')
    with Journal(tmp_path, {"budget": 1}, {"python": "4"}) as journal:
        assert journal.records == [record]
        assert journal.versions == {"python": "3"}
        journal.add({**record, "seed": 1})
    with Journal(tmp_path, {"budget": 1}, {}) as journal:
        assert [kept["seed"] for kept in journal.records] == [0, 1]
    path.write_bytes(b"nothing\n" + path.read_bytes())
    with pytest.raises(StoreError, match=r"damaged \(in .*line 1\)"):
        Journal(tmp_path, {"budget": 1}, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--optimizer": "randon"}, "no optimizer has this name: 'randon'"),
        ({"--optimizer": "random:twins=1"}, "random has no such option: 'twins'"),
        ({"--optimizer": "optuna_tpe:begin=1"}, "optuna_tpe has no such option: 'begin'"),
        ({"--objective": "val_loss"}, "without a direction: 'val_loss'"),
        ({"--objective": "max:val_f1"}, "has no such metric: 'val_f1'"),
        ({"--constraint": "params<1"}, "not a constraint"),
        ({"--constraint": "params<=1"}, "no member of the table 'six' keeps the constraints"),
        ({"--table": "seven.npz"}, "seven.npz"),
        ({"--seeds": "0"}, "at least one is needed: 0 (in --seeds)"),
        ({"--budget": "0"}, "at least one is needed: 0 (in --budget)"),
        ({"--workers": "0"}, "at least one worker"),
        ({"--at": "5"}, "no such label: 5 (in --at); expected 1 to 4"),
        ({"--top": "0"}, "not a share: 0.0"),
        ({"--out": "six.npz/out"}, "the directory cannot be written"),
    ],
)
def test_mistakes_are_one_line(table: Path, nas: Nas, change: dict[str, str], message: str) -> None:
    given = {"--table": str(table), "--optimizer": "random", "--budget": "4", "--seeds": "2",
             "--objective": "val_accuracy", "--out": "out", "--workers": "1"} | change  # fmt: skip
    done = nas(*[part for pair in given.items() for part in pair])
    assert done.code == 2
    assert message in done.err
    assert done.err.count("\n") == 1
    assert done.out == ""
    assert not Path("out").exists()


def test_an_optimizer_or_a_table_named_twice_is_refused(table: Path, tmp_path: Path) -> None:
    with pytest.raises(NasError, match="an optimizer is named twice"):
        make_plan([table], ["random", "random"], ["val_accuracy"], [], 4, 2)
    with pytest.raises(NasError, match="two tables have the same name"):
        make_plan([table, table], ["random"], ["val_accuracy"], [], 4, 2)
    other = save_table(tmp_path / "other.npz", rows=(0, 1, 2))
    plan, _ = make_plan([table, other], ["random"], ["val_accuracy"], [], 4, 2)
    assert [one.name for one in plan.tables] == ["six (six)", "six (other)"]


@pytest.mark.parametrize("peer", ["optuna_tpe", "optuna_gp", "pymoo_nsga2"])
def test_peers_run_under_the_same_accounting(table: Path, peer: str) -> None:
    pytest.importorskip(peer.partition("_")[0])
    config = {"name": peer, **({"population": 4} if peer == "pymoo_nsga2" else {"startup": 6})}
    problem = problem_of(table, ("max:val_accuracy", "min:params"), ("params<=50",))
    first, second = (run(problem, config, seed=1, budget=8) for _ in range(2))
    assert first["rows"] == second["rows"]  # same seed, same labels
    assert len(first["rows"]) == len(first["search_ms"]) <= 8
    assert first["repeats"] == len(first["rows"]) - len(set(first["rows"]))
    assert run(problem, config, seed=2, budget=8)["rows"] != first["rows"]


@pytest.mark.parametrize(("peer", "library"), [("optuna_gp", "optuna"), ("pymoo_nsga2", "pymoo")])
def test_a_peer_that_is_not_installed_names_the_extra(
    table: Path, monkeypatch: pytest.MonkeyPatch, peer: str, library: str
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(RegistryError, match=r"needs " + library + r".*the extra `peers`"):
        run(problem_of(table), {"name": peer}, seed=0, budget=2)
