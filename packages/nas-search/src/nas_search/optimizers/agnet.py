"""AG-Net: a generator retrained towards its own best finds, steered by a surrogate (Lukasik et al. 2022).

After 16 random architectures the search goes in rounds. A round trains the generator and the surrogate on with
everything labelled, weighted towards the best (latent space optimization, equation 3), draws candidates from latent
vectors until there are enough that are new up to isomorphism, and takes those of the best predicted rank: 16, or 1 as
in table 2. The generator begins as pretraining on the space left it (`nas_surrogates.generator_pretraining`).

In the informed reading one label in eight is that of a random member (`random`): without them what a round learns from
is what the rounds before wanted to see, and on NAS-Bench-201 one search in twenty did not leave its first good region
(`agnet_nb201_without_chance`).

Carried from round to round: parameters and moments of the surrogate, and of the generator where it goes on, and what is
left of the round's picks, so that a search that was killed goes on exactly.

Architectures of several cells are searched as `nas_search.optimizers.cells_in_turn` says; `info` names the cell.

Ranks. With one objective, by its values. Several objectives are summed by rank, each round with random weights of its
own, so that rounds aim at different parts of the front, or with equal ones (`weighting`), as the paper's training-free
search sums the ranks of condition number and linear regions; joint=true adds the ranks of the metrics of constraints
(equation 4), joint=false leaves them out (equation 5). What breaks a constraint: the paper multiplies its rank by 1000,
and then ranks anew; in the informed reading it comes after all that keeps them, the nearest first, so that a search
with nothing feasible moves towards what is. Candidates are ranked by the same rule on predictions. Failed trials count
as the worst value known. `info` says with each proposal which round it is of, how many labels that learnt from, which
share of the graphs drawn were members, and which share of the labels since the round before keeps the constraints.

Limits. In the informed reading metrics with a limit are predicted by linear regressions, and what breaks a limit is
judged with their errors in mind, of labels and of candidates (`nas_surrogates.limited_metrics`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.errors import InvalidOption
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.optimizer import State
from nas_core.random import rng
from nas_core.space import HasTwins, Space
from nas_core.training_set import TrainingSet
from nas_search.candidates import Picks, Seen, sameness
from nas_search.optimizers.base import HistoryOptimizer, between, whole
from nas_search.optimizers.cells_in_turn import CellsInTurn

if TYPE_CHECKING:
    from nas_surrogates.generator_pretraining import Pretrained
    from nas_surrogates.graph_rules import GraphArrays
    from nas_surrogates.target_scale import TargetScale
    from nas_surrogates.weighted_retraining import Expert

WEIGHTINGS: Final = ("random", "equal")
_DRAWS: Final = (100, 200, 400, 800, 1000, 2000)
_VAIN: Final = 400
_BY_CHANCE: Final = 1 / 8
_PENALTY: Final = 1000.0
_REMEMBERED: Final = 1 << 16


@final
class AGNet(HistoryOptimizer):
    """Generate, predict, evaluate, retrain.

    Args:
        space: with graphs.
        objectives: what the study wants; several, and constraints, too.
        seed: names its random number streams.
        initial: labels of random members before the first round.
        labels: of a round.
        candidates: new members among which a round picks.
        latent: how latent vectors are drawn (`nas_surrogates.latent_codes`): "sphere", "normal", or as the paper does
            "quantiles" (text) or "uniform" from -3 to 3 (code).
        random: share of the labels after the first ones that are of random members; None for 1/8 in the informed
            reading and none in the paper's.
        joint: whether the metrics of constraints are optimized, too.
        weighting: of the ranks of several objectives: "random", drawn each round, or "equal".
        cells: how the cells of an architecture are searched: "together", "phases" or "alternating".
        phase: labels until the next cell is searched, with cells="phases"; the paper's 152 of 304.
        reading: "informed" or "paper" (`nas_surrogates.weighted_retraining`).
        surrogate: "mlp", "xgb" or "xgb_rank".
        epochs: of a round.
        batch: architectures in a batch.
        rate: Adam's.
        alpha: α, the share of the surrogate's loss (the paper's searches under constraints have 0.95).
        balance: λ, the share of targets beyond the first in that loss.
        k: of the weights.
        weigh: where weights count: "both", "sampler", "loss", or "none": without latent space optimization; "" takes
            "both" in the paper's reading and "sampler" in the informed one.
        backprop: whether the surrogate's gradient reaches the generator.
        fit_steps: steps of the surrogate alone before a round, in the informed reading.
        begin: where the generator's training begins in each round: "pretrained", or where the "last" one ended; ""
            takes "last" in the paper's reading and "pretrained" in the informed one.
        pretraining: options of `nas_surrogates.generator_pretraining.Pretraining`.
        cache: folder of pretrained generators; None takes the user's.
        allow_twins: propose cells that compute the same as one already proposed; never isomorphic ones.

    Raises:
        MissingCapability: the space has no graphs.
        InvalidOption: an option out of range, or XGBoost is asked for and not installed.
    """

    requires = frozenset({"decisions", "graphs"})

    def __init__(
        self,
        space: Space,
        objectives: Objectives,
        seed: int,
        *,
        initial: int = 16,
        labels: int = 16,
        candidates: int = 100,
        latent: str = "sphere",
        random: float | None = None,
        joint: bool = False,
        weighting: str = "random",
        cells: str = "together",
        phase: int = 152,
        reading: str = "informed",
        surrogate: str = "mlp",
        epochs: int = 30,
        batch: int = 16,
        rate: float = 1e-3,
        alpha: float = 0.9,
        balance: float = 0.5,
        k: float = 0.01,
        weigh: str = "",
        backprop: bool = True,
        fit_steps: int = 200,
        begin: str = "",
        pretraining: Mapping[str, Any] | None = None,
        cache: str | None = None,
        allow_twins: bool = False,
    ) -> None:
        super().__init__(space, objectives, seed, allow_twins=allow_twins)
        from nas_surrogates.generator_pretraining import Pretraining
        from nas_surrogates.latent_codes import LATENTS
        from nas_surrogates.trees import Trees
        from nas_surrogates.weighted_retraining import Retraining

        self.initial = whole("initial", initial, least=1)
        self.labels = whole("labels", labels, least=1)
        self.candidates = whole("candidates", candidates, least=1)
        if latent not in LATENTS:
            raise InvalidOption("no such latent sampling", value=latent, expected="one of " + ", ".join(LATENTS))
        if random is None:
            random = 0.0 if reading == "paper" else _BY_CHANCE
        self.random = between("random", random, 0.0, 1.0)
        if not isinstance(joint, bool):
            raise InvalidOption("joint must be true or false", value=joint)
        if weighting not in WEIGHTINGS:
            raise InvalidOption("no such weighting", value=weighting, expected="one of " + ", ".join(WEIGHTINGS))
        self.weighting, self.turns = weighting, CellsInTurn(cells, phase)
        self.turns.check(space)
        if cache is not None and not isinstance(cache, str):
            raise InvalidOption("cache must be the name of a folder", value=cache)
        self.latent, self.joint, self.cache = latent, joint, cache
        self.retraining = Retraining(
            reading, surrogate, epochs, batch, rate, alpha, balance, k, weigh, backprop, fit_steps, begin
        )
        if surrogate != "mlp":
            Trees()  # says at once where XGBoost is not installed
        try:
            self.pretraining = Pretraining(**(pretraining or {}))
        except TypeError as error:
            raise InvalidOption(f"no such option of pretraining ({error})", value=dict(pretraining or {})) from None
        twins = isinstance(space, HasTwins) and objectives.functional
        self._pools_by = space.twin_key if twins else None  # type: ignore[attr-defined]
        by_graph = lru_cache(_REMEMBERED)(space.graph_key)  # type: ignore[attr-defined]
        self._seen = Seen(sameness(space, objectives, allow_twins) if twins and not allow_twins else by_graph)
        self._left: list[tuple[str, dict[str, Any]]] = []
        self._arrays: dict[str, NDArray[Any]] = {}
        self._learnt = 0
        self._generator: Pretrained | None = None
        self._expert: Expert | None = None

    def _pick(self, history: History, n: int, picks: Picks) -> Sequence[dict[str, Any]]:
        stream = rng(self.seed, "propose", len(history))
        failed = history.seq - len(history.completed)
        few = 2 * len(history.completed) < self.initial
        infos: list[dict[str, Any]] = []
        while len(picks) < n:
            start = len(history) + len(picks)
            if few or start - failed < self.initial:
                self._left = []
            elif not self._left:
                self._left = self._round(history, picks, start)
            info = next((info for text, info in self._taken() if picks.add(self.space.parse(text))), None)
            if info is None:
                if not picks.add_random(self.space, stream):
                    break
                info = {"by": "chance"}
            infos.append(info)
        return infos

    def _taken(self) -> Any:
        """What is left of the round, each taken away as it is looked at."""
        while self._left:
            yield self._left.pop(0)

    def _round(self, history: History, picks: Picks, start: int) -> list[tuple[str, dict[str, Any]]]:
        """Train on, draw candidates and rank them: what a round proposes, the best first."""
        from nas_surrogates.limited_metrics import LimitedMetrics
        from nas_surrogates.utility import columns
        from nas_surrogates.weighted_retraining import rank_weights

        modelled = columns(self.objectives)
        data = TrainingSet.from_history(history, modelled, key=self._pools_by)
        x = [*data.architectures, *data.failed]
        losses = np.concatenate([data.targets, np.tile(data.targets.max(axis=0), (len(data.failed), 1))])
        objective_weights = self._objective_weights(start)
        made, expert = self._made()
        graphs = made.rules.encode(self.space, x)
        limited = None
        if self.retraining.reading == "informed" and self.objectives.constraints:
            limited = LimitedMetrics.of(self.objectives, expert.features(graphs)[: len(data)], data.targets)
        ranks = self._ranks(losses, objective_weights, limited.relaxed(losses) if limited else losses)
        ranks[len(data) :] = len(ranks) - 1
        scales = self._scales(losses)
        targets = np.stack([scale.trained_to(losses[:, j]) for j, scale in enumerate(scales)], axis=1)
        names = made.rules.names
        searched = self.turns.searched(start, max(start - self.initial, 0) // self.labels, len(names))
        partner = self.turns.partner(self.space, x[int(np.argmin(ranks))], searched, self.seed)
        weights = rank_weights(ranks, self.retraining.k)
        expert.retrain(graphs, targets, weights, rng(self.seed, "train", start), searched)
        kept = None if partner is None else made.rules.encode(self.space, [partner])
        members, scores, drawn, valid = self._candidates(
            expert, picks, rng(self.seed, "candidates", start), kept, searched
        )
        info: dict[str, Any] = {"by": "generator", "round": start, "labels": len(data), "valid": valid / drawn}
        if searched:
            info["cell"] = names[searched[0]]
        if self.objectives.constraints:
            since = history.values[self._learnt :]
            info["feasible"] = float(self.objectives.feasible(since).mean()) if len(since) else 0.0
        self._learnt, self._arrays = history.seq, expert.state()
        if not members:
            return []
        graphs = made.rules.encode(self.space, members)
        raw = expert.predict(graphs, scores)
        predicted = np.stack([scale.of_network(raw[:, j]) for j, scale in enumerate(scales)], axis=1)
        judged = predicted
        if limited:
            features = expert.features(graphs)
            predicted = limited.predicted(predicted, features)
            judged = limited.drawn(predicted, features, rng(self.seed, "limits", start))
        order = np.argsort(self._ranks(predicted, objective_weights, judged), kind="stable")
        return self._with_chance([members[i] for i in order.tolist()], picks, info, rng(self.seed, "chance", start))

    def _with_chance(
        self, ranked: Sequence[Architecture], picks: Picks, info: dict[str, Any], stream: np.random.Generator
    ) -> list[tuple[str, dict[str, Any]]]:
        """What a round proposes: the best members, and random ones by their share of its labels."""
        by_chance = int(self.labels * self.random + stream.random())
        new = Picks(self._seen)
        for a in [*picks.architectures, *ranked[: max(self.labels - by_chance, 0)]]:
            new.add(a)
        infos = [info] * (len(new) - len(picks))
        infos += [{**info, "by": "chance"} for _ in range(by_chance) if new.add_random(self.space, stream)]
        return [(self.space.text(a), own) for a, own in zip(new.architectures[len(picks) :], infos, strict=True)]

    def _candidates(
        self,
        expert: Expert,
        picks: Picks,
        stream: np.random.Generator,
        kept_graphs: GraphArrays | None,
        searched: tuple[int, ...],
    ) -> tuple[list[Architecture], NDArray[np.float32], int, int]:
        """New members, the scores they were generated by, how many graphs were drawn and how many were members."""
        found: dict[Any, tuple[Architecture, NDArray[np.float32]]] = {}
        drawn = valid = 0
        for n in _DRAWS:
            members, scores = expert.generate(n, self.latent, stream, kept_graphs, searched)
            drawn, before = drawn + n, len(found)
            for a, own in zip(members, scores, strict=True):
                valid += a is not None
                if a is not None and picks.is_new(a):
                    found.setdefault(self._seen.key(a), (a, own))
            if len(found) >= self.candidates or (len(found) == before and n >= _VAIN):
                break  # there are enough, or the generator has nothing new to give
        kept = list(found.values())
        if len(kept) > self.candidates:
            kept = [kept[i] for i in stream.choice(len(kept), self.candidates, replace=False).tolist()]
        given = np.stack([own for _, own in kept]) if kept else np.zeros((0, 0), dtype=np.float32)
        return [a for a, _ in kept], given, drawn, valid

    def _objective_weights(self, start: int) -> NDArray[np.float64]:
        """The share of each objective in the ranks of a round (m)."""
        m = len(self.objectives.objectives)
        if self.weighting == "equal":
            return np.full(m, 1.0 / m)
        return rng(self.seed, "weights", start).dirichlet(np.ones(m))

    def _ranks(
        self, losses: NDArray[np.float64], weights: NDArray[np.float64], judged: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Ranks from 0 by the rule of the module (n) of losses in the columns of the metrics (n x M).

        `judged` are the losses by which it is known what breaks a constraint (n x M).
        """
        from nas_surrogates.utility import columns

        m = len(self.objectives.objectives)
        counted = np.ones(losses.shape[1] if self.joint else m)
        counted[:m] = weights * m
        total = sum(
            weight * (_competition(losses[:, j]) + 1.0) for j, weight in enumerate(counted)
        )  # from 1, so that a penalty counts for the best, too
        violation = self.objectives.violation(columns(self.objectives).measured(judged))
        broken = violation > 0.0
        if self.retraining.reading == "paper":
            return _competition(np.where(broken, total * _PENALTY, total))
        return _competition(np.where(broken, np.max(total, initial=0.0) + 1.0 + _competition(violation), total))

    def _scales(self, losses: NDArray[np.float64]) -> list[TargetScale]:
        """How the surrogate sees each column."""
        from nas_surrogates.target_scale import TargetScale

        kinds = ["auto" if self.retraining.reading == "paper" else "regret"] * len(self.objectives.objectives)
        kinds += ["standard"] * (losses.shape[1] - len(kinds))
        return [TargetScale.of(losses[:, j], kind) for j, kind in enumerate(kinds)]

    def _made(self) -> tuple[Pretrained, Expert]:
        """The pretrained generator, and the expert as the last round left it."""
        from nas_surrogates.generator_pretraining import pretrained
        from nas_surrogates.weighted_retraining import Expert

        if self._generator is None:  # the identity of a closed domain is all its texts
            self._generator = pretrained(self.space, self.pretraining, self.cache)
        made = self._generator
        if self._expert is None:
            expert = Expert(made, len(self.objectives.metrics), self.retraining, rng(self.seed, "surrogate"))
            if self._arrays:
                expert.restore(self._arrays)
            self._expert = expert
        return made, self._expert

    def state(self) -> State | None:
        """Parameters and moments that go on, and what is left of the round; None before the first."""
        if not self._arrays:
            return None
        left = [[text, dict(info)] for text, info in self._left]
        return State(dict(self._arrays), {"left": left, "learnt": self._learnt})

    def restore(self, state: State) -> None:
        """Take up what `state` gave.

        Raises:
            InvalidOption: the state of another optimizer.
        """
        if set(state.values) != {"left", "learnt"}:
            raise InvalidOption("the state of another optimizer", value=sorted(state.values))
        self._arrays = {name: np.array(array) for name, array in state.arrays.items()}
        self._left = [(str(text), dict(info)) for text, info in state.values["left"]]
        self._learnt = int(state.values["learnt"])
        self._expert = None

    def to_config(self) -> dict[str, Any]:
        """The options it runs with."""
        return {
            "name": "agnet",
            "initial": self.initial,
            "labels": self.labels,
            "candidates": self.candidates,
            "latent": self.latent,
            "random": self.random,
            "joint": self.joint,
            "weighting": self.weighting,
            **asdict(self.turns),
            **asdict(self.retraining),
            "pretraining": asdict(self.pretraining),
            "cache": self.cache,
            "allow_twins": self.allow_twins,
        }


def _competition(column: NDArray[np.float64]) -> NDArray[np.int64]:
    """How many of a column are less than each (n): the paper's rank."""
    return np.searchsorted(np.sort(column), column, side="left")
