"""A sweep: every member of a space, or a sample, at every fidelity and replicate; it makes tables.

Nothing is optimised: what comes next is fixed from the start. Of members that compute the same only one is evaluated,
the first in the space's order, unless twins are allowed. All trials of a member come before those of the next, and
members come in random order, so that what has been evaluated so far is a uniform sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
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
        members: how many are drawn from the space's own distribution; None for all.
        fidelities: at which each is evaluated; () for the evaluator's own only.
        replicates: how often each is evaluated at each fidelity.
        allow_twins: whether members that compute the same are evaluated separately.

    Raises:
        InvalidOption: an option out of range, a space that cannot be listed, or one of fewer members.
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
    ) -> None:
        if members is None and not isinstance(space, Enumerable):
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

    @cached_property
    def architectures(self) -> tuple[Architecture, ...]:
        """The members in the order of their evaluation.

        Raises:
            InvalidOption: the space has fewer than asked for.
        """
        picks = Picks(Seen(self._key))
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
