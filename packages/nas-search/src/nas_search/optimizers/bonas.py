"""BONAS: a learnt embedding of graphs, Bayesian linear regression on it, and sampled pools (Shi et al. 2020).

Algorithm 1. After N random architectures a surrogate is fitted: `gcn` of nas-surrogates, a graph convolutional network
whose embedding feeds a Bayesian linear regression. For each label a sampler fills a pool of candidates, and the one of
greatest expected improvement is proposed. The regression takes in every label; the network is trained anew, from new
parameters, at every k-th. The paper's constants are the defaults: N = 10, pools of 1,000, k = 10, the evolutionary
sampler, the exponentially weighted loss, R = 1,000 (`nas_search.samplers.learnt`).

Choices, where the text leaves one open or the published code differs: the code picks a batch by one ranking and learns
when it is used up; here, as in Algorithm 1, every pick sees every label. Expected improvement is taken in the latent
units of the surrogate (the logit of an accuracy), as in the code's unused function, but with the deviation of the
function alone: the noise of a label, 1 / beta, is no improvement. The paper's own reading of both is an option of the
surrogate (`nas_surrogates.neural_linear`). Precisions are maximised when the network is trained; labels between are
taken in with the same. Running trials, and the earlier picks of a batch, are taken in as though they
had been measured at their predictions; a failed trial counts as the worst value known when it failed. Several
objectives and constraints are weighed as by `bo` (`nas_surrogates.utility`).

An improvement is one on the best label, as in the paper. Where labels are noisy and few, that is a lucky one which only
the most uncertain candidates promise to beat; `incumbent="predicted"` measures from the best prediction instead. In a
real search, 40 short trainings of cells of DARTS's operations, the best was 44.49 % with it, 43.48 by default and 43.51
by random search (3 seeds: `bonas_cifar`). Where labels have little noise it costs some: 70 labels for 66 to the optimum
of NAS-Bench-201, 445 for 369 to that of the sample of NAS-Bench-101 (`bonas_nb201_predicted`, `bonas_nb101_predicted`).

Transfer (section 4.4.2). With `start` the search begins with a surrogate fitted in another space with the same
operations: the directory of a study with the same metrics, or a file of `nas_surrogates.saved_fit`. Until k labels are
there, what was learnt elsewhere predicts here and takes in the labels; from then on the network is trained from the
parameters that it learnt elsewhere. One label is drawn at random instead of ten, unless `initial` says otherwise. What
it gains depends on how much was learnt: the best of the 7-vertex cells in the sample of NAS-Bench-101 was met after 383
labels alone, after 183 with a start on all 2,917 cells of 6 vertices, and with one on 500 of them after 304, where four
searches of twenty did not end within 600 (`bonas_transfer`, `bonas_transfer_500`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.errors import InvalidOption
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.optimizer import State
from nas_core.random import derived_seed, rng
from nas_core.registry import from_config
from nas_core.space import HasTwins, Space, require
from nas_core.surrogate import Conditions, Posterior, Surrogate
from nas_core.training_set import TrainingSet
from nas_core.trial import Trial
from nas_search.candidates import Picks
from nas_search.failed_members import with_failures
from nas_search.optimizers.base import HistoryOptimizer, whole
from nas_search.samplers.aging import AgingSampler
from nas_search.samplers.base import LogWorth, Sampler
from nas_search.samplers.learnt import LearntSampler
from nas_search.samplers.uniform import UniformSampler

if TYPE_CHECKING:
    from nas_surrogates.pools import PoolPosterior

FloatArray = NDArray[np.float64]

SAMPLERS = ("evolution", "random", "reinforce")
INCUMBENTS = ("observed", "predicted")
_INITIAL = 10


@final
class Bonas(HistoryOptimizer):
    """Expected improvement in sampled pools, on a surrogate whose embedding is learnt at intervals.

    Args:
        space: with graphs, for the default surrogate and the evolutionary sampler.
        objectives: what the study wants; several, and constraints, too.
        seed: names its random number streams.
        initial: labels of random members before the surrogate is asked; None for 10, or 1 where there is a `start`.
        pool: candidates that are weighed for each proposal.
        retrain: labels from one training of the network to the next.
        sampler: "evolution", "random" or "reinforce".
        population: of the evolutionary sampler.
        tournament: of the evolutionary sampler.
        sources: of the evolutionary sampler: "any" or "earlier" (`nas_search.graph_mutations`).
        samples: architectures by which the controller of "reinforce" learns for each proposal (the paper's R).
        incumbent: what an improvement is measured from: the best that was measured, "observed", or the best that the
            surrogate predicts of what was measured, "predicted" (module docstring).
        surrogate: a registered name, or a configuration {"name": …, options}.
        start: directory of a study, or file of a fitted surrogate, in a space with the same operations. It is read
            whenever the optimizer is made, also when a study is resumed.
        allow_twins: propose cells that compute the same as one already proposed.

    Raises:
        MissingCapability: the space has no graphs and they are needed.
        InvalidOption: an option out of range; a start whose operations or metrics differ.
        RegistryError: no such surrogate is installed.
        StoreError: the start cannot be read.
    """

    def __init__(
        self,
        space: Space,
        objectives: Objectives,
        seed: int,
        *,
        initial: int | None = None,
        pool: int = 1000,
        retrain: int = 10,
        sampler: str = "evolution",
        population: int = 100,
        tournament: int = 25,
        sources: str = "any",
        samples: int = 1000,
        incumbent: str = "observed",
        surrogate: str | Mapping[str, Any] = "gcn",
        start: str | None = None,
        allow_twins: bool = False,
    ) -> None:
        super().__init__(space, objectives, seed, allow_twins=allow_twins)
        self.initial = whole("initial", (_INITIAL if start is None else 1) if initial is None else initial, least=1)
        self.pool = whole("pool", pool, least=1)
        self.retrain = whole("retrain", retrain, least=1)
        self.population = whole("population", population, least=1)
        self.tournament = whole("tournament", tournament, least=1)
        self.samples = whole("samples", samples, least=2)
        self.sources = sources
        if incumbent not in INCUMBENTS:
            raise InvalidOption("no such incumbent", value=incumbent, expected="one of " + ", ".join(INCUMBENTS))
        self.incumbent = incumbent
        self.sampler = sampler
        self._sampler = self._made_sampler()
        config = {"name": surrogate} if isinstance(surrogate, str) else dict(surrogate)
        self.surrogate: Surrogate = from_config("surrogate", config, space)
        require(space, self.surrogate.requires, f"the surrogate {config['name']!r}")
        self._surrogate_config = {**self.surrogate.to_config(), "name": config["name"]}
        self.start = start
        self._started: Posterior | None = None
        if start is not None:
            from nas_search.transfer import started

            self._started = started(start, self.surrogate, self._surrogate_config, objectives, seed)
        self._pools_by = space.twin_key if isinstance(space, HasTwins) and objectives.functional else None
        self._kept: _Kept | None = None

    def _made_sampler(self) -> Sampler:
        if self.sampler == "evolution":
            return AgingSampler(self.space, self.objectives, self.population, self.tournament, self.sources)
        if self.sampler == "random":
            return UniformSampler(self.space)
        if self.sampler == "reinforce":
            return LearntSampler(self.space, self.seed, self.samples)
        raise InvalidOption("no such sampler", value=self.sampler, expected="one of " + ", ".join(SAMPLERS))

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
        """Add the best of a pool, each in the light of those before; random members when the pool runs out."""
        from nas_surrogates.pools import over, pool_of
        from nas_surrogates.utility import log_utility

        posterior = self._posterior(history)
        observed = self._incumbents(posterior, history)
        for a in [*(trial.architecture for trial in history.running), *picks.architectures]:
            posterior, observed = _believed(posterior, observed, a)
        seed = derived_seed(self.seed, "utility", len(history), len(picks))

        def log_worth(x: Sequence[Architecture]) -> FloatArray:
            return log_utility(over(posterior, pool_of(self.surrogate, x)), observed, self.objectives, seed)

        candidates = self._candidates(history, picks, log_worth, stream)
        model = over(posterior, pool_of(self.surrogate, candidates)) if candidates else None
        infos: list[dict[str, Any]] = []
        while len(picks) < n:
            if model is not None and self._add_best(model, candidates, observed, picks, len(history), stream):
                infos.append({"by": "utility"})
            elif picks.add_random(self.space, stream):
                infos.append({"by": "chance"})
            else:
                break
            if len(picks) < n and model is not None:
                a = picks.architectures[-1]
                value = model.posterior.predict([a]).mean
                model, observed = model.condition([a], value), np.concatenate([observed, value])
        return infos

    def _incumbents(self, posterior: Posterior, history: History) -> FloatArray:
        """The losses of completed trials that an improvement is measured from: predicted ones, or those observed."""
        from nas_surrogates.utility import columns

        rows = np.flatnonzero(~np.isnan(history.values).any(axis=1))
        if self.incumbent == "observed":
            return columns(self.objectives).losses(history.values[rows])
        finished = history.finished
        return posterior.predict([finished[row].architecture for row in rows.tolist()]).mean

    def _add_best(
        self,
        model: PoolPosterior,
        candidates: Sequence[Architecture],
        observed: FloatArray,
        picks: Picks,
        begun: int,
        stream: np.random.Generator,
    ) -> bool:
        """Choose the candidate of greatest utility that is new, ties by chance; False where none is."""
        from nas_surrogates.utility import log_utility

        utility = log_utility(model, observed, self.objectives, derived_seed(self.seed, "utility", begun, len(picks)))
        shuffled = stream.permutation(len(candidates))
        order = shuffled[np.argsort(-utility[shuffled], kind="stable")]
        return any(picks.add(candidates[i]) for i in order.tolist())

    def _candidates(
        self, history: History, picks: Picks, log_worth: LogWorth, stream: np.random.Generator
    ) -> list[Architecture]:
        pool = Picks(self._seen)
        self._sampler.fill(pool, self.pool, history, log_worth, stream)
        return pool.architectures

    def _posterior(self, history: History) -> Posterior:
        """The posterior of all finished trials; it follows from the history alone."""
        fitted_at = self._fitted_at(history)
        kept = self._kept
        if kept is None or kept.fitted_at != fitted_at or not kept.begins(history):
            kept = self._fit(history, fitted_at)
        if kept.read < history.seq and not isinstance(kept.posterior, Conditions):
            kept = self._fit(history, history.seq)
        self._kept = self._read(kept, history)
        return self._kept.posterior

    def _fitted_at(self, history: History) -> int:
        """How many of the finished trials the network is trained on; 0 while the start alone is asked."""
        if self._started is not None and history.seq < self.retrain:
            return 0
        first = int(np.argmin(np.isnan(history.values).any(axis=1))) + 1
        begun = self.initial if self._started is None else self.retrain
        at = begun + max(0, history.seq - begun) // self.retrain * self.retrain
        return max(min(at, history.seq), first)

    def _fit(self, history: History, fitted_at: int) -> _Kept:
        from nas_surrogates.utility import columns

        if self._started is not None and fitted_at == 0:
            return _Kept(0, 0, None, self._started)
        data = TrainingSet.from_history(history.prefix(fitted_at), columns(self.objectives), key=self._pools_by)
        data, stream = with_failures(data), rng(self.seed, "fit", fitted_at)
        if self._started is None:
            posterior = self.surrogate.fit(data, stream)
        else:
            posterior = self.surrogate.fit(data, stream, start=self._started)  # type: ignore[call-arg]
        return _Kept(fitted_at, fitted_at, history.finished[fitted_at - 1], posterior)

    def _read(self, kept: _Kept, history: History) -> _Kept:
        """Take in the trials that have finished since."""
        from nas_surrogates.utility import columns

        if kept.read == history.seq or not isinstance(kept.posterior, Conditions):
            return kept
        losses = columns(self.objectives).losses(history.values)
        posterior: Posterior = kept.posterior
        for row, trial in enumerate(history.since(kept.read), start=kept.read):
            known = losses[: row + 1][~np.isnan(losses[: row + 1]).any(axis=1)]
            failed = np.isnan(losses[row]).any()
            if isinstance(posterior, Conditions) and (len(known) or not failed):
                value = known.max(axis=0) if failed else losses[row]
                posterior = posterior.condition([trial.architecture], value[None])
        return _Kept(kept.fitted_at, history.seq, history.finished[-1], posterior)

    def state(self) -> State | None:
        """What the sampler carries: the controller of "reinforce", nothing for the others."""
        return self._sampler.state()

    def restore(self, state: State) -> None:
        """Take up what the sampler carried."""
        self._sampler.restore(state)

    def to_config(self) -> dict[str, Any]:
        """The options it runs with."""
        return {
            "name": "bonas",
            "initial": self.initial,
            "pool": self.pool,
            "retrain": self.retrain,
            "sampler": self.sampler,
            "population": self.population,
            "tournament": self.tournament,
            "sources": self.sources,
            "samples": self.samples,
            "incumbent": self.incumbent,
            "surrogate": self._surrogate_config,
            "start": self.start,
            "allow_twins": self.allow_twins,
        }


@dataclass(frozen=True)
class _Kept:
    """A derived cache: the posterior of the first `read` finished trials, the network trained on `fitted_at`."""

    fitted_at: int
    read: int
    last: Trial | None
    posterior: Posterior

    def begins(self, history: History) -> bool:
        """Whether a history goes on from what was read."""
        return self.read == 0 or (self.read <= history.seq and history.finished[self.read - 1] == self.last)


def _believed(posterior: Posterior, observed: FloatArray, a: Architecture) -> tuple[Posterior, FloatArray]:
    """The posterior and the losses as if a member had been measured at its prediction."""
    value = posterior.predict([a]).mean
    after = posterior.condition([a], value) if isinstance(posterior, Conditions) else posterior
    return after, np.concatenate([observed, value])
