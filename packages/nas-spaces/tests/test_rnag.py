"""RNAG: members and texts, wirings, the reference generator, and widths within a limit of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas_core.cost import cost
from nas_core.errors import InvalidArchitecture, InvalidNetwork
from nas_core.graph import Graph
from nas_core.network import Network, Task
from nas_core.primitives import Convolution, Mean, WeightedSum
from nas_core.random import rng
from nas_core.space import HasWirings, capabilities
from nas_core.testing import SpaceContract
from nas_spaces import rnag_network
from nas_spaces.random_graphs import Wiring
from nas_spaces.rnag import NAMED, RNAG

SPACE = RNAG()
CIFAR10 = Task("classification", (3, 32, 32), 10)
IMAGENET = Task("classification", (3, 224, 224), 1000)
REFERENCE = "stage0(32,4,0.75) stage1(32,4,0.75) stage2(32,4,0.75)"


class TestRNAG(SpaceContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_spaces.rnag:RNAG"


def shapes(network: Network) -> Mapping[str, tuple[int, ...]]:
    return {node.name: shape for node, shape in zip(network.nodes, network.shapes, strict=True)}


def test_what_it_can_do() -> None:
    assert capabilities(SPACE) == {"decisions", "network", "twins"}
    assert len(SPACE.decisions) == 9


def test_the_reference_generator() -> None:
    a = SPACE.named("rnag-d")
    assert a.values == (32, 4, 0.75) * 3 == NAMED["rnag-d"]
    assert SPACE.text(a) == REFERENCE
    assert SPACE.parse(REFERENCE) == a
    with pytest.raises(InvalidArchitecture, match="no such generator"):
        SPACE.named("rnag")


def test_the_reference_generator_has_its_published_parameters() -> None:
    """RandWire-WS on ImageNet, 78 base channels: 5.6 M parameters (NAGO, table 5).

    The standard deviation of a draw is 0.07 M, six of the mean of 20 draws are 0.09 M.
    """
    a = SPACE.named("rnag-d")
    drawn = [cost(SPACE.network(a, IMAGENET, seed, limit=None)).parameters for seed in range(20)]
    assert abs(np.mean(drawn) - 5.6e6) < 0.1e6


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stage0(32,4,0.75) stage1(32,4,0.75)", "3 groups"),
        (REFERENCE.replace("stage2", "stage3"), "out of order"),
        (REFERENCE.replace("(32,", "(41,", 1), "'stage0_n' cannot be set: 41.*from 3 to 40"),
        (REFERENCE.replace("(32,", "(32.0,", 1), "'stage0_n' is no whole number: '32.0'"),
        ("stage0(32,4) stage1(32,4,0.75) stage2(32,4,0.75)", "'stage0_p' is missing"),
        (None, "not the text"),
    ],
)
def test_wrong_texts_are_named(text: Any, message: str) -> None:
    with pytest.raises(InvalidArchitecture, match=message):
        SPACE.parse(text)


@given(st.one_of(st.text(), st.text("stage012(), .3456789e-", max_size=60)))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        a = SPACE.parse(text)
    except InvalidArchitecture:
        return
    assert SPACE.canonical(a.values) == a


def test_odd_neighbours_make_twins_that_draw_one_network() -> None:
    one = SPACE.parse("stage0(9,3,0.5) stage1(12,7,0.2) stage2(3,2,0.1)")
    other = SPACE.parse("stage0(9,2,0.5) stage1(12,6,0.2) stage2(3,8,0.9)")
    assert one != other
    assert SPACE.twin_key(one) == SPACE.twin_key(other)
    assert SPACE.network(one, CIFAR10, 4) == SPACE.network(other, CIFAR10, 4)
    third = SPACE.parse("stage0(9,4,0.5) stage1(12,7,0.2) stage2(3,2,0.1)")
    assert SPACE.twin_key(third) != SPACE.twin_key(one)


def test_graphs_and_seeds_differ() -> None:
    a = SPACE.named("rnag-d")
    assert isinstance(SPACE, HasWirings)
    assert SPACE.wirings(a).graph == Graph(("stage0", "stage1", "stage2"), ((0, 1), (1, 2)))
    drawn = [part.graph for seed in range(5) for part in SPACE.wirings(a, seed).parts]
    assert len(set(drawn)) == 15
    assert SPACE.wirings(a, 3) == SPACE.wirings(a, 3)
    assert {len(graph.labels) for graph in drawn} == {32}
    network = SPACE.network(a, CIFAR10, 3)
    joints = sum(degree > 1 for part in SPACE.wirings(a, 3).parts for degree in part.graph.in_degrees())
    sums = [node.primitive for node in network.nodes if isinstance(node.primitive, WeightedSum)]
    assert sums == [WeightedSum(0.0)] * joints


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("side", "sides"), [(8, (8, 4, 2)), (28, (28, 14, 7)), (32, (32, 16, 8)), (64, (8, 4, 2)), (224, (28, 14, 7))]
)
def test_sizes_and_widths_of_stages(channels: int, side: int, sides: tuple[int, ...]) -> None:
    network = SPACE.network(
        SPACE.named("rnag-d"), Task("classification", (channels, side, side), 7), limit=None, channels=2
    )
    found = shapes(network)
    for stage, (width, size) in enumerate(zip((2, 4, 8), sides, strict=True)):
        own = {shape for name, shape in found.items() if name.startswith(f"stage{stage}.") and name.endswith("norm")}
        assert own == {(width, size, size)}
    assert found["tail.linear"] == (7,)


def test_a_network_by_hand() -> None:
    """Three triangles, plain convolutions, 2, 4 and 8 channels: a sum of two wherever a node reads two."""
    triangle = Wiring(((), (0,), (0, 1)))
    network = rnag_network.build((triangle,) * 3, CIFAR10, rnag_network.Options(None, 2, "plain"))
    stem = 27 * 2 + 4 + 36 + 4
    convolutions = 9 * (3 * 2 * 2 + 2 * 4 + 2 * 4 * 4 + 4 * 8 + 2 * 8 * 8) + 2 * 3 * (2 + 4 + 8)
    tail = 8 * 1280 + 2 * 1280 + 1281 * 10
    assert cost(network).parameters == stem + convolutions + 3 * 2 + tail
    strided = [n.name for n in network.nodes if isinstance(n.primitive, Convolution) and n.primitive.stride == (2, 2)]
    assert strided == ["stage1.node0.conv3x3.conv", "stage2.node0.conv3x3.conv"]
    assert not any(isinstance(node.primitive, Mean) for node in network.nodes)


def test_every_input_of_a_graph_reduces_and_outputs_are_averaged() -> None:
    wiring = Wiring(((), (), (0, 1), (1,)))  # inputs 0 and 1, outputs 2 and 3
    network = rnag_network.build((wiring,) * 3, IMAGENET, rnag_network.Options(None, 2, "separable"))
    strided = [n.name for n in network.nodes if isinstance(n.primitive, Convolution) and n.primitive.stride == (2, 2)]
    ends = [f"stage{stage}.node{node}.conv3x3.conv_depthwise" for stage in range(3) for node in (0, 1)]
    assert strided == ["stem.conv", "stem.second_depthwise", *ends]
    means = [node for node in network.nodes if isinstance(node.primitive, Mean)]
    assert [node.name for node in means] == ["stage0.mean", "stage1.mean", "stage2.mean"]
    assert [network.nodes[i].name for i in means[0].inputs] == [
        "stage0.node2.conv3x3.norm",
        "stage0.node3.conv3x3.norm",
    ]


@pytest.mark.parametrize(("task", "limit"), [(CIFAR10, 4_000_000), (IMAGENET, 6_000_000)])
@pytest.mark.parametrize("convolution", ["plain", "separable"])
def test_networks_are_as_wide_as_the_limit_allows(task: Task, limit: int, convolution: str) -> None:
    for seed, a in enumerate(SPACE.sample(rng(1, "limit"), 5)):
        base = SPACE.base_channels(a, task, seed, limit=limit, convolution=convolution)
        network = SPACE.network(a, task, seed, limit=limit, convolution=convolution)
        assert network == SPACE.network(a, task, seed, limit=None, channels=base, convolution=convolution)
        assert cost(network).parameters <= limit
        wider = SPACE.network(a, task, seed, limit=None, channels=base + 1, convolution=convolution)
        assert cost(wider).parameters > limit


@pytest.mark.parametrize("channels", [1, 2, 3, 8])
def test_the_count_equals_the_cost_model(channels: int) -> None:
    for seed, a in enumerate(SPACE.sample(rng(2, "count"), 4)):
        values: Any = a.values
        wirings = rnag_network.draw([values[0:3], values[3:6], values[6:9]], seed)
        for task in (CIFAR10, IMAGENET):
            for convolution in ("plain", "separable"):
                network = SPACE.network(a, task, seed, limit=None, channels=channels, convolution=convolution)
                counted = rnag_network.parameters(wirings, task, convolution)(channels)
                assert counted == cost(network).parameters


def test_an_impossible_limit_names_the_least_possible() -> None:
    a = SPACE.named("rnag-d")
    least = cost(SPACE.network(a, CIFAR10, limit=None, channels=1)).parameters
    with pytest.raises(InvalidNetwork, match=f"expected at least {least}$"):
        SPACE.network(a, CIFAR10, limit=10)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "limit cannot be set"),
        ({"limit": None, "channels": 1.5}, "channels cannot be set"),
        ({"convolution": "dilated"}, "convolution cannot be set"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidNetwork, match=message):
        SPACE.network(SPACE.named("rnag-d"), CIFAR10, **options)


def test_another_task() -> None:
    with pytest.raises(InvalidNetwork, match="classify images"):
        SPACE.network(SPACE.named("rnag-d"), Task("language", (64,), 100))
