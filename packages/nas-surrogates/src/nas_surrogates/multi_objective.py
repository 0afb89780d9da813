"""Expected gain in hypervolume of each candidate of a pool (Emmerich, Giannakoglou, Naujoks 2006; Daulton et al. 2020).

Notation
    N  candidates      n  observations      m  objectives, minimised, in latent units
    K  boxes that the region between the front and the reference point is cut into: lower and upper corners (K x m)

Objectives are modelled independently, so the volume that a candidate f is expected to add is a sum of products,

    sum over boxes of product over j of E[max(upper_j - max(lower_j, f_j), 0)],

each factor a difference of two expected improvements in closed form. So it is known exactly over the whole pool, and no
candidate of a front's end is lost. The `NARROWED` best are ranked by botorch's logarithm of the same (Ament et al.
2023), which takes constraints and objectives jointly; the others keep the order of the first ranking, below those.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nas_core.pareto import non_dominated
from nas_core.random import derived_seed

FloatArray: TypeAlias = NDArray[np.float64]

NARROWED: Final = 32
SAMPLES: Final = 512
_BEYOND = 0.01
_LEAST = 1e-300
_SLAB = 4096


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
        seed: names the quasi-random samples.
    """
    front, reference = known[non_dominated(known)], reference_point(known)
    rough = _log_expected_gain(mean, std, front, reference) + log_feasibility
    order = np.argsort(-rough, kind="stable")[:NARROWED]
    exact = _by_botorch(mean[order], std[order], front, reference, bounds, seed)
    scores = rough - rough[order[-1]] + float(exact.min()) - 1.0
    scores[order] = exact
    return np.asarray(scores)


def reference_point(known: FloatArray) -> FloatArray:
    """A little beyond the worst value of each objective among the observations (m), so that the front's ends count."""
    span = np.ptp(known, axis=0)
    return np.asarray(known.max(axis=0) + np.where(span > 1e-9, _BEYOND * span, 1.0))


def _log_expected_gain(mean: FloatArray, std: FloatArray, front: FloatArray, reference: FloatArray) -> FloatArray:
    """The log of the expected gain without regard to constraints (N)."""
    lower, upper = _boxes(front, reference)
    gains = np.empty(len(mean))
    for begin in range(0, len(mean), _SLAB):  # N x K numbers at a time
        slab = slice(begin, begin + _SLAB)
        volumes = np.ones((len(mean[slab]), len(lower)))
        for j in range(front.shape[1]):
            values, places = np.unique(np.concatenate([lower[:, j], upper[:, j]]), return_inverse=True)
            below = _improvement(mean[slab, j], std[slab, j], values)
            volumes *= below[:, places[len(lower) :]] - below[:, places[: len(lower)]]
        gains[slab] = volumes.sum(axis=1)
    return np.asarray(np.log(np.maximum(gains, _LEAST)))


def _improvement(mean: FloatArray, std: FloatArray, values: FloatArray) -> FloatArray:
    """E[max(value - f, 0)] for n candidates and k values, 0 for -inf (n x k)."""
    from scipy.special import ndtr

    gap = np.maximum(values, -1e100) - mean[:, None]
    z = gap / std[:, None]
    return np.asarray(gap * ndtr(z) + std[:, None] * np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi))


def _boxes(front: FloatArray, reference: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Lower and upper corners (K x m each) of boxes that fill what the front does not dominate, up to the reference."""
    cells = _partitioning(front, reference).hypercell_bounds.numpy()
    return -cells[1], -cells[0]


def _partitioning(front: FloatArray, reference: FloatArray) -> Any:
    import torch
    from botorch.utils.multi_objective.box_decompositions.non_dominated import FastNondominatedPartitioning

    return FastNondominatedPartitioning(torch.from_numpy(-reference), torch.from_numpy(-front))


def _by_botorch(
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

    from nas_surrogates.botorch_adapter import PoolModel

    acquisition = qLogExpectedHypervolumeImprovement(
        model=PoolModel(mean, std),
        ref_point=torch.from_numpy(-reference),
        partitioning=_partitioning(front, reference),
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
