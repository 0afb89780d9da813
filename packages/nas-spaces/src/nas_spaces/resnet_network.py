"""The network of a ResNet-style string (BONAS, Shi et al. 2020, appendix D; blocks of He et al. 2016).

Stages 1 to 5 have 1/2 to 1/32 of the image's size. Stage 1 and the beginning of stage 2 are one 3x3 convolution of
stride 2 each, with the base channels; the paper does not give their widths. The blocks of stages 2 to 5 follow, the
first of stages 3, 4 and 5 with stride 2, then global mean and a linear map.

    basic        3x3 to w, norm, ReLU, 3x3 to w, norm; the first has the stride
    bottleneck   1x1 to w, norm, ReLU, 3x3 to w, norm, ReLU, 1x1 to 4w, norm; the 3x3 has the stride

A block adds its input, by a 1x1 convolution and norm where the shapes differ, and ends with ReLU. Two other stems are
ResNet's own ("pooled": 7x7 convolution and 3x3 maximum, both of stride 2) and one for small images ("small": one 3x3
convolution of stride 1).
"""

from __future__ import annotations

from collections.abc import Sequence

from nas_core.catalogue import classifier, conv_norm, conv_norm_relu, same_pooling
from nas_core.errors import InvalidNetwork
from nas_core.network import Network, NetworkBuilder, Task
from nas_core.primitives import Activation, Add

BLOCKS = ("bottleneck", "basic")
STEMS = ("strided", "pooled", "small")
FIRST_STAGE = 2
DOUBLING = "2"

_EXPANSION = 4
_ADD, _RELU, _MAXIMUM = Add(), Activation("relu"), same_pooling("max", 3, 2)


def build(stages: Sequence[str], task: Task, block: str, channels: int, stem: str) -> Network:
    """The network of a string.

    Args:
        stages: the blocks of stages 2 to 5, "2" where one doubles the channels.
        task: images to classify.
        block: one of `BLOCKS`.
        channels: base channels.
        stem: one of `STEMS`.

    Raises:
        InvalidNetwork: the task or an option does not fit.
    """
    if task.kind != "classification":
        raise InvalidNetwork("a ResNet classifies images", value=task.kind, expected="classification")
    if isinstance(channels, bool) or not isinstance(channels, int) or channels < 1:
        raise InvalidNetwork("channels cannot be set", value=channels, expected="a whole number from 1")
    if stem not in STEMS:
        raise InvalidNetwork("no such stem", value=stem, expected="one of " + ", ".join(STEMS))
    b = NetworkBuilder(task)
    x = _stem(b, channels, stem)
    add = _bottleneck if block == "bottleneck" else _basic
    for stage, kinds in enumerate(stages, start=FIRST_STAGE):
        for number, kind in enumerate(kinds):
            channels *= 2 if kind == DOUBLING else 1
            with b.scope(f"stage{stage}.block{number}"):
                x = add(b, x, channels, 2 if number == 0 and stage > FIRST_STAGE else 1)
    with b.scope("head"):
        return b.network(logits=classifier(b, x))


def _stem(b: NetworkBuilder, channels: int, stem: str) -> int:
    with b.scope("stem"):
        x = b.input()
        if stem == "pooled":
            return b.add("pool", _MAXIMUM, conv_norm_relu(b, x, channels, 7, 2))
        with b.scope("first"):
            x = conv_norm_relu(b, x, channels, 3, 1 if stem == "small" else 2)
        if stem == "small":
            return x
        with b.scope("second"):
            return conv_norm_relu(b, x, channels, 3, 2)


def _basic(b: NetworkBuilder, x: int, channels: int, stride: int) -> int:
    with b.scope("first"):
        y = conv_norm_relu(b, x, channels, 3, stride)
    with b.scope("second"):
        y = conv_norm(b, y, channels, 3)
    return _added(b, x, y, stride)


def _bottleneck(b: NetworkBuilder, x: int, channels: int, stride: int) -> int:
    with b.scope("first"):
        y = conv_norm_relu(b, x, channels, 1)
    with b.scope("second"):
        y = conv_norm_relu(b, y, channels, 3, stride)
    with b.scope("third"):
        y = conv_norm(b, y, _EXPANSION * channels, 1)
    return _added(b, x, y, stride)


def _added(b: NetworkBuilder, x: int, y: int, stride: int) -> int:
    if stride > 1 or b.shape(x)[0] != b.shape(y)[0]:
        with b.scope("shortcut"):
            x = conv_norm(b, x, b.shape(y)[0], 1, stride)
    return b.add("relu", _RELU, b.add("sum", _ADD, x, y))
