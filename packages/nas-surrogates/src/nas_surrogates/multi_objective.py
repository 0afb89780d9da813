"""Expected gain in hypervolume of each candidate of a pool, by botorch (Daulton et al. 2020; Ament et al. 2023).

Notation
    N  candidates      n  observations      m  objectives, minimised, in latent units

botorch's Monte-Carlo acquisition costs milliseconds a candidate where the front is long. So a pool is first narrowed to
the `NARROWED` candidates that promise most under random weighted Chebyshev distances (Knowles 2006, "ParEGO"; Paria et
al. 2020), eight of them, by closed-form expected improvement; those are then ranked by the log of the hypervolume that
they are expected to add. The others keep the order of the first ranking, below all of those.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nas_core.pareto import non_dominated
from nas_core.random import derived_seed, rng
from nas_surrogates.acquisition import log_expected_improvement

FloatArray: TypeAlias = NDArray[np.float64]

NARROWED: Final = 400
SAMPLES: Final = 64
_DIRECTIONS = 8


def log_hypervolume_improvement(
    mean: FloatArray,
    std: FloatArray,
    known: FloatArray,
    bounds: Sequence[tuple[int, float, float]],
    log_feasibility: FloatArray,
    seed: int,
) -> FloatArray:
    """A score a candidate (N), more is better; among the `NARROWED` best the log of the expected gain.

    Args:
        mean: of all columns, the objectives first (N x M).
        std: their deviations (N x M).
        known: objectives of the observations that keep the constraints (n x m), n at least 1.
        bounds: of constraints: column, sign and bound (`nas_surrogates.utility.latent_bounds`).
        log_feasibility: log probability that a candidate keeps them (N).
        seed: names the weights and the quasi-random samples.
    """
    m = known.shape[1]
    front = known[non_dominated(known)]
    rough = _scalarised(mean[:, :m], std[:, :m], known, seed) + log_feasibility
    order = np.argsort(-rough, kind="stable")[:NARROWED]
    exact = _expected_gain(mean[order], std[order], front, reference_point(known, front), bounds, seed)
    scores: FloatArray = rough - rough[order].max() + min(float(exact.min()), 0.0) - 1.0
    scores[order] = exact
    return scores


def reference_point(known: FloatArray, front: FloatArray) -> FloatArray:
    """A tenth of the front's range beyond its worst values (of the observations' where it has none) (m)."""
    span = np.ptp(front, axis=0)
    span = np.where(span > 1e-9, span, np.ptp(known, axis=0))
    return np.asarray(front.max(axis=0) + 0.1 * np.where(span > 1e-9, span, 1.0))


def _scalarised(mean: FloatArray, std: FloatArray, known: FloatArray, seed: int) -> FloatArray:
    """The greatest log expected improvement of the Chebyshev distance over random weights, to first order.

    The distance of a candidate is taken as Gaussian: that of the objective which is worst at its mean.
    """
    ideal, span = known.min(axis=0), np.maximum(np.ptp(known, axis=0), 1e-9)
    weights = rng(seed, "weights").dirichlet(np.ones(mean.shape[1]), size=_DIRECTIONS)
    scores = []
    rows = np.arange(len(mean))
    for weight in weights:
        factor = weight / span
        distance = (mean - ideal) * factor
        worst = np.argmax(distance, axis=1)
        best = float(((known - ideal) * factor).max(axis=1).min())
        scores.append(log_expected_improvement(distance[rows, worst], std[rows, worst] * factor[worst] + 1e-12, best))
    return np.asarray(np.max(scores, axis=0), dtype=np.float64)


def _expected_gain(
    mean: FloatArray,
    std: FloatArray,
    front: FloatArray,
    reference: FloatArray,
    bounds: Sequence[tuple[int, float, float]],
    seed: int,
) -> FloatArray:
    """The log of the expected hypervolume improvement (n) by botorch, with smoothed constraints."""
    import torch
    from botorch.acquisition.multi_objective.logei import qLogExpectedHypervolumeImprovement
    from botorch.acquisition.multi_objective.objective import IdentityMCMultiOutputObjective
    from botorch.sampling.normal import SobolQMCNormalSampler
    from botorch.utils.multi_objective.box_decompositions.non_dominated import FastNondominatedPartitioning

    from nas_surrogates.botorch_adapter import PoolModel

    model = PoolModel(mean, std)
    worst = torch.from_numpy(-reference)
    acquisition = qLogExpectedHypervolumeImprovement(
        model=model,
        ref_point=worst,
        partitioning=FastNondominatedPartitioning(worst, torch.from_numpy(-front)),  # type: ignore[arg-type]
        sampler=SobolQMCNormalSampler(torch.Size([SAMPLES]), seed=derived_seed(seed, "samples") % 2**31),
        objective=IdentityMCMultiOutputObjective(outcomes=list(range(front.shape[1])), num_outcomes=mean.shape[1]),
        constraints=[_violated(*bound) for bound in bounds] or None,
    )
    with torch.no_grad():
        values = acquisition(torch.arange(len(mean), dtype=torch.float64)[:, None, None])
    return np.asarray(np.nan_to_num(values.numpy().astype(np.float64), nan=-1e6, neginf=-1e6))


def _violated(column: int, sign: float, bound: float) -> Callable[[Any], Any]:
    """By how much outcomes (negative latents) break a bound; negative where they keep it."""
    return lambda outcomes: sign * (-outcomes[..., column] - bound)
