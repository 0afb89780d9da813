"""How good predictions are: correlation, order, error, likelihood, calibration and the share of the best found.

Notation
    n          predictions, at least 2 where pairs are compared, otherwise at least 1
    predicted  predicted values or means (n)
    observed   what was measured (n)
    std        predictive standard deviations of a measurement, noise included (n)

Outcomes that are defined rather than left to chance: where either side is constant it orders nothing, and every
correlation is 0; where no two observations differ, pairwise accuracy is 1/2. Ties are never broken by position.
Every function raises InvalidPrediction for shapes that differ or are not (n), for too small an n, and for numbers that
are not finite. The rank correlations take O(n log^2 n) time at most, and no scipy.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nas_core.errors import InvalidOption, InvalidPrediction

FloatArray = NDArray[np.float64]

VARIANCE_FLOOR = 1e-12
"""Least variance at which `gaussian_nll` evaluates a density, in squared units of the observations."""


def pearson(predicted: ArrayLike, observed: ArrayLike) -> float:
    """Linear correlation, from -1 to 1; 0 where a side is constant."""
    x, y = _vectors(2, predicted=predicted, observed=observed)
    if _constant(x) or _constant(y):
        return 0.0
    x, y = _unit(x), _unit(y)
    return float(np.clip(x @ y, -1.0, 1.0))


def spearman(predicted: ArrayLike, observed: ArrayLike) -> float:
    """Pearson correlation of the ranks, where ties share their mean rank; 0 where a side is constant."""
    x, y = _vectors(2, predicted=predicted, observed=observed)
    return pearson(_mean_ranks(x), _mean_ranks(y))


def kendall_tau(predicted: ArrayLike, observed: ArrayLike) -> float:
    """Kendall's tau-b: (concordant - discordant) / sqrt(pairs untied in one side * pairs untied in the other).

    0 where a side is constant.
    """
    pairs = _count_pairs(*_vectors(2, predicted=predicted, observed=observed))
    ordered = pairs.concordant + pairs.discordant
    untied = (ordered + pairs.tied_y) * (ordered + pairs.tied_x)
    return (pairs.concordant - pairs.discordant) / math.sqrt(untied) if untied else 0.0


def pairwise_accuracy(predicted: ArrayLike, observed: ArrayLike) -> float:
    """Share of the pairs i < j with different observations that the predictions put in the right order.

    A pair with equal predictions counts one half, one with equal observations not at all; 1/2 where no pair counts.
    """
    pairs = _count_pairs(*_vectors(2, predicted=predicted, observed=observed))
    counted = pairs.concordant + pairs.discordant + pairs.tied_x
    return (pairs.concordant + 0.5 * pairs.tied_x) / counted if counted else 0.5


def top_k_overlap(predicted: ArrayLike, observed: ArrayLike, k: int) -> float:
    """Share of the k least observed that are among the k least predicted (losses: less is better).

    Ties at the k-th place count by their chance to be taken, so that a constant prediction scores k / n.

    Raises:
        InvalidOption: k is not from 1 to n.
    """
    x, y = _vectors(1, predicted=predicted, observed=observed)
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 1 <= k <= len(x):
        raise InvalidOption("k must be a number of predictions", value=k, expected=f"a whole number from 1 to {len(x)}")
    return float(_membership(x, int(k)) @ _membership(y, int(k))) / int(k)


def rmse(predicted: ArrayLike, observed: ArrayLike) -> float:
    """Root mean squared error."""
    x, y = _vectors(1, predicted=predicted, observed=observed)
    return float(np.sqrt(np.mean((x - y) ** 2)))


def gaussian_nll(predicted: ArrayLike, std: ArrayLike, observed: ArrayLike) -> float:
    """Mean negative log density of the observations under N(predicted, max(std^2, VARIANCE_FLOOR)), in nats."""
    mean, deviation, y = _gaussian(predicted, std, observed)
    variance = np.maximum(deviation**2, VARIANCE_FLOOR)
    return float(np.mean(0.5 * (np.log(2.0 * np.pi * variance) + (y - mean) ** 2 / variance)))


def interval_coverage(predicted: ArrayLike, std: ArrayLike, observed: ArrayLike, level: float = 0.95) -> float:
    """Share of the observations inside the central interval that should hold `level` of them, ends included.

    Raises:
        InvalidOption: a level that is not strictly between 0 and 1.
    """
    from scipy.special import ndtri

    if not 0.0 < level < 1.0:
        raise InvalidOption("not the level of an interval", value=level, expected="a number between 0 and 1")
    mean, deviation, y = _gaussian(predicted, std, observed)
    return float(np.mean(np.abs(y - mean) <= ndtri((1.0 + level) / 2.0) * deviation))


class _Pairs(NamedTuple):
    """Numbers of pairs i < j; those tied in both sides are in none of them."""

    concordant: int
    discordant: int
    tied_x: int  # in x alone
    tied_y: int  # in y alone


def _count_pairs(x: FloatArray, y: FloatArray) -> _Pairs:
    order = np.lexsort((y, x))  # by x, then by y: an inversion of y is then a discordant pair
    discordant = _inversions(y[order])
    both = _tied_pairs(np.unique(np.column_stack([x, y]), axis=0, return_counts=True)[1])
    tied_x = _tied_pairs(np.unique(x, return_counts=True)[1]) - both
    tied_y = _tied_pairs(np.unique(y, return_counts=True)[1]) - both
    n = len(x)
    return _Pairs(n * (n - 1) // 2 - both - tied_x - tied_y - discordant, discordant, tied_x, tied_y)


def _tied_pairs(sizes: NDArray[np.intp]) -> int:
    return int(np.sum(sizes * (sizes - 1) // 2))


def _inversions(values: FloatArray) -> int:
    """Pairs i < j with values[i] > values[j], by halves."""
    n = len(values)
    if n <= 64:
        return int(np.count_nonzero(np.triu(values[:, None] > values[None, :])))
    left, right = values[: n // 2], values[n // 2 :]
    across = len(left) - np.searchsorted(np.sort(left), right, side="right")
    return _inversions(left) + _inversions(right) + int(across.sum())


def _mean_ranks(values: FloatArray) -> FloatArray:
    _, group, sizes = np.unique(values, return_inverse=True, return_counts=True)
    ranks: FloatArray = (np.cumsum(sizes) - (sizes - 1) / 2.0)[group]
    return ranks


def _membership(values: FloatArray, k: int) -> FloatArray:
    """The chance of each to be among the k least when ties are broken at random."""
    threshold = np.partition(values, k - 1)[k - 1]
    below, at = values < threshold, values == threshold
    chance = (k - np.count_nonzero(below)) / np.count_nonzero(at)
    return np.where(at, chance, below.astype(np.float64))


def _constant(values: FloatArray) -> bool:
    return bool(values.min() == values.max())


def _unit(values: FloatArray) -> FloatArray:
    """Centred and of norm 1, whatever the magnitude; `values` are not constant."""
    values = values / np.abs(values).max()
    centred = values - values.mean()
    scaled: FloatArray = centred / np.linalg.norm(centred)
    return scaled


def _vectors(least: int, **named: ArrayLike) -> tuple[FloatArray, ...]:
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in named.items()}
    shapes = {name: array.shape for name, array in arrays.items()}
    if len(set(shapes.values())) > 1 or any(array.ndim != 1 for array in arrays.values()):
        raise InvalidPrediction("predictions and observations must be vectors of one length", value=shapes)
    for name, array in arrays.items():
        if len(array) < least:
            raise InvalidPrediction("too few predictions to judge", value=len(array), expected=f"at least {least}")
        if not np.isfinite(array).all():
            raise InvalidPrediction(f"{name} holds numbers that are not finite", value=array[~np.isfinite(array)][0])
    return tuple(arrays.values())


def _gaussian(predicted: ArrayLike, std: ArrayLike, observed: ArrayLike) -> tuple[FloatArray, ...]:
    mean, deviation, y = _vectors(1, predicted=predicted, std=std, observed=observed)
    if (deviation < 0).any():
        raise InvalidPrediction("standard deviations must not be negative", value=float(deviation.min()))
    return mean, deviation, y
