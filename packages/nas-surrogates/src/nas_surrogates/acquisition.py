"""Closed-form acquisition functions on Gaussian predictions, for minimisation.

Notation
    n      candidates                         s      samples
    q      constraints, each "value at most bound"
    mean   posterior means, std the deviations of the function without noise
    best   the incumbent: least value (or posterior mean) so far, of one observation
    z      (best - mean) / std, how many deviations the incumbent is above the mean
    h(z)   phi(z) + z Phi(z), the expected improvement in units of std

Means and deviations are arrays of one shape; results have it too. More is better, except for `lower_confidence_bound`.
A deviation of zero means a known value, and every function is then the limit of its formula.

Expected improvement underflows a few tens of deviations below the incumbent, where an optimizer still has to rank; its
logarithm does not (Ament et al. 2023, "Unexpected improvements to expected improvement for Bayesian optimization",
section 4.1). Here the asymptotic branch begins at z = -1000 with its second term, where both branches hold to float64;
theirs begins at -1 / sqrt(eps), where the subtraction in the middle branch has lost every digit.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nas_core.errors import InvalidOption, InvalidPrediction

FloatArray = NDArray[np.float64]

_ASYMPTOTIC = -1000.0
_LINEAR = 40.0  # phi(40) is 0 in float64, so h(z) = z
_LOG_SQRT_2PI = 0.5 * math.log(2.0 * math.pi)
_LOG_SQRT_HALF_PI = 0.5 * math.log(0.5 * math.pi)


def expected_improvement(mean: ArrayLike, std: ArrayLike, best: float) -> FloatArray:
    """E[max(best - f, 0)], not negative; 0 where it is below the least float.

    Raises:
        InvalidPrediction: shapes that differ, numbers that are not finite, negative deviations.
        InvalidOption: an incumbent that is not finite.
    """
    return np.exp(log_expected_improvement(mean, std, best))


def log_expected_improvement(mean: ArrayLike, std: ArrayLike, best: float) -> FloatArray:
    """Logarithm of the expected improvement, accurate in both tails; -inf where a known value is no improvement.

    Raises:
        InvalidPrediction, InvalidOption: see `expected_improvement`.
    """
    mu, sigma = _checked(mean, std)
    gain = _finite(best, "incumbent") - mu
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        z = gain / sigma
        linear = np.log(np.maximum(gain, 0.0))
        certain = (sigma == 0.0) | (z > _LINEAR)
        return np.asarray(np.where(certain, linear, np.log(sigma) + _log_h(np.where(certain, 0.0, z))))


def probability_of_improvement(mean: ArrayLike, std: ArrayLike, best: float) -> FloatArray:
    """P(f < best); of a known value whether it is below the incumbent.

    Raises:
        InvalidPrediction, InvalidOption: see `expected_improvement`.
    """
    from scipy.special import ndtr

    mu, sigma = _checked(mean, std)
    return np.asarray(ndtr(_standardised(_finite(best, "incumbent") - mu, sigma, at_zero=-math.inf)))


def lower_confidence_bound(mean: ArrayLike, std: ArrayLike, kappa: float = 2.0) -> FloatArray:
    """Mean - kappa std: the candidate with the LEAST bound is the most promising.

    Raises:
        InvalidPrediction: see `expected_improvement`.
        InvalidOption: kappa is negative or not finite.
    """
    mu, sigma = _checked(mean, std)
    if _finite(kappa, "kappa") < 0:
        raise InvalidOption("kappa must not be negative", value=kappa)
    return mu - kappa * sigma


def log_probability_of_feasibility(mean: ArrayLike, std: ArrayLike, bounds: ArrayLike) -> FloatArray:
    """Log probability that all constraints hold, taken as independent: the sum of log P(f <= bound).

    Args:
        mean: of the constrained quantities, signs turned so that less is better (n x q).
        std: their deviations (n x q).
        bounds: q.

    Returns:
        n; 0 where q is 0, -inf where a known value breaks its bound.

    Raises:
        InvalidPrediction: shapes that do not fit, numbers that are not finite, negative deviations.
    """
    from scipy.special import log_ndtr

    mu, sigma = _checked(mean, std)
    limits = np.asarray(bounds, dtype=np.float64)
    if mu.ndim != 2 or limits.shape != mu.shape[1:]:
        raise InvalidPrediction("constraints need n x q predictions and q bounds", value=(mu.shape, limits.shape))
    if not np.isfinite(limits).all():
        raise InvalidPrediction("the bounds of constraints must be finite", value=limits.tolist())
    return np.asarray(np.sum(log_ndtr(_standardised(limits - mu, sigma, at_zero=math.inf)), axis=1))


def log_constrained_expected_improvement(
    mean: ArrayLike, std: ArrayLike, best: float | None, log_feasibility: ArrayLike
) -> FloatArray:
    """Log of expected improvement times the probability of feasibility (n).

    Args:
        mean: of the objective (n).
        std: its deviations (n).
        best: least value among the observations that keep the constraints; None while there is none, and feasibility
            alone counts.
        log_feasibility: from `log_probability_of_feasibility` (n).

    Raises:
        InvalidPrediction: see `expected_improvement`; log probabilities that are NaN, positive or of another shape.
        InvalidOption: an incumbent that is not finite.
    """
    mu, sigma = _checked(mean, std)
    weight = np.asarray(log_feasibility, dtype=np.float64)
    if weight.shape != mu.shape or not (weight <= 0.0).all():
        raise InvalidPrediction("log probabilities must be numbers up to 0, one a candidate", value=weight.shape)
    return weight.copy() if best is None else log_expected_improvement(mu, sigma, best) + weight


def thompson_picks(samples: ArrayLike) -> NDArray[np.int64]:
    """A candidate a sample: each sample in turn takes its least candidate that no earlier one took.

    Args:
        samples: joint samples of the function at the candidates (s x n), s at most n.

    Returns:
        s distinct positions; ties go to the lower one.

    Raises:
        InvalidPrediction: not an s x n matrix of finite numbers with s up to n.
    """
    values = np.array(samples, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] > values.shape[1] or not np.isfinite(values).all():
        raise InvalidPrediction("samples must be finite, s x n with s up to n", value=values.shape)
    picks = np.empty(len(values), dtype=np.int64)
    for i, row in enumerate(values):
        row[picks[:i]] = np.inf
        picks[i] = np.argmin(row)
    return picks


def _log_h(z: FloatArray) -> FloatArray:
    from scipy.special import erfcx, ndtr

    near = np.maximum(z, -1.0)
    middle = np.clip(z, _ASYMPTOTIC, -1.0)
    far = np.minimum(z, _ASYMPTOTIC)
    tail = -0.5 * z**2 - _LOG_SQRT_2PI
    # h(z) = phi(z) (1 - |z| Phi(z) / phi(z)), and Phi(z) / phi(z) = sqrt(pi / 2) erfcx(|z| / sqrt 2)
    mills = np.log(erfcx(-middle / math.sqrt(2.0)) * -middle) + _LOG_SQRT_HALF_PI
    branches = [
        np.log(np.exp(-0.5 * near**2 - _LOG_SQRT_2PI) + near * ndtr(near)),
        tail + np.log(-np.expm1(mills)),
        tail - 2.0 * np.log(-far) + np.log1p(-3.0 / far**2),
    ]
    return np.asarray(np.select([z > -1.0, z > _ASYMPTOTIC], branches[:2], branches[2]))


def _standardised(gap: FloatArray, std: FloatArray, at_zero: float) -> FloatArray:
    """The gap over std; where std is 0 an infinity of the gap's sign, and `at_zero` where the gap is 0 as well."""
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        return np.asarray(np.where((std == 0.0) & (gap == 0.0), at_zero, gap / std))


def _checked(mean: ArrayLike, std: ArrayLike) -> tuple[FloatArray, FloatArray]:
    mu, sigma = np.asarray(mean, dtype=np.float64), np.asarray(std, dtype=np.float64)
    if mu.shape != sigma.shape:
        raise InvalidPrediction("means and deviations must have one shape", value=(mu.shape, sigma.shape))
    if not (np.isfinite(mu).all() and np.isfinite(sigma).all()):
        raise InvalidPrediction("means and deviations must be finite numbers")
    if (sigma < 0).any():
        raise InvalidPrediction("deviations must not be negative", value=float(sigma.min()))
    return mu, sigma


def _finite(number: float, name: str) -> float:
    if not math.isfinite(number):
        raise InvalidOption(f"the {name} must be a finite number", value=number)
    return number
