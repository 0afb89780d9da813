"""Recurrent cells of ENAS, NAO, BONAS and DARTS: members, texts, tokens, twins, graphs, networks."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas_core.cost import cost
from nas_core.errors import InvalidArchitecture, InvalidNetwork, InvalidSpace
from nas_core.graph import Graph
from nas_core.network import Network, Task
from nas_core.primitives import StateIn, StateOut
from nas_core.random import rng
from nas_core.space import CAPABILITIES, capabilities
from nas_core.testing import SpaceContract
from nas_spaces.recurrent import ACTIVATIONS, NAMED, Recurrent
from nas_spaces.recurrent_trees import classes as counted

SPACE = Recurrent()
TASK = Task("language", (5,), 100)


class TestRecurrent(SpaceContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_spaces.recurrent:Recurrent"

    @pytest.fixture
    def task(self) -> Task:
        return TASK

    @pytest.fixture
    def network_options(self) -> dict[str, object]:
        return {"hidden": 7}


class TestBonas(TestRecurrent):
    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"nodes": 8, "variable": True}


class TestSmallWithEveryOption(TestRecurrent):
    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"nodes": 4, "variable": True, "first": True, "output": "all"}


class TestFirst(TestRecurrent):
    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"nodes": 3, "first": True}

    @pytest.fixture
    def network_options(self) -> dict[str, object]:
        return {"highway": False}


def test_it_has_every_capability() -> None:
    assert capabilities(SPACE) == {"decisions", *CAPABILITIES}


def test_sizes() -> None:
    assert SPACE.size == math.factorial(11) * 4**11 == 167_423_193_907_200
    assert Recurrent(2, first=True).size == 16
    assert Recurrent(3, variable=True).size == 4 + 32
    assert sum(1 for _ in Recurrent(4, variable=True, first=True).enumerate()) == 4 * (4 + 32 + 384)


def test_nao_writes_twenty_two_tokens_of_sixteen() -> None:
    """Eleven pairs: source i is token i + 1, activations are 12 to 15 in the paper's order."""
    a = SPACE.named("enas")
    assert SPACE.tokens(a) == (
        1, 12, 2, 12, 2, 13, 4, 12, 4, 12, 4, 13, 5, 13, 8, 13, 9, 13, 9, 13, 9, 13,
    )  # fmt: skip
    assert len(SPACE.vocabulary) == 16
    assert SPACE.vocabulary[1] == "node_0"
    assert SPACE.vocabulary[11:] == ("node_10", "tanh", "relu", "identity", "sigmoid")


def test_the_mask_never_admits_token_0() -> None:
    """The published decoder does, at every even position, and 0 becomes source -1."""
    prefix: tuple[int, ...] = ()
    for j in range(1, 12):
        assert SPACE.legal_tokens(prefix) == tuple(range(1, j + 1))
        with pytest.raises(InvalidArchitecture, match=f"token {len(prefix)} may not stand here: 0"):
            SPACE.from_tokens((*prefix, 0))
        prefix = (*prefix, j)
        assert SPACE.legal_tokens(prefix) == (12, 13, 14, 15)
        prefix = (*prefix, 15)
    assert SPACE.legal_tokens(prefix) == ()


def test_cells_of_several_sizes_end_with_token_0() -> None:
    space = Recurrent(nodes=3, variable=True)
    assert space.legal_tokens(()) == (1,)
    assert space.legal_tokens((1, 4)) == (0, 1, 2)
    assert space.legal_tokens((1, 4, 2, 5)) == (0,)
    assert space.legal_tokens((1, 4, 0)) == ()
    a = space.from_tokens((1, 4, 0))
    assert a.values == (2, 0, "relu", None, None)
    assert space.tokens(space.parse("0:tanh 1:sigmoid")) == (1, 3, 2, 6, 0)


def test_published_cells() -> None:
    """Loose ends of ENAS's cell are those that its publication lists; DARTS averages nodes 1 to 8."""
    assert SPACE.outputs(SPACE.named("enas")) == (2, 5, 6, 9, 10, 11)
    darts = Recurrent(nodes=9, output="all")
    for name in ("darts-v1", "darts-v2"):
        assert darts.outputs(darts.named(name)) == tuple(range(1, 9))
        assert darts.text(darts.named(name)) == NAMED[name][2]
    assert Recurrent(9).outputs(Recurrent(9).parse(NAMED["darts-v2"][2])) == (4, 6, 7, 8)
    assert Recurrent(first=True).text(Recurrent(first=True).named("enas")).startswith("tanh 0:tanh 1:tanh")
    assert Recurrent(14, variable=True).named("enas").values[0] == 12


@pytest.mark.parametrize(
    ("space", "name", "message"),
    [
        (SPACE, "nao", "no such cell: 'nao'; expected one of enas"),
        (SPACE, "darts-v2", "none of this space.*expected nodes = 9, output = 'all'"),
        (Recurrent(9), "darts-v2", "none of this space"),
        (Recurrent(11), "enas", "none of this space"),
        (Recurrent(13), "enas", "none of this space"),
    ],
)
def test_cells_of_other_spaces_are_refused(space: Recurrent, name: str, message: str) -> None:
    with pytest.raises(InvalidArchitecture, match=message):
        space.named(name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0:tanh 2:relu", r"node 2 is no source and activation: '2:relu'; expected 0 to 1, a colon"),
        ("0:tanh 0:elu", "node 2 is no source and activation"),
        ("0:tanh  0:relu", "node 2 is no source"),
        ("0:tanh 00:relu", "node 2 is no source"),
        ("0:tanh", "a wrong number of nodes: 2; expected 3"),
        ("0:tanh 0:tanh 0:tanh", "a wrong number of nodes: 4; expected 3"),
        ("", "node 1 is no source"),
        ("0:tanh " * 65, "not the text of a recurrent cell"),
        (None, "not the text of a recurrent cell"),
    ],
)
def test_wrong_texts_are_refused(text: Any, message: str) -> None:
    with pytest.raises(InvalidArchitecture, match=message):
        Recurrent(3).parse(text)


def test_a_wrong_first_activation_is_refused() -> None:
    with pytest.raises(InvalidArchitecture, match="node 0 has no such activation: '0:tanh'"):
        Recurrent(3, first=True).parse("0:tanh 1:relu")
    with pytest.raises(InvalidArchitecture, match="node 0 has no other activation here: 'relu'; expected tanh"):
        Recurrent(3).member("relu", [(0, "tanh"), (0, "tanh")])


@given(st.text(max_size=40) | st.text(alphabet="012:tanhrelu ", max_size=40))
def test_the_parser_gives_a_member_or_invalid_architecture(text: str) -> None:
    space = Recurrent(3, variable=True)
    try:
        a = space.parse(text)
    except InvalidArchitecture:
        return
    assert space.text(a) == text
    assert space.canonical(a.values) == a


def tree(space: Recurrent, a: Any) -> nx.DiGraph:
    """The tree of a member, by networkx alone."""
    first, nodes = space.cell(a)
    graph = nx.DiGraph()
    graph.add_node(0, f=first)
    for j, (source, f) in enumerate(nodes, start=1):
        graph.add_node(j, f=f)
        graph.add_edge(source, j)
    return graph


@pytest.mark.parametrize(
    ("nodes", "first", "classes"), [(2, False, 4), (3, False, 26), (4, False, 188), (3, True, 104), (5, False, 1499)]
)
def test_classes_of_twins_by_brute_force(nodes: int, first: bool, classes: int) -> None:
    """For B = 3: ten pairs of activations at node 0, and sixteen chains."""
    space = Recurrent(nodes, first=first)
    members = list(space.enumerate())
    keys = [space.twin_key(a) for a in members]
    assert space.classes == classes == len(set(keys))
    if nodes < 5:
        representatives: list[tuple[nx.DiGraph, str]] = []
        for a, key in zip(members, keys, strict=True):
            own = tree(space, a)
            same = [k for other, k in representatives if nx.is_isomorphic(own, other, dict.__eq__)]
            assert same in ([], [key])
            if not same:
                representatives.append((own, key))
        assert len(representatives) == classes


def test_more_classes_by_the_formula() -> None:
    assert SPACE.classes == 8_244_075_700
    assert Recurrent(5, variable=True).classes == 4 + 26 + 188 + 1499
    # one activation each would leave the rooted trees of Otter: 1, 1, 2, 4, 9, 20, 48, 115, 286, 719
    assert [counted(n, 1, False) for n in range(1, 11)] == [1, 1, 2, 4, 9, 20, 48, 115, 286, 719]


def test_exchanged_numbers_reach_exactly_the_twins() -> None:
    space = Recurrent(4)
    members = list(space.enumerate())
    for a in members[::7]:
        reached, frontier = {a}, [a]
        while frontier:
            for b in space.symmetric_twins(frontier.pop()):
                if b not in reached:
                    reached.add(b)
                    frontier.append(b)
        assert reached == {b for b in members if space.twin_key(b) == space.twin_key(a)}


def test_symmetric_twins_by_hand() -> None:
    space = Recurrent(4)
    assert [space.text(b) for b in space.symmetric_twins(space.parse("0:tanh 0:relu 2:sigmoid"))] == [
        "0:relu 0:tanh 1:sigmoid"
    ]
    assert space.symmetric_twins(space.parse("0:tanh 1:relu 2:relu")) == []


def test_neighbours_of_cells_of_several_sizes() -> None:
    space = Recurrent(3, variable=True)
    found = {space.text(b) for b in space.neighbors(space.parse("0:tanh"))}
    assert found == {
        "0:relu", "0:identity", "0:sigmoid", *(f"0:tanh {i}:{f}" for i, f in product(range(2), ACTIVATIONS)),
    }  # fmt: skip
    found = {space.text(b) for b in space.neighbors(space.parse("0:tanh 0:relu"))}
    assert {"0:tanh", "0:relu", "0:tanh 1:relu"} <= found
    assert len(found) == 3 + 1 + 3 + 2
    assert "0:relu" not in {space.text(b) for b in space.neighbors(space.parse("0:tanh 1:relu"))}


def test_the_graph_by_hand() -> None:
    space = Recurrent(4)
    graph = space.graphs(space.parse("0:relu 0:sigmoid 2:tanh"))["cell"]
    assert graph.labels == ("x", "h_prev", "tanh", "relu", "sigmoid", "tanh", "output")
    assert graph.edges == ((0, 2), (1, 2), (2, 3), (2, 4), (4, 5), (3, 6), (5, 6))


@pytest.mark.parametrize(
    ("labels", "edges", "ports", "message"),
    [
        (("x", "h_prev", "output"), ((0, 2),), None, "not the graph of a recurrent cell"),
        (("x", "tanh", "tanh", "output"), ((0, 1), (1, 2), (2, 3)), None, "not the graph of a recurrent cell"),
        (("x", "h_prev", "tanh", "relu", "output"), ((0, 2), (1, 2), (1, 3), (2, 4)), None, "read one other node"),
        (("x", "h_prev", "tanh", "relu", "output"), ((0, 2), (1, 2), (2, 3), (2, 4)), None, "not the wiring"),
        (("x", "h_prev", "tanh", "relu", "output"), ((0, 2), (1, 2), (2, 3), (3, 4)), (0,) * 4, "not the wiring"),
        (("x", "h_prev", "tanh", "output"), ((0, 2), (1, 2), (2, 3)), None, "wrong number of nodes: 1; expected 2"),
        (("x", "h_prev", "relu", "relu", "output"), ((0, 2), (1, 2), (2, 3), (3, 4)), None, "no other activation here"),
    ],
)
def test_other_graphs_are_refused(labels: Any, edges: Any, ports: Any, message: str) -> None:
    with pytest.raises(InvalidArchitecture, match=message):
        Recurrent(2).from_graphs({"cell": Graph(labels, edges, ports)})


def one_step(network: Network, x: float, h: float) -> tuple[float, float]:
    """A network of width 1 whose weights are 1, 2, 3, … in order, by a reader of its own: (output, new state)."""
    values: list[Any] = []
    new = math.nan
    weight = 0
    activations = {"tanh": math.tanh, "relu": lambda z: max(z, 0.0), "sigmoid": lambda z: 1 / (1 + math.exp(-z))}
    for _, primitive, inputs in network.nodes:
        read = [values[i] for i in inputs]
        value: Any
        match type(primitive).__name__:
            case "Input":
                value = (x,)
            case "StateIn":
                value = (h,)
            case "Concatenation":
                value = (*read[0], *read[1])
            case "Linear":
                value = ()
                for _ in range(primitive.out_features):  # type: ignore[attr-defined]
                    weight += 1
                    value = (*value, weight * sum(read[0]))
            case "ChannelSlice":
                value = read[0][primitive.start : primitive.stop]  # type: ignore[attr-defined]
            case "Activation":
                value = (activations[primitive.kind](read[0][0]),)  # type: ignore[attr-defined]
            case "Multiply":
                value = (read[0][0] * read[1][0],)
            case "Complement":
                value = (1 - read[0][0],)
            case "Add":
                value = (read[0][0] + read[1][0],)
            case "Mean":
                value = (sum(r[0] for r in read) / len(read),)
            case _:
                assert isinstance(primitive, StateOut)
                value = read[0]
                new = value[0]
        values.append(value)
    return values[network.outputs[0][1]][0], new


def test_a_step_with_gates_by_hand() -> None:
    """Two loose ends, nodes 1 and 2, that read node 0."""
    space, x, h = Recurrent(3), 0.3, -0.5

    def sigmoid(z: float) -> float:
        return 1 / (1 + math.exp(-z))

    joined = x + h
    s0 = sigmoid(joined) * math.tanh(2 * joined) + (1 - sigmoid(joined)) * h
    s1 = sigmoid(3 * s0) * 4 * s0 + (1 - sigmoid(3 * s0)) * s0
    s2 = sigmoid(5 * s0) * max(6 * s0, 0) + (1 - sigmoid(5 * s0)) * s0
    network = space.network(space.parse("0:identity 0:relu"), Task("language", (1,), 10))
    assert one_step(network, x, h) == pytest.approx(((s1 + s2) / 2,) * 2)


def test_a_step_without_gates_by_hand() -> None:
    space, x, h = Recurrent(3, output="all"), 0.3, -0.1
    s0 = math.tanh(x + h)
    s1 = 1 / (1 + math.exp(-2 * s0))
    s2 = max(3 * s1, 0)
    network = space.network(space.parse("0:sigmoid 1:relu"), Task("language", (1,), 10), highway=False)
    assert one_step(network, x, h) == pytest.approx(((s1 + s2) / 2,) * 2)


def test_costs_by_hand() -> None:
    """Matrices of (5 + 7) x 14 and, eleven times, 7 x 14; without gates of half the width."""
    for a in SPACE.sample(rng(1), 5):
        found = cost(SPACE.network(a, TASK, hidden=7))
        assert found.parameters == found.multiply_adds == 12 * 14 + 11 * 7 * 14
        assert cost(SPACE.network(a, TASK, hidden=7, highway=False)).parameters == 12 * 7 + 11 * 7 * 7


def test_a_network_has_one_state() -> None:
    network = SPACE.network(SPACE.named("enas"), TASK, hidden=7)
    assert [n.primitive for n in network.nodes if isinstance(n.primitive, StateIn)] == [StateIn("h_0", (7,))]
    [(name, i)] = network.outputs
    assert (name, network.shapes[i]) == ("hidden", (7,))


def test_cells_share_parameters_where_they_agree_on_a_pair() -> None:
    space = Recurrent(3)
    names = [
        {name for name, _ in space.network(space.parse(text), TASK).parameters()}
        for text in ("0:tanh 0:relu", "0:relu 1:relu")
    ]
    assert names[0] & names[1] == {"node_0.linear.weight", "node_1.from_0.linear.weight"}


def test_other_tasks_and_options_are_refused() -> None:
    a = SPACE.named("enas")
    with pytest.raises(InvalidNetwork, match="a recurrent cell is for language"):
        SPACE.network(a, Task("classification", (3, 8, 8), 10))
    with pytest.raises(InvalidNetwork, match="hidden cannot be set"):
        SPACE.network(a, TASK, hidden=0)
    with pytest.raises(InvalidNetwork, match="highway cannot be set: 1"):
        SPACE.network(a, TASK, highway=1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nodes": 1}, "nodes cannot be set: 1; expected a whole number from 2 to 64"),
        ({"nodes": 65}, "nodes cannot be set"),
        ({"nodes": True}, "nodes cannot be set"),
        ({"variable": 1}, "variable cannot be set"),
        ({"first": "tanh"}, "first cannot be set"),
        ({"output": "mean"}, "output cannot be set: 'mean'; expected loose or all"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSpace, match=message):
        Recurrent(**options)
