"""The rules for twins of cells with two inputs, against functions that are computed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import permutations, product

import numpy as np
import pytest
from numpy.typing import NDArray

from nas_core.random import rng
from nas_spaces.two_input_cells import Cell
from nas_spaces.two_input_twins import Roles, key, reduced

Vector = NDArray[np.float64]

ROLES = Roles("skip", frozenset({"max", "avg"}), "none", loose_only=False)
LENGTH = 6


def every_cell(nodes: int, operations: tuple[str, ...], one_source: bool = False) -> Iterator[Cell]:
    """All cells with ordered pairs of sources; with `one_source` both branches may read the same."""
    pairs = [[(a, b) for a in range(p) for b in range(a if one_source else a + 1, p)] for p in range(2, nodes + 2)]
    for wiring in product(*pairs):
        for chosen in product(operations, repeat=2 * nodes):
            slots = iter(chosen)
            yield tuple(((a, next(slots)), (b, next(slots))) for a, b in wiring)


def applied(operation: str, weights: int, x: Vector, halving: bool) -> Vector:
    """An operation on a vector; what has weights is a random function with the given number."""
    if operation == "none":
        return np.zeros(len(x) // (2 if halving else 1))
    if operation == "skip" and not halving:
        return x
    if operation in ("max", "avg"):
        windows = [x[max(0, i - 1) : i + 2] for i in range(len(x))]
        y = np.array([w.max() if operation == "max" else w.mean() for w in windows])
        return y[::2] if halving else y
    stream = rng(0, operation, weights)
    return np.sin(stream.normal(size=(len(x) // (2 if halving else 1), len(x))) @ x + 1.0)


def concatenated(
    cell: Cell, weights: dict[tuple[int, int], int], roles: Roles, strided: bool
) -> list[tuple[float, ...]]:
    """The nodes that a cell concatenates, in no order."""
    values = [rng(0, "input", i).normal(size=LENGTH) for i in range(2)]
    for i, node in enumerate(cell):
        ys = [
            applied(operation, weights.get((i, slot), 0), values[source], strided and source < 2)
            for slot, (source, operation) in enumerate(node)
        ]
        values.append(ys[0] + ys[1])
    read = {source for node in cell for source, _ in node} if roles.loose_only else set()
    return sorted(tuple(np.round(values[i + 2], 9).tolist()) for i in range(len(cell)) if i + 2 not in read)


def function(cell: Cell, roles: Roles, strided: bool) -> object:
    """What a cell computes, whatever numbers its weights have: the smallest result over all ways to number them."""
    owners: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for i, node in enumerate(cell):
        for slot, (source, operation) in enumerate(node):
            if operation == "sep" or (operation == "skip" and strided and source < 2):
                owners[operation].append((i, slot))
    ways = product(*(permutations(range(len(slots))) for slots in owners.values()))
    return min(
        concatenated(
            cell,
            {
                slot: n
                for slots, numbers in zip(owners.values(), way, strict=True)
                for slot, n in zip(slots, numbers, strict=True)
            },
            roles,
            strided,
        )
        for way in ways
    )


@pytest.mark.parametrize("strided", [False, True])
@pytest.mark.parametrize("loose_only", [False, True])
def test_twins_compute_the_same_and_others_do_not(loose_only: bool, strided: bool) -> None:
    """All 768 (or 243) cells of two nodes. The functions are random, so that equal ones are equal for a reason.

    Spaces that concatenate loose nodes only have no *none*.
    """
    roles = ROLES._replace(loose_only=loose_only)
    of_key: dict[str, object] = {}
    of_function: dict[str, str] = {}
    for cell in every_cell(2, ("max", "skip", "sep") if loose_only else ("max", "skip", "sep", "none")):
        twin, computed = key(cell, roles, strided), function(cell, roles, strided)
        assert of_key.setdefault(twin, computed) == computed
        assert of_function.setdefault(repr(computed), twin) == twin
    assert len(of_key) == len(of_function)


@pytest.mark.parametrize("strided", [False, True])
def test_twins_with_branches_of_one_source_and_averages_compute_the_same(strided: bool) -> None:
    """The rules do not know that an average of a sum is the sum of averages: some equal functions stay apart."""
    of_key: dict[str, object] = {}
    for cell in every_cell(2, ("avg", "skip", "sep"), one_source=True):
        twin = key(cell, ROLES, strided)
        computed = function(cell, ROLES, strided)
        assert of_key.setdefault(twin, computed) == computed


def test_twins_of_larger_cells_compute_the_same() -> None:
    stream = rng(0, "larger")
    of_key: dict[str, list[Cell]] = defaultdict(list)
    for _ in range(4000):
        cell = tuple(
            tuple(
                (int(s), str(stream.choice(["max", "skip", "skip", "sep"]))) for s in stream.choice(p, 2, replace=False)
            )
            for p in range(2, 5)
        )
        if sum(operation == "sep" for node in cell for _, operation in node) < 4:
            of_key[key(cell, ROLES, False)].append(cell)  # type: ignore[arg-type]
    twins = [found for found in of_key.values() if len(set(found)) > 1]
    assert len(twins) > 100
    for found in twins[:150]:
        assert len({repr(function(cell, ROLES, False)) for cell in found}) == 1


def counts(operations: tuple[str, ...], roles: Roles) -> tuple[int, int, int]:
    found = [set() for _ in range(2)]  # type: list[set[str]]
    number = 0
    for cell in every_cell(2, operations):
        number += 1
        for strided in (False, True):
            found[strided].add(key(cell, roles, strided))
    return number, len(found[0]), len(found[1])


def test_the_number_of_classes_among_cells_of_two_nodes() -> None:
    """With DARTS's seven operations, cells of two nodes have no twins but by the order of nodes."""
    darts = Roles("skip", frozenset({"max", "avg"}), "none", loose_only=False)
    seven = ("max", "avg", "skip", "sep3", "sep5", "dil3", "dil5")
    assert counts(seven, darts) == (7203, 6027, 6027)
    assert counts((*seven, "none"), darts) == (12_288, 8560, 8719)


def test_rule_1_the_order_of_nodes_and_branches() -> None:
    first: Cell = (((0, "sep"), (1, "max")), ((0, "max"), (1, "sep")), ((2, "sep"), (3, "dil")))
    second: Cell = (((1, "sep"), (0, "max")), ((1, "max"), (0, "sep")), ((2, "dil"), (3, "sep")))
    third: Cell = (((0, "sep"), (1, "max")), ((0, "max"), (1, "sep")), ((2, "sep"), (3, "sep")))
    assert key(first, ROLES, False) == key(second, ROLES, False) != key(third, ROLES, False)


def test_loose_sums_keep_their_terms() -> None:
    """{a + b, c + d} is not {a + d, c + b}, though their wirings look alike without sums."""
    first: Cell = (((0, "a"), (1, "b")), ((0, "c"), (1, "d")))
    second: Cell = (((0, "a"), (1, "d")), ((0, "c"), (1, "b")))
    assert key(first, ROLES, False) != key(second, ROLES, False)


def test_rule_2_identities_hand_on_sums() -> None:
    """Nodes 2 and 3 are both s0 + s1, so that node 4 may read either."""
    rest = ((0, "skip"), (1, "skip"))
    cells: list[Cell] = [(rest, rest, ((2, "sep"), (1, "max")), ((p, "sep"), (0, "max"))) for p in (2, 3)]
    assert key(cells[0], ROLES, False) == key(cells[1], ROLES, False)
    assert key(cells[0], ROLES, True) != key(cells[1], ROLES, True)  # there the identities are convolutions
    twice: Cell = (((0, "skip"), (0, "skip")), ((2, "sep"), (1, "sep")))
    once: Cell = (((0, "skip"), (1, "none")), ((2, "sep"), (1, "sep")))
    assert key(twice, ROLES, False) != key(once, ROLES, False)  # 2·s0 is not s0


def test_rule_3_poolings_are_shared_and_convolutions_are_not() -> None:
    for operation, equal in (("max", True), ("sep", False)):
        rest = ((0, operation), (1, operation))
        cells: list[Cell] = [(rest, rest, ((2, "sep"), (1, "dil")), ((p, "sep"), (0, "dil"))) for p in (2, 3)]
        for strided in (False, True):
            assert (key(cells[0], ROLES, strided) == key(cells[1], ROLES, strided)) is equal


def test_rule_4_nothing_is_dropped() -> None:
    first: Cell = (((0, "sep"), (1, "none")), ((2, "max"), (0, "none")))
    second: Cell = (((0, "none"), (1, "sep")), ((2, "max"), (1, "none")))
    assert key(first, ROLES, False) != key(second, ROLES, False)  # they read different inputs
    third: Cell = (((0, "sep"), (1, "none")), ((2, "max"), (1, "none")))
    assert key(first, ROLES, False) == key(third, ROLES, False)
    zeros: Cell = (((0, "none"), (1, "none")), ((2, "max"), (0, "sep")))
    plain: Cell = (((0, "none"), (1, "none")), ((2, "skip"), (0, "sep")))
    constant: Cell = (((0, "none"), (1, "none")), ((2, "sep"), (0, "sep")))
    assert key(zeros, ROLES, False) == key(plain, ROLES, False) != key(constant, ROLES, False)


def test_what_is_left_of_a_cell() -> None:
    cell: Cell = (((0, "skip"), (1, "max")), ((2, "skip"), (1, "max")), ((3, "sep"), (0, "none")))
    graph = reduced(cell, ROLES, False)
    assert graph.labels == ("input0", "input1", "max", "sep", "sum", "sum", "sum", "output")
    read = Counter(zip(graph.edges, graph.ports or (), strict=True))
    assert read == Counter(
        {
            ((1, 2), 1): 1,
            ((0, 3), 1): 1, ((2, 3), 2): 1,  # node 3 is s0 + 2·max(s1)
            ((0, 4), 1): 1, ((2, 4), 1): 1,
            ((0, 5), 1): 1, ((2, 5), 2): 1,
            ((3, 6), 1): 1,
            ((4, 7), 1): 1, ((5, 7), 1): 1, ((6, 7), 1): 1,
        }
    )  # fmt: skip
