"""Learnt pools: a controller of decisions, trained by REINFORCE on expected improvement (BONAS 3.3, its BONAS(RL)).

For each pool the controller draws R architectures in batches, learns from what evaluating each would be worth, and then
draws the pool. Its parameters are carried from proposal to proposal. It works on decisions, and so on every space: an
integer decision is a choice of its numbers, a real one of 16 bins, and `project` makes a member of any choices. Members
that the study has already are worth nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical, Decision, Integer, Value
from nas_core.history import History
from nas_core.optimizer import State
from nas_core.random import rng
from nas_core.space import Space
from nas_search.candidates import Picks
from nas_search.samplers.base import LogWorth, RandomMembers

if TYPE_CHECKING:
    from nas_surrogates.controller import Controller

BATCH: Final = 50
_BINS = 16
_ROUNDS = 4


@final
class LearntSampler:
    """A controller that learns to draw what promises improvement.

    Args:
        space: any.
        seed: of the study.
        samples: architectures that it learns from for each pool (R).
    """

    def __init__(self, space: Space, seed: int, samples: int) -> None:
        self.space = space
        self._random = RandomMembers(space)
        self.seed = seed
        self.samples = samples
        self._choices = [_choices(decision) for decision in space.decisions]
        self._controller: Controller | None = None
        self._learnt = False

    def fill(self, pool: Picks, size: int, history: History, log_worth: LogWorth, stream: np.random.Generator) -> None:
        """Learn, then put new members into a pool; see `nas_search.samplers.base.Sampler`."""
        controller = self._made()
        for begun in range(0, self.samples, BATCH):
            choices = controller.draw(min(BATCH, self.samples - begun), stream)
            members = self._members(choices)
            active = np.array([[value is not None for value in a.values] for a in members])
            controller.learn(choices, active, self._rewards(members, pool, log_worth))
        self._learnt = True
        for _ in range(_ROUNDS):
            for a in self._members(controller.draw(size, stream)):
                if len(pool) < size:
                    pool.add(a)
        self._random.fill(pool, size, stream)

    def _rewards(self, members: list[Architecture], pool: Picks, log_worth: LogWorth) -> NDArray[np.float64]:
        """What evaluating each is worth, relative to the best of them; 0 for what is known."""
        logs = log_worth(members)
        new = np.array([pool.is_new(a) for a in members])
        logs = np.where(new, logs, -np.inf)
        best = logs.max()
        return np.exp(logs - best) if np.isfinite(best) else np.zeros(len(members))

    def _members(self, choices: NDArray[np.int64]) -> list[Architecture]:
        project, options = self.space.project, self._choices
        return [project([options[i][k] for i, k in enumerate(row)]) for row in choices.tolist()]

    def _made(self) -> Controller:
        if self._controller is None:
            from nas_surrogates.controller import Controller

            sizes = [len(options) for options in self._choices]
            self._controller = Controller(sizes, rng(self.seed, "controller"))
        return self._controller

    def state(self) -> State | None:
        """The controller, once it has learnt."""
        return State(self._made().state()) if self._learnt else None

    def restore(self, state: State) -> None:
        """Take up a controller."""
        self._made().restore(state.arrays)
        self._learnt = True


def _choices(decision: Decision) -> tuple[Value, ...]:
    """What a decision is chosen from."""
    if isinstance(decision, Categorical):
        return decision.choices
    if isinstance(decision, Integer):
        return tuple(range(decision.low, decision.high + 1))
    return tuple(decision.from_unit((k + 0.5) / _BINS) for k in range(_BINS))
