"""The lines of the exported forward pass: those of `nas_train.build`, told so that a reader can follow them.

Lines stand in blocks, one for each cell or stage. A value that a later block reads has the name of its position
("stage0_cell1_node3"); inside a block the block's own name is left out. What is computed for the next layer alone
stands in its brackets, up to three deep, or is called `y`. After each block what nobody reads any more is let go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import NamedTuple

from nas_core.errors import InvalidNetwork
from nas_core.network import Network
from nas_core.primitives import (
    Activation,
    AdaptivePooling,
    Add,
    ChannelSlice,
    Complement,
    Concatenation,
    Crop,
    DropPath,
    Flatten,
    Identity,
    Input,
    Mean,
    Multiply,
    Pad,
    Pooling,
    Primitive,
    Shape,
    StateIn,
    StateOut,
    Zero,
)
from nas_train.build import inputs_read, needed_nodes
from nas_train.export import text
from nas_train.export.layers import square
from nas_train.export.names import attributes, block_of, identifier

DEEPEST = 3
"""How many computations one line puts into one another."""
_PASSING = "y"
_GIVEN = (Input, StateIn)
_HANDED_ON = (Identity, DropPath, StateOut)
_TORCH = frozenset({"sigmoid", "tanh"})


class Expression(NamedTuple):
    """What stands to the right of an equals sign.

    Args:
        start: up to the first operand, such as "F.relu(".
        operands: values, or a call's arguments.
        joint: between them: ", " or an operator with its blanks.
        end: what closes it.
    """

    start: str
    operands: tuple[str, ...]
    joint: str = ", "
    end: str = ")"

    def __str__(self) -> str:
        return f"{self.start}{self.joint.join(self.operands)}{self.end}"

    @property
    def infix(self) -> bool:
        """Whether an operator would tear it apart."""
        return self.joint != ", " and not self.start


@dataclass(frozen=True)
class Line:
    """One statement: the value of a node.

    Args:
        node: number in the network.
        target: the name it gets.
        value: what it is.
        depth: how many computations are put into one another.
    """

    node: int
    target: str
    value: Expression
    depth: int = 1


class Block(NamedTuple):
    """Lines that stand together.

    Args:
        scope: the block's place; "" outside of all scopes.
        lines: in order.
        done: names that nobody reads after it.
    """

    scope: str
    lines: tuple[Line, ...]
    done: tuple[str, ...]


class Forward(NamedTuple):
    """A forward pass on images, or on the vector of one time step, `x`.

    Args:
        blocks: its statements.
        output: the name of the value that it gives.
        states: the name of each state before the step and of its value after it, by the state's own name.
    """

    blocks: tuple[Block, ...]
    output: str
    states: Mapping[str, tuple[str, str]]


def forward_pass(network: Network, layers: Mapping[int, str]) -> Forward:
    """The statements of a network's forward pass.

    Args:
        network: has one output; a state that it gives a new value is one that it reads.
        layers: attribute of the module by node, for nodes that are layers.
    """
    return _Writer(network, layers).forward()


class _Writer:
    """What is known of a network's nodes before their lines are written.

    Attributes:
        origin: for each node that is needed the node whose value it hands on: itself, where it computes one.
        runs: block and nodes, in order.
        readers: by node, the nodes that compute with its value.
        last: by node, the number of the run after which nobody reads its value.
        names: by node, what its value is called.
        before: by the name of a state, the node that reads it.
        after: by the name of a state, the node whose value it takes.
    """

    def __init__(self, network: Network, layers: Mapping[int, str]) -> None:
        self.network, self.layers = network, layers
        needed = needed_nodes(network)
        self.origin: dict[int, int] = {}
        for i in needed:
            node, reads = network.nodes[i], inputs_read(network, network.nodes[i])
            handed_on = isinstance(node.primitive, _HANDED_ON) or (isinstance(node.primitive, Add) and len(reads) == 1)
            self.origin[i] = self.origin[reads[0]] if handed_on else i
        computed = [i for i in needed if self.origin[i] == i]
        self.output = self.origin[network.outputs[0][1]]
        primitives = {i: network.nodes[i].primitive for i in needed}
        self.before = {p.state: i for i, p in primitives.items() if isinstance(p, StateIn)}
        self.after = {p.state: self.origin[i] for i, p in primitives.items() if isinstance(p, StateOut)}
        self.inputs = {i for i in computed if isinstance(network.nodes[i].primitive, _GIVEN)}
        results = {self.output, *self.after.values()}
        lines = [i for i in computed if i not in self.inputs]
        grouped = groupby(lines, lambda i: block_of(network.nodes[i].name))
        self.runs = [(scope, list(nodes)) for scope, nodes in grouped]
        self.readers: dict[int, list[int]] = {i: [] for i in computed}
        for i in lines:
            for j in self._reads(i):
                self.readers[j].append(i)
        run_of = {i: number for number, (_, nodes) in enumerate(self.runs) for i in nodes}
        self.last = {i: max((run_of[j] for j in self.readers[i]), default=0) for i in computed}
        self.last.update(dict.fromkeys(results, len(self.runs)))
        self.names = self._named({i for i in lines if self.last[i] > run_of[i]})
        for _, nodes in self.runs:
            for i, following in pairwise(nodes):
                if self.readers[i] == [following] and self._reads(following) == [i] and i not in results:
                    self.names[i] = _PASSING

    def forward(self) -> Forward:
        """All lines, and the names of what they give."""
        blocks: list[Block] = []
        alive: list[int] = []
        for number, (scope, nodes) in enumerate(self.runs):
            lines: list[Line] = []
            for i in nodes:
                self._append(lines, i)
            alive += [line.node for line in lines]
            done = list(dict.fromkeys(self.names[i] for i in alive if self.last[i] == number))
            alive = [i for i in alive if self.last[i] > number]
            let_go = number + 1 < len(self.runs) and not self.before  # the vectors of a time step are small
            blocks.append(Block(scope, tuple(lines), tuple(done) if let_go else ()))
        states = {name: (self.names[i], self.names[self.after[name]]) for name, i in self.before.items()}
        return Forward(tuple(blocks), self.names[self.output], states)

    def _reads(self, i: int) -> list[int]:
        """The nodes whose values a node's line names."""
        return [self.origin[j] for j in inputs_read(self.network, self.network.nodes[i])]

    def _named(self, crossing: Set[int]) -> dict[int, str]:
        """Names of values: of the whole position where another block reads it, else without the block's."""
        nodes = self.network.nodes
        whole = attributes(nodes[i].name for i in self.readers)
        entry = {i: "x" for i in self.inputs if isinstance(nodes[i].primitive, Input)}
        names = {i: whole[nodes[i].name] for i in crossing | self.inputs} | entry
        outside = set(names.values())
        for scope, members in self.runs:
            taken = set(outside)
            for i in members:
                if i not in crossing:
                    short = nodes[i].name.removeprefix(f"{scope}.").replace(".", "_")
                    plain = short == identifier(short) and short not in taken
                    names[i] = short if plain else whole[nodes[i].name]
                    taken.add(names[i])
        return names

    def _append(self, lines: list[Line], i: int) -> None:
        """The line of a node; one that is alone in reading the line before takes it into its brackets where it fits."""
        if lines and lines[-1].target == _PASSING:
            before = lines[-1]
            value = self._value(i, [str(before.value)])
            takes = not before.value.infix or value.start.endswith("(")
            if takes and before.depth < DEEPEST and text.fits(f"{self.names[i]} = {value}"):
                lines[-1] = Line(i, self.names[i], value, before.depth + 1)
                return
        value = self._value(i, [self.names[j] for j in self._reads(i)])
        lines.append(Line(i, self.names[i], value))

    def _value(self, i: int, inputs: list[str]) -> Expression:
        """What a node computes of its inputs."""
        if i in self.layers:
            return Expression(f"self.{self.layers[i]}(", tuple(inputs))
        return _expression(self.network.nodes[i].primitive, inputs, self.network.shapes[i])


def _expression(primitive: Primitive, inputs: Sequence[str], shape: Shape) -> Expression:
    """What a primitive that is no layer computes."""
    first = inputs[0] if inputs else ""
    match primitive:
        case Zero():
            return Expression("zeros(", ("x", f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"))
        case Activation(kind):
            return Expression(f"{'torch' if kind in _TORCH else 'F'}.{kind}(", (first,))
        case Pooling(kind, kernel, stride, padding):
            function = "min_pool2d(" if kind == "min" else f"F.{kind}_pool2d("
            more = ("count_include_pad=False",) if kind == "avg" else ()
            return Expression(function, (first, square(kernel), square(stride), square(padding), *more))
        case AdaptivePooling(size, kind):
            return Expression(f"F.adaptive_{kind}_pool2d(", (first, square(size)))
        case Crop(top, left):
            return Expression(f"{first}[", (":", ":", f"{top or ''}:", f"{left or ''}:"), end="]")
        case Pad((top, bottom, left, right)):
            return Expression("F.pad(", (first, f"({left}, {right}, {top}, {bottom})"))
        case ChannelSlice(start, stop):
            return Expression(f"{first}[", (":", f"{start}:{stop}"), end="]")
        case Add():
            return Expression("", tuple(inputs), " + ", "")
        case Mean():
            brackets = ("(", ")") if len(inputs) > 1 else ("", "")
            return Expression(brackets[0], tuple(inputs), " + ", f"{brackets[1]} / {len(inputs)}")
        case Multiply():
            return Expression("", tuple(inputs), " * ", "")
        case Complement():
            return Expression("", ("1.0", first), " - ", "")
        case Concatenation():
            return Expression("torch.cat([", tuple(inputs), end="], dim=1)")
        case Flatten():
            return Expression("torch.flatten(", (first, "1"))
    raise InvalidNetwork(
        "this cannot be exported", value=primitive, expected="a primitive of classifiers and of recurrent cells"
    )


def statement(start: str, value: Expression) -> list[str]:
    """The lines that a value takes, without indentation.

    Args:
        start: what stands before the value: "return " or "name = ".
        value: what stands there.
    """
    if text.fits(f"{start}{value}"):
        return [f"{start}{value}"]
    if value.joint == " + ":
        return _long_sum(start, value)
    if not text.fits(f"{start}{value.start}"):
        return [*statement(f"{_PASSING} = ", value), f"{start}{_PASSING}"]
    if value.end == "], dim=1)":
        return _long_concatenation(start, value)
    return text.call(f"{start}{value.start}", value.operands, value.end)


def _long_sum(start: str, value: Expression) -> list[str]:
    """A sum, or a mean, in several statements; the terms are added in the same order."""
    lines: list[str] = []
    total = value.operands[0]
    for operand in value.operands[1:]:
        longer = f"{total} + {operand}"
        if not text.fits(f"{_PASSING} = {longer}"):
            lines.append(f"{_PASSING} = {total}")
            longer = f"{_PASSING} + {operand}"
        total = longer
    divisor = value.end.removeprefix(")")
    if divisor or not text.fits(f"{start}{total}"):
        lines.append(f"{_PASSING} = {total}")
        total = f"{_PASSING}{divisor}"
    return [*lines, f"{start}{total}"]


def _long_concatenation(start: str, value: Expression) -> list[str]:
    """A concatenation with its arguments on a line of their own, or on one each."""
    together = f"    [{', '.join(value.operands)}], dim=1"
    if text.fits(together):
        return [f"{start}torch.cat(", together, ")"]
    each = [f"        {one}," for one in value.operands]
    return [f"{start}torch.cat(", "    [", *each, "    ],", "    dim=1,", ")"]
