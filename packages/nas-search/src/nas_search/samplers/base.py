"""What a sampler is: it fills a pool of candidates that a study has not proposed yet.

Notation
    n  architectures
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.history import History
from nas_core.optimizer import State
from nas_core.space import Enumerable, Space
from nas_search.candidates import Picks

LogWorth: TypeAlias = Callable[[Sequence[Architecture]], NDArray[np.float64]]
"""The log of what evaluating each of n architectures is worth (n); -inf where nothing is to be gained."""

MOST_LISTED: Final = 50_000
"""Members up to which a space is listed."""
_ROUNDS = 4


class Sampler(Protocol):
    """Fills pools."""

    def fill(self, pool: Picks, size: int, history: History, log_worth: LogWorth, stream: np.random.Generator) -> None:
        """Put new members into a pool until it holds `size`, or fewer where the space has no more to give."""
        ...

    def state(self) -> State | None:
        """What the sampler carries from call to call; None where nothing."""
        ...

    def restore(self, state: State) -> None:
        """Take up what was carried."""
        ...


@final
class RandomMembers:
    """Draws members of a space: uniform ones where it can be listed, by `space.sample` where it cannot.

    A list is drawn from because that is many times faster, and a pool is filled for every label.

    Args:
        space: any.
    """

    def __init__(self, space: Space) -> None:
        self.space = space
        self._listed: tuple[Architecture, ...] | None = None

    def fill(self, pool: Picks, size: int, stream: np.random.Generator) -> None:
        """Add new members until a pool holds `size`, or in four rounds no more are found."""
        for _ in range(_ROUNDS):
            wanted = size - len(pool)
            if wanted <= 0:
                return
            for a in self._drawn(wanted, stream):
                pool.add(a)

    def _drawn(self, n: int, stream: np.random.Generator) -> list[Architecture]:
        if not isinstance(self.space, Enumerable) or self.space.size > MOST_LISTED:
            return self.space.sample(stream, n)
        if self._listed is None:
            self._listed = tuple(self.space.enumerate())
        return [self._listed[i] for i in stream.integers(len(self._listed), size=n).tolist()]
