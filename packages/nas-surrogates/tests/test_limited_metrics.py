"""Regressions on metrics with a limit, against sums that are known and stated noise."""

from __future__ import annotations

import numpy as np
import pytest

from nas_core.objective import Objectives
from nas_core.random import rng
from nas_surrogates.limited_metrics import LimitedMetrics

LIMITED = Objectives.parse(["max:val_accuracy"], ["latency<=20", "memory<=3"])
COSTS = np.array([1.0, 2.0, 4.0, 8.0, 3.0, 5.0])


def observed(n: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Features (n x 6) of 0 and 1, and losses: an accuracy, a latency that is a noisy sum, a memory that is a sum."""
    stream = rng(0, "observed", n)
    features = stream.integers(0, 2, (n, 6)).astype(np.float64)
    latency = features @ COSTS + noise * stream.normal(size=n)
    return features, np.stack([-80.0 + stream.normal(size=n), latency, features @ COSTS / 10.0], axis=1)


def test_sums_are_learnt_and_the_objective_is_left_as_it_is() -> None:
    """Predictions of sums are the sums; those of the accuracy are what was given."""
    features, losses = observed(100, 0.0)
    limited = LimitedMetrics.of(LIMITED, features, losses)
    given = np.full((100, 3), 7.0)
    predicted = limited.predicted(given, features)
    assert np.array_equal(predicted[:, 0], given[:, 0])
    assert predicted[:, 1:] == pytest.approx(losses[:, 1:], abs=0.2)
    assert np.array_equal(given, np.full((100, 3), 7.0))


def test_limits_are_relaxed_by_the_noise() -> None:
    """A deviation of 2 is found from 400 labels within a fifth, and taken from the losses with a limit alone."""
    features, losses = observed(400, 2.0)
    slack = losses - LimitedMetrics.of(LIMITED, features, losses).relaxed(losses)
    assert np.array_equal(slack[:, 0], np.zeros(400))
    assert slack[:, 1] == pytest.approx(np.full(400, 2.0), rel=0.2)
    assert slack[:, 2] == pytest.approx(np.zeros(400), abs=0.1)


def test_draws_spread_as_the_labels_do() -> None:
    """Draws are of the deviation that labels have around the sums; the same stream draws the same."""
    features, losses = observed(400, 2.0)
    limited = LimitedMetrics.of(LIMITED, features, losses)
    drawn = limited.drawn(losses, features, rng(1, "draws"))
    away = drawn[:, 1] - limited.predicted(losses, features)[:, 1]
    assert away.std() == pytest.approx(2.0, rel=0.2)  # of 400 draws, that of the deviation itself is 3.5 %
    assert abs(away.mean()) < 0.4  # four standard errors
    assert np.array_equal(drawn[:, 0], losses[:, 0])
    assert np.array_equal(drawn, limited.drawn(losses, features, rng(1, "draws")))


def test_a_limited_objective_keeps_its_prediction_and_is_judged_by_the_regression() -> None:
    """The latency is an objective and has a limit: its rank is the surrogate's, only the limit is the regression's."""
    both = Objectives.parse(["max:val_accuracy", "min:latency"], ["latency<=20"])
    features, losses = observed(100, 0.0)
    limited = LimitedMetrics.of(both, features, losses[:, :2])
    given = np.full((100, 2), 7.0)
    assert np.array_equal(limited.predicted(given, features), given)
    assert limited.drawn(given, features, rng(0, "draws"))[:, 1] == pytest.approx(losses[:, 1], abs=1.5)
