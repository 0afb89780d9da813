"""Uncertainty-aware search for several objectives: USeMO with NAGO's surrogate and batches.

Belakaria, Deshwal, Jayakodi, Doppa 2020 ("Uncertainty-Aware Search Framework for Multi-Objective Bayesian
Optimization"), as Ru, Esperança, Carlucci 2020 (NAGO, §2.2 and §4.2) use it: one acquisition function an objective, the
Pareto set of the acquisition functions by NSGA-II, and of that set the member that is most uncertain.

Decisions, since NAGO's code is not public and its appendix D says no formula:

* The acquisition function of an objective is by default its posterior mean, "lcb" with no deviations. With a Gaussian
  process and one seed, the hypervolume gained on ZDT1 and DTLZ2 of six decisions (`benchmarks/mobo.py`) was 0.86 and
  0.39 so, 0.85 and 0.01 with bounds two deviations below the mean, 0.79 and 0.03 with expected improvement: where no
  member is certain, the Pareto set of optimistic values is mostly far from the front.
* The surrogate is by default a Gaussian process, NAGO's Bayesian neural network an option: on all four problems of
  `benchmarks/mobo.py` the process gains more, in a tenth of the time, and it predicts generators better
  (`benchmarks/nago_generators.py`).
* The uncertainty of a member is the volume of the box between its confidence bounds, the product of the deviations of
  the objectives; the factor of the bounds is the same for all and cannot change which is greatest. It is compared by
  its m-th root u, the side of a cube of that volume.
* Local penalisation (González et al. 2016) "on the uncertainty metric": u is multiplied by the distance from where the
  objectives of a member are predicted to where those of any other are known, if it has been evaluated, or predicted, if
  it is running or chosen already; in units of the Pareto set's ranges. González's penalisers grow with the distance
  of decisions at a rate (a Lipschitz constant) that has no meaning for choices and says nothing about the front; this
  needs none, and spreads a batch along the front.
* With one objective (which `bo` is made for) the Pareto set is one member; a batch goes on with the next fronts.
* A constraint is kept by a member that keeps it with a probability of a half or more; others are the worse the smaller
  its logarithm (constrained dominance in NSGA-II). While nothing keeps the constraints this leads to where they may be
  kept. The uncertainty is that of the objectives alone.
* Warm start: trials of another study at one fidelity count as if they had been evaluated here, whatever that study
  searched for, provided that it measured the objectives.
* A Gaussian process fits the targets themselves (its option warp="none") unless told otherwise: the logarithm of the
  regret, which suits a search for one best value, makes a front of differences that mean nothing near the end where an
  objective is best (on ZDT2 one search of two never left it).
* A loss that is far out, beyond Tukey's outer fence (1977), which stands three interquartile ranges above the upper
  quartile, is fitted as if it lay there: a few networks that have learnt nothing would otherwise set the scale on which
  all others are told apart. On NAS-Bench-201, accuracy and latency, the hypervolume gained with a Gaussian process rose
  from 40.9 to 43.4 (`benchmarks/mobo.py`, mean of 10 seeds).
* A failed trial counts as the worst value known of everything.

Notation
    N  candidates       n  members that are known       m  objectives, of M columns (`nas_surrogates.utility.columns`)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.errors import InvalidOption
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.pareto import constrained_fronts
from nas_core.random import rng
from nas_core.registry import from_config
from nas_core.space import Enumerable, HasTwins, Space
from nas_core.surrogate import Surrogate
from nas_core.training_set import TrainingSet
from nas_core.trial import Proposal, Trial
from nas_search.candidates import Picks
from nas_search.failed_members import with_failures
from nas_search.nsga2 import Scored, evolved, merit_order
from nas_search.optimizers.base import HistoryOptimizer, whole

if TYPE_CHECKING:
    from nas_core.surrogate import Posterior

FloatArray: TypeAlias = NDArray[np.float64]

ACQUISITIONS = ("ei", "lcb")

_FENCE = 3.0
_LEAST_LOG = -1e6
_LOG_HALF = float(np.log(0.5))


@final
class MOBO(HistoryOptimizer):
    """The most uncertain member of the Pareto set of one acquisition function an objective.

    Args:
        space: any that the surrogate takes.
        objectives: what the study wants; any number, and constraints.
        seed: names its random number streams.
        initial: labels of random members before the surrogate is asked; those of `start` count.
        surrogate: a registered name, or a configuration {"name": …, options}; NAGO has "bnn".
        acquisition: "lcb", a confidence bound of each objective; "ei", expected improvement on its least value.
        kappa: deviations between the mean and the bound.
        fidelity: of every trial; None leaves it to the evaluator.
        start: directory of a study whose trials are data to begin with.
        start_fidelity: which of its trials; None for those of `fidelity`, or of its highest where that is None too.
        start_trials: how many of its finished trials are looked at; None for all that there are now, which
            `to_config` writes out, so that a study goes on with what it began with.
        population: members of NSGA-II.
        generations: of NSGA-II.
        largest: size up to which a space is listed as a whole instead.
        allow_twins: propose members that compute the same as one already proposed.

    Raises:
        InvalidOption: an option out of range, or a study that is no start.
        RegistryError: no such surrogate is installed.
        StoreError: `start` is no study.
    """

    def __init__(
        self,
        space: Space,
        objectives: Objectives,
        seed: int,
        *,
        initial: int = 10,
        surrogate: str | Mapping[str, Any] = "gp",
        acquisition: str = "lcb",
        kappa: float = 0.0,
        fidelity: float | None = None,
        start: str | None = None,
        start_fidelity: float | None = None,
        start_trials: int | None = None,
        population: int = 100,
        generations: int = 25,
        largest: int = 20_000,
        allow_twins: bool = False,
    ) -> None:
        super().__init__(space, objectives, seed, allow_twins=allow_twins)
        if acquisition not in ACQUISITIONS:
            known = "one of " + ", ".join(ACQUISITIONS)
            raise InvalidOption("no such acquisition function", value=acquisition, expected=known)
        self.initial = whole("initial", initial, least=1)
        self.acquisition = acquisition
        self.kappa = _number("kappa", kappa, 0.0)
        self.fidelity = None if fidelity is None else _number("fidelity", fidelity, 1e-9)
        self.population = whole("population", population, least=2)
        self.generations = whole("generations", generations, least=0)
        self.largest = whole("largest", largest, least=0)
        config = {"name": surrogate} if isinstance(surrogate, str) else dict(surrogate)
        if config.get("name") == "gp":
            config.setdefault("warp", "none")
        self.surrogate: Surrogate = from_config("surrogate", config, space)
        self._surrogate_config = {**self.surrogate.to_config(), "name": config["name"]}
        self._started(start, start_fidelity, start_trials)
        twins = isinstance(space, HasTwins) and objectives.functional
        self._pools_by = space.twin_key if twins else None  # type: ignore[attr-defined]
        self._listed: tuple[tuple[Architecture, ...], Any] | None = None
        self._kept: _Kept | None = None

    def _started(self, start: str | None, fidelity: float | None, first: int | None) -> None:
        self.start = None if start is None else str(Path(start).expanduser().resolve())
        self.start_fidelity, self.start_trials = fidelity, first
        self._earlier: list[Trial] = []
        if self.start is None:
            if fidelity is not None or first is not None:
                raise InvalidOption("start_fidelity and start_trials say something about a start", expected="start")
            return
        from nas_search.warm_start import trials_to_start_from  # a study makes optimizers: this would go in a circle

        at = self.fidelity if fidelity is None else _number("start_fidelity", fidelity, 1e-9)
        if first is not None:
            whole("start_trials", first, least=1)
        self._earlier, self.start_trials = trials_to_start_from(self.start, self.space, self.objectives, at, first)

    def propose(self, history: History, n: int) -> list[Proposal]:
        """At most `n` new members; see `nas_core.optimizer.Optimizer`."""
        if self._earlier:
            from nas_search.warm_start import begun_with

            history = begun_with(self._earlier, history, self.fidelity)
        return [replace(proposal, fidelity=self.fidelity) for proposal in super().propose(history, n)]

    def _pick(self, history: History, n: int, picks: Picks) -> Sequence[dict[str, Any]]:
        stream = rng(self.seed, "propose", len(history))
        failed = np.isnan(history.values).any(axis=1)
        alive = len(history) - int(failed.sum())
        infos: list[dict[str, Any]] = []
        while len(picks) < n and (alive + len(picks) < self.initial or failed.all()):
            if not picks.add_random(self.space, stream):
                return infos
            infos.append({"by": "chance"})
        return infos if len(picks) == n else [*infos, *self._by_uncertainty(history, n, picks, stream)]

    def _by_uncertainty(
        self, history: History, n: int, picks: Picks, stream: np.random.Generator
    ) -> list[dict[str, Any]]:
        """Add the most uncertain members of the Pareto set, each in the light of those before; see the module."""
        model = self._model(history)
        candidates, fronts = self._best_of(self._pareto(model, history, stream), len(history) + n)
        m = len(self.objectives.objectives)
        predicted = model.posterior.predict(candidates.members)
        images, side = predicted.mean[:, :m], _side(predicted.std[:, :m])
        low, high = images[fronts == 0].min(axis=0), images[fronts == 0].max(axis=0)
        scale = np.where(high > low, high - low, 1.0)
        room = _nearest(images / scale, self._taken(model, history, picks) / scale)
        infos: list[dict[str, Any]] = []
        while len(picks) < n:
            order = np.lexsort((-side * room, fronts)).tolist()
            chosen = next((i for i in order if picks.add(candidates.members[i])), None)
            if chosen is not None:
                infos.append({"by": "uncertainty"})
                room = np.minimum(room, _nearest(images / scale, images[[chosen]] / scale))
            elif picks.add_random(self.space, stream):
                infos.append({"by": "chance"})
            else:
                break
        return infos

    def _best_of(self, found: Scored, most: int) -> tuple[Scored, NDArray[np.int64]]:
        """The first front and at least so many more, as far as there are, and the front of each."""
        order = merit_order(found.losses, found.violations)
        fronts = constrained_fronts(found.losses, found.violations)[order]
        kept = max(int((fronts == 0).sum()), self.population) + most
        return found.at(order[:kept]), fronts[:kept]

    def _taken(self, model: _Kept, history: History, picks: Picks) -> FloatArray:
        """Where the objectives of evaluated members are, and where those of running and chosen ones are predicted."""
        values = history.values
        known = self.objectives.losses(values[~np.isnan(values).any(axis=1)])
        waiting = [trial.architecture for trial in history.running] + picks.architectures
        if not waiting:
            return known
        return np.concatenate([known, model.posterior.predict(waiting).mean[:, : known.shape[1]]])

    def _pareto(self, model: _Kept, history: History, stream: np.random.Generator) -> Scored:
        """Candidates with their acquisition functions, turned so that less is better."""
        if isinstance(self.space, Enumerable) and self.space.size <= self.largest:
            if self._listed is None:
                members = tuple(self.space.enumerate())
                self._listed = (members, self._pool(members))
            return Scored(self._listed[0], *self._scores(model, self._listed[1]))
        fitness = self.objectives.fitness(history.values)
        best = [history.finished[i].architecture for i in np.argsort(fitness, kind="stable")[: self.population // 2]]
        start = [*best, *self.space.sample(stream, self.population)]
        return evolved(
            self.space,
            start,
            lambda members: self._scores(model, self._pool(members)),
            stream,
            population=self.population,
            generations=self.generations,
        )

    def _pool(self, members: Sequence[Architecture]) -> Any:
        from nas_surrogates.pools import pool_of

        return pool_of(self.surrogate, members)

    def _scores(self, model: _Kept, pool: Any) -> tuple[FloatArray, FloatArray]:
        """An acquisition function an objective (N x m) and how far constraints are from being kept (N)."""
        from nas_surrogates.acquisition import log_expected_improvement, log_probability_of_feasibility
        from nas_surrogates.pools import over
        from nas_surrogates.utility import latent_bounds

        at = over(model.posterior, pool)
        mean, std = at.latent()
        m = len(self.objectives.objectives)
        violation = np.zeros(len(mean))
        for column, sign, bound in latent_bounds(at, self.objectives):
            log_kept = log_probability_of_feasibility(
                sign * mean[:, [column]], std[:, [column]], np.array([sign * bound])
            )
            violation += np.maximum(_LOG_HALF - np.maximum(log_kept, _LEAST_LOG), 0.0)
        if self.acquisition == "lcb":
            return mean[:, :m] - self.kappa * std[:, :m], violation
        columns = [log_expected_improvement(mean[:, j], std[:, j], float(model.best[j])) for j in range(m)]
        return -np.maximum(np.stack(columns, axis=1), _LEAST_LOG), violation

    def _model(self, history: History) -> _Kept:
        """The posterior of all finished trials: kept while nothing more has finished."""
        from nas_surrogates.pools import to_latent
        from nas_surrogates.utility import columns

        if self._kept is None or not self._kept.is_of(history):
            modelled = columns(self.objectives)
            at = float("inf") if self.fidelity is None else self.fidelity
            data = TrainingSet.from_history(history, modelled, key=self._pools_by, fidelity=at)
            data = with_failures(_fenced(data, len(self.objectives.objectives)))
            posterior = self.surrogate.fit(data, rng(self.seed, "fit", history.seq))
            kept = data.targets[data.violations == 0.0]
            best = to_latent(posterior, kept if len(kept) else data.targets).min(axis=0)
            self._kept = _Kept(history.seq, history.finished[-1], posterior, best)
        return self._kept

    def to_config(self) -> dict[str, Any]:
        """The options it runs with."""
        own = (
            "initial", "acquisition", "kappa", "fidelity", "start", "start_fidelity", "start_trials", "population",
            "generations", "largest", "allow_twins",
        )  # fmt: skip
        return {"name": "mobo", **{name: getattr(self, name) for name in own}, "surrogate": self._surrogate_config}


@dataclass(frozen=True)
class _Kept:
    """A derived cache: the posterior of the first `read` finished trials, and the least known of each column (M)."""

    read: int
    last: Trial
    posterior: Posterior
    best: FloatArray

    def is_of(self, history: History) -> bool:
        """Whether a history has just what was read."""
        return self.read == history.seq and history.finished[-1] == self.last


def _fenced(data: TrainingSet, m: int) -> TrainingSet:
    """The first m targets, the objectives, no farther out than their upper outer fences; see the module."""
    if not len(data):
        return data
    low, high = np.quantile(data.targets[:, :m], (0.25, 0.75), axis=0)
    fence = np.where(high > low, high + _FENCE * (high - low), np.inf)
    targets = np.concatenate([np.minimum(data.targets[:, :m], fence), data.targets[:, m:]], axis=1)
    return replace(data, targets=targets)


def _side(std: FloatArray) -> FloatArray:
    """The side of a cube as large as the box that deviations (N x m) span (N)."""
    side: FloatArray = np.exp(np.log(np.maximum(std, 1e-300)).mean(axis=1))
    return side


def _nearest(points: FloatArray, others: FloatArray) -> FloatArray:
    """The distance of each point (N x m) to the nearest of others (n x m, n at least 1), as (N)."""
    squares = sum((points[:, j, None] - others[None, :, j]) ** 2 for j in range(points.shape[1]))
    distances: FloatArray = np.sqrt(np.min(squares, axis=1))
    return distances


def _number(name: str, value: object, least: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < np.inf:
        raise InvalidOption(f"{name} must be a number of at least {least:g}", value=value)
    return float(value)
