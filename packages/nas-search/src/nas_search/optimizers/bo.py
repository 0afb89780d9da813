"""Bayesian optimization: a surrogate of the history says what each candidate is worth, and the best is proposed.

Jones, Schonlau, Welch 1998 ("Efficient Global Optimization"), with the logarithm of expected improvement (Ament et al.
2023), over spaces of cells (Kandasamy et al. 2018; Ru et al. 2021). The default surrogate is `gp` of nas-surrogates.

The candidates are the whole space where it can be listed up to a stated size. Otherwise they are grown for each call:
mutations of the best members, up to three in a row, and as many random members.

The surrogate is fitted to a prefix of the history that grows by steps of a twentieth; later labels are taken in one by
one. So the posterior follows from the history alone, and one that was kept equals one that is made anew. A surrogate
that cannot take in labels is fitted at every label. Running trials, and the earlier picks of a batch, are taken in as
though they had been measured at their predictions. A failed trial counts as the worst value known when it failed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.random import derived_seed, rng
from nas_core.registry import from_config
from nas_core.space import Enumerable, HasTwins, Space
from nas_core.surrogate import Conditions, Surrogate
from nas_core.training_set import TrainingSet
from nas_core.trial import Trial
from nas_search.candidates import Picks
from nas_search.failed_members import with_failures
from nas_search.optimizers.base import HistoryOptimizer, between, whole

if TYPE_CHECKING:
    from nas_surrogates.pools import PoolPosterior

FloatArray = NDArray[np.float64]

_INITIAL = 10
_PARENTS = 10
_LONGEST_WALK = 3


@final
class BayesianOptimization(HistoryOptimizer):
    """Expected improvement on a surrogate of what was evaluated.

    Args:
        space: any that the surrogate takes.
        objectives: what the study wants; several, and constraints, too.
        seed: names its random number streams.
        initial: labels of random members before the surrogate is asked; by default 10 for each objective.
        surrogate: a registered name, or a configuration {"name": …, options}.
        refit: the share by which labels grow until hyperparameters are fitted again; 0 fits at every label.
        largest: size up to which a space is listed as a whole.
        pool: candidates that are grown where it is not.
        allow_twins: propose cells that compute the same as one already proposed.

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
        initial: int | None = None,
        surrogate: str | Mapping[str, Any] = "gp",
        refit: float = 0.05,
        largest: int = 50_000,
        pool: int = 1000,
        allow_twins: bool = False,
    ) -> None:
        super().__init__(space, objectives, seed, allow_twins=allow_twins)
        asked = _INITIAL * len(objectives.objectives) if initial is None else initial
        self.initial = whole("initial", asked, least=1)
        self.largest = whole("largest", largest, least=0)
        self.pool = whole("pool", pool, least=2)
        self.refit = between("refit", refit, 0.0, 1.0)
        config = {"name": surrogate} if isinstance(surrogate, str) else dict(surrogate)
        self.surrogate: Surrogate = from_config("surrogate", config, space)
        self._surrogate_config = {**self.surrogate.to_config(), "name": config["name"]}
        twins = isinstance(space, HasTwins) and objectives.functional
        self._pools_by = space.twin_key if twins else None  # type: ignore[attr-defined]
        self._list: _List | None = None
        self._kept: _Kept | None = None

    def _pick(self, history: History, n: int, picks: Picks) -> Sequence[dict[str, Any]]:
        stream = rng(self.seed, "propose", len(history))
        failed = np.isnan(history.values).any(axis=1)
        alive = len(history) - int(failed.sum())
        infos: list[dict[str, Any]] = []
        while len(picks) < n and (alive + len(picks) < self.initial or failed.all()):
            if not picks.add_random(self.space, stream):
                return infos
            infos.append({"by": "chance"})
        return infos if len(picks) == n else [*infos, *self._by_utility(history, n, picks, stream)]

    def _by_utility(self, history: History, n: int, picks: Picks, stream: np.random.Generator) -> list[dict[str, Any]]:
        """Add the candidates of greatest utility, each in the light of those before; random ones when they run out."""
        from nas_surrogates.pools import over, pool_of
        from nas_surrogates.utility import columns, log_utility

        model = self._model(history)
        if self._list is None:
            candidates: Sequence[Architecture] = self._grown(history, stream)
            model = over(model.posterior, pool_of(self.surrogate, candidates))
        else:
            candidates = self._list.members
        observed = columns(self.objectives).losses(history.values[~np.isnan(history.values).any(axis=1)])
        for a in [*(trial.architecture for trial in history.running), *picks.architectures]:
            model, observed = _believed(model, observed, a)
        infos: list[dict[str, Any]] = []
        while len(picks) < n:
            seed = derived_seed(self.seed, "utility", len(history), len(picks))
            utility = log_utility(model, observed, self.objectives, seed)
            shuffled = stream.permutation(len(candidates))  # ties are broken by chance
            order = shuffled[np.argsort(-utility[shuffled], kind="stable")]
            if any(picks.add(candidates[i]) for i in order.tolist()):
                infos.append({"by": "utility"})
            elif self._list is None and picks.add_random(self.space, stream):
                infos.append({"by": "chance"})
            else:
                break
            if len(picks) < n:
                model, observed = _believed(model, observed, picks.architectures[-1])
        return infos

    def _grown(self, history: History, stream: np.random.Generator) -> list[Architecture]:
        """Candidates where the space is not listed."""
        fitness = self.objectives.fitness(history.values)
        finished = history.finished
        parents = [finished[i].architecture for i in np.argsort(fitness, kind="stable")[:_PARENTS]]
        found = dict.fromkeys(self.space.sample(stream, self.pool - self.pool // 2))
        for _ in range(self.pool // 2):
            child = parents[int(stream.integers(len(parents)))]
            for _ in range(int(stream.integers(1, _LONGEST_WALK + 1))):
                child = self.space.mutate(child, stream)
            found[child] = None
        return list(found)

    def _model(self, history: History) -> PoolPosterior:
        """The posterior of all finished trials, at the listed members where there is a list."""
        fitted_at = self._fitted_at(history)
        kept = self._kept
        if kept is None or not kept.begins(history) or kept.fitted_at != fitted_at:
            kept = self._fit(history, fitted_at)
        if kept.read < history.seq and not isinstance(kept.model.posterior, Conditions):
            kept = self._fit(history, history.seq)
        self._kept = self._read(kept, history)
        return self._kept.model

    def _fitted_at(self, history: History) -> int:
        """How many of the finished trials hyperparameters are fitted to; at least one of them has not failed."""
        at = self.initial
        while (later := at + max(1, int(self.refit * at))) <= history.seq:
            at = later
        first = int(np.argmin(np.isnan(history.values).any(axis=1))) + 1
        return max(min(at, history.seq), first)

    def _fit(self, history: History, fitted_at: int) -> _Kept:
        from nas_surrogates.pools import PlainPool, over, pool_of
        from nas_surrogates.utility import columns

        data = TrainingSet.from_history(history.prefix(fitted_at), columns(self.objectives), key=self._pools_by)
        data = with_failures(data)
        posterior = self.surrogate.fit(data, rng(self.seed, "fit", fitted_at))
        if self._list is None and isinstance(self.space, Enumerable) and self.space.size <= self.largest:
            members = tuple(self.space.enumerate())
            self._list = _List(members, pool_of(self.surrogate, members))
        model = PlainPool(posterior, ()) if self._list is None else over(posterior, self._list.pool)
        return _Kept(fitted_at, fitted_at, history.finished[fitted_at - 1], model)

    def _read(self, kept: _Kept, history: History) -> _Kept:
        """Take in the trials that have finished since."""
        from nas_surrogates.utility import columns

        losses = columns(self.objectives).losses(history.values)
        model = kept.model
        for row, trial in enumerate(history.since(kept.read), start=kept.read):
            worst = np.nanmax(losses[: row + 1], axis=0)
            value = np.where(np.isnan(losses[row]), worst, losses[row])
            model = model.condition([trial.architecture], value[None])
        return _Kept(kept.fitted_at, history.seq, history.finished[-1], model)

    def to_config(self) -> dict[str, Any]:
        """The options it runs with."""
        return {
            "name": "bo",
            "initial": self.initial,
            "surrogate": self._surrogate_config,
            "refit": self.refit,
            "largest": self.largest,
            "pool": self.pool,
            "allow_twins": self.allow_twins,
        }


@dataclass(frozen=True)
class _List:
    """All members of a space, and the same as the surrogate likes to have them."""

    members: tuple[Architecture, ...]
    pool: Any


@dataclass(frozen=True)
class _Kept:
    """A derived cache: the posterior of the first `read` finished trials, fitted to the first `fitted_at`."""

    fitted_at: int
    read: int
    last: Trial
    model: PoolPosterior

    def begins(self, history: History) -> bool:
        """Whether a history goes on from what was read."""
        return self.read <= history.seq and history.finished[self.read - 1] == self.last


def _believed(model: PoolPosterior, observed: FloatArray, a: Architecture) -> tuple[PoolPosterior, FloatArray]:
    """The model and the losses as if a member had been measured at its prediction."""
    value = model.posterior.predict([a]).mean
    return model.condition([a], value), np.concatenate([observed, value])
