"""Concatenations taken apart: one linear map of several tensors side by side is a sum of maps, one of each tensor.

A map of a concatenation has a kernel as wide as what a member happens to concatenate, so that two members differ in
its shape and cannot share it on one bank of weights. Taken apart, `sum_i W_i x_i` in place of `W [x_1, x_2, …]`, each
W_i belongs to one source at one position and has one shape in all members (Pham et al. 2018, ENAS, keep such a kernel
for each node of a cell). The functions are the same: the W_i are the slices of W. Only a bias counts once for each
source.
"""

from __future__ import annotations

from typing import Final

from nas_core.errors import InvalidNetwork
from nas_core.network import Network, NetworkBuilder, Node
from nas_core.primitives import (
    Activation,
    AdaptivePooling,
    Add,
    Concatenation,
    Convolution,
    Crop,
    Flatten,
    Linear,
    Pad,
    Pooling,
)

_CHANNEL_BY_CHANNEL: Final = (Activation, Pooling, AdaptivePooling, Pad, Crop, Flatten)
_ADD: Final = Add()

Parts = tuple[tuple[str, int], ...]
"""What is concatenated: for each source its label and its node in the new network."""


def split(network: Network, name: str) -> Network:
    """A network of the same function without its concatenations of a name.

    What reads such a concatenation becomes one node for each source, named `<name>.<source>`: channel by channel up to
    the next linear map, whose results are summed. The sources are called by their first scope below that of the
    concatenation: "node3" for "cell0.node3.sum" in "cell0.concat".

    Args:
        network: what to take apart.
        name: the last part of the names of the concatenations ("concat"); one of a single tensor is taken apart too.

    Raises:
        InvalidNetwork: something else than a linear map reads a concatenation in the end, or a map in groups does.
    """
    b = NetworkBuilder(network.task)
    numbers: dict[int, int] = {}
    apart: dict[int, Parts] = {}
    for i, node in enumerate(network.nodes):
        scope, _, last = node.name.rpartition(".")
        if isinstance(node.primitive, Concatenation) and last == name:
            apart[i] = tuple((_label(network.nodes[j].name, scope), numbers[j]) for j in node.inputs)
        elif any(j in apart for j in node.inputs):
            _read(b, i, node, apart, numbers)
        else:
            numbers[i] = b.add(node.name, node.primitive, *(numbers[j] for j in node.inputs))
    left = next((output for output, i in network.outputs if i in apart), None)
    if left is not None:
        raise InvalidNetwork("an output of a network is a concatenation that is taken apart", value=left)
    return b.network(**{output: numbers[i] for output, i in network.outputs})


def _label(source: str, scope: str) -> str:
    return source.removeprefix(f"{scope}.").partition(".")[0]


def _read(b: NetworkBuilder, i: int, node: Node, apart: dict[int, Parts], numbers: dict[int, int]) -> None:
    """Append node `i`, which reads a concatenation, once for each source."""
    primitive = node.primitive
    linear = isinstance(primitive, Linear) or (isinstance(primitive, Convolution) and primitive.groups == 1)
    if len(node.inputs) > 1 or not (linear or isinstance(primitive, _CHANNEL_BY_CHANNEL)):
        raise InvalidNetwork(
            "a concatenation that is read by this node cannot be taken apart",
            value=node.name,
            expected="linear maps behind what works channel by channel",
        )
    read = tuple((label, b.add(f"{node.name}.{label}", primitive, x)) for label, x in apart[node.inputs[0]])
    if linear:
        numbers[i] = b.add(f"{node.name}.sum", _ADD, *(x for _, x in read))
    else:
        apart[i] = read
