"""NAO's convolutional cells: members, words, tokens, symmetric twins."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from nas_core.errors import InvalidArchitecture, InvalidOption
from nas_core.graph import Graph
from nas_core.network import Task
from nas_core.random import rng
from nas_core.space import capabilities
from nas_core.testing import SpaceContract
from nas_spaces.nao_cnn import NAOCNN
from nas_spaces.nao_operations import ENAS_OPERATIONS, OPERATIONS

SPACE, ENAS = NAOCNN(), NAOCNN("enas")
NORMAL = (
    "node-2 conv 3x3 node-1 max_pool 3x3, node1 identity 1x1 node-2 sep_conv 2x2, node-1 conv 1x1 node-1 conv 1x1, "
    "node3 avg_pool 2x2 node-2 conv 2x2, node4 sep_conv 1x1 node1 identity 1x1"
)
TEXT = f"{NORMAL}; {NORMAL}"


class TestNAOCNN(SpaceContract):
    @pytest.fixture(params=["nao", "enas"])
    def options(self, request: pytest.FixtureRequest) -> dict[str, Any]:
        return {"operations": request.param}

    @pytest.fixture
    def factory(self) -> str:
        return "nas_spaces.nao_cnn:NAOCNN"

    @pytest.fixture
    def task(self) -> Task:
        return Task("classification", (1, 8, 8), 10)

    @pytest.fixture
    def network_options(self) -> dict[str, object]:
        return {"channels": 4, "cells": 1}


def test_its_decisions_and_size() -> None:
    assert capabilities(SPACE) == {"decisions", "graphs", "tokens", "twins", "network"}
    assert (len(OPERATIONS), len(ENAS_OPERATIONS)) == (11, 5)
    assert SPACE.size == ((2 * 3 * 4 * 5 * 6) ** 2 * 11**10) ** 2
    assert ENAS.size == ((2 * 3 * 4 * 5 * 6) ** 2 * 5**10) ** 2
    assert [d.name for d in SPACE.decisions[:4]] == [
        "normal_node1_source_a", "normal_node1_op_a", "normal_node1_source_b", "normal_node1_op_b",
    ]  # fmt: skip
    assert SPACE.decisions[-2].choices == ("node-2", "node-1", "node1", "node2", "node3", "node4")
    with pytest.raises(InvalidOption, match="one of nao, enas"):
        NAOCNN("darts")


def test_texts_are_the_papers_words() -> None:
    member = SPACE.parse(TEXT)
    assert SPACE.text(member) == TEXT
    assert member.values[:8] == (
        "node-2", "conv_3x3", "node-1", "max_pool_3x3", "node1", "identity", "node-2", "sep_conv_2x2",
    )  # fmt: skip
    assert SPACE.parse(TEXT.replace(", ", " ,  ").replace("; ", "\n;\n")) == member


def test_sequences_have_60_and_40_tokens() -> None:
    tokens = SPACE.tokens(SPACE.parse(TEXT))
    assert len(tokens) == 60
    assert " ".join(SPACE.vocabulary[token] for token in tokens[:6]) == "node-2 conv 3x3 node-1 max_pool 3x3"
    assert SPACE.vocabulary == (
        "node-2", "node-1", "node1", "node2", "node3", "node4",
        "identity", "conv", "sep_conv", "max_pool", "avg_pool", "1x1", "2x2", "3x3",
    )  # fmt: skip
    [member] = ENAS.sample(rng(0), 1)
    assert len(ENAS.tokens(member)) == 40
    assert ENAS.vocabulary == (*SPACE.vocabulary[:6], *ENAS_OPERATIONS)


def test_nonsense_that_the_published_masks_admit_cannot_be_decoded() -> None:
    """Published decoding takes any operation or size at any place but a source's: "identity 3x3", a size for a name."""
    words = SPACE.vocabulary.index
    allowed = {
        name: {SPACE.vocabulary[token] for token in SPACE.legal_tokens([0, words(name)])}
        for name in ("identity", "conv", "sep_conv", "max_pool", "avg_pool")
    }
    assert allowed == {
        "identity": {"1x1"},
        "conv": {"1x1", "2x2", "3x3"},
        "sep_conv": {"1x1", "2x2", "3x3"},
        "max_pool": {"2x2", "3x3"},
        "avg_pool": {"2x2", "3x3"},
    }
    assert {SPACE.vocabulary[token] for token in SPACE.legal_tokens([0])} == set(allowed)
    tokens = list(SPACE.tokens(SPACE.parse(TEXT)))
    for wrong in ([0, words("identity"), words("3x3")], [0, words("3x3"), words("3x3")], [7, 7, 11]):
        with pytest.raises(InvalidArchitecture, match="tokens that spell no branch"):
            SPACE.from_tokens([*wrong, *tokens[3:]])


@pytest.mark.parametrize("space", [SPACE, ENAS])
def test_sources_grow_by_one_with_every_node_and_start_again_with_the_reduction_cell(space: NAOCNN) -> None:
    [member] = space.sample(rng(1), 1)
    tokens = space.tokens(member)
    width = len(tokens) // 20
    for branch in range(20):
        assert space.legal_tokens(tokens[: branch * width]) == tuple(range(branch % 10 // 2 + 2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (NORMAL, "a normal and a reduction cell, parted by ';'"),
        (TEXT + ";", "parted by ';'"),
        (TEXT.replace(", node1 identity", " node1 identity", 1), "the normal cell has 4 nodes"),
        (
            TEXT.replace("conv 3x3", "conv 5x5", 1),
            "a wrong word: '5x5' .in node 1 of the normal cell.; expected one of 1x1",
        ),
        (TEXT.replace("identity 1x1", "identity 3x3"), "a wrong word: '3x3' .in node 2 of the normal cell"),
        (TEXT.replace("node1 identity", "node2 identity"), "a wrong word: 'node2' .in node 2 of the normal cell"),
        (
            TEXT[::-1].replace("3x3 loop_xam", "loop_xam", 1)[::-1],
            "a node has 6 words.*in node 1 of the reduction cell",
        ),
        ("", "not the text of NAO's cells"),
        (None, "not the text of NAO's cells"),
    ],
)
def test_what_is_wrong_is_told(text: str, message: str) -> None:
    with pytest.raises(InvalidArchitecture, match=message):
        SPACE.parse(text)


@given(
    st.one_of(
        st.text(max_size=100),
        st.lists(st.sampled_from([*SPACE.vocabulary, ",", ";"]), max_size=80).map(" ".join),
        st.integers(0, len(TEXT)).map(lambda i: TEXT[:i]),
    )
)
@example(";" * 100_000)
@example("node-2 " * 50_000 + ";")
@example(", , , , ; , , , , ")
def test_junk_raises_invalid_architecture_or_is_a_member(text: str) -> None:
    try:
        member = SPACE.parse(text)
    except InvalidArchitecture:
        return
    assert SPACE.parse(SPACE.text(member)) == member


def test_symmetric_twins_exchange_the_branches_of_one_node_in_each_cell() -> None:
    member = SPACE.parse(TEXT)
    twins = SPACE.symmetric_twins(member)
    # 5 x 5 choices; node 3 of either cell has equal branches, so one choice gives the member itself,
    # and the 4 choices with node 3 in one cell are told apart by the node of the other
    assert len(twins) == len(set(twins)) == 24
    normal, reduction = SPACE.cells_of(member)
    for twin in twins:
        changed = [
            sum(old != new for old, new in zip(cell, other, strict=True))
            for cell, other in zip((normal, reduction), SPACE.cells_of(twin), strict=True)
        ]
        assert max(changed) == 1
        assert [set(node) for node in SPACE.cells_of(twin)[0]] == [set(node) for node in normal]
        assert SPACE.graph_key(twin) == SPACE.graph_key(member)
        assert SPACE.twin_key(twin) == SPACE.twin_key(member)
    assert {SPACE.tokens(twin) for twin in twins} == set(SPACE.symmetric_tokens(member))


def test_only_loose_nodes_feed_the_output() -> None:
    graph = SPACE.graphs(SPACE.parse(TEXT))["normal"]  # nodes 1, 3 and 4 are read
    assert len(graph.labels) == SPACE.most_nodes == 13
    assert graph.sources(12) == (4, 5, 10, 11)  # nodes 2 and 5
    assert graph.sources(8) == (6, 7)  # node 4 reads node 3
    assert graph.sources(2) == (0,)


def test_an_input_that_no_branch_reads_stays_in_the_graph() -> None:
    text = TEXT.replace("node-1", "node-2")
    graph = SPACE.graphs(SPACE.parse(text))["normal"]
    assert graph.targets(1) == ()
    assert SPACE.from_graphs(SPACE.graphs(SPACE.parse(text))) == SPACE.standard(SPACE.parse(text))


def test_equal_branches_are_a_node_too() -> None:
    for member in SPACE.sample(rng(2), 20):
        cells = SPACE.cells_of(member)
        doubled = SPACE.from_cells([tuple((first, first) for first, _ in cell) for cell in cells])
        assert SPACE.symmetric_twins(doubled) == []
        assert SPACE.from_graphs(SPACE.graphs(doubled)) == SPACE.standard(doubled)


def test_graphs_without_ports_are_read() -> None:
    for member in SPACE.sample(rng(3), 20):
        bare = {kind: Graph(graph.labels, graph.edges) for kind, graph in SPACE.graphs(member).items()}
        for kind, graph in SPACE.graphs(SPACE.from_graphs(bare)).items():
            assert Graph(graph.labels, graph.edges).key() == bare[kind].key()


def test_neighbours_change_one_word_group() -> None:
    [member] = ENAS.sample(rng(4), 1)
    steps = ENAS.neighbors(member)
    # 20 operations with 4 others, and sources with p - 1 others for each branch of nodes that have p of them
    assert len(steps) == len(set(steps)) == 20 * 4 + 4 * (1 + 2 + 3 + 4 + 5)
    for step in steps:
        assert sum(old != new for old, new in zip(member.values, step.values, strict=True)) == 1


@given(st.data())
def test_any_values_are_projected_to_a_member_that_every_view_gives_back(data: st.DataObject) -> None:
    chosen = [data.draw(st.sampled_from([*decision.choices, None, "junk"])) for decision in SPACE.decisions]
    member = SPACE.project(chosen)
    assert SPACE.canonical(member.values) == member
    assert SPACE.parse(SPACE.text(member)) == member
    assert SPACE.from_tokens(SPACE.tokens(member)) == member
    assert SPACE.from_graphs(SPACE.graphs(member)) == SPACE.standard(member)
