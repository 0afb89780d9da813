"""BONAS's open domain: one cell for both kinds."""

from __future__ import annotations

from collections import Counter
from math import comb
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas_core.cost import cost
from nas_core.errors import InvalidArchitecture
from nas_core.network import Task
from nas_core.random import rng
from nas_core.space import capabilities
from nas_core.testing import SpaceContract
from nas_spaces.bonas_open_domain import OPERATIONS, BonasOpenDomain
from nas_spaces.darts import DARTS
from nas_spaces.two_input_cells import Cell

SPACE = BonasOpenDomain()
CELL: Cell = (
    ((0, "sep_conv_3x3"), (0, "skip_connect")),
    ((1, "max_pool_3x3"), (2, "none")),
    ((0, "dil_conv_5x5"), (3, "avg_pool_3x3")),
    ((2, "sep_conv_5x5"), (4, "dil_conv_3x3")),
)


class TestBonasOpenDomain(SpaceContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_spaces.bonas_open_domain:BonasOpenDomain"

    @pytest.fixture
    def task(self) -> Task:
        return Task("classification", (1, 8, 8), 10)

    @pytest.fixture
    def network_options(self) -> dict[str, object]:
        return {"channels": 4, "cells": 3}


def test_its_size() -> None:
    assert capabilities(SPACE) == {"decisions", "graphs", "tokens", "twins", "network"}
    assert set(OPERATIONS) == {*DARTS().operations, "none"}
    assert SPACE.size == comb(16, 2) * comb(24, 2) * comb(32, 2) * comb(40, 2) == 12_813_465_600
    assert len(SPACE.decisions) == 16
    assert [d.name for d in SPACE.decisions[:4]] == ["node2_source_a", "node2_op_a", "node2_source_b", "node2_op_b"]


def test_branches_may_share_a_source_but_not_the_operation_too() -> None:
    member = SPACE.from_cells([CELL])
    assert SPACE.cells_of(member) == ((((0, "skip_connect"), (0, "sep_conv_3x3")), *CELL[1:]),)
    with pytest.raises(InvalidArchitecture, match="may not form a node"):
        SPACE.from_cells([(((0, "none"), (0, "none")), *CELL[1:])])


def values(*branches: tuple[int, str]) -> list[Any]:
    """Values of a member whose first nodes have the given branches."""
    rest = [branch for node in CELL[len(branches) // 2 :] for branch in node]
    return [value for branch in (*branches, *rest) for value in branch]


def test_canonical_wants_the_smaller_branch_first() -> None:
    good = values((0, "skip_connect"), (0, "sep_conv_3x3"))
    assert SPACE.canonical(good).values == tuple(good)
    for wrong in (
        values((0, "sep_conv_3x3"), (0, "skip_connect")),
        values((1, "skip_connect"), (0, "sep_conv_3x3")),
        values((1, "skip_connect"), (1, "skip_connect")),
    ):
        with pytest.raises(InvalidArchitecture, match="node 2 are equal or in the wrong order"):
            SPACE.canonical(wrong)


def test_project_orders_branches_and_parts_equal_ones() -> None:
    node = lambda *branches: SPACE.cells_of(SPACE.project(values(*branches)))[0][0]  # noqa: E731
    assert node((1, "none"), (0, "none")) == ((0, "none"), (1, "none"))
    assert node((1, "max_pool_3x3"), (1, "max_pool_3x3")) == ((1, "max_pool_3x3"), (1, "avg_pool_3x3"))
    assert node((1, "none"), (1, "none")) == ((1, "max_pool_3x3"), (1, "none"))


def test_samples_are_uniform_over_unordered_pairs() -> None:
    """24,000 draws over the 120 pairs of node 2: 200 ± 14 each; 6 standard deviations have odds of 1 in 4,000,000."""
    pairs = Counter(SPACE.cells_of(member)[0][0] for member in SPACE.sample(rng(0, "pairs"), 24_000))
    assert len(pairs) == 120
    assert all(a != b for a, b in pairs)
    assert max(abs(count - 200) for count in pairs.values()) < 6 * 14.2


def test_text_is_a_genotype_with_two_equal_cells() -> None:
    member = SPACE.from_cells([CELL])
    text = SPACE.text(member)
    assert text.startswith("Genotype(normal=[('skip_connect', 0), ('sep_conv_3x3', 0), ")
    assert SPACE.parse(text) == member
    with pytest.raises(InvalidArchitecture, match="the normal and the reduction cell differ"):
        SPACE.parse(text.replace("('max_pool_3x3', 1)", "('max_pool_3x3', 0)", 1))
    swapped = text.replace("('skip_connect', 0), ('sep_conv_3x3', 0)", "('sep_conv_3x3', 0), ('skip_connect', 0)", 1)
    assert SPACE.parse(swapped) == member


def test_legal_tokens_leave_room_for_a_larger_branch() -> None:
    number = SPACE.vocabulary.index
    last = number("none")
    operations = tuple(range(number("max_pool_3x3"), last + 1))
    assert SPACE.legal_tokens([]) == (0, 1)
    assert SPACE.legal_tokens([0]) == operations
    assert SPACE.legal_tokens([1]) == operations[:-1]
    assert SPACE.legal_tokens([0, number("skip_connect")]) == (0, 1)
    assert SPACE.legal_tokens([0, last]) == (1,)
    assert SPACE.legal_tokens([0, number("skip_connect"), 0]) == operations[3:]
    assert SPACE.legal_tokens([0, number("skip_connect"), 1]) == operations
    for prefix in ([1, last], [0, last, 0]):
        with pytest.raises(InvalidArchitecture, match="no member's tokens begin like this"):
            SPACE.legal_tokens(prefix)
    assert len(SPACE.tokens(SPACE.from_cells([CELL]))) == 16


def test_symmetric_tokens() -> None:
    for member in SPACE.sample(rng(1), 20):
        found = SPACE.symmetric_tokens(member)
        assert len(set(found)) == 4
        assert all(SPACE.from_tokens(tokens) == member for tokens in found)


def test_neighbours_change_one_branch() -> None:
    [member] = SPACE.sample(rng(2), 1)
    [cell] = SPACE.cells_of(member)
    for step in SPACE.neighbors(member):
        [changed] = [
            (set(old), set(new)) for old, new in zip(cell, SPACE.cells_of(step)[0], strict=True) if set(old) != set(new)
        ]
        [(source, operation)], [(other_source, other_operation)] = changed[0] - changed[1], changed[1] - changed[0]
        assert (source == other_source) != (operation == other_operation)


def test_the_network_uses_the_cell_for_both_kinds() -> None:
    """Where sources differ, it is DARTS's network of the two equal cells."""
    cell: Cell = (((0, "sep_conv_3x3"), (1, "skip_connect")), *CELL[1:])
    task = Task("classification", (3, 32, 32), 10)
    own = SPACE.network(SPACE.from_cells([cell]), task, channels=8, cells=5)
    darts = DARTS(none=True)
    assert own == darts.network(darts.from_cells([cell, cell]), task, channels=8, cells=5)
    assert cost(own).parameters > 0


def test_a_twin_is_one_in_both_kinds_of_cells() -> None:
    """Nodes 2 and 3 are both c0 + c1 in a normal cell, but not where identities are convolutions."""
    both = ((0, "skip_connect"), (1, "skip_connect"))
    cells: list[Cell] = [
        (both, both, ((p, "sep_conv_3x3"), (0, "dil_conv_3x3")), ((2, "sep_conv_5x5"), (1, "dil_conv_3x3")))
        for p in (2, 3)
    ]
    keys = [SPACE.twin_key(SPACE.from_cells([cell])) for cell in cells]
    assert keys[0] != keys[1]
    darts = DARTS()
    reduction = darts.cells_of(darts.named["pdarts"])[1]
    assert len({darts.twin_key(darts.from_cells([cell, reduction])) for cell in cells}) == 1
    assert len({darts.graph_key(darts.from_cells([cell, reduction])) for cell in cells}) == 2


@given(st.data())
def test_any_values_are_projected_to_a_member_that_every_view_gives_back(data: st.DataObject) -> None:
    chosen = [data.draw(st.sampled_from([*decision.choices, None, "junk"])) for decision in SPACE.decisions]
    member = SPACE.project(chosen)
    assert SPACE.canonical(member.values) == member
    assert SPACE.parse(SPACE.text(member)) == member
    assert SPACE.from_tokens(SPACE.tokens(member)) == member
    assert SPACE.from_graphs(SPACE.graphs(member)) == SPACE.standard(member)
