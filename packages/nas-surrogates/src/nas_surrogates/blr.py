"""Bayesian linear regression by evidence maximisation, sound from the first label on (BONAS 3.2; Bishop 2006, 3.5).

Notation
    n      observations (rows)                     k      rows observed later, or rows to predict
    d      features                                s      samples
    m      targets, each fitted on its own
    phi    features of a row (d)                   t      target of a row
    c      labels whose mean a row is (n)          C      all labels, the sum of c
    w      weights (d), prior N(0, I / alpha)      b      intercept, flat prior
    beta   precision of one label: row i has noise variance 1 / (beta c_i)
    rho    signal variance over noise variance     theta  noise variance, both in the unit-free scale below
    A      weighted, centred features, over their spread: A = U S V' (n x d)
    z      U' times the weighted, centred targets, over their scale

The model is t = b + phi w + noise. The intercept is integrated out exactly, which costs one degree of freedom: features
and targets are centred by their weighted means, and at the mean of the features b has the standard deviation
1 / sqrt(beta C). Without an intercept (as in the paper) nothing is centred.

Evidence, and where it fails. The published fixed point for alpha and beta diverges with fewer labels than features: the
weights then explain the targets without noise and beta grows without limit, to variances of zero and NaN. Here the log
evidence plus a log hyperprior is maximised instead. In a unit-free scale (targets over their standard deviation,
features over their root mean squared distance from their mean) signal and noise variance have scaled inverse
chi-squared priors: the hyperprior counts as `prior_labels` labels that show a signal variance of 1, and as many that
show a noise variance of 0.1. The maximum is that over the logarithms of both. Given rho the best theta has a closed
form, so one dimension is left; it is searched on a grid over all of `RHO_BOUNDS` that is then refined, so that no start
and no step size can go wrong. With `prior_labels=0` it is the evidence alone, kept finite by those bounds and by
`THETA_FLOOR`.

All variances are sums of squares: none can be negative. One SVD of the features, in float64 and without forming their
Gram matrix, serves every hyperparameter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical
from nas_core.encoding import one_hot
from nas_core.errors import InvalidData, InvalidOption
from nas_core.space import Space, require
from nas_core.surrogate import Prediction
from nas_core.training_set import TrainingSet

FloatArray = NDArray[np.float64]

RHO_BOUNDS = (1e-8, 1e8)
"""Least and greatest ratio of signal to noise variance that is considered."""
THETA_FLOOR = 1e-12
"""Least noise variance, in units of the targets' variance; reached without a hyperprior only."""
PRIOR_SIGNAL, PRIOR_NOISE = 1.0, 0.1
"""Signal and noise variance that the hyperprior's labels show, in units of the targets' variance."""

_LARGEST = 1e30  # squares of larger numbers, or of their products, leave the range of float64
_SMALLEST = 1e-30


@final
@dataclass(frozen=True, eq=False)
class BLRPosterior:
    """A Gaussian over (w, b) and what it says about rows of features; made by `fit_blr` and `blr_posterior`.

    Args:
        centre: point of feature space at which b is the function's value (d).
        mean: posterior mean of (w, b) (d + 1).
        factor: a square root of the posterior covariance of (w, b) (d + 1 x d + 1).
        weight_std: prior standard deviation of a weight, 1 / sqrt(alpha).
        noise_std: standard deviation of one label around the function, 1 / sqrt(beta).
    """

    centre: FloatArray
    mean: FloatArray
    factor: FloatArray
    weight_std: float
    noise_std: float

    @property
    def alpha(self) -> float:
        """Prior precision of the weights, in the units of features and targets."""
        return self.weight_std**-2

    @property
    def beta(self) -> float:
        """Precision of one label."""
        return self.noise_std**-2

    @property
    def weights(self) -> FloatArray:
        """Posterior mean of the weights (d)."""
        return self.mean[:-1]

    def predict(self, features: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation of the function (without noise) at k rows of features (k x d): two arrays of k.

        Raises:
            InvalidData: features of a wrong shape, or not finite.
        """
        rows = self._rows(features)
        return rows @ self.mean, np.linalg.norm(rows @ self.factor, axis=1)

    def sample(self, features: ArrayLike, s: int, rng: np.random.Generator) -> FloatArray:
        """`s` joint samples of the function at k rows of features: s x k.

        Raises:
            InvalidData: features of a wrong shape, or not finite.
            InvalidOption: a negative number of samples.
        """
        if s < 0:
            raise InvalidOption("a negative number of samples", value=s)
        rows = self._rows(features)
        coefficients = self.mean + rng.standard_normal((s, len(self.mean))) @ self.factor.T  # s x (d + 1)
        return coefficients @ rows.T

    def condition(self, features: ArrayLike, targets: ArrayLike, counts: ArrayLike | None = None) -> BLRPosterior:
        """The posterior after k more observations with the same alpha and beta, exact: O(k d^2).

        Args:
            features: k x d.
            targets: k.
            counts: how many labels each row is the mean of (k); one each by default.

        Raises:
            InvalidData: wrong shapes, numbers that are not finite, counts that are not positive.
        """
        features, targets, counts = _observations(features, targets, counts)
        rows = self._rows(features)
        precision = np.sqrt(counts) / self.noise_std
        surprise = precision * (targets - rows @ self.mean)
        # In the coordinates of the factor the prior is N(0, I) and the update is I + B'B = I + W D^2 W'.
        left, sizes, right = np.linalg.svd(precision[:, None] * (rows @ self.factor), full_matrices=False)
        step = right.T @ (sizes / (1.0 + sizes**2) * (left.T @ surprise))
        shrink = 1.0 - 1.0 / np.sqrt(1.0 + sizes**2)
        return BLRPosterior(
            centre=self.centre,
            mean=self.mean + self.factor @ step,
            factor=self.factor - ((self.factor @ right.T) * shrink) @ right,
            weight_std=self.weight_std,
            noise_std=self.noise_std,
        )

    def _rows(self, features: ArrayLike) -> FloatArray:
        checked = _matrix(features)
        if checked.shape[1] != len(self.centre):
            raise InvalidData("features of another width", value=checked.shape, expected=f"k x {len(self.centre)}")
        return np.column_stack([checked - self.centre, np.ones(len(checked))])


def fit_blr(
    features: ArrayLike,
    targets: ArrayLike,
    counts: ArrayLike | None = None,
    *,
    intercept: bool = True,
    prior_labels: float = 1.0,
) -> BLRPosterior:
    """Choose alpha and beta by evidence times hyperprior (module docstring) and return the posterior under them.

    Features may have any scale and any rank, and n may be below d. Where the targets do not vary (n = 1 included) their
    scale is taken to be 1; where the features do not vary, their root mean squared norm is, and 1 where that is zero.

    Args:
        features: n x d, n at least 1.
        targets: n.
        counts: how many labels each row is the mean of (n); one each by default.
        intercept: whether the function has an intercept; without one it is zero where the features are.
        prior_labels: how many labels the hyperprior counts for; 0 maximises the evidence alone.

    Raises:
        InvalidData: wrong shapes, no rows, numbers that are not finite or beyond 1e30, counts that are not positive.
        InvalidOption: `prior_labels` is negative or not finite.
    """
    _check_prior_labels(prior_labels)
    problem = _reduce(*_observations(features, targets, counts), intercept)
    rho, theta = _most_probable(problem, prior_labels)
    return _posterior(problem, rho, theta)


def blr_posterior(
    features: ArrayLike,
    targets: ArrayLike,
    counts: ArrayLike | None = None,
    *,
    alpha: float,
    beta: float,
    intercept: bool = True,
) -> BLRPosterior:
    """The posterior for given precisions, in the units of features and targets; arguments as in `fit_blr`.

    Raises:
        InvalidData: see `fit_blr`.
        InvalidOption: a precision that is not positive and finite.
    """
    if not (math.isfinite(alpha) and alpha > 0 and math.isfinite(beta) and beta > 0):
        raise InvalidOption("precisions must be positive and finite", value=(alpha, beta))
    problem = _reduce(*_observations(features, targets, counts), intercept)
    theta = 1.0 / (beta * problem.scale**2)
    signal = problem.spread**2 / (alpha * problem.scale**2)
    return _posterior(problem, signal / theta, theta)


class _Problem(NamedTuple):
    """Everything that evidence and posterior need, in the unit-free scale."""

    centre: FloatArray  # d
    level: float
    spread: float
    scale: float
    directions: FloatArray  # V, d x d
    squares: FloatArray  # S^2, padded with zeros to d
    pulls: FloatArray  # S z, padded with zeros to d
    projections: FloatArray  # z, min(n, d)
    rest: float  # squared norm of the targets outside the span of U
    freedom: int  # degrees of freedom of the evidence
    labels: float  # C; infinite without an intercept, whose value is then known


def _reduce(features: FloatArray, targets: FloatArray, counts: FloatArray, intercept: bool) -> _Problem:
    n, d = features.shape
    if n == 0:
        raise InvalidData("a regression needs at least one observation", value=features.shape)
    centre = np.average(features, axis=0, weights=counts) if intercept else np.zeros(d)
    level = float(np.average(targets, weights=counts)) if intercept else 0.0
    spread, scale = _spread(features, intercept), _scale(targets, intercept)
    root = np.sqrt(counts)
    design = root[:, None] * (features - centre) / spread
    response = root * (targets - level) / scale
    left, sizes, right = np.linalg.svd(design, full_matrices=n < d)  # all d directions, whichever of n and d is less
    projections = left[:, : len(sizes)].T @ response
    padding = np.zeros(d - len(sizes))
    return _Problem(
        centre=centre,
        level=level,
        spread=spread,
        scale=scale,
        directions=right.T,
        squares=np.concatenate([sizes**2, padding]),
        pulls=np.concatenate([sizes * projections, padding]),
        projections=projections,
        rest=float(np.sum((response - left[:, : len(sizes)] @ projections) ** 2)),
        freedom=n - 1 if intercept else n,
        labels=float(counts.sum()) if intercept else math.inf,
    )


def _most_probable(problem: _Problem, prior_labels: float) -> tuple[float, float]:
    """The rho and theta that maximise evidence times hyperprior; where there is neither, the hyperprior's centre."""
    if problem.freedom + prior_labels == 0:
        return PRIOR_SIGNAL / PRIOR_NOISE, PRIOR_NOISE
    low, high = map(math.log, RHO_BOUNDS)
    points = 129
    while high - low > 1e-7:
        grid = np.linspace(low, high, points)
        best = int(np.argmax(_log_density(problem, np.exp(grid), prior_labels)[0]))
        low, high = grid[max(best - 1, 0)], grid[min(best + 1, points - 1)]
        points = 33
    rho = np.exp([(low + high) / 2])
    return float(rho[0]), float(_log_density(problem, rho, prior_labels)[1][0])


def _log_density(problem: _Problem, rho: FloatArray, prior_labels: float) -> tuple[FloatArray, FloatArray]:
    """Log evidence plus log hyperprior at each rho, up to a constant, and the best theta there."""
    growth = 1.0 + rho[:, None] * problem.squares[: len(problem.projections)]
    misfit = np.sum(problem.projections**2 / growth, axis=1) + problem.rest
    misfit += prior_labels * (PRIOR_NOISE + PRIOR_SIGNAL / rho)
    log_determinant = np.sum(np.log(growth), axis=1) + prior_labels * np.log(rho)
    total = problem.freedom + 2.0 * prior_labels
    theta = np.maximum(misfit / total, THETA_FLOOR)
    return -0.5 * (total * np.log(theta) + log_determinant + misfit / theta), theta


def _posterior(problem: _Problem, rho: float, theta: float) -> BLRPosterior:
    shrinkage = 1.0 / (1.0 + rho * problem.squares)
    unit = problem.scale / problem.spread  # of a weight
    noise_std, weight_std = problem.scale * math.sqrt(theta), unit * math.sqrt(rho * theta)
    d = len(problem.centre)
    factor = np.zeros((d + 1, d + 1))
    factor[:d, :d] = problem.directions * (weight_std * np.sqrt(shrinkage))
    factor[d, d] = noise_std / math.sqrt(problem.labels)
    weights = unit * (problem.directions @ (rho * shrinkage * problem.pulls))
    mean = np.append(weights, problem.level)
    return BLRPosterior(problem.centre, mean, factor, weight_std=weight_std, noise_std=noise_std)


def _scale(targets: FloatArray, intercept: bool) -> float:
    """Standard deviation of the targets, or their root mean square without an intercept; 1 where they do not vary."""
    largest = float(np.abs(targets).max())
    if largest < _SMALLEST:
        return 1.0
    if not intercept:
        return largest * float(np.sqrt(np.mean((targets / largest) ** 2)))
    deviation = float(np.std(targets / largest, ddof=1)) if len(targets) > 1 else 0.0
    return largest * deviation if deviation > 1e-12 else 1.0


def _spread(features: FloatArray, intercept: bool) -> float:
    """Root mean squared distance of a row from the mean row (from zero without an intercept); never zero."""
    largest = float(np.abs(features).max(initial=0.0))
    if largest < _SMALLEST:
        return 1.0
    rows = features / largest
    if intercept and len(rows) > 1:
        distance = math.sqrt(float(np.sum((rows - rows.mean(axis=0)) ** 2)) / (len(rows) - 1))
        if distance > 1e-12:
            return largest * distance
    return largest * math.sqrt(float(np.sum(rows**2)) / len(rows))


def _check_prior_labels(prior_labels: float) -> None:
    number = isinstance(prior_labels, int | float) and not isinstance(prior_labels, bool)
    if not (number and math.isfinite(prior_labels) and prior_labels >= 0):
        raise InvalidOption("prior_labels must be a number of labels", value=prior_labels, expected="0 or more")


def _matrix(features: ArrayLike) -> FloatArray:
    array = np.asarray(features, dtype=np.float64)
    if array.ndim != 2:
        raise InvalidData("features must be a matrix", value=array.shape, expected="n x d")
    if not (np.abs(array) <= _LARGEST).all():
        raise InvalidData("features must be finite numbers", expected=f"magnitudes up to {_LARGEST:g}")
    return array


def _observations(
    features: ArrayLike, targets: ArrayLike, counts: ArrayLike | None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    rows = _matrix(features)
    n = len(rows)
    values = np.asarray(targets, dtype=np.float64)
    labels = np.ones(n) if counts is None else np.asarray(counts, dtype=np.float64)
    if values.shape != (n,) or labels.shape != (n,):
        raise InvalidData(
            "targets and counts must have one entry a row", value=(values.shape, labels.shape), expected=f"({n},)"
        )
    if not (np.abs(values) <= _LARGEST).all():
        raise InvalidData("targets must be finite numbers", expected=f"magnitudes up to {_LARGEST:g}")
    if not (np.isfinite(labels) & (labels > 0)).all():
        raise InvalidData("counts must be positive numbers of labels")
    return rows, values, labels


def decision_features(space: Space, architectures: Sequence[Architecture]) -> FloatArray:
    """Decisions as standardised numbers (n x d): `nas_core.encoding.one_hot`, shifted and scaled column by column.

    Mean and deviation are those of a uniform draw of each decision, not those of a training set: they are known before
    the first label, a choice that has not been seen keeps its scale, and the features of an architecture never change.
    The column that says whether a number is active is 0 where it is.
    """
    shift: list[float] = []
    scale: list[float] = []
    for decision in space.decisions:
        if isinstance(decision, Categorical):
            share = 1.0 / decision.size
            shift += [share] * decision.size
            scale += [math.sqrt(share * (1.0 - share)) or 1.0] * decision.size
        else:
            shift += [0.5, 1.0]
            scale += [math.sqrt(1.0 / 12.0), 0.5]
    standard: FloatArray = (one_hot(space, architectures) - np.array(shift)) / np.array(scale)
    return standard


@final
class BayesianLinearRegression:
    """Surrogate `blr`: linear in the standardised decisions, every target fitted on its own.

    Constraints and failed members of a training set are not read: this models the targets alone.

    Args:
        space: whose decisions are the features.
        prior_labels: how many labels the hyperprior counts for (`fit_blr`).

    Raises:
        InvalidOption: `prior_labels` is negative or not finite.
    """

    requires = frozenset({"decisions"})

    def __init__(self, space: Space, *, prior_labels: float = 1.0) -> None:
        require(space, self.requires, "the surrogate blr")
        _check_prior_labels(prior_labels)
        self._space = space
        self._prior_labels = prior_labels

    def fit(self, data: TrainingSet, rng: np.random.Generator) -> DecisionPosterior:
        """Fit to n observations of m targets; nothing is drawn from `rng`.

        Raises:
            InvalidData: no observations, or targets beyond 1e30.
        """
        features = decision_features(self._space, data.architectures)
        fits = (fit_blr(features, column, data.counts, prior_labels=self._prior_labels) for column in data.targets.T)
        return DecisionPosterior(self._space, tuple(fits))

    def to_config(self) -> dict[str, Any]:
        """Its name and options, as `nas_core.registry.from_config` takes them."""
        return {"name": "blr", "prior_labels": self._prior_labels}


@final
@dataclass(frozen=True, eq=False)
class DecisionPosterior:
    """What `BayesianLinearRegression.fit` returns: one regression a target."""

    space: Space
    targets: tuple[BLRPosterior, ...]

    def predict(self, x: Sequence[Architecture]) -> Prediction:
        """Mean, deviation of the function, and deviation of one label, at n architectures (each n x m)."""
        features = decision_features(self.space, x)
        mean, std = zip(*(target.predict(features) for target in self.targets), strict=True)
        noise = np.array([target.noise_std for target in self.targets])
        return Prediction(
            np.stack(mean, axis=1), np.stack(std, axis=1), np.broadcast_to(noise, (len(x), len(noise))).copy()
        )

    def sample(self, x: Sequence[Architecture], s: int, rng: np.random.Generator) -> FloatArray:
        """`s` joint samples of the functions (s x n x m).

        Raises:
            InvalidOption: a negative number of samples.
        """
        features = decision_features(self.space, x)
        return np.stack([target.sample(features, s, rng) for target in self.targets], axis=2)

    def condition(self, x: Sequence[Architecture], y: FloatArray) -> DecisionPosterior:
        """The posterior after one more label a row, `y` (n x m), with the same hyperparameters.

        Raises:
            InvalidData: `y` has a wrong shape or holds numbers that are not finite.
        """
        if y.shape != (len(x), len(self.targets)):
            raise InvalidData("labels of a wrong shape", value=y.shape, expected=f"({len(x)}, {len(self.targets)})")
        features = decision_features(self.space, x)
        pairs = zip(self.targets, y.T, strict=True)
        return DecisionPosterior(self.space, tuple(target.condition(features, column) for target, column in pairs))
