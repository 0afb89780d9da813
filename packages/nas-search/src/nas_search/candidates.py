"""Candidates that a study has not proposed yet, up to sameness.

Where every objective and constraint depends on a network's function alone and the space has twin rules, a twin of
what has been proposed counts as proposed: its label is known. Otherwise, or where twins are allowed, only equal
architectures are the same (design: "Three kinds of sameness").
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.space import Enumerable, HasTwins, Space

Key: TypeAlias = Callable[[Architecture], Hashable]

_TRIES = 100
_TRIES_WITHOUT_A_LIST = 10_000
_REMEMBERED = 1 << 16


def sameness(space: Space, objectives: Objectives, allow_twins: bool) -> Key:
    """The key under which two architectures are the same for a study."""
    if isinstance(space, HasTwins) and objectives.functional and not allow_twins:
        return lru_cache(_REMEMBERED)(space.twin_key)
    return lambda architecture: architecture


class Seen:
    """What a history has already, by sameness: a derived cache that reads each trial twice at most.

    Args:
        key: what makes two architectures the same.
    """

    def __init__(self, key: Key) -> None:
        self.key = key
        self._reset()

    def _reset(self) -> None:
        self._begun = 0
        self._finished = 0
        self._last: Architecture | None = None
        self._keys: set[Hashable] = set()
        self._labels: dict[Hashable, NDArray[np.float64]] = {}

    def read(self, history: History) -> None:
        """Take in what a history has gained since the last call; another history is read from its start."""
        if self._begun > len(history) or (self._begun and history[self._begun - 1].architecture != self._last):
            self._reset()
        if self._finished > history.seq:
            self._reset()
        for number in range(self._begun, len(history)):
            self._keys.add(self.key(history[number].architecture))
        values = history.values
        for row, trial in enumerate(history.since(self._finished), start=self._finished):
            kind = self.key(trial.architecture)
            if kind not in self._labels or np.isnan(self._labels[kind]).any():
                self._labels[kind] = values[row].copy()
        self._begun, self._finished = len(history), history.seq
        self._last = history[self._begun - 1].architecture if self._begun else None

    def __contains__(self, architecture: Architecture) -> bool:
        """Whether the same has been proposed, finished or not."""
        return self.key(architecture) in self._keys

    def label(self, architecture: Architecture) -> NDArray[np.float64] | None:
        """The first measured values (M) of the same; NaN where it failed only; None where nothing has finished."""
        return self._labels.get(self.key(architecture))


class Picks:
    """Architectures chosen for one call of `propose`: new to the study and to each other."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._keys: set[Hashable] = set()
        self.architectures: list[Architecture] = []

    def __len__(self) -> int:
        return len(self.architectures)

    def is_new(self, architecture: Architecture) -> bool:
        """Whether an architecture could be added."""
        return self._seen.key(architecture) not in self._keys and architecture not in self._seen

    def add(self, architecture: Architecture) -> bool:
        """Choose an architecture if it is new; says whether it was."""
        key = self._seen.key(architecture)
        if key in self._keys or architecture in self._seen:
            return False
        self._keys.add(key)
        self.architectures.append(architecture)
        return True

    def add_random(self, space: Space, rng: np.random.Generator) -> bool:
        """Choose one new member at random; False where the space has none left.

        Draws from `space.sample` until a draw is new. After many vain draws a space that can list its members gives a
        uniform one of those that are left; another space is taken to be used up after 10,000 draws.
        """
        for tried in range(_TRIES_WITHOUT_A_LIST):
            if self.add(space.sample(rng, 1)[0]):
                return True
            if tried + 1 == _TRIES and isinstance(space, Enumerable):
                break
        if not isinstance(space, Enumerable):
            return False
        left = [a for a in space.enumerate() if a not in self._seen and self._seen.key(a) not in self._keys]
        return bool(left) and self.add(left[int(rng.integers(len(left)))])
