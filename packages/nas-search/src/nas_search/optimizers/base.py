"""What optimizers without carried state have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from nas_core.errors import Exhausted, InvalidOption
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.optimizer import State
from nas_core.space import Space, require
from nas_core.trial import Proposal
from nas_search.candidates import Picks, Seen, sameness


class HistoryOptimizer(ABC):
    """An optimizer whose only memory is the history; it never proposes what has been evaluated or is running.

    A concrete one gives `requires` and `_pick`; options are its keyword arguments. `_seen` is a derived cache.
    """

    requires: frozenset[str] = frozenset({"decisions"})

    def __init__(self, space: Space, objectives: Objectives, seed: int, *, allow_twins: bool = False) -> None:
        require(space, self.requires, f"the optimizer {type(self).__name__}")
        if not isinstance(allow_twins, bool):
            raise InvalidOption("allow_twins must be true or false", value=allow_twins)
        self.space = space
        self.objectives = objectives
        self.seed = seed
        self.allow_twins = allow_twins
        self._seen = Seen(sameness(space, objectives, allow_twins))

    @abstractmethod
    def _pick(self, history: History, n: int, picks: Picks) -> Sequence[dict[str, Any]]:
        """Choose up to `n` architectures into `picks`; returns the `info` of each."""

    def propose(self, history: History, n: int) -> list[Proposal]:
        """At most `n` new architectures; see `nas_core.optimizer.Optimizer`."""
        if n < 1:
            raise InvalidOption("a call for proposals must ask for at least one", value=n)
        self._seen.read(history)
        picks = Picks(self._seen)
        infos = self._pick(history, n, picks)
        if not picks.architectures and not history.running:
            remedy = None if self.allow_twins else "allow_twins=true evaluates cells that compute the same, too."
            raise Exhausted(
                f"nothing new is left to propose in {self.space.name} after {len(history)} trials", remedy=remedy
            )
        return [Proposal(a, info=info) for a, info in zip(picks.architectures, infos, strict=True)]

    def state(self) -> State | None:
        """Nothing is carried."""
        return None

    def restore(self, state: State) -> None:
        """Nothing is carried, so a state can only be another optimizer's."""
        raise InvalidOption(f"{type(self).__name__} carries no state", value=sorted(state.values))

    @abstractmethod
    def to_config(self) -> dict[str, Any]:
        """The options it runs with."""


def chosen(picks: Picks, info: dict[str, Any]) -> list[dict[str, Any]]:
    """The same `info` for every pick."""
    return [info] * len(picks)


def whole(name: str, value: object, least: int) -> int:
    """An option that must be a whole number of at least `least`.

    Raises:
        InvalidOption: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidOption(f"{name} must be a whole number of at least {least}", value=value)
    return value


def between(name: str, value: object, low: float, high: float) -> float:
    """An option that must be a number from `low` to `high`.

    Raises:
        InvalidOption: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise InvalidOption(f"{name} must be a number from {low:g} to {high:g}", value=value)
    return float(value)
