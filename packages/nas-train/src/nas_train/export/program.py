"""A network as a program of torch.export, for any number of images or texts at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import Dim, ExportedProgram

EXAMPLES = 2
"""Images or texts that a program is traced with; of one torch would take the number for a constant."""
ANY = Dim("b", min=1)
"""A number of images or texts."""


def trace(network: nn.Module, examples: tuple[Any, ...], dynamic: tuple[Any, ...]) -> ExportedProgram:
    """The program of a network in evaluation mode.

    Args:
        network: the exported module.
        examples: its arguments, of `EXAMPLES` images or texts.
        dynamic: of each argument, `{axis: ANY}` for the axis of images or texts.
    """
    program = torch.export.export(network.eval(), examples, dynamic_shapes=dynamic)
    for node in program.graph.nodes:  # where it was traced: folders of this machine, which are nobody's business
        node.meta.pop("stack_trace", None)
    return program


def write_program(path: Path, program: ExportedProgram) -> None:
    """Write the file."""
    torch.export.save(program, path)


def load_program(path: Path) -> Callable[..., Any]:
    """What a written file holds; it is called as the network is."""
    program: Callable[..., Any] = torch.export.load(path).module()
    return program
