"""Hyperband: brackets of successive halving that begin at every fidelity in turn (Li et al. 2018, algorithm 1)."""

from __future__ import annotations

from typing import Any, final

import numpy as np

from nas_core.history import History
from nas_search.candidates import Picks
from nas_search.optimizers.multi_fidelity import MultiFidelityOptimizer, choose_at_random


@final
class Hyperband(MultiFidelityOptimizer):
    """The most promotions first, then one fewer, down to a bracket at the highest fidelity alone, and again."""

    def _kind(self, bracket: int) -> int:
        return self.schedule.kind(bracket)

    def _choose(self, history: History, picks: Picks, stream: np.random.Generator) -> str | None:
        return choose_at_random(self.space, picks, stream)

    def to_config(self) -> dict[str, Any]:
        """The options it runs with."""
        return {"name": "hyperband", **self._options()}
