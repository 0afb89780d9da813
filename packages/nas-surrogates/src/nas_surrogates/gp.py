"""Gaussian process on what a cell computes: exact, in float64, hyperparameters by penalised marginal likelihood.

Notation
    n      observations                          N      candidates of a pool
    m      targets, each with hyperparameters of its own
    theta  log variances and lengths of the kernel's terms, log noise variance of one label (`kernels`)
    z      warped targets (n)                    c      labels whose mean a row is (n)
    L      Cholesky factor of the covariance of the observations, noise / c on the diagonal
    V      L^-1 K(observations, candidates) (n x N)        beta   L^-1 z

Rasmussen and Williams 2006, algorithm 2.1 and section 5.4.1. Targets are warped (`warp`): the process lives in z, where
`latent` predicts; `predict` turns that back into the units of the targets, as medians and half-widths of the central
68 % interval. Normal priors on theta keep five labels from deciding what five labels cannot.

A new label adds a row to L and to V and leaves the others as they are. So a pool of candidates costs O(n N) a label; a
posterior that took its labels one by one is the same, to the last bit, wherever that was done.

The algebra is numpy's and scipy's: for a few hundred labels it is faster than building the graph of automatic
differentiation, and its rounding does not depend on what else a process has imported. `botorch_adapter` makes the
posterior a botorch model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.errors import InvalidData, InvalidOption
from nas_core.space import Space, require
from nas_core.surrogate import Prediction
from nas_core.training_set import TrainingSet
from nas_surrogates.features import SpaceFeatures
from nas_surrogates.kernels import CONSTANT, CellKernel, Points
from nas_surrogates.warp import QUANTILES, Warp

FloatArray: TypeAlias = NDArray[np.float64]

JITTER: Final = 1e-8
MOST_FITTED: Final = 400
"""Observations that hyperparameters are fitted to: of more, the best half of this number and as many of the others."""
_VARIANCE = (0.0, 1.0)  # mean and deviation of the normal priors of logs: a term's variance,
_LENGTH = (0.0, 1.0)  # a term's length over the typical distance,
_BESIDE_GRAPHS = (float(np.log(0.1)), 1.0)  # the decisions' variance where graphs say what is computed,
_ABSENT = (-40.0, 1.0)
_NOISE = (float(np.log(0.01)), 1.5)  # and the noise variance, in units of the warped targets' variance
_WIDEST = 4.0  # deviations of its prior within which a hyperparameter is searched
_STEPS = 60


@final
class GaussianProcess:
    """Surrogate `gp`: every target a Gaussian process with the additive kernel of cells.

    Constraints and failed members of a training set are not read: this models the targets alone.

    Args:
        space: any; with graphs the kernel reads their paths and statistics too.
        warp: "log" fits the log of the regret, "none" the targets themselves.

    Raises:
        InvalidOption: another warp.
    """

    requires = frozenset({"decisions"})

    def __init__(self, space: Space, *, warp: str = "log") -> None:
        require(space, self.requires, "the surrogate gp")
        if warp not in ("log", "none"):
            raise InvalidOption("no such warp", value=warp, expected="log or none")
        self._warp = warp
        self.kernel = CellKernel(SpaceFeatures(space))

    def fit(self, data: TrainingSet, rng: np.random.Generator) -> GPPosterior:
        """Fit to n observations of m targets; nothing is drawn from `rng`.

        Raises:
            InvalidData: no observations.
        """
        if len(data) == 0:
            raise InvalidData("a Gaussian process needs at least one observation")
        points = self.kernel.points(data.architectures)
        distances = self.kernel.distances(points, points)
        functional = data.functional or (True,) * data.targets.shape[1]
        fits = [
            self._fitted(distances, column, data.counts, alone)
            for column, alone in zip(data.targets.T, functional, strict=True)
        ]
        warps, thetas = zip(*fits, strict=True)
        return GPPosterior(
            self,
            data.architectures,
            points,
            data.targets.copy(),
            warps,
            thetas,
            tuple(_factor(self.kernel, theta, distances, data.counts) for theta in thetas),
        )

    def pool(self, candidates: Sequence[Architecture]) -> Pool:
        """Candidates whose features are read once."""
        return Pool(tuple(candidates), self.kernel.points(candidates))

    def to_config(self) -> dict[str, Any]:
        """Its name and options, as `nas_core.registry.from_config` takes them."""
        return {"name": "gp", "warp": self._warp}

    def _fitted(
        self, distances: Sequence[FloatArray], y: FloatArray, counts: NDArray[np.int64], functional: bool
    ) -> tuple[Warp, FloatArray]:
        """The warp and the hyperparameters under which the targets are most likely."""
        kinds = [Warp.fitted(y, quantile) for quantile in (QUANTILES if self._warp == "log" else (None,))]
        if not kinds[0].log:  # nothing to choose between
            kinds = kinds[:1]
        fits = [_fitted(self.kernel, distances, warp, y, counts, functional) for warp in kinds]
        best = min(range(len(fits)), key=lambda i: fits[i][0])
        return kinds[best], fits[best][1]


class Pool(NamedTuple):
    """Candidates (N) and their features."""

    candidates: tuple[Architecture, ...]
    points: Points


@final
@dataclass(frozen=True, eq=False)
class GPPosterior:
    """What `GaussianProcess.fit` returns.

    Args:
        model: whose kernel it has.
        architectures: the n observed.
        points: their features.
        targets: n x m.
        warps: one a target.
        thetas: hyperparameters of each target.
        factors: L of each target.
    """

    model: GaussianProcess
    architectures: tuple[Architecture, ...]
    points: Points
    targets: FloatArray
    warps: tuple[Warp, ...]
    thetas: tuple[FloatArray, ...]
    factors: tuple[FloatArray, ...]

    def predict(self, x: Sequence[Architecture]) -> Prediction:
        """Median, half of the central 68 % interval, and that of the noise, in the targets' units (each n x m)."""
        mean, std = self.latent(x)
        columns = [
            [warp.inverse(mu), _half(warp, mu, sigma), _half(warp, mu, np.full_like(mu, np.exp(0.5 * theta[-1])))]
            for warp, theta, mu, sigma in zip(self.warps, self.thetas, mean.T, std.T, strict=True)
        ]
        return Prediction(*(np.stack([column[i] for column in columns], axis=1) for i in range(3)))

    def latent(self, x: Sequence[Architecture]) -> tuple[FloatArray, FloatArray]:
        """Mean and deviation of the warped functions (n x m each)."""
        return self.over(self.model.pool(x)).latent()

    def to_latent(self, y: FloatArray) -> FloatArray:
        """Targets (n x m) in the units of `latent`; increasing in each column."""
        return np.stack([warp.forward(column) for warp, column in zip(self.warps, y.T, strict=True)], axis=1)

    def latent_sample(self, x: Sequence[Architecture], s: int, rng: np.random.Generator) -> FloatArray:
        """`s` joint samples of the warped functions (s x n x m).

        Raises:
            InvalidOption: a negative number of samples.
        """
        if s < 0:
            raise InvalidOption("a negative number of samples", value=s)
        mean, covariance = self.latent_joint(x)
        result = np.empty((s, len(x), len(self.warps)))
        for j, matrix in enumerate(covariance):
            values, vectors = np.linalg.eigh(matrix)
            root = vectors * np.sqrt(np.maximum(values, 0.0))
            result[:, :, j] = mean[:, j] + rng.standard_normal((s, len(x))) @ root.T
        return result

    def latent_joint(self, x: Sequence[Architecture]) -> tuple[FloatArray, FloatArray]:
        """Mean (n x m) and covariances (m x n x n) of the warped functions."""
        pool = self.model.pool(x)
        over = self.over(pool)
        distances = self.model.kernel.distances(pool.points, pool.points)
        pairs = zip(self.thetas, over.blocks, strict=True)
        covariance = [self.model.kernel.value(theta, distances) - v.T @ v for theta, v in pairs]
        return over.latent()[0], np.stack(covariance)

    def sample(self, x: Sequence[Architecture], s: int, rng: np.random.Generator) -> FloatArray:
        """`s` joint samples of the functions in the targets' units (s x n x m).

        Raises:
            InvalidOption: a negative number of samples.
        """
        samples = self.latent_sample(x, s, rng)
        return np.stack([warp.inverse(samples[..., j]) for j, warp in enumerate(self.warps)], axis=2)

    def condition(self, x: Sequence[Architecture], y: FloatArray) -> GPPosterior:
        """The posterior after one more label a row, `y` (n x m), with the same hyperparameters; the warp is made anew.

        Raises:
            InvalidData: `y` has a wrong shape or holds numbers that are not finite.
        """
        return self._extended(x, y)[0]

    def over(self, pool: Pool) -> OverPool:
        """The posterior at the candidates of a pool."""
        from scipy.linalg import solve_triangular

        distances = self.model.kernel.distances(self.points, pool.points)
        blocks = tuple(
            solve_triangular(factor, self.model.kernel.value(theta, distances), lower=True, check_finite=False)
            for factor, theta in zip(self.factors, self.thetas, strict=True)
        )
        explained = tuple(np.einsum("ij,ij->j", v, v) for v in blocks)
        return OverPool(self, pool, blocks, ((),) * len(blocks), explained)

    def betas(self) -> list[FloatArray]:
        """L^-1 z of each target (n)."""
        from scipy.linalg import solve_triangular

        return [
            solve_triangular(factor, warp.forward(column), lower=True, check_finite=False)
            for factor, warp, column in zip(self.factors, self.warps, self.targets.T, strict=True)
        ]

    def _extended(self, x: Sequence[Architecture], y: FloatArray) -> tuple[GPPosterior, Points]:
        """The posterior after further labels, and the features of their architectures."""
        y = np.asarray(y, dtype=np.float64)
        if y.shape != (len(x), len(self.warps)):
            raise InvalidData("labels of a wrong shape", value=y.shape, expected=f"({len(x)}, {len(self.warps)})")
        if not np.isfinite(y).all():
            raise InvalidData("labels must be finite numbers")
        kernel, new = self.model.kernel, self.model.kernel.points(x)
        points, factors = self.points, list(self.factors)
        for i in range(len(x)):
            one = new[i : i + 1]
            distances = kernel.distances(points, one)
            factors = [_longer(kernel, t, f, distances, one) for t, f in zip(self.thetas, factors, strict=True)]
            points = points.joined(one)
        targets = np.concatenate([self.targets, y])
        warps = tuple(warp.again(column) for warp, column in zip(self.warps, targets.T, strict=True))
        return replace(
            self,
            architectures=(*self.architectures, *x),
            points=points,
            targets=targets,
            warps=warps,
            factors=tuple(factors),
        ), new


@final
@dataclass(frozen=True, eq=False)
class OverPool:
    """A posterior at the candidates of a pool, cheap to condition.

    Args:
        posterior: of all labels.
        pool: the N candidates.
        blocks: for each target the first rows of V, computed together.
        rows: for each target the rows of V that were added one by one.
        explained: for each target the sum of squares of each column of V (N).
    """

    posterior: GPPosterior
    pool: Pool
    blocks: tuple[FloatArray, ...]
    rows: tuple[tuple[FloatArray, ...], ...]
    explained: tuple[FloatArray, ...]

    def latent(self) -> tuple[FloatArray, FloatArray]:
        """Mean and deviation of the warped functions at the candidates (N x m each)."""
        means, stds = [], []
        kernel = self.posterior.model.kernel
        for j, beta in enumerate(self.posterior.betas()):
            first = len(self.blocks[j])
            mean = beta[:first] @ self.blocks[j]
            for weight, row in zip(beta[first:].tolist(), self.rows[j], strict=True):
                mean += weight * row
            means.append(mean)
            prior = kernel.variance(self.posterior.thetas[j], self.pool.points)
            stds.append(np.sqrt(np.maximum(prior - self.explained[j], JITTER)))
        return np.stack(means, axis=1), np.stack(stds, axis=1)

    def condition(self, x: Sequence[Architecture], y: FloatArray) -> OverPool:
        """The same after one more label a row, `y` (n x m); see `GPPosterior.condition`."""
        result = self
        for i in range(len(x)):
            result = result._with(x[i], np.asarray(y)[i : i + 1])
        return result

    def _with(self, a: Architecture, y: FloatArray) -> OverPool:
        posterior, new = self.posterior._extended([a], y)
        kernel = posterior.model.kernel
        distances = [d[0][None] for d in kernel.distances(new, self.pool.points)]
        rows, explained = [], []
        for j, (theta, factor) in enumerate(zip(posterior.thetas, posterior.factors, strict=True)):
            last, first = factor[-1], len(self.blocks[j])
            row = kernel.value(theta, distances)[0] - last[:first] @ self.blocks[j]
            for weight, other in zip(last[first:-1].tolist(), self.rows[j], strict=True):
                row -= weight * other
            row /= last[-1]
            rows.append((*self.rows[j], row))
            explained.append(self.explained[j] + row**2)
        return OverPool(posterior, self.pool, self.blocks, tuple(rows), tuple(explained))


def _fitted(
    kernel: CellKernel,
    distances: Sequence[FloatArray],
    warp: Warp,
    y: FloatArray,
    counts: NDArray[np.int64],
    functional: bool,
) -> tuple[float, FloatArray]:
    """The hyperparameters of greatest marginal likelihood times prior, and minus the log of that (of y, not of z)."""
    from scipy.optimize import minimize

    mean, deviation = _prior(kernel, functional)
    if len(y) > MOST_FITTED:
        chosen = _representative(y)
        distances, y, counts = [d[np.ix_(chosen, chosen)] for d in distances], y[chosen], counts[chosen]
    z = warp.forward(y)
    found = minimize(
        _loss,
        mean,
        (kernel, distances, z, counts, mean, deviation),
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(mean - _WIDEST * deviation, mean + _WIDEST * deviation, strict=True)),
        options={"maxiter": _STEPS},
    )
    return float(found.fun) - float(warp.log_slope(y).sum()), found.x


def _prior(kernel: CellKernel, functional: bool) -> tuple[FloatArray, FloatArray]:
    """Mean and deviation of the normal prior of theta.

    Graphs show what a network computes. Where a target depends on that alone, the decisions add little beside them;
    what a network costs, it costs by its decisions, dead parts included.
    """
    flat = []
    for block, typical in zip(kernel.blocks, kernel.typical, strict=True):
        beside = block.graph is None and len(kernel.blocks) > 1 and functional
        flat += [_BESIDE_GRAPHS if beside else _VARIANCE, (_LENGTH[0] + float(np.log(typical)), _LENGTH[1])]
    there = not functional or len(kernel.blocks) == 1
    priors = np.array([*flat, _VARIANCE if there else _ABSENT, _NOISE])
    return priors[:, 0], priors[:, 1]


def _representative(y: FloatArray) -> NDArray[np.int64]:
    """Half of `MOST_FITTED` best rows and as many spread evenly over the ranks of the others, in order."""
    order = np.argsort(y, kind="stable")
    half = MOST_FITTED // 2
    others = order[half:][np.linspace(0, len(y) - half - 1, half).astype(np.int64)]
    return np.sort(np.concatenate([order[:half], others]))


def _loss(
    theta: FloatArray,
    kernel: CellKernel,
    distances: Sequence[FloatArray],
    z: FloatArray,
    counts: NDArray[np.int64],
    prior_mean: FloatArray,
    prior_std: FloatArray,
) -> tuple[float, FloatArray]:
    """Negative log of likelihood times prior, up to a constant, and its gradient."""
    from scipy.linalg import cho_solve

    terms = kernel.terms(theta, distances)
    noise = np.exp(theta[-1]) / counts
    covariance = np.full((len(z), len(z)), CONSTANT)
    for term in terms:
        covariance += term[0]
    covariance[np.diag_indices(len(z))] += noise + JITTER
    factor = np.linalg.cholesky(covariance)
    inverse = cho_solve((factor, True), np.eye(len(z)), check_finite=False)
    alpha = inverse @ z
    slope = inverse - np.outer(alpha, alpha)  # twice the derivative by the covariance
    gradient = [0.5 * float(np.vdot(slope, part)) for term in terms for part in term]
    gradient.append(0.5 * float(np.diag(slope) @ noise))
    away = (theta - prior_mean) / prior_std
    loss = 0.5 * float(z @ alpha) + float(np.log(np.diag(factor)).sum()) + 0.5 * float(away @ away)
    return loss, np.array(gradient) + away / prior_std


def _factor(
    kernel: CellKernel, theta: FloatArray, distances: Sequence[FloatArray], counts: NDArray[np.int64]
) -> FloatArray:
    covariance = kernel.value(theta, distances)
    covariance[np.diag_indices(len(counts))] += np.exp(theta[-1]) / counts + JITTER
    return np.asarray(np.linalg.cholesky(covariance), dtype=np.float64)


def _longer(
    kernel: CellKernel, theta: FloatArray, factor: FloatArray, distances: Sequence[FloatArray], new: Points
) -> FloatArray:
    """The factor with one more row; `distances` are from all earlier points to the new one (n x 1)."""
    from scipy.linalg import solve_triangular

    n = len(factor)
    row = solve_triangular(factor, kernel.value(theta, distances)[:, 0], lower=True, check_finite=False)
    left = float(kernel.variance(theta, new)[0] - row @ row)
    result = np.zeros((n + 1, n + 1))
    result[:n, :n] = factor
    result[n, :n] = row
    result[n, n] = np.sqrt(max(left, 0.0) + np.exp(theta[-1]) + JITTER)
    return result


def _half(warp: Warp, mean: FloatArray, std: FloatArray) -> FloatArray:
    """Half of the interval of one deviation about the mean, unwarped."""
    return np.asarray(0.5 * (warp.inverse(mean + std) - warp.inverse(mean - std)))
