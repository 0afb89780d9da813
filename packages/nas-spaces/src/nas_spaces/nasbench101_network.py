"""The network of a NAS-Bench-101 cell (Ying et al. 2019, section 2; channels as in the published benchmark).

A 3x3 convolution, stacks of equal cells with halved images and doubled channels from one to the next, global mean and a
linear map. Every convolution is followed by normalisation and ReLU. Within a cell

* an edge from the input carries a 1x1 convolution; another edge hands on as many channels as its target has, the first
  ones where its source has more;
* a vertex adds what it reads and applies its operation;
* the output is its inner sources side by side, plus the input by a 1x1 convolution where there is such an edge.

The vertices that feed the output share its channels, the first ones one more where they do not divide; every other
vertex has the most of those that it feeds.
"""

from __future__ import annotations

from nas_core.catalogue import classifier, conv_norm_relu, same_pooling
from nas_core.errors import InvalidNetwork
from nas_core.network import Network, NetworkBuilder, Task
from nas_core.primitives import Add, ChannelSlice, Concatenation, Pooling
from nas_spaces.nasbench101_wirings import Operations, Wiring, edges_of

_KERNELS = (3, 1)  # of operations 0 and 1; operation 2 is the maximum
_ADD, _JOIN, _HALVE = Add(), Concatenation(), Pooling("max", (2, 2), (2, 2))


def build(wiring: Wiring, operations: Operations, task: Task, channels: int, stacks: int, cells: int) -> Network:
    """The network of a cell.

    Args:
        wiring: its wiring.
        operations: those of its inner vertices.
        task: images to classify.
        channels: of the stem and the first stack.
        stacks: number of stacks.
        cells: number of cells of each stack.

    Raises:
        InvalidNetwork: another task, an image too small, an option that is no positive whole number, or fewer channels
            than vertices that share them.
    """
    if task.kind != "classification":
        raise InvalidNetwork("a cell of NAS-Bench-101 classifies images", value=task.kind, expected="classification")
    for option, value in (("channels", channels), ("stacks", stacks), ("cells", cells)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InvalidNetwork(f"{option} cannot be set", value=value, expected="a whole number from 1")
    b = NetworkBuilder(task)
    with b.scope("stem"):
        x = conv_norm_relu(b, b.input(), channels, 3)
    for stack in range(stacks):
        with b.scope(f"stack{stack}"):
            if stack:
                x = b.add("halve", _HALVE, x)
            for cell in range(cells):
                with b.scope(f"cell{cell}"):
                    x = _cell(b, x, wiring, operations, channels << stack)
    with b.scope("head"):
        return b.network(logits=classifier(b, x))


def vertex_channels(wiring: Wiring, vertices: int, channels: int) -> list[int]:
    """Output channels of each of the v vertices of a cell; 0 for the input, which keeps its own.

    Raises:
        InvalidNetwork: fewer channels than vertices that share them.
    """
    edges, output = edges_of(wiring), vertices - 1
    sharing = [i for i, j in edges if j == output and i > 0]
    if len(sharing) > channels:
        raise InvalidNetwork("too few channels", value=channels, expected=f"at least {len(sharing)} for this cell")
    found = [0] * output + [channels]
    for place, vertex in enumerate(sharing):
        found[vertex] = channels // len(sharing) + (place < channels % len(sharing))
    for vertex in range(output - 1, 0, -1):
        if vertex not in sharing:
            found[vertex] = max([found[j] for i, j in edges if i == vertex])
    return found


def _cell(b: NetworkBuilder, x: int, wiring: Wiring, operations: Operations, channels: int) -> int:
    """Append a cell that reads node x; the number of its last node."""
    edges, output = edges_of(wiring), len(operations) + 1
    sizes = vertex_channels(wiring, output + 1, channels)
    values = [x]
    for vertex, operation in enumerate(operations, start=1):
        with b.scope(f"vertex{vertex}"):
            read = [_edge(b, values[i], i, sizes[vertex]) for i, j in edges if j == vertex]
            total = b.add("add", _ADD, *read) if len(read) > 1 else read[0]
            values.append(_operation(b, total, operation, sizes[vertex]))
    with b.scope("output"):
        inner = [values[i] for i, j in edges if j == output and i > 0]
        parts = [b.add("join", _JOIN, *inner)] if len(inner) > 1 else inner
        if (0, output) in edges:
            parts = [*parts, _edge(b, x, 0, channels)]
        return b.add("add", _ADD, *parts) if len(parts) > 1 else parts[0]


def _edge(b: NetworkBuilder, value: int, source: int, channels: int) -> int:
    if source == 0:
        with b.scope("input"):
            return conv_norm_relu(b, value, channels, 1)
    return value if b.shape(value)[0] == channels else b.add(f"first{source}", ChannelSlice(0, channels), value)


def _operation(b: NetworkBuilder, value: int, operation: int, channels: int) -> int:
    if operation == len(_KERNELS):
        return b.add("maxpool3x3", same_pooling("max", 3), value)
    kernel = _KERNELS[operation]
    with b.scope(f"conv{kernel}x{kernel}"):
        return conv_norm_relu(b, value, channels, kernel)
