"""A classifier of images as one source file that needs torch alone.

The file holds a class `Network` (layers by name, the forward pass as straight lines), what prepares images for it, a
reader of its weights, and a command line. What only training needs stays out: the auxiliary head, dropped paths, and
layers that no logit depends on. The text is a function of the network and the arguments alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import groupby

from nas_core.errors import InvalidNetwork
from nas_core.network import Network, Node
from nas_core.primitives import Attention, Input, Pooling, StateIn, StateOut, WeightedSum, Zero
from nas_train.build import inputs_read, needed_nodes
from nas_train.export import fixed, text
from nas_train.export.forward import Forward, forward_pass, statement
from nas_train.export.layers import constructor
from nas_train.export.names import attributes, block_of

WEIGHTS = "weights.safetensors"
"""Where an exported file looks for its weights: beside itself."""


def inference(network: Network) -> Network:
    """The network with its logits as the only output.

    Raises:
        InvalidNetwork: it has recurrent states, or does not classify images.
    """
    stateful = any(isinstance(node.primitive, StateIn | StateOut) for node in network.nodes)
    if stateful or network.task.kind != "classification":
        raise InvalidNetwork(
            "only networks that classify images can be exported",
            value=network.task.kind,
            expected="a task of classification, and no recurrent states",
            remedy="nas_train.export.export_language exports a language model.",
        )
    logits = [output for output in network.outputs if output[0] == "logits"]
    if not logits:
        raise InvalidNetwork("a network without logits cannot be exported", value=[name for name, _ in network.outputs])
    return Network(network.task, network.nodes, tuple(logits))


def live(network: Network) -> Network:
    """What the lines compute, for the cost model: sums without zeros, and zeros that stand for themselves."""
    nodes = tuple(
        Node(node.name, Input(network.shapes[i]), ())
        if isinstance(node.primitive, Zero)
        else node._replace(inputs=inputs_read(network, node))
        for i, node in enumerate(network.nodes)
    )
    return Network(network.task, nodes, network.outputs).pruned()


def layer(network: Network, i: int) -> tuple[str, list[str]] | None:
    """Class and arguments of a node that is a layer; None for the others."""
    node = network.nodes[i]
    return constructor(node.primitive, tuple(network.shapes[j] for j in node.inputs))


def layer_names(network: Network) -> dict[int, str]:
    """The attribute of the exported module for each node that is a layer there."""
    nodes = [i for i in needed_nodes(network) if layer(network, i) is not None]
    named = attributes(network.nodes[i].name for i in nodes)
    return {i: named[network.nodes[i].name] for i in nodes}


def source(network: Network, mean: Sequence[float], deviation: Sequence[float], about: str = "") -> str:
    """The text of the file.

    Args:
        network: classifies images.
        mean: of each channel of the images, for pixels from 0 to 1.
        deviation: of each channel.
        about: what to say about it at the top, such as the text of its architecture.

    Raises:
        InvalidNetwork: it does not classify images.
    """
    network = inference(network)
    own = [*helpers([network]), _module(network)]
    functional = any(re.search(r"\bF\.", part) for part in own)
    head = _head(network, mean, deviation, about, functional)
    return joined([head, *own, fixed.PREPARE, fixed.READ_WEIGHTS, fixed.MAIN])


def joined(parts: Sequence[str]) -> str:
    """The parts of a file as one text."""
    return "\n\n\n".join(part.strip("\n") for part in parts) + "\n"


def _head(network: Network, mean: Sequence[float], deviation: Sequence[float], about: str, functional: bool) -> str:
    """Docstring, imports and constants."""
    lines = [
        '"""An image classifier that was found by architecture search. It needs torch alone.',
        "",
        "    network = load()                    # the weights beside this file",
        "    logits = network(prepare(images))   # images b x c x h x w, logits b x k",
        "",
        "On the command line: python network.py images.npy",
        '"""',
        *(["", *text.comment(about)] if about else []),
        "",
        "from __future__ import annotations",
        "",
        "import argparse",
        "import ast",
        "import json",
        "import math",
        "from pathlib import Path",
        "",
        "import torch",
        "from torch import Tensor, nn",
        *(["from torch.nn import functional as F"] if functional else []),
        "",
        f'WEIGHTS = Path(__file__).with_name("{WEIGHTS}")',
        f"INPUT_SHAPE = ({', '.join(map(str, network.task.input_shape))})  # channels, height, width",
        *_constant("MEAN", mean),
        *_constant("DEVIATION", deviation),
    ]
    return "\n".join(lines)


def _constant(name: str, values: Sequence[float]) -> list[str]:
    numbers = [repr(float(value)) for value in values]
    line = f"{name} = ({', '.join(numbers)}{',' if len(numbers) == 1 else ''})"
    return [line] if len(line) <= text.WIDTH else [f"{name} = (", *[f"    {number}," for number in numbers], ")"]


def helpers(networks: Sequence[Network]) -> list[str]:
    """The classes and functions that torch lacks, as far as these networks use them."""
    used = [network.nodes[i].primitive for network in networks for i in needed_nodes(network)]
    found = [(fixed.WEIGHTED_SUM, WeightedSum), (fixed.ATTENTION, Attention), (fixed.ZEROS, Zero)]
    parts = [part for part, kind in found if any(isinstance(primitive, kind) for primitive in used)]
    minimum = any(isinstance(primitive, Pooling) and primitive.kind == "min" for primitive in used)
    return [*parts, fixed.MIN_POOL] if minimum else parts


def _module(network: Network) -> str:
    """The class `Network`."""
    layers = layer_names(network)
    forward = forward_pass(network, layers)
    c, h, w = network.task.input_shape
    lines = [
        "class Network(nn.Module):",
        f'    """Images (b x {c} x {h} x {w}) as `prepare` gives them, to logits (b x {network.task.classes})."""',
        "",
        "    def __init__(self) -> None:",
        "        super().__init__()",
        *indented(layer_lines(network, layers)),
        "",
        "    def forward(self, x: Tensor) -> Tensor:",
        '        """Logits of images."""',
        *indented(forward_lines(network, forward, returned=True)),
    ]
    return "\n".join(lines)


def indented(lines: Sequence[str]) -> list[str]:
    """Lines as those of a method."""
    return [f"{text.INDENT}{line}" for line in lines]


def layer_lines(network: Network, layers: Mapping[int, str]) -> list[str]:
    """What makes the layers, block by block."""
    lines = []
    for scope, nodes in groupby(layers, lambda i: block_of(network.nodes[i].name)):
        lines += [f"# {scope}"] if scope else []
        for i in nodes:
            kind, arguments = layer(network, i) or ("", [])
            lines += text.call(f"self.{layers[i]} = {kind}(", arguments)
    return lines


def forward_lines(network: Network, forward: Forward, *, returned: bool = False) -> list[str]:
    """The statements of a forward pass, block by block.

    Args:
        network: the network.
        forward: its forward pass.
        returned: whether the last line, which gives the output then, returns it.
    """
    lines: list[str] = []
    last = forward.blocks[-1].lines[-1] if forward.blocks else None
    for block in forward.blocks:
        shape = " x ".join(map(str, network.shapes[block.lines[-1].node]))
        lines += [f"# {block.scope}: to b x {shape}"] if block.scope else []
        for line in block.lines:
            start = "return " if returned and line is last else f"{line.target} = "
            lines += statement(start, line.value)
        lines += _deletions(block.done)
    return [*lines, f"return {forward.output}"] if returned and last is None else lines


def _deletions(names: Sequence[str]) -> list[str]:
    """As few statements as fit that let names go."""
    lines: list[str] = []
    for name in names:
        if lines and text.fits(f"{lines[-1]}, {name}"):
            lines[-1] += f", {name}"
        else:
            lines.append(f"del {name}")
    return lines
