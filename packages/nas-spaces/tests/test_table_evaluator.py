"""Looking up instead of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_core.architecture import Architecture
from nas_core.errors import InvalidOption, InvalidTable, TrialFailed
from nas_core.evaluator import Evaluation
from nas_core.registry import from_config
from nas_core.testing import EvaluatorContract
from nas_spaces.declared import DeclaredSpace
from nas_spaces.nasbench201 import NASBench201
from nas_spaces.tables import Table
from nas_spaces.tables.evaluator import TableEvaluator

DECISIONS = {"width": [16, 32, 64], "act": ["relu", "gelu"]}
META = {
    "name": "toy table",
    "space": {"name": "toy", "decisions": DECISIONS},
    "source": "made up",
    "licence": "MIT",
    "units": {},
    "objective": "max:val_accuracy",
}
SPACE = DeclaredSpace(DECISIONS, "toy")
NAN = float("nan")


def saved(folder: Path, **changes: Any) -> str:
    """A table of all six members, the first with a second replicate; row 1 failed at 12, row 2 altogether."""
    arrays = {
        "decisions": [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0], [2, 1], [0, 0]],
        "val_accuracy@4": [50.0, 51.0, NAN, 53.0, 54.0, 55.0, 56.0],
        "val_accuracy@12": [70.0, NAN, NAN, 73.0, 74.0, 75.0, 76.0],
        "test_accuracy@12": [60.0, 61.0, NAN, 63.0, 64.0, 65.0, 66.0],
        "train_seconds@4": [4.0] * 7,
        "train_seconds@12": [12.0] * 7,
        "params": [100, 101, 102, 103, 104, 105, 100],
        "failed@12": [False, True, False, False, False, False, False],
        "failed": [False, False, True, False, False, False, False],
    } | changes
    path = folder / "toy.npz"
    Table(META, {name: np.array(array) for name, array in arrays.items() if array is not None}).save(path)
    return str(path)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> str:
    return saved(tmp_path_factory.mktemp("tables"))


class TestTableEvaluator(EvaluatorContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_spaces.tables.evaluator:TableEvaluator"

    @pytest.fixture
    def options(self, file: str) -> dict[str, Any]:
        return {"file": file}

    @pytest.fixture
    def space_factory(self) -> str:
        return "nas_spaces.declared:DeclaredSpace"

    @pytest.fixture
    def space_options(self) -> dict[str, Any]:
        return {"decisions": DECISIONS, "title": "toy"}

    @pytest.fixture
    def architectures(self, space: Any) -> list[Architecture]:
        return [member(16, "relu"), member(32, "gelu"), member(64, "relu")]


def member(width: int, act: str) -> Architecture:
    return Architecture("toy", (width, act))


def evaluation(width: int = 16, act: str = "relu", **options: Any) -> Evaluation:
    return Evaluation(SPACE, member(width, act), **options)


def test_it_measures_at_the_highest_fidelity(file: str) -> None:
    evaluator = TableEvaluator(file)
    assert evaluator.metrics == (
        "val_accuracy@4", "val_accuracy", "val_accuracy@12", "test_accuracy", "test_accuracy@12",
        "train_seconds@4", "train_seconds", "train_seconds@12", "params",
    )  # fmt: skip
    found = evaluator.evaluate(evaluation())
    assert found.metrics == {
        "val_accuracy": 70.0, "val_accuracy@4": 50.0, "val_accuracy@12": 70.0, "test_accuracy": 60.0,
        "test_accuracy@12": 60.0, "train_seconds": 12.0, "train_seconds@4": 4.0, "train_seconds@12": 12.0,
        "params": 100.0,
    }  # fmt: skip
    assert found.seconds == 12.0


@pytest.mark.parametrize(("own", "trial"), [(4, None), (None, 4), (12, 4.0)])
def test_the_trial_chooses_the_fidelity_and_sees_none_that_is_higher(file: str, own: Any, trial: Any) -> None:
    found = TableEvaluator(file, own).evaluate(evaluation(fidelity=trial))
    assert found.metrics == {
        "val_accuracy": 50.0, "val_accuracy@4": 50.0, "train_seconds": 4.0, "train_seconds@4": 4.0, "params": 100.0,
    }  # fmt: skip
    assert found.seconds == 4.0


def test_a_replicate_is_a_row(file: str) -> None:
    evaluator = TableEvaluator(file)
    assert evaluator.evaluate(evaluation(replicate=1)).metrics["val_accuracy"] == 76.0
    with pytest.raises(TrialFailed, match="no such replicate") as caught:
        evaluator.evaluate(evaluation(replicate=2))
    assert caught.value.reason == "not_in_table"


def test_what_failed_fails(file: str) -> None:
    evaluator = TableEvaluator(file)
    for options in ({"width": 16, "act": "gelu"}, {"width": 32}, {"width": 32, "fidelity": 4}):
        with pytest.raises(TrialFailed) as caught:
            evaluator.evaluate(evaluation(**options))
        assert caught.value.reason == "failed_in_table"
    assert evaluator.evaluate(evaluation(16, "gelu", fidelity=4)).metrics["val_accuracy"] == 51.0


def test_a_failure_at_a_lower_fidelity_leaves_its_metrics_out(tmp_path: Path) -> None:
    evaluator = TableEvaluator(
        saved(
            tmp_path,
            **{
                "failed@12": None,
                "failed@4": [True] + [False] * 6,
                "val_accuracy@12": [70.0, 71.0, NAN, 73.0, 74.0, 75.0, 76.0],
            },
        )
    )
    assert set(evaluator.metrics) - set(evaluator.evaluate(evaluation()).metrics) == {
        "val_accuracy@4",
        "train_seconds@4",
    }


def test_what_is_not_there_fails(tmp_path: Path, file: str) -> None:
    few = {name: array[:2] for name, array in Table.load(file)._arrays.items()}
    Table(META, few).save(tmp_path / "few.npz")
    evaluator = TableEvaluator(str(tmp_path / "few.npz"))
    for options, message in (({"width": 64}, "not in the table"), ({"fidelity": 200}, "expected one of 4, 12")):
        with pytest.raises(TrialFailed, match=message) as caught:
            evaluator.evaluate(evaluation(**options))  # type: ignore[arg-type]
        assert caught.value.reason == "not_in_table"


def test_it_says_before_the_first_trial_what_does_not_fit(tmp_path: Path, file: str) -> None:
    with pytest.raises(InvalidTable, match=r"of another space: 'toy' \(in .*toy\.npz\); expected nasbench201"):
        TableEvaluator(file).prepare(NASBench201())
    with pytest.raises(InvalidTable, match="of another space"):
        TableEvaluator(file).prepare(DeclaredSpace(dict(reversed(DECISIONS.items())), "toy"))
    with pytest.raises(InvalidOption, match=r"no results at this fidelity: 200 .*; expected one of 4, 12"):
        TableEvaluator(file, 200).prepare(SPACE)
    with pytest.raises(InvalidTable, match="no such table file"):
        TableEvaluator(str(tmp_path / "absent.npz")).prepare(SPACE)
    for wrong in ("12", True):
        with pytest.raises(InvalidOption, match="a fidelity must be a number"):
            TableEvaluator(file, wrong)  # type: ignore[arg-type]


def test_a_table_without_fidelities(tmp_path: Path) -> None:
    none = dict.fromkeys(
        ("val_accuracy@4", "val_accuracy@12", "test_accuracy@12", "train_seconds@4", "train_seconds@12")
    )
    evaluator = TableEvaluator(saved(tmp_path, **none, **{"failed@12": None, "val_accuracy": [1.0] * 7}))
    assert evaluator.evaluate(evaluation()).metrics == {"val_accuracy": 1.0, "params": 100.0}
    assert evaluator.evaluate(evaluation()).seconds == 0.0
    with pytest.raises(TrialFailed, match="expected none: its results do not depend on one"):
        evaluator.evaluate(evaluation(fidelity=4))


def parallel(folder: Path) -> tuple[str, DeclaredSpace]:
    """Two parallel operations: members that differ in their order alone are isomorphic; some are in the table."""
    choices = ["conv", "skip", "pool"]
    edges = [{"from": "x", "to": "y", "decision": name} for name in ("left", "right")]
    config = {
        "name": "parallel",
        "decisions": {"left": choices, "right": choices},
        "graphs": {"cell": {"inputs": ["x"], "outputs": ["y"], "edges": edges}},
    }
    columns = {
        "decisions": np.array([[0, 1], [0, 2], [2, 0]]),
        "val_accuracy": np.array([90.0, 80.0, 81.0]),
        "params": np.array([10, 20, 30]),
        "train_seconds": np.array([5.0, 6.0, 7.0]),
    }
    Table({**META, "space": config}, columns).save(folder / "parallel.npz")
    space: DeclaredSpace = from_config("space", config)
    return str(folder / "parallel.npz"), space


def test_isomorphic_members_are_read_where_that_is_asked_for(tmp_path: Path) -> None:
    path, space = parallel(tmp_path)
    equal, graph = TableEvaluator(path), TableEvaluator(path, match="graph")
    for evaluator in (equal, graph):
        evaluator.prepare(space)
    assert equal.metrics == ("val_accuracy", "params", "train_seconds")
    assert graph.metrics == ("val_accuracy",)  # parameters depend on the order of vertices
    assert graph.requires == {"graphs"}
    assert TableEvaluator(**{k: v for k, v in graph.to_config().items() if k != "name"}).match == "graph"

    def read(evaluator: TableEvaluator, *values: str) -> tuple[dict[str, float], float]:
        found = evaluator.evaluate(Evaluation(space, space.canonical(values)))
        return dict(found.metrics), found.seconds

    assert read(equal, "conv", "skip")[0]["params"] == 10
    assert read(graph, "conv", "skip") == read(graph, "skip", "conv") == ({"val_accuracy": 90.0}, 5.0)
    assert read(graph, "conv", "pool") == ({"val_accuracy": 80.0}, 6.0)
    assert read(graph, "pool", "conv") == ({"val_accuracy": 81.0}, 7.0)  # an equal one comes first
    with pytest.raises(TrialFailed, match=r"restricted:table=FILE .*; with match=graph the results of isomorphic"):
        read(equal, "skip", "conv")
    with pytest.raises(TrialFailed, match=r"restricted:table=FILE holds only members that the table has$") as caught:
        read(graph, "skip", "skip")
    assert caught.value.reason == "not_in_table"


def test_there_are_two_ways_to_match(file: str) -> None:
    with pytest.raises(InvalidOption, match="no way to match: 'twins'; expected one of equal, graph"):
        TableEvaluator(file, match="twins")
