"""Search spaces: sets of architectures, their decisions, and the views of each member.

`Space` is what every space is; the capabilities are what some spaces can do beyond that. A capability is a protocol
with a short name (`CAPABILITIES`); a space has it by having its methods. An optimizer states the names that it
`requires`.

Three kinds of sameness (design: "Three kinds of sameness"):

* `a == b`: built and looked up alike;
* `graph_key(a) == graph_key(b)`: isomorphic graphs;
* `twin_key(a) == twin_key(b)`: equal under the space's written, versioned rewriting rules: the same function.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from nas_core.architecture import Architecture
from nas_core.decisions import Decision, Value
from nas_core.errors import InvalidArchitecture, MissingCapability
from nas_core.graph import Graph
from nas_core.nested import NestedGraph
from nas_core.network import Network, Task


class Space(ABC):
    """A set of architectures over a fixed sequence of decisions.

    A concrete space gives `name`, `decisions` and, where decisions depend on each other, `active` (and `project`, where
    not every combination of legal values is a member); the rest follows. Concrete spaces are final and hold
    configuration only.
    """

    name: str
    decisions: tuple[Decision, ...]

    def active(self, values: Sequence[Value | None]) -> tuple[bool, ...]:
        """Which decisions mean anything, given legal values of all; inactive ones are None in a member."""
        return (True,) * len(self.decisions)

    def canonical(self, values: Sequence[object]) -> Architecture:
        """The member with exactly these values (None where inactive).

        Raises:
            InvalidArchitecture: with the reason why there is none.
        """
        self._check_length(values)
        legal = [None if v is None else d.check(v) for d, v in zip(self.decisions, values, strict=True)]
        member = self.project(legal)
        for decision, given, kept in zip(self.decisions, legal, member.values, strict=True):
            if given == kept:
                continue
            if kept is None:
                raise InvalidArchitecture(f"decision {decision.name!r} is inactive here", value=given, expected="None")
            if given is None:
                raise InvalidArchitecture(
                    f"decision {decision.name!r} is missing", expected=f"a value such as {kept!r}"
                )
            raise InvalidArchitecture(
                f"decision {decision.name!r} has a value that breaks a rule of {self.name}", value=given
            )
        return member

    def project(self, values: Sequence[object]) -> Architecture:
        """A legal member for any values: total, deterministic, and the identity on members.

        Raises:
            InvalidArchitecture: only where the number of values is wrong.
        """
        self._check_length(values)
        nearest = [d.nearest(v) for d, v in zip(self.decisions, values, strict=True)]
        kept = (v if on else None for v, on in zip(nearest, self.active(nearest), strict=True))
        return Architecture(self.name, tuple(kept))

    def sample(self, rng: np.random.Generator, n: int) -> list[Architecture]:
        """`n` members drawn independently: here every decision uniformly on its scale, then projected."""
        return [self.project([decision.sample(rng) for decision in self.decisions]) for _ in range(n)]

    def mutate(self, a: Architecture, rng: np.random.Generator) -> Architecture:
        """A member that differs from `a` by one step: a uniform pick among its neighbours.

        Raises:
            InvalidArchitecture: the space has one member only.
        """
        steps = self.neighbors(a)
        if not steps:
            raise InvalidArchitecture(f"{self.text(a)!r} has no neighbours in {self.name}")
        return steps[int(rng.integers(len(steps)))]

    def neighbors(self, a: Architecture) -> list[Architecture]:
        """All members one step away, without repeats and without `a`, in a fixed order.

        A step sets one active decision to another value (`Decision.others`) and projects.
        """
        found: dict[Architecture, None] = {}
        for i, (decision, value) in enumerate(zip(self.decisions, a.values, strict=True)):
            if value is None:
                continue
            for other in decision.others(value):
                found[self.project((*a.values[:i], other, *a.values[i + 1 :]))] = None
        found.pop(a, None)
        return list(found)

    def text(self, a: Architecture) -> str:
        """The member as text, in the notation the field publishes; here: a JSON object of its active decisions."""
        named = {d.name: v for d, v in zip(self.decisions, a.values, strict=True) if v is not None}
        return json.dumps(named, separators=(",", ":"))

    def parse(self, text: str) -> Architecture:
        """The member that `text` describes; the inverse of `text`.

        Raises:
            InvalidArchitecture: it describes none, with the reason.
        """
        try:
            named = json.loads(text)
        except (ValueError, RecursionError):
            named = None
        if not isinstance(named, dict):
            raise InvalidArchitecture("not an architecture's text", value=text, expected="a JSON object of decisions")
        unknown = set(named) - {decision.name for decision in self.decisions}
        if unknown:
            raise InvalidArchitecture(f"{self.name} has no decision {sorted(unknown)[0]!r}", value=text)
        return self.canonical([named.get(decision.name) for decision in self.decisions])

    @abstractmethod
    def to_config(self) -> dict[str, Any]:
        """Plain data from which the registry makes an equal space: `{"name": …, **options}`."""

    def _check_length(self, values: Sequence[object]) -> None:
        if len(values) != len(self.decisions):
            raise InvalidArchitecture(
                f"{self.name} has {len(self.decisions)} decisions", value=list(values), expected="a value for each"
            )


@runtime_checkable
class Enumerable(Protocol):
    """The space can list its members."""

    @property
    def size(self) -> int:
        """Number of members."""
        ...

    def enumerate(self) -> Iterator[Architecture]:
        """Every member once, in a fixed order."""
        ...


@runtime_checkable
class HasGraphs(Protocol):
    """Members have labelled graphs.

    A space may also say which labels compute nothing, as tuples: `graph_identities`, nodes that hand on what they read,
    and `graph_zeros`, nodes that give zeros. Surrogates read them to tell what a graph computes from how it is written;
    a space without these attributes has no such labels. They need not be as strict as the rules of `twin_key`.
    """

    def graphs(self, a: Architecture) -> Mapping[str, Graph]:
        """The graphs of a member by name: {"cell": …}, or {"normal": …, "reduction": …}."""
        ...

    def from_graphs(self, graphs: Mapping[str, Graph]) -> Architecture:
        """The member with these graphs (up to isomorphism); raises InvalidArchitecture where there is none."""
        ...

    @property
    def graph_labels(self) -> tuple[str, ...]:
        """Every label a node can carry, in a fixed order (the vocabulary of encodings); o of them."""
        ...

    @property
    def most_nodes(self) -> int:
        """The largest number of nodes v of a graph."""
        ...

    def graph_key(self, a: Architecture) -> str:
        """Equal for members with isomorphic graphs, different otherwise."""
        ...


@runtime_checkable
class HasTokens(Protocol):
    """Members have a token sequence."""

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """The tokens in the order of their numbers."""
        ...

    def tokens(self, a: Architecture) -> tuple[int, ...]:
        """The member as token numbers."""
        ...

    def from_tokens(self, tokens: Sequence[int]) -> Architecture:
        """The member of these tokens; raises InvalidArchitecture where there is none."""
        ...

    def legal_tokens(self, prefix: Sequence[int]) -> tuple[int, ...]:
        """The tokens that may follow `prefix` in a member's sequence; () when it is complete."""
        ...


@runtime_checkable
class HasTwins(Protocol):
    """The space has rewriting rules that keep a member's function."""

    @property
    def twin_rules(self) -> str:
        """Name and version of the rules."""
        ...

    def twin_key(self, a: Architecture) -> str:
        """Equal for members that the rules turn into each other."""
        ...


@runtime_checkable
class HasNetwork(Protocol):
    """Members are neural networks."""

    def network(self, a: Architecture, task: Task, seed: int = 0, **options: Any) -> Network:
        """The network of a member for a task.

        Args:
            a: the member.
            task: what it is for and the shape of its input.
            seed: which network a generator space draws; the others ignore it.
            **options: widths, depths and switches of the space's skeleton.

        Raises:
            InvalidNetwork: the task or an option does not fit.
        """
        ...


@runtime_checkable
class HasWirings(Protocol):
    """Members are generators, and what they draw can be shown.

    For pictures alone: no component can require it, so it is not among `CAPABILITIES`.
    """

    def wirings(self, a: Architecture, seed: int = 0) -> NestedGraph:
        """What a member draws from a seed; the network of that seed is wired so."""
        ...


@runtime_checkable
class HasLabelWords(Protocol):
    """The labels of the space's graphs are short signs, and pictures have room for words. Not among `CAPABILITIES`."""

    @property
    def label_words(self) -> Mapping[str, str]:
        """What to show in place of a label."""
        ...


CAPABILITIES: Mapping[str, type] = {
    "enumerate": Enumerable,
    "graphs": HasGraphs,
    "tokens": HasTokens,
    "twins": HasTwins,
    "network": HasNetwork,
}
"""Short names of the capabilities; "decisions" every space has."""


def capabilities(space: Space) -> frozenset[str]:
    """The short names of what a space can do."""
    return frozenset({"decisions", *(name for name, protocol in CAPABILITIES.items() if isinstance(space, protocol))})


def require(space: Space, needed: frozenset[str], who: str) -> None:
    """Check before anything runs that a space has what a component needs.

    Raises:
        MissingCapability: naming the space, the component and what is missing.
    """
    missing = sorted(needed - capabilities(space))
    if missing:
        raise MissingCapability(
            f"{who} needs {', '.join(missing)}, which the space {space.name!r} does not have",
            expected=f"a space with {', '.join(sorted(needed))}; it has {', '.join(sorted(capabilities(space)))}",
        )


def check_tokens(space: HasTokens, tokens: Sequence[int]) -> None:
    """Check a whole sequence against what may stand at each of its places.

    Raises:
        InvalidArchitecture: naming the first token that may not stand where it does; or the sequence is not finished.
    """
    for position, token in enumerate(tokens):
        expected = space.legal_tokens(tokens[:position])
        if token not in expected:
            raise InvalidArchitecture(
                f"token {position} may not stand here",
                value=token,
                expected=", ".join(map(str, expected)) or "the end of the sequence",
            )
    if space.legal_tokens(tokens):
        raise InvalidArchitecture("a sequence of tokens that is not finished", value=tuple(tokens))
