"""Concatenations taken apart: one shape for each name in all members, what stays the same, and what cannot be split."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas_core.architecture import Architecture
from nas_core.cost import cost
from nas_core.errors import InvalidNetwork
from nas_core.network import Network, NetworkBuilder, Task
from nas_core.primitives import (
    Activation,
    AdaptivePooling,
    Add,
    Concatenation,
    Convolution,
    Crop,
    Flatten,
    Linear,
    Normalisation,
    Pad,
)
from nas_core.random import rng
from nas_spaces.nao_cnn import NAOCNN
from nas_spaces.split_concatenations import split

TASK = Task("classification", (3, 8, 8), 5)
SIZES: dict[str, Any] = {"channels": 4, "cells": 1, "auxiliary": True}
SPACES = {"nao": NAOCNN(), "enas": NAOCNN("enas")}
NARROW, WIDE = (
    "node-2 identity node-1 identity" + "".join(f", node{j} identity node-1 identity" for j in range(1, 5)),
    ", ".join(["node-2 identity node-1 identity"] * 5),
)
"""One loose node, and five."""


def networks(space: NAOCNN, member: Architecture) -> tuple[Network, Network]:
    """The network of a member as it is trained alone, and as it is shared."""
    alone = space.network(member, TASK, **SIZES)
    return alone, space.network(member, TASK, **SIZES, shared=True)


@pytest.mark.parametrize("operations", sorted(SPACES))
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_any_two_members_give_equal_shapes_under_equal_names(operations: str, data: st.DataObject) -> None:
    space = SPACES[operations]
    values = st.tuples(*(st.sampled_from(decision.choices) for decision in space.decisions))
    one, other = (dict(networks(space, space.canonical(data.draw(values)))[1].parameters()) for _ in range(2))
    common = one.keys() & other.keys()
    assert "stem.conv.weight" in common
    assert {name: one[name] for name in common} == {name: other[name] for name in common}


def test_members_do_not_share_as_they_are_trained_alone() -> None:
    """Why the other form is there: one loose node in a cell or five make the kernels behind it 1 or 5 nodes wide."""
    space = SPACES["enas"]
    narrow, wide = (dict(networks(space, space.parse(f"{cell}; {cell}"))[0].parameters()) for cell in (NARROW, WIDE))
    assert (narrow["cell1.input1.conv.weight"], wide["cell1.input1.conv.weight"]) == ((8, 4, 1, 1), (8, 20, 1, 1))


def test_the_costs_stay_but_for_biases_of_the_head() -> None:
    """Slices have as many numbers as the whole; both linear maps have a bias (of 5) for each loose node."""
    space = SPACES["nao"]
    for member in space.sample(rng(0, "costs"), 20):
        alone, shared = map(cost, networks(space, member))
        assert alone.multiply_adds == shared.multiply_adds
        more = shared.parameters - alone.parameters
        assert more % 5 == 0
        assert 0 <= more <= 4 * 5
    _, shared = networks(space, space.parse("; ".join([_words(WIDE)] * 2)))
    alone, _ = networks(space, space.parse("; ".join([_words(WIDE)] * 2)))
    assert cost(shared).parameters - cost(alone).parameters == 4 * 5


def _words(cell: str) -> str:
    return cell.replace("identity", "identity 1x1")


def test_kernels_are_named_by_the_node_that_they_read() -> None:
    space = SPACES["enas"]
    _, shared = networks(space, space.parse(f"{NARROW}; {WIDE}"))
    shapes = dict(shared.parameters())
    assert shapes["cell1.input1.conv.node6.weight"] == (8, 4, 1, 1)  # the one loose node of a normal cell
    assert not [name for name in shapes if name.startswith("cell1.input1.conv.node5")]
    assert [shapes[f"cell2.input1.conv.node{j}.weight"] for j in range(2, 7)] == [(8, 8, 1, 1)] * 5
    assert [shapes[f"cell3.input0.conv.node{j}.weight"] for j in range(2, 7)] == [(16, 8, 1, 1)] * 5
    assert [shapes[f"cell2.input0.{half}.node6.weight"] for half in ("even", "odd")] == [(4, 4, 1, 1)] * 2
    assert shapes["cell0.input1.conv.weight"] == (4, 12, 1, 1)  # the stem's output has one width anyway
    assert not [node for node in shared.nodes if node.name.endswith(".concat")]


def test_what_is_left_out_stays_left_out() -> None:
    """Normal cells that read c_{k-2} alone: reduction cells have no readers, whole or apart."""
    space = SPACES["enas"]
    blind = ", ".join(["node-2 sep_conv_3x3 node-2 identity"] * 5)
    network = space.network(space.parse(f"{blind}; {NARROW}"), TASK, channels=4, cells=1, shared=True)
    assert {node.name.split(".")[0] for node in network.nodes} == {"input", "stem", "cell0", "cell2", "cell4", "head"}
    assert network.pruned() == network


def test_an_option_that_is_no_flag_is_told() -> None:
    space = SPACES["enas"]
    with pytest.raises(InvalidNetwork, match="shared cannot be set: 1"):
        space.network(space.parse(f"{NARROW}; {WIDE}"), TASK, shared=1)  # type: ignore[arg-type]


# --- any network ---


def joined(*primitives: Any) -> Network:
    """Two convolutions side by side, then primitives in a row, then what classifies."""
    b = NetworkBuilder(TASK)
    x = b.input()
    ends = []
    for i in (0, 1):
        with b.scope(f"part{i}"):
            ends.append(b.add("conv", Convolution(2 + i, (1, 1)), x))
    x = b.add("joined", Concatenation(), *ends)
    for i, primitive in enumerate(primitives):
        x = b.add(f"then{i}", primitive, x)
    return b.network(logits=x)


def test_channel_by_channel_up_to_the_next_linear_map() -> None:
    network = joined(Activation("relu"), Pad((1, 1, 1, 1)), Crop(1, 1), AdaptivePooling((2, 2)), Flatten(), Linear(5))
    apart = split(network, "joined")
    assert [node.name for node in apart.nodes][3:5] == ["then0.part0", "then0.part1"]
    linear = {name: shape for name, shape in apart.parameters() if name.startswith("then5")}
    assert linear == {
        "then5.part0.weight": (5, 8), "then5.part0.bias": (5,), "then5.part1.weight": (5, 12), "then5.part1.bias": (5,),
    }  # fmt: skip
    assert apart.nodes[-1].name == "then5.sum"
    assert apart.nodes[-1].primitive == Add()
    assert split(network, "other") == network


@pytest.mark.parametrize(
    ("primitives", "message"),
    [
        ((Normalisation(),), "read by this node cannot be taken apart: 'then0'"),
        ((Activation("relu"), Convolution(5, (1, 1), groups=5)), "read by this node cannot be taken apart: 'then1'"),
        ((Activation("relu"),), "an output of a network is a concatenation that is taken apart: 'logits'"),
    ],
)
def test_what_cannot_be_taken_apart_is_told(primitives: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InvalidNetwork, match=message):
        split(joined(*primitives), "joined")
