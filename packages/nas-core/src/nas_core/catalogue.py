"""The catalogue of operations: what spaces call by one name, spelled out in primitives.

Each function appends to a `NetworkBuilder` under the current scope and returns the number of the last node. Kernels are
square unless a pair is given; convolutions keep the image's size at stride 1 ("same" padding) and have no bias, since a
normalisation follows.
"""

from __future__ import annotations

from functools import lru_cache

from nas_core.network import NetworkBuilder
from nas_core.primitives import (
    Activation,
    AdaptivePooling,
    Concatenation,
    Convolution,
    Crop,
    Flatten,
    Linear,
    Normalisation,
    Pad,
    Pair,
    Pooling,
)

_RELU = Activation("relu")
_NORMALISATION = Normalisation()
_GLOBAL = AdaptivePooling((1, 1))
_FLATTEN = Flatten()


def pair(size: int | Pair) -> Pair:
    """A size for both axes."""
    return (size, size) if isinstance(size, int) else size


@lru_cache(maxsize=4096)
def same_convolution(
    channels: int, kernel: int | Pair, stride: int = 1, dilation: int = 1, groups: int = 1, bias: bool = False
) -> Convolution:
    """A convolution whose padding keeps the image's size at stride 1; kernels must be odd."""
    kernel = pair(kernel)
    padding = (dilation * (kernel[0] - 1) // 2, dilation * (kernel[1] - 1) // 2)
    return Convolution(channels, kernel, (stride, stride), padding, (dilation, dilation), groups, bias)


@lru_cache(maxsize=256)
def same_pooling(kind: str, kernel: int, stride: int = 1) -> Pooling:
    """A pooling whose padding keeps the image's size at stride 1."""
    return Pooling(kind, pair(kernel), pair(stride), pair((kernel - 1) // 2))


def conv_norm(b: NetworkBuilder, x: int, channels: int, kernel: int | Pair, stride: int = 1) -> int:
    """Convolution, normalisation."""
    x = b.add("conv", same_convolution(channels, kernel, stride), x)
    return b.add("norm", _NORMALISATION, x)


def conv_norm_relu(b: NetworkBuilder, x: int, channels: int, kernel: int | Pair, stride: int = 1) -> int:
    """Convolution, normalisation, ReLU."""
    return b.add("relu", _RELU, conv_norm(b, x, channels, kernel, stride))


def relu_conv_norm(b: NetworkBuilder, x: int, channels: int, kernel: int | Pair, stride: int = 1) -> int:
    """ReLU, convolution, normalisation."""
    return conv_norm(b, b.add("relu", _RELU, x), channels, kernel, stride)


def depthwise_separable(
    b: NetworkBuilder, x: int, channels: int, kernel: int, stride: int = 1, dilation: int = 1
) -> int:
    """Convolution of each channel by itself, then a 1x1 convolution across them."""
    own = b.shape(x)[0]
    x = b.add("depthwise", same_convolution(own, kernel, stride, dilation, own), x)
    return b.add("pointwise", same_convolution(channels, 1), x)


def dilated_convolution(
    b: NetworkBuilder, x: int, channels: int, kernel: int, stride: int = 1, dilation: int = 2
) -> int:
    """ReLU, depthwise separable convolution with dilation, normalisation (DARTS: "dil_conv")."""
    x = depthwise_separable(b, b.add("relu", _RELU, x), channels, kernel, stride, dilation)
    return b.add("norm", _NORMALISATION, x)


def separable_convolution(b: NetworkBuilder, x: int, channels: int, kernel: int, stride: int = 1) -> int:
    """Twice: ReLU, depthwise separable convolution, normalisation (NASNet, DARTS: "sep_conv").

    The first of the two has the stride.
    """
    with b.scope("first"):
        x = dilated_convolution(b, x, b.shape(x)[0], kernel, stride, dilation=1)
    with b.scope("second"):
        return dilated_convolution(b, x, channels, kernel, dilation=1)


def factorized_convolution(b: NetworkBuilder, x: int, channels: int, kernel: int, stride: int = 1) -> int:
    """ReLU, convolution 1 x kernel, convolution kernel x 1, normalisation (NASNet: "1x7 then 7x1").

    Each of the two has the stride on its long axis.
    """
    x = b.add("relu", _RELU, x)
    reach = (kernel - 1) // 2
    x = b.add("row", Convolution(channels, (1, kernel), (1, stride), (0, reach)), x)
    x = b.add("column", Convolution(channels, (kernel, 1), (stride, 1), (reach, 0)), x)
    return b.add("norm", _NORMALISATION, x)


def factorized_reduction(b: NetworkBuilder, x: int, channels: int) -> int:
    """Halves the image without losing every other pixel.

    ReLU, two 1x1 convolutions of stride 2 side by side, one of them on the image shifted by a pixel, normalisation.
    Images of odd size are padded for the shifted half.
    """
    x = b.add("relu", _RELU, x)
    _, h, w = b.shape(x)
    shifted = x
    if h % 2 or w % 2:
        shifted = b.add("pad", Pad((0, h % 2, 0, w % 2)), x)
    shifted = b.add("shift", Crop(1, 1), shifted)
    first = b.add("even", same_convolution(channels // 2, 1, 2), x)
    second = b.add("odd", same_convolution(channels - channels // 2, 1, 2), shifted)
    return b.add("norm", _NORMALISATION, b.add("join", Concatenation(), first, second))


def pool_norm(b: NetworkBuilder, x: int, kind: str, kernel: int, stride: int = 1) -> int:
    """Pooling, normalisation."""
    return b.add("norm", _NORMALISATION, b.add("pool", same_pooling(kind, kernel, stride), x))


def norm_relu(b: NetworkBuilder, x: int) -> int:
    """Normalisation, ReLU."""
    return b.add("relu", _RELU, b.add("norm", _NORMALISATION, x))


def classifier(b: NetworkBuilder, x: int) -> int:
    """Global mean, then a linear map to the task's classes."""
    x = b.add("flatten", _FLATTEN, b.add("pool", _GLOBAL, x))
    return b.add("linear", Linear(b.task.classes), x)
