"""NSGA-II over the decisions of a space: children of a population, and who of all survives.

Deb, Pratap, Agarwal, Meyarivan 2002 ("A fast and elitist multiobjective genetic algorithm: NSGA-II"), with their
operators on the unit interval of each decision that has an order: simulated binary crossover (index 15, 9 pairs of 10)
and polynomial mutation (index 20, one decision of d on average). Whole numbers cross likewise; they and choices mutate
to any other value, and choices cross by being exchanged. What a child may not be is put right by `space.project`.

Notation
    n  members          d  decisions          m  losses, minimised
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical, Real
from nas_core.pareto import constrained_fronts, crowding_distance
from nas_core.space import Space
from nas_search.optimizers.densities import encoded

FloatArray: TypeAlias = NDArray[np.float64]

_CROSSED = 0.9
_CROSSOVER_INDEX = 15.0
_MUTATION_INDEX = 20.0


@dataclass(frozen=True)
class Scored:
    """Members and what is known of them.

    Args:
        members: n of them, all different.
        losses: n x m.
        violations: how far each is from what is allowed (n); 0 where it is allowed.
    """

    members: tuple[Architecture, ...]
    losses: FloatArray
    violations: FloatArray

    def __len__(self) -> int:
        return len(self.members)

    def at(self, rows: NDArray[np.int64]) -> Scored:
        """Those of some rows, in their order."""
        return Scored(tuple(self.members[i] for i in rows.tolist()), self.losses[rows], self.violations[rows])

    def with_new(self, other: Scored) -> Scored:
        """These and whoever of the others is not among them."""
        known = set(self.members)
        new = np.array([i for i, a in enumerate(other.members) if a not in known], dtype=np.int64)
        more = other.at(new)
        return Scored(
            self.members + more.members,
            np.concatenate([self.losses, more.losses]),
            np.concatenate([self.violations, more.violations]),
        )


Score: TypeAlias = Callable[[Sequence[Architecture]], tuple[FloatArray, FloatArray]]
"""Losses (n x m, finite) and violations (n) of n members."""


def evolved(
    space: Space,
    start: Sequence[Architecture],
    score: Score,
    rng: np.random.Generator,
    *,
    population: int,
    generations: int,
) -> Scored:
    """The population after so many generations, the best first.

    Args:
        space: of the members.
        start: at least one member; the first population is chosen among them.
        score: what is minimised.
        rng: the source of all randomness.
        population: how many live, and how many children a generation has.
        generations: how many follow the first population.
    """
    living = _scored(tuple(dict.fromkeys(start)), score)
    living = living.at(merit_order(living.losses, living.violations)[:population])
    for _ in range(generations):
        born = tuple(dict.fromkeys(children(space, living.members, population, rng)))
        everyone = living.with_new(_scored(born, score))
        living = everyone.at(merit_order(everyone.losses, everyone.violations)[:population])
    return living


def merit_order(losses: FloatArray, violations: FloatArray) -> NDArray[np.int64]:
    """Rows (n) from the best to the worst: by front (constrained dominance), then by the room around each."""
    fronts = constrained_fronts(losses, violations)
    room = np.zeros(len(losses))
    for front in range(int(fronts.max(initial=-1)) + 1):
        own = fronts == front
        room[own] = crowding_distance(losses[own])
    return np.lexsort((-room, fronts)).astype(np.int64)


def children(space: Space, parents: Sequence[Architecture], n: int, rng: np.random.Generator) -> list[Architecture]:
    """`n` members made from pairs that won a tournament of two.

    Args:
        space: of the members.
        parents: at least one, the best first: who comes earlier wins.
        n: how many.
        rng: the source of all randomness.
    """
    units = encoded(space, parents)
    units = np.where(units < 0.0, rng.random(units.shape), units)  # an inactive decision has no value to pass on
    pairs = (n + 1) // 2
    winners = rng.integers(len(parents), size=(2, pairs, 2)).min(axis=2)
    made = _mutated(space, np.concatenate(_crossed(space, units[winners[0]], units[winners[1]], rng)), rng)
    return [
        space.project([decision.from_unit(float(u)) for decision, u in zip(space.decisions, row, strict=True)])
        for row in made[:n]
    ]


def _scored(members: tuple[Architecture, ...], score: Score) -> Scored:
    return Scored(members, *score(members))


def _crossed(
    space: Space, first: FloatArray, second: FloatArray, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Two children of each pair (n x d each)."""
    shape = first.shape
    chosen = (rng.random((shape[0], 1)) < _CROSSED) & (rng.random(shape) < 0.5)
    u = rng.random(shape)
    # the spread of the children about the parents' mean (Deb, Agrawal 1995)
    spread = np.where(u <= 0.5, 2.0 * u, 0.5 / (1.0 - np.minimum(u, 1.0 - 1e-12))) ** (1.0 / (_CROSSOVER_INDEX + 1.0))
    middle, half = (first + second) / 2.0, (first - second) / 2.0
    choice = np.array([isinstance(decision, Categorical) for decision in space.decisions])
    blended = chosen & ~choice
    one = np.where(blended, np.clip(middle + spread * half, 0.0, 1.0), first)
    other = np.where(blended, np.clip(middle - spread * half, 0.0, 1.0), second)
    exchanged = chosen & (choice | (rng.random(shape) < 0.5))  # without this no child takes after both parents
    return np.where(exchanged, other, one), np.where(exchanged, one, other)


def _mutated(space: Space, units: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Each decision changed with probability 1 / d (n x d)."""
    changes = rng.random(units.shape) < 1.0 / units.shape[1]
    u, found = rng.random(units.shape), units.copy()
    power = 1.0 / (_MUTATION_INDEX + 1.0)
    for k, decision in enumerate(space.decisions):
        column, draw = units[:, k], u[:, k]
        if isinstance(decision, Real):
            near = np.where(
                draw < 0.5,
                (2.0 * draw + (1.0 - 2.0 * draw) * (1.0 - column) ** (1.0 / power)) ** power - 1.0,
                1.0 - (2.0 * (1.0 - draw) + (2.0 * draw - 1.0) * column ** (1.0 / power)) ** power,
            )
            new = np.clip(column + near, 0.0, 1.0)
        else:
            c = decision.size
            step = 1.0 + np.floor(draw * (c - 1)) if c > 1 else np.zeros_like(draw)
            new = ((np.minimum(np.floor(column * c), c - 1) + step) % c + 0.5) / c
        found[:, k] = np.where(changes[:, k], new, column)
    return found
