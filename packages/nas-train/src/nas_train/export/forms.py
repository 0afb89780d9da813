"""The forms that torch makes of an exported network: written, run on real data, compared with the network itself."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from nas_core.errors import InvalidOption
from nas_train.export import onnx_file
from nas_train.export.check import compare
from nas_train.export.program import load_program, trace, write_program

FORMATS = ("source", "program", "onnx")
"""What can be written; the source and its weights always are."""
PROGRAM, ONNX = "network.pt2", "network.onnx"
_NO_ONNX = "not written: {} not installed; the extra `onnx` of nas-train brings what is missing"


class Case(NamedTuple):
    """What a form is run on, and what it has to give.

    Args:
        examples: arguments to trace the network with, of two images or texts.
        dynamic: the axes of the arguments that may have any size, as `torch.export.export` takes them.
        inputs: names of the arguments' tensors, in order.
        outputs: names of the results' tensors.
        what: "images" or "texts".
        expected: logits that the network itself gives, one entry an image or a text.
        run: the same of something that is called as the network is, for the first so many images or texts.
    """

    examples: tuple[Any, ...]
    dynamic: tuple[Any, ...]
    inputs: Sequence[str]
    outputs: Sequence[str]
    what: str
    expected: Tensor
    run: Callable[[Callable[..., Any], int], Tensor]

    def compare(self, what: str, form: Callable[..., Any], count: int) -> float:
        """The largest difference that a form makes for the first so many images or texts (`nas_train.export.check`).

        Raises:
            InvalidNetwork: it is too large.
        """
        with torch.inference_mode():
            return compare(what, self.expected[:count], self.run(form, count))


def check_formats(formats: Sequence[str] | None) -> None:
    """That these formats can be written.

    Raises:
        InvalidOption: an unknown format, or one whose packages are missing.
    """
    for name in formats or ():
        if name not in FORMATS:
            raise InvalidOption("no such format", value=name, expected="one of " + ", ".join(FORMATS))
    if "onnx" in (formats or ()) and (missing := onnx_file.missing()):
        raise InvalidOption(
            "an ONNX file needs packages that are not installed",
            value=", ".join(missing),
            remedy="Install the extra `onnx` of nas-train.",
        )


def write_forms(folder: Path, network: nn.Module, case: Case, formats: Sequence[str] | None) -> dict[str, Any]:
    """Write and check the forms that torch makes of a network that the exported source gave.

    Args:
        folder: where to.
        network: in evaluation mode.
        case: what it is checked on.
        formats: some of `FORMATS`; None for all, without ONNX where packages for it are missing.

    Returns:
        By form, the largest difference, or a sentence.

    Raises:
        InvalidNetwork: a form does not compute the same.
        StoreError: a file cannot be written.
    """
    wanted = set(FORMATS if formats is None else formats)
    checks: dict[str, Any] = {}
    if not {"program", "onnx"} & wanted:
        return checks
    with _quiet():
        program = trace(network, case.examples, case.dynamic)
        if "program" in wanted:
            write_program(folder / PROGRAM, program)
            checks["program"] = case.compare("the program", load_program(folder / PROGRAM), len(case.expected))
        if "onnx" in wanted and (missing := onnx_file.missing()):
            checks["onnx"] = _NO_ONNX.format(" and ".join(missing))
        elif "onnx" in wanted:
            onnx_file.write_onnx(folder / ONNX, program, case.inputs, case.outputs)
            opened = onnx_file.open_onnx(folder / ONNX, program, case.inputs, case.outputs)
            count = min(len(case.expected), opened.most)
            difference = case.compare("the ONNX file", opened.run, count)
            checks["onnx"] = f"{difference:.3g} for {count} {case.what}, run by {opened.by}"
    return checks


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch says to its own developers while it traces a network."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
