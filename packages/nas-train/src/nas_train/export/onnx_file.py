"""A network as an ONNX file, for any number of images or texts at a time. Served by the extra `onnx`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.export import ExportedProgram
from torch.utils._pytree import tree_leaves, tree_unflatten

NEEDED = ("onnx", "onnxscript")
FEW = 8
"""How many images or texts the slow reference evaluator is given."""
MANY = 2**31


class Opened(NamedTuple):
    """A file that runs.

    Args:
        run: called as the network is.
        by: who runs it.
        most: how many images or texts it should be given.
    """

    run: Callable[..., Any]
    by: str
    most: int


def missing() -> list[str]:
    """The packages that writing an ONNX file needs and that are not installed."""
    return [name for name in NEEDED if find_spec(name) is None]


def write_onnx(path: Path, program: ExportedProgram, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Write the file, weights included; the names are those of all tensors, in order."""
    torch.onnx.export(
        program,
        (),
        str(path),
        input_names=list(inputs),
        output_names=list(outputs),
        external_data=False,
        dynamo=True,
        verbose=False,
    )


def open_onnx(path: Path, program: ExportedProgram, inputs: Sequence[str], outputs: Sequence[str]) -> Opened:
    """A written file, run by onnxruntime where that is installed, else by onnx itself.

    Args:
        path: the file.
        program: what it was written from.
        inputs: the names it was written with.
        outputs: likewise.
    """
    if find_spec("onnxruntime") is not None:
        runtime = import_module("onnxruntime")
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        by, most = f"onnxruntime {runtime.__version__}", MANY
    else:
        session = import_module("onnx.reference").ReferenceEvaluator(str(path))
        by, most = f"the reference evaluator of onnx {import_module('onnx').__version__}", FEW

    def run(*arguments: Any) -> Any:
        given = {name: tensor.numpy() for name, tensor in zip(inputs, tree_leaves(arguments), strict=True)}
        found = [torch.tensor(array) for array in session.run(list(outputs), given)]
        return tree_unflatten(found, program.call_spec.out_spec)

    return Opened(run, by, most)
