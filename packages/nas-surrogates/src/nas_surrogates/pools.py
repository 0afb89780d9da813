"""A posterior at a pool of candidates, whatever the surrogate: what optimizers and acquisition functions read.

Notation
    N  candidates        m  targets

A surrogate that models warped targets says so by `latent` and `to_latent`, and one that can keep what it has computed
for a pool by `pool` and `over` (`nas_surrogates.gp`). For any other the pool is the list of candidates and the latent
functions are the targets themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, final, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.surrogate import Conditions, Posterior, Surrogate

FloatArray: TypeAlias = NDArray[np.float64]


class PoolPosterior(Protocol):
    """A posterior at the candidates of a pool."""

    @property
    def posterior(self) -> Posterior:
        """The posterior itself."""
        ...

    def latent(self) -> tuple[FloatArray, FloatArray]:
        """Mean and deviation of the latent functions at the candidates (N x m each)."""
        ...

    def condition(self, x: Sequence[Architecture], y: FloatArray) -> PoolPosterior:
        """The same after one more label a row, `y` (n x m)."""
        ...


@runtime_checkable
class Latent(Protocol):
    """A posterior whose Gaussian functions are not the targets but increasing maps of them."""

    def latent(self, x: Sequence[Architecture]) -> tuple[FloatArray, FloatArray]:
        """Mean and deviation of the latent functions (n x m each)."""
        ...

    def to_latent(self, y: FloatArray) -> FloatArray:
        """Targets (n x m) in the units of `latent`."""
        ...


@runtime_checkable
class Pools(Protocol):
    """A surrogate that reads the features of a pool once."""

    def pool(self, candidates: Sequence[Architecture]) -> Any:
        """What its posteriors' `over` take."""
        ...


@final
@dataclass(frozen=True, eq=False)
class PlainPool:
    """Any posterior at a list of candidates; one that cannot take in labels stays as it is when conditioned."""

    posterior: Posterior
    candidates: tuple[Architecture, ...]

    def latent(self) -> tuple[FloatArray, FloatArray]:
        """Mean and deviation of what the posterior is Gaussian in (N x m each)."""
        if isinstance(self.posterior, Latent):
            return self.posterior.latent(self.candidates)
        prediction = self.posterior.predict(self.candidates)
        return prediction.mean, prediction.std

    def condition(self, x: Sequence[Architecture], y: FloatArray) -> PlainPool:
        """The same after one more label a row."""
        if not isinstance(self.posterior, Conditions):
            return self
        return PlainPool(self.posterior.condition(x, y), self.candidates)


def pool_of(surrogate: Surrogate, candidates: Sequence[Architecture]) -> Any:
    """The candidates as the surrogate's posteriors like to have them; see `over`."""
    return surrogate.pool(candidates) if isinstance(surrogate, Pools) else tuple(candidates)


def over(posterior: Posterior, pool: Any) -> PoolPosterior:
    """A posterior at a pool made by `pool_of` for its surrogate."""
    if type(pool) is tuple:  # a pool of its own may be a named tuple
        return PlainPool(posterior, pool)
    result: PoolPosterior = posterior.over(pool)  # type: ignore[attr-defined]
    return result


def to_latent(posterior: Posterior, y: FloatArray) -> FloatArray:
    """Targets (n x m) in the units of the posterior's latent functions."""
    return posterior.to_latent(y) if isinstance(posterior, Latent) else np.asarray(y, dtype=np.float64)
