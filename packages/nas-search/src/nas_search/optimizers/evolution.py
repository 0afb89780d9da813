"""Regularized evolution: aging and tournament selection.

Real, Aggarwal, Huang, Le 2019, "Regularized Evolution for Image Classifier Architecture Search", Algorithm 1: a
tournament chooses a parent, one mutation makes a child, and the oldest of the population dies.

The population is read from the history: the youngest `population` completed trials in the order in which they finished.
So nothing is carried, failed trials never enter, and workers may finish in any order. Two things differ from the
paper's listing: a child that the study already has is not proposed again (the walk of mutations goes on from it), and
several objectives or constraints are compared by non-dominated rank and crowding within the population.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.errors import InvalidOption
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.random import rng
from nas_core.space import Space
from nas_core.trial import Trial
from nas_search.candidates import Picks
from nas_search.optimizers.base import HistoryOptimizer, whole

_LONGEST_WALK = 100


@final
class RegularizedEvolution(HistoryOptimizer):
    """Aging evolution with tournament selection.

    Args:
        space: any space; its `mutate` is the mutation.
        objectives: what the study wants.
        seed: names its random number streams.
        population: how many live at a time (the paper: 100; the default suits a few hundred evaluations).
        tournament: how many are drawn, with replacement, to choose a parent from (the paper: 25).
        allow_twins: propose cells that compute the same as one already proposed.

    Raises:
        InvalidOption: a tournament larger than the population, or numbers below 1.
    """

    def __init__(
        self,
        space: Space,
        objectives: Objectives,
        seed: int,
        *,
        population: int = 20,
        tournament: int = 5,
        allow_twins: bool = False,
    ) -> None:
        super().__init__(space, objectives, seed, allow_twins=allow_twins)
        self.population = whole("population", population, least=1)
        self.tournament = whole("tournament", tournament, least=1)
        if self.tournament > self.population:
            raise InvalidOption(
                "the tournament is larger than the population", value=tournament, expected=f"<= {population}"
            )

    def _pick(self, history: History, n: int, picks: Picks) -> Sequence[dict[str, Any]]:
        stream = rng(self.seed, "propose", len(history))
        completed = np.flatnonzero(~np.isnan(history.values).any(axis=1))
        alive = len(history) - (history.seq - len(completed))
        living, fitness = self._living(history, completed[-self.population :])
        infos: list[dict[str, Any]] = []
        while len(picks) < n:
            parent: Trial | None = None
            if living and alive + len(picks) >= self.population:
                drawn = stream.integers(len(living), size=self.tournament)
                parent = living[int(drawn[np.argmin(fitness[drawn])])]
            if parent is not None and self._add_child(parent.architecture, stream, picks):
                infos.append({"parent": parent.number})
            elif picks.add_random(self.space, stream):
                infos.append({"parent": None})
            else:
                break
        return infos

    def _living(self, history: History, rows: NDArray[np.intp]) -> tuple[list[Trial], NDArray[np.float64]]:
        """The population, and the fitness of each member within it."""
        if len(rows) == 0:
            return [], np.empty(0)
        first = int(rows[0])
        young = history.since(first)
        return [young[row - first] for row in rows], self.objectives.fitness(history.values[rows])

    def _add_child(self, parent: Architecture, stream: np.random.Generator, picks: Picks) -> bool:
        """Mutate until the child is new; a child that is not new is walked through, at most 100 steps."""
        child = parent
        for _ in range(_LONGEST_WALK):
            child = self.space.mutate(child, stream)
            if picks.add(child):
                return True
        return False

    def to_config(self) -> dict[str, Any]:
        """The options it runs with."""
        return {
            "name": "evolution",
            "population": self.population,
            "tournament": self.tournament,
            "allow_twins": self.allow_twins,
        }
