"""Which cells with two inputs compute the same function: the rewriting rules `two-input-cells-1`.

A cell is turned into a graph whose nodes are its inputs, the operations that matter, each with the multiset of nodes
whose sum it reads, and the sums that its output concatenates. The key of that graph is the twin key. Every rule keeps
the set of functions that the network computes over all weights, normalisations included:

1.  The order of nodes, of branches and of concatenated sums means nothing: what reads the concatenation (a 1x1
    convolution, a factorized reduction, the classifier) has weights for each channel.
2.  An identity hands on the sum that it reads: sums of sums are one sum. How often a node occurs in a sum is kept. In a
    reduction cell an identity that reads an input halves the image with a convolution, and is kept.
3.  Poolings have no weights: equal poolings of equal sums are one node. Operations with weights are never merged.
4.  *none* is zero and dropped, and so is a pooling of nothing. Other operations on nothing give learnt constants and
    are kept.

Functions are those of evaluation: while paths are dropped in training, merged poolings would be dropped one by one.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from nas_core.graph import Graph
from nas_spaces.two_input_cells import INPUTS, OUTPUT, Cell, loose

RULES: Final = "two-input-cells-1"


class Roles(NamedTuple):
    """What the rules need to know of a space.

    Args:
        identity: the operation that hands on its source.
        poolings: the operations without weights.
        zero: the operation that gives zeros, where there is one.
        loose_only: only loose nodes are concatenated.
    """

    identity: str
    poolings: frozenset[str]
    zero: str | None
    loose_only: bool


_Sum: TypeAlias = tuple[tuple[int, int], ...]
"""Numbers of nodes with how often each occurs."""


def reduced(cell: Cell, roles: Roles, strided: bool) -> Graph:
    """What the rules leave of a cell; an edge's port says how often the source occurs in the sum that the target reads.

    Args:
        cell: the cell.
        roles: see `Roles`.
        strided: it is a reduction cell, in which branches that read an input halve the image.
    """
    nodes: list[tuple[str, _Sum]] = [(label, ()) for label in INPUTS]
    poolings: dict[tuple[str, bool, _Sum], int] = {}
    sums: list[Counter[int]] = [Counter({0: 1}), Counter({1: 1})]
    for node in cell:
        total: Counter[int] = Counter()
        for source, operation in node:
            halving = strided and source < 2
            read = tuple(sorted(sums[source].items()))
            if operation == roles.zero or (operation in roles.poolings and not read):
                continue
            if operation == roles.identity and not halving:
                total.update(sums[source])
                continue
            number = poolings.get((operation, halving, read))
            if number is None:
                number = len(nodes)
                nodes.append((operation, read))
            if operation in roles.poolings:
                poolings[operation, halving, read] = number
            total[number] += 1
        sums.append(total)
    concatenated = loose(cell) if roles.loose_only else range(len(cell))
    first = len(nodes)
    nodes += [("sum", tuple(sorted(sums[position + 2].items()))) for position in concatenated]
    nodes.append((OUTPUT, tuple((number, 1) for number in range(first, len(nodes)))))
    edges = [(source, target, times) for target, (_, read) in enumerate(nodes) for source, times in read]
    return Graph(
        tuple(label for label, _ in nodes),
        tuple((source, target) for source, target, _ in edges),
        tuple(times for _, _, times in edges),
    )


@lru_cache(maxsize=1 << 14)
def key(cell: Cell, roles: Roles, strided: bool) -> str:
    """32 hexadecimal digits that two cells share exactly when the rules leave isomorphic graphs of them."""
    return reduced(cell, roles, strided).key()
