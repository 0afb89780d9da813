"""Graphs whose nodes are graphs: how a space shows what its generators draw."""

from __future__ import annotations

from dataclasses import dataclass

from nas_core.errors import InvalidGraph
from nas_core.graph import Graph


@dataclass(frozen=True, slots=True)
class NestedGraph:
    """A graph of v nodes, each of which may hold a graph of its own.

    Args:
        graph: the uppermost graph.
        merging: v names, how each node makes one of several inputs; () where there is nothing to tell.
        parts: what each of the v nodes holds; () at the bottom.

    Raises:
        InvalidGraph: names or parts that are not as many as the nodes.
    """

    graph: Graph
    merging: tuple[str, ...] = ()
    parts: tuple[NestedGraph, ...] = ()

    def __post_init__(self) -> None:
        v = len(self.graph.labels)
        for what, given in (("ways to merge", self.merging), ("parts", self.parts)):
            if given and len(given) != v:
                raise InvalidGraph(f"a nested graph of {v} nodes with other {what}", value=len(given), expected=f"{v}")

    @property
    def levels(self) -> int:
        """How many levels there are: 1 where no node holds a graph."""
        return 1 + max((part.levels for part in self.parts), default=0)
