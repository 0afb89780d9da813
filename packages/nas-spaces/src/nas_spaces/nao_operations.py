"""The operations of NAO's convolutional cells (Luo et al. 2018, appendix 7.1).

    identity      with stride 2 a factorized reduction
    conv_kxk      ReLU, convolution, normalisation
    sep_conv_kxk  twice ReLU, depthwise separable convolution, normalisation; the first has the stride
    *_pool_kxk    padding never counts

All keep the image's size at stride 1 and halve it, rounded up, at stride 2. Windows of 2x2 cannot be centred: at stride
1 they begin at their pixel and end one below and to the right of it.
"""

from __future__ import annotations

from typing import Final

from nas_core.catalogue import factorized_reduction, pair, same_convolution, same_pooling
from nas_core.network import NetworkBuilder
from nas_core.primitives import Activation, Convolution, Crop, Identity, Normalisation, Pad, Pooling

IDENTITY: Final = "identity"
OPERATIONS: Final = (
    IDENTITY, "conv_1x1", "conv_2x2", "conv_3x3", "sep_conv_1x1", "sep_conv_2x2", "sep_conv_3x3",
    "max_pool_2x2", "max_pool_3x3", "avg_pool_2x2", "avg_pool_3x3",
)  # fmt: skip
"""The paper's eleven."""
ENAS_OPERATIONS: Final = (IDENTITY, "sep_conv_3x3", "sep_conv_5x5", "avg_pool_3x3", "max_pool_3x3")
"""The five of ENAS (Pham et al. 2018), with which weights are shared."""
POOLINGS: Final = tuple(name for name in OPERATIONS if "_pool_" in name)

_RELU, _NORMALISATION = Activation("relu"), Normalisation()


def operation(b: NetworkBuilder, name: str, x: int, channels: int, stride: int) -> int:
    """Append an operation; the number of its last node."""
    if name == IDENTITY:
        return b.add("identity", Identity(), x) if stride == 1 else factorized_reduction(b, x, channels)
    kind, size = name[: name.rindex("_")], int(name[-1])
    if kind == "conv":
        x = _convolution(b, "conv", b.add("relu", _RELU, x), channels, size, stride, 1)
        return b.add("norm", _NORMALISATION, x)
    if kind == "sep_conv":
        with b.scope("first"):
            x = _separable(b, x, b.shape(x)[0], size, stride)
        with b.scope("second"):
            return _separable(b, x, channels, size, 1)
    return _pooling(b, x, kind[:3], size, stride)


def _separable(b: NetworkBuilder, x: int, channels: int, kernel: int, stride: int) -> int:
    own = b.shape(x)[0]
    x = _convolution(b, "depthwise", b.add("relu", _RELU, x), own, kernel, stride, own)
    return b.add("norm", _NORMALISATION, b.add("pointwise", same_convolution(channels, 1), x))


def _convolution(b: NetworkBuilder, name: str, x: int, channels: int, kernel: int, stride: int, groups: int) -> int:
    if kernel % 2:
        return b.add(name, same_convolution(channels, kernel, stride, groups=groups), x)
    _, h, w = b.shape(x)
    below, right = (1, 1) if stride == 1 else (h % 2, w % 2)
    if below or right:
        x = b.add("pad", Pad((0, below, 0, right)), x)
    return b.add(name, Convolution(channels, pair(kernel), pair(stride), groups=groups), x)


def _pooling(b: NetworkBuilder, x: int, kind: str, kernel: int, stride: int) -> int:
    if kernel % 2:
        return b.add("pool", same_pooling(kind, kernel, stride), x)
    if stride == 1:  # padded on all sides, since padding that does not count cannot be one-sided; then cropped
        return b.add("crop", Crop(1, 1), b.add("pool", Pooling(kind, pair(kernel), padding=(1, 1)), x))
    _, h, w = b.shape(x)
    return b.add("pool", Pooling(kind, pair(kernel), pair(stride), (h % 2, w % 2)), x)
