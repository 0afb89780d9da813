"""What a network costs, by rule and without torch.

* parameters: trainable numbers, exactly those of the built module;
* multiply_adds: of convolutions and linear maps, for one image or time step (half of what a flop counter says);
* activation_bytes: what a training step's forward pass keeps for the backward pass, per sample, in 32-bit floats;
* depth: the largest number of convolutions and linear maps on a path from input to logits.

Rules for kept tensors follow reverse-mode differentiation: a convolution, a linear map, a normalisation and a pooling
keep their input (a global mean does not: its gradient is the same everywhere); an activation keeps its output; a
product keeps both factors; a maximum keeps 64-bit indices. A tensor that several nodes keep counts once, a node that
only re-shapes its input, and a sum of one term, share the input's storage, and nodes that no gradient reaches (dead
ones, and what only a zero reads) keep nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import prod

from nas_core.network import Network
from nas_core.primitives import (
    Activation,
    AdaptivePooling,
    Add,
    Attention,
    ChannelSlice,
    Convolution,
    Crop,
    Dropout,
    Flatten,
    Identity,
    Linear,
    Multiply,
    Normalisation,
    Pooling,
    Primitive,
    Shape,
    StateIn,
    StateOut,
    WeightedSum,
    Zero,
)

FLOAT_BYTES = 4
INDEX_BYTES = 8

_KEEP_INPUTS = (Convolution, Linear, Normalisation, Pooling, AdaptivePooling, Multiply, WeightedSum, Attention)
_OWN_PARAMETERS = (Convolution, Linear, Normalisation, WeightedSum, Attention)
_VIEWS = (Flatten, Identity, Crop, ChannelSlice, StateOut)
_KEEPS_INPUT_ACTIVATIONS = frozenset({"leaky_relu", "hardswish", "silu", "gelu"})


@dataclass(frozen=True)
class Cost:
    """Cost of one network; see the module for units."""

    parameters: int
    multiply_adds: int
    activation_bytes: int
    depth: int

    def metrics(self) -> dict[str, float]:
        """As metrics of a trial: params, multiply_adds, activation_bytes, depth."""
        return {
            "params": float(self.parameters),
            "multiply_adds": float(self.multiply_adds),
            "activation_bytes": float(self.activation_bytes),
            "depth": float(self.depth),
        }


@lru_cache(maxsize=1 << 16)
def _parameters(primitive: Primitive, inputs: tuple[Shape, ...]) -> int:
    return sum(prod(shape) for _, shape in primitive.parameters(inputs))


@lru_cache(maxsize=1 << 16)
def _multiply_adds(primitive: Primitive, inputs: tuple[Shape, ...], output: Shape) -> int:
    if isinstance(primitive, Convolution):
        return prod(output) * (inputs[0][0] // primitive.groups) * prod(primitive.kernel)
    if isinstance(primitive, Linear):
        return prod(output) * inputs[0][-1]
    return 0


def _extra_bytes(primitive: Primitive, inputs: tuple[Shape, ...], output: Shape) -> int:
    """Bytes kept besides inputs and outputs: indices of maxima, dropout masks, tensors made on the way."""
    if isinstance(primitive, Pooling) and primitive.kind == "min":  # the maximum of the negated input
        return FLOAT_BYTES * prod(inputs[0]) + INDEX_BYTES * prod(output)
    if isinstance(primitive, Pooling | AdaptivePooling) and primitive.kind == "max":
        return INDEX_BYTES * prod(output)
    if isinstance(primitive, Dropout):
        return FLOAT_BYTES * prod(output)
    if isinstance(
        primitive, Attention
    ):  # gated input, its distance from the least, factor; the sum where it is a new one
        return (3 + (len(inputs) > 2)) * FLOAT_BYTES * prod(output)
    return 0


def _kept_inputs(primitive: Primitive, inputs: tuple[int, ...]) -> tuple[int, ...]:
    """The inputs that a primitive keeps for the backward pass."""
    if isinstance(primitive, Activation):
        return inputs if primitive.kind in _KEEPS_INPUT_ACTIVATIONS else ()
    if isinstance(primitive, Pooling) and primitive.kind == "min":
        return ()
    if isinstance(primitive, AdaptivePooling) and primitive.kind == "avg" and primitive.size == (1, 1):
        return ()
    if isinstance(primitive, Attention) and len(inputs) > 2:
        return inputs[:1]
    return inputs if isinstance(primitive, _KEEP_INPUTS) else ()


def _keeps_output(primitive: Primitive) -> bool:
    """Whether a primitive keeps its output for the backward pass."""
    return isinstance(primitive, Activation) and primitive.kind not in _KEEPS_INPUT_ACTIVATIONS


def _storage(network: Network, number: int, storage: list[int]) -> int:
    """The node whose tensor a node's output lives in: itself, or one before it that it only re-shapes or hands on."""
    _, primitive, inputs = network.nodes[number]
    if isinstance(primitive, _VIEWS):
        return storage[inputs[0]]
    if isinstance(primitive, Add):
        terms = [j for j in inputs if not isinstance(network.nodes[j].primitive, Zero)]
        if len(terms) < 2:
            return storage[terms[0] if terms else inputs[0]]
    return number


def _live(network: Network) -> list[bool]:
    """Nodes that the gradient of some output or new state flows through: their tensors are kept, all others dropped."""
    nodes = network.nodes
    trained = [False] * len(nodes)  # a parameter lies at or before the node
    for i, (_, primitive, inputs) in enumerate(nodes):
        owns = isinstance(primitive, (*_OWN_PARAMETERS, StateIn))  # old states have parameters behind them
        trained[i] = not isinstance(primitive, Zero) and (owns or any([trained[j] for j in inputs]))
    read = [False] * len(nodes)
    for _, i in network.outputs:
        read[i] = True
    for i, node in enumerate(nodes):
        read[i] = read[i] or isinstance(node.primitive, StateOut)
    for i in range(len(nodes) - 1, -1, -1):
        if read[i] and trained[i]:
            for j in nodes[i].inputs:
                read[j] = True
    return [r and t for r, t in zip(read, trained, strict=True)]


def cost(network: Network) -> Cost:
    """The cost of a network.

    Raises:
        InvalidNetwork: its shapes do not fit.
    """
    shapes = network.shapes
    live = _live(network)
    parameters = multiply_adds = extra = 0
    kept: set[int] = set()
    storage: list[int] = []  # node whose tensor a node's output lives in
    depth: list[int] = []
    for i, (_, primitive, inputs) in enumerate(network.nodes):
        input_shapes = tuple([shapes[j] for j in inputs])
        kind = type(primitive)
        work = 0
        if kind in _OWN_PARAMETERS:
            parameters += _parameters(primitive, input_shapes)
            work = _multiply_adds(primitive, input_shapes, shapes[i])
            multiply_adds += work
        depth.append(max([depth[j] for j in inputs], default=0) + (work > 0))
        storage.append(_storage(network, i, storage))
        if live[i]:
            kept.update([storage[j] for j in _kept_inputs(primitive, inputs)])
            if _keeps_output(primitive):
                kept.add(i)
            extra += _extra_bytes(primitive, input_shapes, shapes[i])
    activation = FLOAT_BYTES * sum([prod(shapes[i]) for i in kept]) + extra
    return Cost(parameters, multiply_adds, activation, depth[network.outputs[0][1]])
