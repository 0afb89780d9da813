"""Local search without repeats: climb by first improvement, start anew where no neighbour is better.

White, Nolen, Savani 2021 ("Exploring the Loss Landscape in Neural Architecture Search") show how strong it is on
tables. The walk is read from the history: each proposal's `info` names the walk (the number of its first trial) and the
base, the member whose neighbour it is. From the newest base the search first moves, at no cost, to a neighbour that is
known to be better from this walk (the last result, or a twin's), again and again; then it proposes the base's
neighbours in a random order. What older walks found is not entered again. While the base itself is still being
evaluated, its neighbours are what the free workers are given.

With several objectives each walk has weights of its own and compares by the weighted Chebyshev distance from the best
value of each objective, scaled by the range seen so far; constraints come first.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import takewhile
from typing import Any, final

import numpy as np

from nas_core.architecture import Architecture
from nas_core.history import History
from nas_core.random import rng
from nas_core.trial import Trial
from nas_search.candidates import Picks
from nas_search.optimizers.base import HistoryOptimizer


@final
class LocalSearch(HistoryOptimizer):
    """Hill climbing by first improvement with random restarts.

    Args:
        space: any space; its `neighbors` are the steps.
        objectives: what the study wants.
        seed: names its random number streams.
        allow_twins: propose cells that compute the same as one already proposed; otherwise they are walked through.
    """

    def _pick(self, history: History, n: int, picks: Picks) -> Sequence[dict[str, Any]]:
        infos: list[dict[str, Any]] = []
        if len(history):
            info = history[len(history) - 1].proposal.info
            walk, base = int(info["walk"]), self.space.canonical(info["base"])
            worth = _Worth(self, history, walk)
            base = self._climbed(base, worth)
            for neighbor in self._steps(base, walk):
                if len(picks) == n:
                    break
                if not worth.hopeless(base) and picks.add(neighbor):
                    infos.append({"walk": walk, "base": list(base.values)})
            if infos or any(trial.proposal.info["walk"] == walk for trial in history.running):
                return infos
        if picks.add_random(self.space, rng(self.seed, "propose", len(history))):
            infos.append({"walk": len(history), "base": list(picks.architectures[0].values)})
        return infos

    def _climbed(self, base: Architecture, worth: _Worth) -> Architecture:
        """The end of the climb over members whose worth is known; `base` itself while its own is not."""
        while (here := worth(base)) is not None:
            known = [(there, a) for a in self._steps(base, worth.walk) if (there := worth(a)) is not None]
            best = min(known, key=lambda pair: pair[0], default=None)
            if best is None or not best[0] < here:
                break
            base = best[1]
        return base

    def _steps(self, base: Architecture, walk: int) -> Iterator[Architecture]:
        """Neighbours of the base in a random order, then those of its twins among them, and so on."""
        key = self._seen.key
        same, queue, met = key(base), [base], {base}
        while queue:
            here = queue.pop(0)
            neighbors = self.space.neighbors(here)
            for i in rng(self.seed, "neighbors", walk, self.space.text(here)).permutation(len(neighbors)):
                neighbor = neighbors[int(i)]
                if neighbor in met:
                    continue
                met.add(neighbor)
                if key(neighbor) == same:
                    queue.append(neighbor)
                else:
                    yield neighbor

    def to_config(self) -> dict[str, Any]:
        """The options it runs with."""
        return {"name": "local_search", "allow_twins": self.allow_twins}


class _Worth:
    """What a walk compares members by: (violation, scalar), less is better; None where the walk knows nothing."""

    def __init__(self, search: LocalSearch, history: History, walk: int) -> None:
        self.walk = walk
        self._search = search
        key = search._seen.key
        self._own = {key(trial.architecture) for trial in takewhile(partial(_belongs, walk), _backwards(history))}
        losses = search.objectives.losses(history.values)
        known = losses[~np.isnan(losses).any(axis=1)]
        m = losses.shape[1]
        self._ideal = known.min(axis=0) if len(known) else np.zeros(m)
        spread = known.max(axis=0) - self._ideal if len(known) else np.ones(m)
        weights = rng(search.seed, "weights", walk).dirichlet(np.ones(m))
        self._scale = weights / np.where(spread > 0, spread, 1.0)

    def __call__(self, architecture: Architecture) -> tuple[float, float] | None:
        seen = self._search._seen
        values = seen.label(architecture) if seen.key(architecture) in self._own else None
        if values is None:
            return None
        if np.isnan(values).any():
            return (float("inf"), float("inf"))
        objectives = self._search.objectives
        loss = objectives.losses(values[None])[0]
        scalar = loss[0] if len(loss) == 1 else float(np.max((loss - self._ideal) * self._scale))
        return (float(objectives.violation(values[None])[0]), float(scalar))

    def hopeless(self, base: Architecture) -> bool:
        """Whether the base is known to have failed: its neighbours are no better bet than a new start."""
        return self(base) == (float("inf"), float("inf"))


def _backwards(history: History) -> Iterator[Trial]:
    """Trials, newest first: those of the newest walk come before all others."""
    return (history[number] for number in range(len(history) - 1, -1, -1))


def _belongs(walk: int, trial: Trial) -> bool:
    return bool(trial.proposal.info["walk"] == walk)
