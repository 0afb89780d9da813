"""Primitives: shapes and parameters worked out by hand, and their plain data."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nas_core.errors import InvalidNetwork
from nas_core.primitives import (
    PRIMITIVES,
    Activation,
    AdaptivePooling,
    Add,
    Attention,
    ChannelSlice,
    Complement,
    Concatenation,
    Convolution,
    Crop,
    Dropout,
    DropPath,
    Flatten,
    Identity,
    Input,
    Linear,
    Mean,
    Multiply,
    Normalisation,
    Pad,
    Pooling,
    Primitive,
    Shape,
    StateIn,
    StateOut,
    WeightedSum,
    Zero,
    infer,
    primitive_from_config,
    primitive_to_config,
)

IMAGE = (4, 9, 8)

SHAPES: list[tuple[Primitive, tuple[Shape, ...], Shape]] = [
    (Input((3, 32, 32)), (), (3, 32, 32)),
    (StateIn("h", (7,)), (), (7,)),
    (StateOut("h"), ((7,),), (7,)),
    # (9 - 3) / 1 + 1 = 7, (8 - 3) / 1 + 1 = 6
    (Convolution(5, (3, 3)), (IMAGE,), (5, 7, 6)),
    # floor((9 + 2 - 2) / 2) + 1: a 3x3 kernel with padding 1 and stride 2 makes 5 of 9 and 4 of 8
    (Convolution(5, (3, 3), (2, 2), (1, 1)), (IMAGE,), (5, 5, 4)),
    # dilation 2 makes the kernel 5 wide: 9 - 5 + 1 = 5, 8 - 5 + 1 = 4
    (Convolution(4, (3, 3), dilation=(2, 2), groups=4), (IMAGE,), (4, 5, 4)),
    # only the width is convolved: 9 rows stay, (8 + 6 - 7) / 2 rounded down + 1 = 4 columns
    (Convolution(2, (1, 7), (1, 2), (0, 3)), (IMAGE,), (2, 9, 4)),
    (Linear(10), ((6,),), (10,)),
    (Linear(10), ((5, 6),), (5, 10)),
    (Normalisation(), (IMAGE,), IMAGE),
    (Activation("relu"), (IMAGE,), IMAGE),
    (Pooling("max", (3, 3), (2, 2), (1, 1)), (IMAGE,), (4, 5, 4)),
    (Pooling("avg", (2, 2), (2, 2)), (IMAGE,), (4, 4, 4)),
    # kernels as large as the image leave one pixel; the stride is 1 unless it is given
    (Pooling("min", (9, 8)), (IMAGE,), (4, 1, 1)),
    (Pooling("min", (8, 6)), (IMAGE,), (4, 2, 3)),
    (Convolution(2, (9, 8)), (IMAGE,), (2, 1, 1)),
    (AdaptivePooling((1, 1)), (IMAGE,), (4, 1, 1)),
    (AdaptivePooling((2, 3), "max"), (IMAGE,), (4, 2, 3)),
    (Crop(1, 2), (IMAGE,), (4, 8, 6)),
    (Pad((1, 2, 3, 4)), (IMAGE,), (4, 12, 15)),
    (ChannelSlice(1, 3), (IMAGE,), (2, 9, 8)),
    (ChannelSlice(0, 7), ((7,),), (7,)),
    (Zero(), (IMAGE,), IMAGE),
    (Zero(2), (IMAGE,), (4, 5, 4)),
    (Identity(), (IMAGE,), IMAGE),
    (Add(), (IMAGE, IMAGE, IMAGE), IMAGE),
    (Mean(), (IMAGE, IMAGE), IMAGE),
    (Multiply(), (IMAGE, IMAGE), IMAGE),
    (Complement(), (IMAGE,), IMAGE),
    (WeightedSum(), (IMAGE, IMAGE), IMAGE),
    (Attention(), (IMAGE, IMAGE, IMAGE), IMAGE),
    (Concatenation(), (IMAGE, (1, 9, 8)), (5, 9, 8)),
    (Concatenation(), ((3,), (4,)), (7,)),
    (Flatten(), (IMAGE,), (288,)),
    (Dropout(0.5), (IMAGE,), IMAGE),
    (DropPath(0.5), (IMAGE,), IMAGE),
]


@pytest.mark.parametrize(("primitive", "inputs", "output"), SHAPES, ids=lambda value: type(value).__name__)
def test_shapes(primitive: Primitive, inputs: tuple[Shape, ...], output: Shape) -> None:
    assert infer(primitive, inputs) == output


def test_every_primitive_has_a_worked_shape() -> None:
    assert {type(primitive).__name__ for primitive, _, _ in SHAPES} == set(PRIMITIVES)


@pytest.mark.parametrize(
    ("primitive", "inputs", "parameters"),
    [
        (Convolution(6, (3, 5), groups=2), ((4, 9, 9),), [("weight", (6, 2, 3, 5))]),
        (Convolution(6, (1, 1), bias=True), ((4, 9, 9),), [("weight", (6, 4, 1, 1)), ("bias", (6,))]),
        (Linear(10), ((6,),), [("weight", (10, 6)), ("bias", (10,))]),
        (Linear(10, bias=False), ((5, 6),), [("weight", (10, 6))]),
        (Normalisation(), (IMAGE,), [("weight", (4,)), ("bias", (4,))]),
        (Normalisation(affine=False), (IMAGE,), []),
        (WeightedSum(), (IMAGE, IMAGE, IMAGE), [("weight", (3,))]),
        (Attention(), (IMAGE, IMAGE), [("gate", ()), ("scale", ())]),
        (Add(), (IMAGE, IMAGE), []),
    ],
)
def test_parameters(primitive: Primitive, inputs: tuple[Shape, ...], parameters: list[Any]) -> None:
    assert list(primitive.parameters(inputs)) == parameters


@pytest.mark.parametrize(
    ("primitive", "inputs", "message"),
    [
        (Convolution(5, (3, 3)), ((4, 2, 9),), "an image is too small for Convolution"),
        (Convolution(5, (3, 3)), ((4,),), r"reads images: \(4,\); expected a shape \(c, h, w\)"),
        (Convolution(6, (3, 3), groups=4), (IMAGE,), "cannot split its channels into groups"),
        (Convolution(4, (3, 3), groups=3), (IMAGE,), "cannot split its channels into groups: 4"),
        (Pooling("max", (3, 3)), ((4, 9, 2),), "an image is too small"),
        (Pooling("max", (3, 3)), ((4, 9),), "reads images"),
        (AdaptivePooling((1, 1)), ((4, 9),), "reads images"),
        (Crop(9, 0), (IMAGE,), "an image is too small for Crop"),
        (Pad((0, 1, 0, 1)), ((4,),), "reads images"),
        (ChannelSlice(2, 5), (IMAGE,), "does not fit"),
        (ChannelSlice(2, 2), (IMAGE,), "does not fit"),
        (Zero(2), ((4,),), "reads images"),
        (Add(), (IMAGE, (5, 9, 8)), "Add.*needs inputs of one shape"),
        (Attention(), (IMAGE, (4, 9, 9)), "needs inputs of one shape"),
        (Concatenation(), (IMAGE, (4, 9, 9)), "needs inputs of one shape"),
        (Add(), (), "wrong number of inputs: 0"),
        (Identity(), (IMAGE, IMAGE), "wrong number of inputs: 2"),
        (Multiply(), (IMAGE,), "wrong number of inputs: 1"),
        (Multiply(), (IMAGE, IMAGE, IMAGE), "wrong number of inputs: 3"),
        (Attention(), (IMAGE,), "wrong number of inputs: 1"),
        (Input((3,)), (IMAGE,), "wrong number of inputs: 1"),
    ],
)
def test_what_does_not_fit_is_refused(primitive: Primitive, inputs: tuple[Shape, ...], message: str) -> None:
    with pytest.raises(InvalidNetwork, match=message):
        infer(primitive, inputs)


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(InvalidNetwork, match="no such activation: 'elu'; expected one of relu"):
        Activation("elu")
    with pytest.raises(InvalidNetwork, match="no such pooling: 'mean'; expected one of max, avg, min"):
        Pooling("mean", (2, 2))
    with pytest.raises(InvalidNetwork, match="no such adaptive pooling: 'min'"):
        AdaptivePooling((1, 1), "min")


@pytest.mark.parametrize("primitive", [row[0] for row in SHAPES], ids=lambda value: type(value).__name__)
def test_configs_round_trip_through_json(primitive: Primitive) -> None:
    again = primitive_from_config(json.loads(json.dumps(primitive_to_config(primitive))))
    assert again == primitive
    assert hash(again) == hash(primitive)


def test_a_field_named_kind_does_not_hide_the_primitive() -> None:
    assert primitive_to_config(Activation("tanh")) == {"primitive": "Activation", "kind": "tanh"}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"primitive": "Upsample"}, "no such primitive: 'Upsample'; expected one of Input"),
        ({}, "no such primitive"),
        ("Add", "no such primitive: 'Add'"),
        ({"primitive": "Linear"}, "wrong fields of a Linear"),
        ({"primitive": "Linear", "out_features": 3, "width": 2}, "wrong fields of a Linear"),
        ({"primitive": "Activation", "kind": "elu"}, "no such activation"),
    ],
)
def test_configs_of_no_primitive_are_refused(config: Any, message: str) -> None:
    with pytest.raises(InvalidNetwork, match=message):
        primitive_from_config(config)
