"""What a study gains from evaluating each candidate of a pool: the log of its expected improvement.

Notation
    N  candidates          n  observations
    m  objectives          M  columns: the objectives, then the metrics that only constraints read (`columns`)

One objective: log expected improvement on the best observation that keeps the constraints, plus the log probability of
keeping them; while none does, that probability alone. Several: the hypervolume that is expected to be gained, weighed
in the same way (`nas_surrogates.multi_objective`). Everything happens in the latent units of the surrogate, where it is
Gaussian.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nas_core.errors import InvalidData
from nas_core.objective import Objective, Objectives
from nas_surrogates.acquisition import log_constrained_expected_improvement, log_probability_of_feasibility
from nas_surrogates.pools import PoolPosterior, to_latent

FloatArray: TypeAlias = NDArray[np.float64]


def columns(objectives: Objectives) -> Objectives:
    """Every metric of a study as an objective to be modelled, in the order of a history's columns.

    A metric that only constraints read is turned so that the first of them is an upper bound.
    """
    maximised = {objective.metric: objective.maximise for objective in objectives.objectives}
    for constraint in objectives.constraints:
        maximised.setdefault(constraint.metric, not constraint.at_most)
    return Objectives(tuple(Objective(metric, maximised[metric]) for metric in objectives.metrics))


def log_utility(over: PoolPosterior, observed: FloatArray, objectives: Objectives, seed: int = 0) -> FloatArray:
    """The log of what evaluating each candidate is worth (N); -inf where nothing can be gained.

    Args:
        over: posterior at the pool, fitted to the M `columns`.
        observed: losses of the observations and fantasies in those columns (n x M).
        objectives: of the study.
        seed: of the quasi-random samples that several objectives need.

    Raises:
        InvalidData: no observations, or another number of columns.
    """
    if observed.ndim != 2 or len(observed) == 0 or observed.shape[1] != len(objectives.metrics):
        raise InvalidData(
            "observed losses of a wrong shape", value=observed.shape, expected=f"n x {len(objectives.metrics)}, n >= 1"
        )
    mean, std = over.latent()
    known = to_latent(over.posterior, observed)
    feasible = objectives.feasible(columns(objectives).measured(observed))
    bounds = latent_bounds(over, objectives)
    log_feasibility = np.zeros(len(mean))
    for column, sign, bound in bounds:
        log_feasibility += log_probability_of_feasibility(
            sign * mean[:, [column]], std[:, [column]], np.array([sign * bound])
        )
    if len(objectives.objectives) == 1:
        best = float(known[feasible, 0].min()) if feasible.any() else None
        return log_constrained_expected_improvement(mean[:, 0], std[:, 0], best, log_feasibility)
    if not feasible.any():
        return log_feasibility
    from nas_surrogates.multi_objective import log_hypervolume_improvement

    m = len(objectives.objectives)
    return log_hypervolume_improvement(mean, std, known[feasible, :m], bounds, log_feasibility, seed)


def latent_bounds(over: PoolPosterior, objectives: Objectives) -> list[tuple[int, float, float]]:
    """For each constraint its column, sign and bound in latent units: it holds where sign * f <= sign * bound."""
    modelled = columns(objectives)
    result = []
    for constraint in objectives.constraints:
        column = objectives.metrics.index(constraint.metric)
        values = np.full((1, len(objectives.metrics)), constraint.bound)
        bound = float(to_latent(over.posterior, modelled.losses(values))[0, column])
        turned = modelled.objectives[column].maximise  # then losses are negative values
        result.append((column, -1.0 if constraint.at_most == turned else 1.0, bound))
    return result
