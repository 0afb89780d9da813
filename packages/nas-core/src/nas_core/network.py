"""Networks: one framework-free description, read by the cost model, the torch builder, the drawing and shared weights.

A network is a list of named nodes in topological order. A node's name is its position ("stage0.cell2.edge1_0.conv"):
its parameters are `<name>.<parameter>`, so that two networks that are built on one bank of parameters share exactly
what stands at the same position. Dots group nodes for drawing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from nas_core.errors import InvalidNetwork
from nas_core.primitives import (
    Input,
    Primitive,
    Shape,
    StateOut,
    infer,
    primitive_from_config,
    primitive_to_config,
)

TASKS = ("classification", "language")


@dataclass(frozen=True)
class Task:
    """What a network is for.

    Args:
        kind: "classification" of images or "language" modelling.
        input_shape: (c, h, w) of an image; (d,) of one time step's vector.
        classes: number of classes, or of words.
    """

    kind: str
    input_shape: Shape
    classes: int

    def __post_init__(self) -> None:
        if self.kind not in TASKS:
            raise InvalidNetwork("no such task", value=self.kind, expected="one of " + ", ".join(TASKS))
        object.__setattr__(self, "input_shape", tuple(int(size) for size in self.input_shape))
        if len(self.input_shape) != {"classification": 3, "language": 1}[self.kind] or min(self.input_shape) < 1:
            raise InvalidNetwork(f"a wrong input shape for {self.kind}", value=self.input_shape)
        if self.classes < 2:
            raise InvalidNetwork("a task needs at least two classes", value=self.classes)

    def to_config(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": self.kind, "input_shape": list(self.input_shape), "classes": self.classes}


class Node(NamedTuple):
    """One step of a network."""

    name: str
    primitive: Primitive
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class Network:
    """A whole neural network.

    Args:
        task: what it is for.
        nodes: in topological order; a node reads only earlier ones.
        outputs: (name, node number); "logits" first, "auxiliary" where there is an auxiliary head.
    """

    task: Task
    nodes: tuple[Node, ...]
    outputs: tuple[tuple[str, int], ...]

    def __post_init__(self) -> None:
        if len({node.name for node in self.nodes}) < len(self.nodes):
            names = [node.name for node in self.nodes]
            raise InvalidNetwork("two nodes with one name", value=next(n for n in names if names.count(n) > 1))
        for i, node in enumerate(self.nodes):
            if any(not 0 <= source < i for source in node.inputs):
                raise InvalidNetwork(f"node {node.name!r} reads a node that is not before it", value=node.inputs)
        if not self.outputs or any(not 0 <= i < len(self.nodes) for _, i in self.outputs):
            raise InvalidNetwork("a network needs outputs among its nodes", value=self.outputs)

    @cached_property
    def shapes(self) -> tuple[Shape, ...]:
        """Output shape of every node.

        Raises:
            InvalidNetwork: the shapes do not fit; the message names the node.
        """
        shapes: list[Shape] = []
        for node in self.nodes:
            shapes.append(_infer_at(node.name, node.primitive, tuple([shapes[i] for i in node.inputs])))
        return tuple(shapes)

    def parameters(self) -> Iterator[tuple[str, Shape]]:
        """Every parameter's position name and shape, in node order."""
        for node in self.nodes:
            for name, shape in node.primitive.parameters(tuple([self.shapes[i] for i in node.inputs])):
                yield f"{node.name}.{name}", shape

    def pruned(self) -> Network:
        """Without the nodes that no output depends on, now or by way of a state at later time steps."""
        needed = {i for _, i in self.outputs} | {
            i for i, node in enumerate(self.nodes) if isinstance(node.primitive, StateOut)
        }
        for i in range(len(self.nodes) - 1, -1, -1):
            if i in needed:
                needed.update(self.nodes[i].inputs)
        kept = sorted(needed | {i for i, node in enumerate(self.nodes) if isinstance(node.primitive, Input)})
        number = {old: new for new, old in enumerate(kept)}
        nodes = tuple(self.nodes[i]._replace(inputs=tuple(number[j] for j in self.nodes[i].inputs)) for i in kept)
        return Network(self.task, nodes, tuple((name, number[i]) for name, i in self.outputs))

    def to_config(self) -> dict[str, Any]:
        """Plain data that `from_config` reads back."""
        nodes = [[node.name, primitive_to_config(node.primitive), list(node.inputs)] for node in self.nodes]
        return {"task": self.task.to_config(), "nodes": nodes, "outputs": [list(output) for output in self.outputs]}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Network:
        """The network of `to_config`'s data.

        Raises:
            InvalidNetwork: the data describe none.
        """
        try:
            task = Task(**config["task"])
            nodes = tuple(Node(str(n), primitive_from_config(p), tuple(map(int, i))) for n, p, i in config["nodes"])
            outputs = tuple((str(name), int(i)) for name, i in config["outputs"])
        except (KeyError, TypeError, ValueError) as error:
            raise InvalidNetwork("not the description of a network", value=error) from error
        return cls(task, nodes, outputs)


def _infer_at(name: str, primitive: Primitive, inputs: tuple[Shape, ...]) -> Shape:
    try:
        return infer(primitive, inputs)
    except InvalidNetwork as error:
        raise error.at(f"node {name!r}") from None


class NetworkBuilder:
    """Grows a network node by node, with shapes known at every step and names from nested scopes.

    ```
    b = NetworkBuilder(task)
    x = b.input()
    with b.scope("stem"):
        x = b.add("conv", Convolution(16, (3, 3), padding=(1, 1)), x)
    network = b.network(logits=x)
    ```
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self._nodes: list[Node] = []
        self._shapes: list[Shape] = []
        self._prefix = ""

    def input(self, name: str = "input") -> int:
        """The node where the task's data enter."""
        return self.add(name, Input(self.task.input_shape))

    @contextmanager
    def scope(self, name: str) -> Iterator[None]:
        """Names of nodes added inside begin with `name` and a dot."""
        outer, self._prefix = self._prefix, f"{self._prefix}{name}."
        try:
            yield
        finally:
            self._prefix = outer

    def add(self, name: str, primitive: Primitive, *inputs: int) -> int:
        """Append a node; returns its number.

        Raises:
            InvalidNetwork: the inputs' shapes do not fit.
        """
        full = self._prefix + name
        shapes = self._shapes
        shapes.append(_infer_at(full, primitive, tuple([shapes[i] for i in inputs])))
        self._nodes.append(Node(full, primitive, inputs))
        return len(shapes) - 1

    def shape(self, node: int) -> Shape:
        """Output shape of a node."""
        return self._shapes[node]

    def network(self, **outputs: int) -> Network:
        """The finished network; outputs by name, "logits" first."""
        network = Network(self.task, tuple(self._nodes), tuple(outputs.items()))
        network.__dict__["shapes"] = tuple(self._shapes)
        return network
