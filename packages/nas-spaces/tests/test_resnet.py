"""The ResNet-style space: strings, chains, tokens, samples, and networks with their published parameters."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas_core.cost import cost
from nas_core.errors import InvalidArchitecture, InvalidNetwork, InvalidSpace
from nas_core.graph import Graph
from nas_core.network import Task
from nas_core.random import rng
from nas_core.space import HasLabelWords, capabilities
from nas_core.testing import SpaceContract
from nas_spaces.resnet import NAMED, ResNet

SPACE = ResNet()
IMAGENET = Task("classification", (3, 224, 224), 1000)
EXAMPLE = "1211-211-1111-12111"


class TestResNet(SpaceContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_spaces.resnet:ResNet"


class TestShortBasicResNet(SpaceContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_spaces.resnet:ResNet"

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"most_blocks": 2, "most_doublings": 1, "block": "basic"}

    @pytest.fixture
    def network_options(self) -> dict[str, Any]:
        return {"channels": 4, "stem": "small"}


def test_what_it_can_do() -> None:
    assert capabilities(SPACE) == {"decisions", "graphs", "tokens", "network"}


def test_the_example_of_the_paper() -> None:
    a = SPACE.parse(EXAMPLE)
    assert SPACE.text(a) == EXAMPLE
    assert SPACE.stages(a) == ("1211", "211", "1111", "12111")
    assert a.values[:12] == (4, "1", "2", "1", "1", None, None, None, None, None, None, 3)
    assert a == SPACE.named("bonas-example")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1211-211-1111", "4 stages, not 3"),
        ("", "4 stages, not 1"),
        ("1-1-1-1-1", "4 stages, not 5"),
        ("1211--1111-12111", "stage 3 has 0 blocks"),
        ("-1-1-1", "stage 2 has 0 blocks"),
        ("1-1-1-11111111111", "stage 5 has 11 blocks.*1 to 10"),
        ("12-12-12-12", "channels double 4 times.*at most 3"),
        ("12-13-1-1", r"character 5 \('3'\) is none of 1, 2 and -"),
        ("1 -1-1-1", r"character 2 \(' '\)"),
        ("١-1-1-1", "character 1 "),
        (1211, "not a ResNet-style string"),
    ],
)
def test_wrong_strings_are_named(text: Any, message: str) -> None:
    with pytest.raises(InvalidArchitecture, match=message):
        SPACE.parse(text)


@given(st.one_of(st.text(), st.text("12-", max_size=40)))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        a = SPACE.parse(text)
    except InvalidArchitecture:
        return
    assert SPACE.text(a) == text
    assert SPACE.canonical(a.values) == a


@given(st.lists(st.text("12", min_size=1, max_size=10), min_size=4, max_size=4))
def test_projection_keeps_the_first_doublings(stages: list[str]) -> None:
    values: list[object] = []
    for kinds in stages:
        values += [len(kinds), *kinds, *["2"] * (10 - len(kinds))]
    text = "-".join(stages)
    while text.count("2") > 3:
        head, _, tail = text.rpartition("2")
        text = head + "1" + tail
    assert SPACE.text(SPACE.project(values)) == text


def test_more_doublings_than_allowed_break_a_rule() -> None:
    values = [*SPACE.parse("222-1-1-1").values]
    values[12] = "2"
    with pytest.raises(InvalidArchitecture, match="'stage3_block0' has a value that breaks a rule"):
        SPACE.canonical(values)


def test_samples_are_distributed_as_stated() -> None:
    """Lengths are uniform on 1 to 10 and numbers of doublings on 0 to 3.

    2,000 members: six standard deviations of a share of 1/10 are 0.041, of 1/4 0.059; for the 44 shares the odds of a
    false alarm are below 1e-7.
    """
    members = [SPACE.stages(a) for a in SPACE.sample(rng(0), 2000)]
    for stage in range(4):
        lengths = Counter(len(stages[stage]) for stages in members)
        assert all(abs(lengths[length] / 2000 - 0.1) < 0.041 for length in range(1, 11))
    doublings = Counter("".join(stages).count("2") for stages in members)
    assert all(abs(doublings[number] / 2000 - 0.25) < 0.059 for number in range(4))


def test_steps_change_a_length_or_a_kind() -> None:
    small = ResNet(most_blocks=2, most_doublings=1)
    steps = {small.text(b) for b in small.neighbors(small.parse("1-12-1-1"))}
    assert steps == {"11-12-1-1", "1-1-1-1", "1-12-11-1", "1-12-1-11", "2-11-1-1", "1-21-1-1", "1-11-1-1"}


def test_the_graph_is_a_chain_of_blocks() -> None:
    labels = ["input", *"1211", "-2", *"11", "-1", *"111", "-1", *"2111", "output"]
    graph = SPACE.graphs(SPACE.parse(EXAMPLE))["blocks"]
    assert graph.labels == tuple(labels)
    assert graph.edges == tuple((i, i + 1) for i in range(17))
    assert SPACE.most_nodes == 42


def test_graphs_that_are_no_chains_of_blocks() -> None:
    chain = SPACE.graphs(SPACE.parse("1-1-1-1"))["blocks"]
    wrong = [
        Graph(chain.labels, chain.edges[:-1]),
        Graph(chain.labels, (*chain.edges, (0, 2))),
        Graph(chain.labels, chain.edges, tuple(range(5))),
        Graph(("output", *chain.labels[1:]), chain.edges),
        Graph(("input", "1", "-1", "-1", "1", "output"), chain.edges),
        Graph(("input", "1", "-1", "-", "-1", "output"), chain.edges),
        Graph(("input", "-1", "-1", "-1", "-1", "output"), chain.edges),
        Graph(("input",), ()),
    ]
    for graph in wrong:
        with pytest.raises(InvalidArchitecture):
            SPACE.from_graphs({"blocks": graph})


def test_tokens_by_hand() -> None:
    assert SPACE.tokens(SPACE.parse("12-1-1-1")) == (1, 2, 0, 1, 0, 1, 0, 1, 3)
    assert SPACE.legal_tokens(()) == (1, 2)
    assert SPACE.legal_tokens((1,)) == (0, 1, 2)
    assert SPACE.legal_tokens((1, 0)) == (1, 2)
    assert SPACE.legal_tokens((2, 2, 2)) == (0, 1)
    assert SPACE.legal_tokens((1,) * 10) == (0,)
    assert SPACE.legal_tokens((1, 0, 1, 0, 1, 0, 1)) == (1, 2, 3)
    assert SPACE.legal_tokens((1, 0, 1, 0, 1, 0, 1, 3)) == ()
    with pytest.raises(InvalidArchitecture, match="one end"):
        SPACE.from_tokens((1, 0, 1, 3, 0, 1, 0, 1, 3))


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("resnet18", 11_689_512), ("resnet34", 21_797_672), ("resnet50", 25_557_032), ("resnet101", 44_549_160)],
)
def test_resnets_have_their_published_parameters(name: str, parameters: int) -> None:
    """With ResNet's own stem exactly; with the paper's two convolutions within 0.1 M of its table 5."""
    space = ResNet(block=NAMED[name].block, most_blocks=23)
    a = space.named(name)
    assert cost(space.network(a, IMAGENET, stem="pooled")).parameters == parameters
    assert abs(cost(space.network(a, IMAGENET)).parameters - parameters) < 0.1e6


@pytest.mark.parametrize(("name", "macs"), [("resnet18", 1_814_073_344), ("resnet50", 4_089_184_256)])
def test_resnets_have_their_published_multiply_adds(name: str, macs: int) -> None:
    """1.8 and 4.1 billion; the exact numbers are those of the usual models, with the stride on the 3x3 convolution."""
    space = ResNet(block=NAMED[name].block)
    assert cost(space.network(space.named(name), IMAGENET, stem="pooled")).multiply_adds == macs


def test_named_members_ask_for_their_space() -> None:
    with pytest.raises(InvalidArchitecture, match=r"basic blocks.*ResNet\(block='basic'\)"):
        SPACE.named("resnet18")
    with pytest.raises(InvalidArchitecture, match="stage 4 has 23 blocks"):
        SPACE.named("resnet101")
    with pytest.raises(InvalidArchitecture, match="no such ResNet"):
        SPACE.named("resnet20")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("side", "stem", "sides"),
    [
        (224, "strided", (56, 28, 14, 7)),
        (224, "pooled", (56, 28, 14, 7)),
        (64, "strided", (16, 8, 4, 2)),
        (32, "strided", (8, 4, 2, 1)),
        (32, "small", (32, 16, 8, 4)),
        (28, "small", (28, 14, 7, 4)),
        (8, "strided", (2, 1, 1, 1)),
        (8, "small", (8, 4, 2, 1)),
    ],
)
@pytest.mark.parametrize(("block", "expansion"), [("bottleneck", 4), ("basic", 1)])
def test_sizes_and_widths(
    channels: int, side: int, stem: str, sides: tuple[int, ...], block: str, expansion: int
) -> None:
    space = ResNet(block=block)
    task = Task("classification", (channels, side, side), 5)
    network = space.network(space.parse(EXAMPLE), task, stem=stem, channels=2)
    ends = {node.name: shape for node, shape in zip(network.nodes, network.shapes, strict=True)}
    widths = ((2, 4, 4, 4), (8, 8, 8), (8, 8, 8, 8), (8, 16, 16, 16, 16))
    for stage, (own, size) in enumerate(zip(widths, sides, strict=True), start=2):
        for number, width in enumerate(own):
            assert ends[f"stage{stage}.block{number}.relu"] == (expansion * width, size, size)
    assert f"stage5.block{len(widths[3])}.relu" not in ends
    assert ends["head.linear"] == (5,)


def test_shortcuts_stand_where_shapes_change() -> None:
    def shortcuts(block: str) -> list[str]:
        space = ResNet(block=block)
        network = space.network(space.parse(EXAMPLE), IMAGENET)
        return [n.name[:13] for n in network.nodes if n.name.endswith("shortcut.conv")]

    changing = ["stage2.block1", "stage3.block0", "stage4.block0", "stage5.block0", "stage5.block1"]
    assert shortcuts("basic") == changing
    assert shortcuts("bottleneck") == ["stage2.block0", *changing]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"most_blocks": 0}, "most_blocks cannot be set"),
        ({"most_blocks": 10**9}, "most_blocks cannot be set"),
        ({"most_doublings": True}, "most_doublings cannot be set"),
        ({"block": "wide"}, "no such block"),
    ],
)
def test_wrong_options_of_the_space(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSpace, match=message):
        ResNet(**options)


def test_wrong_options_of_a_network() -> None:
    a = SPACE.parse(EXAMPLE)
    with pytest.raises(InvalidNetwork, match="channels cannot be set"):
        SPACE.network(a, IMAGENET, channels=0)
    with pytest.raises(InvalidNetwork, match="no such stem"):
        SPACE.network(a, IMAGENET, stem="none")
    with pytest.raises(InvalidNetwork, match="classifies images"):
        SPACE.network(a, Task("language", (64,), 100))


def test_every_block_has_words_for_pictures() -> None:
    assert isinstance(SPACE, HasLabelWords)
    assert set(SPACE.label_words) == set(SPACE.graph_labels) - {"input", "output"}
    assert len(set(SPACE.label_words.values())) == 4
