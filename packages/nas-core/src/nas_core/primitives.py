"""The primitives that every network is made of.

A primitive is a frozen value: what a node of a `Network` computes, without its inputs. It knows the shape it gives for
given input shapes and the parameters it owns; what it costs is said in `cost`, how it runs in `nas_train.build`.

Shapes are without the batch: (c, h, w) for images, (d,) for vectors. Parameters are listed as (name, shape).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, ClassVar, TypeAlias

from nas_core.errors import InvalidNetwork

Shape: TypeAlias = tuple[int, ...]
Pair: TypeAlias = tuple[int, int]
Parameters: TypeAlias = tuple[tuple[str, Shape], ...]

ACTIVATIONS = ("relu", "leaky_relu", "sigmoid", "tanh", "hardswish", "silu", "gelu")
POOLINGS = ("max", "avg", "min")


def _image(shape: Shape, who: object) -> Shape:
    if len(shape) != 3:
        raise InvalidNetwork(f"{who} reads images", value=shape, expected="a shape (c, h, w)")
    return shape


def _alike(shapes: tuple[Shape, ...], who: object) -> Shape:
    if any(shape != shapes[0] for shape in shapes):
        raise InvalidNetwork(f"{who} needs inputs of one shape", value=shapes)
    return shapes[0]


def _window(size: int, kernel: int, stride: int, padding: int, dilation: int = 1) -> int:
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


class Primitive:
    """What one node computes. Subclasses are final, frozen dataclasses and listed in `PRIMITIVES`."""

    fewest: ClassVar[int] = 1
    """Smallest number of inputs."""
    most: ClassVar[int | None] = 1
    """Largest number of inputs; None without a limit."""

    def shape(self, inputs: tuple[Shape, ...]) -> Shape:
        """Output shape; raises InvalidNetwork where the inputs do not fit. Here: that of all inputs."""
        return _alike(inputs, self)

    def parameters(self, inputs: tuple[Shape, ...]) -> Parameters:
        """The parameters owned, by name and shape. Here: none."""
        return ()


@dataclass(frozen=True)
class Input(Primitive):
    """Where data enters: an image, or the vector of one time step."""

    size: Shape
    fewest: ClassVar[int] = 0
    most: ClassVar[int | None] = 0

    def shape(self, inputs: tuple[Shape, ...]) -> Shape:
        """The declared shape."""
        return self.size


@dataclass(frozen=True)
class StateIn(Primitive):
    """A recurrent state as it was after the last time step (zeros before the first)."""

    state: str
    size: Shape
    fewest: ClassVar[int] = 0
    most: ClassVar[int | None] = 0

    def shape(self, inputs: tuple[Shape, ...]) -> Shape:
        """The declared shape."""
        return self.size


@dataclass(frozen=True)
class StateOut(Primitive):
    """Hands its input on as the new value of a recurrent state."""

    state: str


@dataclass(frozen=True)
class Convolution(Primitive):
    """2-d convolution; kernel, stride, padding and dilation as (height, width)."""

    out_channels: int
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    bias: bool = False

    def shape(self, inputs: tuple[Shape, ...]) -> Shape:
        """(out_channels, h', w')."""
        c, h, w = _image(inputs[0], self)
        if c % self.groups or self.out_channels % self.groups:
            raise InvalidNetwork(f"{self} cannot split its channels into groups", value=c)
        size = tuple(
            _window(n, self.kernel[i], self.stride[i], self.padding[i], self.dilation[i]) for i, n in enumerate((h, w))
        )
        if min(size) < 1:
            raise InvalidNetwork(f"an image is too small for {self}", value=inputs[0])
        return (self.out_channels, *size)

    def parameters(self, inputs: tuple[Shape, ...]) -> Parameters:
        """Kernel and bias."""
        weight = ("weight", (self.out_channels, inputs[0][0] // self.groups, *self.kernel))
        return (weight, ("bias", (self.out_channels,))) if self.bias else (weight,)


@dataclass(frozen=True)
class Linear(Primitive):
    """Affine map of the last axis."""

    out_features: int
    bias: bool = True

    def shape(self, inputs: tuple[Shape, ...]) -> Shape:
        """The input's shape with another last axis."""
        return (*inputs[0][:-1], self.out_features)

    def parameters(self, inputs: tuple[Shape, ...]) -> Parameters:
        """Matrix and bias."""
        weight = ("weight", (self.out_features, inputs[0][-1]))
        return (weight, ("bias", (self.out_features,))) if self.bias else (weight,)


@dataclass(frozen=True)
class Normalisation(Primitive):
    """Batch normalisation over channels."""

    affine: bool = True
    momentum: float = 0.1
    epsilon: float = 1e-5

    def parameters(self, inputs: tuple[Shape, ...]) -> Parameters:
        """Scale and shift where affine."""
        c = inputs[0][0]
        return (("weight", (c,)), ("bias", (c,))) if self.affine else ()


@dataclass(frozen=True)
class Activation(Primitive):
    """An element-wise function, one of `ACTIVATIONS`."""

    kind: str

    def __post_init__(self) -> None:
        if self.kind not in ACTIVATIONS:
            raise InvalidNetwork("no such activation", value=self.kind, expected="one of " + ", ".join(ACTIVATIONS))


@dataclass(frozen=True)
class Pooling(Primitive):
    """Maximum, mean or minimum over windows; padding never counts."""

    kind: str
    kernel: Pair
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)

    def __post_init__(self) -> None:
        if self.kind not in POOLINGS:
            raise InvalidNetwork("no such pooling", value=self.kind, expected="one of " + ", ".join(POOLINGS))

    def shape(self, inputs: tuple[Shape, ...]) -> Shape:
        """(c, h', w')."""
        c, h, w = _image(inputs[0], self)
        size = tuple(_window(n, self.kernel[i], self.stride[i], self.padding[i]) for i, n in enumerate((h, w)))
        if min(size) < 1:
            raise InvalidNetwork(f"an image is too small for {self}", value=inputs[0])
        return (c, *size)


@dataclass(frozen=True)
class AdaptivePooling(Primitive):
    """Maximum or mean over windows chosen so that the output has a given size; (1, 1) is global pooling."""

    size: Pair
    kind: str = "avg"

    def __post_init__(self) -> None:
        if self.kind not in ("max", "avg"):
            raise InvalidNetwork("no such adaptive pooling", value=self.kind, expected="max or avg")

    def shape(self, inputs: tuple[Shape, ...]) -> Shape:
        """(c, *size)."""
        return (_image(inputs[0], self)[0], *self.size)


@dataclass(frozen=True)
class Crop(Primitive):
    """Drops `top` rows and `left` columns: the shifted half of a factorized reduction."""

    top: int
    left: int

    def shape(self, inputs: tuple[Shape, ...]) -> Shape:
        """(c, h - top, w - left)."""
        c, h, w = _image(inputs[0], self)
        if h <= self.top or w <= self.left:
            raise InvalidNetwork(f"an image is too small for {self}", value=inputs[0])
        return (c, h - self.top, w - self.left)


@dataclass(frozen=True)
class Pad(Primitive):
    """Adds rows and columns of zeros: (top, bottom, left, right)."""

    border: tuple[int, int, int, int]

    def shape(self, inputs: tuple[Shape, ...]) -> Shape:
        """(c, h + top + bottom, w + left + right)."""
        c, h, w = _image(inputs[0], self)
        top, bottom, left, right = self.border
        return (c, h + top + bottom, w + left + right)


@dataclass(frozen=True)
class ChannelSlice(Primitive):
    """Channels (or features) from `start` up to, not including, `stop`."""

    start: int
    stop: int

    def shape(self, inputs: tuple[Shape, ...]) -> Shape:
        """The input's shape with stop - start channels."""
        if not 0 <= self.start < self.stop <= inputs[0][0]:
            raise InvalidNetwork(f"{self} does not fit", value=inputs[0])
        return (self.stop - self.start, *inputs[0][1:])


@dataclass(frozen=True)
class Zero(Primitive):
    """Zeros in the shape of its input, or with images reduced by `stride`."""

    stride: int = 1

    def shape(self, inputs: tuple[Shape, ...]) -> Shape:
        """The input's shape, height and width divided by the stride (rounded up)."""
        if self.stride == 1:
            return inputs[0]
        c, h, w = _image(inputs[0], self)
        return (c, -(-h // self.stride), -(-w // self.stride))


@dataclass(frozen=True)
class Identity(Primitive):
    """Its input."""


@dataclass(frozen=True)
class Add(Primitive):
    """Sum of inputs of one shape."""

    most: ClassVar[int | None] = None


@dataclass(frozen=True)
class Mean(Primitive):
    """Mean of inputs of one shape."""

    most: ClassVar[int | None] = None


@dataclass(frozen=True)
class Multiply(Primitive):
    """Element-wise product of two inputs."""

    fewest: ClassVar[int] = 2
    most: ClassVar[int | None] = 2


@dataclass(frozen=True)
class Complement(Primitive):
    """1 - x element by element: what a gate leaves."""


@dataclass(frozen=True)
class WeightedSum(Primitive):
    """Sum of inputs, each scaled by the sigmoid of a learnt number (NAGO §3; Xie et al. 2019)."""

    initial: float = 0.0
    most: ClassVar[int | None] = None

    def parameters(self, inputs: tuple[Shape, ...]) -> Parameters:
        """One number an input."""
        return (("weight", (len(inputs),)),)


@dataclass(frozen=True)
class Attention(Primitive):
    """The first input, scaled and normalised to [0, 1] per image, as a mask on the sum o of the rest.

    Gives sigmoid(scale)·o + mask·o with mask = minmax(gate·x₀) (NAGO §3, merging option "attention").
    """

    fewest: ClassVar[int] = 2
    most: ClassVar[int | None] = None

    def parameters(self, inputs: tuple[Shape, ...]) -> Parameters:
        """Two learnt numbers."""
        return (("gate", ()), ("scale", ()))


@dataclass(frozen=True)
class Concatenation(Primitive):
    """Inputs side by side along the channels (or features)."""

    most: ClassVar[int | None] = None

    def shape(self, inputs: tuple[Shape, ...]) -> Shape:
        """All channels together."""
        rest = _alike(tuple(shape[1:] for shape in inputs), self)
        return (sum(shape[0] for shape in inputs), *rest)


@dataclass(frozen=True)
class Flatten(Primitive):
    """An image as a vector."""

    def shape(self, inputs: tuple[Shape, ...]) -> Shape:
        """(c·h·w,)."""
        total = 1
        for size in inputs[0]:
            total *= size
        return (total,)


@dataclass(frozen=True)
class Dropout(Primitive):
    """Drops elements with a probability while training."""

    probability: float


@dataclass(frozen=True)
class DropPath(Primitive):
    """Marks a path that is dropped per image with a probability while training; the recipe sets the rate.

    `depth` in [0, 1] is how far the path lies from input to output, for rates that grow with depth.
    """

    depth: float = 1.0


PRIMITIVES: Mapping[str, type[Primitive]] = {
    kind.__name__: kind
    for kind in (
        Input, StateIn, StateOut, Convolution, Linear, Normalisation, Activation, Pooling, AdaptivePooling, Crop, Pad,
        ChannelSlice, Zero, Identity, Add, Mean, Multiply, Complement, WeightedSum, Attention, Concatenation, Flatten,
        Dropout, DropPath,
    )
}  # fmt: skip
"""Every primitive by name; the vocabulary of a stored network."""


def primitive_to_config(primitive: Primitive) -> dict[str, Any]:
    """Plain data of a primitive: its name and fields."""
    named = {f.name: getattr(primitive, f.name) for f in fields(primitive)}  # type: ignore[arg-type]
    return {
        "primitive": type(primitive).__name__,
        **{k: list(v) if isinstance(v, tuple) else v for k, v in named.items()},
    }


def primitive_from_config(config: Mapping[str, Any]) -> Primitive:
    """The primitive of `primitive_to_config`'s data.

    Raises:
        InvalidNetwork: an unknown name or wrong fields.
    """
    name = config.get("primitive") if isinstance(config, Mapping) else None
    kind = PRIMITIVES.get(str(name))
    if kind is None:
        raise InvalidNetwork("no such primitive", value=name or config, expected="one of " + ", ".join(PRIMITIVES))
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items() if k != "primitive"}
    try:
        return kind(**options)
    except TypeError as error:
        raise InvalidNetwork(f"wrong fields of a {kind.__name__}", value=options) from error


@lru_cache(maxsize=1 << 16)
def infer(primitive: Primitive, inputs: tuple[Shape, ...]) -> Shape:
    """Output shape of a primitive, checked for the number of inputs; remembered, since networks repeat themselves.

    Raises:
        InvalidNetwork: a wrong number of inputs or shapes that do not fit.
    """
    if len(inputs) < primitive.fewest or (primitive.most is not None and len(inputs) > primitive.most):
        raise InvalidNetwork(f"{primitive} has a wrong number of inputs", value=len(inputs))
    return primitive.shape(inputs)
