"""Successive halving: all begin at the lowest fidelity, and of each rung the best go on to the next.

Jamieson, Talwalkar 2016; asynchronously Li et al. 2020 ("A System for Massively Parallel Hyperparameter Tuning").
"""

from __future__ import annotations

from typing import Any, final

import numpy as np

from nas_core.history import History
from nas_search.candidates import Picks
from nas_search.optimizers.multi_fidelity import MultiFidelityOptimizer, choose_at_random


@final
class SuccessiveHalving(MultiFidelityOptimizer):
    """One bracket of all fidelities after another, or a single one without end where `asynchronous`."""

    def _kind(self, bracket: int) -> int:
        return self.schedule.levels - 1

    def _choose(self, history: History, picks: Picks, stream: np.random.Generator) -> str | None:
        return choose_at_random(self.space, picks, stream)

    def to_config(self) -> dict[str, Any]:
        """The options it runs with."""
        return {"name": "successive_halving", **self._options()}
