"""A language model as one source file that needs torch alone.

The file holds a class for each kind of cell (one time step, as straight lines), the class `Network` that unrolls them
over the words of texts and carries their states, what turns a text into numbers of words, a reader of the weights, and
a command line. Dropout stays out, as do layers and states that no logit depends on. The text is a function of the
arguments alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from nas_core.errors import InvalidNetwork
from nas_core.network import Network
from nas_core.primitives import Identity, StateIn, StateOut
from nas_train.build import inputs_read, needed_nodes
from nas_train.export import fixed, language_fixed, text
from nas_train.export.forward import forward_pass
from nas_train.export.source import (
    WEIGHTS,
    forward_lines,
    helpers,
    indented,
    joined,
    layer_lines,
    layer_names,
)
from nas_train.language.model import hidden_node
from nas_train.language.text import END, UNKNOWN

WORDS = "words.json"
"""Where an exported file looks for the words in the order of their numbers: beside itself."""
_LOOP = " " * 16
"""Before a line in the loop over layers."""


def time_step(network: Network) -> Network:
    """One time step with the hidden vector as the only output, without states that it never depends on.

    Raises:
        InvalidNetwork: it is no time step of a recurrent cell, or a state that is read gets no new value.
    """
    nodes, hidden = network.nodes, hidden_node(network)
    ends = {node.primitive.state: i for i, node in enumerate(nodes) if isinstance(node.primitive, StateOut)}
    needed, waiting = set[int](), [hidden]
    while waiting:
        i = waiting.pop()
        if i in needed:
            continue
        needed.add(i)
        primitive = nodes[i].primitive
        waiting += inputs_read(network, nodes[i])
        if isinstance(primitive, StateIn):
            if primitive.state not in ends:
                raise InvalidNetwork("a state is read and gets no new value", value=primitive.state)
            waiting.append(ends[primitive.state])
    kept = tuple(
        node._replace(primitive=Identity()) if isinstance(node.primitive, StateOut) and i not in needed else node
        for i, node in enumerate(nodes)
    )
    return Network(network.task, kept, (("hidden", hidden),))


def state_sizes(step: Network) -> dict[str, int]:
    """The width of each state that a time step reads, by its name."""
    read = [step.nodes[i].primitive for i in needed_nodes(step)]
    return {primitive.state: primitive.size[0] for primitive in read if isinstance(primitive, StateIn)}


def language_source(
    networks: Sequence[Network], *, tied: bool = True, state_norm: float | None = None, about: str = ""
) -> str:
    """The text of the file.

    Args:
        networks: one time step of each layer's cell.
        tied: whether the output layer has the words' vectors as its weights.
        state_norm: see `nas_train.language.model.LanguageModel`.
        about: what to say about it at the top, such as the text of its architecture.

    Raises:
        InvalidNetwork: a network is no time step of a cell.
    """
    steps = [time_step(network) for network in networks]
    names = _cell_names(steps)
    cells = [_cell(name, step) for step, name in names.items()]
    model = language_fixed.NETWORK.format(
        layers="\n".join(indented(_model_lines(steps, names, tied))).lstrip(),
        output="self.embedding" if tied else "self.output",
        step=f"\n{_LOOP}".join(_step_lines(state_norm)),
    )
    common = (language_fixed.PREPARE, fixed.READ_WEIGHTS, language_fixed.MAIN)
    return joined([_head(about), *helpers(steps), *cells, model, *common])


def _cell_names(steps: Sequence[Network]) -> dict[Network, str]:
    """The class of each different cell."""
    different = list(dict.fromkeys(steps))
    return {step: "Cell" if len(different) == 1 else f"Cell{i}" for i, step in enumerate(different)}


def _head(about: str) -> str:
    """Docstring, imports and constants."""
    lines = [
        '"""A language model that was found by architecture search. It needs torch alone.',
        "",
        "    network, listed = load(), read_words()       # the files beside this one",
        "    words = prepare(text, listed)                # numbers of words, t x b",
        "    logits, states = network(words)              # of the word after each, t x b x k",
        "    logits, states = network(more, states)       # the same texts, gone on with",
        "",
        'On the command line: python network.py "some words"',
        '"""',
        *(["", *text.comment(about)] if about else []),
        "",
        "from __future__ import annotations",
        "",
        "import argparse",
        "import json",
        "import math",
        "from pathlib import Path",
        "",
        "import torch",
        "from torch import Tensor, nn",
        "from torch.nn import functional as F",
        "",
        f'WEIGHTS = Path(__file__).with_name("{WEIGHTS}")',
        f'WORDS = Path(__file__).with_name("{WORDS}")',
        f"END, UNKNOWN = {json.dumps(END)}, {json.dumps(UNKNOWN)}",
        "States = tuple[tuple[Tensor, ...], ...]  # of each layer, its states: b x d each",
    ]
    return "\n".join(lines)


def _cell(name: str, step: Network) -> str:
    """The class of a cell."""
    layers = layer_names(step)
    forward = forward_pass(step, layers)
    (width,), (out,) = step.task.input_shape, step.shapes[step.outputs[0][1]]
    before = [names[0] for names in forward.states.values()]
    after = [names[1] for names in forward.states.values()]
    what = f"One time step: a vector (b x {width}) and the states before it, to a vector (b x {out}) and those after."
    unpacked = f"({before[0]},)" if len(before) == 1 else ", ".join(before)
    lines = [
        f"class {name}(nn.Module):",
        f'    """{what}"""',
        "",
        f"    sizes = {_tuple([str(size) for size in state_sizes(step).values()])}  # of its states",
        "",
        "    def __init__(self) -> None:",
        "        super().__init__()",
        *indented(layer_lines(step, layers)),
        "",
        "    def forward(self, x: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:",
        '        """The vector and the states after the step."""',
        *indented([f"{unpacked} = states"] if before else []),
        *indented([*forward_lines(step, forward), *_return(forward.output, after)]),
    ]
    return "\n".join(lines)


def _step_lines(state_norm: float | None) -> list[str]:
    """A layer's time step, with vectors that are no longer than they may be."""
    if state_norm is None:
        return ["x, held[i] = layer(x, held[i])"]
    return [
        "x, after = layer(x, held[i])",
        "both = (x, *after)",
        "norms = [torch.linalg.vector_norm(v, dim=1, keepdim=True) for v in both]",
        f"x, *after = (v * ({state_norm} / n.clamp(min={state_norm})) for v, n in zip(both, norms, strict=True))",
        "held[i] = tuple(after)",
    ]


def _model_lines(steps: Sequence[Network], names: Mapping[Network, str], tied: bool) -> list[str]:
    """What makes the parameters of the whole network."""
    words, (width,) = steps[0].task.classes, steps[0].task.input_shape
    (out,) = steps[-1].shapes[steps[-1].outputs[0][1]]
    return [
        f"self.embedding = nn.Parameter(torch.empty({words}, {width}))",
        *text.call("self.layers = nn.ModuleList([", [f"{names[step]}()" for step in steps], "])"),
        *([] if tied else [f"self.output = nn.Parameter(torch.empty({words}, {out}))"]),
        f"self.bias = nn.Parameter(torch.empty({words}))",
    ]


def _return(output: str, states: Sequence[str]) -> list[str]:
    """The statement that gives a cell's output and its states."""
    line = f"return {output}, {_tuple(states)}"
    return [line] if text.fits(line) else [f"return {output}, (", *[f"    {state}," for state in states], ")"]


def _tuple(names: Sequence[str]) -> str:
    return f"({', '.join(names)}{',' if len(names) == 1 else ''})"
