"""Evolutionary pools: mutations of tournament winners in an ageing population (BONAS 3.3; Real et al. 2019).

The population is the last trials that were completed; every new one comes in and the oldest goes. A tournament draws
some of them and its best, by what was measured, is the parent; each candidate has a tournament of its own and is one
mutation away from its parent, of its edges or of its operations (`nas_search.graph_mutations`), one as likely as the
other. Operations may also be mutated to themselves in the paper; such candidates are the parent, evaluated already.

Choices: the paper gives neither number; population 100 and tournament 25 are those of Real et al. The published code
has 30 and 10, draws one parent for a whole pool and takes all its mutations; in that population the best has died
thirty labels after it was found, and where nothing better has come by then the search does not find back: 3 of 11 seeds
on NAS-Bench-201 (`bonas_nb201_population_30`). With fewer trials than that, all of them are the population (the code
stops with an error at the paper's N = 10). What mutations of the population cannot fill is filled with random members.
"""

from __future__ import annotations

from typing import final

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.errors import InvalidOption
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.optimizer import State
from nas_core.space import Space
from nas_search.candidates import Picks
from nas_search.graph_mutations import KINDS, GraphMutations
from nas_search.samplers.base import LogWorth, RandomMembers


@final
class AgingSampler:
    """Mutations of an ageing population.

    Args:
        space: with graphs.
        objectives: what a tournament is won by.
        population: how many live at a time.
        tournament: how many are drawn, without repeats, to choose a parent from.
        sources: see `nas_search.graph_mutations`.
    """

    def __init__(
        self, space: Space, objectives: Objectives, population: int, tournament: int, sources: str = "any"
    ) -> None:
        self.space = space
        self._random = RandomMembers(space)
        self.objectives = objectives
        self.population = population
        self.tournament = tournament
        self.mutations = GraphMutations(space, sources)

    def fill(self, pool: Picks, size: int, history: History, log_worth: LogWorth, stream: np.random.Generator) -> None:
        """Put new members into a pool; see `nas_search.samplers.base.Sampler`."""
        rows = np.flatnonzero(~np.isnan(history.values).any(axis=1))[-self.population :]
        if len(rows):
            finished = history.since(int(rows[0]))
            living = [finished[row - rows[0]].architecture for row in rows]
            fitness = self.objectives.fitness(history.values[rows])
            self._mutate(pool, size, living, fitness, stream)
        self._random.fill(pool, size, stream)

    def _mutate(
        self,
        pool: Picks,
        size: int,
        living: list[Architecture],
        fitness: NDArray[np.float64],
        stream: np.random.Generator,
    ) -> None:
        """As many mutations as the pool has room for; those that are not new are drawn in vain."""
        wanted = size - len(pool)
        tried: set[Architecture] = set()
        order = np.argsort(stream.random((wanted, len(living))), axis=1)[:, : self.tournament]
        parents = order[np.arange(wanted), np.argmin(fitness[order], axis=1)]
        for parent, kind, chance in zip(parents, stream.integers(2, size=wanted), stream.random(wanted), strict=True):
            a = living[int(parent)]
            children = self.mutations.of(a, KINDS[kind]) or self.mutations.of(a, KINDS[1 - kind])
            child = children[int(chance * len(children))] if children else a
            if child not in tried:
                tried.add(child)
                pool.add(child)

    def state(self) -> State | None:
        """Nothing is carried."""
        return None

    def restore(self, state: State) -> None:
        """Nothing is carried, so a state can only be another's."""
        raise InvalidOption("an evolutionary sampler carries no state", value=sorted(state.values))
