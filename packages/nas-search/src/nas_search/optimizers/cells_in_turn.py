"""Which graphs of an architecture a round of AG-Net searches, where there are several (details of the paper, C.5).

    together     all at once
    phases       one after the other, as in the published search for DARTS cells: normal cells beside one random
                 reduction cell until half of the labels are spent, then reduction cells beside the best normal cell
    alternating  another one in each round, the others being those of the best architecture known

Notation
    g  graphs of an architecture
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, final

import numpy as np

from nas_core.architecture import Architecture
from nas_core.errors import InvalidOption
from nas_core.random import rng
from nas_core.space import HasGraphs, Space
from nas_search.optimizers.base import whole

CELLS: Final = ("together", "phases", "alternating")


@final
@dataclass(frozen=True)
class CellsInTurn:
    """How the graphs of a space's members are searched.

    Args:
        cells: one of `CELLS`.
        phase: labels after which the next graph is searched, where there are phases; the last one is searched on.

    Raises:
        InvalidOption: no such way, or no whole number.
    """

    cells: str = "together"
    phase: int = 152

    def __post_init__(self) -> None:
        if self.cells not in CELLS:
            raise InvalidOption("no such way to search cells", value=self.cells, expected="one of " + ", ".join(CELLS))
        whole("phase", self.phase, least=1)

    def check(self, space: Space) -> None:
        """See that there is something to take turns.

        Raises:
            InvalidOption: members of the space have one graph.
        """
        if self.cells == "together" or not isinstance(space, HasGraphs):
            return
        if len(space.graphs(space.sample(rng(0, "turns"), 1)[0])) < 2:
            raise InvalidOption(
                f"members of {space.name} have one cell, which leaves nothing to take turns",
                value=self.cells,
                expected="cells=together",
            )

    def searched(self, start: int, round_number: int, g: int) -> tuple[int, ...]:
        """The graphs of a round that begins after `start` labels, in ascending order; () for all."""
        if self.cells == "together":
            return ()
        return (round_number % g if self.cells == "alternating" else min(start // self.phase, g - 1),)

    def partner(self, space: Space, best: Architecture, searched: tuple[int, ...], seed: int) -> Architecture | None:
        """Whose graphs a round keeps beside those that it searches; None where it keeps none.

        In the first phase no graph has been searched yet, and the partner is a random member, the same for the phase.
        """
        if not searched:
            return None
        if self.cells == "phases" and searched[0] == 0:
            stream: np.random.Generator = rng(seed, "partner")
            return space.sample(stream, 1)[0]
        return best
