"""The line that makes the layer of a primitive, for each that owns parameters, running statistics or noise.

What only training needs is no layer of an exported file: dropped paths are handed on as they are.
"""

from __future__ import annotations

from nas_core.primitives import (
    Attention,
    Convolution,
    Dropout,
    Linear,
    Normalisation,
    Pair,
    Primitive,
    Shape,
    WeightedSum,
)


def constructor(primitive: Primitive, inputs: tuple[Shape, ...]) -> tuple[str, list[str]] | None:
    """The class and its arguments as source text; None for a primitive that is no layer."""
    match primitive:
        case Convolution():
            return "nn.Conv2d", _convolution(primitive, inputs[0][0])
        case Linear(out, bias):
            return "nn.Linear", [str(inputs[0][-1]), str(out), *_unless(bias, "bias=False")]
        case Normalisation():
            return f"nn.BatchNorm{len(inputs[0]) - 1 or 1}d", _normalisation(primitive, inputs[0][0])
        case WeightedSum():
            return "WeightedSum", [str(len(inputs))]
        case Attention():
            return "Attention", []
        case Dropout(probability):
            return "nn.Dropout", [repr(float(probability))]
    return None


def _convolution(primitive: Convolution, channels: int) -> list[str]:
    p = primitive
    return [
        str(channels),
        str(p.out_channels),
        square(p.kernel),
        *_unless(p.stride == (1, 1), f"stride={square(p.stride)}"),
        *_unless(p.padding == (0, 0), f"padding={square(p.padding)}"),
        *_unless(p.dilation == (1, 1), f"dilation={square(p.dilation)}"),
        *_unless(p.groups == 1, f"groups={p.groups}"),
        *_unless(p.bias, "bias=False"),
    ]


def _normalisation(primitive: Normalisation, channels: int) -> list[str]:
    p = primitive
    return [
        str(channels),
        *_unless(p.epsilon == 1e-5, f"eps={p.epsilon!r}"),
        *_unless(p.momentum == 0.1, f"momentum={p.momentum!r}"),
        *_unless(p.affine, "affine=False"),
    ]


def square(pair: Pair) -> str:
    """A size of both axes, as one number where they are equal."""
    return str(pair[0]) if pair[0] == pair[1] else f"({pair[0]}, {pair[1]})"


def _unless(default: bool, argument: str) -> list[str]:
    return [] if default else [argument]
