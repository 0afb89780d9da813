"""NAS-Bench-101 cells token by token: for each vertex after the input its label, then a bit for each earlier vertex.

The bit of vertex i under vertex j says whether an edge leads from i to j. The output comes last, so that sequences have
v(v + 1)/2 - 1 tokens. What may follow a prefix is exactly what some legal cell goes on with.
"""

from __future__ import annotations

from collections.abc import Iterable

from nas_spaces.nasbench101_wirings import MOST_EDGES, MOST_VERTICES, OPERATIONS, Edge, Operations

LABELS = 2
"""The token of the first operation; those before it are the bits."""
END = LABELS + OPERATIONS
"""The token of the output."""


def spelled(edges: Iterable[Edge], operations: Operations) -> tuple[int, ...]:
    """The tokens of a legal cell."""
    present = set(edges)
    found: list[int] = []
    for vertex, label in enumerate((*operations, OPERATIONS), start=1):
        found.append(LABELS + label)
        found.extend([int((source, vertex) in present) for source in range(vertex)])
    return tuple(found)


class Reading:
    """A cell as far as its tokens have been read.

    `_open` are the vertices that no edge leaves yet. What is to come takes at least one edge from each of them, and no
    more need come: the next vertex may read them all and be the output. A further inner vertex adds one edge at least:
    it reads one open vertex and is open itself.

    Args:
        vertices: of the whole cell, where that is fixed.
    """

    def __init__(self, vertices: int | None) -> None:
        self.edges: list[Edge] = []
        self.operations: list[int] = []
        self._vertices = vertices
        self._open = {0}
        self._vertex = 1
        self._label: int | None = None  # of the vertex that is being read; None where it comes next
        self._source = 0  # whose bit comes next

    def legal(self) -> tuple[int, ...]:
        """The tokens that may come next; () after the last bit of the output."""
        if self._label is None:
            return self._legal_labels()
        if self._source == self._vertex:
            return ()
        return tuple([bit for bit in (0, 1) if self._fewest_edges(bit) <= MOST_EDGES])

    def take(self, token: int) -> None:
        """Read a legal token."""
        if self._label is None:
            self._label, self._source = token, 0
            return
        if token:
            self.edges.append((self._source, self._vertex))
            self._open.discard(self._source)
        self._source += 1
        if self._source == self._vertex and self._label != END:
            self.operations.append(self._label - LABELS)
            self._open.add(self._vertex)
            self._vertex, self._label = self._vertex + 1, None

    def _legal_labels(self) -> tuple[int, ...]:
        room = len(self.edges) + len(self._open) < MOST_EDGES
        inner = room and self._vertex < (self._vertices or MOST_VERTICES) - 1
        last = self._vertices in (None, self._vertex + 1)
        return (*(range(LABELS, END) if inner else ()), *((END,) if last else ()))

    def _fewest_edges(self, bit: int) -> int:
        """The fewest edges of a cell that goes on with this bit; more than the most where there is none."""
        left = range(self._source + 1, self._vertex)
        still_open = self._open - {self._source} if bit else self._open
        edges = len(self.edges) + bit + len(still_open)
        if self._label == END:
            return edges if all([vertex in left for vertex in still_open]) else MOST_EDGES + 1
        fed = bit == 1 or any([target == self._vertex for _, target in self.edges])
        if not fed and not left:
            return MOST_EDGES + 1
        more = 0 if fed or any([vertex in left for vertex in still_open]) else 1  # it reads one that is not open
        further = 0 if self._vertices is None else self._vertices - 2 - self._vertex
        return edges + 1 + more + further
