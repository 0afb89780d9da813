"""Batched numerical encodings of architectures: plain numpy, no learning.

Notation
    n  architectures      v  nodes, padded to the space's most
    d  features           o  labels of the space's graphs
    t  tokens, padded to the longest
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical, Integer, Real
from nas_core.errors import InvalidOption
from nas_core.graph import Graph
from nas_core.space import HasTokens, Space


def one_hot(space: Space, architectures: Sequence[Architecture]) -> NDArray[np.float64]:
    """Decisions as numbers (n x d).

    A categorical decision gives a column a choice (all zero where inactive); an integer or real one gives its position
    in [0, 1] and, where it can be inactive, is 0.5 then with a second column that says whether it is active.
    """
    columns: list[NDArray[np.float64]] = []
    for i, decision in enumerate(space.decisions):
        values = [a.values[i] for a in architectures]
        if isinstance(decision, Categorical):
            block = np.zeros((len(values), decision.size))
            active = [row for row, value in enumerate(values) if value is not None]
            block[active, [decision.index(values[row]) for row in active]] = 1.0
        else:
            block = np.array([[0.5, 0.0] if v is None else [decision.to_unit(v), 1.0] for v in values]).reshape(-1, 2)
        columns.append(block)
    return np.concatenate(columns, axis=1) if columns else np.zeros((len(architectures), 0))


def indices(space: Space, architectures: Sequence[Architecture]) -> NDArray[np.int64]:
    """Categorical and integer decisions as choice numbers (n x d); -1 where inactive.

    Raises:
        InvalidOption: the space has real decisions.
    """
    result = np.full((len(architectures), len(space.decisions)), -1, dtype=np.int64)
    for i, decision in enumerate(space.decisions):
        if isinstance(decision, Real):
            raise InvalidOption("a real decision has no choice numbers", value=decision.name)
        number = {value: k for k, value in enumerate(_values(decision))}
        result[:, i] = [-1 if a.values[i] is None else number[a.values[i]] for a in architectures]
    return result


class PaddedGraphs(NamedTuple):
    """Graphs in arrays: adjacency (n x v x v, row = source), label numbers (n x v, -1 on padding), node counts (n)."""

    adjacency: NDArray[np.uint8]
    labels: NDArray[np.int64]
    sizes: NDArray[np.int64]


def padded_graphs(graphs: Sequence[Graph], vocabulary: Sequence[str], most_nodes: int | None = None) -> PaddedGraphs:
    """Graphs padded to `most_nodes` (default: the largest of them).

    Raises:
        InvalidOption: a label is not in the vocabulary, or a graph is larger than `most_nodes`.
    """
    number = {label: k for k, label in enumerate(vocabulary)}
    sizes = np.array([len(graph.labels) for graph in graphs], dtype=np.int64)
    v = most_nodes if most_nodes is not None else int(sizes.max(initial=0))
    if sizes.max(initial=0) > v:
        raise InvalidOption("a graph has more nodes than the padding", value=int(sizes.max()), expected=f"at most {v}")
    adjacency = np.zeros((len(graphs), v, v), dtype=np.uint8)
    labels = np.full((len(graphs), v), -1, dtype=np.int64)
    for row, graph in enumerate(graphs):
        unknown = [label for label in graph.labels if label not in number]
        if unknown:
            raise InvalidOption(
                "a graph has a label outside the vocabulary", value=unknown[0], expected=", ".join(vocabulary)
            )
        labels[row, : len(graph.labels)] = [number[label] for label in graph.labels]
        if graph.edges:
            source, target = np.array(graph.edges).T
            adjacency[row, source, target] = 1
    return PaddedGraphs(adjacency, labels, sizes)


def paths(graph: Graph) -> dict[tuple[str, ...], int]:
    """How often each sequence of labels occurs among the paths from nodes without sources to nodes without targets.

    The labels of both ends are included. The number of paths can grow exponentially with v; cells of up to a dozen
    nodes are meant.
    """
    ways: list[dict[tuple[str, ...], int]] = []
    for node, label in enumerate(graph.labels):
        sources = dict.fromkeys(graph.sources(node))
        here: dict[tuple[str, ...], int] = {} if sources else {(label,): 1}
        for source in sources:
            for path, count in ways[source].items():
                longer = (*path, label)
                here[longer] = here.get(longer, 0) + count
        ways.append(here)
    total: dict[tuple[str, ...], int] = {}
    for node in range(len(graph.labels)):
        if not graph.targets(node):
            for path, count in ways[node].items():
                total[path] = total.get(path, 0) + count
    return total


def path_counts(graphs: Sequence[Graph]) -> tuple[NDArray[np.int64], tuple[tuple[str, ...], ...]]:
    """Path counts of n graphs (n x d) and the d paths, sorted; the paths are those that occur."""
    counted: list[Mapping[tuple[str, ...], int]] = [paths(graph) for graph in graphs]
    names = tuple(sorted({path for counts in counted for path in counts}))
    column = {path: k for k, path in enumerate(names)}
    table = np.zeros((len(graphs), len(names)), dtype=np.int64)
    for row, counts in enumerate(counted):
        for path, count in counts.items():
            table[row, column[path]] = count
    return table, names


def tokens(space: Space, architectures: Sequence[Architecture]) -> NDArray[np.int64]:
    """Token numbers (n x t), -1 on padding.

    Raises:
        InvalidOption: the space has no tokens.
    """
    if not isinstance(space, HasTokens):
        raise InvalidOption("the space has no token view", value=space.name)
    sequences = [space.tokens(a) for a in architectures]
    result = np.full((len(sequences), max(map(len, sequences), default=0)), -1, dtype=np.int64)
    for row, sequence in enumerate(sequences):
        result[row, : len(sequence)] = sequence
    return result


def _values(decision: Categorical | Integer) -> Sequence[object]:
    return decision.choices if isinstance(decision, Categorical) else range(decision.low, decision.high + 1)
