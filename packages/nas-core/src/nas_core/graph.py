"""Labelled directed acyclic graphs and an exact key for their isomorphism classes.

A `Graph` has its operations on the nodes, its nodes in topological order and, where the order of inputs matters, a port
number on every edge. `Graph.key` names the isomorphism class: a canonical form is found by colour refinement and, where
that leaves nodes undecided, by individualisation-refinement with pruning by automorphisms (McKay and Piperno, Practical
graph isomorphism II, J. Symbolic Computation 60, 2014, section 2), then digested.

    v   number of nodes
    e   number of edges
    n   number of nodes after twins are merged
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nas_core.errors import InvalidGraph

if TYPE_CHECKING:
    import networkx as nx


@dataclass(frozen=True, slots=True)
class Graph:
    """A labelled directed acyclic graph whose nodes 0 … v-1 are in topological order.

    Equality compares node by node; `key` is what isomorphic graphs share. The order in which edges are given does not
    matter. A port says which numbered input of the target an edge feeds; several sources may feed one port, and one
    source may feed several ports of a target. Without edges there is nothing to number and `ports` becomes None.

    Args:
        labels: v texts, the operation of each node.
        edges: e pairs (source, target) with source < target; kept sorted by (target, port, source).
        ports: a non-negative whole number for each edge, or None where the order of inputs does not matter.

    Raises:
        InvalidGraph: no nodes, an edge that leaves the graph or leads backwards, an edge given twice, or ports that do
            not fit the edges.
    """

    labels: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    ports: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        labels = _checked_labels(self.labels)
        rows = sorted(_rows(self.edges, self.ports))
        _check_rows(rows, len(labels), self.ports is not None)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "edges", tuple([(source, target) for target, _, source in rows]))
        numbered = self.ports is not None and len(rows) > 0
        object.__setattr__(self, "ports", tuple([port for _, port, _ in rows]) if numbered else None)

    @classmethod
    def from_adjacency(cls, matrix: ArrayLike, labels: Iterable[str]) -> Graph:
        """The graph without ports of an upper triangular 0/1 matrix.

        Args:
            matrix: v x v; entry (i, j) is 1 where an edge leads from node i to node j.
            labels: v texts.

        Raises:
            InvalidGraph: the matrix is not square, not 0/1, not strictly upper triangular or does not fit the labels.
        """
        operations = _checked_labels(labels)
        try:
            entries = np.asarray(matrix)
        except ValueError:
            raise InvalidGraph("an adjacency matrix with rows of different lengths", value=matrix) from None
        shape = (len(operations), len(operations))
        if entries.shape != shape:
            raise InvalidGraph("an adjacency matrix of the wrong shape", value=entries.shape, expected=f"{shape}")
        present = entries != 0
        if not np.array_equal(entries, present):
            raise InvalidGraph("an adjacency matrix must hold zeros and ones only", value=entries.tolist())
        sources, targets = present.nonzero()
        return cls(operations, tuple(zip(sources.tolist(), targets.tolist(), strict=True)))

    def adjacency(self) -> NDArray[np.uint8]:
        """The 0/1 matrix, v x v, upper triangular; parallel edges count once and ports do not show."""
        matrix = np.zeros((len(self.labels), len(self.labels)), dtype=np.uint8)
        for source, target in self.edges:
            matrix[source, target] = 1
        return matrix

    def sources(self, node: int) -> tuple[int, ...]:
        """The nodes that feed `node`, in the order of its ports, ascending where ports do not decide."""
        self._check_node(node)
        return tuple(source for source, target in self.edges if target == node)

    def targets(self, node: int) -> tuple[int, ...]:
        """The nodes that `node` feeds, ascending; one that it feeds through several ports is listed as often."""
        self._check_node(node)
        return tuple(target for source, target in self.edges if source == node)

    def in_degrees(self) -> tuple[int, ...]:
        """Number of edges into each of the v nodes."""
        degrees = [0] * len(self.labels)
        for _, target in self.edges:
            degrees[target] += 1
        return tuple(degrees)

    def out_degrees(self) -> tuple[int, ...]:
        """Number of edges out of each of the v nodes."""
        degrees = [0] * len(self.labels)
        for source, _ in self.edges:
            degrees[source] += 1
        return tuple(degrees)

    def depth(self) -> int:
        """Number of edges of a longest path."""
        return max(_depths(len(self.labels), self.edges))

    def pruning(self, inputs: Sequence[int], outputs: Sequence[int]) -> tuple[int, ...]:
        """The nodes on a path from one of `inputs` to one of `outputs`, ascending; () where there is no such path.

        Raises:
            InvalidGraph: `inputs` or `outputs` names a node that does not exist.
        """
        forwards, backwards = [False] * len(self.labels), [False] * len(self.labels)
        for node in inputs:
            forwards[self._check_node(node)] = True
        for node in outputs:
            backwards[self._check_node(node)] = True
        for source, target in self.edges:  # sorted by target, so what reaches the source is settled
            forwards[target] |= forwards[source]
        for source, target in reversed(self.edges):
            backwards[source] |= backwards[target]
        return tuple(node for node in range(len(self.labels)) if forwards[node] and backwards[node])

    def pruned(self, inputs: Sequence[int], outputs: Sequence[int]) -> Graph:
        """The graph of the nodes on a path from one of `inputs` to one of `outputs`; see `pruning` for which they are.

        Raises:
            InvalidGraph: there is no such path, or `inputs` or `outputs` names a node that does not exist.
        """
        kept = self.pruning(inputs, outputs)
        if not kept:
            raise InvalidGraph("no path leads from an input to an output", value=(tuple(inputs), tuple(outputs)))
        return self if len(kept) == len(self.labels) else self.subgraph(kept)

    def subgraph(self, nodes: Iterable[int]) -> Graph:
        """The graph that the given nodes induce, in ascending order; edges keep their port numbers.

        Raises:
            InvalidGraph: no nodes, or one that does not exist.
        """
        kept = sorted({self._check_node(node) for node in nodes})
        return self._renumbered(kept)

    def relabelled(self, order: Sequence[int]) -> Graph:
        """The same graph with its nodes in another topological order: new node i is what was node `order[i]`.

        Raises:
            InvalidGraph: `order` is not a permutation of the v nodes, or an edge would lead backwards.
        """
        if sorted(order) != list(range(len(self.labels))):
            raise InvalidGraph(
                "not an order of the graph's nodes",
                value=tuple(order),
                expected=f"each of 0 to {len(self.labels) - 1} once",
            )
        return self._renumbered(order)

    def key(self) -> str:
        """32 hexadecimal digits that two graphs share exactly when they are isomorphic.

        An isomorphism keeps labels, edges and, where there are ports, the port of every edge. A graph with ports and
        one without never share a key. The key is the same in every process and on every machine.
        """
        form = json.dumps(_canonical_form(self)).encode("ascii")
        return hashlib.blake2b(form, digest_size=16).hexdigest()

    def to_networkx(self) -> nx.DiGraph:
        """A networkx graph with the node attribute "label".

        A DiGraph where there are no ports; otherwise a MultiDiGraph with the edge attribute "port".
        """
        import networkx as nx

        graph = nx.DiGraph() if self.ports is None else nx.MultiDiGraph()
        graph.add_nodes_from((node, {"label": label}) for node, label in enumerate(self.labels))
        if self.ports is None:
            graph.add_edges_from(self.edges)
        else:
            for (source, target), port in zip(self.edges, self.ports, strict=True):
                graph.add_edge(source, target, key=port, port=port)
        return graph

    @classmethod
    def from_networkx(cls, graph: nx.DiGraph, label: str = "label", port: str = "port") -> Graph:
        """The graph of a networkx DiGraph or MultiDiGraph without cycles.

        Its nodes come in topological order; where edges leave a choice, in the order in which they were added.

        Args:
            graph: any hashable objects as nodes.
            label: the node attribute that holds the operation.
            port: the edge attribute that holds the port; on all edges or on none.

        Raises:
            InvalidGraph: undirected, with a cycle, without a label somewhere, or with ports on some edges only.
        """
        import networkx as nx

        if not graph.is_directed():
            raise InvalidGraph("an undirected graph", expected="a networkx DiGraph or MultiDiGraph")
        added = {node: i for i, node in enumerate(graph)}
        try:
            order = list(nx.lexicographical_topological_sort(graph, key=added.__getitem__))
        except nx.NetworkXUnfeasible:
            raise InvalidGraph("a graph with a cycle", expected="a directed acyclic graph") from None
        for node in order:
            if label not in graph.nodes[node]:
                raise InvalidGraph(f"a node without the attribute {label!r}", value=node)
        place = {node: i for i, node in enumerate(order)}
        found = [(place[source], place[target], data.get(port)) for source, target, data in graph.edges(data=True)]
        numbered = [number for _, _, number in found if number is not None]
        if len(numbered) not in (0, len(found)):
            raise InvalidGraph(f"only some edges have the attribute {port!r}", expected="all or none")
        edges = tuple((source, target) for source, target, _ in found)
        return cls(tuple(graph.nodes[node][label] for node in order), edges, tuple(numbered) if numbered else None)

    def _check_node(self, node: int) -> int:
        if not 0 <= node < len(self.labels):
            raise InvalidGraph("no such node", value=node, expected=f"0 to {len(self.labels) - 1}")
        return node

    def _renumbered(self, kept: Sequence[int]) -> Graph:
        place = {node: i for i, node in enumerate(kept)}
        inside = [i for i, (source, target) in enumerate(self.edges) if source in place and target in place]
        return Graph(
            tuple(self.labels[node] for node in kept),
            tuple((place[self.edges[i][0]], place[self.edges[i][1]]) for i in inside),
            None if self.ports is None else tuple(self.ports[i] for i in inside),
        )


_Row: TypeAlias = tuple[int, int, int]
"""An edge as (target, port, source), the order in which a graph keeps them; port 0 where there are none."""


def _checked_labels(labels: Iterable[str]) -> tuple[str, ...]:
    given = tuple(labels)
    if isinstance(labels, str) or not all([isinstance(label, str) for label in given]):
        raise InvalidGraph("labels must be a sequence of texts", value=labels)
    if not given:
        raise InvalidGraph("a graph without nodes", expected="at least one label")
    return given


def _rows(edges: Iterable[tuple[int, int]], ports: Iterable[int] | None) -> list[_Row]:
    whole = operator.index
    try:
        pairs = [(whole(source), whole(target)) for source, target in edges]
    except (TypeError, ValueError):
        raise InvalidGraph("edges must be pairs of whole numbers (source, target)", value=edges) from None
    if ports is None:
        return [(target, 0, source) for source, target in pairs]
    try:
        numbers = [whole(port) for port in ports]
    except TypeError:
        raise InvalidGraph("ports must be whole numbers", value=ports) from None
    if len(numbers) != len(pairs):
        raise InvalidGraph("every edge needs one port", value=len(numbers), expected=f"{len(pairs)} ports")
    return [(target, port, source) for (source, target), port in zip(pairs, numbers, strict=True)]


def _check_rows(rows: list[_Row], v: int, numbered: bool) -> None:
    """Raise InvalidGraph for the first of the sorted rows that is not an edge of a graph with v nodes."""
    for target, port, source in rows:
        if not 0 <= source < target < v:
            if 0 <= source < v and 0 <= target < v:
                raise InvalidGraph(
                    "an edge that leads backwards", value=(source, target), expected="source < target, so no cycles"
                )
            raise InvalidGraph("an edge to or from no node", value=(source, target), expected=f"nodes 0 to {v - 1}")
        if port < 0:
            raise InvalidGraph("a negative port", value=port, expected="0 or more")
    for row, following in pairwise(rows):
        if row == following:
            where = f" at port {row[1]}" if numbered else ""
            raise InvalidGraph("an edge that is given twice" + where, value=(row[2], row[0]))


def _depths(v: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Edges of a longest path that ends in each node, for edges sorted by target."""
    depths = [0] * v
    for source, target in edges:
        if depths[source] >= depths[target]:
            depths[target] = depths[source] + 1
    return depths


def _heights(v: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Edges of a longest path that starts in each node, for edges sorted by target."""
    heights = [0] * v
    for source, target in reversed(edges):
        if heights[target] >= heights[source]:
            heights[source] = heights[target] + 1
    return heights


_Links: TypeAlias = list[list[tuple[int, int]]]
"""For each node its (neighbour, port) pairs, in one direction."""
_Edges: TypeAlias = tuple[tuple[int, int, int], ...]
"""Sorted edges (source, target, port) between places in some order of the nodes."""
_Cells: TypeAlias = list[list[int]]
"""An ordered partition of the nodes: isomorphism keeps the order of cells; within a cell the order means nothing."""


def _canonical_form(graph: Graph) -> list[Any]:
    """Plain data that is equal for isomorphic graphs and from which the graph can be rebuilt.

    [labels, copies, whether ports matter, edges (source, target, port)] of the graph without twins, in canonical order.
    """
    ins, outs = _links(graph)
    nodes, copies = _without_twins(graph.labels, ins, outs)
    if len(nodes) < len(graph.labels):
        place = {node: i for i, node in enumerate(nodes)}
        ins, outs = _restricted(ins, place), _restricted(outs, place)
    labels = [graph.labels[node] for node in nodes]
    depths, heights = _depths(len(graph.labels), graph.edges), _heights(len(graph.labels), graph.edges)
    colours = [
        (labels[i], copies[i], len(ins[i]), len(outs[i]), depths[node], heights[node]) for i, node in enumerate(nodes)
    ]
    order, edges = _CanonicalSearch(ins, outs).run(_by_colour(colours))
    return [[labels[i] for i in order], [copies[i] for i in order], graph.ports is not None, edges]


def _links(graph: Graph) -> tuple[_Links, _Links]:
    ins: _Links = [[] for _ in graph.labels]
    outs: _Links = [[] for _ in graph.labels]
    ports = graph.ports or (0,) * len(graph.edges)
    for (source, target), port in zip(graph.edges, ports, strict=True):
        ins[target].append((source, port))
        outs[source].append((target, port))
    return ins, outs


def _without_twins(labels: Sequence[str], ins: _Links, outs: _Links) -> tuple[list[int], list[int]]:
    """One node of every class of twins and the size of its class.

    Twins have the same label and the very same neighbours at the same ports. Swapping them changes nothing, so a class
    is described by one of them; and after merging no new twins appear.
    """
    classes: dict[Any, list[int]] = {}
    for node, label in enumerate(labels):
        classes.setdefault((label, tuple(ins[node]), tuple(outs[node])), []).append(node)
    members = list(classes.values())
    return [twins[0] for twins in members], [len(twins) for twins in members]


def _restricted(links: _Links, place: dict[int, int]) -> _Links:
    """The links among the nodes in `place`, under their new numbers."""
    return [[(place[other], port) for other, port in links[node] if other in place] for node in place]


def _by_colour(colours: Sequence[Any]) -> _Cells:
    cells: dict[Any, list[int]] = {}
    for node, colour in enumerate(colours):
        cells.setdefault(colour, []).append(node)
    return [cells[colour] for colour in sorted(cells)]


class _CanonicalSearch:
    """The canonical order of the nodes: among the leaves of a search tree, the one with the smallest list of edges.

    A vertex of the tree is a partition that refinement leaves alone; its children single out one node of its largest
    cell each; a leaf has cells of one node. The tree depends on the graph only up to isomorphism, hence so does the
    smallest list. Two leaves with equal lists give an automorphism, which makes whole subtrees equal: one is enough.

    Args:
        ins: for each of the n nodes where its inputs come from.
        outs: the same links from the other end.
    """

    def __init__(self, ins: _Links, outs: _Links) -> None:
        self.ins = ins
        self.outs = outs
        self.path: list[int] = []
        self.leaves: dict[_Edges, tuple[list[int], list[int]]] = {}
        self.automorphisms: list[dict[int, int]] = []

    def run(self, cells: _Cells) -> tuple[list[int], _Edges]:
        """The canonical order of the n nodes and the edges (source, target, port) in it."""
        cells = self._refined(cells)
        if len(cells) == len(self.ins):
            order = [cell[0] for cell in cells]
            return order, self._edges(order)
        self._visit(cells)
        edges = min(self.leaves)
        return self.leaves[edges][0], edges

    def _visit(self, cells: _Cells) -> int:
        """Search below a stable partition; the level of the tree, 0 at the root, at which the search goes on."""
        level = len(self.path)
        if len(cells) == len(self.ins):
            return self._leaf([cell[0] for cell in cells])
        at = max(range(len(cells)), key=lambda i: (len(cells[i]), -i))
        searched: set[int] = set()
        for node in cells[at]:
            if searched and self._equals_searched(node, searched):
                continue
            others = [other for other in cells[at] if other != node]
            self.path.append(node)
            back = self._visit(self._refined([*cells[:at], [node], others, *cells[at + 1 :]]))
            self.path.pop()
            if back < level:
                return back
            searched.add(node)
        return level

    def _leaf(self, order: list[int]) -> int:
        """Record a leaf. One that equals an earlier leaf sends the search back to where their paths part."""
        edges = self._edges(order)
        if edges not in self.leaves:
            self.leaves[edges] = (order, list(self.path))
            return len(self.path)
        twin, path = self.leaves[edges]
        self.automorphisms.append(dict(zip(twin, order, strict=True)))
        return next(level for level, (a, b) in enumerate(zip(path, self.path, strict=False)) if a != b)

    def _equals_searched(self, node: int, searched: set[int]) -> bool:
        """Whether known automorphisms that fix the path carry `node` to a child whose subtree has been searched."""
        usable = [image for image in self.automorphisms if all(image[fixed] == fixed for fixed in self.path)]
        orbit, frontier = {node}, [node]
        while frontier:
            reached = {image[other] for image in usable for other in frontier} - orbit
            if reached & searched:
                return True
            orbit |= reached
            frontier = list(reached)
        return False

    def _edges(self, order: list[int]) -> _Edges:
        place = [0] * len(order)
        for i, node in enumerate(order):
            place[node] = i
        ins = self.ins
        return tuple(sorted([(place[source], i, port) for i, node in enumerate(order) for source, port in ins[node]]))

    def _refined(self, cells: _Cells) -> _Cells:
        """The coarsest finer partition in which nodes of a cell see the same cells at the same ports.

        A cell's colour is its position among the n nodes. Cells split in place, the parts sorted by what their nodes
        see, so that the result does not depend on how nodes are numbered.
        """
        n = len(self.ins)
        colour = [0] * n
        start = 0
        for cell in cells:
            for node in cell:
                colour[node] = start
            start += len(cell)
        settled = False
        while not settled and len(cells) < n:
            settled = True
            finer: _Cells = []
            for cell in cells:
                parts = [cell] if len(cell) == 1 else self._split(cell, colour)
                finer.extend(parts)
                if len(parts) > 1:
                    settled = False
            cells = finer
        return cells

    def _split(self, cell: list[int], colour: list[int]) -> _Cells:
        """The parts of a cell by what their nodes see; gives the parts their colours."""
        views: dict[Any, list[int]] = {}
        for node in cell:
            fed_by = sorted([(colour[other], port) for other, port in self.ins[node]])
            feeds = sorted([(colour[other], port) for other, port in self.outs[node]])
            views.setdefault((tuple(fed_by), tuple(feeds)), []).append(node)
        parts = [views[view] for view in sorted(views)]
        start = colour[cell[0]]
        for part in parts:
            for node in part:
                colour[node] = start
            start += len(part)
        return parts
