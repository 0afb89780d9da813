"""Declared graphs of cells: against packaged spaces, both ways, and what is wrong with a declaration."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas_core.errors import InvalidArchitecture, InvalidSpace
from nas_core.graph import Graph
from nas_core.random import rng
from nas_core.space import HasGraphs, HasTwins, capabilities
from nas_core.testing import SpaceContract
from nas_spaces.declared import DeclaredSpace
from nas_spaces.nasbench101 import OPERATIONS as NB101_OPERATIONS
from nas_spaces.nasbench101 import NASBench101
from nas_spaces.nasbench201 import EDGES, OPERATIONS, NASBench201

NODES = ("input", "a", "b", "output")


def nb201() -> dict[str, Any]:
    """NAS-Bench-201: a decision on every edge."""
    edges = [{"from": NODES[s], "to": NODES[t], "decision": f"edge{t}_{s}"} for t, s in EDGES]
    return {
        "decisions": {edge["decision"]: list(OPERATIONS) for edge in edges},
        "title": "own201",
        "graphs": {"cell": {"inputs": ["input"], "outputs": ["output"], "nodes": ["a", "b"], "edges": edges}},
        "identities": ["skip_connect"],
        "zeros": ["none"],
    }


def nb101() -> dict[str, Any]:
    """NAS-Bench-101: a decision on every node, and edges that can be absent."""
    packaged = NASBench101().decisions
    pairs = [(source, target) for source, target in combinations(range(7), 2)]
    names = ["input", *(f"n{i}" for i in range(1, 6)), "output"]
    nodes = [{"name": names[i], "decision": f"op{i}"} for i in range(1, 6)]
    edges = [{"from": names[s], "to": names[t], "if": f"edge{s}_{t}"} for s, t in pairs]
    assert len(packaged) == len(pairs) + len(nodes)
    return {
        "decisions": {edge["if"]: [0, 1] for edge in edges}
        | {node["decision"]: list(NB101_OPERATIONS) for node in nodes},
        "title": "own101",
        "graphs": {"cell": {"inputs": ["input"], "outputs": ["output"], "nodes": nodes, "edges": edges}},
    }


def mixed() -> dict[str, Any]:
    """Two graphs that share decisions: fixed labels, a sum, an operation that can be absent, two kinds of yes."""
    normal = {
        "inputs": ["x", "h"],
        "outputs": ["y"],
        "nodes": ["sum", {"name": "a", "decision": "a"}, {"name": "b", "label": "relu"}],
        "edges": [
            {"from": "x", "to": "sum", "decision": "a"},
            {"from": "h", "to": "sum", "label": "conv", "if": "h"},
            {"from": "sum", "to": "a"},
            {"from": "sum", "to": "b", "if": "b"},
            {"from": "a", "to": "b", "label": "skip"},
            {"from": "b", "to": "y"},
            {"from": "h", "to": "y", "if": "b"},
        ],
    }
    reduction = {
        "inputs": ["x"],
        "outputs": ["y"],
        "nodes": [{"name": "a", "decision": "c"}, {"name": "b", "decision": "c"}],
        "edges": [
            {"from": "x", "to": "a"},
            {"from": "x", "to": "b", "if": "b"},
            {"from": "a", "to": "y", "if": "h"},
            {"from": "b", "to": "y"},
        ],
    }
    return {
        "decisions": {"a": ["conv", "skip"], "h": ["no", "yes"], "b": [True, False], "c": ["max", "mean"]},
        "title": "mixed",
        "graphs": {"normal": normal, "reduction": reduction},
        "identities": ["skip"],
    }


class Declared(SpaceContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_spaces.declared:DeclaredSpace"


class TestOperationsOnEdges(Declared):
    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return nb201()


class TestOperationsOnNodes(Declared):
    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return nb101()

    @pytest.fixture
    def most_listed(self) -> int:
        return 50


class TestTwoGraphs(Declared):
    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return mixed()


def test_nasbench201_declared_has_the_graphs_of_the_packaged_space() -> None:
    space, packaged = DeclaredSpace(**nb201()), NASBench201()
    assert (space.graph_labels, space.most_nodes) == (packaged.graph_labels, packaged.most_nodes)
    assert (space.graph_identities, space.graph_zeros) == (packaged.graph_identities, packaged.graph_zeros)
    for a in packaged.sample(rng(0, "declared"), 300):
        own = space.canonical(a.values)
        assert space.graph_key(own) == packaged.graph_key(a)
        assert space.from_graphs(packaged.graphs(a)) == own


def test_nasbench101_declared_has_the_graphs_of_the_packaged_space() -> None:
    """The packaged space moves the output of smaller cells forward; here the nodes between are left out."""
    space, packaged = DeclaredSpace(**nb101()), NASBench101()
    smaller = 0
    for a in packaged.sample(rng(0, "declared"), 100):
        key = packaged.graphs(a)["cell"].key()
        assert space.graph_key(space.from_graphs(packaged.graphs(a))) == key
        if None in a.values:
            smaller += 1
        else:
            assert space.graph_key(space.canonical(a.values)) == key
    assert 1 <= smaller <= 99  # 15 % of the draws: all or none has odds below 1e-6


def test_two_graphs_by_hand() -> None:
    space = DeclaredSpace(**mixed())
    assert space.graph_labels == ("x", "h", "conv", "skip", "relu", "y", "max", "mean")
    full = space.graphs(space.canonical(["conv", "yes", True, "max"]))
    # x, h, [x to sum], [h to sum], a, [a to b], b, y
    assert full["normal"] == Graph(
        ("x", "h", "conv", "conv", "conv", "skip", "relu", "y"),
        ((0, 2), (1, 3), (2, 4), (3, 4), (4, 5), (5, 6), (2, 6), (3, 6), (6, 7), (1, 7)),
    )
    assert full["reduction"] == Graph(("x", "max", "max", "y"), ((0, 1), (0, 2), (1, 3), (2, 3)))
    least = space.graphs(space.canonical(["skip", "no", False, "mean"]))
    # h leads nowhere but is an input; of the reduction cell no path is left
    assert least["normal"] == Graph(
        ("x", "h", "skip", "skip", "skip", "relu", "y"), ((0, 2), (2, 3), (3, 4), (4, 5), (5, 6))
    )
    assert least["reduction"] == Graph(("x", "y"), ())


def test_all_members_of_two_graphs_come_back_up_to_isomorphism() -> None:
    space = DeclaredSpace(**mixed())
    keys = set()
    for a in space.enumerate():
        again = space.from_graphs(space.graphs(a))
        assert space.graph_key(again) == space.graph_key(a)
        keys.add(space.graph_key(a))
    assert len(keys) == 2 * 2 * 2 * 2 - 2  # without an edge into or out of the reduction cell, "c" is not seen


@st.composite
def random_cells(draw: st.DrawFn) -> dict[str, Any]:
    """A random sound declaration: a chain from input to output through all nodes, and more edges."""
    inner = [f"n{i}" for i in range(draw(st.integers(1, 4)))]
    labels = {name: draw(st.sampled_from(["none", "label", "decision"])) for name in inner}
    decisions: dict[str, list[Any]] = {}
    nodes: list[Any] = []
    for name in inner:
        if labels[name] == "decision":
            decisions[name] = ["p", "q"]
        part = {"none": {}, "label": {"label": "p"}, "decision": {"decision": name}}[labels[name]]
        nodes.append({"name": name, **part})
    order = ["in", *inner, "out"]
    edges = []
    for i, j in combinations(range(len(order)), 2):
        if j > i + 1 and not draw(st.booleans()):
            continue
        edge: dict[str, Any] = {"from": order[i], "to": order[j]}
        if labels.get(order[j]) == "none" or draw(st.booleans()):
            edge["decision"] = f"e{i}{j}"
            decisions[f"e{i}{j}"] = ["p", "r"]
        if draw(st.booleans()):
            switch = draw(st.sampled_from(["s0", "s1", f"s{i}{j}"]))
            edge["if"] = switch
            decisions[switch] = [False, True]
        edges.append(edge)
    if not decisions:
        edges[0]["decision"], decisions = "e", {"e": ["p", "q"]}
        if labels.get(order[1]) == "none":
            edges[0].pop("label", None)
    return {
        "decisions": decisions,
        "graphs": {"g": {"inputs": ["in"], "outputs": ["out"], "nodes": nodes, "edges": edges}},
    }


@settings(deadline=None, max_examples=60)
@given(random_cells(), st.integers(0, 9))
def test_random_declarations_come_back(declaration: dict[str, Any], seed: int) -> None:
    space = DeclaredSpace(**declaration)
    again = DeclaredSpace(**{key: value for key, value in space.to_config().items() if key != "name"})
    for a in space.sample(rng(seed, "member"), 3):
        [graph] = space.graphs(a).values()
        assert again.graphs(a) == space.graphs(a)
        member = space.from_graphs({"g": graph})
        assert space.graph_key(member) == graph.key()
        assert sum(label == "in" for label in graph.labels) == sum(label == "out" for label in graph.labels) == 1
        for node in range(len(graph.labels)):  # whatever else is there is on a path
            assert graph.labels[node] in ("in", "out") or (graph.sources(node) and graph.targets(node))


def test_without_graphs_there_is_no_such_view() -> None:
    plain = DeclaredSpace({"a": ["x", "y"]})
    assert not isinstance(plain, HasGraphs)
    assert capabilities(plain) == {"decisions", "enumerate"}
    assert "graphs" not in plain.to_config()
    drawn = DeclaredSpace(**nb201())
    assert capabilities(drawn) == {"decisions", "enumerate", "graphs"}
    assert not isinstance(drawn, HasTwins)


def test_a_graph_that_no_member_has_is_refused() -> None:
    space = DeclaredSpace(**nb201())
    cell = space.graphs(next(space.enumerate()))["cell"]
    wrong = [
        Graph(cell.labels, cell.edges[1:]),
        Graph(cell.labels, cell.edges, tuple(range(len(cell.edges)))),
        Graph(("input", "output"), ((0, 1),)),
        Graph((*cell.labels[:-1], "input"), cell.edges),
        Graph(("input", "no", *cell.labels[2:]), cell.edges),
    ]
    for graph in wrong:
        with pytest.raises(InvalidArchitecture, match="no member of own201 has these graphs"):
            space.from_graphs({"cell": graph})


def broken() -> Iterator[tuple[str, dict[str, Any], str]]:
    """Declarations with one fault each, and what is said of them."""

    def cell(**parts: Any) -> dict[str, Any]:
        given = copy.deepcopy(nb201())
        given["graphs"]["cell"].update(parts)
        return given

    edges = nb201()["graphs"]["cell"]["edges"]
    yield (
        "decision",
        cell(edges=[*edges[:-1], {**edges[-1], "decision": "edge9"}]),
        "names an unknown decision: 'edge9'",
    )
    yield "if", cell(edges=[*edges[:-1], {**edges[-1], "if": "edge3_1"}]), "cannot depend on the decision 'edge3_1'"
    yield "node", cell(edges=[*edges, {"from": "c", "to": "output"}]), "unknown node: 'c'"
    yield "cycle", cell(edges=[*edges, {"from": "b", "to": "a", "label": "x"}]), "form a cycle"
    yield "loop", cell(edges=[*edges, {"from": "b", "to": "b", "label": "x"}]), "form a cycle"
    yield "dead", cell(nodes=["a", "b", "c"]), "no path from an input to an output goes through the node 'c'"
    yield "end", cell(edges=[*edges, {"from": "output", "to": "a", "label": "x"}]), "to an input or from an output"
    yield "twice", cell(nodes=["a", "b", "a"]), "declared twice: 'a'"
    yield "sum", cell(edges=[*edges, {"from": "input", "to": "b"}]), "has no label, and neither has 'b'"
    yield "double", cell(edges=[*edges, *[{"from": "a", "to": "output"}] * 2]), "without a label is declared twice"
    yield "both", cell(edges=[{**edges[0], "label": "x"}, *edges[1:]]), "has two labels"
    yield "text", cell(edges=[{"from": "input", "to": "a", "label": 3}, *edges[1:]]), "must be a text: 3"
    yield "key", cell(edgs=[]), "an unknown key: 'edgs'"
    yield "part", cell(edges=[{**edges[0], "op": "x"}, *edges[1:]]), "an unknown key: 'op'"
    yield "list", cell(edges="input"), "'edges' must be a list: 'input'"
    yield "none", cell(inputs=[]), "'inputs' must be a list"
    yield "object", cell(edges=[["input", "a"]]), "must be an object"
    yield "unread", cell(edges=[*edges[:3], *edges[4:]]), "stands in no graph, so .*: 'edge3_0'"
    yield "label", nb201() | {"zeros": ["nothing"]}, "'zeros' names a label that no graph has: 'nothing'"
    yield "labels", nb201() | {"identities": "none"}, "'identities' must be a list"
    yield "graph", nb201() | {"graphs": {"cell": []}}, "a graph must be an object"
    yield "graphs", nb201() | {"graphs": []}, "graphs must be declared by name"
    yield "without", {"decisions": {"a": ["x"]}, "zeros": ["x"]}, "expected declared graphs"
    for name, choices, kind in (
        ("real", {"kind": "real", "low": 0.0, "high": 1.0}, "real"),
        ("integer", {"kind": "integer", "low": 0, "high": 1}, "integer"),
        ("number", [3, 5], "categorical"),
    ):
        given = nb201()
        given["decisions"]["edge1_0"] = choices
        yield name, given, f"cannot be labelled by the {kind} decision 'edge1_0'"


@pytest.mark.parametrize(("declaration", "message"), [pytest.param(*rest, id=name) for name, *rest in broken()])
def test_a_wrong_declaration_is_told(declaration: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSpace, match=message):
        DeclaredSpace(**declaration)
