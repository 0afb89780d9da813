"""Networks of cells with two inputs (Zoph et al. 2018, figure 2; Liu et al. 2019, section 3.1).

Cells in a row, each reading the outputs of the two before it. Reduction cells halve the image and double the channels:
their branches that read an input have stride 2. A cell first brings both its inputs to its own width by ReLU, 1x1
convolution and normalisation; after a reduction cell, the older input is halved by a factorized reduction instead.

The stem for small images is a 3x3 convolution to three times the channels and a normalisation; the one for ImageNet's
is three 3x3 convolutions of stride 2, whose last two outputs are the first cell's inputs. Behind the last cell come a
global mean and a linear map. The auxiliary head (Szegedy et al. 2016) stands on the last reduction cell.

An operation is part of its nodes' names ("cell3.node2.from0.sep_conv_3x3.first.depthwise"), so that networks on one
bank of weights share what an operation between the same nodes has learnt. Where only loose nodes are concatenated, how
wide an output is depends on the cell; such networks can share once their concatenations are taken apart
(`nas_spaces.split_concatenations`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias

from nas_core.catalogue import classifier, conv_norm, factorized_reduction, pair, relu_conv_norm, same_convolution
from nas_core.errors import InvalidNetwork
from nas_core.network import Network, NetworkBuilder, Task
from nas_core.primitives import (
    Activation,
    AdaptivePooling,
    Add,
    Concatenation,
    Convolution,
    DropPath,
    Flatten,
    Linear,
    Normalisation,
    Pooling,
)
from nas_spaces.split_concatenations import split
from nas_spaces.two_input_cells import Branch, Cell, loose

STEMS: Final = ("auto", "cifar", "imagenet")
LARGE: Final = 96
"""From this height and width on, `auto` means the stem for ImageNet's images."""

Operation: TypeAlias = Callable[[NetworkBuilder, str, int, int, int], int]
"""Appends an operation by name to what a node gives: (builder, operation, node, channels, stride) to its last node."""

_OUTPUT: Final = "concat"
_ADD, _CONCATENATION, _NORMALISATION, _RELU = Add(), Concatenation(), Normalisation(), Activation("relu")


class Style(NamedTuple):
    """What the spaces of this family do differently.

    Args:
        operation: how operations are built.
        identity: the operation that never drops its path at stride 1.
        zero: the operation that is nothing, so that there is no path to drop.
        loose_only: only loose nodes are concatenated.
        slots: branches of a node have places of their own, so that two can be equal.
        scheduled: later cells drop more paths (Zoph et al. 2018, "ScheduledDropPath").
    """

    operation: Operation
    identity: str
    zero: str | None
    loose_only: bool
    slots: bool
    scheduled: bool


class Stack(NamedTuple):
    """The size of a network.

    Args:
        channels: channels of a node in the first cells.
        cells: number of cells.
        reductions: which of them are reduction cells, counted from 0.
        stem: one of `STEMS`.
        auxiliary: whether there is an auxiliary head.
        shared: whether concatenations are taken apart, so that every parameter has one shape whatever the cells.
    """

    channels: int
    cells: int
    reductions: tuple[int, ...]
    stem: str
    auxiliary: bool
    shared: bool = False


def check_count(name: str, value: object) -> None:
    """Refuse an option that is no positive whole number.

    Raises:
        InvalidNetwork: naming the option.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidNetwork(f"{name} cannot be set", value=value, expected="a whole number of at least 1")


def build(normal: Cell, reduction: Cell, task: Task, stack: Stack, style: Style) -> Network:
    """The network of a pair of cells.

    Raises:
        InvalidNetwork: the task is no classification, or an option does not fit.
    """
    stem = _checked_stem(task, stack)
    b = NetworkBuilder(task)
    x = b.input()
    with b.scope("stem"):
        older, newer = (_imagenet_stem if stem == "imagenet" else _cifar_stem)(b, x, stack.channels)
    channels, halve = stack.channels, stem == "imagenet"
    outputs: dict[str, int] = {}
    for number in range(stack.cells):
        strided = number in stack.reductions
        channels *= 2 if strided else 1
        with b.scope(f"cell{number}"):
            inputs = _preprocessed(b, older, newer, channels, halve)
            drop = DropPath((number + 1) / stack.cells if style.scheduled else 1.0)
            states = _states(b, reduction if strided else normal, inputs, strided, style, drop)
            grown = b.add(_OUTPUT, _CONCATENATION, *states) if len(states) > 1 or stack.shared else states[0]
        older, newer, halve = newer, grown, strided
        if stack.auxiliary and number == max(stack.reductions):
            with b.scope("auxiliary"):
                outputs["auxiliary"] = _auxiliary_head(b, newer)
    with b.scope("head"):
        network = b.network(logits=classifier(b, newer), **outputs)
    return split(network, _OUTPUT) if stack.shared else network


def _checked_stem(task: Task, stack: Stack) -> str:
    if task.kind != "classification":
        raise InvalidNetwork("a network of cells with two inputs classifies images", value=task.kind)
    check_count("channels", stack.channels)
    if stack.stem not in STEMS:
        raise InvalidNetwork("no such stem", value=stack.stem, expected="one of " + ", ".join(STEMS))
    for name, value in (("auxiliary", stack.auxiliary), ("shared", stack.shared)):
        if not isinstance(value, bool):
            raise InvalidNetwork(f"{name} cannot be set", value=value, expected="true or false")
    large = min(task.input_shape[1:]) >= LARGE
    stem = ("imagenet" if large else "cifar") if stack.stem == "auto" else stack.stem
    if stem == "imagenet" and stack.channels < 2:
        raise InvalidNetwork("the stem for ImageNet needs at least 2 channels", value=stack.channels)
    return stem


def _cifar_stem(b: NetworkBuilder, x: int, channels: int) -> tuple[int, int]:
    x = conv_norm(b, x, 3 * channels, 3)
    return x, x


def _imagenet_stem(b: NetworkBuilder, x: int, channels: int) -> tuple[int, int]:
    with b.scope("first"):
        x = conv_norm(b, x, channels // 2, 3, 2)
    with b.scope("second"):
        older = relu_conv_norm(b, x, channels, 3, 2)
    with b.scope("third"):
        return older, relu_conv_norm(b, older, channels, 3, 2)


def _preprocessed(b: NetworkBuilder, older: int, newer: int, channels: int, halve: bool) -> list[int]:
    with b.scope("input0"):
        older = factorized_reduction(b, older, channels) if halve else relu_conv_norm(b, older, channels, 1)
    with b.scope("input1"):
        return [older, relu_conv_norm(b, newer, channels, 1)]


def _states(b: NetworkBuilder, cell: Cell, inputs: list[int], strided: bool, style: Style, drop: DropPath) -> list[int]:
    """The nodes of a cell that are concatenated."""
    states = list(inputs)
    for number, node in enumerate(cell, start=2):
        with b.scope(f"node{number}"):
            ends = [_branch(b, branch, slot, states, strided, style, drop) for slot, branch in enumerate(node)]
            states.append(b.add("sum", _ADD, *ends))
    return [states[position + 2] for position in (loose(cell) if style.loose_only else range(len(cell)))]


def _branch(
    b: NetworkBuilder, branch: Branch, slot: int, states: list[int], strided: bool, style: Style, drop: DropPath
) -> int:
    source, operation = branch
    stride = 2 if strided and source < 2 else 1
    x = states[source]
    with b.scope(f"branch{slot}.from{source}.{operation}" if style.slots else f"from{source}.{operation}"):
        y = style.operation(b, operation, x, b.shape(x)[0], stride)
        if operation == style.zero or (operation == style.identity and stride == 1):
            return y
        return b.add("drop_path", drop, y)


def _auxiliary_head(b: NetworkBuilder, x: int) -> int:
    """ReLU, mean to 2 x 2, convolutions 1x1 to 128 and 2x2 to 768, both with normalisation and ReLU, linear map."""
    _, h, w = b.shape(x)
    small = min(h, w) >= 6 and max(h, w) <= 8
    pool = Pooling("avg", (5, 5), (h - 5, w - 5)) if small else AdaptivePooling((2, 2))
    x = b.add("pool", pool, b.add("relu", _RELU, x))
    for scope, convolution in (("first", same_convolution(128, 1)), ("second", Convolution(768, pair(2)))):
        with b.scope(scope):
            x = b.add("relu", _RELU, b.add("norm", _NORMALISATION, b.add("conv", convolution, x)))
    return b.add("linear", Linear(b.task.classes), b.add("flatten", Flatten(), x))
