"""Predictions check themselves; carried states compare by content."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from nas_core.errors import InvalidPrediction
from nas_core.optimizer import State
from nas_core.surrogate import Prediction

ONES = np.ones((2, 3))


def test_a_prediction_holds_what_it_was_given() -> None:
    prediction = Prediction(ONES, 0 * ONES, 2 * ONES)
    assert prediction.mean is ONES
    assert prediction.noise_std is not None
    assert Prediction(np.empty((0, 2)), np.empty((0, 2))).noise_std is None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ((np.ones(3), np.ones(3)), r"mean must be n x m: \(3,\)"),
        ((ONES, ONES.T), r"std has a wrong shape: \(3, 2\); expected \(2, 3\)"),
        ((ONES, ONES, np.ones((1, 3))), "noise_std has a wrong shape"),
        ((ONES * math.nan, ONES), "mean holds numbers that are not finite"),
        ((ONES, ONES * math.inf), "std holds numbers that are not finite"),
        ((ONES, -ONES), "std holds negative numbers"),
        ((ONES, ONES, -ONES), "noise_std holds negative numbers"),
    ],
)
def test_predictions_that_make_no_sense_are_refused(arrays: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InvalidPrediction, match=message):
        Prediction(*arrays)


def test_states_are_equal_by_content() -> None:
    state = State({"w": np.arange(3.0)}, {"round": 1})
    assert state == State({"w": np.arange(3.0)}, {"round": 1})
    assert State() == State({}, {})
    others = (
        State({"w": np.arange(3.0) + 1}, {"round": 1}),
        State({"w": np.arange(3.0)}, {"round": 2}),
        State({"v": np.arange(3.0)}, {"round": 1}),
        State({"w": np.arange(4.0)}, {"round": 1}),
    )
    assert all(state != other for other in others)
    with pytest.raises(TypeError, match="unhashable"):
        hash(state)
