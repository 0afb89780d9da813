"""Closed restriction: a space of the members that a table has results of, or of any list of members.

A search in such a space proposes listed members only. What is not listed is walked through: it is never proposed, and
is never given the label of a listed member.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, final, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.decisions import Value
from nas_core.encoding import one_hot
from nas_core.errors import InvalidArchitecture, InvalidSpace
from nas_core.graph import Graph
from nas_core.registry import from_config
from nas_core.space import HasGraphs, HasNetwork, HasTokens, HasTwins, Space
from nas_spaces.tables.table import Table

ENOUGH: Final = 5
"""Neighbours are looked for in wider and wider rings until so many listed members are found …"""
MOST_MET: Final = 1000
"""… or so many architectures have been met."""

_REMEMBERED = 1 << 14
_FromGraphs: TypeAlias = Callable[[Mapping[str, Graph]], Architecture]
_FromTokens: TypeAlias = Callable[[Sequence[int]], Architecture]


@runtime_checkable
class _HasStandard(Protocol):
    """The space knows one member of each isomorphism class: quicker to compare than graph keys."""

    def standard(self, a: Architecture) -> Architecture:
        """The same member for isomorphic ones."""
        ...


@final
class RestrictedSpace(Space):
    """Some members of a space, with all views that the space has.

    It has the space's name and decisions, so that its members are members of the space too.

    Args:
        space: the whole space, its configuration or its registered name.
        members: those that are kept, in order, or their texts.
        table: instead of both: a table file, whose space and members they are.

    Raises:
        InvalidSpace: no members, one that is listed twice, or neither or both ways of saying what they are.
        InvalidArchitecture: one that is no member of the space.
        InvalidTable: the table cannot be read.
    """

    def __init__(
        self,
        space: Space | Mapping[str, Any] | str | None = None,
        members: Sequence[Architecture | str] | None = None,
        *,
        table: str | Path | None = None,
    ) -> None:
        self._table = None if table is None else str(table)
        if table is not None and space is None and members is None:
            read = Table.load(table)
            self.inner, self.members = read.space, tuple(read.architectures())
        elif table is None and space is not None and members is not None:
            config = {"name": space} if isinstance(space, str) else space
            self.inner = config if isinstance(config, Space) else from_config("space", config)
            self.members = tuple([self._of_inner(member) for member in members])
        else:
            raise InvalidSpace("a restriction needs either a table, or a space and its members")
        self._place = {member: i for i, member in enumerate(self.members)}
        if not self.members:
            raise InvalidSpace("a restriction without members")
        if len(self._place) < len(self.members):
            twice = next(a for i, a in enumerate(self.members) if self._place[a] != i)
            raise InvalidSpace("a member is listed twice", value=self.inner.text(twice))
        self.whole: Space = getattr(self.inner, "whole", self.inner)
        self.name = self.inner.name
        self.decisions = self.inner.decisions
        self.size = len(self.members)
        self._neighbors = lru_cache(_REMEMBERED)(self._near)
        self._take_over_views(self.inner)

    def _of_inner(self, member: Architecture | str) -> Architecture:
        if isinstance(member, Architecture):
            return self.inner.canonical(member.values)
        if not isinstance(member, str):
            raise InvalidSpace("members are listed as architectures or texts", value=member)
        return self.inner.parse(member)

    def _take_over_views(self, inner: Space) -> None:
        """Give this space the views that the whole space has; a capability is had by having its attributes."""
        self._class: Callable[[Architecture], Hashable] | None = None
        if isinstance(inner, HasGraphs):
            self._class = inner.standard if isinstance(inner, _HasStandard) else inner.graph_key
            self.graph_labels, self.most_nodes = inner.graph_labels, inner.most_nodes
            self.graphs, self.graph_key = inner.graphs, inner.graph_key
            self.graph_identities: tuple[str, ...] = getattr(inner, "graph_identities", ())
            self.graph_zeros: tuple[str, ...] = getattr(inner, "graph_zeros", ())
            self.from_graphs: _FromGraphs = lambda graphs: self._standing_for(inner.from_graphs(graphs))
        if isinstance(inner, HasTokens):
            self.vocabulary, self.tokens, self.legal_tokens = inner.vocabulary, inner.tokens, self._legal_tokens
            self.from_tokens: _FromTokens = lambda tokens: self._listed(inner.from_tokens(tokens))
        if isinstance(inner, HasTwins):
            self.twin_rules, self.twin_key = inner.twin_rules, inner.twin_key
        if isinstance(inner, HasNetwork):
            self.network = inner.network

    def member(self, a: Architecture) -> Architecture | None:
        """The listed member that is `a` or, where there are graphs, the first one with an isomorphic graph; or None."""
        if a in self._place:
            return a
        return None if self._class is None else self._by_class.get(self._class(a))

    def active(self, values: Sequence[Value | None]) -> tuple[bool, ...]:
        """As in the whole space."""
        return self.inner.active(values)

    def canonical(self, values: Sequence[object]) -> Architecture:
        """The listed member with exactly these values.

        Raises:
            InvalidArchitecture: with the reason why there is none.
        """
        return self._listed(self.inner.canonical(values))

    def project(self, values: Sequence[object]) -> Architecture:
        """A listed member for any values.

        What the whole space makes of them, or the member that stands for it, where listed; otherwise the member nearest
        to that by one-hot decisions (absolute differences, summed), the first of several.
        """
        a = self.inner.project(values)
        return self.member(a) or next(self._nearest(a))

    def sample(self, rng: np.random.Generator, n: int) -> list[Architecture]:
        """`n` members, each uniform among the listed ones."""
        return [self.members[i] for i in rng.integers(self.size, size=n).tolist()]

    def enumerate(self) -> Iterator[Architecture]:
        """The members in the order of the list."""
        return iter(self.members)

    def neighbors(self, a: Architecture) -> list[Architecture]:
        """The listed members around `a`, in a fixed order.

        Rings are walked outwards: the whole space's neighbours of `a`, then theirs, and so on; a neighbour that is
        listed, or that a listed one stands for, is taken, any other one is walked through. The walk ends after the ring
        in which the fifth member is found (`ENOUGH`), or when 1,000 architectures have been met (`MOST_MET`). If it
        finds fewer than five, those nearest by decisions (see `project`) make up the number.
        """
        return list(self._neighbors(a))

    def text(self, a: Architecture) -> str:
        """As in the whole space."""
        return self.inner.text(a)

    def parse(self, text: str) -> Architecture:
        """The listed member that a text describes.

        Raises:
            InvalidArchitecture: it describes none.
        """
        return self._listed(self.inner.parse(text))

    def to_config(self) -> dict[str, Any]:
        """The table file, or the whole space and the members' texts."""
        if self._table is not None:
            return {"name": "restricted", "table": self._table}
        texts = [self.inner.text(member) for member in self.members]
        return {"name": "restricted", "space": self.inner.to_config(), "members": texts}

    def _listed(self, a: Architecture) -> Architecture:
        if a in self._place:
            return a
        other = self.member(a)
        raise InvalidArchitecture(
            f"not among the {self.size} members listed of {self.name}",
            value=self.inner.text(a),
            remedy=None if other is None else f"{self.inner.text(other)!r} is, and has an isomorphic graph.",
        )

    def _near(self, a: Architecture) -> tuple[Architecture, ...]:
        found: dict[Architecture, None] = {}
        met, ring = {a}, [a]
        while ring and len(found) < ENOUGH and len(met) <= MOST_MET:
            outer: list[Architecture] = []
            for here in ring:
                for there in self.inner.neighbors(here) if len(met) <= MOST_MET else ():
                    if there in met:
                        continue
                    met.add(there)
                    member = self.member(there)
                    if member is None:
                        outer.append(there)
                    else:
                        found[member] = None
            ring = outer
        found.pop(a, None)
        for member in self._nearest(a) if len(found) < ENOUGH else ():
            found[member] = None
            if len(found) == ENOUGH:
                break
        return tuple(found)

    def _nearest(self, a: Architecture) -> Iterator[Architecture]:
        """The members other than `a`, those with the smallest difference in one-hot decisions first."""
        differences = np.abs(self._encoded - one_hot(self.inner, [a])).sum(axis=1)
        order = np.argsort(differences, kind="stable").tolist()
        return (self.members[i] for i in order if self.members[i] != a)

    @cached_property
    def _encoded(self) -> NDArray[np.float64]:
        return one_hot(self.inner, self.members)

    @cached_property
    def _by_class(self) -> dict[Hashable, Architecture]:
        """The first member of each isomorphism class."""
        return {} if self._class is None else {self._class(member): member for member in reversed(self.members)}

    def _standing_for(self, a: Architecture) -> Architecture:
        member = self.member(a)
        if member is None:  # of a generator's graphs most are refused here: no time for a text
            raise InvalidArchitecture(f"not among the {self.size} members listed of {self.name}", value=a)
        return member

    @cached_property
    def _sequences(self) -> list[tuple[int, ...]]:
        """The members' tokens, sorted."""
        return sorted([self.tokens(member) for member in self.members])

    def _legal_tokens(self, prefix: Sequence[int]) -> tuple[int, ...]:
        """The tokens with which a listed member's sequence goes on after `prefix`; () when it is complete."""
        begun = tuple(prefix)
        return tuple([token for token in range(len(self.vocabulary)) if self._begins((*begun, token))])

    def _begins(self, prefix: tuple[int, ...]) -> bool:
        place = bisect_left(self._sequences, prefix)
        return place < self.size and self._sequences[place][: len(prefix)] == prefix
