"""What a surrogate is: a model fitted to a history, and the posterior that fitting returns.

Notation
    n   architectures
    m   objectives (targets), minimised
    s   posterior samples
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.errors import InvalidPrediction
from nas_core.training_set import TrainingSet


@dataclass(frozen=True)
class Prediction:
    """Mean and standard deviations at n architectures for m targets (all n x m).

    Args:
        mean: posterior mean.
        std: standard deviation of the latent function only.
        noise_std: standard deviation of an observation around the latent function, where the surrogate knows it.

    Raises:
        InvalidPrediction: shapes that differ, numbers that are not finite, negative deviations.
    """

    mean: NDArray[np.float64]
    std: NDArray[np.float64]
    noise_std: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        if self.mean.ndim != 2:
            raise InvalidPrediction("a prediction's mean must be n x m", value=self.mean.shape)
        for name in ("mean", "std", "noise_std"):
            array = getattr(self, name)
            if array is None:
                continue
            if array.shape != self.mean.shape:
                raise InvalidPrediction(
                    f"a prediction's {name} has a wrong shape", value=array.shape, expected=f"{self.mean.shape}"
                )
            if not np.isfinite(array).all():
                raise InvalidPrediction(f"a prediction's {name} holds numbers that are not finite")
            if name != "mean" and (array < 0).any():
                raise InvalidPrediction(f"a prediction's {name} holds negative numbers")


@runtime_checkable
class Posterior(Protocol):
    """What fitting returns."""

    def predict(self, x: Sequence[Architecture]) -> Prediction:
        """Mean and deviations at n architectures."""
        ...


@runtime_checkable
class Samples(Protocol):
    """A posterior that draws joint samples."""

    def sample(self, x: Sequence[Architecture], s: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """`s` joint samples of the latent functions (s x n x m)."""
        ...


@runtime_checkable
class Conditions(Protocol):
    """A posterior that takes in further observations without refitting; fantasies use it."""

    def condition(self, x: Sequence[Architecture], y: NDArray[np.float64]) -> Posterior:
        """The posterior after also observing targets `y` (n x m) at `x`."""
        ...


@runtime_checkable
class Surrogate(Protocol):
    """A model to be fitted. Made as `kind(space, **options)`."""

    requires: frozenset[str]
    """Capabilities of a space that it reads."""

    def fit(self, data: TrainingSet, rng: np.random.Generator) -> Posterior:
        """Fit to n observations of m targets; deterministic given `rng`."""
        ...

    def to_config(self) -> dict[str, Any]:
        """The options it runs with, as plain data."""
        ...
