"""NAO: gradient steps in a learnt continuous space of architectures (Luo et al. 2018, algorithm 1).

After N random architectures the search goes in rounds. A round fits encoder, predictor and decoder (`nao` of
nas-surrogates) to the labels there are, takes the best K of them as seeds, moves the embedding of each along the
gradient of its predicted score, and decodes. Where what is decoded is not new, the step grows by half of η (the
paper's footnote 4), a stated number of times; a seed that has led to nothing new by then is mutated instead. `info`
says of every proposal how it came about.

Choices. New means: neither proposed before nor by an earlier seed of the round, up to twins where labels depend on the
function alone; the published code compares token sequences. With `children` above 1 the step grows on after a new
member is found, and where there are more than a round has labels, those of best predicted worth when encoded anew are
taken; the paper takes one of every seed. `unit` scales gradients to unit length, so that η is a distance on the sphere
of states; a raw gradient shrinks where the predictor's sigmoid saturates. Every seed trusts the
heads of the predictor in shares of its own, so that not all seeds end at the same place. With several objectives the
score of a seed is a sum with random weights of its own; constraints are penalties in the same gradient
(`nas_surrogates.nao_steps`). A round learns from what had finished when its first member was proposed, so that all its
proposals follow from one fit; it begins when half of the N labels are there, at the least. Running trials are not
proposed again. Failed trials count as the worst value known.

With weight sharing (section 3.4) a round is a group of children on one bank of weights, and the interval between two
fits is what the evaluator trains a group for. The constants are those of the published code, where the paper gives
none: of each group the best 450 stay, 500 new ones are decoded with growing steps from the best 100, and 50 are
random. All are measured anew on the bank as it has become; values of older groups have gone stale, so that the fit
learns from the newest group alone (`nas_search.shared_groups`). As in that code the networks go on from the parameters
of the fit before (`continued`); these are worked out anew, group by group, where a study is taken up. New means
proposed in no earlier group.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, final

import numpy as np

from nas_core.architecture import Architecture
from nas_core.errors import Exhausted, InvalidOption
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.random import rng
from nas_core.registry import from_config
from nas_core.space import HasTwins, Space
from nas_core.training_set import TrainingSet
from nas_core.trial import Proposal, Trial
from nas_search.candidates import Picks, Seen
from nas_search.failed_members import with_failures
from nas_search.optimizers.base import HistoryOptimizer, whole
from nas_search.ranking import ranked
from nas_search.shared_groups import group_histories

if TYPE_CHECKING:
    from nas_surrogates.autoencoder import AutoencoderPosterior
    from nas_surrogates.nao_steps import Aim

_MUTATIONS: Final = 100

PRESETS: Final[Mapping[str, Mapping[str, Any]]] = {
    # section 4.1: 600 + 200 + 200 labels, one child of every seed
    "cnn": {
        "initial": 600, "labels": 200, "seeds": 200, "step": 10.0, "steps": 100, "unit": False, "children": 1,
        "random": 0, "group": None, "continued": False,
        "surrogate": {"name": "nao", "embedding": 32, "width": 96, "balance": 0.9, "heads": 1},
    },
    # section 4.3, which gives two rounds and no numbers: those of section 4.1
    "rnn": {
        "initial": 600, "labels": 200, "seeds": 200, "step": 10.0, "steps": 100, "unit": False, "children": 1,
        "random": 0, "group": None, "continued": False,
        "surrogate": {
            "name": "nao", "embedding": 64, "width": 128, "balance": 0.8, "heads": 1, "predictor": [200],
        },
    },
    # section 3.4, by the published code: 450 kept, 500 decoded with steps 1, 1.5, … 100, and 50 random ones
    "shared_cnn": {
        "initial": 1000, "labels": 550, "seeds": 100, "step": 1.0, "steps": 199, "unit": False, "children": 0,
        "random": 50, "group": 1000, "continued": True,
        "surrogate": {
            "name": "nao", "embedding": 48, "width": 96, "at_once": 2, "balance": 0.8, "heads": 1, "batch": 100,
            "predictor": [100, 100, 100],
        },
    },
    "shared_rnn": {
        "initial": 1000, "labels": 550, "seeds": 100, "step": 1.0, "steps": 199, "unit": False, "children": 0,
        "random": 50, "group": 1000, "continued": True,
        "surrogate": {
            "name": "nao", "embedding": 48, "width": 96, "at_once": 2, "balance": 0.8, "heads": 1, "batch": 100,
            "predictor": [200, 200, 200, 200],
        },
    },
    # for some hundred labels, where a label costs little more than the fit
    "table": {
        "initial": 48, "labels": 16, "seeds": 32, "step": 0.5, "steps": 8, "unit": True, "children": 4,
        "random": 0, "group": None, "continued": False,
        "surrogate": {
            "name": "nao", "width": 64, "predictor": [64], "scale": "rank", "epochs": 100, "rate": 3e-3, "cool": True,
        },
    },
}  # fmt: skip
"""Options by name; an option that is given counts instead."""


@final
class NAO(HistoryOptimizer):
    """Gradient steps from the best members in a learnt continuous space.

    Args:
        space: with tokens.
        objectives: what the study wants; several, and constraints, too.
        seed: names its random number streams.
        preset: a name of `PRESETS`, whose options hold where the following are None.
        initial: N, labels of random members before the first round; with groups, the size of the first.
        labels: of a round; with groups, the new members of one.
        seeds: K, the best members from which steps are taken.
        step: η, the first step.
        steps: how many steps are tried, each longer by half of η.
        unit: scale gradients to unit length.
        children: new members that are decoded from each seed; 0 for as many as come until there are enough.
        random: random members of a round.
        group: size of the groups that are evaluated on one bank of weights; None evaluates every trial by itself.
        continued: whether the networks of a group's fit begin with the parameters of the fit before.
        surrogate: configuration of the surrogate `nao`, or a preset's with changes.
        allow_twins: propose cells that compute the same as one already proposed.

    Raises:
        MissingCapability: the space has no tokens.
        InvalidOption: an option out of range, or no such preset.
    """

    requires = frozenset({"decisions", "tokens"})

    def __init__(
        self,
        space: Space,
        objectives: Objectives,
        seed: int,
        *,
        preset: str = "table",
        initial: int | None = None,
        labels: int | None = None,
        seeds: int | None = None,
        step: float | None = None,
        steps: int | None = None,
        unit: bool | None = None,
        children: int | None = None,
        random: int | None = None,
        group: int | None = None,
        continued: bool | None = None,
        surrogate: Mapping[str, Any] | None = None,
        allow_twins: bool = False,
    ) -> None:
        super().__init__(space, objectives, seed, allow_twins=allow_twins)
        if preset not in PRESETS:
            raise InvalidOption("no such preset", value=preset, expected="one of " + ", ".join(PRESETS))
        of = PRESETS[preset]
        self.preset = preset
        self.initial = whole("initial", of["initial"] if initial is None else initial, least=1)
        self.labels = whole("labels", of["labels"] if labels is None else labels, least=1)
        self.seeds = whole("seeds", of["seeds"] if seeds is None else seeds, least=1)
        self.steps = whole("steps", of["steps"] if steps is None else steps, least=1)
        self.children = whole("children", of["children"] if children is None else children, least=0)
        self.random = whole("random", of["random"] if random is None else random, least=0)
        self.step = _positive("step", of["step"] if step is None else step)
        self.unit = _flag("unit", of["unit"] if unit is None else unit)
        self.continued = _flag("continued", of["continued"] if continued is None else continued)
        if self.random > self.labels:
            raise InvalidOption("more random members than labels in a round", value=random, expected=f"{self.labels}")
        size = of["group"] if group is None else group
        self.group: int | None = None if size is None else whole("group", size, least=1)
        if self.group is not None and self.labels > self.group:
            raise InvalidOption(
                "more new members than a group has", value=self.labels, expected=f"at most {self.group}"
            )
        config = {**of["surrogate"], **(surrogate or {})}
        if config["name"] != "nao":
            raise InvalidOption("NAO steps in the continuous space of the surrogate nao alone", value=config["name"])
        self.surrogate: Any = from_config("surrogate", config, space)
        twins = isinstance(space, HasTwins) and objectives.functional
        self._pools_by = space.twin_key if twins else None  # type: ignore[attr-defined]
        self._fitted: _Fitted | None = None
        self._fits: list[_Fitted] = []
        self._round: _Round | None = None

    def propose(self, history: History, n: int) -> list[Proposal]:
        """At most `n` new architectures; or a group, once the one before it has finished."""
        if self.group is None or n < 1:
            return super().propose(history, n)
        if history.running:
            return []
        self._seen.read(history)
        members = self._population(history, self.group)
        if not members:
            raise Exhausted(f"nothing new is left to propose in {self.space.name} after {len(history)} trials")
        name = f"group {len(history)}"
        return [Proposal(a, group=name, info={**info, "round": len(history)}) for a, info in members]

    def _population(self, history: History, size: int) -> list[tuple[Architecture, dict[str, Any]]]:
        """The members of the next group: random ones, or after a first group the best of the last and new ones."""
        start, picks, groups = len(history), Picks(self._seen), group_histories(history)
        if not groups:
            stream = rng(self.seed, "propose", start)
            while len(picks) < self.initial and picks.add_random(self.space, stream):
                pass
            return [(a, {"by": "chance"}) for a in picks.architectures]
        kept = self._best(groups[-1])[: size - self.labels]
        new = self._members(groups[-1], self._controller(groups), picks, start, size - len(kept))
        return [(a, {"by": "kept"}) for a in kept] + new

    def _pick(self, history: History, n: int, picks: Picks) -> Sequence[dict[str, Any]]:
        stream = rng(self.seed, "propose", len(history))
        failed = history.seq - len(history.completed)
        few = 2 * len(history.completed) < self.initial
        infos: list[dict[str, Any]] = []
        while len(picks) < n and (few or len(history) - failed + len(picks) < self.initial):
            if not picks.add_random(self.space, stream):
                return infos
            infos.append({"by": "chance"})
        round_ = self._last_round(history)
        while len(picks) < n:
            start = len(history) + len(picks)
            if round_ is None or start >= round_.start + self.labels:
                round_ = self._made(history, start, history.seq, picks)
            member, info = next(((a, info) for a, info in round_.members if picks.add(a)), (None, {}))
            if member is None:
                if not picks.add_random(self.space, stream):
                    break
                info = {"by": "chance"}
            infos.append({**info, "round": round_.start, "labels": round_.labels})
        return infos

    def _last_round(self, history: History) -> _Round | None:
        """The round that the newest trial belongs to."""
        info = history[len(history) - 1].proposal.info if len(history) else {}
        if "round" not in info:
            return None
        return self._made(history, int(info["round"]), int(info["labels"]), None)

    def _made(self, history: History, start: int, labels: int, picks: Picks | None) -> _Round:
        """The round that begins with trial `start` and learns from the first `labels` that finished.

        What had been proposed by then are the first `start` trials, of which `picks` are not in the history yet.
        """
        before = [history[number].proposal for number in range(min(start, len(history)))]
        before += [Proposal(a) for a in (picks.architectures if picks is not None else ())]
        kept, key = self._round, (start, labels, before[-1].architecture, history.finished[labels - 1])
        if kept is None or (kept.start, kept.labels, kept.newest, kept.last) != key:
            proposed = History(history.metrics)
            for proposal in before:
                proposed.begin(proposal)
            seen = Seen(self._seen.key)
            seen.read(proposed)
            known = history.prefix(labels)
            members = self._members(known, self._posterior(known), Picks(seen), start, self.labels)
            kept = self._round = _Round(*key, tuple(members))
        return kept

    def _members(
        self, history: History, posterior: AutoencoderPosterior, picks: Picks, start: int, n: int
    ) -> list[tuple[Architecture, dict[str, Any]]]:
        """What a round proposes, n new members in order, given what had finished when it began and the fit to it."""
        seeds = self._best(history)[: self.seeds]
        wanted = n - self.random
        members = self._children(posterior, seeds, picks, start, wanted)[:wanted]
        drawn = rng(self.seed, "chance", start)
        while len(members) < n and picks.add_random(self.space, drawn):
            members.append((picks.architectures[-1], {"by": "chance"}))
        return members

    def _best(self, history: History) -> list[Architecture]:
        """The members that were measured, each kind once, from the best to the worst."""
        finished, values = history.finished, history.values
        order = [row for row in ranked(self.objectives, values).tolist() if not np.isnan(values[row]).any()]
        found: dict[Hashable, Architecture] = {}
        for row in order:
            found.setdefault(self._seen.key(finished[row].architecture), finished[row].architecture)
        return list(found.values())

    def _children(
        self, posterior: AutoencoderPosterior, seeds: Sequence[Architecture], picks: Picks, start: int, wanted: int
    ) -> list[tuple[Architecture, dict[str, Any]]]:
        """New members by steps from the seeds, the one of best predicted worth first; many, or few, as they come."""
        aim = self._aim(len(seeds), rng(self.seed, "weights", start))
        found: list[tuple[Architecture, int, dict[str, Any]]] = []
        for a, row, taken in self._stepped(posterior, seeds, aim, picks, wanted):
            found.append((a, row, {"by": "step", "seed": self.space.text(seeds[row]), "steps": taken}))
        enough = not self.children and len(found) >= wanted
        moved = set(range(len(seeds))) if enough else {row for _, row, _ in found}
        stream = rng(self.seed, "mutate", start)
        for row in (row for row in range(len(seeds)) if row not in moved):
            if self._mutated(seeds[row], picks, stream):
                info = {"by": "mutation", "seed": self.space.text(seeds[row])}
                found.append((picks.architectures[-1], row, info))
        if not found:
            return []
        worth = posterior.worth(posterior.encode([a for a, _, _ in found]), aim.rows([row for _, row, _ in found]))
        return [(found[i][0], found[i][2]) for i in np.argsort(-worth, kind="stable").tolist()]

    def _stepped(
        self, posterior: AutoencoderPosterior, seeds: Sequence[Architecture], aim: Aim, picks: Picks, wanted: int
    ) -> Iterator[tuple[Architecture, int, int]]:
        """New members, the row of the seed of each, and how many steps it took; each becomes one of the picks."""
        latent = posterior.encode(seeds)
        direction = posterior.direction(latent, aim, self.unit)
        missing = dict.fromkeys(range(len(seeds)), self.children or self.steps)
        found = 0
        for taken in range(1, self.steps + 1):
            rows = [row for row, left in missing.items() if left]
            if not rows or (not self.children and found >= wanted):
                return
            by = self.step * (1.0 + 0.5 * (taken - 1))
            decoded = posterior.decode(posterior.moved(latent.rows(rows), direction[rows], by))
            for row, a in zip(rows, decoded, strict=True):
                if picks.add(a):
                    missing[row] -= 1
                    found += 1
                    yield a, row, taken

    def _mutated(self, a: Architecture, picks: Picks, stream: np.random.Generator) -> bool:
        """Add a new mutation of a member; False where many in vain were known."""
        return any(picks.add(self.space.mutate(a, stream)) for _ in range(_MUTATIONS))

    def _aim(self, n: int, stream: np.random.Generator) -> Aim:
        """What each of n seeds climbs."""
        from nas_surrogates.nao_steps import Aim, Limit
        from nas_surrogates.utility import columns

        m, modelled = len(self.objectives.objectives), columns(self.objectives)
        weights = np.zeros((n, len(self.objectives.metrics)))
        weights[:, :m] = stream.dirichlet(np.ones(m), size=n)
        limits = []
        for constraint in self.objectives.constraints:
            column = self.objectives.metrics.index(constraint.metric)
            bounds = modelled.losses(np.full((1, len(modelled.metrics)), constraint.bound))
            turned = modelled.objectives[column].maximise  # then losses are negative values
            limits.append(Limit(column, float(bounds[0, column]), constraint.at_most != turned))
        trust = stream.dirichlet(np.ones(self.surrogate.shape.heads), size=n)
        return Aim(weights, tuple(limits), trust)

    def _posterior(self, history: History) -> AutoencoderPosterior:
        """The fit to all trials of a history."""
        kept = self._fitted
        if kept is None or kept.labels != history.seq or kept.last != history.finished[-1]:
            kept = self._fitted = self._fit(history, history.seq, None)
        return kept.posterior

    def _controller(self, groups: Sequence[History]) -> AutoencoderPosterior:
        """The fit to the newest of the groups; where fits are continued, the last of a chain along all groups."""
        chain = list(zip(groups, np.cumsum([group.seq for group in groups]).tolist(), strict=True))
        for i, (group, labels) in enumerate(chain if self.continued else chain[-1:]):
            kept = self._fits[i] if i < len(self._fits) else None
            if kept is None or kept.labels != labels or kept.last != group.finished[-1]:
                self._fits[i:] = [self._fit(group, labels, self._fits[i - 1].posterior if i else None)]
        self._fitted = self._fits[-1]
        return self._fitted.posterior

    def _fit(self, history: History, labels: int, start: AutoencoderPosterior | None) -> _Fitted:
        """The networks for a history, after so many labels in all; trained on from those of `start`."""
        from nas_surrogates.utility import columns

        data = with_failures(TrainingSet.from_history(history, columns(self.objectives), key=self._pools_by))
        stream = rng(self.seed, "fit", labels)
        posterior = self.surrogate.fit(data, stream) if start is None else self.surrogate.fit(data, stream, start)
        return _Fitted(labels, history.finished[-1], posterior)

    @property
    def posterior(self) -> AutoencoderPosterior | None:
        """The fit of the newest round; None before the first."""
        return None if self._fitted is None else self._fitted.posterior

    def to_config(self) -> dict[str, Any]:
        """The options it runs with."""
        return {
            "name": "nao",
            "preset": self.preset,
            "initial": self.initial,
            "labels": self.labels,
            "seeds": self.seeds,
            "step": self.step,
            "steps": self.steps,
            "unit": self.unit,
            "children": self.children,
            "random": self.random,
            "group": self.group,
            "continued": self.continued,
            "surrogate": self.surrogate.to_config(),
            "allow_twins": self.allow_twins,
        }


@dataclass(frozen=True)
class _Fitted:
    """A derived cache: the posterior of the first `labels` finished trials."""

    labels: int
    last: Trial
    posterior: AutoencoderPosterior


@dataclass(frozen=True)
class _Round:
    """A derived cache: what a round proposes; `newest` was proposed before trial `start`, `last` finished last."""

    start: int
    labels: int
    newest: Architecture
    last: Trial
    members: tuple[tuple[Architecture, dict[str, Any]], ...]


def _flag(name: str, value: object) -> bool:
    """An option that must be true or false; raises InvalidOption."""
    if not isinstance(value, bool):
        raise InvalidOption(f"{name} must be true or false", value=value)
    return value


def _positive(name: str, value: object) -> float:
    """An option that must be a positive number; raises InvalidOption."""
    legal = isinstance(value, int | float) and not isinstance(value, bool)
    if not legal or not 0.0 < float(value) < float("inf"):  # type: ignore[arg-type]
        raise InvalidOption(f"{name} must be a positive number", value=value)
    return float(value)  # type: ignore[arg-type]
