"""What NAO's predictor is trained to: a score from 0 for the worst to 1 for the best, for one target.

Notation
    t  target: a loss to be minimised (n)
    s  score, more is better (n)

The published code scales the errors or accuracies of the pool to [0, 1] by their least and greatest ("minmax"). A few
architectures that fail to learn then leave little room between all others; "rank", the place in the order, gives every
pair of neighbours the same distance. Between observed targets a score is linear, beyond them it is 0 or 1. Where all
targets are equal every score is one half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from nas_core.errors import InvalidOption

FloatArray: TypeAlias = NDArray[np.float64]

KINDS: Final = ("minmax", "rank")


@final
@dataclass(frozen=True, eq=False)
class ScoreScale:
    """The scale of one target; made by `ScoreScale.of`.

    Args:
        targets: in ascending order, each once.
        scores: of these, descending.
    """

    targets: FloatArray
    scores: FloatArray

    @classmethod
    def of(cls, t: FloatArray, kind: str = "minmax") -> ScoreScale:
        """The scale of n targets; raises InvalidOption for a kind that is not among `KINDS`."""
        check_kind(kind)
        targets, counts = np.unique(t, return_counts=True)
        if len(targets) == 1:
            return cls(targets, np.array([0.5]))
        if kind == "minmax":
            ends = targets[[0, -1]]
            return cls(ends, np.array([1.0, 0.0]))
        places = np.cumsum(counts) - 0.5 * (counts + 1)  # the mean rank of those that tie, from 0
        return cls(targets, 1.0 - places / (len(t) - 1))

    def forward(self, t: FloatArray) -> FloatArray:
        """Targets to scores."""
        return np.interp(t, self.targets, self.scores)

    def inverse(self, s: FloatArray) -> FloatArray:
        """The targets of scores, within those observed."""
        return np.interp(s, self.scores[::-1], self.targets[::-1])


def check_kind(kind: object) -> str:
    """The kind of a scale; raises InvalidOption where there is none such."""
    if kind not in KINDS:
        raise InvalidOption("no such scale of scores", value=kind, expected="one of " + ", ".join(KINDS))
    return str(kind)
