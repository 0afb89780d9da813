"""From a `Network` to a torch module with straight-line code.

The code is generated through a torch.fx graph: one line a node that an output needs, and a tensor is let go right after
the last line that reads it. Every primitive with parameters is a submodule at its position: node "stage0.cell1.conv" is
`module.stage0.cell1.conv`, and its kernel is "stage0.cell1.conv.weight" in the state dict, as in `Network.parameters`.
Nodes that no output needs keep their parameters, which benchmarks count, and are never run.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any, final

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from nas_core.errors import InvalidNetwork
from nas_core.network import Network, Node
from nas_core.primitives import (
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
)
from nas_core.random import derived_seed
from nas_train import modules

_ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "leaky_relu": F.leaky_relu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "hardswish": F.hardswish,
    "silu": F.silu,
    "gelu": F.gelu,
}


@final
class BuiltNetwork(nn.Module):
    """A network that runs. Made by `build`.

    Attributes:
        network: what it was built from.
        code: the Python source that `forward` runs.
    """

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network
        self.stateful = any(isinstance(node.primitive, StateIn | StateOut) for node in network.nodes)
        self.code, self._run = _generate(network, self.stateful)
        for node in network.nodes:
            part = _submodule(node.primitive, tuple(network.shapes[i] for i in node.inputs))
            if part is not None:
                _place(self, node.name, part)

    def forward(self, x: Tensor, states: Mapping[str, Tensor] | None = None) -> Any:
        """Run it.

        Args:
            x: b x c x h x w images, or b x d vectors of one time step.
            states: b x d recurrent states by name, where the network has any; None for zeros.

        Returns:
            The logits (b x k) where they are the only output, otherwise every output by name; for a recurrent network a
            pair of that and the new states by name.
        """
        if not self.stateful:
            return self._run(self, x)
        if states is None:
            sizes = {
                n.primitive.state: n.primitive.size for n in self.network.nodes if isinstance(n.primitive, StateIn)
            }
            states = {name: modules.zeros(x, size) for name, size in sizes.items()}
        return self._run(self, x, states)


def build(network: Network, *, seed: int = 0, dtype: torch.dtype | None = None) -> BuiltNetwork:
    """The torch module of a network, with initial weights.

    Args:
        network: what to build.
        seed: of the initial weights; the same on every device.
        dtype: of parameters and buffers; None for torch's default.

    Returns:
        A module in training mode on the CPU. Its trainable numbers are as many as `nas_core.cost.cost` says.

    Raises:
        InvalidNetwork: shapes do not fit, or a node's name cannot be an attribute of a module.
    """
    module = BuiltNetwork(network)
    initialise(module, seed)
    return module if dtype is None else module.to(dtype)


def initialise(module: BuiltNetwork, seed: int) -> None:
    """Give every parameter and running statistic its initial value.

    A value depends on the seed and on the parameter's name alone, so that two networks start alike where they are
    alike. Convolutions: normal with variance 2 / fan-out (He et al. 2015). Linear maps: uniform within
    1 / sqrt(fan-in), torch's default. Normalisation: scale 1, shift 0. Learnt weights of sums: `WeightedSum.initial`;
    of attention: 1.
    """
    parts = dict(module.named_modules())
    with torch.no_grad():
        for node in module.network.nodes:
            part = parts.get(node.name)
            if part is None:
                continue
            for name, parameter in part.named_parameters(recurse=False):
                generator = torch.Generator().manual_seed(derived_seed(seed, "initialise", f"{node.name}.{name}"))
                parameter.copy_(_initial(node.primitive, name, parameter, part, generator))
            if isinstance(part, modules.BatchNorm):
                part.running_mean.zero_()
                part.running_var.fill_(1.0)


def _initial(primitive: Primitive, name: str, parameter: Tensor, part: nn.Module, generator: torch.Generator) -> Tensor:
    """The initial value of one parameter, on the CPU."""
    shape = parameter.shape
    if isinstance(primitive, Convolution) and name == "weight":
        fan_out = primitive.out_channels // primitive.groups * math.prod(primitive.kernel)
        return torch.randn(shape, generator=generator) * math.sqrt(2.0 / fan_out)
    if isinstance(part, nn.Linear):
        bound = 1.0 / math.sqrt(part.in_features)
        return (torch.rand(shape, generator=generator) * 2.0 - 1.0) * bound
    if isinstance(primitive, WeightedSum):
        return torch.full(shape, primitive.initial)
    if isinstance(primitive, Attention) or (isinstance(primitive, Normalisation) and name == "weight"):
        return torch.ones(shape)
    return torch.zeros(shape)


def _submodule(primitive: Primitive, inputs: tuple[Shape, ...]) -> nn.Module | None:
    """The module of a primitive that has parameters, running statistics or noise; None for all others."""
    match primitive:
        case Convolution(out, kernel, stride, padding, dilation, groups, bias):
            return modules.Conv2d(inputs[0][0], out, kernel, stride, padding, dilation, groups, bias)
        case Linear(out, bias):
            return modules.Linear(inputs[0][-1], out, bias)
        case Normalisation(affine, momentum, epsilon):
            return modules.BatchNorm(inputs[0][0], affine, momentum, epsilon)
        case WeightedSum():
            return modules.WeightedSum(len(inputs))
        case Attention():
            return modules.Attention()
        case Dropout(probability):
            return modules.Dropout(probability)
        case DropPath(depth):
            return modules.DropPath(depth)
    return None


def _place(root: nn.Module, name: str, part: nn.Module) -> None:
    """Make `part` reachable as root.<name>, with plain modules for the scopes on the way."""
    *scopes, last = name.split(".")
    try:
        for scope in scopes:
            if scope not in root._modules:
                root.add_module(scope, nn.Module())
            root = root.get_submodule(scope)
        if last in root._modules:
            raise KeyError("it is the scope of other nodes")
        root.add_module(last, part)
    except KeyError as error:
        raise InvalidNetwork(
            f"a node's name cannot be an attribute of a module ({error.args[0]})",
            value=name,
            expected="words joined by dots, none of them a name that torch.nn.Module uses itself",
        ) from None


def _generate(network: Network, stateful: bool) -> tuple[str, Callable[..., Any]]:
    """Source and function of a network's forward pass; the function takes the module, the input and the states."""
    graph = fx.Graph()
    x = graph.placeholder("x")
    states = graph.placeholder("states") if stateful else None
    values: dict[int, fx.Node] = {}
    new_states: dict[str, fx.Node] = {}
    for i in needed_nodes(network):
        node = network.nodes[i]
        inputs = [values[j] for j in inputs_read(network, node)]
        if isinstance(node.primitive, Input):
            values[i] = x
        elif isinstance(node.primitive, StateIn):
            values[i] = graph.call_method("__getitem__", (states, node.primitive.state))
        elif isinstance(node.primitive, Identity | StateOut):
            values[i] = inputs[0]
        elif isinstance(node.primitive, Zero):
            values[i] = graph.call_function(modules.zeros, (x, network.shapes[i]))
        else:
            values[i] = _line(graph, node, inputs)
        if isinstance(node.primitive, StateOut):
            if node.primitive.state in new_states:
                raise InvalidNetwork("two nodes give one state its new value", value=node.primitive.state)
            new_states[node.primitive.state] = values[i]
    outputs: Any = {name: values[i] for name, i in network.outputs}
    outputs = outputs["logits"] if set(outputs) == {"logits"} else outputs
    graph.output(outputs if states is None else (outputs, new_states))
    code = graph.python_code("self")
    namespace = dict(code.globals)
    exec(compile(code.src, "<network>", "exec"), namespace)  # the source holds numbers and names of primitives only
    run: Callable[..., Any] = namespace["forward"]
    return code.src, run


def needed_nodes(network: Network) -> list[int]:
    """The nodes that an output or a new state depends on, in order."""
    needed = {i for _, i in network.outputs}
    needed |= {i for i, node in enumerate(network.nodes) if isinstance(node.primitive, StateOut)}
    for i in range(len(network.nodes) - 1, -1, -1):
        if i in needed:
            needed.update(inputs_read(network, network.nodes[i]))
    return sorted(needed)


def inputs_read(network: Network, node: Node) -> tuple[int, ...]:
    """The inputs that a node's line names: a zero needs none, and a sum leaves zeros out if anything else is left."""
    if isinstance(node.primitive, Zero):
        return ()
    if isinstance(node.primitive, Add):
        rest = tuple(i for i in node.inputs if not isinstance(network.nodes[i].primitive, Zero))
        return rest or node.inputs[:1]
    return node.inputs


def _line(graph: fx.Graph, node: Node, inputs: list[fx.Node]) -> fx.Node:
    """Append the line of one node; the value it gives."""
    name = node.name.replace(".", "_")

    def call(function: Callable[..., Any], *arguments: Any, **options: Any) -> fx.Node:
        return graph.create_node("call_function", function, arguments, options, name)

    match node.primitive:
        case Activation(kind):
            return call(_ACTIVATIONS[kind], inputs[0])
        case Pooling("avg", kernel, stride, padding):
            return call(F.avg_pool2d, inputs[0], kernel, stride, padding, count_include_pad=False)
        case Pooling(kind, kernel, stride, padding):
            return call(F.max_pool2d if kind == "max" else modules.min_pool2d, inputs[0], kernel, stride, padding)
        case AdaptivePooling(size, kind):
            return call(F.adaptive_avg_pool2d if kind == "avg" else F.adaptive_max_pool2d, inputs[0], size)
        case Crop(top, left):
            return call(modules.crop, inputs[0], top, left)
        case Pad((top, bottom, left, right)):
            return call(F.pad, inputs[0], (left, right, top, bottom))
        case ChannelSlice(start, stop):
            return call(modules.channels, inputs[0], start, stop)
        case Add():
            return _sum(call, inputs)
        case Mean():
            return call(operator.truediv, _sum(call, inputs), len(inputs))
        case Multiply():
            return call(operator.mul, *inputs)
        case Complement():
            return call(operator.sub, 1.0, inputs[0])
        case Concatenation():
            return call(torch.cat, inputs, 1)
        case Flatten():
            return call(torch.flatten, inputs[0], 1)
    return graph.create_node("call_module", node.name, tuple(inputs), {}, name)


def _sum(call: Callable[..., fx.Node], terms: list[fx.Node]) -> fx.Node:
    """The terms added up from left to right."""
    total = terms[0]
    for term in terms[1:]:
        total = call(operator.add, total, term)
    return total
