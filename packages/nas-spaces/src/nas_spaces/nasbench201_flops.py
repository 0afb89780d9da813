"""FLOPs in the convention of the NAS-Bench-201 table that the space is used with.

The column `c10_flops_M` of that table comes from TensorWatch's counter, as NASLib's zero-cost benchmark does. With n
for the number of elements of a node's output, per image:

    convolution, linear map   one a multiply-add, biases not counted
    normalisation             2n where it is affine, otherwise n
    activation                n
    pooling                   n times the window's size
    global mean               n times (window height + 1) times (window width + 1)

The last line counts a window of 8x8 as 9x9, which is the counter's way and is kept, since otherwise no row agrees.
Sums, identities and zeros count nothing. What the benchmark's own programming interface reports is another number
again: that of multiply-adds (`nas_core.cost`) plus one for each bias of the classifier; 15.64737 M for the first row,
where this convention gives 17.95859.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod

from nas_core.network import Network
from nas_core.primitives import (
    Activation,
    AdaptivePooling,
    Convolution,
    Linear,
    Normalisation,
    Pooling,
    Primitive,
    Shape,
)


def counted_flops(network: Network) -> int:
    """FLOPs of a network for one image; see the module for what counts how."""
    shapes = network.shapes
    return sum(
        [
            _flops(primitive, shapes[inputs[0]], shapes[i])
            for i, (_, primitive, inputs) in enumerate(network.nodes)
            if inputs
        ]
    )


@lru_cache(maxsize=1 << 14)
def _flops(primitive: Primitive, source: Shape, target: Shape) -> int:
    n = prod(target)
    match primitive:
        case Convolution():
            return n * (source[0] // primitive.groups) * prod(primitive.kernel)
        case Linear():
            return n * source[-1]
        case Normalisation():
            return n * (2 if primitive.affine else 1)
        case Activation():
            return n
        case Pooling():
            return n * prod(primitive.kernel)
        case AdaptivePooling():
            return target[0] * sum(map(prod, _windows(source, target)))
        case _:
            return 0


def _windows(source: Shape, target: Shape) -> list[tuple[int, int]]:
    """Height and width, each with one more, of every window of an adaptive pooling."""
    spans = []
    for size, count in zip(source[1:], target[1:], strict=True):
        spans.append([-(-(i + 1) * size // count) - i * size // count + 1 for i in range(count)])
    return [(height, width) for height in spans[0] for width in spans[1]]
