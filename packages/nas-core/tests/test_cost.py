"""The cost model: parameters, multiply-adds, kept bytes and depth of small networks, worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from nas_core.cost import Cost, cost
from nas_core.errors import InvalidNetwork
from nas_core.network import Network, NetworkBuilder, Node, Task
from nas_core.primitives import (
    Activation,
    AdaptivePooling,
    Add,
    Attention,
    ChannelSlice,
    Complement,
    Concatenation,
    Convolution,
    Dropout,
    Flatten,
    Identity,
    Linear,
    Multiply,
    Normalisation,
    Pooling,
    StateIn,
    StateOut,
    WeightedSum,
    Zero,
)
from nas_core.trial import check_metric_name

TASK = Task("classification", (3, 8, 8), 10)
RELU = Activation("relu")
STEM = Convolution(4, (3, 3), padding=(1, 1))

FLOAT = 4
INPUT = 3 * 8 * 8  # 192 numbers
WIDE = 4 * 8 * 8  # 256 numbers


def head(b: NetworkBuilder, x: int) -> Network:
    """Global mean and a linear map: keeps the c means, and adds 10·c + 10 parameters."""
    x = b.add("flatten", Flatten(), b.add("pool", AdaptivePooling((1, 1)), x))
    return b.network(logits=b.add("linear", Linear(10), x))


def after_stem(grow: Callable[[NetworkBuilder, int], int]) -> Cost:
    """The cost of input, stem convolution (4 x 8 x 8), whatever `grow` adds, head."""
    b = NetworkBuilder(TASK)
    return cost(head(b, grow(b, b.add("stem", STEM, b.input()))))


def zeroed(b: NetworkBuilder, x: int) -> int:
    """A sum of zeros and x."""
    return b.add("term", Add(), b.add("zero", Zero(), x), x)


PLAIN = after_stem(lambda b, x: x)


def test_a_small_network_by_hand() -> None:
    b = NetworkBuilder(TASK)
    x = b.add("first", STEM, b.input())
    x = b.add("norm", Normalisation(), x)
    x = b.add("relu", RELU, x)
    x = b.add("second", Convolution(6, (3, 3), (2, 2), (1, 1), bias=True), x)
    assert b.shape(x) == (6, 4, 4)
    assert cost(head(b, x)) == Cost(
        # 4·3·9 of the first convolution, 4 + 4 of the normalisation, 6·4·9 + 6 of the second, 6·10 + 10 of the head
        parameters=108 + 8 + 222 + 70,
        # 27 for each of 256 numbers, 36 for each of 96, 6 for each of 10
        multiply_adds=256 * 27 + 96 * 36 + 60,
        # the input, the first's output (for the normalisation), relu's output (for itself and the second), the means
        activation_bytes=FLOAT * (INPUT + WIDE + WIDE + 6),
        depth=3,
    )


def test_the_smallest_network_by_hand() -> None:
    assert Cost(108 + 50, 256 * 27 + 40, FLOAT * (INPUT + 4), 2) == PLAIN


def test_metrics_have_proper_names() -> None:
    metrics = PLAIN.metrics()
    assert metrics == {"params": 158.0, "multiply_adds": 6952.0, "activation_bytes": 784.0, "depth": 2.0}
    assert all(check_metric_name(name) for name in metrics)


def test_grouped_convolutions_and_convolutions_of_one_axis() -> None:
    depthwise = after_stem(lambda b, x: b.add("d", Convolution(4, (3, 3), padding=(1, 1), groups=4), x))
    assert depthwise.parameters - PLAIN.parameters == 4 * 1 * 9
    assert depthwise.multiply_adds - PLAIN.multiply_adds == 256 * 9
    row = after_stem(lambda b, x: b.add("row", Convolution(4, (1, 5), padding=(0, 2)), x))
    assert row.multiply_adds - PLAIN.multiply_adds == 256 * 4 * 5


@pytest.mark.parametrize(
    ("grow", "numbers", "more_bytes"),
    [
        # an activation keeps its output, except those whose slope needs the input
        (lambda b, x: b.add("a", Activation("tanh"), x), 256, 0),
        (lambda b, x: b.add("b", RELU, b.add("a", RELU, x)), 512, 0),
        (lambda b, x: b.add("b", Activation("silu"), b.add("a", Activation("silu"), x)), 512, 0),
        # relu keeps its output, silu keeps its input: the same tensor
        (lambda b, x: b.add("b", Activation("silu"), b.add("a", RELU, x)), 256, 0),
        # pooling keeps its input; a maximum also an index of 8 bytes for each of 4·4·4 outputs
        (lambda b, x: b.add("p", Pooling("avg", (2, 2), (2, 2)), x), 256, 0),
        (lambda b, x: b.add("p", Pooling("max", (2, 2), (2, 2)), x), 256, 8 * 64),
        # two readers of one tensor, and views of it, count once
        (lambda b, x: b.add("s", Add(), b.add("l", STEM, x), b.add("r", STEM, x)), 256, 0),
        (lambda b, x: b.add("s", Add(), b.add("l", STEM, b.add("i", Identity(), x)), b.add("r", STEM, x)), 256, 0),
        (lambda b, x: b.add("r", Convolution(4, (1, 1)), b.add("c", ChannelSlice(0, 2), x)), 256, 0),
        # sums and concatenations keep nothing themselves; what reads them keeps the new tensor
        (lambda b, x: b.add("s", Add(), x, x), 0, 0),
        (lambda b, x: b.add("c", Complement(), x), 0, 0),
        (lambda b, x: b.add("r", Convolution(4, (1, 1)), b.add("c", Concatenation(), x, x)), 512, 0),
        # products keep both factors, weighted sums all terms
        (lambda b, x: b.add("m", Multiply(), x, b.add("r", STEM, x)), 256 + 256, 0),
        (lambda b, x: b.add("w", WeightedSum(), x, b.add("r", STEM, x)), 256 + 256, 0),
        (lambda b, x: b.add("d", Dropout(0.5), x), 0, FLOAT * 256),
        # a minimum is the maximum of the negated input, a new tensor
        (lambda b, x: b.add("p", Pooling("min", (2, 2), (2, 2)), x), 256, 8 * 64),
        # attention keeps what is gated and three tensors made on the way, and the sum that the mask is for
        (lambda b, x: b.add("a", Attention(), x, b.add("r", STEM, x)), (1 + 3 + 1) * 256, 0),
        (lambda b, x: b.add("a", Attention(), x, b.add("r", STEM, x), x), (1 + 3 + 1) * 256, 0),
        # a sum with zeros is its one term: the same tensor for both readers; with two terms it is a new one
        (lambda b, x: b.add("s", Add(), zeroed(b, x), b.add("r", STEM, x)), 256, 0),
        (lambda b, x: b.add("s", Add(), b.add("l", STEM, zeroed(b, x)), b.add("r", STEM, x)), 256, 0),
        (lambda b, x: b.add("s", Add(), b.add("l", STEM, b.add("t", Add(), x, x)), b.add("r", STEM, x)), 512, 0),
    ],
)
def test_what_is_kept(grow: Callable[[NetworkBuilder, int], int], numbers: int, more_bytes: int) -> None:
    assert after_stem(grow).activation_bytes - PLAIN.activation_bytes == FLOAT * numbers + more_bytes


def test_what_comes_before_all_parameters_keeps_nothing_itself() -> None:
    b = NetworkBuilder(TASK)
    x = b.add("stem", STEM, b.add("relu", RELU, b.add("also", RELU, b.input())))
    assert cost(head(b, x)) == PLAIN  # the stem keeps relu's output instead of the input


def test_dead_nodes_keep_nothing_but_are_counted() -> None:
    b = NetworkBuilder(TASK)
    x = b.add("stem", STEM, b.input())
    b.add("dead", RELU, b.add("dead_norm", Normalisation(), b.add("dead_conv", Convolution(5, (1, 1)), x)))
    network = head(b, x)
    dead = cost(network)
    assert dead == replace(PLAIN, parameters=PLAIN.parameters + 20 + 10, multiply_adds=PLAIN.multiply_adds + 5 * 64 * 4)
    assert cost(network.pruned()) == PLAIN


def test_what_only_a_zero_reads_keeps_nothing() -> None:
    def grow(b: NetworkBuilder, x: int) -> int:
        y = b.add("norm", Normalisation(), b.add("conv", STEM, x))
        return b.add("sum", Add(), x, b.add("zero", Zero(), b.add("relu", RELU, y)))

    found = after_stem(grow)
    assert found.activation_bytes == PLAIN.activation_bytes
    assert found.parameters == PLAIN.parameters + 4 * 4 * 9 + 8


def test_a_network_cut_off_by_a_zero_keeps_what_comes_after_it() -> None:
    """Only the linear map gets a gradient: it keeps its 4 inputs."""
    found = after_stem(lambda b, x: b.add("zero", Zero(), x))
    assert found == replace(PLAIN, activation_bytes=FLOAT * 4)


def test_depth_is_that_of_the_logits() -> None:
    def grow(b: NetworkBuilder, x: int) -> int:
        y = b.add("second", STEM, b.add("first", STEM, x))
        return b.add("sum", Add(), x, y)

    assert after_stem(grow).depth == 4
    b = NetworkBuilder(TASK)
    x = b.add("stem", STEM, b.input())
    y = b.add("deeper", STEM, b.add("deep", STEM, x))
    logits = b.add("linear", Linear(10), b.add("flatten", Flatten(), x))
    assert cost(b.network(logits=logits, auxiliary=y)).depth == 2


def test_a_recurrent_step_keeps_what_its_new_state_needs() -> None:
    b = NetworkBuilder(Task("language", (5,), 7))
    x = b.input()
    h = b.add("h", StateIn("h", (6,)))
    gate = b.add("gate", Activation("sigmoid"), b.add("map", Linear(6), x))
    b.add("h_out", StateOut("h"), b.add("gated", Multiply(), gate, h))
    network = b.network(logits=b.add("decode", Linear(7), h))
    # map keeps the 5 inputs, gate its 6 outputs, the product both factors (gate is kept already), decode the 6 of h
    assert cost(network) == Cost(36 + 49, 30 + 42, FLOAT * (5 + 6 + 6), 1)


def test_gradients_flow_to_earlier_time_steps() -> None:
    b = NetworkBuilder(Task("language", (5,), 7))
    b.input()
    h, c = b.add("h", StateIn("h", (6,))), b.add("c", StateIn("c", (6,)))
    gated = b.add("gated", Multiply(), h, b.add("tanh", Activation("tanh"), c))
    b.add("h_out", StateOut("h"), gated)
    b.add("c_out", StateOut("c"), h)
    # the product keeps h and the tanh, which has kept itself: both states depend on parameters of the step before
    assert cost(b.network(hidden=gated)) == Cost(0, 0, FLOAT * (6 + 6), 0)


def test_shapes_that_do_not_fit_are_an_error() -> None:
    nodes = (Node("input", Linear(3), ()),)
    with pytest.raises(InvalidNetwork, match="in node 'input'"):
        cost(Network(TASK, nodes, (("logits", 0),)))
