"""What gradient steps in NAO's continuous space climb: scores of several targets, and limits on some.

Notation
    n  latent points      m  targets      s  scores, more is better (n x m)

The paper climbs the one score f (equation 2). Here the worth of a point is a weighted sum of its scores less a penalty
for each limit that its predictions break, linear in how far they break it: a search under latency, parameters or
FLOPs, which the users of the published code asked for, turns its steps towards what keeps the limits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
import torch
from torch import Tensor

from nas_surrogates.nao_scores import FloatArray, ScoreScale

PENALTY: Final = 4.0
"""Worth that a limit costs for each unit of score that it is broken by; all scores together are worth 1 at most."""


@final
@dataclass(frozen=True)
class Limit:
    """A bound on a target.

    Args:
        column: of the target.
        bound: in its own units.
        at_most: whether the target must not exceed it; otherwise it must not fall below.
    """

    column: int
    bound: float
    at_most: bool = True


@final
@dataclass(frozen=True, eq=False)
class Aim:
    """What n points climb.

    Args:
        weights: of each target's score for each point (n x m); zeros for those that only limits read.
        limits: to be kept.
        trust: how much each of k predictors counts for each point (n x k), rows that sum to 1; None trusts all alike.
    """

    weights: FloatArray
    limits: Sequence[Limit] = ()
    trust: FloatArray | None = None

    def rows(self, which: Sequence[int]) -> Aim:
        """The aim of some of the points, which may repeat."""
        trust = None if self.trust is None else self.trust[list(which)]
        return Aim(self.weights[list(which)], self.limits, trust)

    def mixed(self, scores: Tensor) -> Tensor:
        """The scores (n x m) of k predictors' (k x n x m), each predictor counting as much as it is trusted."""
        if self.trust is None:
            return scores.mean(dim=0)
        return torch.einsum("nk,knm->nm", torch.from_numpy(self.trust).to(scores.dtype), scores)

    def worth(self, scores: Tensor, scales: Sequence[ScoreScale]) -> Tensor:
        """Weighted scores less penalties (n).

        Args:
            scores: n x m.
            scales: of each target.
        """
        total = (scores * torch.from_numpy(self.weights).to(scores.dtype)).sum(dim=1)
        for limit in self.limits:
            bound = float(scales[limit.column].forward(np.array([limit.bound]))[0])
            beyond = bound - scores[:, limit.column] if limit.at_most else scores[:, limit.column] - bound
            total = total - PENALTY * beyond.clamp(min=0.0)
        return total
