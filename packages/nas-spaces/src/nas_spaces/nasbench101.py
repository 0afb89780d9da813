"""NAS-Bench-101: cells of at most seven vertices and nine edges, with operations on the vertices.

Ying, Klein, Christiansen, Real, Murphy, Hutter 2019, "NAS-Bench-101: Towards Reproducible Neural Architecture Search",
section 2. 423,624 cells up to isomorphism.

A member is a pruned cell: every vertex lies on a path from the input, vertex 0, to the output, the last one. Its
decisions are the 21 bits above the diagonal of the 7 x 7 adjacency matrix, row by row, and the operations of vertices 1
to 5. A cell of fewer vertices has the matrix with zeros below and to the right; decisions on operations of vertices
that are not inner ones are None.

Members that differ in the order of their vertices are different members: the network shares channels out by vertex
order, so they can have different numbers of parameters. Where the space chooses an order itself (`sample`, `enumerate`,
`neighbors`, `mutate`, `standard`), it is that of the standard form (`nasbench101_wirings`).
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical, Value
from nas_core.errors import InvalidArchitecture, InvalidOption
from nas_core.graph import Graph
from nas_core.network import Network, Task
from nas_core.space import Space
from nas_spaces import nasbench101_cells as cells
from nas_spaces import nasbench101_wirings as wirings
from nas_spaces.nasbench101_cells import Cell
from nas_spaces.nasbench101_network import build
from nas_spaces.nasbench101_tokens import Reading, spelled
from nas_spaces.nasbench101_wirings import MOST_EDGES, MOST_VERTICES, PAIRS, Operations, Wiring

OPERATIONS: Final = ("conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3")
"""The operations of inner vertices, in the order of the published benchmark."""
INPUT: Final = "input"
OUTPUT: Final = "output"

_BITS = len(PAIRS)
_NUMBER = {operation: number for number, operation in enumerate(OPERATIONS)}


@final
class NASBench101(Space):
    """The cells of NAS-Bench-101, or those of exactly six or seven vertices.

    Args:
        nodes: 6 or 7: only cells of exactly so many vertices (62,010 and 359,082 of them), the two spaces between which
            BONAS transfers. They have the name, decisions and graph labels of the whole space, and each of their
            members is a member of it.

    Raises:
        InvalidOption: another number of nodes.
    """

    name = "nasbench101"

    def __init__(self, nodes: int | None = None) -> None:
        if nodes is not None and (isinstance(nodes, bool) or nodes not in (6, 7)):
            raise InvalidOption("nodes cannot be set", value=nodes, expected="6, 7, or nothing for cells of any size")
        self.nodes = nodes
        self.decisions = (
            *(Categorical(f"edge{i}_{j}", (0, 1)) for i, j in PAIRS),
            *(Categorical(f"op{vertex}", OPERATIONS) for vertex in range(1, MOST_VERTICES - 1)),
        )
        self.most_nodes = MOST_VERTICES
        self.graph_labels = (INPUT, *OPERATIONS, OUTPUT)
        self.vocabulary = ("0", "1", *OPERATIONS, OUTPUT)
        self.twin_rules = "nasbench101-isomorphism-1"

    def active(self, values: Sequence[Value | None]) -> tuple[bool, ...]:
        """All edges, and the operations of as many inner vertices as `project` leaves."""
        return tuple([value is not None for value in self.project(values).values])

    def canonical(self, values: Sequence[object]) -> Architecture:
        """The member with exactly these values.

        Raises:
            InvalidArchitecture: a value is not legal, an operation is missing or one too many, no path leads to the
                output, a vertex lies on no path, or there are too many edges or the wrong number of vertices.
        """
        self._check_length(values)
        bits = [d.check(value) for d, value in zip(self.decisions[:_BITS], values[:_BITS], strict=True)]
        wiring = wirings.from_bits(tuple([int(bit) for bit in bits]))
        inner = self._check_wiring(wiring) - 2
        for k, (decision, value) in enumerate(zip(self.decisions[_BITS:], values[_BITS:], strict=True)):
            if k < inner:
                decision.check(value)
            elif value is not None:
                raise InvalidArchitecture(f"decision {decision.name!r} is inactive here", value=value, expected="None")
        return _member(wiring, tuple([_NUMBER[str(value)] for value in values[_BITS : _BITS + inner]]))

    def legal_rows(self, numbers: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
        """Which rows of choice numbers (n x 26), -1 where inactive, are members (n): `canonical` for a whole table."""
        bits, operations = numbers[:, :_BITS].astype(np.int64), numbers[:, _BITS:]
        sizes = wirings.legal_sizes(np.where((bits < 0).any(axis=1), 0, bits @ (1 << np.arange(_BITS)[::-1])))
        inner = np.arange(MOST_VERTICES - 2) < sizes[:, None] - 2
        found: NDArray[np.bool_] = ((operations >= 0) == inner).all(axis=1)
        return found & (sizes > 0 if self.nodes is None else sizes == self.nodes)

    def _check_wiring(self, wiring: Wiring, vertices: int | None = None) -> int:
        """Number of vertices (the given one, where it is known) of a member's wiring; raises where it is not one."""
        edges = wirings.edges_of(wiring)
        vertices = max(2, wirings.vertices_of(wiring)) if vertices is None else vertices
        alive = wirings.alive(wiring, vertices - 1)
        if not alive:
            raise InvalidArchitecture("no path leads from the input to the output", value=edges)
        idle = sorted(set(range(vertices)) - set(alive))
        if idle:
            raise InvalidArchitecture(
                f"vertex {idle[0]} lies on no path from the input to the output",
                value=edges,
                remedy="Leave it out: members are pruned cells.",
            )
        if len(edges) > MOST_EDGES:
            raise InvalidArchitecture(f"a cell with {len(edges)} edges", value=edges, expected=f"at most {MOST_EDGES}")
        if self.nodes not in (None, vertices):
            raise InvalidArchitecture(
                f"a cell with {vertices} vertices", value=edges, expected=f"{self.nodes} vertices in this space"
            )
        return vertices

    def project(self, values: Sequence[object]) -> Architecture:
        """A member for any values; members stay as they are.

        Illegal values become the first legal ones. The last vertex that an edge leads to is the output (vertex 1 where
        there is no edge); where no path leads to it, the first vertex from which one does is joined to the input.
        Vertices on no path go. While there are more than nine edges, the last one goes that is neither its source's
        only way out nor its target's only way in; where there is none, the last edge goes, and what dies with it.

        With `nodes`, the last inner vertex of a larger cell goes in the same way. A smaller cell grows by a vertex
        before the output, put into the last edge, with the operation given for its place; where that edge would be the
        tenth, one goes first as above.
        """
        self._check_length(values)
        nearest = [decision.nearest(value) for decision, value in zip(self.decisions, values, strict=True)]
        wiring = wirings.from_bits(tuple([int(bit) for bit in nearest[:_BITS]]))
        given = tuple([_NUMBER[str(value)] for value in nearest[_BITS:]])
        cell = cells.trimmed(*cells.connected(wiring, given, max(1, wirings.vertices_of(wiring) - 1)))
        return _member(*(cell if self.nodes is None else cells.resized(*cell, self.nodes, given)))

    def sample(self, rng: np.random.Generator, n: int) -> list[Architecture]:
        """`n` cells in standard form, each uniform among the isomorphism classes: 85 % of them have seven vertices."""
        standards, starts = wirings.standards(self.nodes), _starts(self.nodes)
        found = []
        for place in rng.integers(self.size, size=n).tolist():
            at = bisect_right(starts, place) - 1
            found.append(_member(standards[at].wiring, wirings.operations_at(standards[at], place - starts[at])))
        return found

    @property
    def size(self) -> int:
        """Number of isomorphism classes."""
        return _starts(self.nodes)[-1]

    def enumerate(self) -> Iterator[Architecture]:
        """One cell of each isomorphism class, in standard form: by number of vertices, wiring and operations."""
        for standard in wirings.standards(self.nodes):
            for operations in wirings.operations_of(standard):
                yield _member(standard.wiring, operations)

    def standard(self, a: Architecture) -> Architecture:
        """The isomorphic member in standard form: the one that the space itself proposes."""
        return _member(*wirings.standard_form(*_cell(a)))

    def neighbors(self, a: Architecture) -> list[Architecture]:
        """All cells one step away, one of each isomorphism class, in standard form.

        A step removes an edge and prunes; adds an edge that closes no cycle, whichever way the vertices are numbered;
        changes an operation; or puts in a new vertex with one edge to it and one from it, which removing either undoes.
        With `nodes` no vertex comes or goes, and one end of an edge may move: seven wirings of seven vertices could not
        be reached otherwise. Steps to what is no member are left out. Isomorphic members have the same neighbours.
        """
        cell, fixed = _cell(a), self.nodes is not None
        found: dict[Cell, None] = {}
        for step in cells.steps(len(cell[1]) + 2, fixed):
            if (other := cells.stepped(cell, step, fixed)) is not None:
                found[other] = None
        found.pop(wirings.standard_form(*cell), None)
        return [_member(*other) for other in found]

    def mutate(self, a: Architecture, rng: np.random.Generator) -> Architecture:
        """One of the neighbours: steps are drawn uniformly until one leads to another member.

        So a neighbour that several steps lead to is as many times as likely.
        """
        cell, fixed = _cell(a), self.nodes is not None
        steps, here = cells.steps(len(cell[1]) + 2, fixed), wirings.standard_form(*cell)
        while True:
            other = cells.stepped(cell, steps[int(rng.integers(len(steps)))], fixed)
            if other is not None and other != here:
                return _member(*other)

    @property
    def whole(self) -> NASBench101:
        """The space of cells of any size, of which the members are members too; tables are about that."""
        return NASBench101()

    def text(self, a: Architecture) -> str:
        """The bits above the diagonal of the v x v matrix, row by row, and the operations: "101|maxpool3x3"."""
        wiring, operations = _cell(a)
        bits = "".join([str(int(edge in wirings.edges_of(wiring))) for edge in cells.pairs(len(operations) + 2)])
        return f"{bits}|{','.join([OPERATIONS[k] for k in operations])}"

    def parse(self, text: str) -> Architecture:
        """The member that `text` describes; the inverse of `text`.

        Raises:
            InvalidArchitecture: it describes none, with the reason.
        """
        bits, bar, listed = text.partition("|")
        if not bar or not bits or set(bits) - {"0", "1"}:
            raise InvalidArchitecture(
                "not the text of a cell", value=text, expected='bits and operations such as "101|maxpool3x3"'
            )
        names = listed.split(",") if listed else []
        for name in names:
            if name not in _NUMBER:
                raise InvalidArchitecture("no such operation", value=name, expected="one of " + ", ".join(OPERATIONS))
        vertices = len(names) + 2
        if vertices > MOST_VERTICES:
            raise InvalidArchitecture(f"a cell with {vertices} vertices", expected=f"at most {MOST_VERTICES}")
        pairs = cells.pairs(vertices)
        if len(bits) != len(pairs):
            raise InvalidArchitecture(
                f"{len(bits)} bits for {vertices} vertices",
                value=text,
                expected=f"{len(pairs)} bits with {len(names)} operations",
            )
        wiring = wirings.from_edges(pair for pair, bit in zip(pairs, bits, strict=True) if bit == "1")
        self._check_wiring(wiring, vertices)
        return _member(wiring, tuple([_NUMBER[name] for name in names]))

    def graphs(self, a: Architecture) -> Mapping[str, Graph]:
        """{"cell": the pruned graph}, operations on the nodes."""
        return {"cell": _graph(*_cell(a))}

    def from_graphs(self, graphs: Mapping[str, Graph]) -> Architecture:
        """The member with this graph, its vertices in the graph's order.

        Raises:
            InvalidArchitecture: not one graph "cell", other labels, ports, or a cell that is no member.
        """
        if set(graphs) != {"cell"}:
            raise InvalidArchitecture("a member has one graph", value=sorted(graphs), expected="cell")
        graph = graphs["cell"]
        first, *inner, last = graph.labels if len(graph.labels) > 1 else ("", "")
        if (first, last) != (INPUT, OUTPUT) or not set(inner) <= set(OPERATIONS) or graph.ports is not None:
            raise InvalidArchitecture(
                "not the graph of a cell",
                value=graph.labels,
                expected=f"{INPUT}, operations among {', '.join(OPERATIONS)}, {OUTPUT}, and no ports",
            )
        if len(graph.labels) > MOST_VERTICES:
            raise InvalidArchitecture(f"a cell with {len(graph.labels)} vertices", expected=f"at most {MOST_VERTICES}")
        wiring = wirings.from_edges(graph.edges)
        self._check_wiring(wiring, len(graph.labels))
        return _member(wiring, tuple([_NUMBER[label] for label in inner]))

    def graph_key(self, a: Architecture) -> str:
        """`Graph.key` of the pruned graph."""
        return _graph_key(*wirings.standard_form(*_cell(a)))

    def twin_key(self, a: Architecture) -> str:
        """The text of the standard form.

        The rules are isomorphism alone, the sameness under which the benchmark was made: nothing else keeps the
        function, since every vertex has weights of its own or normalised inputs, and even a renumbering can move one
        channel from one vertex to another where channels do not divide evenly.
        """
        return self.text(self.standard(a))

    def published_hash(self, a: Architecture) -> str:
        """The benchmark's own graph hash, 32 hexadecimal digits; the same for isomorphic cells.

        Each vertex begins with the MD5 of its out-degree, in-degree and label (-1 the input, -2 the output); as many
        times as there are vertices it takes in the sorted hashes of what it reads and of what reads it.
        """
        wiring, operations = _cell(a)
        edges, v = wirings.edges_of(wiring), len(operations) + 2
        sources = [[i for i, j in edges if j == vertex] for vertex in range(v)]
        targets = [[j for i, j in edges if i == vertex] for vertex in range(v)]
        labels = (-1, *operations, -2)
        hashes = [_md5(str((len(targets[i]), len(sources[i]), labels[i]))) for i in range(v)]
        for _ in range(v):
            hashes = [
                _md5(
                    "".join(sorted([hashes[j] for j in sources[i]]))
                    + "|"
                    + "".join(sorted([hashes[j] for j in targets[i]]))
                    + "|"
                    + hashes[i]
                )
                for i in range(v)
            ]
        return _md5(str(sorted(hashes)))

    def tokens(self, a: Architecture) -> tuple[int, ...]:
        """For each vertex after the input its label and a bit for each earlier vertex; v(v + 1)/2 - 1 tokens."""
        wiring, operations = _cell(a)
        return spelled(wirings.edges_of(wiring), operations)

    def from_tokens(self, tokens: Sequence[int]) -> Architecture:
        """The member of these tokens.

        Raises:
            InvalidArchitecture: a token that may not stand where it does, or one missing.
        """
        read = self._read(tokens)
        if read.legal():
            raise InvalidArchitecture("the tokens of a cell end too early", value=tuple(tokens))
        return _member(wirings.from_edges(read.edges), tuple(read.operations))

    def legal_tokens(self, prefix: Sequence[int]) -> tuple[int, ...]:
        """The tokens that may follow; whatever is chosen among them, the end is a member.

        Raises:
            InvalidArchitecture: the prefix itself begins no member.
        """
        return self._read(prefix).legal()

    def _read(self, tokens: Sequence[int]) -> Reading:
        read = Reading(self.nodes)
        for i, token in enumerate(tokens):
            legal = read.legal()
            if token not in legal:
                raise InvalidArchitecture(
                    f"token {i} of a cell may not be this one",
                    value=token,
                    expected="one of " + ", ".join([f"{k} ({self.vocabulary[k]})" for k in legal]) if legal else "none",
                )
            read.take(int(token))
        return read

    def network(
        self, a: Architecture, task: Task, seed: int = 0, *, channels: int = 128, stacks: int = 3, cells: int = 3
    ) -> Network:
        """The benchmark's network; see `nasbench101_network`.

        Args:
            a: the member.
            task: images to classify.
            seed: ignored; a cell has one network.
            channels: of the stem and the first stack; each further stack has twice as many on a quarter of the pixels
                (an odd row or column is left out).
            stacks: number of stacks.
            cells: number of cells of each stack.

        Raises:
            InvalidNetwork: another task, an image too small, an option that is no positive whole number, or fewer
                channels than vertices that share them.
        """
        return build(*_cell(a), task, channels, stacks, cells)

    def to_config(self) -> dict[str, Any]:
        """The space and its option."""
        return {"name": self.name} if self.nodes is None else {"name": self.name, "nodes": self.nodes}


def _member(wiring: Wiring, operations: Operations) -> Architecture:
    labels = [OPERATIONS[k] for k in operations]
    absent = (None,) * (MOST_VERTICES - 2 - len(operations))
    return Architecture(NASBench101.name, (*wirings.bits_of(wiring), *labels, *absent))


def _cell(a: Architecture) -> Cell:
    bits: Any = a.values[:_BITS]
    return wirings.from_bits(bits), tuple([_NUMBER[str(value)] for value in a.values[_BITS:] if value is not None])


@lru_cache(maxsize=MOST_VERTICES)
def _starts(nodes: int | None) -> list[int]:
    """How many classes come before each wiring's."""
    return [0, *accumulate([standard.cells for standard in wirings.standards(nodes)])]


def _graph(wiring: Wiring, operations: Operations) -> Graph:
    return Graph((INPUT, *[OPERATIONS[k] for k in operations], OUTPUT), wirings.edges_of(wiring))


@lru_cache(maxsize=1 << 16)
def _graph_key(wiring: Wiring, operations: Operations) -> str:
    return _graph(wiring, operations).key()


def _md5(text: str) -> str:
    return hashlib.md5(text.encode("ascii"), usedforsecurity=False).hexdigest()
