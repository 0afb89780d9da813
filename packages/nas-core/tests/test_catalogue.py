"""The catalogue: names, shapes and numbers of parameters of its operations, by hand."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import pytest

from nas_core import catalogue
from nas_core.network import Network, NetworkBuilder, Task
from nas_core.primitives import Convolution, Crop

Operation = Callable[[NetworkBuilder, int], int]


def built(operation: Operation, shape: tuple[int, int, int] = (4, 8, 8)) -> Network:
    """A network of one operation on an image."""
    b = NetworkBuilder(Task("classification", shape, 10))
    x = b.input()
    with b.scope("op"):
        return b.network(logits=operation(b, x))


def parameters(network: Network) -> int:
    return sum(prod(shape) for _, shape in network.parameters())


@pytest.mark.parametrize(
    ("operation", "names", "shape", "count"),
    [
        # 6·4·9 weights, 2·6 of the normalisation
        (lambda b, x: catalogue.conv_norm(b, x, 6, 3), "conv norm", (6, 8, 8), 216 + 12),
        (lambda b, x: catalogue.relu_conv_norm(b, x, 6, 1, 2), "relu conv norm", (6, 4, 4), 24 + 12),
        # 4·9 a channel by itself, 6·4 across them
        (lambda b, x: catalogue.depthwise_separable(b, x, 6, 3), "depthwise pointwise", (6, 8, 8), 36 + 24),
        (
            lambda b, x: catalogue.dilated_convolution(b, x, 6, 5),
            "relu depthwise pointwise norm",
            (6, 8, 8),
            100 + 24 + 12,
        ),
        # first keeps the 4 channels, second widens them to 6
        (
            lambda b, x: catalogue.separable_convolution(b, x, 6, 3, 2),
            "first.relu first.depthwise first.pointwise first.norm "
            "second.relu second.depthwise second.pointwise second.norm",
            (6, 4, 4),
            (36 + 16 + 8) + (36 + 24 + 12),
        ),
        # 1x7 from 4 to 6 channels, 7x1 from 6 to 6
        (
            lambda b, x: catalogue.factorized_convolution(b, x, 6, 7, 2),
            "relu row column norm",
            (6, 4, 4),
            6 * 4 * 7 + 6 * 6 * 7 + 12,
        ),
        (
            lambda b, x: catalogue.factorized_reduction(b, x, 7),
            "relu shift even odd join norm",
            (7, 4, 4),
            3 * 4 + 4 * 4 + 14,
        ),
        (lambda b, x: catalogue.pool_norm(b, x, "max", 3, 2), "pool norm", (4, 4, 4), 8),
        (lambda b, x: catalogue.norm_relu(b, x), "norm relu", (4, 8, 8), 8),
        (lambda b, x: catalogue.classifier(b, x), "pool flatten linear", (10,), 4 * 10 + 10),
    ],
)
def test_operations(operation: Operation, names: str, shape: tuple[int, ...], count: int) -> None:
    network = built(operation)
    assert [node.name for node in network.nodes[1:]] == [f"op.{name}" for name in names.split()]
    assert network.shapes[-1] == shape
    assert parameters(network) == count


@pytest.mark.parametrize(("height", "width"), [(8, 8), (7, 8), (8, 7), (7, 7)])
def test_a_factorized_reduction_halves_images_of_any_size(height: int, width: int) -> None:
    network = built(lambda b, x: catalogue.factorized_reduction(b, x, 6), (4, height, width))
    assert network.shapes[-1] == (6, (height + 1) // 2, (width + 1) // 2)
    assert any(node.primitive == Crop(1, 1) for node in network.nodes)
    assert any(node.name == "op.pad" for node in network.nodes) == (height % 2 + width % 2 > 0)


@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("kernel", [1, 3, 5, 7, (1, 5)])
def test_same_convolutions_keep_the_size(kernel: int | tuple[int, int], dilation: int) -> None:
    convolution = catalogue.same_convolution(4, kernel, dilation=dilation)
    assert isinstance(convolution, Convolution)
    assert convolution.shape(((4, 16, 16),)) == (4, 16, 16)


@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_same_poolings_keep_the_size(kernel: int) -> None:
    assert catalogue.same_pooling("avg", kernel).shape(((4, 16, 15),)) == (4, 16, 15)
