"""Which NAS-Bench-201 cells compute the same function: the rewriting rules `nasbench201-1`.

A cell is turned into a graph whose nodes are the input, the operations that matter, and the output, each with the
multiset of nodes that it sums. The key of that graph is the twin key. Every rule keeps the set of functions that the
cell computes over all weights, normalisations included:

1.  *none* is zero: its edge is dropped; pooling or copying zeros gives zeros.
2.  *skip_connect* is the identity: what it reads is added to the sum that it feeds. Sums of sums are one sum, in any
    order; how often a node occurs in a sum is kept (the port of an edge).
3.  *avg_pool_3x3* has no weights: poolings of equal sums are one node. (Convolutions have their own weights and are
    never merged.) The mean of a constant is the constant, since padding is not counted.
4.  *nor_conv* of zeros is what its normalisation adds: a learnt constant a channel, a `shift`. So is a 1x1 convolution
    of constants, whose normalisation removes them.
5.  A shift that is always added together with one convolution, or with one other shift, in fixed proportion, is
    swallowed by that one's own learnt shift.
6.  What the output does not depend on is dropped; what remains is compared up to isomorphism.

The 15,625 cells fall into 5,316 classes. Taking shifts for zeros instead (dropping every edge that is on no path of
operations from input to output, as is often done) gives 5,260: it merges cells of which one can add a constant that the
other cannot. Comparing sums written out as trees as well, where a convolution that is read twice looks like two, gives
4,970.
"""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from nas_core.graph import Graph

RULES: Final = "nasbench201-1"
CLASSES: Final = 5316
"""Number of classes of twins."""

_EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))  # (source, target), in the order of the decisions
_CONVOLUTIONS = ("nor_conv_1x1", "nor_conv_3x3")
_LEARNT_SHIFT = (*_CONVOLUTIONS, "shift")


_Sums: TypeAlias = tuple[tuple[int, int], ...]


class Term(NamedTuple):
    """A node of a reduced cell.

    Args:
        label: "input", "shift", an operation or "output".
        sums: the numbers of the nodes that it reads, with how often each occurs in the sum.
        edges: the edges of the cell that it stands for: its own first, then those whose shifts it has swallowed, each
            with the factor at which it did.
    """

    label: str
    sums: _Sums
    edges: tuple[tuple[int, float], ...]


def reduced(operations: tuple[str, ...]) -> tuple[Term, ...]:
    """What rules 1 to 6 leave of a cell, before isomorphism: input first, output last.

    Args:
        operations: the six operations in the order of the decisions.
    """
    terms = _expanded(operations)
    fed = _consumers(terms)
    edges: dict[int, list[tuple[int, float]]] = {i: list(term.edges) for i, term in enumerate(terms)}
    for i in [i for i, term in enumerate(terms) if term.label == "shift" and fed[i]]:
        for other, term in enumerate(terms):
            factor = _proportion(fed[i], fed[other]) if other != i and term.label in _LEARNT_SHIFT else None
            if factor is not None:
                edges[other] += [(edge, factor * own) for edge, own in edges[i]]
                fed[i] = {}
                break
    kept = [i for i, term in enumerate(terms) if fed[i] or term.label in ("input", "output")]
    number = {old: new for new, old in enumerate(kept)}
    return tuple(
        Term(terms[i].label, tuple((number[j], times) for j, times in terms[i].sums if j in number), tuple(edges[i]))
        for i in kept
    )


def graph(operations: tuple[str, ...]) -> Graph:
    """The reduced cell as a graph; an edge's port says how often the source occurs in the target's sum."""
    return _graph(tuple([(term.label, term.sums) for term in reduced(operations)]))


@lru_cache(maxsize=1 << 14)
def key(operations: tuple[str, ...]) -> str:
    """The twin key of a cell."""
    return _key(tuple([(term.label, term.sums) for term in reduced(operations)]))


def _graph(nodes: tuple[tuple[str, _Sums], ...]) -> Graph:
    edges = [(source, target, times) for target, (_, sums) in enumerate(nodes) for source, times in sums]
    return Graph(
        tuple(label for label, _ in nodes),
        tuple((source, target) for source, target, _ in edges),
        tuple(times for _, _, times in edges),
    )


@lru_cache(maxsize=1 << 13)
def _key(nodes: tuple[tuple[str, _Sums], ...]) -> str:
    return _graph(nodes).key()  # many cells are left with the same nodes in the same order


def _expanded(operations: tuple[str, ...]) -> list[Term]:
    """The cell with every sum written over operations and the input: rules 1 to 4."""
    terms = [Term("input", (), ())]
    pools: dict[_Sums, int] = {}
    nodes: list[Counter[int]] = [Counter({0: 1}), Counter(), Counter(), Counter()]
    for edge, (operation, (source, target)) in enumerate(zip(operations, _EDGES, strict=True)):
        sums = tuple(sorted(nodes[source].items()))
        constant = all(terms[i].label == "shift" for i, _ in sums)
        if operation == "none":
            continue
        if operation == "skip_connect" or (operation == "avg_pool_3x3" and constant):
            nodes[target].update(nodes[source])
            continue
        if operation == "avg_pool_3x3" and sums in pools:
            nodes[target][pools[sums]] += 1
            continue
        if not sums or (constant and operation == "nor_conv_1x1"):
            terms.append(Term("shift", (), ((edge, 1.0),)))
        else:
            terms.append(Term(operation, sums, ((edge, 1.0),)))
        if operation == "avg_pool_3x3":
            pools[sums] = len(terms) - 1
        nodes[target][len(terms) - 1] += 1
    terms.append(Term("output", tuple(sorted(nodes[3].items())), ()))
    return terms


def _consumers(terms: list[Term]) -> list[dict[int, int]]:
    """For each node which nodes that the output depends on read it, and how often it occurs in their sums."""
    fed: list[dict[int, int]] = [{} for _ in terms]
    for target in range(len(terms) - 1, 0, -1):
        if fed[target] or target == len(terms) - 1:
            for source, times in terms[target].sums:
                fed[source][target] = times
    return fed


def _proportion(these: dict[int, int], those: dict[int, int]) -> float | None:
    """The factor by which one node occurs more often than another wherever either is read; None where none fits all."""
    if not those or these.keys() != those.keys():
        return None
    factors = {these[target] / those[target] for target in these}
    return factors.pop() if len(factors) == 1 else None
