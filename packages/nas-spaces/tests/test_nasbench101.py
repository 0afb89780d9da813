"""The space NAS-Bench-101: members, projection, steps, hashes and counts, by brute force and by the published data."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations, islice, permutations, product
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas_core.architecture import Architecture
from nas_core.cost import cost
from nas_core.encoding import indices
from nas_core.errors import InvalidArchitecture, InvalidNetwork, InvalidOption
from nas_core.graph import Graph
from nas_core.network import Task
from nas_core.random import rng
from nas_core.space import CAPABILITIES, capabilities
from nas_core.testing import SpaceContract
from nas_spaces.nasbench101 import INPUT, OPERATIONS, OUTPUT, NASBench101
from nas_spaces.nasbench101_network import vertex_channels
from nas_spaces.nasbench101_wirings import PAIRS, from_edges, operations_at, operations_of, standards

SPACE = NASBench101()
CONV3, CONV1, POOL = OPERATIONS
CIFAR10 = Task("classification", (3, 32, 32), 10)


class TestNASBench101(SpaceContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_spaces.nasbench101:NASBench101"

    @pytest.fixture
    def task(self) -> Task:
        return Task("classification", (1, 8, 8), 10)

    @pytest.fixture
    def network_options(self) -> dict[str, object]:
        return {"channels": 5, "cells": 1}


class TestCellsOfSixVertices(TestNASBench101):
    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"nodes": 6}


class TestCellsOfSevenVertices(TestNASBench101):
    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"nodes": 7}


def cell(edges: Sequence[tuple[int, int]], *operations: str, space: NASBench101 = SPACE) -> Architecture:
    """The member with these edges and operations."""
    return space.canonical(values(edges, *operations))


def values(edges: Sequence[tuple[int, int]], *operations: str | None) -> list[object]:
    bits = [int(pair in set(edges)) for pair in PAIRS]
    return [*bits, *operations, *[None] * (5 - len(operations))]


def edges(a: Architecture) -> list[tuple[int, int]]:
    return [pair for pair, bit in zip(PAIRS, a.values, strict=False) if bit]


def operations(a: Architecture) -> list[object]:
    return [value for value in a.values[len(PAIRS) :] if value is not None]


def junk(*changed: tuple[int, int], operation: str = CONV3) -> list[object]:
    """Values with all five operations, whatever the edges."""
    return values(changed, *[operation] * 5)


CHAIN = [(i, i + 1) for i in range(6)]
PARALLEL = [(0, i) for i in range(1, 6)] + [(i, 6) for i in range(1, 6)]


# Members


def test_it_has_every_capability() -> None:
    assert capabilities(SPACE) == {"decisions", *CAPABILITIES}


def test_decisions_are_the_upper_triangle_row_by_row_and_five_operations() -> None:
    names = [decision.name for decision in SPACE.decisions]
    assert names[:8] == [f"edge0_{j}" for j in range(1, 7)] + ["edge1_2", "edge1_3"]
    assert names[20:] == ["edge5_6", "op1", "op2", "op3", "op4", "op5"]


@pytest.mark.parametrize("nodes", [2, 5, 8, True, "7", 6.5])
def test_only_six_and_seven_vertices_make_a_space_of_their_own(nodes: Any) -> None:
    with pytest.raises(InvalidOption, match="nodes cannot be set"):
        NASBench101(nodes)


def test_members_of_the_smaller_spaces_are_members_of_the_whole_one() -> None:
    for nodes in (6, 7):
        for a in NASBench101(nodes).sample(rng(0), 20):
            assert SPACE.canonical(a.values) == a
            assert len(SPACE.graphs(a)["cell"].labels) == nodes


def test_vertex_order_tells_members_apart_but_not_their_keys() -> None:
    a = cell([(0, 1), (0, 2), (1, 3), (2, 3)], CONV3, POOL)
    b = cell([(0, 1), (0, 2), (1, 3), (2, 3)], POOL, CONV3)
    assert a != b
    for key in (SPACE.graph_key, SPACE.twin_key, SPACE.published_hash, SPACE.standard):
        assert key(a) == key(b)


@pytest.mark.parametrize(
    ("given_values", "message"),
    [
        (values([]), "no path leads from the input to the output"),
        (values([(1, 2)], CONV3), "no path leads"),
        (values([(0, 1), (1, 3), (2, 3)], CONV3, POOL), "vertex 2 lies on no path"),
        (values([(0, 1), (1, 3), (0, 2)], CONV3, POOL), "vertex 2 lies on no path"),
        (values(PARALLEL, *[CONV3] * 5), "a cell with 10 edges"),
        (values([(0, 1), (1, 2)], CONV3, POOL), "'op2' is inactive here"),
        (values([(0, 1), (1, 2)], None), "'op1' has no such choice: None"),
        (values([(0, 1), (1, 2)], "conv5x5"), "'op1' has no such choice: 'conv5x5'"),
        ([2, *values([(0, 1)])[1:]], "'edge0_1' has no such choice: 2"),
    ],
)
def test_what_is_no_member_is_refused_with_the_reason(given_values: list[object], message: str) -> None:
    with pytest.raises(InvalidArchitecture, match=message):
        SPACE.canonical(given_values)


def test_a_cell_of_another_size_is_refused_where_the_size_is_fixed() -> None:
    with pytest.raises(InvalidArchitecture, match=r"a cell with 3 vertices.*6 vertices in this space"):
        cell([(0, 1), (1, 2)], CONV3, space=NASBench101(6))


def test_rows_of_choice_numbers_are_checked_at_once_as_one_by_one() -> None:
    stream = rng(7)
    members = indices(SPACE, SPACE.sample(stream, 500))
    spoilt = members.copy()
    for row, column in enumerate(stream.integers(26, size=500).tolist()):
        spoilt[row, column] = stream.integers(-1, SPACE.decisions[column].size)
    every = np.concatenate([members, spoilt])
    for space in (SPACE, NASBench101(6), NASBench101(7)):
        assert space.legal_rows(every).tolist() == [is_member(space, row) for row in every.tolist()]


def is_member(space: NASBench101, numbers: list[int]) -> bool:
    choices = [(0, 1)] * len(PAIRS) + [OPERATIONS] * 5
    try:
        space.canonical([None if number < 0 else own[number] for own, number in zip(choices, numbers, strict=True)])
    except InvalidArchitecture:
        return False
    return True


# Projection


def test_dead_vertices_are_pruned_and_the_others_close_up() -> None:
    a = SPACE.project(values([(0, 1), (0, 2), (2, 4), (3, 4), (4, 6)], CONV3, POOL, CONV3, CONV1, CONV3))
    assert a == cell([(0, 1), (1, 2), (2, 3)], POOL, CONV1)


def test_the_input_is_joined_to_the_first_vertex_that_leads_to_the_output() -> None:
    assert SPACE.project(junk((2, 4), (3, 4))) == cell([(0, 1), (1, 2)], CONV3)
    assert SPACE.project(junk()) == cell([(0, 1)])


def test_of_too_many_edges_the_last_dispensable_ones_go() -> None:
    a = SPACE.project(junk(*CHAIN, (0, 2), (0, 3), (0, 4), (4, 6), (0, 6)))
    assert edges(a) == sorted([*CHAIN, (0, 2), (0, 3), (0, 4)])  # without 4-6, then without 0-6


def test_five_parallel_vertices_lose_the_last_one() -> None:
    a = SPACE.project(junk(*PARALLEL))
    assert edges(a) == sorted([(0, i) for i in range(1, 5)] + [(i, 5) for i in range(1, 5)])


def test_a_fixed_size_is_reached_by_vertices_in_the_last_edge() -> None:
    seven = NASBench101(7)
    grown = seven.project(values([(0, 1), (1, 2)], CONV3, POOL, CONV1, POOL, CONV1))
    assert grown == cell(CHAIN, CONV3, POOL, CONV1, POOL, CONV1)
    assert edges(seven.project(junk(*PARALLEL))) == sorted(
        [(0, i) for i in range(1, 5)] + [(i, 6) for i in range(1, 4)] + [(4, 5), (5, 6)]
    )


def test_a_fixed_size_of_six_loses_the_last_inner_vertex() -> None:
    shrunk = NASBench101(6).project(values([*CHAIN, (0, 6), (4, 6)], CONV3, POOL, CONV1, POOL, CONV1))
    assert shrunk == cell([*CHAIN[:5], (0, 5)], CONV3, POOL, CONV1, POOL)


@given(
    st.lists(st.integers(0, 1), min_size=21, max_size=21), st.lists(st.sampled_from(OPERATIONS), min_size=5, max_size=5)
)
def test_any_bits_are_projected_onto_a_member(bits: tuple[int, ...], ops: tuple[str, ...]) -> None:
    for space in (SPACE, NASBench101(6), NASBench101(7)):
        a = space.project([*bits, *ops])
        assert space.canonical(a.values) == a
        assert space.project(a.values) == a


# Counts


def by_brute_force(v: int) -> Iterator[Graph]:
    """Every pruned cell of v vertices, vertex by vertex, found by walks in networkx."""
    every = list(combinations(range(v), 2))
    for bits in product((0, 1), repeat=len(every)):
        chosen = tuple(pair for pair, bit in zip(every, bits, strict=True) if bit)
        graph = nx.DiGraph(chosen)
        graph.add_nodes_from(range(v))
        after, before = nx.descendants(graph, 0), nx.ancestors(graph, v - 1)
        if len(chosen) <= 9 and all(i in (0, *after) and i in (v - 1, *before) for i in range(v)):
            for ops in product(OPERATIONS, repeat=v - 2):
                yield Graph((INPUT, *ops, OUTPUT), chosen)


@pytest.mark.parametrize(("v", "classes"), [(2, 1), (3, 6), (4, 84), (5, 2441)])
def test_small_cells_are_enumerated_exactly(v: int, classes: int) -> None:
    expected = {graph.key() for graph in by_brute_force(v)}
    assert len(expected) == classes
    listed = [a for a in islice(SPACE.enumerate(), 1 + 6 + 84 + 2441) if len(operations(a)) == v - 2]
    assert len(listed) == classes
    assert {SPACE.graph_key(a) for a in listed} == expected
    assert len({SPACE.published_hash(a) for a in listed}) == classes


def test_sizes_are_the_published_ones() -> None:
    assert SPACE.size == 423_624
    assert (NASBench101(6).size, NASBench101(7).size) == (62_010, 359_082)
    assert len(standards()) == 2494


def test_the_number_of_cells_of_a_wiring_is_what_the_listing_gives() -> None:
    for standard in standards()[::7]:
        listed = list(operations_of(standard))
        assert len(listed) == standard.cells
        assert [operations_at(standard, rank) for rank in range(standard.cells)] == listed


def test_the_standard_form_is_the_smallest_of_all_vertex_orders() -> None:
    for a in SPACE.sample(rng(3), 30):
        graph = SPACE.graphs(a)["cell"]
        v = len(graph.labels)
        orders = [(0, *inner, v - 1) for inner in permutations(range(1, v - 1))]
        forms = []
        for order in orders:
            place = {old: new for new, old in enumerate(order)}
            if all(place[i] < place[j] for i, j in graph.edges):
                forms.append(SPACE.from_graphs({"cell": graph.relabelled(order)}))
        ranked = [(a.values[:21], [OPERATIONS.index(str(name)) for name in operations(a)], a) for a in forms]
        assert min(ranked)[2] == a
        assert {SPACE.standard(form) for form in forms} == {a}


def test_samples_are_uniform_among_the_isomorphism_classes() -> None:
    n = 4000
    sizes = Counter(len(operations(a)) + 2 for a in SPACE.sample(rng(1), n))
    share = 359_082 / 423_624
    # Six standard errors: a false alarm in one of 5e8 seeds.
    assert abs(sizes[7] / n - share) < 6 * (share * (1 - share) / n) ** 0.5
    assert sizes[6] > sizes[5] > 0


def test_samples_of_a_fixed_size_have_it() -> None:
    assert {len(operations(a)) for a in NASBench101(6).sample(rng(0), 100)} == {4}


# Steps


def test_the_neighbours_of_a_small_cell_by_hand() -> None:
    a = cell([(0, 1), (1, 2)], CONV3)
    found = {SPACE.text(b) for b in SPACE.neighbors(a)}
    changes = {f"101|{CONV1}", f"101|{POOL}"}
    flips = {f"111|{CONV3}"}
    # A vertex x into edge 0-1, beside it; into edge 1-2, beside it; or from 0 to the output.
    grown = set()
    for x in OPERATIONS:
        for chosen, ops in (
            ([(0, 1), (0, 2), (1, 2), (2, 3)], (x, CONV3)),
            ([(0, 1), (1, 2), (1, 3), (2, 3)], (CONV3, x)),
            ([(0, 1), (0, 2), (1, 3), (2, 3)], (CONV3, x)),
        ):
            grown.add(SPACE.text(SPACE.standard(cell(chosen, *ops))))
    assert found == changes | flips | grown


def test_clearing_an_edge_prunes() -> None:
    a = cell([(0, 1), (0, 2), (1, 2)], POOL)
    assert cell([(0, 1)]) in SPACE.neighbors(a)


def test_isomorphic_members_have_the_same_neighbours_and_are_none() -> None:
    a = cell([(0, 1), (0, 2), (1, 3), (2, 3)], CONV3, POOL)
    b = cell([(0, 1), (0, 2), (1, 3), (2, 3)], POOL, CONV3)
    assert set(SPACE.neighbors(a)) == set(SPACE.neighbors(b))
    assert not {a, b} & set(SPACE.neighbors(a))


@pytest.mark.parametrize("nodes", [None, 6, 7])
def test_every_wiring_can_be_reached_from_every_other(nodes: int | None) -> None:
    space = NASBench101(nodes)
    wirings = {standard.wiring: standard for standard in standards(nodes)}
    graph = nx.DiGraph()
    for standard in wirings.values():
        a = space.canonical(values(_edges(standard.wiring), *[CONV3] * (standard.vertices - 2)))
        graph.add_edges_from((standard.wiring, from_edges(edges(b))) for b in space.neighbors(a))
    assert set(graph) == set(wirings)
    assert nx.is_strongly_connected(graph)


def _edges(wiring: int) -> list[tuple[int, int]]:
    return [pair for k, pair in enumerate(PAIRS) if wiring >> (20 - k) & 1]


def test_mutation_reaches_all_neighbours() -> None:
    a = cell([(0, 1), (1, 2)], CONV3)
    stream = rng(0)
    # 12 steps lead to a member, equally often: one is missed in 1,000 draws with odds of 12 (11/12)^1000 < 1e-36.
    assert {SPACE.mutate(a, stream) for _ in range(1000)} == set(SPACE.neighbors(a))


def stepped_by_networkx(graph: nx.DiGraph, output: int) -> Iterator[nx.DiGraph]:
    """Every graph with one edge more or less, or with another operation; cycles and all."""
    for i, j in permutations(graph, 2):
        other = graph.copy()
        if graph.has_edge(i, j):
            other.remove_edge(i, j)
        else:
            other.add_edge(i, j)
        yield other
    for vertex in set(graph) - {0, output}:
        for name in OPERATIONS:
            other = graph.copy()
            other.nodes[vertex]["label"] = name
            yield other


def test_the_neighbours_of_cells_of_seven_vertices_by_networkx() -> None:
    for a in [b for b in SPACE.sample(rng(5), 30) if len(operations(b)) == 5]:
        expected = set()
        for other in stepped_by_networkx(SPACE.graphs(a)["cell"].to_networkx(), 6):
            if not nx.is_directed_acyclic_graph(other) or not nx.has_path(other, 0, 6):
                continue
            kept = ({0} | nx.descendants(other, 0)) & ({6} | nx.ancestors(other, 6))
            graph = Graph.from_networkx(other.subgraph(kept))
            if len(graph.edges) <= 9 and other.in_degree(0) == other.out_degree(6) == 0:
                expected.add(graph.key())
        expected.discard(SPACE.graph_key(a))
        assert {SPACE.graph_key(b) for b in SPACE.neighbors(a)} == expected


# Texts, graphs, tokens


def test_the_text_is_the_bits_of_the_cell_and_its_operations() -> None:
    assert SPACE.text(cell([(0, 1)])) == "1|"
    assert SPACE.text(cell([(0, 1), (0, 2), (1, 3), (2, 3)], CONV3, POOL)) == f"110011|{CONV3},{POOL}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("101", "not the text of a cell"),
        (f"1x1|{CONV3}", "not the text of a cell"),
        ("101|conv5x5", "no such operation: 'conv5x5'"),
        (f"101|{CONV3},", "no such operation: ''"),
        (f"1011|{CONV3}", "4 bits for 3 vertices.*3 bits with 1 operations"),
        ("1|" + ",".join([POOL] * 6), "a cell with 8 vertices"),
        (f"110|{CONV3}", "vertex 1 lies on no path"),
        (f"100|{CONV3}", "no path leads"),
        ("0|", "no path leads"),
    ],
)
def test_a_wrong_text_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(InvalidArchitecture, match=message):
        SPACE.parse(text)


@given(st.text("01|,-conv3x1maxpbrelu", max_size=60))
def test_parsing_gives_a_member_or_refuses(text: str) -> None:
    try:
        a = SPACE.parse(text)
    except InvalidArchitecture:
        return
    assert SPACE.text(a) == text


@pytest.mark.parametrize(
    ("labels", "chosen", "message"),
    [
        ((INPUT, "conv5x5", OUTPUT), [(0, 1), (1, 2)], "not the graph of a cell"),
        ((OUTPUT, CONV3, INPUT), [(0, 1), (1, 2)], "not the graph of a cell"),
        ((INPUT,), [], "not the graph of a cell"),
        ((INPUT, *[CONV3] * 6, OUTPUT), [(i, i + 1) for i in range(7)], "a cell with 8 vertices"),
        ((INPUT, CONV3, POOL, OUTPUT), [(0, 1), (1, 3), (0, 2)], "vertex 2 lies on no path"),
        ((INPUT, CONV3, OUTPUT), [(0, 1)], "no path leads"),
    ],
)
def test_a_wrong_graph_is_refused(labels: tuple[str, ...], chosen: list[tuple[int, int]], message: str) -> None:
    with pytest.raises(InvalidArchitecture, match=message):
        SPACE.from_graphs({"cell": Graph(labels, tuple(chosen))})


def test_a_graph_with_ports_is_refused() -> None:
    with pytest.raises(InvalidArchitecture, match="no ports"):
        SPACE.from_graphs({"cell": Graph((INPUT, OUTPUT), ((0, 1),), (0,))})


def test_tokens_by_hand() -> None:
    a = cell([(0, 1), (0, 2), (1, 3), (2, 3)], CONV3, POOL)
    spelled = [SPACE.vocabulary[token] for token in SPACE.tokens(a)]
    assert spelled == [CONV3, "1", POOL, "1", "0", OUTPUT, "0", "1", "1"]


def test_legal_tokens_spell_every_wiring_of_six_vertices_once() -> None:
    space = NASBench101(6)
    spelled = []
    waiting: list[tuple[int, ...]] = [()]
    while waiting:
        prefix = waiting.pop()
        legal = [token for token in space.legal_tokens(prefix) if token not in (3, 4)]  # one operation is enough
        waiting.extend((*prefix, token) for token in legal)
        if not legal:
            spelled.append(space.from_tokens(prefix))
    assert len(spelled) == len(set(spelled)) == 1545  # upper triangular matrices without dead vertices, up to 9 edges
    assert len({from_edges(edges(a)) for a in map(space.standard, spelled)}) == len(standards(6))


def test_an_illegal_token_is_named() -> None:
    with pytest.raises(InvalidArchitecture, match=r"token 1 of a cell may not be this one: 0.*1 \(1\)"):
        SPACE.from_tokens((2, 0))
    with pytest.raises(InvalidArchitecture, match="end too early"):
        SPACE.from_tokens((2, 1))


# The published hash


def test_the_hash_of_the_smallest_cell_by_hand() -> None:
    def md5(text: str) -> str:
        return hashlib.md5(text.encode()).hexdigest()

    first, last = md5("(1, 0, -1)"), md5("(0, 1, -2)")
    for _ in range(2):
        first, last = md5(f"|{last}|{first}"), md5(f"{first}||{last}")
    assert SPACE.published_hash(cell([(0, 1)])) == md5(str(sorted([first, last])))


# Networks


def test_channels_are_shared_out_with_the_rest_to_the_first() -> None:
    three = from_edges([(0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4)])
    assert vertex_channels(three, 5, 128) == [0, 43, 43, 42, 128]
    # Vertex 1 feeds vertices 2 and 3, which share; it has the most of theirs.
    behind = from_edges([(0, 1), (1, 2), (1, 3), (2, 4), (3, 4), (0, 4)])
    assert vertex_channels(behind, 5, 9) == [0, 5, 5, 4, 9]
    assert vertex_channels(from_edges([(0, 1)]), 2, 7) == [0, 7]


def test_fewer_channels_than_vertices_that_share_them_are_refused() -> None:
    a = cell([(0, 1), (0, 2), (1, 3), (2, 3)], CONV3, POOL)
    with pytest.raises(InvalidNetwork, match=r"too few channels: 1.*at least 2"):
        SPACE.network(a, CIFAR10, channels=1)


@pytest.mark.parametrize("option", ["channels", "stacks", "cells"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True])
def test_options_of_networks_are_checked(option: str, value: Any) -> None:
    with pytest.raises(InvalidNetwork, match=option):
        SPACE.network(cell([(0, 1)]), CIFAR10, **{option: value})


def test_a_network_for_text_or_of_too_small_images_is_refused() -> None:
    with pytest.raises(InvalidNetwork, match="classifies images"):
        SPACE.network(cell([(0, 1)]), Task("language", (8,), 10))
    with pytest.raises(InvalidNetwork, match="too small"):
        SPACE.network(cell([(0, 1)]), Task("classification", (3, 3, 3), 10))


def test_parameters_by_hand() -> None:
    # Stem 3x3: 27c + 2c. Input -> conv1x1 -> output, and input -> output: per cell two projections and the operation.
    a = cell([(0, 1), (0, 2), (1, 2)], CONV1)
    stem = 27 * 4 + 8
    first = (4 * 4 + 8) * 3
    second = (4 * 8 + 16) * 2 + (8 * 8 + 16)
    assert cost(SPACE.network(a, CIFAR10, channels=4, stacks=2, cells=1)).parameters == stem + first + second + 80 + 10


def test_a_source_with_one_channel_more_hands_on_the_first_ones() -> None:
    # Vertices 1 and 2 share 3 channels as 2 + 1, and vertex 1 feeds vertex 2.
    a = cell([(0, 1), (1, 2), (1, 3), (2, 3)], CONV3, POOL)
    network = SPACE.network(a, CIFAR10, channels=3, stacks=1, cells=1)
    shapes = {node.name: shape for node, shape in zip(network.nodes, network.shapes, strict=True)}
    assert shapes["stack0.cell0.vertex1.conv3x3.relu"] == (2, 32, 32)
    assert shapes["stack0.cell0.vertex2.first1"] == (1, 32, 32)
    assert shapes["stack0.cell0.output.join"] == (3, 32, 32)


@pytest.mark.parametrize("size", [8, 28, 32, 64, 224])
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_fit_for_many_images(size: int, channels: int) -> None:
    task = Task("classification", (channels, size, size), 7)
    for a in SPACE.sample(rng(size, channels), 5):
        network = SPACE.network(a, task)
        assert network.shapes[network.outputs[0][1]] == (7,)
        sizes = {shape[1:] for shape in network.shapes if len(shape) == 3}
        assert sizes == {(size >> k, size >> k) for k in range(3)} | {(1, 1)}


# The published data


@pytest.fixture(scope="module")
def folder() -> Path:
    import os

    found = Path(os.environ.get("NAS_TABLES", Path(__file__).resolve().parents[4] / "shared" / "tables"))
    if not (found / "nb101_20k.npz").is_file():
        pytest.skip(f"no nb101_20k.npz in {found}; NAS_TABLES names its folder")
    return found


def rows(path: Path, step: int) -> Iterator[tuple[Architecture, dict[str, Any]]]:
    """Every step-th row of a file as a member, with its other columns."""
    with np.load(path, allow_pickle=False) as file:
        columns = {name: file[name][::step] for name in file if name != "op_names"}
        names = [str(name) for name in file["op_names"]]
    bits = np.unpackbits(columns["adj_bits"], axis=1)[:, : len(PAIRS)].tolist()
    for i, row in enumerate(bits):
        ops = [names[k] for k in columns["ops"][i] if k < len(names)]
        yield SPACE.canonical([*row, *ops, *[None] * (5 - len(ops))]), {name: columns[name][i] for name in columns}


def test_hashes_are_the_published_ones(folder: Path) -> None:
    for a, row in rows(folder / "nb101_space.npz", 400):
        assert SPACE.published_hash(a) == bytes(row["hash"]).hex()


def test_parameters_are_the_published_ones(folder: Path) -> None:
    for a, row in rows(folder / "nb101_20k.npz", 60):
        assert cost(SPACE.network(a, CIFAR10)).parameters == row["params"], SPACE.text(a)


def test_vertex_order_changes_parameters(folder: Path) -> None:
    """The trap of treating isomorphic cells as one: in the standard order about one cell in ten differs."""
    changed = [
        cost(SPACE.network(SPACE.standard(a), CIFAR10)).parameters != row["params"]
        for a, row in rows(folder / "nb101_20k.npz", 60)
    ]
    assert 0 < sum(changed) < len(changed) / 4
