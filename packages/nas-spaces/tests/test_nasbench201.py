"""The space NAS-Bench-201: members, texts, graphs, tokens."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas_core.errors import InvalidArchitecture
from nas_core.graph import Graph
from nas_core.network import Task
from nas_core.random import rng
from nas_core.space import CAPABILITIES, capabilities
from nas_core.testing import SpaceContract
from nas_spaces.nasbench201 import EDGES, OPERATIONS, NASBench201

SPACE = NASBench201()
BEST = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_1x1~2|"


class TestNASBench201(SpaceContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_spaces.nasbench201:NASBench201"

    @pytest.fixture
    def task(self) -> Task:
        return Task("classification", (1, 8, 8), 10)

    @pytest.fixture
    def network_options(self) -> dict[str, object]:
        return {"channels": 4, "cells": 1}


def test_it_has_every_capability() -> None:
    assert capabilities(SPACE) == {"decisions", *CAPABILITIES}


def test_its_decisions_are_the_edges_in_the_order_of_the_text() -> None:
    assert [d.name for d in SPACE.decisions] == ["edge1_0", "edge2_0", "edge2_1", "edge3_0", "edge3_1", "edge3_2"]
    assert {d.choices for d in SPACE.decisions} == {
        ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    }


def test_the_text_is_the_published_one() -> None:
    a = SPACE.parse(BEST)
    assert a.values == (
        "nor_conv_3x3", "nor_conv_3x3", "nor_conv_3x3", "skip_connect", "nor_conv_3x3", "nor_conv_1x1",
    )  # fmt: skip
    assert SPACE.text(a) == BEST


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BEST.replace("nor_conv_1x1", "conv_1x1"), r"unknown operation in entry 3 of group 3 \(edge3_2\): 'conv_1x1'"),
        (
            BEST.replace("nor_conv_1x1", "conv_1x1"),
            "one of none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3",
        ),
        (BEST.replace("skip_connect~0", "skip_connect~1"), r"wrong input in entry 1 of group 3 \(edge3_0\)"),
        (BEST.replace("skip_connect~0", "skip_connect"), r"wrong input in entry 1 .* expected skip_connect~0"),
        (BEST.replace("+", "", 1), "3 groups, not 2"),
        (BEST.replace("|+|", "+"), "group 1 must begin and end with"),
        (BEST.replace("skip_connect~0|", ""), "group 3 has 2 entries"),
        (BEST + " ", "group 3 must begin and end with"),
        (BEST.replace("nor_conv_3x3~0", "nor_conv_3x3~00", 1), "wrong input in entry 1 of group 1"),
        ("", "3 groups, not 1"),
        (None, "not the text of a NAS-Bench-201 cell: None"),
    ],
)
def test_a_wrong_text_is_told_precisely(text: str, message: str) -> None:
    with pytest.raises(InvalidArchitecture, match=message):
        SPACE.parse(text)


pieces = st.sampled_from([*OPERATIONS, "|", "+", "~", "0", "1", "2", "3", "conv", " "])


@given(st.one_of(st.text(), st.lists(pieces, max_size=30).map("".join)))
def test_parse_refuses_or_reads_exactly(text: str) -> None:
    try:
        member = SPACE.parse(text)
    except InvalidArchitecture:
        return
    assert SPACE.text(member) == text


@given(st.lists(st.sampled_from(OPERATIONS), min_size=6, max_size=6), st.integers(0, 200), st.text(max_size=2))
def test_parse_of_a_damaged_text(operations: list[str], at: int, strange: str) -> None:
    text = SPACE.text(SPACE.canonical(operations))
    damaged = text[:at] + strange + text[at + 1 :]
    try:
        member = SPACE.parse(damaged)
    except InvalidArchitecture:
        return
    assert SPACE.text(member) == damaged


def test_the_enumeration_holds_all_members_once() -> None:
    listed = [a.values for a in SPACE.enumerate()]
    assert SPACE.size == len(listed) == len(set(listed)) == 15_625
    assert listed[0] == ("none",) * 6
    assert listed[1] == (*("none",) * 5, "skip_connect")
    assert listed[-1] == ("avg_pool_3x3",) * 6


def test_a_member_has_24_neighbours_that_differ_on_one_edge() -> None:
    a = SPACE.parse(BEST)
    steps = SPACE.neighbors(a)
    assert len(set(steps)) == 24
    assert {sum(x != y for x, y in zip(a.values, b.values, strict=True)) for b in steps} == {1}


def test_samples_are_uniform() -> None:
    # 2,000 draws of 6 edges: each choice is expected 400 times an edge, standard deviation 17.9; a deviation of more
    # than 5.5 of them happens by chance in fewer than 1 of 800,000 runs over the 30 counts.
    numbers = np.array([SPACE.tokens(a) for a in SPACE.sample(rng(0, "uniform"), 2_000)])
    counts = np.array([np.bincount(column, minlength=5) for column in numbers.T])
    assert np.abs(counts - 400).max() < 5.5 * 17.9


def test_the_graph_has_an_operation_a_node() -> None:
    a = SPACE.from_tokens([0, 1, 2, 3, 4, 0])
    graph = SPACE.graphs(a)["cell"]
    assert graph.labels == (
        "input", "none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3", "none", "output",
    )  # fmt: skip
    # an edge of the graph leads from one edge of the cell to another where the first ends and the second begins
    ends = {-1: 0} | {i: target for i, (target, _) in enumerate(EDGES)}
    begins = {i: source for i, (_, source) in enumerate(EDGES)} | {6: 3}
    joined = {(i + 1, j + 1) for i, j in product(ends, begins) if ends[i] == begins[j]}
    assert set(graph.edges) == joined
    assert len(graph.edges) == 10


def test_no_two_members_have_isomorphic_graphs() -> None:
    assert len({SPACE.graph_key(a) for a in SPACE.enumerate()}) == 15_625


def test_another_wiring_is_refused() -> None:
    labels = ("input", *OPERATIONS, "none", "output")
    other_order = ((0, 1), (0, 2), (0, 3), (1, 4), (1, 5), (2, 6), (3, 7), (4, 6), (5, 7), (6, 7))  # edges by source
    assert SPACE.from_graphs({"cell": Graph(labels, other_order)}).values == (
        "none", "skip_connect", "nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3", "none",
    )  # fmt: skip
    crossed = ((0, 1), (0, 2), (0, 3), (1, 4), (1, 5), (2, 6), (3, 6), (4, 6), (5, 7), (6, 7))
    with pytest.raises(InvalidArchitecture, match="not the wiring"):
        SPACE.from_graphs({"cell": Graph(labels, crossed)})
    with pytest.raises(InvalidArchitecture, match="not the wiring"):
        SPACE.from_graphs({"cell": Graph(labels, SPACE.graphs(SPACE.parse(BEST))["cell"].edges, (0,) * 10)})
    with pytest.raises(InvalidArchitecture, match="begins at its input"):
        SPACE.from_graphs({"cell": Graph(("output", *labels[1:]), other_order)})


def test_a_token_is_the_number_of_a_choice() -> None:
    assert SPACE.tokens(SPACE.parse(BEST)) == (3, 3, 3, 1, 3, 2)
    assert SPACE.legal_tokens((0, 1)) == (0, 1, 2, 3, 4)
