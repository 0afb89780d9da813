"""The report: curves, tables and the page hold the right numbers; its files are pictures, the same every time."""

from __future__ import annotations

import csv
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from nas_core.errors import MissingCapability, NasError, RegistryError, StoreError
from nas_core.graph import Graph
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.testing.fakes import ContinuousToySpace, ToySpace
from nas_core.trial import Failure, Measurement, Proposal, Status, Trial
from nas_search.report.cell import NOTHING, Panel, colours, draw_graphs, idle_nodes
from nas_search.report.curve import draw_curve, incumbent, time_unit
from nas_search.report.front import draw_front, on_front, staircase
from nas_search.report.numbers import device_time, duration, shown, shown_metrics
from nas_search.report.pictures import save, style, svg_text
from nas_search.report.rounds import rounds_of
from nas_search.report.table import best_rows, metric_names, ranked
from nas_search.report.view import in_view, is_logarithmic, with_room
from nas_search.report.write import draw_architectures, some_of, write_report

pytest.importorskip("matplotlib", reason="pictures need matplotlib, the extra report")

SPACE = ToySpace()
MEMBERS = list(SPACE.enumerate())
PNG = b"\x89PNG\r\n\x1a\n"

Result = tuple[float, float] | None


def study(
    results: list[Result], constraints: tuple[str, ...] = (), objectives: tuple[str, ...] = ("max:val_accuracy",)
) -> tuple[Objectives, History, list[Trial]]:
    """A study whose trials measured (val_accuracy, params), or failed; each took two seconds."""
    wanted = Objectives.parse(objectives, constraints)
    history, trials = wanted.new_history(), []
    for number, result in enumerate(results):
        proposal = Proposal(MEMBERS[number])
        history.begin(proposal)
        outcome: Measurement | Failure = Failure("diverged", "the loss is <NaN>", 2.0)
        if result is not None:
            metrics = {"val_accuracy": result[0], "params": result[1], "test_accuracy": result[0] - 1}
            outcome = Measurement(metrics, seconds=2.0)
        history.finish(number, outcome)
        trials.append(Trial(number, proposal, Status.COMPLETED if result else Status.FAILED, outcome))
    return wanted, history, trials


MIXED: list[Result] = [(90.0, 500.0), None, (95.0, 1500.0), (92.0, 800.0), (91.0, 100.0)]


def test_incumbent_by_hand() -> None:
    wanted, history, _ = study(MIXED)
    assert incumbent(history, wanted).tolist() == [90, 90, 95, 95, 95]


def test_incumbent_keeps_the_constraints() -> None:
    wanted, history, _ = study(MIXED, ("params<=600",))
    assert incumbent(history, wanted).tolist() == [90, 90, 90, 90, 91]
    wanted, history, _ = study(MIXED, ("params<=100",))
    assert np.isnan(incumbent(history, wanted)[:4]).all()
    assert incumbent(history, wanted)[4] == 91


def test_incumbent_of_an_objective_to_minimise() -> None:
    wanted, history, _ = study(MIXED, objectives=("min:params",))
    assert incumbent(history, wanted).tolist() == [500, 500, 500, 500, 100]


def test_front_by_hand() -> None:
    # (90, 500) is dominated by (91, 100); the others each have something that no other has
    wanted, history, _ = study(MIXED, objectives=("max:val_accuracy", "min:params"))
    assert on_front(history, wanted).tolist() == [False, False, True, True, True]
    wanted, history, _ = study(MIXED, ("params<=1000",), ("max:val_accuracy", "min:params"))
    assert on_front(history, wanted).tolist() == [False, False, False, True, True]


def test_staircase_by_hand() -> None:
    # more x and less y is better: from (3, 5) the border runs left at y = 5 to x = 2, then down to (2, 1)
    x, y = staircase(np.array([2.0, 3.0]), np.array([1.0, 5.0]), True, False)
    assert list(zip(x, y, strict=True)) == [(3, 5), (2, 5), (2, 1)]


def test_view_leaves_out_networks_that_learn_nothing() -> None:
    values = np.array([10.0, 90.0, 91.0, 92.0, np.nan])
    assert in_view(values, maximise=True) == (90, 92)
    assert in_view(-values, maximise=False) == (-92, -90)
    # 89 is within one and a half ranges of the better three quarters, 90 to 92
    assert in_view(np.array([89.0, 90.0, 91.0, 92.0]), maximise=True) == (89, 92)
    assert in_view(np.array([np.nan]), maximise=True) == (0, 1)


def test_room_around_a_view() -> None:
    assert with_room(0.0, 100.0) == (-6, 106)
    for value in (0.0, 5.0, -5.0):
        low, high = with_room(value, value)
        assert low < value < high


def test_scale_of_an_axis() -> None:
    assert is_logarithmic(np.array([1.0, 31.0, np.nan]))
    assert not is_logarithmic(np.array([1.0, 29.0]))
    assert not is_logarithmic(np.array([0.0, 1e6]))


@pytest.mark.parametrize(
    ("value", "text"),
    [(91.53666, "91.537"), (0.9612, "0.9612"), (1073466.0, "1,073,466"), (100.0, "100"), (123456.7, "123,457")],
)
def test_numbers(value: float, text: str) -> None:
    assert shown(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (18720, "5 h 12 min"),
        (187200, "2 d 4 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_device_time() -> None:
    assert device_time(7200) == "2.00 device-hours"
    assert device_time(90) == "0.0250 device-hours (1 min 30 s)"
    assert [time_unit(seconds)[0] for seconds in (100, 1000, 10000)] == ["seconds", "minutes", "hours"]


def test_ranking() -> None:
    wanted, history, trials = study(MIXED, ("params<=1000",))
    rows = ranked(trials, wanted, SPACE)
    assert [row.trial.number for row in rows] == [3, 4, 0, 2, 1]  # 2 breaks the constraint, 1 failed
    assert [row.rank for row in rows] == [1, 2, 3, 4, None]
    assert [row.feasible for row in rows] == [True, True, True, False, None]
    assert [row.trial.number for row in best_rows(rows, history, wanted)] == [3]
    assert [row.trial.number for row in best_rows(rows, history, wanted, 9)] == [3, 4, 0]


def test_trials_of_the_highest_fidelity_rank_first_and_each_architecture_counts_once() -> None:
    wanted = Objectives.parse(["max:val_accuracy"])
    history, (one, other) = wanted.new_history(), list(SPACE.enumerate())[:2]
    for number, (member, fidelity, accuracy) in enumerate([(one, 2, 99.0), (other, 8, 60.0), (one, 8, 70.0)]):
        history.begin(Proposal(member, fidelity=fidelity))
        history.finish(number, Measurement({"val_accuracy": accuracy}))
    rows = ranked(history.finished, wanted, SPACE)
    assert [row.trial.number for row in rows] == [2, 1, 0]
    assert [row.trial.number for row in best_rows(rows, history, wanted, 3)] == [2, 1]


def test_the_front_is_what_is_best_of_several_objectives() -> None:
    wanted, history, trials = study(MIXED, objectives=("max:val_accuracy", "min:params"))
    rows = best_rows(ranked(trials, wanted, SPACE), history, wanted)
    assert {row.trial.number for row in rows} == {2, 3, 4}


def test_metrics_of_the_objectives_come_first() -> None:
    wanted, _, trials = study(MIXED, ("params<=1000",))
    assert metric_names(trials, wanted) == ["val_accuracy", "params", "test_accuracy"]
    assert shown_metrics(trials[0].metrics, ["params", "val_accuracy", "none"]) == "params 500, val_accuracy 90"


def test_a_few_are_taken_evenly() -> None:
    wanted, _, trials = study([(90.0 + i, 1.0) for i in range(9)])
    rows = ranked(trials, wanted, SPACE)
    assert [row.rank for row in some_of(rows, 3)] == [1, 5, 9]
    assert some_of(rows[:2], 3) == rows[:2]


def test_what_leads_nowhere_is_idle() -> None:
    #  input -> conv -> output, input -> none -> pool -> output: the pool gets nothing
    labels = ("input", "conv", "none", "pool", "output")
    graph = Graph(labels, ((0, 1), (0, 2), (2, 3), (1, 4), (3, 4)))
    assert idle_nodes(graph) == {2, 3}
    # a node that nothing reads is no output where there is one
    dangling = Graph(("input", "conv", "conv", "output"), ((0, 1), (0, 2), (1, 3)))
    assert idle_nodes(dangling) == {2}
    # without such names every end counts
    assert idle_nodes(Graph(("a", "b", "c"), ((0, 1), (0, 2)))) == frozenset()
    # nothing flows at all
    assert idle_nodes(Graph(("input", "none", "output"), ((0, 1), (1, 2)))) == {0, 1, 2}


def test_an_operation_has_one_colour() -> None:
    chosen = colours(SPACE.graph_labels)
    assert chosen == colours(SPACE.graph_labels)
    operations = [label for label in SPACE.graph_labels if label not in ("input", "output")]
    assert len({chosen[label] for label in operations}) == len(operations)
    assert chosen["input"] == chosen["output"]
    assert {colours(["none", "x"])[label] for label in ("none",)} == {"#ffffff"}
    assert "none" in NOTHING


def texts(svg: str) -> str:
    """An SVG as it was drawn, with letters as letters: matplotlib names the text of each group in a comment."""
    return unescape(" ".join(re.findall(r"<!-- (.*?) -->", svg)))


def test_the_cell_shows_every_label_and_title() -> None:
    graph = SPACE.graphs(SPACE.canonical(["conv3", "pool", 1, "relu"]))["cell"]
    svg = svg_text(draw_graphs([Panel("trial 7", graph)], SPACE.graph_labels))
    assert {"trial 7", "input", "conv3", "pool", "add", "relu", "output"} <= set(texts(svg).split()) | {"trial 7"}
    assert "trial 7" in texts(svg)


def test_numbered_inputs_are_shown() -> None:
    graph = Graph(("x", "h", "blend"), ((0, 2), (1, 2)), (1, 0))
    assert {"0", "1"} <= set(texts(svg_text(draw_graphs([Panel("", graph)]))).split())


def test_graphs_that_are_too_wide_stand_below_each_other() -> None:
    chain = Graph(("operation",) * 8, tuple((i, i + 1) for i in range(7)))
    one = draw_graphs([Panel("a", chain)]).get_size_inches()
    two = draw_graphs([Panel("a", chain), Panel("b", chain)]).get_size_inches()
    assert two.tolist() == pytest.approx([one[0], 2 * one[1]])
    short = Graph(("a", "b"), ((0, 1),))
    one = draw_graphs([Panel("a", short)]).get_size_inches()
    two = draw_graphs([Panel("a", short), Panel("b", short)]).get_size_inches()
    assert two.tolist() == pytest.approx([2 * one[0], one[1]])


def test_the_curve_says_what_failed_and_what_breaks_a_constraint() -> None:
    wanted, history, _ = study(MIXED, ("params<=1000",))
    words = texts(svg_text(draw_curve(history, wanted)))
    for label in (
        "best so far",
        "breaks a constraint",
        "failed (1)",
        "finished trials",
        "val_accuracy (more is better)",
    ):
        assert label in words
    plain, history, _ = study([(90.0, 1.0)])
    words = texts(svg_text(draw_curve(history, plain)))
    assert "failed" not in words
    assert "constraint" not in words


def test_the_front_counts_what_it_shows() -> None:
    both = ("max:val_accuracy", "min:params")
    wanted, history, _ = study(MIXED, ("params<=1000",), both)
    words = texts(svg_text(draw_front(history, wanted)))
    for label in ("Pareto front (2)", "other trial (1)", "breaks a constraint (1)", "params<=1000"):
        assert label in words
    wanted, history, _ = study(MIXED, ("params<=1",), both)
    assert "Pareto" not in texts(svg_text(draw_front(history, wanted)))


def test_three_objectives_give_three_planes() -> None:
    wanted, history, _ = study(MIXED, objectives=("max:val_accuracy", "min:params", "max:test_accuracy"))
    assert len(draw_front(history, wanted).axes) == 3


def test_all_failed() -> None:
    wanted, history, trials = study([None, None])
    assert "failed (2)" in texts(svg_text(draw_curve(history, wanted)))
    assert [row.rank for row in ranked(trials, wanted, SPACE)] == [None, None]


class Structure(HTMLParser):
    """Elements that are open, and every attribute that would fetch something."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self.note(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.note(attrs)

    def note(self, attrs: list[tuple[str, str | None]]) -> None:
        names = ("src", "href", "xlink:href", "action", "data")
        self.fetched += [value for name, value in attrs if name in names and value and not value.startswith("#")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


CONFIG = {"space": {"name": "toy"}, "optimizer": {"name": "random"}, "trials": 5, "seed": 0}


def written(directory: Path, *args: object, **options: object) -> str:
    wanted, history, trials = study(*args, **options)  # type: ignore[arg-type]
    config = CONFIG | wanted.to_config()
    write_report(directory, config=config, space=SPACE, objectives=wanted, trials=trials, history=history)
    return (directory / "index.html").read_text(encoding="utf-8")


def test_files_of_the_report(tmp_path: Path) -> None:
    page = written(tmp_path / "report", MIXED, ("params<=1000",))
    names = {path.name for path in (tmp_path / "report").iterdir()}
    assert names == {"curve.png", "curve.svg", "best.png", "best.svg", "trials.csv", "index.html"}
    for name in ("curve", "best"):
        assert (tmp_path / "report" / f"{name}.png").read_bytes().startswith(PNG)
        assert ElementTree.parse(tmp_path / "report" / f"{name}.svg").getroot().tag.endswith("svg")
    with (tmp_path / "report" / "trials.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["trial"] for row in rows] == ["3", "4", "0", "2", "1"]
    assert rows[0] == {
        "rank": "1", "trial": "3", "status": "completed", "feasible": "yes", "val_accuracy": "92.0", "params": "800.0",
        "test_accuracy": "91.0", "seconds": "2.0", "fidelity": "", "architecture": SPACE.text(MEMBERS[3]), "reason": "",
    }  # fmt: skip
    assert rows[-1]["reason"] == "diverged"
    structure = Structure()
    structure.feed(page)
    assert structure.open == []
    assert structure.fetched == []


def test_the_page_tells_the_figures(tmp_path: Path) -> None:
    page = written(tmp_path, MIXED, ("params<=1000",))
    assert "<b>5 of 5</b>" in page
    assert "best val_accuracy, trial 3" in page
    assert "<b>0.0028</b>" in page  # five times two seconds in hours
    assert "the loss is &lt;NaN&gt;" in page  # the message of the failure, escaped
    assert "test_accuracy" not in page
    assert "Final training" not in page


def test_the_page_of_several_objectives(tmp_path: Path) -> None:
    page = written(tmp_path, MIXED, objectives=("max:val_accuracy", "min:params"))
    assert "trials on the Pareto front" in page
    assert page.count("Trial ") == 3


def test_nothing_keeps_the_constraints(tmp_path: Path) -> None:
    page = written(tmp_path, MIXED, ("params<=1",))
    assert "No finished trial keeps the constraints. The nearest is trial 4" in page  # the one with 100 parameters
    assert not (tmp_path / "best.png").exists()


def test_rounds_under_constraints_by_hand(tmp_path: Path) -> None:
    """Trials 0 and 1 were drawn at random and one failed; a round began after 2 labels and one after 4."""
    wanted, history, trials = study(MIXED, ("params<=1000",))
    infos: list[dict[str, int]] = [{}, {}, {"round": 2}, {"round": 2}, {"round": 4}]
    told = [replace(t, proposal=replace(t.proposal, info=info)) for t, info in zip(trials, infos, strict=True)]
    rows = ranked(told, wanted, SPACE)
    assert rounds_of(rows, wanted) == [(None, 2, 1, 90.0), (2, 2, 1, 92.0), (4, 1, 1, 91.0)]
    assert rounds_of(rows, Objectives.parse(["max:val_accuracy"])) == []
    assert rounds_of(ranked(trials, wanted, SPACE), wanted) == []
    config = CONFIG | wanted.to_config()
    write_report(tmp_path, config=config, space=SPACE, objectives=wanted, trials=told, history=history)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "<h2>Rounds</h2>" in page
    assert page.count("50 %") == 2
    assert "<h2>Rounds</h2>" not in written(tmp_path / "without", MIXED, ("params<=1000",))


def test_the_final_training_is_told(tmp_path: Path) -> None:
    wanted, history, trials = study(MIXED)
    final = {"trial": 2, "metrics": {"test_accuracy": 94.25}, "seconds": 61.0}
    files = write_report(
        tmp_path, config=CONFIG, space=SPACE, objectives=wanted, trials=trials, history=history, final=final
    )
    assert all(path.is_file() for path in files)
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "Trial 2 trained anew in 1 min 1 s and tested once: test_accuracy 94.25." in page


def test_the_same_study_gives_the_same_files(tmp_path: Path) -> None:
    written(tmp_path / "a", MIXED)
    written(tmp_path / "b", MIXED)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_space_without_graphs_has_no_picture_of_its_best(tmp_path: Path) -> None:
    space = ContinuousToySpace()
    wanted = Objectives.parse(["max:val_accuracy"])
    history, proposal = wanted.new_history(), Proposal(space.project(["conv3", "pool", 0, None, 0.1]))
    history.begin(proposal)
    trial = Trial(0, proposal, Status.COMPLETED, Measurement({"val_accuracy": 1.0}))
    history.finish(0, Measurement({"val_accuracy": 1.0}))
    write_report(tmp_path, config=CONFIG, space=space, objectives=wanted, trials=[trial], history=history)
    assert {path.name for path in tmp_path.iterdir()} == {"curve.png", "curve.svg", "trials.csv", "index.html"}
    with pytest.raises(MissingCapability, match="continuous_toy"):
        draw_architectures(space, [proposal.architecture], [""])


def test_nothing_to_report(tmp_path: Path) -> None:
    wanted, history, trials = study([])
    with pytest.raises(NasError, match="nothing to report: '0 trials, none finished'"):
        write_report(tmp_path, config=CONFIG, space=SPACE, objectives=wanted, trials=trials, history=history)


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "report").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be written"):
        written(tmp_path / "report", MIXED)


def test_a_picture_of_an_unknown_kind(tmp_path: Path) -> None:
    figure = draw_architectures(SPACE, [MEMBERS[0]], ["title"])
    save(figure, tmp_path / "new" / "cell.pdf")
    with pytest.raises(StoreError, match=r"\.png, \.svg or \.pdf"):
        save(figure, tmp_path / "cell.gif")


def test_matplotlib_is_asked_for_by_the_name_of_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(RegistryError, match="extra `report`"), style():
        pass
