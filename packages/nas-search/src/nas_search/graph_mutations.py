"""Mutations of an architecture's graphs: another source for an edge, or another operation for a node (BONAS 3.3).

Every legal result of one mutation of a kind is found once for an architecture and kept. A result is legal where the
space has a member with such graphs (`from_graphs`).

Where a space has no member for any moved edge, because its wiring is fixed or because one choice moves several edges
(a DARTS node hands on two operations), the mutations of the kind are the space's own steps to members whose edges
differ; for operations likewise. NAS-Bench-201, whose wiring is fixed, then has no mutation of edges, as the paper says.

Paper: the source moves to a node that precedes it, so that edges only ever move towards the input. The published code
sets and clears entries of the matrix at random. Here the new source is any other node that precedes the target
(`sources="any"`), so that a mutation can be undone; the paper's is `sources="earlier"`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Final, Literal, TypeAlias, final

from nas_core.architecture import Architecture
from nas_core.errors import InvalidOption, NasError
from nas_core.graph import Graph
from nas_core.space import HasGraphs, Space, require

Kind: TypeAlias = Literal["wiring", "operations"]

KINDS: Final[tuple[Kind, ...]] = ("wiring", "operations")
SOURCES: Final = ("any", "earlier")
MOST_KEPT: Final = 4096
"""Architectures whose mutations are kept; the oldest are forgotten first."""


@final
class GraphMutations:
    """The members that one mutation of an architecture's graphs leads to.

    Args:
        space: with graphs.
        sources: where an edge may come from instead: "any" node before its target, or one "earlier" than its source.

    Raises:
        MissingCapability: the space has no graphs.
        InvalidOption: other `sources`.
    """

    def __init__(self, space: Space, sources: str = "any") -> None:
        require(space, frozenset({"graphs"}), "the mutation of graphs")
        if sources not in SOURCES:
            raise InvalidOption("no such rule for sources", value=sources, expected="one of " + ", ".join(SOURCES))
        self.space = space
        self.sources = sources
        self._kept: dict[tuple[Architecture, Kind], tuple[Architecture, ...]] = {}

    def of(self, a: Architecture, kind: Kind) -> tuple[Architecture, ...]:
        """Every other member that one mutation of the kind leads to, each once, in a fixed order."""
        found = self._kept.get((a, kind))
        if found is None:
            found = self._found(a, kind)
            if len(self._kept) >= MOST_KEPT:
                self._kept.pop(next(iter(self._kept)))
            self._kept[a, kind] = found
        return found

    def _found(self, a: Architecture, kind: Kind) -> tuple[Architecture, ...]:
        if not isinstance(self.space, HasGraphs):
            return ()
        graphs = self.space.graphs(a)
        found: dict[Architecture, None] = {}
        for name, graph in graphs.items():
            for mutant in self._moved(graph) if kind == "wiring" else self._relabelled(graph):
                member = self._member({**graphs, name: mutant})
                if member is not None:
                    found[member] = None
        found.pop(a, None)
        return tuple(found) or self._steps(a, graphs, kind)

    def _moved(self, graph: Graph) -> Iterator[Graph]:
        """The graph with one edge from another source; edges that are there already are not doubled."""
        ports = graph.ports or (0,) * len(graph.edges)
        present = set(zip(graph.edges, ports, strict=True))
        for i, (source, target) in enumerate(graph.edges):
            for other in range(source if self.sources == "earlier" else target):
                if other != source and ((other, target), ports[i]) not in present:
                    yield replace(graph, edges=(*graph.edges[:i], (other, target), *graph.edges[i + 1 :]))

    def _relabelled(self, graph: Graph) -> Iterator[Graph]:
        """The graph with another label on one node."""
        labels = self.space.graph_labels if isinstance(self.space, HasGraphs) else ()
        for node, label in enumerate(graph.labels):
            for other in labels:
                if other != label:
                    yield replace(graph, labels=(*graph.labels[:node], other, *graph.labels[node + 1 :]))

    def _member(self, graphs: Mapping[str, Graph]) -> Architecture | None:
        try:
            return self.space.from_graphs(graphs)  # type: ignore[attr-defined,no-any-return]
        except NasError:  # no member has such graphs
            return None

    def _steps(self, a: Architecture, graphs: Mapping[str, Graph], kind: Kind) -> tuple[Architecture, ...]:
        """The space's own steps that change the edges, or the labels alone."""
        found = []
        for other in self.space.neighbors(a):
            read: Mapping[str, Graph] = self.space.graphs(other)  # type: ignore[attr-defined]
            moved = any(
                (graph.edges, graph.ports) != (graphs[name].edges, graphs[name].ports) for name, graph in read.items()
            )
            if moved == (kind == "wiring"):
                found.append(other)
        return tuple(found)
