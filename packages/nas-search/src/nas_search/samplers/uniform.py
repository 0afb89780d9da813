"""Random pools: members drawn from the space (BONAS 3.3, its BONAS(RS))."""

from __future__ import annotations

from typing import final

import numpy as np

from nas_core.errors import InvalidOption
from nas_core.history import History
from nas_core.optimizer import State
from nas_core.space import Space
from nas_search.candidates import Picks
from nas_search.samplers.base import LogWorth, RandomMembers


@final
class UniformSampler:
    """Draws from the whole space."""

    def __init__(self, space: Space) -> None:
        self.space = space
        self._random = RandomMembers(space)

    def fill(self, pool: Picks, size: int, history: History, log_worth: LogWorth, stream: np.random.Generator) -> None:
        """Put new members into a pool; see `nas_search.samplers.base.Sampler`."""
        self._random.fill(pool, size, stream)

    def state(self) -> State | None:
        """Nothing is carried."""
        return None

    def restore(self, state: State) -> None:
        """Nothing is carried, so a state can only be another's."""
        raise InvalidOption("a random sampler carries no state", value=sorted(state.values))
