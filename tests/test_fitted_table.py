"""A regression fitted on a table: the evaluator `surrogate_table`, `nas table fit`, and `nas compare --fitted`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_core.errors import InvalidOption, InvalidTable, NasError, TrialFailed
from nas_core.evaluator import Evaluation
from nas_core.objective import Objectives
from nas_core.random import rng
from nas_core.space import Space
from nas_core.testing import EvaluatorContract
from nas_core.trial import Proposal
from nas_search.cli import boundary
from nas_search.compare.fitted import FittedProblem
from nas_search.compare.plan import make_plan
from nas_search.compare.run import run
from nas_search.table_files import read_table
from nas_spaces.declared import DeclaredSpace
from nas_spaces.nasbench201 import NASBench201
from nas_spaces.tables import Table
from nas_spaces.tables.convert import convert
from nas_surrogates.fitted_table import FittedTableEvaluator

DECISIONS = {"a": [0, 1, 2], "b": [0, 1, 2], "c": ["x", "y"], "d": ["x", "y"]}
SPACE = DeclaredSpace(DECISIONS, "toy")
ROWS = [*[(a, b, c, 0) for a in range(3) for b in range(3) for c in range(2)], (0, 0, 0, 0)]
"""Every second of the 36 members, where d is "x"; the first has two rows."""


def accuracy(row: tuple[int, ...]) -> float:
    """What there is to learn: additive, so that a fit has little error."""
    return 70.0 + 4.0 * row[0] - 3.0 * row[1] + 2.0 * row[2]


def saved(path: Path, rows: list[tuple[int, ...]] = ROWS, **changes: Any) -> Path:
    meta = {
        "name": "toy table", "space": {"name": "toy", "decisions": DECISIONS}, "source": "made up", "licence": "MIT",
        "units": {}, "objective": "max:val_accuracy",
    }  # fmt: skip
    values = np.array([accuracy(row) for row in rows])
    arrays = {
        "decisions": np.array(rows),
        "val_accuracy@4": values - 10.0,
        "val_accuracy@12": values,
        "test_accuracy@12": values - 1.0,
        "train_seconds@12": values * 2.0,
        "constant": np.ones(len(rows)),
        "failed@12": np.array([False, True, *[False] * (len(rows) - 2)]),
    } | changes
    Table(meta, {name: array for name, array in arrays.items() if array is not None}).save(path)
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("tables") / "toy.npz")


@pytest.fixture(scope="module")
def prepared(file: Path) -> FittedTableEvaluator:
    return ready(file)


def ready(file: Path, space: Space = SPACE, **options: Any) -> FittedTableEvaluator:
    evaluator = FittedTableEvaluator(str(file), **options)
    evaluator.prepare(space)
    return evaluator


class TestFittedTableEvaluator(EvaluatorContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_surrogates.fitted_table:FittedTableEvaluator"

    @pytest.fixture(params=[False, True], ids=["fitted", "noisy"])
    def options(self, file: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
        return {"file": str(file), "noise": request.param}

    @pytest.fixture
    def space_factory(self) -> str:
        return "nas_spaces.declared:DeclaredSpace"

    @pytest.fixture
    def space_options(self) -> dict[str, Any]:
        return {"decisions": DECISIONS, "title": "toy"}


def test_members_that_are_not_in_the_table_have_values_too(prepared: FittedTableEvaluator) -> None:
    served = [prepared.evaluate(Evaluation(SPACE, a)) for a in SPACE.enumerate()]
    truth = [
        accuracy(tuple(d.index(v) for d, v in zip(DECISIONS.values(), a.values, strict=True)))
        for a in SPACE.enumerate()
    ]
    assert np.corrcoef([one.metrics["val_accuracy"] for one in served], truth)[0, 1] > 0.9
    assert all(one.seconds == one.metrics["train_seconds"] > 0 for one in served)


def test_the_error_is_that_of_held_out_members(prepared: FittedTableEvaluator) -> None:
    stated = prepared.cross_validation
    # 19 rows, of which one failed and two are of one architecture
    assert (stated.architectures, stated.rows_left_out, stated.groups, stated.folds) == (17, 1, 17, 5)
    assert set(stated.errors) == {"val_accuracy", "train_seconds"}
    assert stated.errors["val_accuracy"].spearman > 0.8
    measured = prepared.evaluate(Evaluation(SPACE, SPACE.sample(rng(0, "a"), 1)[0]))
    assert measured.details["fitted"] == stated.plain()
    assert stated.plain()["cross_validated"]["val_accuracy"]["rmse"] == pytest.approx(
        stated.errors["val_accuracy"].rmse, rel=1e-4
    )


def test_an_accuracy_of_noise_cannot_be_predicted(tmp_path: Path) -> None:
    """Were a member fitted with its own fold, its error would be small."""
    values = rng(0, "noise").normal(80.0, 5.0, len(ROWS))
    path = saved(tmp_path / "noise.npz", **{"val_accuracy@12": values})
    # of 17 labels without any order, chance of a correlation above 0.6: below 0.01
    assert ready(path, metrics="val_accuracy").cross_validation.errors["val_accuracy"].pearson < 0.6


def test_metrics_can_be_chosen_and_named_with_a_fidelity(file: Path) -> None:
    early = ready(file, metrics=["val_accuracy@4", "test_accuracy"])
    a = SPACE.canonical((2, 0, "y", "x"))
    found = early.evaluate(Evaluation(SPACE, a)).metrics
    assert set(found) == set(early.metrics) == {"val_accuracy@4", "test_accuracy"}
    assert found["val_accuracy@4"] == pytest.approx(found["test_accuracy"] - 9.0, abs=1.0)
    assert early.fidelity == 12.0
    with pytest.raises(TrialFailed, match="fitted at another fidelity: 4"):
        early.evaluate(Evaluation(SPACE, a, fidelity=4))


def test_noise_differs_by_replicate_and_seed_alone(file: Path, prepared: FittedTableEvaluator) -> None:
    noisy, a = ready(file, noise=True), SPACE.canonical((1, 1, "x", "y"))

    def value(evaluator: FittedTableEvaluator, **trial: int) -> float:
        return evaluator.evaluate(Evaluation(SPACE, a, **trial)).metrics["val_accuracy"]  # type: ignore[arg-type]

    assert value(noisy, seed=1) == value(noisy, seed=1)
    assert len({value(noisy, seed=1), value(noisy, seed=2), value(noisy, replicate=1), value(prepared)}) == 4
    assert value(prepared, seed=1) == value(prepared, seed=2, replicate=3)


def test_a_fresh_process_serves_the_same(file: Path, prepared: FittedTableEvaluator) -> None:
    members = SPACE.sample(rng(1, "fresh"), 3)
    script = f"""
from nas_core.evaluator import Evaluation
from nas_spaces.declared import DeclaredSpace
from nas_surrogates.fitted_table import FittedTableEvaluator
space = DeclaredSpace({DECISIONS!r}, "toy")
evaluator = FittedTableEvaluator({str(file)!r})
evaluator.prepare(space)
for values in {[a.values for a in reversed(members)]!r}:
    print(repr(evaluator.evaluate(Evaluation(space, space.canonical(values))).metrics["val_accuracy"]))
"""
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    here = [prepared.evaluate(Evaluation(SPACE, a)).metrics["val_accuracy"] for a in members]
    np.testing.assert_allclose([float(line) for line in done.stdout.split()][::-1], here, rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": "val_loss"}, "no such metric: 'val_loss'.*expected one of val_accuracy@4, val_accuracy@12"),
        ({"metrics": "all"}, "all rows have one value of this metric: 'constant'"),
        ({"metrics": []}, "metrics cannot be set"),
        ({"folds": 1}, "no such number of folds: 1"),
        ({"folds": 18}, "no such number of folds: 18 .in the option folds.*expected 2 to 17"),
        ({"folds": 2.5}, "folds must be a whole number"),
        ({"seed": "one"}, "seed must be a whole number"),
        ({"noise": 1}, "noise cannot be set"),
        ({"surrogate": "gpp"}, "no surrogate has this name: 'gpp'"),
        ({"surrogate": {"name": "gp", "warp": "odd"}}, "no such warp: 'odd'"),
    ],
)
def test_mistakes_are_told(file: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(NasError, match=message):
        ready(file, **options)


def test_tables_that_cannot_be_fitted_are_refused(file: Path, tmp_path: Path) -> None:
    few = saved(tmp_path / "few.npz", ROWS[:10])  # one of them failed
    with pytest.raises(InvalidTable, match=r"too few architectures with results to fit: 9 .*expected 10 to 5000"):
        ready(few)
    with pytest.raises(InvalidTable, match="the table is of another space"):
        ready(file, NASBench201())
    with pytest.raises(InvalidTable, match="no such table file"):
        ready(tmp_path / "absent.npz")


class NoiseFree:
    """A surrogate that knows no noise."""

    requires = frozenset({"decisions"})

    def __init__(self, space: Any) -> None:
        from nas_surrogates.gp import GaussianProcess

        self._gp = GaussianProcess(space)

    def fit(self, data: Any, rng: Any) -> Any:
        posterior = self._gp.fit(data, rng)

        class Bare:
            def predict(self, x: Any) -> Any:
                found = posterior.predict(x)
                return type(found)(found.mean, found.std)

        return Bare()

    def to_config(self) -> dict[str, Any]:
        return {"name": "bare"}


def test_noise_needs_a_surrogate_that_knows_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "bare_surrogate.here", sys.modules[__name__])
    options = {"surrogate": "bare_surrogate.here:NoiseFree"}
    assert ready(file, **options).metrics == ("val_accuracy", "train_seconds")
    with pytest.raises(InvalidOption, match="the surrogate knows no noise"):
        ready(file, noise=True, **options)


def test_a_fitted_problem_is_open_and_has_no_optimum(file: Path) -> None:
    problem = FittedProblem(file, read_table(file), Objectives.parse(["max:val_accuracy"]))
    assert (problem.name, problem.optimum, problem.thresholds([0.01])) == ("toy table, fitted", None, {})
    assert (problem.fidelity, problem.test_metric, problem.timed) == (12.0, "test_accuracy@12", True)
    outside = SPACE.canonical((2, 0, "y", "y"))  # no row has d = "y"
    label = problem.label(Proposal(outside))
    assert label.row is None
    assert label.test == pytest.approx(label.result.metrics["val_accuracy"] - 1.0, abs=1.0)  # type: ignore[union-attr]
    other = problem.label(Proposal(outside, fidelity=4))
    assert (other.full, other.result.reason) == (False, "not_in_table")  # type: ignore[union-attr]
    again = FittedProblem(file, read_table(file), problem.objectives, problem.fitted)
    assert again.label(Proposal(outside)) == label
    record = run(problem, {"name": "evolution", "population": 4, "tournament": 2}, seed=0, budget=12)
    assert record["rows"] == [None] * 12
    assert record["failed"] == 0


def test_the_command_states_the_error_and_no_optimum(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    arguments = ["compare", "--table", file, "--fitted", file, "--optimizer", "random", "--budget", "6", "--seeds", "2",
                 "--workers", "1", "--out", out]  # fmt: skip
    assert boundary.run([*map(str, arguments), "--json"]) == 0
    looked_up, fitted = json.loads(capsys.readouterr().out)["rows"]
    assert (looked_up["table"], fitted["table"]) == ("toy table", "toy table, fitted")
    assert (looked_up["labels_to_optimum"] is None, fitted["labels_to_optimum"]) == (False, None)
    assert fitted["labels_to_top"] == {}
    assert fitted["test_of_best"]["seeds"] == 2
    raw = json.loads((out / "curves.json").read_text())
    assert raw["tables"]["toy table, fitted"]["fitted"]["folds"] == 5
    assert "fitted" not in raw["comparison"]["tables"][0]
    assert raw["comparison"]["tables"][1]["fitted"]["surrogate"] == {"name": "gp"}
    text = (out / "table.md").read_text()
    assert "No value is measured: the surrogate `gp`, fitted on 17 members" in text
    assert text.count("labels to the optimum") == 1
    assert boundary.run([*map(str, arguments)]) == 0  # goes on, with nothing left to do


def test_a_comparison_needs_a_table_of_either_kind(file: Path) -> None:
    with pytest.raises(NasError, match="at least one table"):
        make_plan([], ["random"], [], [], 4, 2)
    with pytest.raises(NasError, match="two tables have the same name"):
        make_plan([], ["random"], [], [], 4, 2, [file, file])


def test_a_search_needs_no_more_than_the_file(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(file.parent)  # the run keeps where the file is
    arguments = ["--evaluator", f"surrogate_table:file={file.name}", "--trials", "4", "--out", str(tmp_path / "run")]
    assert boundary.run(["search", *arguments]) == 0
    assert "4 of 4 trials" in capsys.readouterr().out
    monkeypatch.chdir(tmp_path)
    assert boundary.run(["resume", str(tmp_path / "run"), "--trials", "5"]) == 0
    assert "5 of 5 trials" in capsys.readouterr().out


def test_the_error_from_the_shell(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert boundary.run(["table", "fit", str(file), "--metric", "val_accuracy", "--surrogate", "blr", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["surrogate"]["name"], list(found["cross_validated"])) == ("blr", ["val_accuracy"])
    assert boundary.run(["table", "fit", str(file)]) == 0
    assert "gp fitted on 17 architectures (1 rows left out)" in capsys.readouterr().out
    assert boundary.run(["table", "fit", str(file), "--metric", "val_loss"]) == 2
    assert "no such metric: 'val_loss'" in capsys.readouterr().err


@pytest.mark.slow
def test_the_table_of_nas_bench_nlp(tmp_path: Path) -> None:
    """bo too searches a space that cannot be listed."""
    source = Path(os.environ.get("NAS_TABLES", Path(__file__).resolve().parents[2] / "shared" / "tables"))
    if not (source / "nasbench_nlp_wikitext2.json.gz").is_file():
        pytest.skip(f"no nasbench_nlp_wikitext2.json.gz in {source}; NAS_TABLES names its folder")
    convert("nlp", source).save(tmp_path / "nlp.npz")
    path = tmp_path / "nlp.npz"
    problem = FittedProblem(path, read_table(path), Objectives.parse(["min:val_perplexity"]), {"folds": 2})
    fit = problem.facts()["fitted"]
    assert (fit["architectures"], fit["rows_left_out"]) == (263, 4)
    assert fit["cross_validated"]["val_perplexity"]["spearman"] > 0.3
    record = run(problem, {"name": "bo", "initial": 6}, seed=0, budget=7)
    assert (len(record["values"]), record["failed"]) == (7, 0)
