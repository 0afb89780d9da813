"""The sweep: a fixed list of trials, whatever they measure; and its trials as columns of a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical, Value
from nas_core.errors import Exhausted, InvalidOption, StoreError
from nas_core.objective import Objectives
from nas_core.space import Space
from nas_core.testing import OptimizerContract
from nas_core.testing.fakes import ToySpace
from nas_core.trial import Failure, Measurement, Proposal, Status, Trial
from nas_search.config import StudyConfig
from nas_search.optimizers.sweep import Sweep
from nas_search.study import Study
from nas_search.swept import columns_of, members_of, rows_of

_ONE = Objectives.parse(["max:val_accuracy"])


class TestSweepContract(OptimizerContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_search.optimizers.sweep:Sweep"

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"fidelities": [1, 3], "replicates": 2}

    @pytest.fixture
    def repeats(self) -> bool:
        return True


def _proposals(sweep: Sweep, n: int = 7) -> list[Proposal]:
    """Everything that a sweep proposes when nothing fails, n at a time."""
    history = _ONE.new_history()
    found: list[Proposal] = []
    while True:
        try:
            proposals = sweep.propose(history, n)
        except Exhausted:
            return found
        for proposal in proposals:
            history.finish(history.begin(proposal).number, Measurement({"val_accuracy": 1.0}))
        found += proposals


def test_all_members_once_for_each_class_of_twins() -> None:
    space = ToySpace()
    found = _proposals(Sweep(space, _ONE, 0))
    first: dict[str, Architecture] = {}
    for a in space.enumerate():
        first.setdefault(space.twin_key(a), a)
    assert sorted(p.architecture for p in found) == sorted(first.values())
    assert len(found) == Sweep(space, _ONE, 0).trials
    both = Sweep(space, _ONE, 0, allow_twins=True)
    assert sorted(p.architecture for p in _proposals(both)) == sorted(space.enumerate())


def test_fidelities_within_replicates_within_members() -> None:
    sweep = Sweep(ToySpace(), _ONE, 5, members=3, fidelities=(3, 1), replicates=2)
    found = _proposals(sweep)
    assert [(p.replicate, p.fidelity) for p in found] == [(0, 1), (0, 3), (1, 1), (1, 3)] * 3
    assert len({p.architecture for p in found}) == 3
    assert all(len({p.architecture for p in found[at : at + 4]}) == 1 for at in (0, 4, 8))


def _study(folder: Path, **more: Any) -> Path:
    """A study of twelve random members of the toy space, the fake evaluator's accuracies, the least parameters."""
    config = {
        "space": {"name": "nas_core.testing.fakes:ToySpace"},
        "optimizer": {"name": "random"},
        "evaluator": {"name": "nas_core.testing.fakes:FakeEvaluator"},
        "objectives": ["max:val_accuracy"],
        "trials": 12,
    }
    with Study.create(folder, StudyConfig.from_mapping(config | more)) as study:
        study.run()
    return folder


def test_the_best_of_another_study_in_their_order(tmp_path: Path) -> None:
    folder = _study(tmp_path / "first")
    with Study.open(folder, read_only=True) as study:
        space, trials = study.space, study.trials()
    best = sorted(trials, key=lambda trial: -trial.metrics["val_accuracy"])
    sweep = Sweep(space, Objectives.parse(["min:params"]), 3, members=5, start=str(folder))
    assert [p.architecture for p in _proposals(sweep)] == [trial.architecture for trial in best[:5]]
    assert sweep.to_config()["start_trials"] == 12
    assert Sweep(space, _ONE, 0, start=str(folder)).trials == 12
    early = Sweep(space, _ONE, 0, start=str(folder), start_trials=4)
    assert {p.architecture for p in _proposals(early)} == {trial.architecture for trial in trials[:4]}
    with pytest.raises(InvalidOption, match=r"fewer members.*at most 12"):
        _ = Sweep(space, _ONE, 0, members=13, start=str(folder)).trials
    with pytest.raises(StoreError):
        Sweep(space, _ONE, 0, members=2, start=str(tmp_path / "nothing"))
    with pytest.raises(InvalidOption, match="says something about a start"):
        Sweep(space, _ONE, 0, start_trials=4)
    with pytest.raises(InvalidOption, match="searched another space"):
        Sweep(_Pairs(), _ONE, 0, start=str(folder))


def test_only_those_that_keep_the_other_studys_constraints(tmp_path: Path) -> None:
    folder = _study(tmp_path / "first")
    with Study.open(folder, read_only=True) as study:
        space, accuracies = study.space, sorted(trial.metrics["val_accuracy"] for trial in study.trials())
    kept = _study(tmp_path / "limited", constraints=[f"val_accuracy<={accuracies[6]!r}"])
    found = _proposals(Sweep(space, _ONE, 0, start=str(kept)))
    with Study.open(kept, read_only=True) as study:
        values = {trial.architecture: trial.metrics["val_accuracy"] for trial in study.trials()}
    assert [values[p.architecture] for p in found] == accuracies[6::-1]
    none = _study(tmp_path / "impossible", constraints=["val_accuracy<=-1"])
    with pytest.raises(InvalidOption, match="no completed trial that keeps"):
        Sweep(space, _ONE, 0, start=str(none))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"members": 0}, "members must be a whole number"),
        ({"members": 10_000}, "fewer members to sample"),
        ({"fidelities": [1, 1]}, "different numbers above 0"),
        ({"fidelities": [0]}, "different numbers above 0"),
        ({"fidelities": "12"}, "different numbers above 0"),
        ({"replicates": 0}, "replicates must be"),
        ({"allow_twins": "yes"}, "true or false"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidOption, match=told):
        _ = Sweep(ToySpace(), _ONE, 0, **options).trials


def _trial(number: int, architecture: Architecture, fidelity: float, replicate: int, **metrics: float) -> Trial:
    result = Measurement(metrics) if metrics else Failure("diverged", "told to")
    status = Status.COMPLETED if metrics else Status.FAILED
    return Trial(number, Proposal(architecture, fidelity=fidelity, replicate=replicate), status, result)


def _swept() -> Sequence[Trial]:
    a, b = list(ToySpace().enumerate())[:2]
    return [
        _trial(0, b, 1, 0, val_accuracy=10.5, params=7.0),
        _trial(1, b, 3, 0, val_accuracy=20.5, params=7.0),
        _trial(2, a, 1, 0, val_accuracy=30.5, params=8.0),
        _trial(3, a, 3, 0),
        _trial(4, a, 1, 1),
        _trial(5, a, 3, 1),
    ]


def test_trials_become_columns_by_fidelity_and_costs_one_column() -> None:
    a, b = list(ToySpace().enumerate())[:2]
    assert rows_of(_swept()) == [(b, 0), (a, 0), (a, 1)]
    found = columns_of(_swept())
    np.testing.assert_array_equal(found["val_accuracy@1"], np.array([10.5, 30.5, np.nan], dtype=np.float32))
    np.testing.assert_array_equal(found["val_accuracy@3"], np.array([20.5, np.nan, np.nan], dtype=np.float32))
    np.testing.assert_array_equal(found["params"], np.array([7, 8, np.nan], dtype=np.float32))
    assert found["failed@1"].tolist() == [False, False, True]
    assert found["failed@3"].tolist() == [False, True, True]
    assert found["failed"].tolist() == [False, False, True]
    assert set(columns_of(_swept(), ["params"])) == {"params", "failed@1", "failed@3", "failed"}


def test_whole_numbers_stay_whole() -> None:
    a = next(iter(ToySpace().enumerate()))
    found = columns_of([_trial(0, a, 1, 0, val_accuracy=10.5, params=123_456_789.0)])
    assert found["params"].dtype == np.int64
    assert found["params"].tolist() == [123_456_789]


def test_metrics_that_nobody_measured() -> None:
    with pytest.raises(InvalidOption, match="one of val_accuracy, params"):
        columns_of(_swept(), ["test_accuracy"])
    with pytest.raises(InvalidOption, match="no trial has been completed"):
        columns_of(_swept()[3:])


class _Pairs(Space):
    """Two choices, the second inactive where the first is "stop"."""

    name = "pairs"
    decisions = (Categorical("first", ("go", "stop")), Categorical("second", (10, 20, 30)))

    def active(self, values: Sequence[Value | None]) -> tuple[bool, ...]:
        return (True, values[0] == "go")

    def to_config(self) -> dict[str, Any]:
        return {"name": "pairs"}


def test_members_are_choice_numbers_where_all_decisions_are_choices_else_texts() -> None:
    space = ToySpace()  # its depth is a whole number
    found = members_of(_swept(), space)
    assert found["architecture"].tolist() == [space.text(a) for a, _ in rows_of(_swept())]
    members = [Architecture("pairs", ("go", 30)), Architecture("pairs", ("stop", None))]
    trials = [_trial(i, a, 1, 0, val_accuracy=1.0) for i, a in enumerate(members)]
    assert members_of(trials, _Pairs())["decisions"].tolist() == [[0, 2], [1, -1]]
