"""From the graph of a cell back to the decisions of a declaration (`nas_spaces.declared_graph`): a search for a match.

The nodes of the declaration are gone through in topological order. Each is one of the graph's nodes whose sources have
all been found, or it is left out, where that can be. Between nodes that are found, a wire is there exactly where the
graph has an edge, and that settles labels and conditions on the way.

    v   nodes of the declaration, in topological order; a wire joins two of them
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from nas_core.decisions import Value
from nas_core.errors import InvalidArchitecture
from nas_core.graph import Graph

Known: TypeAlias = Mapping[int, Value]
"""The values of some decisions by their places."""
PRESENT: Final = (1, "yes")
"""The values of a decision that say that an edge is there; true is 1."""

_MOST_STEPS = 1_000_000


class Node(NamedTuple):
    """A node: its label or the place of the decision that says it, and the place of a decision that it needs."""

    label: str | None
    decision: int | None
    condition: int | None = None


class Wire(NamedTuple):
    """An edge between nodes; it is there where its ends are and its own condition, if any, holds."""

    source: int
    target: int
    condition: int | None


def switch(choices: Sequence[Value], on: bool) -> Value:
    """The choice that says that an edge is there, or the one that says that it is not."""
    return next(choice for choice in choices if (choice in PRESENT) == on)


def matches(
    graph: Graph,
    nodes: Sequence[Node],
    wires: Sequence[Wire],
    may_miss: Sequence[bool],
    choices: Mapping[int, tuple[Any, ...]],
    known: Known,
) -> Iterator[Known]:
    """The values that follow from each way in which a graph can match, added to those that are known.

    Args:
        graph: without ports.
        nodes: v of them.
        wires: between them.
        may_miss: for each node whether it can be left out (v).
        choices: of the decisions that label nodes or switch edges, by their places.
        known: what is settled already.

    Raises:
        InvalidArchitecture: the search takes more than a million steps.
    """
    yield from _Search(graph, nodes, wires, may_miss, choices).run(known)


class _Search:
    def __init__(
        self,
        graph: Graph,
        nodes: Sequence[Node],
        wires: Sequence[Wire],
        may_miss: Sequence[bool],
        choices: Mapping[int, tuple[Any, ...]],
    ) -> None:
        self._labels, self._nodes, self._may_miss, self._choices = graph.labels, nodes, may_miss, choices
        self._sources: list[set[int]] = [set() for _ in graph.labels]
        for source, target in graph.edges:
            self._sources[target].add(source)
        self._wires = {(wire.source, wire.target): wire for wire in wires}
        self._found: dict[int, int] = {}  # the declaration's node of each of the graph's nodes
        self._steps = 0

    def run(self, known: Known) -> Iterator[Known]:
        yield from self._after(0, known)

    def _after(self, at: int, known: Known) -> Iterator[Known]:
        """Go on with node `at` of the declaration."""
        self._steps += 1
        if self._steps > _MOST_STEPS:
            raise InvalidArchitecture("it takes too long to find the member of this graph", value=self._labels)
        if len(self._labels) - len(self._found) > len(self._nodes) - at:
            return
        if at == len(self._nodes):
            yield known
            return
        for place in range(len(self._labels)):
            more = None if place in self._found else self._settled(at, place, known)
            if more is not None:
                self._found[place] = at
                yield from self._after(at + 1, more)
                del self._found[place]
        if self._may_miss[at]:
            yield from self._after(at + 1, known)

    def _settled(self, at: int, place: int, known: Known) -> Known | None:
        """What is known if node `at` is the graph's node `place`; None where it cannot be."""
        node, label = self._nodes[at], self._labels[place]
        if node.label not in (None, label) or not self._sources[place] <= self._found.keys():
            return None
        follows: list[tuple[int, Value]] = []
        if node.decision is not None:
            follows.append((node.decision, label))
        if node.condition is not None:
            follows.append((node.condition, switch(self._choices[node.condition], on=True)))
        for other, earlier in self._found.items():
            wire, there = self._wires.get((earlier, at)), other in self._sources[place]
            if wire is not None and wire.condition is not None:
                follows.append((wire.condition, switch(self._choices[wire.condition], there)))
            elif there != (wire is not None):
                return None
        more = dict(known)
        for decision, value in follows:
            if value not in self._choices[decision] or more.setdefault(decision, value) != value:
                return None
        return more
