"""A network as a program of torch.export, for any number of images at a time."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

EXAMPLES = 2
"""Images that the program is traced with; of one image torch would take the number for a constant."""


def trace(network: nn.Module, images: Tensor) -> ExportedProgram:
    """The program of a network in evaluation mode.

    Args:
        network: the exported module.
        images: b x c x h x w with at least `EXAMPLES` images.
    """
    program = torch.export.export(network.eval(), (images[:EXAMPLES],), dynamic_shapes=({0: Dim("b", min=1)},))
    for node in program.graph.nodes:  # where it was traced: folders of this machine, which are nobody's business
        node.meta.pop("stack_trace", None)
    return program


def write_program(path: Path, program: ExportedProgram) -> None:
    """Write the file."""
    torch.export.save(program, path)


def run_program(path: Path, images: Tensor) -> Tensor:
    """The logits (b x k) that a written program gives for all images, the last of which goes through alone."""
    program = torch.export.load(path).module()
    with torch.inference_mode():
        logits: Tensor = torch.cat([program(images[:-1]), program(images[-1:])])
    return logits
