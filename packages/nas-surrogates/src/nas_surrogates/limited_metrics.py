"""Metrics with a limit, predicted by a Bayesian linear regression on features of architectures.

The best that keeps a limit lies close to it, often nearer than a surrogate can tell, and what is predicted to keep it
best are errors of the prediction. Costs are close to sums over the operations of an architecture, so that on few labels
the regression errs less than a perceptron that learns on from round to round. It says how far off it is: what breaks a
limit by less is not taken for bad (`relaxed`), and candidates are judged by one draw each from what it predicts
(`drawn`).

Notation
    n  architectures     d  features     M  columns of losses, as `nas_surrogates.utility.columns` has them
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from nas_core.objective import Objectives
from nas_surrogates.blr import BLRPosterior, fit_blr


@final
@dataclass(frozen=True)
class LimitedMetrics:
    """The regressions of one round; made by `of`.

    Args:
        regressions: by column.
        objectives: the number of columns that are objectives; they come first.
    """

    regressions: Mapping[int, BLRPosterior]
    objectives: int

    @classmethod
    def of(cls, objectives: Objectives, features: NDArray[np.floating], losses: NDArray[np.float64]) -> LimitedMetrics:
        """Fit every metric that a constraint reads to n observations with features (n x d) and losses (n x M)."""
        columns = {objectives.metrics.index(constraint.metric) for constraint in objectives.constraints}
        fits = {column: fit_blr(features, losses[:, column]) for column in sorted(columns)}
        return cls(fits, len(objectives.objectives))

    def relaxed(self, losses: NDArray[np.float64]) -> NDArray[np.float64]:
        """Losses (n x M) by which an architecture keeps a limit that it breaks by less than the regression's noise."""
        result = losses.copy()
        for column, regression in self.regressions.items():
            result[:, column] -= regression.noise_std
        return result

    def predicted(self, losses: NDArray[np.float64], features: NDArray[np.floating]) -> NDArray[np.float64]:
        """Predicted losses (n x M), those of metrics that only constraints read by regression (features n x d)."""
        result = losses.copy()
        for column, regression in self.regressions.items():
            if column >= self.objectives:
                result[:, column] = regression.predict(features)[0]
        return result

    def drawn(
        self, losses: NDArray[np.float64], features: NDArray[np.floating], stream: np.random.Generator
    ) -> NDArray[np.float64]:
        """Predicted losses (n x M), those of metrics with a limit drawn from their regression, noise included."""
        result = losses.copy()
        for column, regression in self.regressions.items():
            mean, std = regression.predict(features)
            result[:, column] = mean + np.hypot(std, regression.noise_std) * stream.normal(size=len(mean))
        return result
