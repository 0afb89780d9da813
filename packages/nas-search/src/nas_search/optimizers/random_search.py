"""Random search without repeats: the baseline that every method has to beat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from nas_core.history import History
from nas_core.random import rng
from nas_search.candidates import Picks
from nas_search.optimizers.base import HistoryOptimizer, chosen


@final
class RandomSearch(HistoryOptimizer):
    """Draws from the space's own distribution and leaves out what the study already has.

    Args:
        space: any space.
        objectives: what the study wants; random search does not read it, except to know whether twins are the same.
        seed: names its random number streams.
        allow_twins: propose cells that compute the same as one already proposed.
    """

    def _pick(self, history: History, n: int, picks: Picks) -> Sequence[dict[str, Any]]:
        stream = rng(self.seed, "propose", len(history))
        while len(picks) < n and picks.add_random(self.space, stream):
            pass
        return chosen(picks, {})

    def to_config(self) -> dict[str, Any]:
        """The options it runs with."""
        return {"name": "random", "allow_twins": self.allow_twins}
