"""The space of DARTS: members, texts, tokens, steps."""

from __future__ import annotations

from math import comb, sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas_core.encoding import padded_graphs, paths
from nas_core.errors import InvalidArchitecture, InvalidOption
from nas_core.graph import Graph
from nas_core.network import Task
from nas_core.random import rng
from nas_core.space import capabilities
from nas_core.testing import SpaceContract
from nas_spaces.darts import DARTS, PUBLISHED, reductions
from nas_spaces.two_input_cells import Cell

SPACE = DARTS()
V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('skip_connect', 0), ('sep_conv_3x3', 1), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=range(2, 6), "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('max_pool_3x3', 1), ('skip_connect', 2)], reduce_concat=range(2, 6))"
)


class TestDARTS(SpaceContract):
    @pytest.fixture(params=[False, True])
    def options(self, request: pytest.FixtureRequest) -> dict[str, Any]:
        return {"none": request.param}

    @pytest.fixture
    def factory(self) -> str:
        return "nas_spaces.darts:DARTS"

    @pytest.fixture
    def task(self) -> Task:
        return Task("classification", (1, 8, 8), 10)

    @pytest.fixture
    def network_options(self) -> dict[str, object]:
        return {"channels": 4, "cells": 3}


def test_it_has_every_view_but_is_too_large_to_be_listed() -> None:
    assert capabilities(SPACE) == {"decisions", "graphs", "tokens", "twins", "network"}
    cell = 7**8 * comb(2, 2) * comb(3, 2) * comb(4, 2) * comb(5, 2)
    assert cell == 1_037_664_180
    assert SPACE.size == cell**2
    assert DARTS(none=True).size == (cell // 7**8 * 8**8) ** 2
    with pytest.raises(InvalidOption, match="true or false"):
        DARTS(none=1)  # type: ignore[arg-type]


def test_its_decisions() -> None:
    names = [decision.name for decision in SPACE.decisions]
    assert names[:11] == [
        "normal_node2_op_a", "normal_node2_op_b",
        "normal_node3_sources", "normal_node3_op_a", "normal_node3_op_b",
        "normal_node4_sources", "normal_node4_op_a", "normal_node4_op_b",
        "normal_node5_sources", "normal_node5_op_a", "normal_node5_op_b",
    ]  # fmt: skip
    assert names[11:] == [name.replace("normal", "reduction") for name in names[:11]]
    assert [SPACE.decisions[i].choices for i in (2, 5)] == [
        ("0,1", "0,2", "1,2"),
        ("0,1", "0,2", "0,3", "1,2", "1,3", "2,3"),
    ]
    assert {len(decision.choices) for decision in SPACE.decisions} == {3, 6, 7, 10}


def test_published_cells_are_members() -> None:
    assert set(SPACE.named) == {"darts_v1", "darts_v2", "pdarts", "pcdarts", "pcdarts_imagenet"}
    assert SPACE.text(SPACE.named["darts_v2"]) == V2
    assert SPACE.named["darts_v2"].values == (
        "sep_conv_3x3", "sep_conv_3x3", "0,1", "sep_conv_3x3", "sep_conv_3x3", "0,1", "skip_connect", "sep_conv_3x3",
        "0,2", "skip_connect", "dil_conv_3x3",
        "max_pool_3x3", "max_pool_3x3", "1,2", "max_pool_3x3", "skip_connect", "0,2", "max_pool_3x3", "skip_connect",
        "1,2", "max_pool_3x3", "skip_connect",
    )  # fmt: skip
    for name, text in PUBLISHED.items():
        member = SPACE.parse(text)
        assert SPACE.parse(SPACE.text(member)) == member == SPACE.named[name]


def test_branches_may_stand_in_either_order() -> None:
    swapped = V2.replace("('skip_connect', 0), ('dil_conv_3x3', 2)", "('dil_conv_3x3', 2), ('skip_connect', 0)")
    assert swapped != V2
    assert SPACE.parse(swapped) == SPACE.parse(V2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (V2.replace("('skip_connect', 0), ('dil_conv_3x3', 2)", "('skip_connect', 2), ('dil_conv_3x3', 2)"),
         r"two branches that may not form a node.*\(in node 5 of the normal cell\)"),
        (V2.replace("dil_conv_3x3", "none"), "unknown operation in branch 2 of node 5 of normal: 'none'"),
        ("|nor_conv_3x3~0|", "a genotype cannot be read from character 1 on"),
    ],
)  # fmt: skip
def test_other_texts_are_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidArchitecture, match=message):
        SPACE.parse(text)


def test_none_is_an_operation_by_option() -> None:
    space = DARTS(none=True)
    member = space.parse(V2.replace("dil_conv_3x3", "none"))
    assert space.text(member) == V2.replace("dil_conv_3x3", "none")
    assert space.parse(V2) == SPACE.parse(V2)
    assert space.to_config() == {"name": "darts", "none": True}


def test_cells_come_from_values_and_become_them() -> None:
    member = SPACE.named["pdarts"]
    normal, reduction = SPACE.cells_of(member)
    assert normal == (
        ((0, "skip_connect"), (1, "dil_conv_3x3")),
        ((0, "skip_connect"), (1, "sep_conv_3x3")),
        ((1, "sep_conv_3x3"), (3, "sep_conv_3x3")),
        ((0, "sep_conv_3x3"), (4, "dil_conv_5x5")),
    )
    assert SPACE.from_cells((normal, reduction)) == member
    for wrong, message in (
        ((normal,), "darts has 2 cells"),
        ((normal, reduction[:3]), "a reduction cell has 4 nodes"),
        (((*normal[:3], ((5, "skip_connect"), (0, "skip_connect"))), reduction), "no such source: 5"),
        (((*normal[:3], ((-1, "skip_connect"), (0, "skip_connect"))), reduction), "no such source: -1"),
        (((*normal[:3], ((1, "none"), (0, "skip_connect"))), reduction), "no such operation: 'none'"),
    ):
        with pytest.raises(InvalidArchitecture, match=message):
            SPACE.from_cells(wrong)


def test_samples_are_uniform() -> None:
    """10,000 draws; 40 frequencies within 5 standard errors: a false alarm has odds below 1 in 10,000."""
    members = SPACE.sample(rng(0, "uniform"), 10_000)
    for i in (0, 2, 5, 8, 19, 21):
        choices = SPACE.decisions[i].choices
        for choice in choices:
            p = 1 / len(choices)
            share = np.mean([member.values[i] == choice for member in members])
            assert abs(share - p) < 5 * sqrt(p * (1 - p) / len(members))


def test_neighbours_change_one_operation_or_one_source() -> None:
    [member] = SPACE.sample(rng(3), 1)
    cells = SPACE.cells_of(member)
    steps = SPACE.neighbors(member)
    # 16 operations with 6 others; in each cell a branch of node p can move to p - 2 other sources
    assert len(steps) == 16 * 6 + 2 * 2 * (1 + 2 + 3) == len(set(steps))
    for step in steps:
        differ = [
            (set(old), set(new))
            for cell, other in zip(cells, SPACE.cells_of(step), strict=True)
            for old, new in zip(cell, other, strict=True)
            if set(old) != set(new)
        ]
        [(old, new)] = differ
        [(source, operation)], [(other_source, other_operation)] = old - new, new - old
        assert (source == other_source) != (operation == other_operation)


def test_mutation_is_a_uniform_neighbour() -> None:
    """2,400 draws over 120 neighbours: each expected 20 times; more than 50 or none has odds below 1 in 10,000,000."""
    [member] = SPACE.sample(rng(4), 1)
    stream = rng(5)
    seen = [SPACE.mutate(member, stream) for _ in range(2400)]
    assert set(seen) == set(SPACE.neighbors(member))
    assert max(map(seen.count, set(seen))) < 50


def test_tokens() -> None:
    member = SPACE.named["pdarts"]
    words = [SPACE.vocabulary[token] for token in SPACE.tokens(member)]
    assert words[:16] == [
        "0", "skip_connect", "1", "dil_conv_3x3", "0", "skip_connect", "1", "sep_conv_3x3",
        "1", "sep_conv_3x3", "3", "sep_conv_3x3", "0", "sep_conv_3x3", "4", "dil_conv_5x5",
    ]  # fmt: skip
    assert len(words) == 32


def test_legal_tokens_by_position() -> None:
    words = lambda prefix: [SPACE.vocabulary[token] for token in SPACE.legal_tokens(prefix)]  # noqa: E731
    number = SPACE.vocabulary.index
    assert words([]) == ["0"]
    assert words([0]) == list(SPACE.operations)
    assert words([0, number("skip_connect")]) == ["1"]
    node = [0, 5, 1, 5]
    assert words(node) == ["0", "1"]
    assert words([*node, 0, 5]) == ["1", "2"]
    assert words([*node, 1, 5]) == ["2"]
    assert words([*node, *node, *node, 1, 7]) == ["2", "3", "4"]
    assert words([*node * 4]) == ["0"]
    assert words([*node * 8]) == []
    with pytest.raises(InvalidArchitecture, match="no member's tokens begin like this"):
        SPACE.legal_tokens([*node, 2, 5])


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ([0, 5], "darts has 32 tokens: 2"),
        ([5, 0] * 16, "tokens that spell no branch"),
        ([0, 5] * 16, "two branches that may not form a node"),
        ([0, 5.0] * 16, "tokens are whole numbers"),
        ([4, 5, 1, 5] * 8, "no such source: 4"),
    ],
)
def test_other_tokens_are_refused(tokens: list[int], message: str) -> None:
    with pytest.raises(InvalidArchitecture, match=message):
        SPACE.from_tokens(tokens)


def test_symmetric_tokens_are_other_spellings_of_the_member() -> None:
    """Pairs are unordered here, so that exchanging branches changes the sequence and not the member."""
    for member in SPACE.sample(rng(6), 10):
        found = SPACE.symmetric_tokens(member)
        assert len(found) == len(set(found)) == 4 * 4
        assert SPACE.tokens(member) not in found
        assert all(SPACE.from_tokens(tokens) == member for tokens in found)
    tokens = np.array(SPACE.tokens(SPACE.named["darts_v1"]))
    swapped = tokens.copy()
    swapped[[0, 1, 2, 3, 28, 29, 30, 31]] = tokens[[2, 3, 0, 1, 30, 31, 28, 29]]
    assert tuple(swapped.tolist()) in SPACE.symmetric_tokens(SPACE.named["darts_v1"])


def test_graphs_are_those_of_the_cells() -> None:
    graphs = SPACE.graphs(SPACE.named["pdarts"])
    assert list(graphs) == ["normal", "reduction"]
    normal = graphs["normal"]
    assert normal.labels == (
        "input0", "input1", "skip_connect", "dil_conv_3x3", "skip_connect", "sep_conv_3x3", "sep_conv_3x3",
        "sep_conv_3x3", "sep_conv_3x3", "dil_conv_5x5", "output",
    )  # fmt: skip
    assert [normal.sources(i) for i in range(2, 10)] == [(0,), (1,), (0,), (1,), (1,), (4, 5), (0,), (6, 7)]
    assert normal.sources(10) == tuple(sorted(range(2, 10), key=normal.sources(10).index))
    padded = padded_graphs(list(graphs.values()), SPACE.graph_labels, SPACE.most_nodes)
    assert padded.adjacency.shape == (2, 11, 11)
    assert padded.adjacency[0, :, 10].tolist() == [0, 0, *[1] * 8, 0]
    assert paths(normal)[("input1", "sep_conv_3x3", "sep_conv_3x3", "output")] == 1


def test_graphs_give_the_standard_member() -> None:
    for member in SPACE.sample(rng(7), 30):
        back = SPACE.from_graphs(SPACE.graphs(member))
        assert back == SPACE.standard(member) == SPACE.standard(back)
        assert SPACE.graph_key(back) == SPACE.graph_key(member)
        assert SPACE.twin_key(back) == SPACE.twin_key(member)


def test_graphs_without_ports_are_read() -> None:
    for member in SPACE.sample(rng(8), 30):
        bare = {kind: Graph(graph.labels, graph.edges) for kind, graph in SPACE.graphs(member).items()}
        back = SPACE.graphs(SPACE.from_graphs(bare))
        for kind, graph in back.items():
            assert Graph(graph.labels, graph.edges).key() == bare[kind].key()


def test_what_is_wrong_with_a_graph_is_told_with_its_name() -> None:
    graphs = dict(SPACE.graphs(SPACE.named["darts_v2"]))
    graphs["reduction"] = Graph(graphs["reduction"].labels, graphs["reduction"].edges[:-1])
    with pytest.raises(InvalidArchitecture, match=r"the output reads the wrong nodes.*in the graph 'reduction'"):
        SPACE.from_graphs(graphs)


def test_keys_name_the_kind_of_the_cell() -> None:
    normal, reduction = SPACE.cells_of(SPACE.named["pcdarts"])
    exchanged = SPACE.from_cells((reduction, normal))
    assert SPACE.graph_key(exchanged) != SPACE.graph_key(SPACE.named["pcdarts"])
    assert SPACE.twin_key(exchanged) != SPACE.twin_key(SPACE.named["pcdarts"])


def test_members_that_differ_in_the_order_of_nodes_are_isomorphic() -> None:
    read = ((0, "sep_conv_3x3"), (1, "sep_conv_5x5"))
    other = ((0, "dil_conv_3x3"), (1, "max_pool_3x3"))
    one: Cell = (read, other, ((2, "skip_connect"), (3, "avg_pool_3x3")), ((3, "skip_connect"), (4, "avg_pool_3x3")))
    two: Cell = (other, read, ((3, "skip_connect"), (2, "avg_pool_3x3")), ((2, "skip_connect"), (4, "avg_pool_3x3")))
    first, second = (SPACE.from_cells((cell, one)) for cell in (one, two))
    assert first != second
    assert SPACE.graph_key(first) == SPACE.graph_key(second)
    assert SPACE.twin_key(first) == SPACE.twin_key(second)
    assert SPACE.standard(first) == SPACE.standard(second)


def test_the_place_of_reductions() -> None:
    assert [reductions(n) for n in (20, 14, 8, 3, 2, 1)] == [(6, 13), (4, 9), (2, 5), (1, 2), (0, 1), (0, 0)]


@given(st.data())
def test_any_values_are_projected_to_a_member_that_every_view_gives_back(data: st.DataObject) -> None:
    values = [data.draw(st.sampled_from([*decision.choices, None, "junk", 3])) for decision in SPACE.decisions]
    member = SPACE.project(values)
    assert SPACE.canonical(member.values) == member
    assert SPACE.parse(SPACE.text(member)) == member
    assert SPACE.from_tokens(SPACE.tokens(member)) == member
    assert SPACE.from_graphs(SPACE.graphs(member)) == SPACE.standard(member)
