"""What an optimizer is: a function of the history.

`propose` depends on the configuration, the seed, the carried state, the history and `n` alone; its randomness is
`rng(seed, "propose", len(history))`. What an optimizer remembers between calls is either derived (a cache that a fresh
instance would rebuild equal) or carried (`state`, stored together with the proposals it led to).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nas_core.history import History
from nas_core.trial import Proposal


@dataclass(frozen=True)
class State:
    """Carried state: named arrays and JSON, nothing else, so that a store can keep it without unpickling."""

    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, State) or self.values != other.values or self.arrays.keys() != other.arrays.keys():
            return False
        return all(np.array_equal(array, other.arrays[name]) for name, array in self.arrays.items())

    __hash__ = None  # type: ignore[assignment]


@runtime_checkable
class Optimizer(Protocol):
    """Proposes the next trials. Made as `kind(space, objectives, seed, **options)`."""

    requires: frozenset[str]
    """Capabilities of a space (`nas_core.space.CAPABILITIES`) that it reads."""

    def propose(self, history: History, n: int) -> list[Proposal]:
        """At most `n` proposals; fewer, or none, means: wait for running trials.

        All proposals of one group are made in one call and count as one. Groups are evaluated one after the other. An
        optimizer that has their size in an attribute `group` is refused with an evaluator that cannot evaluate them.

        Raises:
            Exhausted: nothing is left to propose and nothing is running.
        """
        ...

    def state(self) -> State | None:
        """The carried state after the last `propose`; None where nothing is carried."""
        ...

    def restore(self, state: State) -> None:
        """Take up a carried state."""
        ...

    def to_config(self) -> dict[str, Any]:
        """The options it runs with, defaults included, as plain data."""
        ...
