"""Acquisition functions against quadrature, the tail's integral, hand-worked values and limits."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas_core.errors import InvalidOption, InvalidPrediction
from nas_core.random import rng
from nas_surrogates.acquisition import (
    expected_improvement,
    log_constrained_expected_improvement,
    log_expected_improvement,
    log_probability_of_feasibility,
    lower_confidence_bound,
    probability_of_improvement,
    thompson_picks,
)


def log_h(z: float) -> float:
    """log of E[max(z + N(0, 1), 0)] by quadrature, for z < 0.

    With t = s / |z| the integral of t phi(t - z) over t > 0 is phi(z) / z^2 times that of s exp(-s - s^2 / (2 z^2)),
    which is smooth and of order 1 for any z.
    """
    from scipy.integrate import quad

    integral, _ = quad(lambda s: s * math.exp(-s - 0.5 * (s / z) ** 2), 0.0, 60.0, epsabs=0.0, epsrel=1e-13, limit=200)
    return -0.5 * z * z - 0.5 * math.log(2 * math.pi) - 2 * math.log(-z) + math.log(integral)


def test_expected_improvement_by_hand() -> None:
    # z = 0: std phi(0); z = 1: std (phi(1) + Phi(1)).
    ei = expected_improvement([3.0, 1.0], [2.0, 2.0], best=3.0)
    phi1, cdf1 = math.exp(-0.5) / math.sqrt(2 * math.pi), 0.5 * math.erfc(-1 / math.sqrt(2))
    np.testing.assert_allclose(ei, [2 / math.sqrt(2 * math.pi), 2 * (phi1 + cdf1)], rtol=1e-14)


def test_expected_improvement_is_the_mean_improvement() -> None:
    draws = np.maximum(0.4 - (0.7 + 1.3 * rng(0, "improvement").standard_normal(200_000)), 0.0)
    # Six standard errors: false alarms 2e-9.
    assert draws.mean() == pytest.approx(
        float(expected_improvement(np.array([0.7]), np.array([1.3]), 0.4)[0]),
        abs=6 * draws.std() / math.sqrt(len(draws)),
    )


@pytest.mark.parametrize(
    "z",
    [
        -0.5,
        -0.999999,
        -1.0,
        -1.000001,
        -2.0,
        -5.0,
        -10.0,
        -30.0,
        -100.0,
        -999.999,
        -1000.0,
        -1000.001,
        -1e4,
        -1e6,
        -1e9,
    ],
)
def test_log_expected_improvement_matches_quadrature(z: float) -> None:
    value = log_expected_improvement(np.array([-z]), np.array([1.0]), best=0.0)[0]
    assert value == pytest.approx(log_h(z), rel=1e-13, abs=1e-13)


def test_above_the_incumbent_the_two_tails_differ_by_the_gap() -> None:
    z = np.array([0.5, 1.0, 3.0, 6.0, 20.0])  # h(z) - h(-z) = z
    above, below = (expected_improvement(-sign * z, np.ones(5), 0.0) for sign in (1.0, -1.0))
    np.testing.assert_allclose(above, z + below, rtol=1e-14)


def test_the_branches_join_without_a_step() -> None:
    for edge in (-1.0, -1000.0):
        z = edge + np.linspace(-1e-3, 1e-3, 2001) * abs(edge) ** 0.5
        value = log_expected_improvement(-z, np.ones_like(z), best=0.0)
        assert (np.diff(value) > 0).all()


def test_log_expected_improvement_where_the_plain_one_is_zero() -> None:
    mean = np.array([50.0, 60.0, 1e3, 1e6])
    assert (expected_improvement(mean, np.ones(4), 0.0) == 0).all()
    log = log_expected_improvement(mean, np.ones(4), 0.0)
    assert np.isfinite(log).all()
    assert (np.diff(log) < 0).all()


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6), st.floats(-1e6, 1e6), st.floats(-100.0, 100.0), st.floats(1e-3, 1e3))
def test_shift_scale_and_bounds(mean: float, std: float, best: float, shift: float, scale: float) -> None:
    mu, sigma = np.array([mean]), np.array([std])
    ei = expected_improvement(mu, sigma, best)
    assert max(best - mean, 0.0) * (1 - 1e-12) <= ei[0]
    assert ei[0] <= (max(best - mean, 0.0) + std / math.sqrt(2 * math.pi)) * (1 + 1e-12)
    log = log_expected_improvement(mu, sigma, best)
    scaled = log_expected_improvement(scale * mu, scale * sigma, scale * best)
    np.testing.assert_allclose(scaled, log + math.log(scale), rtol=1e-9, atol=1e-9)
    # Moving everything changes nothing but the rounding of the gap, which is relative to the numbers moved.
    if abs(best - mean) > 1.0 and std > 1.0:
        moved = log_expected_improvement(mu + shift, sigma, best + shift)
        np.testing.assert_allclose(moved, log, rtol=1e-6, atol=1e-6)


def test_more_deviation_and_a_lower_mean_are_better() -> None:
    std = np.geomspace(1e-3, 1e3, 200)
    for mean in (-2.0, 0.0, 3.0):
        log = log_expected_improvement(np.full(200, mean), std, 0.0)
        assert (np.diff(log) >= -1e-15).all()  # one rounding where the improvement no longer depends on the deviation
        assert log[-1] > log[0]
    mean = np.linspace(-50.0, 50.0, 1001)
    assert (np.diff(log_expected_improvement(mean, np.ones(1001), 0.0)) < 0).all()


def test_known_values() -> None:
    mean, std = np.array([1.0, 2.0, 3.0]), np.zeros(3)
    np.testing.assert_array_equal(expected_improvement(mean, std, 2.0), [1.0, 0.0, 0.0])
    np.testing.assert_array_equal(log_expected_improvement(mean, std, 2.0), [0.0, -np.inf, -np.inf])
    np.testing.assert_array_equal(probability_of_improvement(mean, std, 2.0), [1.0, 0.0, 0.0])
    log = log_probability_of_feasibility(mean[:, None], std[:, None], [2.0])
    np.testing.assert_array_equal(log, [0.0, 0.0, -np.inf])  # a value at its bound keeps it


def test_a_deviation_near_zero_goes_to_the_limit() -> None:
    mean, std = np.array([1.0, 3.0]), np.full(2, 5e-324)
    np.testing.assert_array_equal(expected_improvement(mean, std, 2.0), [1.0, 0.0])
    assert log_expected_improvement(mean, std, 2.0)[1] == -np.inf  # beyond the range of float64


def test_probability_of_improvement_by_hand() -> None:
    got = probability_of_improvement([0.0, 1.0, -3.0], [1.0, 2.0, 3.0], best=0.0)
    np.testing.assert_allclose(
        got, [0.5, 0.5 * math.erfc(0.5 / math.sqrt(2)), 0.5 * math.erfc(-1 / math.sqrt(2))], rtol=1e-14
    )


def test_lower_confidence_bound_by_hand() -> None:
    np.testing.assert_array_equal(lower_confidence_bound([1.0, 2.0], [0.5, 1.5]), [0.0, -1.0])
    np.testing.assert_array_equal(lower_confidence_bound([1.0, 2.0], [0.5, 1.5], kappa=0.0), [1.0, 2.0])
    with pytest.raises(InvalidOption, match="kappa"):
        lower_confidence_bound([1.0], [1.0], kappa=-1.0)


def test_feasibility_by_hand() -> None:
    mean, std = np.array([[0.0, 5.0], [1.0, 2.0]]), np.array([[1.0, 1.0], [2.0, 4.0]])
    log = log_probability_of_feasibility(mean, std, [0.0, 6.0])
    cdf1, cdf_half = 0.5 * math.erfc(-1 / math.sqrt(2)), 0.5 * math.erfc(0.5 / math.sqrt(2))
    np.testing.assert_allclose(np.exp(log), [0.5 * cdf1, cdf_half * cdf1], rtol=1e-14)


def test_feasibility_far_beyond_the_bound() -> None:
    log = log_probability_of_feasibility([[50.0]], [[1.0]], [0.0])[0]
    # Mills: Phi(-z) is between phi(z) / z (1 - 1 / z^2) and phi(z) / z.
    upper = -0.5 * 50.0**2 - 0.5 * math.log(2 * math.pi) - math.log(50.0)
    assert upper + math.log1p(-1 / 2500) < log < upper


def test_no_constraints_are_always_kept() -> None:
    np.testing.assert_array_equal(log_probability_of_feasibility(np.zeros((3, 0)), np.zeros((3, 0)), []), np.zeros(3))


def test_constrained_improvement_is_a_product() -> None:
    mean, std, weight = np.array([1.0, 2.0]), np.array([1.0, 3.0]), np.log([0.25, 0.5])
    got = np.exp(log_constrained_expected_improvement(mean, std, 1.5, weight))
    np.testing.assert_allclose(got, expected_improvement(mean, std, 1.5) * [0.25, 0.5], rtol=1e-14)


def test_without_a_feasible_observation_feasibility_alone_counts() -> None:
    weight = np.log([0.25, 0.5])
    got = log_constrained_expected_improvement([1.0, 9.0], [1.0, 1.0], None, weight)
    np.testing.assert_array_equal(got, weight)
    assert got is not weight


@pytest.mark.parametrize("weight", [[0.1], [math.nan], [-0.1, -0.1]])
def test_log_probabilities_are_checked(weight: list[float]) -> None:
    with pytest.raises(InvalidPrediction, match="log probabilities"):
        log_constrained_expected_improvement([1.0], [1.0], 0.0, weight)


def test_thompson_picks_are_distinct_and_in_order() -> None:
    samples = np.array([[3.0, 1.0, 2.0], [5.0, 0.0, 4.0], [0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(thompson_picks(samples), [1, 2, 0])
    np.testing.assert_array_equal(samples[1:], [[5.0, 0.0, 4.0], [0.0, 0.0, 0.0]])  # untouched
    assert thompson_picks(np.zeros((0, 3))).shape == (0,)


@pytest.mark.parametrize("samples", [np.zeros((3, 2)), np.zeros(3), np.array([[math.nan, 1.0]])])
def test_thompson_picks_refuses_what_are_no_samples(samples: np.ndarray) -> None:
    with pytest.raises(InvalidPrediction, match="samples must be finite"):
        thompson_picks(samples)


def test_shapes_are_kept() -> None:
    mean, std = np.zeros((2, 3)), np.ones((2, 3))
    for function in (expected_improvement, log_expected_improvement, probability_of_improvement):
        assert function(mean, std, 0.0).shape == (2, 3)
        assert function(mean[:, :0], std[:, :0], 0.0).shape == (2, 0)


@pytest.mark.parametrize(
    "function", [expected_improvement, log_expected_improvement, probability_of_improvement, lower_confidence_bound]
)
def test_bad_predictions_are_refused(function: Callable[..., np.ndarray]) -> None:
    for mean, std, message in [
        ([1.0], [1.0, 2.0], "one shape"),
        ([math.nan], [1.0], "finite"),
        ([1.0], [math.inf], "finite"),
        ([1.0], [-1.0], "negative"),
    ]:
        with pytest.raises(InvalidPrediction, match=message):
            function(mean, std, 0.0)
    with pytest.raises(InvalidOption, match="finite number"):
        function([1.0], [1.0], math.nan)


def test_bad_constraints_are_refused() -> None:
    with pytest.raises(InvalidPrediction, match="q bounds"):
        log_probability_of_feasibility([[1.0]], [[1.0]], [1.0, 2.0])
    with pytest.raises(InvalidPrediction, match="q bounds"):
        log_probability_of_feasibility([1.0], [1.0], [1.0])
    with pytest.raises(InvalidPrediction, match="finite"):
        log_probability_of_feasibility([[1.0]], [[1.0]], [math.inf])
