"""What optimizers that spend little on most members and much on few have in common.

Everything is read from the history: a trial's `info` says its bracket and rung, and the trial that it was promoted
from. A rung's best are promoted when all its trials have finished; whoever has nothing to do meanwhile opens the next
bracket, so that no worker waits. Asynchronously (Li et al. 2020, "ASHA"), there is one bracket without sizes, and the
best of those that have finished are promoted at once. Failed trials are never promoted.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nas_core.errors import Exhausted, InvalidOption
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.optimizer import State
from nas_core.random import rng
from nas_core.space import HasWirings, Space, require
from nas_core.trial import Proposal, Status, Trial
from nas_search.candidates import Picks, Seen, sameness
from nas_search.optimizers.brackets import Rung, Schedule, rungs
from nas_search.ranking import ranked

PROMOTIONS = ("anew", "continue", "resample")


@dataclass(frozen=True)
class Job:
    """The next thing to do: a new member in a bracket's first rung, or the promotion of a trial."""

    bracket: int
    rung: int
    fidelity: float
    parent: Trial | None = None


class MultiFidelityOptimizer(ABC):
    """An optimizer whose trials have fidelities and are promoted.

    A concrete one gives `_kind`, which bracket is which, and `_choose`, where new members come from.

    Args:
        space: any.
        objectives: several are ranked by fronts and what each member adds to its front.
        seed: names the random number streams.
        fidelities: ascending.
        eta: one of so many is promoted; None for the mean ratio of neighbouring fidelities.
        promote: "anew" trains a promoted member from the start, "continue" goes on from its checkpoint (an evaluator
            that keeps checkpoints can), "resample" draws another network from its generator and trains that (NAGO,
            §3.2); None for "resample" where the space draws networks, otherwise "anew".
        asynchronous: promote at once, in one bracket of all rungs.
        allow_twins: propose members that compute the same as one already proposed.

    Raises:
        InvalidOption: an option out of range, or resampling in a space that draws nothing.
    """

    requires: frozenset[str] = frozenset({"decisions"})

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
    ) -> None:
        require(space, self.requires, f"the optimizer {type(self).__name__}")
        for name, flag in (("asynchronous", asynchronous), ("allow_twins", allow_twins)):
            if not isinstance(flag, bool):
                raise InvalidOption(f"{name} must be true or false", value=flag)
        self.space = space
        self.objectives = objectives
        self.seed = seed
        self.schedule = Schedule.of(fidelities, eta)
        self.promote = _promotion(space, promote)
        self.asynchronous = asynchronous
        self.allow_twins = allow_twins
        self._seen = Seen(sameness(space, objectives, allow_twins))

    @abstractmethod
    def _kind(self, bracket: int) -> int:
        """The number of promotions of a bracket, by its number from 0."""

    @abstractmethod
    def _choose(self, history: History, picks: Picks, stream: np.random.Generator) -> str | None:
        """Choose one new member into `picks`; says how it was found, None where there is none left."""

    def propose(self, history: History, n: int) -> list[Proposal]:
        """At most `n` trials; see `nas_core.optimizer.Optimizer`."""
        if n < 1:
            raise InvalidOption("a call for proposals must ask for at least one", value=n)
        self._seen.read(history)
        picks, stream = Picks(self._seen), rng(self.seed, "propose", len(history))
        brackets, none_left = rungs(list(history), history.finished), False
        found: list[Proposal] = []
        order = _Order(self.objectives, history)
        while len(found) < n:
            job = self._job(brackets, order, none_left)
            if job is None:
                break
            if job.parent is not None:
                found.append(self._promoted(job, job.parent))
                self._note(brackets, job, len(history) + len(found) - 1)
                continue
            by = self._choose(history, picks, stream)
            if by is None:
                none_left = True
                continue
            info = {"bracket": job.bracket, "rung": job.rung, "by": by}
            found.append(Proposal(picks.architectures[-1], fidelity=job.fidelity, info=info))
            self._note(brackets, job, len(history) + len(found) - 1)
        if not found and not history.running:
            raise Exhausted(f"nothing new is left to propose in {self.space.name} after {len(history)} trials")
        return found

    def state(self) -> State | None:
        """Nothing is carried."""
        return None

    def restore(self, state: State) -> None:
        """Nothing is carried, so a state can only be another optimizer's."""
        raise InvalidOption(f"{type(self).__name__} carries no state", value=sorted(state.values))

    def _options(self) -> dict[str, Any]:
        """The options that all of them have."""
        return {
            "fidelities": list(self.schedule.fidelities),
            "eta": self.schedule.eta,
            "promote": self.promote,
            "asynchronous": self.asynchronous,
            "allow_twins": self.allow_twins,
        }

    @abstractmethod
    def to_config(self) -> dict[str, Any]:
        """The options it runs with."""

    def _note(self, brackets: dict[int, dict[int, Rung]], job: Job, number: int) -> None:
        rung = brackets.setdefault(job.bracket, {}).setdefault(job.rung, Rung())
        rung.begun.append(number)
        if job.parent is not None:
            rung.parents.add(job.parent.number)

    def _promoted(self, job: Job, parent: Trial) -> Proposal:
        info = {"bracket": job.bracket, "rung": job.rung, "by": "promotion", "parent": parent.number}
        return Proposal(
            parent.architecture,
            fidelity=job.fidelity,
            draw=parent.proposal.draw + (self.promote == "resample"),
            resume_from=parent.number if self.promote == "continue" else None,
            info=info,
        )

    def _job(self, brackets: dict[int, dict[int, Rung]], order: _Order, none_left: bool) -> Job | None:
        found = (
            self._asynchronous_jobs(brackets, order)
            if self.asynchronous
            else self._synchronous_jobs(brackets, order, none_left)
        )
        return next((job for job in found if job.parent is not None or not none_left), None)

    def _synchronous_jobs(self, brackets: dict[int, dict[int, Rung]], order: _Order, none_left: bool) -> Iterator[Job]:
        """What can be done, the oldest bracket first, and then a new bracket.

        Where the space has no new members left, a first rung is as full as it will be.
        """
        for number in sorted(brackets):
            kind, done = self._kind(number), brackets[number]
            sizes = self.schedule.sizes(kind)
            first = done.get(0, Rung())
            if len(first.begun) < sizes[0]:
                yield Job(number, 0, self.schedule.fidelity(kind, 0))
            for rung in range(1, kind + 1):
                below, here = done.get(rung - 1, Rung()), done.get(rung, Rung())
                full = len(below.begun) >= (sizes[0] if rung == 1 and not none_left else 1)
                complete = full and len(below.finished) == len(below.begun)
                if not complete or (rung > 1 and not self._filled(done, rung - 1, sizes, order)):
                    break
                for parent in order.best(below.finished, sizes[rung]):
                    if parent.number not in here.parents:
                        yield Job(number, rung, self.schedule.fidelity(kind, rung), parent)
        opened = max(brackets, default=-1) + 1
        yield Job(opened, 0, self.schedule.fidelity(self._kind(opened), 0))

    def _filled(self, done: dict[int, Rung], rung: int, sizes: Sequence[int], order: _Order) -> bool:
        """Whether everything has been promoted into a rung that will be."""
        wanted = order.best(done[rung - 1].finished, sizes[rung])
        return len(done.get(rung, Rung()).begun) >= len(wanted)

    def _asynchronous_jobs(self, brackets: dict[int, dict[int, Rung]], order: _Order) -> Iterator[Job]:
        done, top = brackets.get(0, {}), self.schedule.levels - 1
        for rung in range(top, 0, -1):
            below, here = done.get(rung - 1, Rung()), done.get(rung, Rung())
            for parent in order.best(below.finished, int(len(below.finished) / self.schedule.eta)):
                if parent.number not in here.parents:
                    yield Job(0, rung, self.schedule.fidelities[rung], parent)
        yield Job(0, 0, self.schedule.fidelities[0])


class _Order:
    """The order of merit among trials of one rung."""

    def __init__(self, objectives: Objectives, history: History) -> None:
        self._objectives = objectives
        self._trials = history
        self._values = history.values
        self._row = {trial.number: row for row, trial in enumerate(history.finished)}

    def best(self, numbers: Sequence[int], k: int) -> list[Trial]:
        """The k best of finished trials that did not fail, the best first."""
        values = self._values[[self._row[number] for number in numbers]] if numbers else np.empty((0, 1))
        if not len(values) or k < 1:
            return []
        trials = [self._trials[numbers[i]] for i in ranked(self._objectives, values).tolist()]
        return [trial for trial in trials if trial.status is Status.COMPLETED][:k]


def choose_at_random(space: Space, picks: Picks, stream: np.random.Generator) -> str | None:
    """A new member from the space's own distribution."""
    return "chance" if picks.add_random(space, stream) else None


def _promotion(space: Space, given: str | None) -> str:
    draws = isinstance(space, HasWirings)
    if given is None:
        return "resample" if draws else "anew"
    if given not in PROMOTIONS:
        known = "one of " + ", ".join(PROMOTIONS)
        raise InvalidOption("promote must say what becomes of a promoted member", value=given, expected=known)
    if given == "resample" and not draws:
        raise InvalidOption(
            f"the networks of {space.name} are not drawn, so they cannot be drawn again",
            value=given,
            expected="anew or continue",
        )
    return given
