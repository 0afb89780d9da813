"""Targets as a Gaussian process fits them: the log of the regret, so that differences near the best count most.

Notation
    y      targets, less is better        best   the least of them
    s      scale, a quarter quantile of the regrets y - best
    t      log(1 + (y - best) / s)
    z      (t - centre) / spread, of mean 0 and variance 1 over the observations

A difference of one s at the best is worth as much as a doubling of the regret far away, so that failures to learn, ten
deviations below the rest, do not set the scale on which the best are told apart. Below the best the logarithm goes on
as far as one s; what lies deeper is taken to lie there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]

QUANTILE: Final = 0.25
_DEEPEST = -0.999
_BEYOND = 1.0


@final
@dataclass(frozen=True)
class Warp:
    """A monotone map of one target; made by `Warp.fitted` and `Warp.standard`.

    Args:
        best: least observation (log) or the mean (standard).
        scale: s, or the standard deviation.
        centre: of t.
        spread: of t.
        highest: t of the largest observation.
        log: whether t is the log; otherwise t = (y - best) / scale.
    """

    best: float
    scale: float
    centre: float
    spread: float
    highest: float
    log: bool

    @classmethod
    def fitted(cls, y: FloatArray) -> Warp:
        """The log of the regret on n observations."""
        best = float(y.min())
        regret = y - best
        scale = float(np.quantile(regret, QUANTILE)) or float(regret.mean())
        if scale <= 1e-12 * max(1.0, abs(best)):
            return cls.standard(y)
        t = np.log1p(regret / scale)
        return cls(best, scale, float(t.mean()), float(t.std()), float(t.max()), log=True)

    @classmethod
    def standard(cls, y: FloatArray) -> Warp:
        """Shift and scale alone."""
        mean, scale = float(y.mean()), float(y.std())
        if scale <= 1e-12 * max(1.0, abs(mean)):
            scale = 1.0
        return cls(mean, scale, 0.0, 1.0, float((y.max() - mean) / scale), log=False)

    def forward(self, y: FloatArray) -> FloatArray:
        """Targets to z, any shape."""
        relative = (np.asarray(y, dtype=np.float64) - self.best) / self.scale
        t = np.log1p(np.maximum(relative, _DEEPEST)) if self.log else relative
        return np.asarray((t - self.centre) / self.spread)

    def inverse(self, z: FloatArray) -> FloatArray:
        """The targets of z, any shape; at most e times the largest regret observed."""
        t = self.centre + self.spread * np.asarray(z, dtype=np.float64)
        if not self.log:
            return np.asarray(self.best + self.scale * t)
        return np.asarray(self.best + self.scale * np.expm1(np.minimum(t, self.highest + _BEYOND)))
