"""Training sets: signs, failures, fidelities and twins, pooled by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from nas_core.architecture import Architecture
from nas_core.errors import InvalidOption
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.training_set import TrainingSet
from nas_core.trial import Failure, Measurement, Proposal

ONE = Objectives.parse(["max:val_accuracy"])
TWO = Objectives.parse(["max:val_accuracy", "min:params"], ["params<=10"])


def member(i: int) -> Architecture:
    return Architecture("line", (i,))


def history(objectives: Objectives, rows: list[tuple[int, float | None, list[float] | None]]) -> History:
    """Trials (member, fidelity, metrics or None where failed), finished in order; one more runs."""
    made = objectives.new_history()
    for i, fidelity, row in rows:
        trial = made.begin(Proposal(member(i), fidelity))
        if row is None:
            made.finish(trial.number, Failure("diverged", "NaN"))
        else:
            made.finish(trial.number, Measurement(dict(zip(objectives.metrics, row, strict=True))))
    made.begin(Proposal(member(99)))
    return made


def rows(data: TrainingSet) -> list[tuple[Any, ...]]:
    """(member, target 0, count) of each row."""
    return [
        (a.values[0], target, count)
        for a, target, count in zip(data.architectures, data.targets[:, 0].tolist(), data.counts.tolist(), strict=True)
    ]


def test_signs_are_turned_and_labels_pooled() -> None:
    data = TrainingSet.from_history(
        history(TWO, [(3, None, [90.0, 5.0]), (1, None, [80.0, 15.0]), (3, None, [94.0, 25.0])]), TWO
    )
    assert data.architectures == (member(3), member(1))
    np.testing.assert_array_equal(data.targets, [[-92.0, 15.0], [-80.0, 15.0]])
    np.testing.assert_array_equal(data.counts, [2, 1])
    # 25 is 1.5 times 10 beyond 10, 15 half of 10: the mean of 0 and 1.5, and 0.5
    np.testing.assert_allclose(data.violations, [0.75, 0.5])
    assert len(data) == 2


def test_failed_members_are_those_that_never_worked() -> None:
    data = TrainingSet.from_history(
        history(ONE, [(0, None, None), (1, None, [80.0]), (1, None, None), (2, None, None), (0, None, None)]), ONE
    )
    assert rows(data) == [(1, -80.0, 1)]
    assert data.failed == (member(0), member(2))


def test_twins_are_pooled_under_the_first_of_them() -> None:
    """|value| is what counts: -2 and 2 are twins, and a twin that failed has not failed where the other worked."""
    twins = history(ONE, [(2, None, [80.0]), (-2, None, [90.0]), (-1, None, None), (1, None, [70.0]), (-3, None, None)])
    data = TrainingSet.from_history(twins, ONE, key=lambda a: abs(int(str(a.values[0]))))
    assert rows(data) == [(2, -85.0, 2), (1, -70.0, 1)]
    assert data.failed == (member(-3),)
    assert rows(TrainingSet.from_history(twins, ONE)) == [(2, -80.0, 1), (-2, -90.0, 1), (1, -70.0, 1)]


def test_twins_are_not_pooled_where_parameters_count() -> None:
    with pytest.raises(InvalidOption, match="twins may be pooled only where"):
        TrainingSet.from_history(history(TWO, []), TWO, key=lambda a: 0)


def test_the_highest_completed_fidelity_is_taken() -> None:
    mixed = history(ONE, [(0, 3.0, [50.0]), (0, 9.0, [60.0]), (1, 3.0, [55.0]), (2, 27.0, None), (3, 9.0, None)])
    data = TrainingSet.from_history(mixed, ONE)
    assert rows(data) == [(0, -60.0, 1)]
    assert data.failed == (member(3),)
    assert rows(TrainingSet.from_history(mixed, ONE, fidelity=3.0)) == [(0, -50.0, 1), (1, -55.0, 1)]
    assert rows(TrainingSet.from_history(mixed, ONE, fidelity=4.0)) == []


def test_no_fidelity_counts_as_the_highest() -> None:
    mixed = history(ONE, [(0, 200.0, [50.0]), (1, None, [60.0])])
    assert rows(TrainingSet.from_history(mixed, ONE)) == [(1, -60.0, 1)]


def test_where_all_failed_the_failures_are_those_of_the_highest_fidelity() -> None:
    data = TrainingSet.from_history(history(ONE, [(0, 3.0, None), (1, 9.0, None)]), ONE)
    assert rows(data) == []
    assert data.failed == (member(1),)


@pytest.mark.parametrize("m", [1, 2])
def test_an_empty_history_gives_an_empty_set(m: int) -> None:
    objectives = (ONE, TWO)[m - 1]
    data = TrainingSet.from_history(objectives.new_history(), objectives)
    assert (len(data), data.targets.shape, data.counts.shape, data.violations.shape) == (0, (0, m), (0,), (0,))


@pytest.mark.parametrize(
    ("targets", "counts", "violations"),
    [
        (np.zeros(2), np.ones(2, dtype=np.int64), np.zeros(2)),
        (np.zeros((1, 1)), np.ones(2, dtype=np.int64), np.zeros(2)),
        (np.zeros((2, 1)), np.ones(1, dtype=np.int64), np.zeros(2)),
        (np.zeros((2, 1)), np.ones(2, dtype=np.int64), np.zeros((2, 1))),
        (np.array([[0.0], [math.nan]]), np.ones(2, dtype=np.int64), np.zeros(2)),
    ],
)
def test_rows_that_do_not_match_are_refused(targets: Any, counts: Any, violations: Any) -> None:
    with pytest.raises(InvalidOption, match="training set's"):
        TrainingSet((member(0), member(1)), targets, counts, violations)
