"""Held-out errors, against a surrogate whose predictions are known by hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from nas_core.architecture import Architecture
from nas_core.errors import InvalidOption
from nas_core.random import rng
from nas_core.surrogate import Prediction
from nas_core.training_set import TrainingSet
from nas_surrogates.cross_validation import errors, held_out

MEMBERS = tuple(Architecture("numbers", (i,)) for i in range(7))
VALUES = np.arange(7.0)[:, None]
DATA = TrainingSet(MEMBERS, VALUES, np.ones(7, dtype=np.int64), np.zeros(7))


class MeanOfTheRest:
    """Predicts the mean of what it was fitted to, and remembers who that was."""

    def __init__(self, data: TrainingSet) -> None:
        self.mean, self.seen = float(data.targets.mean()), set(data.architectures)

    def predict(self, x: Sequence[Architecture]) -> Prediction:
        assert not self.seen & set(x)
        return Prediction(np.full((len(x), 1), self.mean), np.ones((len(x), 1)))


def test_one_left_out_is_predicted_by_the_mean_of_the_others() -> None:
    predicted = held_out(MeanOfTheRest, DATA, np.arange(7), 7, rng(0, "folds"))
    np.testing.assert_allclose(predicted, (21.0 - VALUES) / 6)


def test_a_group_is_held_out_together() -> None:
    group = np.array([0, 0, 0, 1, 1, 2, 2])
    predicted = held_out(MeanOfTheRest, DATA, group, 3, rng(0, "folds"))
    # means of 3 to 6, of 0, 1, 2, 5, 6, and of 0 to 4
    np.testing.assert_allclose(predicted[:, 0], [4.5, 4.5, 4.5, 2.8, 2.8, 2.0, 2.0])


@pytest.mark.parametrize("k", [1, 4])
def test_folds_are_at_most_as_many_as_groups(k: int) -> None:
    with pytest.raises(InvalidOption, match="expected 2 to 3, the different architectures"):
        held_out(MeanOfTheRest, DATA, np.array([0, 0, 0, 1, 1, 2, 2]), k, rng(0, "folds"))


def test_errors_worked_out_by_hand() -> None:
    found = errors(np.array([1.0, 2.0, 2.0, 5.0]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert found.rmse == pytest.approx(np.sqrt(2 / 4))
    assert found.r2 == pytest.approx(1 - 0.5 / 1.25)
    assert found.kendall == pytest.approx(5 / np.sqrt(6 * 5))  # five pairs in order, one tied in the predictions
