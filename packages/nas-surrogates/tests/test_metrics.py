"""Metrics against hand-worked values, scipy's own, and brute force over pairs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas_core.errors import InvalidOption, InvalidPrediction
from nas_core.random import rng
from nas_surrogates.metrics import (
    VARIANCE_FLOOR,
    gaussian_nll,
    interval_coverage,
    kendall_tau,
    pairwise_accuracy,
    pearson,
    rmse,
    spearman,
    top_k_overlap,
)

CORRELATIONS = (pearson, spearman, kendall_tau)

# Small whole numbers, so that ties are common.
pairs_of_vectors = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=30).map(
    lambda rows: (np.array([x for x, _ in rows], float), np.array([y for _, y in rows], float))
)


def test_pearson_by_hand() -> None:
    # Centred: (-1, 0, 1) and (-1, 1, 0); the product is 1, the norms are sqrt 2 each.
    assert pearson([1, 2, 3], [1, 3, 2]) == pytest.approx(0.5, abs=1e-15)


def test_spearman_by_hand() -> None:
    # Ranks (1, 2.5, 2.5, 4) and (1, 2, 3, 4); centred, their product is 4.5 and their squared norms are 4.5 and 5.
    assert spearman([0, 7, 7, 100], [1, 2, 3, 4]) == pytest.approx(4.5 / math.sqrt(22.5), abs=1e-15)


def test_kendall_by_hand() -> None:
    # Of 6 pairs one is tied in x; (0, 1) and (0, 2) are concordant, the three with the last are discordant.
    assert kendall_tau([1, 2, 2, 3], [3, 4, 5, 2]) == pytest.approx((2 - 3) / math.sqrt(30), abs=1e-15)


def test_pairwise_accuracy_by_hand() -> None:
    # Observed pairs that differ: (0, 1) and (1, 2) right, (0, 2) tied in the prediction, (0, 3) and (2, 3) wrong;
    # (1, 3) is tied in the observations and does not count.
    assert pairwise_accuracy([1, 2, 1, 0], [1, 3, 2, 3]) == (2 + 0.5) / 5


@given(pairs_of_vectors)
def test_pairs_are_counted_as_by_brute_force(sides: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = sides
    right = wrong = tied_x = tied_y = 0
    for i, j in itertools.combinations(range(len(x)), 2):
        sign = np.sign(x[i] - x[j]) * np.sign(y[i] - y[j])
        right, wrong = right + (sign > 0), wrong + (sign < 0)
        tied_x, tied_y = tied_x + (x[i] == x[j]), tied_y + (y[i] == y[j])
    pairs = len(x) * (len(x) - 1) / 2
    untied = math.sqrt((pairs - tied_x) * (pairs - tied_y))
    assert kendall_tau(x, y) == pytest.approx((right - wrong) / untied if untied else 0.0, abs=1e-14)
    expected = (right + 0.5 * (pairs - tied_y - right - wrong)) / (pairs - tied_y) if pairs > tied_y else 0.5
    assert pairwise_accuracy(x, y) == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("n", [2, 63, 64, 65, 1000])
def test_correlations_agree_with_scipy(n: int) -> None:
    import scipy.stats

    random = rng(0, "correlations", n)
    x = random.integers(0, max(n // 3, 2), n).astype(float)
    x[:2] = 0.0, 1.0  # not constant
    y = np.round(x + random.normal(0, n / 6, n))
    y[0] = y.max() + 1.0
    assert kendall_tau(x, y) == pytest.approx(scipy.stats.kendalltau(x, y).statistic, abs=1e-12)
    assert spearman(x, y) == pytest.approx(scipy.stats.spearmanr(x, y).statistic, abs=1e-12)
    assert pearson(x, y) == pytest.approx(scipy.stats.pearsonr(x, y).statistic, abs=1e-12)


@given(pairs_of_vectors)
def test_correlations_are_symmetric_odd_and_bounded(sides: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = sides
    for correlation in CORRELATIONS:
        value = correlation(x, y)
        assert -1.0 <= value <= 1.0
        assert correlation(y, x) == pytest.approx(value, abs=1e-14)
        assert correlation(-x, y) == pytest.approx(-value, abs=1e-14)


@pytest.mark.parametrize("correlation", CORRELATIONS)
@pytest.mark.parametrize("scale", [1e-300, 1.0, 1e300])
def test_a_perfect_order_has_correlation_one_at_any_magnitude(correlation: Callable[..., float], scale: float) -> None:
    x = scale * np.array([0.3, -0.1, 0.2, 0.7])
    assert correlation(x, 2 * x / scale) == pytest.approx(1.0, abs=1e-15)
    assert correlation(x, -x) == pytest.approx(-1.0, abs=1e-15)


def test_zero_has_no_sign() -> None:
    assert kendall_tau([0.0, -0.0, 1.0], [0.0, -0.0, 1.0]) == 1.0


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_a_constant_side_has_correlation_zero(correlation: Callable[..., float]) -> None:
    assert correlation([0.1] * 3, [1, 2, 3]) == 0.0
    assert correlation([1, 2, 3], [0.1] * 3) == 0.0
    assert correlation([5, 5], [7, 7]) == 0.0


def test_pairwise_accuracy_of_constants_is_one_half() -> None:
    assert pairwise_accuracy([0.1] * 3, [1, 2, 3]) == 0.5
    assert pairwise_accuracy([1, 2, 3], [0.1] * 3) == 0.5


def test_top_k_overlap_by_hand() -> None:
    # The two least observed are 1 and 3; of the two least predicted, 0 and 1, one is among them.
    assert top_k_overlap([1, 2, 3, 4], [5, 1, 7, 2], k=2) == 0.5
    assert top_k_overlap([1, 2, 3, 4], [5, 1, 7, 2], k=4) == 1.0
    # Least predicted: 0 for certain, and 1 or 2 with even chances; least observed: 0 and 2.
    assert top_k_overlap([1, 2, 2, 4], [0, 5, 1, 7], k=2) == 0.75


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.data())
def test_top_k_overlap_is_the_mean_over_ways_to_break_ties(observed: list[int], data: st.DataObject) -> None:
    n = len(observed)
    predicted = data.draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
    k = data.draw(st.integers(1, n))

    def tops(values: list[int]) -> list[set[int]]:
        kept = [set(c) for c in itertools.combinations(range(n), k)]
        return [c for c in kept if all(values[i] <= values[j] for i in c for j in set(range(n)) - c)]

    ways = [len(a & b) / k for a in tops(predicted) for b in tops(observed)]
    assert top_k_overlap(predicted, observed, k) == pytest.approx(sum(ways) / len(ways), abs=1e-12)


@pytest.mark.parametrize("k", [0, 4, -1, 1.0, True])
def test_top_k_overlap_refuses_an_impossible_k(k: int) -> None:
    with pytest.raises(InvalidOption, match="k must be a number of predictions"):
        top_k_overlap([1, 2, 3], [1, 2, 3], k=k)


def test_rmse_by_hand() -> None:
    assert rmse([1, 2], [4, 6]) == pytest.approx(math.sqrt((9 + 16) / 2))
    assert rmse([3], [3]) == 0.0


def test_gaussian_nll_by_hand() -> None:
    # -log N(1; 0, 1) = (log 2 pi + 1) / 2 and -log N(4; 2, 4) = (log 8 pi + 1) / 2.
    assert gaussian_nll([0, 2], [1, 2], [1, 4]) == pytest.approx(
        (math.log(2 * math.pi) + math.log(8 * math.pi) + 2) / 4
    )


def test_gaussian_nll_of_a_certain_prediction_uses_the_floor() -> None:
    log_floor = math.log(2 * math.pi * VARIANCE_FLOOR)
    assert gaussian_nll([1.0], [0.0], [1.0]) == pytest.approx(log_floor / 2)
    assert gaussian_nll([1.0], [0.0], [1.0 + 1e-6]) == pytest.approx((log_floor + 1) / 2)


def test_interval_coverage_by_hand() -> None:
    # The central half of N(0, 1) ends at 0.67449.
    assert interval_coverage([0, 0, 0, 0], [1, 1, 1, 2], [0.67, -0.67, 0.68, -1.3], level=0.5) == 0.75
    assert interval_coverage([1, 1], [0, 0], [1, 2]) == 0.5  # a deviation of zero covers its mean alone


def test_interval_coverage_of_true_gaussians_is_its_level() -> None:
    deviation = np.linspace(0.1, 3.0, 4000)
    observed = 5.0 + deviation * rng(0, "coverage").standard_normal(4000)
    # Six standard errors of a share of 0.8 among 4,000: false alarms 2e-9.
    assert interval_coverage(np.full(4000, 5.0), deviation, observed, 0.8) == pytest.approx(0.8, abs=6 * 0.4 / 63.2)


@pytest.mark.parametrize("level", [0.0, 1.0, math.nan, -0.5])
def test_interval_coverage_refuses_a_level_that_is_none(level: float) -> None:
    with pytest.raises(InvalidOption, match="not the level of an interval"):
        interval_coverage([0], [1], [0], level)


@pytest.mark.parametrize("metric", [*CORRELATIONS, pairwise_accuracy, rmse])
@pytest.mark.parametrize(
    ("predicted", "observed", "message"),
    [
        ([1, 2], [1, 2, 3], "one length"),
        ([[1, 2]], [[1, 2]], "one length"),
        (1.0, 1.0, "one length"),
        ([1, math.nan], [1, 2], "predicted holds numbers that are not finite"),
        ([1, 2], [1, math.inf], "observed holds numbers that are not finite"),
        ([], [], "too few"),
    ],
)
def test_input_that_cannot_be_judged(
    metric: Callable[..., float], predicted: object, observed: object, message: str
) -> None:
    with pytest.raises(InvalidPrediction, match=message):
        metric(predicted, observed)


@pytest.mark.parametrize("metric", [*CORRELATIONS, pairwise_accuracy])
def test_one_prediction_has_no_order(metric: Callable[..., float]) -> None:
    with pytest.raises(InvalidPrediction, match="too few"):
        metric([1.0], [1.0])


@pytest.mark.parametrize("metric", [gaussian_nll, interval_coverage])
def test_deviations_are_checked(metric: Callable[..., float]) -> None:
    with pytest.raises(InvalidPrediction, match="negative"):
        metric([1.0], [-1.0], [1.0])
    with pytest.raises(InvalidPrediction, match="std holds numbers"):
        metric([1.0], [math.nan], [1.0])
    with pytest.raises(InvalidPrediction, match="one length"):
        metric([1.0], [1.0, 1.0], [1.0])
