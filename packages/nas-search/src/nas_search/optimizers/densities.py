"""A density over the decisions of a space, from a handful of members: a product of kernels (BOHB's model).

Falkner, Klein, Hutter 2018 ("BOHB"), §3.2, after Bergstra et al. 2011. A real or whole-number decision has a normal
kernel on its unit interval, cut off at the ends, with the normal-reference bandwidth, at least 1 / (1 + n), and of a
whole number at least one step (the published least, 0.001, lets the density collapse onto its own draws); a choice
keeps its value with probability 1 - λ and has any other with λ / (c - 1), where λ = (c - 1) / (n + c) is what a uniform
prior worth one label a choice gives. (The published code takes the normal-reference rule for numbers of choices as
well, which have no order.) An inactive decision is a value of its own: it is unlike every other.

Notation
    n   members that the density is made of
    q   members that are asked about
    d   decisions
    c   choices of a decision
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, logsumexp, ndtr, ndtri

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical, Integer
from nas_core.space import Space

FloatArray = NDArray[np.float64]

_FINEST = 100
_UNLIKE = -np.log(2.0)  # what an inactive decision and an active one say of each other, in place of a density of 1
_INACTIVE = -1.0


@final
class Density:
    """A product kernel density.

    Args:
        space: whose decisions.
        members: at least one.
    """

    def __init__(self, space: Space, members: Sequence[Architecture]) -> None:
        self.space = space
        self.points = encoded(space, members)
        self.choices = np.array([d.size if isinstance(d, Categorical) else 0 for d in space.decisions], dtype=np.int64)
        self.bandwidths = np.array([self._bandwidth(k) for k in range(len(space.decisions))])

    def log(self, members: FloatArray) -> FloatArray:
        """The logarithm of the density at encoded members (q x d), as (q)."""
        total = np.zeros((len(members), len(self.points)))
        for k, c in enumerate(self.choices.tolist()):
            total += self._kernel(k, c, members[:, k, None], self.points[None, :, k])
        found: FloatArray = logsumexp(total, axis=1) - np.log(len(self.points))
        return found

    def sample(self, rng: np.random.Generator, n: int, spread: float) -> list[Architecture]:
        """`n` members near the density's own, real decisions with `spread` times their bandwidth."""
        centres = self.points[rng.integers(len(self.points), size=n)]
        units = np.empty_like(centres)
        for k, c in enumerate(self.choices.tolist()):
            uniform, other = rng.random(n), rng.random(n)
            at = centres[:, k]
            near = _other_choice(at, uniform, other, c, self.bandwidths[k]) if c else _truncated(
                at, uniform, self.bandwidths[k] * spread
            )  # fmt: skip
            units[:, k] = np.where(at == _INACTIVE, other, near)
        decisions = self.space.decisions
        return [
            self.space.project([decision.from_unit(float(u)) for decision, u in zip(decisions, row, strict=True)])
            for row in units
        ]

    def _bandwidth(self, k: int) -> float:
        c, n = int(self.choices[k]), len(self.points)
        if c:
            return float(c - 1) / (n + c)
        column = self.points[:, k]
        active = column[column != _INACTIVE]
        deviation = float(active.std()) if len(active) > 1 else 0.0
        reference: float = 1.06 * deviation * float(n) ** (-1.0 / (4 + len(self.choices)))
        return max(reference, 1.0 / min(_FINEST, 1 + n), self._step(k))

    def _step(self, k: int) -> float:
        """How far apart the values of a whole-number decision lie."""
        decision = self.space.decisions[k]
        return 1.0 / (decision.high - decision.low + 1) if isinstance(decision, Integer) else 0.0

    def _kernel(self, k: int, c: int, x: FloatArray, centre: FloatArray) -> FloatArray:
        h = self.bandwidths[k]
        if c == 1:
            near = np.zeros(np.broadcast_shapes(x.shape, centre.shape))
        elif c:
            near = np.where(x == centre, np.log1p(-h), np.log(h / (c - 1)))
        else:
            z, low, high = (x - centre) / h, -centre / h, (1.0 - centre) / h
            mass = np.log(np.maximum(ndtr(high) - ndtr(low), np.exp(log_ndtr(-8.0))))
            near = -0.5 * z**2 - np.log(h * np.sqrt(2.0 * np.pi)) - mass
        off, centre_off = x == _INACTIVE, centre == _INACTIVE
        return np.where(off & centre_off, 0.0, np.where(off | centre_off, _UNLIKE, near))


def encoded(space: Space, members: Sequence[Architecture]) -> FloatArray:
    """Members as positions in the unit interval of each decision, -1 where inactive (n x d)."""
    return np.array(
        [
            [_INACTIVE if v is None else d.to_unit(v) for d, v in zip(space.decisions, a.values, strict=True)]
            for a in members
        ],
        dtype=np.float64,
    ).reshape(len(members), len(space.decisions))


def _truncated(centre: FloatArray, uniform: FloatArray, h: float) -> FloatArray:
    """Normal draws around centres (n), within [0, 1], from uniform ones (n)."""
    low, high = ndtr(-centre / h), ndtr((1.0 - centre) / h)
    drawn: FloatArray = centre + h * ndtri(np.clip(low + uniform * (high - low), 1e-12, 1 - 1e-12))
    return np.clip(drawn, 0.0, 1.0)


def _other_choice(centre: FloatArray, uniform: FloatArray, other: FloatArray, c: int, moves: float) -> FloatArray:
    """The middle of the same choice's cell, or with probability `moves` that of another (n)."""
    number = np.floor(centre * c)
    step = 1.0 + np.floor(other * (c - 1)) if c > 1 else np.zeros_like(centre)
    moved = np.where(uniform < moves, (number + step) % c, number)
    return (moved + 0.5) / c
