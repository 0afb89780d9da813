"""NSGA-II as a search of its own: the plain baseline of several objectives.

Deb et al. 2002, in its steady state (Durillo, Nebro, Luna, Alba 2009): parents are the best `population` of all that
has completed, so that workers may finish in any order and nothing is carried. With one objective it is an elitist
genetic algorithm. A child that the study already has is not proposed again; others are made until one is new.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np

from nas_core.architecture import Architecture
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.random import rng
from nas_core.space import Space
from nas_search.candidates import Picks
from nas_search.nsga2 import children, merit_order
from nas_search.optimizers.base import HistoryOptimizer, whole

_LITTERS = 50
_LITTER = 8


@final
class NSGA2(HistoryOptimizer):
    """Crossover and mutation of the non-dominated.

    Args:
        space: any.
        objectives: what the study wants.
        seed: names its random number streams.
        population: how many random members begin, and how many of the best are parents (the paper: 100; the default
            suits a few hundred evaluations).
        allow_twins: propose members that compute the same as one already proposed.

    Raises:
        InvalidOption: an option out of range.
    """

    def __init__(
        self, space: Space, objectives: Objectives, seed: int, *, population: int = 20, allow_twins: bool = False
    ) -> None:
        super().__init__(space, objectives, seed, allow_twins=allow_twins)
        self.population = whole("population", population, least=2)

    def _pick(self, history: History, n: int, picks: Picks) -> Sequence[dict[str, Any]]:
        stream = rng(self.seed, "propose", len(history))
        parents = self._parents(history)
        alive = len(history) - int(np.isnan(history.values).any(axis=1).sum())
        infos: list[dict[str, Any]] = []
        while len(picks) < n:
            bred = parents and alive + len(picks) >= self.population
            if bred and self._add_child(parents, picks, stream):
                infos.append({"by": "crossover"})
            elif picks.add_random(self.space, stream):
                infos.append({"by": "chance"})
            else:
                break
        return infos

    def _parents(self, history: History) -> list[Architecture]:
        """The best of all that has completed, each member once."""
        values, finished = history.values, history.finished
        known = np.flatnonzero(~np.isnan(values).any(axis=1))
        losses, violations = self.objectives.losses(values[known]), self.objectives.violation(values[known])
        order = known[merit_order(losses, violations)]
        return list(dict.fromkeys(finished[i].architecture for i in order.tolist()))[: self.population]

    def _add_child(self, parents: Sequence[Architecture], picks: Picks, stream: np.random.Generator) -> bool:
        return any(
            picks.add(child)
            for _ in range(_LITTERS)
            for child in children(self.space, parents, _LITTER, stream)
        )  # fmt: skip

    def to_config(self) -> dict[str, Any]:
        """The options it runs with."""
        return {"name": "nsga2", "population": self.population, "allow_twins": self.allow_twins}
