"""A network as an ONNX file, for any number of images at a time. Served by the extra `onnx`."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.export import ExportedProgram

NEEDED = ("onnx", "onnxscript")
INPUT, OUTPUT = "images", "logits"
FEW = 8
"""How many images the slow reference evaluator is given."""


def missing() -> list[str]:
    """The packages that writing an ONNX file needs and that are not installed."""
    return [name for name in NEEDED if find_spec(name) is None]


def write_onnx(path: Path, program: ExportedProgram) -> None:
    """Write the file, weights included."""
    torch.onnx.export(
        program,
        (),
        str(path),
        input_names=[INPUT],
        output_names=[OUTPUT],
        external_data=False,
        dynamo=True,
        verbose=False,
    )


def run_onnx(path: Path, images: Tensor) -> tuple[str, Tensor]:
    """Who ran a written file, and the logits (b x k) of all images, or of the first `FEW` without onnxruntime."""
    if find_spec("onnxruntime") is not None:
        runtime = import_module("onnxruntime")
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        return f"onnxruntime {runtime.__version__}", _in_two(session.run, images)
    onnx = import_module("onnx")
    evaluator = import_module("onnx.reference").ReferenceEvaluator(str(path))
    return f"the reference evaluator of onnx {onnx.__version__}", _in_two(evaluator.run, images[:FEW])


def _in_two(run: Any, images: Tensor) -> Tensor:
    """The logits of all images, the last of which goes through alone."""
    parts = (images[:-1], images[-1:])
    return torch.tensor(np.concatenate([run([OUTPUT], {INPUT: part.numpy()})[0] for part in parts]))
