"""A sweep: every member of a space, a sample, or the best of another study, at every fidelity and replicate.

Nothing is optimised: what comes next is fixed from the start. Of members that compute the same only one is evaluated,
the first in the space's order, unless twins are allowed. All trials of a member come before those of the next, and
members come in random order, so that what has been evaluated so far is a uniform sample; so sweeps make tables. Those
of another study come in the order of their merit there: found on one data set, they are evaluated on another.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, final

from nas_core.architecture import Architecture
from nas_core.errors import Exhausted, InvalidOption
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.optimizer import State
from nas_core.random import rng
from nas_core.space import Enumerable, HasTwins, Space
from nas_core.trial import Proposal
from nas_search.candidates import Picks, Seen
from nas_search.optimizers.base import whole


@final
class Sweep:
    """Evaluates a list of members.

    Args:
        space: any; one that can be listed where all members are asked for.
        objectives: what the study wants; not read.
        seed: of the sample, or of the order.
        members: how many are drawn from the space's own distribution, or are the best of `start`; None for all.
        fidelities: at which each is evaluated; () for the evaluator's own only.
        replicates: how often each is evaluated at each fidelity.
        allow_twins: whether members that compute the same are evaluated separately.
        start: directory of a study of this space, whose best members are evaluated.
        start_trials: how many of its finished trials are looked at; None for all that there are now, which
            `to_config` writes out, so that a study goes on with what it began with.

    Raises:
        InvalidOption: an option out of range, a space that cannot be listed, one of fewer members, or a study that is
            no start.
        StoreError: `start` is no study.
    """

    requires: frozenset[str] = frozenset({"decisions"})

    def __init__(
        self,
        space: Space,
        objectives: Objectives,
        seed: int,
        *,
        members: int | None = None,
        fidelities: Sequence[float] = (),
        replicates: int = 1,
        allow_twins: bool = False,
        start: str | None = None,
        start_trials: int | None = None,
    ) -> None:
        if members is None and start is None and not isinstance(space, Enumerable):
            raise InvalidOption(
                f"all members of {space.name} cannot be listed", value=members, remedy="Say how many are to be sampled."
            )
        if not isinstance(allow_twins, bool):
            raise InvalidOption("allow_twins must be true or false", value=allow_twins)
        self.space = space
        self.seed = seed
        self.members = None if members is None else whole("members", members, least=1)
        self.fidelities = _fidelities(fidelities)
        self.replicates = whole("replicates", replicates, least=1)
        self.allow_twins = allow_twins
        self._started(start, start_trials)

    def _started(self, start: str | None, first: int | None) -> None:
        self.start = None if start is None else str(Path(start).expanduser().resolve())
        self.start_trials = first
        self._found: list[Architecture] = []
        if self.start is None:
            if first is not None:
                raise InvalidOption("start_trials says something about a start", value=first, expected="start")
            return
        from nas_search.warm_start import best_members  # a study makes optimizers: this would go in a circle

        if first is not None:
            whole("start_trials", first, least=1)
        self._found, self.start_trials = best_members(self.start, self.space, first)

    @cached_property
    def architectures(self) -> tuple[Architecture, ...]:
        """The members in the order of their evaluation.

        Raises:
            InvalidOption: the space has fewer than asked for.
        """
        picks = Picks(Seen(self._key))
        if self.start is not None:
            return self._best(picks)
        stream = rng(self.seed, "sweep")
        if self.members is None and isinstance(self.space, Enumerable):
            for a in self.space.enumerate():
                picks.add(a)
            return tuple(picks.architectures[i] for i in stream.permutation(len(picks)).tolist())
        while len(picks) < (self.members or 0):
            if not picks.add_random(self.space, stream):
                raise InvalidOption(
                    "the space has fewer members to sample", value=self.members, expected=f"at most {len(picks)}"
                )
        return tuple(picks.architectures)

    def _best(self, picks: Picks) -> tuple[Architecture, ...]:
        """As many of the study's members as are asked for, the best first."""
        for a in self._found:
            picks.add(a)
        if len(picks) < (self.members or 0):
            raise InvalidOption(
                "the study to start from has fewer members",
                value=self.members,
                place=self.start,
                expected=f"at most {len(picks)}",
            )
        return tuple(picks.architectures[: self.members])

    @property
    def trials(self) -> int:
        """How many trials the whole sweep has."""
        return len(self.architectures) * self._each

    def propose(self, history: History, n: int) -> list[Proposal]:
        """The next trials of the list; see `nas_core.optimizer.Optimizer`."""
        if n < 1:
            raise InvalidOption("a call for proposals must ask for at least one", value=n)
        start = len(history)
        found = [self._proposal(i) for i in range(start, min(start + n, self.trials))]
        if not found and not history.running:
            raise Exhausted(f"the sweep of {self.space.name} has ended after {start} trials")
        return found

    def state(self) -> State | None:
        """Nothing is carried."""
        return None

    def restore(self, state: State) -> None:
        """Nothing is carried, so a state can only be another optimizer's."""
        raise InvalidOption("a sweep carries no state", value=sorted(state.values))

    def to_config(self) -> dict[str, Any]:
        """The options it runs with."""
        return {
            "name": "sweep",
            "members": self.members,
            "fidelities": list(self.fidelities),
            "replicates": self.replicates,
            "allow_twins": self.allow_twins,
            "start": self.start,
            "start_trials": self.start_trials,
        }

    @property
    def _each(self) -> int:
        return max(1, len(self.fidelities)) * self.replicates

    def _proposal(self, number: int) -> Proposal:
        member, rest = divmod(number, self._each)
        replicate, level = divmod(rest, max(1, len(self.fidelities)))
        fidelity = self.fidelities[level] if self.fidelities else None
        return Proposal(self.architectures[member], fidelity=fidelity, replicate=replicate)

    def _key(self, architecture: Architecture) -> Any:
        twins = isinstance(self.space, HasTwins) and not self.allow_twins
        return self.space.twin_key(architecture) if twins else architecture  # type: ignore[attr-defined]


def _fidelities(given: Sequence[float]) -> tuple[float, ...]:
    numbers = [x for x in given if isinstance(x, int | float) and not isinstance(x, bool) and x > 0]
    if isinstance(given, str) or len(numbers) < len(given) or len(set(numbers)) < len(numbers):
        raise InvalidOption("fidelities cannot be read", value=given, expected="different numbers above 0")
    return tuple(sorted(numbers))
