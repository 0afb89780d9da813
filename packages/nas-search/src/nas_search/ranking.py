"""The order of merit of trials, for halving and for splitting good from bad.

With one objective it is that of the loss. With several, ranks of non-dominated fronts come first, and within a front
the hypervolume that each point alone adds (Emmerich, Beume, Naujoks 2005), so that what is kept covers the front.
Trials that break a constraint come after those that keep all, and failed ones last.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nas_core.objective import Objectives
from nas_core.pareto import constrained_fronts, hypervolume_contributions

_MARGIN = 0.1


def ranked(objectives: Objectives, values: NDArray[np.float64]) -> NDArray[np.int64]:
    """The rows of measured values (n x M; NaN rows failed) from the best to the worst; ties keep their order (n)."""
    failed = np.isnan(values).any(axis=1)
    known = np.flatnonzero(~failed)
    losses, violations = objectives.losses(values[known]), objectives.violation(values[known])
    if len(objectives.objectives) == 1:
        order = np.lexsort((losses[:, 0], violations))
    else:
        fronts = constrained_fronts(losses, violations)
        order = np.lexsort((-_contributions(losses, fronts), fronts))
    return np.concatenate([known[order], np.flatnonzero(failed)])


def _contributions(losses: NDArray[np.float64], fronts: NDArray[np.int64]) -> NDArray[np.float64]:
    """The hypervolume that each row adds to its own front (n), on objectives scaled to [0, 1]."""
    found = np.zeros(len(losses))
    if not len(losses):
        return found
    low, high = losses.min(axis=0), losses.max(axis=0)
    scaled = (losses - low) / np.where(high > low, high - low, 1.0)
    for rank in np.unique(fronts):
        own = fronts == rank
        found[own] = hypervolume_contributions(scaled[own], np.full(losses.shape[1], 1.0 + _MARGIN))
    return found
