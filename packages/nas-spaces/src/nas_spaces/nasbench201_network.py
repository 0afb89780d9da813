"""The network of a NAS-Bench-201 cell (Dong and Yang, ICLR 2020, figure 1 and section 2.1).

A 3x3 convolution with normalisation; three stages of equal cells with C, 2C and 4C channels; between stages a residual
block that halves the image; normalisation, ReLU, global mean and a linear map. Node j of a cell is the sum of the
operations on its edges, which are

    none           zeros
    skip_connect   the identity
    nor_conv_kxk   ReLU, convolution without bias, normalisation
    avg_pool_3x3   the mean over a window, padding not counted

The operation is part of a node's name ("stage0.cell0.edge1_0.nor_conv_3x3.conv"), so that networks on one bank of
weights share an edge's parameters where they agree on its operation.

A pruned network computes the same function of the same parameters, in training too, without what cannot change it.
A node of the cell is a zero node if each of its edges carries *none*, or a *skip_connect* or *avg_pool_3x3* from a zero
node.

* a term of a sum that is zero is dropped, a sum without terms is one zero;
* a convolution of a zero node is zero too, and only its normalisation is kept, which adds a learnt constant;
* what only dropped terms read is dropped. Where the cell's output does not depend on its input, this is all of the
  network but the head and what the last cell adds.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from nas_core.catalogue import classifier, conv_norm, norm_relu, relu_conv_norm, same_convolution, same_pooling
from nas_core.errors import InvalidNetwork
from nas_core.network import Network, NetworkBuilder, Task
from nas_core.primitives import Add, ChannelSlice, Concatenation, Identity, Normalisation, Pooling, Zero

_EDGES = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))  # (target, source), in the order of the decisions
_STAGES = 3
_KERNELS = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}
_ADD, _ZERO, _NORMALISATION = Add(), Zero(), Normalisation()
_PLAIN = {"none": _ZERO, "skip_connect": Identity(), "avg_pool_3x3": same_pooling("avg", 3)}
_HALF = Pooling("avg", (2, 2), (2, 2))


def build(operations: tuple[str, ...], task: Task, channels: int, cells: int, pruned: bool) -> Network:
    """The network of a cell.

    Args:
        operations: the six operations in the order of the decisions.
        task: images to classify.
        channels: C.
        cells: cells a stage.
        pruned: without what cannot change the output.

    Raises:
        InvalidNetwork: the task is no classification, the image cannot be halved twice, or an option is no positive
            whole number.
    """
    _check(task, channels, cells)
    b = NetworkBuilder(task)
    x = b.input()
    plan = _plan(operations) if pruned else _everything(operations)
    if plan.reads_input:
        x = _trunk(b, x, plan, channels, cells)
    else:
        x = _zeros(b, x, channels * 2 ** (_STAGES - 1))
        x = _cell(b, x, plan, f"stage{_STAGES - 1}.cell{cells - 1}")
    with b.scope("head"):
        return b.network(logits=classifier(b, norm_relu(b, x)))


class _Term(NamedTuple):
    """An edge that is built: name, operation, and source; None for a convolution of zeros."""

    name: str
    operation: str
    source: int | None


class _Plan(NamedTuple):
    """What is built of a cell.

    Args:
        nodes: the terms of the sums at nodes 1 to 3; none where nothing reads the node, or the cell gives zeros.
        reads_input: whether the output depends on the input.
    """

    nodes: tuple[tuple[_Term, ...], ...]
    reads_input: bool


def _check(task: Task, channels: int, cells: int) -> None:
    if task.kind != "classification":
        raise InvalidNetwork("a NAS-Bench-201 network classifies images", value=task.kind, expected="classification")
    for name, value in (("channels", channels), ("cells", cells)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InvalidNetwork(f"{name} cannot be set", value=value, expected="a whole number of at least 1")
    if any(size % 4 for size in task.input_shape[1:]):
        raise InvalidNetwork(
            "a NAS-Bench-201 network halves its images twice",
            value=task.input_shape,
            expected="height and width that are multiples of 4",
            remedy="Pad the images.",
        )


def _name(target: int, source: int, operation: str) -> str:
    return f"edge{target}_{source}.{operation}"


@lru_cache(maxsize=1 << 10)
def _everything(operations: tuple[str, ...]) -> _Plan:
    nodes: tuple[list[_Term], ...] = ([], [], [])
    for op, (target, source) in zip(operations, _EDGES, strict=True):
        nodes[target - 1].append(_Term(_name(target, source, op), op, source))
    return _Plan(tuple(map(tuple, nodes)), True)


@lru_cache(maxsize=1 << 10)
def _plan(operations: tuple[str, ...]) -> _Plan:
    """What a pruned cell keeps; see the module for the rules."""
    zero, terms = {1, 2, 3}, []
    for op, (target, source) in zip(operations, _EDGES, strict=True):
        if op in _KERNELS or (op != "none" and source not in zero):
            zero.discard(target)
            terms.append((target, _Term(_name(target, source, op), op, None if source in zero else source)))
    read: set[int | None] = {3}
    for target, term in reversed(terms):  # targets descend: whether a node is read is settled before its own terms
        if target in read:
            read.add(term.source)
    nodes = (tuple(term for target, term in terms if target == node and node in read) for node in (1, 2, 3))
    return _Plan(tuple(nodes), 0 in read)


def _trunk(b: NetworkBuilder, x: int, plan: _Plan, channels: int, cells: int) -> int:
    with b.scope("stem"):
        x = conv_norm(b, x, channels, 3)
    for stage in range(_STAGES):
        if stage:
            with b.scope(f"reduction{stage}"):
                x = _reduction(b, x, channels * 2**stage)
        for cell in range(cells):
            x = _cell(b, x, plan, f"stage{stage}.cell{cell}")
    return x


def _reduction(b: NetworkBuilder, x: int, channels: int) -> int:
    with b.scope("first"):
        y = relu_conv_norm(b, x, channels, 3, 2)
    with b.scope("second"):
        y = relu_conv_norm(b, y, channels, 3)
    with b.scope("shortcut"):
        x = b.add("conv", same_convolution(channels, 1), b.add("pool", _HALF, x))
    return b.add("sum", _ADD, x, y)


def _cell(b: NetworkBuilder, x: int, plan: _Plan, scope: str) -> int:
    nodes = [x]
    with b.scope(scope):
        for number, terms in enumerate(plan.nodes, start=1):
            ys = [_operation(b, term, x if term.source is None else nodes[term.source]) for term in terms]
            if len(ys) == 1:
                nodes.append(ys[0])
            elif ys or number == len(plan.nodes):
                nodes.append(b.add(f"node{number}", _ADD, *ys) if ys else b.add(f"node{number}", _ZERO, x))
            else:
                nodes.append(x)  # nothing reads it
    return nodes[-1]


def _operation(b: NetworkBuilder, term: _Term, x: int) -> int:
    if term.operation in _PLAIN:
        return b.add(term.name, _PLAIN[term.operation], x)
    with b.scope(term.name):
        if term.source is None:
            return b.add("norm", _NORMALISATION, b.add("zero", _ZERO, x))
        return relu_conv_norm(b, x, b.shape(x)[0], _KERNELS[term.operation])


def _zeros(b: NetworkBuilder, x: int, channels: int) -> int:
    """Zeros in the shape of the last cell's input, made of the image's shape alone."""
    x = b.add("zero", Zero(2 ** (_STAGES - 1)), x)
    copies = -(-channels // b.shape(x)[0])
    x = b.add("zeros", Concatenation(), *[x] * copies)
    return b.add("width", ChannelSlice(0, channels), x)
