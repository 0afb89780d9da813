"""What samples of a space say about its graphs: which labels and which incoming edges may stand at which node.

A generator that builds a graph node by node must know what is legal. Nothing about any space is written down here: the
rules are read off members drawn from the space, and hold for what they have in common.

Notation
    n  architectures     g  graphs of an architecture     v  nodes (`space.most_nodes`)
    o  labels; number o says that the graph has ended     c  classes of edges; 0 is no edge
    r  rows kept of a node

A class of an edge is the tuple of ports through which a source feeds a target; spaces without ports have one class. A
row is what enters a node: the class of the edge from each earlier node. NAS-Bench-201 has one row for each node, a
DARTS op-node a few, NAS-Bench-101 every subset; of long graphs, with more rows than samples can show, the `ROWS`
commonest of each node are kept, and generated graphs combine those. Besides the rows with their labels the rules are

    follows     which labels follow which, at each node
    pairs       which rows of a node follow which of the node before it, where the samples' second half shows none that
                the first has not (both branches of a DARTS node never read the same)
    read        labels whose nodes are always read by another; closing labels, which end a graph, must read what is
                left; only_loose: they read nothing else
    most_loose  how many such nodes nobody reads yet, after each node
    endings     which classes of edges a closing node has, given how many nodes read nothing (NAS-Bench-NLP has as many
                new states as old ones)
    most_edges  of a graph
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.errors import InvalidArchitecture
from nas_core.graph import Graph
from nas_core.space import Space

Numbers: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]
Ports: TypeAlias = tuple[int, ...]

ROWS: Final = 2000
"""Rows that are kept of a node."""
BITS: Final = 8
PAIRS: Final = 1024
"""Rows of a node up to which pairs with the node before it are looked at."""
_NEW = 1e-3


class GraphArrays(NamedTuple):
    """Graphs as numbers: labels (n x g x v, o beyond the end) and classes of edges (n x g x v x v, target first)."""

    labels: Numbers
    edges: Numbers

    def rows(self, kept: Any) -> GraphArrays:
        """Some of the n."""
        return GraphArrays(self.labels[kept], self.edges[kept])


@final
@dataclass(frozen=True)
class GraphRules:
    """The rules of a space; see the module. Made by `rules_of`.

    Args:
        names: of the g graphs.
        labels: the o labels.
        ports: the classes of edges from 1 on; () for an edge without ports.
        table: the rows of each node (v x r x v).
        kept: how many rows each node has (v).
        follows: g x v x (o + 1) x (o + 1), the label before first; before node 0 stands o.
        row_labels: whether a row goes with a label (g x v x r x o).
        pairs: g x v x r x r with the row before first, r at most `PAIRS`.
        paired: whether `pairs` counts at a node (g x v).
        read: g x o.
        closing: g x o.
        only_loose: g.
        most_loose: g x v.
        endings: g x v x 2^c, the classes as a number of c bits, at most `BITS`.
        most_edges: g.
        varying: which features of `one_hot` differ between samples.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    ports: tuple[Ports, ...]
    table: NDArray[np.int8]
    kept: Numbers
    follows: Flags
    row_labels: Flags
    pairs: Flags
    paired: Flags
    read: Flags
    closing: Flags
    only_loose: Flags
    most_loose: Numbers
    endings: Flags
    most_edges: Numbers
    varying: Flags

    @property
    def nodes(self) -> int:
        """V."""
        return int(self.table.shape[0])

    def encode(self, space: Space, architectures: Sequence[Architecture]) -> GraphArrays:
        """The graphs of n members."""
        return read_graphs(space, architectures, self.names, self.labels, self.ports, self.nodes)

    def row_numbers(self, arrays: GraphArrays) -> Numbers:
        """The number of each node's row (n x g x v); -1 where it is not kept."""
        numbers = np.full(arrays.labels.shape, -1, dtype=np.int64)
        for node in range(self.nodes):
            known = {row.tobytes(): i for i, row in enumerate(self.table[node, : self.kept[node], :node])}
            own = arrays.edges[:, :, node, :node].astype(np.int8)
            numbers[:, :, node] = [[known.get(row.tobytes(), -1) for row in graphs] for graphs in own]
        return numbers

    def one_hot(self, arrays: GraphArrays) -> NDArray[np.float32]:
        """Labels and edges as features (n x g x d), those included that never vary."""
        n, g, v = arrays.labels.shape
        labels = np.eye(len(self.labels) + 1, dtype=np.float32)[arrays.labels]
        edges = np.eye(len(self.ports) + 1, dtype=np.float32)[arrays.edges][..., 1:]
        targets, sources = np.tril_indices(v, -1)
        return np.concatenate([labels.reshape(n, g, -1), edges[:, :, targets, sources].reshape(n, g, -1)], axis=2)

    def member(self, space: Space, labels: Numbers, edges: Numbers) -> Architecture | None:
        """The member with g graphs in numbers (g x v, g x v x v); None where there is none."""
        graphs: dict[str, Graph] = {}
        for name, own, between in zip(self.names, labels, edges, strict=True):
            size = int((own < len(self.labels)).sum())
            words = tuple(self.labels[i] for i in own[:size])
            targets, sources = np.nonzero(between[:size, :size])
            rows = [
                (int(s), int(t), port)
                for t, s in zip(targets, sources, strict=True)
                for port in self.ports[between[t, s] - 1] or (None,)
            ]
            numbered = bool(rows) and rows[0][2] is not None
            ports = tuple(int(port or 0) for _, _, port in rows) if numbered else None
            if not words:
                return None
            graphs[name] = Graph(words, tuple((s, t) for s, t, _ in rows), ports)
        try:
            found: Architecture = space.from_graphs(graphs)  # type: ignore[attr-defined]
        except InvalidArchitecture:
            return None
        return found

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Everything that is an array, by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if isinstance(getattr(self, f.name), np.ndarray)}


def read_graphs(
    space: Space,
    architectures: Sequence[Architecture],
    names: Sequence[str],
    labels: Sequence[str],
    ports: Sequence[Ports],
    v: int,
) -> GraphArrays:
    """Graphs as numbers; ports that are not among the classes are read as the first class."""
    number = {label: i for i, label in enumerate(labels)}
    known = {own: i for i, own in enumerate(ports, start=1)}
    n, g = len(architectures), len(names)
    kinds = np.full((n, g, v), len(labels), dtype=np.int64)
    edges = np.zeros((n, g, v, v), dtype=np.int64)
    for row, a in enumerate(architectures):
        graphs: Mapping[str, Graph] = space.graphs(a)  # type: ignore[attr-defined]
        for k, name in enumerate(names):
            graph = graphs[name]
            kinds[row, k, : len(graph.labels)] = [number[label] for label in graph.labels]
            for (source, target), own in _ports_between(graph).items():
                edges[row, k, target, source] = known.get(own, 1)
    return GraphArrays(kinds, edges)


def rules_of(space: Space, samples: Sequence[Architecture]) -> tuple[GraphRules, GraphArrays]:
    """The rules that samples keep to, and the samples in numbers."""
    first: Mapping[str, Graph] = space.graphs(samples[0])  # type: ignore[attr-defined]
    names, labels = tuple(first), tuple(space.graph_labels)  # type: ignore[attr-defined]
    counted: Counter[Ports] = Counter()
    for a in samples:
        for graph in space.graphs(a).values():  # type: ignore[attr-defined]
            counted.update(_ports_between(graph).values())
    ports = tuple(own for own, _ in sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))) or ((),)
    v = int(space.most_nodes)  # type: ignore[attr-defined]
    arrays = read_graphs(space, samples, names, labels, ports, v)
    g, o = len(names), len(labels)
    table, kept = _table(arrays, o)
    read, closing, only_loose, most_loose, endings = _readers(arrays, o, len(ports))
    rules = GraphRules(
        names, labels, ports, table, kept, _follows(arrays, o), *_nothing(g, v, table.shape[1], o),
        read, closing, only_loose, most_loose, endings,
        (arrays.edges > 0).sum(axis=(2, 3)).max(axis=0), np.zeros(0, dtype=np.bool_),
    )  # fmt: skip
    numbers = rules.row_numbers(arrays)
    row_labels = rules.row_labels
    for k in range(g):
        for node in range(v):
            real = (arrays.labels[:, k, node] < o) & (numbers[:, k, node] >= 0)
            row_labels[k, node, numbers[real, k, node], arrays.labels[real, k, node]] = True
            if node > 0 and max(kept[node - 1], kept[node]) <= PAIRS:
                _add_pairs(rules, k, node, numbers[real, k, node - 1], numbers[real, k, node])
    features = rules.one_hot(arrays)
    varying = (features != features[:1]).any(axis=0)
    return GraphRules(**{**{f.name: getattr(rules, f.name) for f in fields(rules)}, "varying": varying}), arrays


def _ports_between(graph: Graph) -> dict[tuple[int, int], Ports]:
    """The ports of each pair of source and target, () where there are none."""
    if graph.ports is None:
        return dict.fromkeys(graph.edges, ())
    found: dict[tuple[int, int], Ports] = {}
    for edge, port in zip(graph.edges, graph.ports, strict=True):
        found[edge] = tuple(sorted((*found.get(edge, ()), port)))
    return found


def _table(arrays: GraphArrays, o: int) -> tuple[NDArray[np.int8], Numbers]:
    """The commonest rows of each node, the commonest first."""
    v = arrays.labels.shape[2]
    rows: list[list[bytes]] = []
    for node in range(v):
        own = arrays.edges[:, :, node, :node][arrays.labels[:, :, node] < o].astype(np.int8)
        counted = Counter(row.tobytes() for row in own)
        rows.append([row for row, _ in sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))[:ROWS]])
    kept = np.array([len(own) for own in rows], dtype=np.int64)
    table = np.zeros((v, max(int(kept.max()), 1), v), dtype=np.int8)
    for node, own_rows in enumerate(rows):
        for i, row in enumerate(own_rows):
            table[node, i, :node] = np.frombuffer(row, dtype=np.int8)
    return table, kept


def _follows(arrays: GraphArrays, o: int) -> Flags:
    n, g, v = arrays.labels.shape
    follows = np.zeros((g, v, o + 1, o + 1), dtype=np.bool_)
    before = np.concatenate([np.full((n, g, 1), o, dtype=np.int64), arrays.labels[:, :, :-1]], axis=2)
    for k in range(g):
        for node in range(v):
            follows[k, node, before[:, k, node], arrays.labels[:, k, node]] = True
    follows[:, 1:, o, :] = False
    follows[:, 1:, o, o] = True  # what has ended stays so
    return follows


def _nothing(g: int, v: int, r: int, o: int) -> tuple[Flags, Flags, Flags]:
    few = min(r, PAIRS)
    flags = np.zeros((g, v, r, o), dtype=np.bool_), np.zeros((g, v, few, few), dtype=np.bool_)
    return *flags, np.zeros((g, v), dtype=np.bool_)


def class_sets(edges: NDArray[np.integer], classes: int) -> Numbers:
    """The classes along the last axis as numbers of bits, the first `BITS` classes only."""
    found = np.zeros(edges.shape[:-1], dtype=np.int64)
    for own in range(1, min(classes, BITS) + 1):
        found |= (edges == own).any(axis=-1).astype(np.int64) << (own - 1)
    return found


def _readers(arrays: GraphArrays, o: int, classes: int) -> tuple[Flags, Flags, Flags, Numbers, Flags]:
    """`read`, `closing`, `only_loose`, `most_loose` and `endings`."""
    n, g, v = arrays.labels.shape
    real = arrays.labels < o
    last = real & ~np.concatenate([real[:, :, 1:], np.zeros((n, g, 1), dtype=np.bool_)], axis=2)
    present: Flags = np.asarray(arrays.edges > 0)
    is_read: Flags = np.asarray(present.any(axis=2))
    read, closing = np.zeros((g, o), dtype=np.bool_), np.zeros((g, o), dtype=np.bool_)
    for k in range(g):
        for label in range(o):
            own = arrays.labels[:, k] == label
            closing[k, label] = own.any() and bool(last[:, k][own].all())
            inner = own & ~last[:, k]
            read[k, label] = inner.any() and bool(is_read[:, k][inner].all())
    rows, graphs, nodes = np.nonzero(last)
    into = present[rows, graphs, nodes]
    readers = present[rows, graphs].sum(axis=1)
    only = np.ones(g, dtype=np.bool_)
    np.logical_and.at(only, graphs, ~(into & (readers > 1)).any(axis=1))
    loose = np.zeros((g, v), dtype=np.int64)
    wanted = read[np.arange(g)[:, None], np.minimum(arrays.labels, o - 1)] & real
    for node in range(v):
        unread = wanted[:, :, : node + 1] & ~present[:, :, : node + 1, : node + 1].any(axis=2)
        loose[:, node] = unread.sum(axis=2).max(axis=0)
    endings = np.zeros((g, v, 1 << min(classes, BITS)), dtype=np.bool_)
    silent = (real & ~present.any(axis=3)).sum(axis=2)
    endings[graphs, silent[rows, graphs], class_sets(arrays.edges[rows, graphs, nodes], classes)] = True
    return read, closing, only, loose, endings


def _add_pairs(rules: GraphRules, k: int, node: int, before: Numbers, here: Numbers) -> None:
    """Note the pairs of rows of a node where the second half of the samples shows hardly any new ones."""
    known = (before >= 0) & (here >= 0)
    before, here = before[known], here[known]
    half = len(here) // 2
    if half == 0:
        return
    first = set(zip(before[:half].tolist(), here[:half].tolist(), strict=True))
    new = sum(pair not in first for pair in zip(before[half:].tolist(), here[half:].tolist(), strict=True))
    rules.pairs[k, node, before, here] = True
    rules.paired[k, node] = new <= _NEW * (len(here) - half)
