"""BOHB: Hyperband whose new members come from a density of what was good so far.

Falkner, Klein, Hutter 2018 ("BOHB: Robust and Efficient Hyperparameter Optimization at Scale"), with the constants of
their code (min_points_in_model = d + 1, top 15 %, 64 candidates, a third at random, bandwidths times 3). NAGO, §3.2,
searches generators with it. What differs from the published code, and why:

* The model begins with d + 3 results at one fidelity (the paper's N_min + 2) instead of 2 (d + 1): it works from the
  first brackets on.
* Bandwidths are at least 1 / (1 + n), not 0.001, with which the density collapses onto its own draws
  (`nas_search.optimizers.densities`); and half of the candidates are drawn from the density itself, where the code has
  all of them from the one that is three times as wide: those search between what is known, these close to it. On
  Hartmann-6 with a noisy cheap fidelity that is what reaches HpBandSter's BOHB (`bohb_hartmann6`).
* Nothing is proposed twice (up to twins where the objectives allow): of the candidates the best new one is taken.
* Several objectives and constraints: good and bad are told apart by `nas_search.ranking`, and so are those who are
  promoted (NAGO, footnote 3).
* `proposer="gp"` takes the expected improvement of a surrogate over random members instead, which is what the published
  code of NAGO calls BOHB (its Gaussian process has a Matern kernel; ours is the toolkit's).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np

from nas_core.errors import InvalidOption
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.registry import from_config
from nas_core.space import Space
from nas_core.trial import Trial
from nas_search.candidates import Picks
from nas_search.optimizers.base import between, whole
from nas_search.optimizers.densities import Density, encoded
from nas_search.optimizers.multi_fidelity import MultiFidelityOptimizer, choose_at_random
from nas_search.ranking import ranked

PROPOSERS = ("kde", "gp")


@final
class BOHB(MultiFidelityOptimizer):
    """Hyperband with a model.

    Args:
        space: any.
        objectives: what the study wants.
        seed: names the random number streams.
        fidelities: ascending; one alone makes it plain optimization with the model.
        eta: see `MultiFidelityOptimizer`, as are promote, asynchronous and allow_twins.
        proposer: "kde", the densities of the paper; "gp", a surrogate's expected improvement.
        random: share of new members that are drawn at random.
        top: share of the results that count as good.
        least: results that each density is made of at least; None for the number of decisions and one more.
        candidates: how many are weighed for each new member.
        spread: factor on the bandwidths from which half of the candidates are drawn; the others have 1.
        surrogate: of the proposer "gp": a registered name, or {"name": …, options}.

    Raises:
        InvalidOption: an option out of range.
        RegistryError: no such surrogate is installed.
    """

    def __init__(
        self,
        space: Space,
        objectives: Objectives,
        seed: int,
        *,
        fidelities: Sequence[float],
        eta: float | None = None,
        promote: str | None = None,
        asynchronous: bool = False,
        allow_twins: bool = False,
        proposer: str = "kde",
        random: float = 1 / 3,
        top: float = 0.15,
        least: int | None = None,
        candidates: int = 64,
        spread: float = 3.0,
        surrogate: str | Mapping[str, Any] = "gp",
    ) -> None:
        super().__init__(
            space, objectives, seed, fidelities=fidelities, eta=eta, promote=promote, asynchronous=asynchronous,
            allow_twins=allow_twins,
        )  # fmt: skip
        if proposer not in PROPOSERS:
            raise InvalidOption("no such proposer", value=proposer, expected="one of " + ", ".join(PROPOSERS))
        self.proposer = proposer
        self.random = between("random", random, 0.0, 1.0)
        self.top = between("top", top, 0.0, 1.0)
        self.least = len(space.decisions) + 1 if least is None else whole("least", least, least=2)
        self.candidates = whole("candidates", candidates, least=1)
        self.spread = between("spread", spread, 1e-3, 1e3)
        self._surrogate_config = {"name": surrogate} if isinstance(surrogate, str) else dict(surrogate)
        self._surrogate = from_config("surrogate", self._surrogate_config, space) if proposer == "gp" else None

    def _kind(self, bracket: int) -> int:
        return self.schedule.kind(bracket)

    def _choose(self, history: History, picks: Picks, stream: np.random.Generator) -> str | None:
        by_chance = stream.random() < self.random  # drawn always, so that the stream does not depend on the model
        results = None if by_chance else self._results(history)
        if results is not None:
            found = self._by_surrogate if self.proposer == "gp" else self._by_densities
            if found(history, results, picks, stream):
                return "model"
        return choose_at_random(self.space, picks, stream)

    def _results(self, history: History) -> tuple[float, list[int]] | None:
        """The highest fidelity with enough results for a model, and their rows in the history; None where none has."""
        rows: dict[float, list[int]] = {}
        for row, trial in enumerate(history.finished):
            if trial.proposal.fidelity is not None:
                rows.setdefault(trial.proposal.fidelity, []).append(row)
        enough = [fidelity for fidelity, own in rows.items() if len(own) >= self.least + 2]
        return (max(enough), rows[max(enough)]) if enough else None

    def _by_densities(
        self, history: History, results: tuple[float, list[int]], picks: Picks, stream: np.random.Generator
    ) -> bool:
        """The candidate with the greatest ratio of the good density to the bad one that is new."""
        good, bad = self._split(history, results[1])
        near = self.candidates // 2
        candidates = good.sample(stream, near, 1.0) + good.sample(stream, self.candidates - near, self.spread)
        points = encoded(self.space, candidates)
        order = np.argsort(bad.log(points) - good.log(points), kind="stable")
        return any(picks.add(candidates[i]) for i in order.tolist())

    def _split(self, history: History, rows: Sequence[int]) -> tuple[Density, Density]:
        """Densities of the good and of the bad (Falkner et al., equation 3); they share results while there are few."""
        trials: list[Trial] = history.finished
        order = [trials[rows[i]].architecture for i in ranked(self.objectives, history.values[list(rows)]).tolist()]
        n_good = max(self.least, round(self.top * len(order)))
        n_bad = max(self.least, len(order) - n_good)
        return Density(self.space, order[:n_good]), Density(self.space, order[-n_bad:])

    def _by_surrogate(
        self, history: History, results: tuple[float, list[int]], picks: Picks, stream: np.random.Generator
    ) -> bool:
        """The new one of random members with the greatest utility."""
        from nas_search.optimizers.utility_of import utilities

        if self._surrogate is None or np.isnan(history.values[results[1]]).all():
            return False
        candidates = list(dict.fromkeys(self.space.sample(stream, self.candidates)))
        utility = utilities(self._surrogate, self.space, self.objectives, history, results[0], candidates, self.seed)
        order = np.argsort(-utility, kind="stable")
        return any(picks.add(candidates[i]) for i in order.tolist())

    def to_config(self) -> dict[str, Any]:
        """The options it runs with."""
        own = ("proposer", "random", "top", "least", "candidates", "spread")
        options = {"name": "bohb", **self._options(), **{name: getattr(self, name) for name in own}}
        return options | {"surrogate": self._surrogate_config}
