"""One time step of an ENAS recurrent cell as a network (Pham et al. 2018, section 2.1 and the authors' code).

With x the step's vector, h the old state, node j reading node i and activation f_j:

    node 0   c = sigmoid([x, h] U),  s_0 = c · f_0([x, h] W) + (1 - c) · h
    node j   c = sigmoid(s_i U),     s_j = c · f_j(s_i W)    + (1 - c) · s_i

The new state, which is also the output "hidden", is the mean of some of the nodes. U and W are the two halves of one
matrix without bias. It belongs to the pair (i, j), as in ENAS, so that cells on one bank of weights share it where they
agree on the pair. NAO's text writes a node as f_j(s_i W) alone; that is `highway=False`. DARTS has the same gates (its
s_i + c · (f - s_i) is the same number) and one matrix a node j, which makes no difference to a cell by itself. Dropout
and the batch normalisation that DARTS searches with are no part of the cell.
"""

from __future__ import annotations

from collections.abc import Sequence

from nas_core.errors import InvalidNetwork
from nas_core.network import Network, NetworkBuilder, Task
from nas_core.primitives import (
    Activation,
    Add,
    ChannelSlice,
    Complement,
    Concatenation,
    Linear,
    Mean,
    Multiply,
    StateIn,
    StateOut,
)
from nas_spaces.nasbench_nlp_network import checked_width

_GATE = Activation("sigmoid")


def build(
    first: str, nodes: Sequence[tuple[int, str]], outputs: Sequence[int], task: Task, hidden: int | None, highway: bool
) -> Network:
    """One time step of a cell.

    Args:
        first: the activation of node 0.
        nodes: source and activation of each further node.
        outputs: the nodes whose mean is the new state.
        task: language.
        hidden: width of the state; None for that of the input.
        highway: with gates.

    Raises:
        InvalidNetwork: the task is another, or an option does not fit.
    """
    width = checked_width(task, hidden)
    if not isinstance(highway, bool):
        raise InvalidNetwork("highway cannot be set", value=highway, expected="true or false")
    b = NetworkBuilder(task)
    x = b.input()
    h = b.add("h_prev", StateIn("h_0", (width,)))
    with b.scope("node_0"):
        joined = b.add("joined", Concatenation(), x, h)
        values = [_node(b, first, joined, h, width, highway)]
    for j, (i, activation) in enumerate(nodes, start=1):
        with b.scope(f"node_{j}"), b.scope(f"from_{i}"):
            values.append(_node(b, activation, values[i], values[i], width, highway))
    mean = b.add("mean", Mean(), *[values[j] for j in outputs])
    b.add("h_new", StateOut("h_0"), mean)
    return b.network(hidden=mean)


def _node(b: NetworkBuilder, activation: str, read: int, carried: int, width: int, highway: bool) -> int:
    product = b.add("linear", Linear(2 * width if highway else width, bias=False), read)
    if not highway:
        return _activated(b, activation, product)
    gate = b.add("gate", _GATE, b.add("gate_half", ChannelSlice(0, width), product))
    value = _activated(b, activation, b.add("value_half", ChannelSlice(width, 2 * width), product))
    new = b.add("new", Multiply(), gate, value)
    old = b.add("old", Multiply(), b.add("complement", Complement(), gate), carried)
    return b.add("sum", Add(), new, old)


def _activated(b: NetworkBuilder, activation: str, x: int) -> int:
    return x if activation == "identity" else b.add(activation, Activation(activation), x)
