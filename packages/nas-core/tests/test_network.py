"""Networks: growing one, names, shapes, plain data and pruning."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nas_core.errors import InvalidNetwork
from nas_core.network import Network, NetworkBuilder, Node, Task
from nas_core.primitives import (
    Activation,
    AdaptivePooling,
    Add,
    Convolution,
    Flatten,
    Identity,
    Input,
    Linear,
    Normalisation,
    StateIn,
    StateOut,
    Zero,
)

TASK = Task("classification", (3, 8, 8), 10)
WORDS = Task("language", (5,), 100)


def residual() -> Network:
    """A stem, a residual connection, a dead branch and a classifier; one auxiliary output."""
    b = NetworkBuilder(TASK)
    x = b.input()
    with b.scope("stem"):
        x = b.add("conv", Convolution(4, (3, 3), padding=(1, 1)), x)
        with b.scope("deep"):
            x = b.add("norm", Normalisation(), x)
    y = b.add("relu", Activation("relu"), x)
    b.add("dead", Convolution(9, (1, 1)), y)
    x = b.add("sum", Add(), x, y)
    x = b.add("flat", Flatten(), b.add("pool", AdaptivePooling((1, 1)), x))
    return b.network(logits=b.add("linear", Linear(10), x), auxiliary=y)


def step() -> Network:
    """One step of a recurrent cell: h' = tanh(W x) + h."""
    b = NetworkBuilder(WORDS)
    x = b.input()
    h = b.add("h", StateIn("h", (6,)))
    unused = b.add("c", StateIn("c", (6,)))
    x = b.add("map", Linear(6), x)
    new = b.add("sum", Add(), b.add("tanh", Activation("tanh"), x), h)
    b.add("h_out", StateOut("h"), new)
    b.add("c_out", StateOut("c"), b.add("keep", Linear(6), unused))
    return b.network(logits=b.add("decode", Linear(100), new))


def test_a_builder_knows_shapes_and_names() -> None:
    network = residual()
    assert [(node.name, shape) for node, shape in zip(network.nodes, network.shapes, strict=True)] == [
        ("input", (3, 8, 8)),
        ("stem.conv", (4, 8, 8)),
        ("stem.deep.norm", (4, 8, 8)),
        ("relu", (4, 8, 8)),
        ("dead", (9, 8, 8)),
        ("sum", (4, 8, 8)),
        ("pool", (4, 1, 1)),
        ("flat", (4,)),
        ("linear", (10,)),
    ]
    assert network.outputs == (("logits", 8), ("auxiliary", 3))


def test_shapes_are_inferred_again_without_the_builder() -> None:
    network = residual()
    assert Network(network.task, network.nodes, network.outputs).shapes == network.shapes


def test_parameters_are_named_by_position() -> None:
    assert list(residual().parameters()) == [
        ("stem.conv.weight", (4, 3, 3, 3)),
        ("stem.deep.norm.weight", (4,)),
        ("stem.deep.norm.bias", (4,)),
        ("dead.weight", (9, 4, 1, 1)),
        ("linear.weight", (10, 4)),
        ("linear.bias", (10,)),
    ]


def test_a_scope_ends_after_an_error_too() -> None:
    b = NetworkBuilder(TASK)
    with pytest.raises(ZeroDivisionError), b.scope("stem"):
        raise ZeroDivisionError
    b.input()
    assert b.network(logits=0).nodes[0].name == "input"


@pytest.mark.parametrize("network", [residual(), step()], ids=["residual", "step"])
def test_configs_round_trip_through_json(network: Network) -> None:
    again = Network.from_config(json.loads(json.dumps(network.to_config())))
    assert again == network
    assert again.shapes == network.shapes


def test_pruning_takes_dead_nodes_only() -> None:
    network, pruned = residual(), residual().pruned()
    assert [node.name for node in pruned.nodes] == [node.name for node in network.nodes if node.name != "dead"]
    assert [(name, pruned.nodes[i].name) for name, i in pruned.outputs] == [("logits", "linear"), ("auxiliary", "relu")]
    assert pruned.shapes == tuple(s for s, node in zip(network.shapes, network.nodes, strict=True) if node[0] != "dead")
    assert pruned.pruned() == pruned


def test_pruning_keeps_states_and_inputs() -> None:
    assert step().pruned() == step()
    b = NetworkBuilder(TASK)
    b.input()
    other = b.add("constant", Input((2,)))
    network = b.network(logits=b.add("linear", Linear(10), other))
    assert [node.name for node in network.pruned().nodes] == ["input", "constant", "linear"]


def test_an_error_of_shapes_names_the_node() -> None:
    b = NetworkBuilder(TASK)
    x = b.input()
    with b.scope("cell0"):
        reduced = b.add("zero", Zero(2), x)
        with pytest.raises(InvalidNetwork, match=r"needs inputs of one shape.*\(in node 'cell0.sum'\)"):
            b.add("sum", Add(), x, reduced)
    nodes = (Node("input", Input((3, 8, 8)), ()), Node("zero", Zero(2), (0,)), Node("cell0.sum", Add(), (0, 1)))
    with pytest.raises(InvalidNetwork, match=r"\(in node 'cell0.sum'\)"):
        _ = Network(TASK, nodes, (("logits", 2),)).shapes


INPUT = Node("input", Input((3, 8, 8)), ())


@pytest.mark.parametrize(
    ("nodes", "outputs", "message"),
    [
        ((INPUT, INPUT), (("logits", 0),), "two nodes with one name: 'input'"),
        ((INPUT, Node("a", Identity(), (1,))), (("logits", 0),), "node 'a' reads a node that is not before it"),
        ((INPUT, Node("a", Identity(), (-1,))), (("logits", 0),), "node 'a' reads a node that is not before it"),
        ((INPUT,), (), "a network needs outputs among its nodes"),
        ((INPUT,), (("logits", 1),), "a network needs outputs among its nodes"),
    ],
)
def test_contradictions_are_refused(nodes: Any, outputs: Any, message: str) -> None:
    with pytest.raises(InvalidNetwork, match=message):
        Network(TASK, nodes, outputs)


@pytest.mark.parametrize(
    ("kind", "shape", "classes", "message"),
    [
        ("regression", (3, 8, 8), 10, "no such task: 'regression'"),
        ("classification", (8,), 10, "a wrong input shape for classification"),
        ("classification", (3, 0, 8), 10, "a wrong input shape"),
        ("language", (3, 8, 8), 10, "a wrong input shape for language"),
        ("classification", (3, 8, 8), 1, "at least two classes: 1"),
    ],
)
def test_tasks_that_make_no_sense_are_refused(kind: str, shape: Any, classes: int, message: str) -> None:
    with pytest.raises(InvalidNetwork, match=message):
        Task(kind, shape, classes)


def test_the_smallest_tasks() -> None:
    assert Task("classification", (1, 1, 1), 2).to_config() == {
        "kind": "classification",
        "input_shape": [1, 1, 1],
        "classes": 2,
    }
    assert Task("language", [5], 2).input_shape == (5,)  # type: ignore[arg-type]


def damaged(**changes: Any) -> dict[str, Any]:
    return {**residual().to_config(), **changes}


@pytest.mark.parametrize(
    "config",
    [
        {},
        damaged(task={"kind": "classification"}),
        damaged(task=None),
        damaged(nodes=[["input"]]),
        damaged(nodes=[["input", {"primitive": "Nothing"}, []]]),
        damaged(nodes=[["input", "Add", []]]),
        damaged(nodes=[["input", {"primitive": "Input", "size": [3]}, ["x"]]]),
        damaged(outputs=[["logits", "last"]]),
        damaged(outputs=[["logits", 99]]),
        [],
    ],
)
def test_data_of_no_network_are_refused(config: Any) -> None:
    with pytest.raises(InvalidNetwork):
        Network.from_config(config)
