"""Twins of NAS-Bench-201: the rules by hand, by numbers, and by a second route over all cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import groupby, permutations, product
from typing import Any, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from nas_core.random import rng
from nas_spaces import nasbench201_twins as twins
from nas_spaces.nasbench201 import OPERATIONS

FloatArray: TypeAlias = NDArray[np.float64]
Cell: TypeAlias = tuple[str, ...]

CELLS: list[Cell] = list(product(OPERATIONS, repeat=6))
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
SHORT = {"0": "none", "s": "skip_connect", "1": "nor_conv_1x1", "3": "nor_conv_3x3", "p": "avg_pool_3x3"}


def cell(short: str) -> Cell:
    """The edges 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2, one letter each."""
    return tuple(SHORT[letter] for letter in short)


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ("300p00", "000p00", "node 1 is not read"),
        ("ppp000", "000000", "nothing reaches the output"),
        ("s00030", "000300", "node 1 is the input"),
        ("300010", "030001", "a chain goes through node 1 or node 2"),
        ("310033", "130033", "branches are exchanged"),
        ("p0s011", "pp0011", "poolings of one node are one"),
        ("033001", "030001", "the shift of edge 2<-1 is swallowed by edge 2<-0"),
        ("000s10", "000s30", "a shift does not tell its kernel"),
        ("000s13", "000s30", "two shifts in one sum are one"),
        ("00100p", "00100s", "the mean of a constant is the constant"),
        ("001001", "00100s", "a 1x1 convolution of a constant is a constant"),
    ],
)
def test_twins_by_hand(one: str, other: str, why: str) -> None:
    assert twins.key(cell(one)) == twins.key(cell(other)), why


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ("000300", "000100", "other kernels"),
        ("000s00", "000000", "the input and zeros"),
        ("000p00", "p000p0", "one pooling and two in a row"),
        ("000s00", "s00ss0", "the input once and twice"),
        ("30s011", "330011", "one convolution that is read twice and two convolutions"),
        ("000p03", "000p00", "a shift that no convolution swallows"),
        ("001003", "001001", "a 3x3 convolution of a constant sees the border of the image"),
    ],
)
def test_different_by_hand(one: str, other: str, why: str) -> None:
    assert twins.key(cell(one)) != twins.key(cell(other)), why


def test_the_reduced_cell_by_hand() -> None:
    # node 1 = pool(x); node 2 = conv3(x) + x; output = node 2 + conv1(node 1) + x, and edge 2<-1 gives pool(x) again
    assert twins.reduced(cell("p3ss1s")) == (
        twins.Term("input", (), ()),
        twins.Term("avg_pool_3x3", ((0, 1),), ((0, 1.0),)),
        twins.Term("nor_conv_3x3", ((0, 1),), ((1, 1.0),)),
        twins.Term("nor_conv_1x1", ((1, 1),), ((4, 1.0),)),
        twins.Term("output", ((0, 1), (1, 1), (2, 1), (3, 1)), ()),
    )
    graph = twins.graph(cell("s00ss0"))
    assert (graph.labels, graph.edges, graph.ports) == (("input", "output"), ((0, 1),), (2,))


# --- by numbers: what is left of a cell computes what the cell computes ----------------------------------------------


def normalised(x: FloatArray) -> FloatArray:
    """Batch normalisation in training: over images and places, for each channel."""
    mean, variance = x.mean(axis=(0, 2, 3), keepdims=True), x.var(axis=(0, 2, 3), keepdims=True)
    return np.asarray((x - mean) / np.sqrt(variance + 1e-5))


def windows(x: FloatArray) -> list[FloatArray]:
    """The image shifted to the nine places of a 3x3 window, with zeros beyond the border."""
    h, w = x.shape[2:]
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    return [padded[:, :, i : i + h, j : j + w] for i in range(3) for j in range(3)]


def apply(operation: str, x: FloatArray, weight: FloatArray, scale: FloatArray, shift: FloatArray) -> FloatArray:
    """One operation; weight 9 x c x c, scale and shift c."""
    if operation == "none":
        return np.zeros_like(x)
    if operation == "skip_connect":
        return x
    if operation == "avg_pool_3x3":
        return np.asarray(sum(windows(x)) / sum(windows(np.ones_like(x))))
    places = windows(np.maximum(x, 0.0)) if operation == "nor_conv_3x3" else [np.maximum(x, 0.0)]
    y = sum(np.einsum("oc,bchw->bohw", weight[k], place) for k, place in enumerate(places))
    return np.asarray(normalised(y) * scale[:, None, None] + shift[:, None, None])


class Parameters:
    """Random parameters of the six edges."""

    def __init__(self, seed: int, c: int = 2) -> None:
        stream = rng(seed, "parameters")
        self.weight = stream.normal(size=(6, 9, c, c))
        self.scale = stream.normal(size=(6, c))
        self.shift = stream.normal(size=(6, c))


def as_cell(operations: Cell, x: FloatArray, p: Parameters) -> FloatArray:
    nodes = [x, *(np.zeros_like(x) for _ in range(3))]
    for e, (source, target) in enumerate(EDGES):
        nodes[target] = nodes[target] + apply(operations[e], nodes[source], p.weight[e], p.scale[e], p.shift[e])
    return nodes[3]


def as_reduced(operations: Cell, x: FloatArray, p: Parameters) -> FloatArray:
    values: list[FloatArray] = []
    for label, sums, edges in twins.reduced(operations):
        read = sum((times * values[i] for i, times in sums), np.zeros_like(x))
        shift = sum((factor * p.shift[e] for e, factor in edges), np.zeros(x.shape[1]))
        if label == "input":
            values.append(x)
        elif label == "output":
            values.append(read)
        elif label == "shift":
            values.append(np.zeros_like(x) + shift[:, None, None])
        else:
            own = edges[0][0]
            values.append(apply(label, read, p.weight[own], p.scale[own], shift))
    return values[-1]


def test_what_is_left_computes_the_same() -> None:
    cells = [CELLS[i] for i in rng(0, "cells").choice(len(CELLS), size=500, replace=False)]
    # those in which a convolution reads zeros are rare: node 1 or node 2 has no inputs
    none, some = ("none",), OPERATIONS[1:]
    cells += list(product(none, none, OPERATIONS[1:4], OPERATIONS[:2], OPERATIONS, OPERATIONS))
    cells += list(product(none, some, ("nor_conv_1x1",), none, OPERATIONS, OPERATIONS))
    cells += list(product(some, none, none, OPERATIONS, OPERATIONS, ("nor_conv_3x3",)))
    for i, operations in enumerate(cells):
        p = Parameters(i)
        x = rng(i, "images").normal(size=(3, 2, 4, 4))
        whole, left = as_cell(operations, x, p), as_reduced(operations, x, p)
        np.testing.assert_allclose(left, whole, rtol=1e-9, atol=1e-9, err_msg=str(operations))


# --- by a second route: nested sums with a symbol for each convolution, up to renaming of symbols ---------------------

Sum: TypeAlias = Counter[Any]  # of terms (label, symbol, sum as sorted pairs); the symbol of what has no weights is -1


def packed(total: Sum) -> tuple[Any, ...]:
    return tuple(sorted(total.items()))


def expression(operations: Cell, shifts: bool) -> Sum:
    nodes: list[Sum] = [Counter({("input", -1, ()): 1}), Counter(), Counter(), Counter()]
    for e, ((source, target), operation) in enumerate(zip(EDGES, operations, strict=True)):
        read = nodes[source]
        constant = all(label == "shift" for label, _, _ in read)
        if operation == "skip_connect" or (operation == "avg_pool_3x3" and constant):
            nodes[target].update(read)
        elif operation == "avg_pool_3x3":
            nodes[target][operation, -1, packed(read)] += 1
        elif operation != "none" and (not read or (constant and operation == "nor_conv_1x1")):
            nodes[target].update({("shift", e, ()): 1} if shifts else {})
        elif operation != "none":
            nodes[target][operation, e, packed(read)] += 1
    return nodes[3]


def sums(total: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """All sums of an expression."""
    yield total
    for (_, _, inner), _ in total:
        if inner:
            yield from sums(inner)


def swallowed(total: tuple[Any, ...]) -> tuple[Any, ...]:
    """The expression without the shifts that always occur with another symbol in one proportion."""
    occurs = [Counter({symbol: times for (_, symbol, _), times in one if symbol >= 0}) for one in set(sums(total))]
    for k in sorted({symbol for one in set(sums(total)) for (label, symbol, _), _ in one if label == "shift"}):
        for other in sorted({symbol for one in occurs for symbol in one if symbol != k}):
            ratios = {one[k] / one[other] if one[other] else None for one in occurs if one[k] or one[other]}
            if len(ratios) == 1 and None not in ratios:
                return swallowed(without(total, k))
    return total


def without(total: tuple[Any, ...], k: int) -> tuple[Any, ...]:
    kept = [((label, symbol, without(inner, k)), times) for (label, symbol, inner), times in total if symbol != k]
    return tuple(sorted(kept))


def renamed(total: tuple[Any, ...], names: dict[int, int]) -> tuple[Any, ...]:
    return tuple(
        sorted(
            ((label, names.get(symbol, -1), renamed(inner, names)), times) for (label, symbol, inner), times in total
        )
    )


@cache
def smallest(total: tuple[Any, ...]) -> tuple[Any, ...]:
    """The smallest of all ways to name the symbols, each operation's symbols among themselves."""
    found = sorted({(label, symbol) for one in sums(total) for (label, symbol, _), _ in one if symbol >= 0})
    groups = [[symbol for _, symbol in group] for _, group in groupby(found, key=lambda pair: pair[0])]
    ways = product(*[permutations(group) for group in groups])
    return min(renamed(total, {s: i for i, s in enumerate([s for part in way for s in part])}) for way in ways)


def test_all_cells_fall_into_the_stated_classes() -> None:
    keys = [twins.key(operations) for operations in CELLS]
    other = [smallest(swallowed(packed(expression(operations, True)))) for operations in CELLS]
    assert len(set(keys)) == len(set(other)) == len(set(zip(keys, other, strict=True))) == twins.CLASSES == 5316


def test_other_rules_would_give_fewer_classes() -> None:
    loose = [smallest(packed(expression(operations, False))) for operations in CELLS]
    assert len(set(loose)) == 5260  # shifts taken for zeros
    trees = {renamed(packed(expression(operations, False)), {}) for operations in CELLS}
    assert len(trees) == 4970
    keys = [twins.key(operations) for operations in CELLS]
    assert len(set(zip(keys, loose, strict=True))) == twins.CLASSES  # every class of ours lies within one of those
