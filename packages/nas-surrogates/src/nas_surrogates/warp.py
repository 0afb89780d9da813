"""Targets as a Gaussian process fits them: the log of the regret, so that differences near the best count most.

Notation
    y      targets, less is better        best   the least of them
    s      scale, a quantile of the regrets y - best
    t      log(1 + (y - best) / s)
    z      (t - centre) / spread, of mean 0 and variance 1 over the observations

A difference of one s at the best is worth as much as a doubling of the regret far away, so that failures to learn, ten
deviations below the rest, do not set the scale on which the best are told apart. Below the best the logarithm goes on
as far as one s; what lies deeper is taken to lie there. The quarter quantile suits accuracies. With the largest regret
for a scale the map is close to a straight line, which suits costs that add up; which of the two it is the likelihood of
the observations says, by `log_slope` (Snelson, Rasmussen, Ghahramani 2004, "Warped Gaussian processes").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]

QUANTILES: Final = (0.25, 1.0)
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
        quantile: of the regrets that the scale was asked to be; None for a straight line.
    """

    best: float
    scale: float
    centre: float
    spread: float
    highest: float
    log: bool
    quantile: float | None = QUANTILES[0]

    @classmethod
    def fitted(cls, y: FloatArray, quantile: float | None = QUANTILES[0]) -> Warp:
        """The log of the regret on n observations, its scale a quantile of the regrets; None for shift and scale."""
        if quantile is None:
            return cls.standard(y)
        best = float(y.min())
        regret = y - best
        scale = float(np.quantile(regret, quantile)) or float(regret.mean())
        if scale <= 1e-12 * max(1.0, abs(best)):
            return cls.standard(y, quantile)
        t = np.log1p(regret / scale)
        return cls(best, scale, float(t.mean()), float(t.std()), float(t.max()), True, quantile)

    @classmethod
    def standard(cls, y: FloatArray, quantile: float | None = None) -> Warp:
        """Shift and scale alone; what is made `again` of it has the quantile."""
        mean, scale = float(y.mean()), float(y.std())
        if scale <= 1e-12 * max(1.0, abs(mean)):
            scale = 1.0
        return cls(mean, scale, 0.0, 1.0, float((y.max() - mean) / scale), False, quantile)

    def again(self, y: FloatArray) -> Warp:
        """The same kind of map for other observations."""
        return Warp.fitted(y, self.quantile)

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

    def log_slope(self, y: FloatArray) -> FloatArray:
        """The log of dz/dy at targets, any shape: what a density of z must be multiplied with to be one of y."""
        if not self.log:
            return np.full(np.shape(y), -np.log(self.scale * self.spread))
        relative = np.maximum((np.asarray(y, dtype=np.float64) - self.best) / self.scale, _DEEPEST)
        return np.asarray(-np.log1p(relative) - np.log(self.scale * self.spread))
