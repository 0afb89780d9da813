"""What the networks of random generators are made of: stem, merging, operation and tail.

The parts of NAGO's networks (Ru et al. 2020, section 2.1, and its public code where the paper is silent) and of
RandWire's (Xie et al. 2019). Each part comes twice: what adds it to a network, and what counts its parameters.

    stem, images under 40 pixels     conv 3x3, norm, ReLU, conv 3x3, norm
    stem, larger images              conv 3x3 to half the width, norm, ReLU, separable conv 3x3, norm; both of stride 2
    operation conv…                  ReLU, convolution, norm
    operation pool…                  maximum; before it a 1x1 convolution where the number of channels changes
    merging of several tensors       weighted_sum: each times the sigmoid of a learnt number
                                     attention: the first, scaled to [0, 1], as a mask on the sum of the rest
                                     concatenation
    tail                             ReLU, conv 1x1 to 1,280, norm, ReLU, global mean, dropout 0.2, linear

Convolutions are plain or separable (one of each channel, then a 1x1 across them); those without neighbours are plain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Final

from nas_core.catalogue import norm_relu, same_convolution, same_pooling
from nas_core.errors import InvalidNetwork
from nas_core.network import NetworkBuilder, Task
from nas_core.primitives import (
    Activation,
    AdaptivePooling,
    Attention,
    Concatenation,
    Convolution,
    Dropout,
    Flatten,
    Linear,
    Mean,
    Normalisation,
    Pair,
    Primitive,
    WeightedSum,
)
from nas_spaces.parameter_limit import Count

MERGING: Final = ("weighted_sum", "attention", "concatenation")
"""The ways in which tensors that meet at a node are merged."""
CONVOLUTIONS: Final = ("plain", "separable")
"""Kinds of convolution."""
KERNELS: Final[Mapping[str, Pair]] = {
    "conv3x3": (3, 3),
    "conv5x5": (5, 5),
    "conv1x1": (1, 1),
    "conv3x1": (3, 1),
    "conv1x3": (1, 3),
}
"""Kernels of the operations that are convolutions."""
WINDOWS: Final[Mapping[str, int]] = {"pool3x3": 3, "pool5x5": 5}
"""Windows of the operations that are maxima."""
OPERATIONS: Final = (*KERNELS, *WINDOWS)
"""What a node can do with its input."""
SMALL: Final = 40
"""Images with a shorter side below this keep their size in the stem; larger ones are reduced to a quarter."""
TAIL_WIDTH: Final = 1280

_RELU, _NORMALISATION, _MEAN, _FLATTEN = Activation("relu"), Normalisation(), Mean(), Flatten()
_GLOBAL = AdaptivePooling((1, 1))
_DROPOUT = Dropout(0.2)
_MERGERS: Mapping[str, Primitive] = {"attention": Attention(), "concatenation": Concatenation()}
_AUXILIARY = (128, 768)


def check_task(task: Task, who: str) -> None:
    """Raise InvalidNetwork for a task that is no classification of images."""
    if task.kind != "classification":
        raise InvalidNetwork(f"{who} networks classify images", value=task.kind, expected="classification")


def check_choice(option: str, value: object, choices: Sequence[object]) -> None:
    """Raise InvalidNetwork for an option's value that is not among its choices."""
    if not any(value is choice or (isinstance(value, str) and value == choice) for choice in choices):
        raise InvalidNetwork(
            f"{option} cannot be set", value=value, expected="one of " + ", ".join(str(choice) for choice in choices)
        )


def check_whole(option: str, value: object) -> None:
    """Raise InvalidNetwork for an option's value that is no whole number from 1."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidNetwork(f"{option} cannot be set", value=value, expected="a whole number from 1")


def is_small(task: Task) -> bool:
    """Whether images keep their size in the stem."""
    return min(task.input_shape[1:]) < SMALL


def halved(size: Pair, times: int) -> Pair:
    """Height and width after so many halvings, each rounded up."""
    return -(-size[0] >> times), -(-size[1] >> times)


def stem(b: NetworkBuilder, width: int, first: str) -> int:
    """Input and stem.

    Args:
        b: an empty builder.
        width: output channels.
        first: kind of the first convolution of a large image's stem.
    """
    with b.scope("stem"):
        if is_small(b.task):
            x = b.add("conv", same_convolution(width, 3), b.input())
            x = b.add("second", same_convolution(width, 3), norm_relu(b, x))
        else:
            half = max(1, width // 2)
            x = _convolution(b, b.input(), "conv", half, (3, 3), first, 2)
            x = _convolution(b, norm_relu(b, x), "second", width, (3, 3), "separable", 2)
        return b.add("second_norm", _NORMALISATION, x)


def stem_parameters(task: Task, width: int, first: str) -> int:
    """Parameters of `stem`."""
    c = task.input_shape[0]
    if is_small(task):
        return 9 * c * width + 2 * width + 9 * width * width + 2 * width
    half = max(1, width // 2)
    opening = 9 * c + c * half if first == "separable" else 9 * c * half
    return opening + 2 * half + 9 * half + half * width + 2 * width


def merge(b: NetworkBuilder, how: str, xs: Sequence[int], initial: float) -> int:
    """Several tensors of one shape (or one: itself) as one; `initial` are the learnt numbers of a weighted sum."""
    if len(xs) == 1:
        return xs[0]
    return b.add(how, _MERGERS[how] if how in _MERGERS else WeightedSum(initial), *xs)


def count_merge(count: Count, how: str, inputs: int, width: int) -> int:
    """Count `merge` of so many tensors of a width; returns the width of the result."""
    if inputs == 1:
        return width
    if how == "concatenation":
        return inputs * width
    count.constant += inputs if how == "weighted_sum" else 2
    return width


def mean(b: NetworkBuilder, xs: Sequence[int], name: str = "mean") -> int:
    """The mean of several tensors, or the one."""
    return xs[0] if len(xs) == 1 else b.add(name, _MEAN, *xs)


def operation(b: NetworkBuilder, x: int, name: str, width: int, kind: str, stride: int = 1) -> int:
    """One of `OPERATIONS` with so many output channels."""
    with b.scope(name):
        if name in WINDOWS:
            if b.shape(x)[0] != width:
                x = b.add("match", same_convolution(width, 1), x)
            return b.add("pool", same_pooling("max", WINDOWS[name], stride), x)
        x = _convolution(b, b.add("relu", _RELU, x), "conv", width, KERNELS[name], kind, stride)
        return b.add("norm", _NORMALISATION, x)


def count_operation(count: Count, name: str, inputs: int, width: int, kind: str) -> None:
    """Count `operation`, for a number of input and of output channels."""
    if name in WINDOWS:
        if inputs != width:
            count.convolution(inputs, width, 1)
        return
    area = prod(KERNELS[name])
    if kind == "separable" and area > 1:
        count.depthwise(inputs, area)
        area = 1
    count.convolution(inputs, width, area)
    count.normalisation(width)


def tail(b: NetworkBuilder, x: int) -> int:
    """From the last features to the logits."""
    with b.scope("tail"):
        x = b.add("conv", same_convolution(TAIL_WIDTH, 1), b.add("first_relu", _RELU, x))
        x = b.add("flatten", _FLATTEN, b.add("pool", _GLOBAL, norm_relu(b, x)))
        return b.add("linear", Linear(b.task.classes), b.add("dropout", _DROPOUT, x))


def count_tail(count: Count, task: Task, width: int) -> None:
    """Count `tail` behind so many channels."""
    count.linear += TAIL_WIDTH * width
    count.constant += 2 * TAIL_WIDTH + (TAIL_WIDTH + 1) * task.classes


def auxiliary_head(b: NetworkBuilder, x: int) -> int:
    """DARTS's auxiliary head (Liu et al. 2019), its pooling made to fit any image: a second set of logits."""
    with b.scope("auxiliary"):
        x = b.add("pool", AdaptivePooling((2, 2)), b.add("relu", _RELU, x))
        for scope, channels, kernel in zip(("first", "second"), _AUXILIARY, ((1, 1), (2, 2)), strict=True):
            with b.scope(scope):
                x = norm_relu(b, b.add("conv", Convolution(channels, kernel), x))
        return b.add("linear", Linear(b.task.classes), b.add("flatten", _FLATTEN, x))


def count_auxiliary_head(count: Count, task: Task, width: int) -> None:
    """Count `auxiliary_head` on so many channels."""
    first, second = _AUXILIARY
    count.linear += first * width
    count.constant += 2 * first + 4 * first * second + 2 * second + (second + 1) * task.classes


def _convolution(b: NetworkBuilder, x: int, name: str, width: int, kernel: Pair, kind: str, stride: int) -> int:
    if kind == "separable" and prod(kernel) > 1:
        own = b.shape(x)[0]
        x = b.add(f"{name}_depthwise", same_convolution(own, kernel, stride, groups=own), x)
        kernel, stride = (1, 1), 1
    return b.add(name, same_convolution(width, kernel, stride), x)
