"""Writing an export: everything into a folder beside its place, checked there, then renamed into place."""

from __future__ import annotations

import json
import logging
import os
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from nas_core.cost import cost
from nas_core.errors import InvalidData, InvalidOption, StoreError
from nas_core.network import Network
from nas_train.build import BuiltNetwork
from nas_train.checkpoint import load_network, write_file
from nas_train.data import ImageSet, open_data
from nas_train.export import onnx_file
from nas_train.export.card import MEASURED, About, by_split, markdown
from nas_train.export.check import TOLERANCE, Reference, compare, loaded, reference
from nas_train.export.program import run_program, trace, write_program
from nas_train.export.source import WEIGHTS, inference, layer_names, live, source
from nas_train.export.weights import named_weights, write_weights
from nas_train.measure import measure

FORMATS = ("source", "program", "onnx")
"""What can be written; the source and its weights always are."""
SOURCE, PROGRAM, ONNX, CARD, CARD_TEXT = "network.py", "network.pt2", "network.onnx", "card.json", "card.md"
REPEATS = 10
"""Forward passes whose median is a latency."""
_TOLD = {
    SOURCE: "the network as source that needs torch alone",
    WEIGHTS: "its weights",
    PROGRAM: "a program of torch.export",
    ONNX: "an ONNX file",
}
_TRAINING = ("recipe", "epochs", "with_validation", "seed", "draw", "device", "threads", "torch", "nas_train")
_NO_ONNX = "not written: {} not installed; the extra `onnx` of nas-train brings what is missing"


def export_network(
    module: BuiltNetwork,
    data: ImageSet,
    out: Path,
    *,
    formats: Sequence[str] | None = None,
    about: About | None = None,
) -> dict[str, Any]:
    """Write a trained network for use without this toolkit.

    Every form is run on validation images and compared with the network itself before the folder gets its name.

    Args:
        module: the trained network; it is left on the CPU, in evaluation mode.
        data: the images that it was trained on, for their normalisation and for the checks.
        out: the folder to make; there may be an empty one.
        formats: some of `FORMATS`; None for all, without ONNX where packages for it are missing.
        about: for the card.

    Returns:
        The card: files, metrics, costs, checks.

    Raises:
        InvalidNetwork: it does not classify images, or a form does not compute the same.
        InvalidOption: an unknown format, or one whose packages are missing.
        StoreError: the folder holds something, or cannot be written.
    """
    _check_formats(formats)
    network = inference(module.network)
    about = About() if about is None else about
    expected = reference(module, data)
    wanted = FORMATS if formats is None else formats
    with _made(out) as folder:
        write_file(folder / SOURCE, source(network, *data.statistics, _title(about)).encode())
        write_weights(folder / WEIGHTS, named_weights(module, network, layer_names(network)))
        exported = loaded(folder / SOURCE)
        runs = exported.load(folder / WEIGHTS)
        with torch.inference_mode():
            logits = runs(exported.prepare(expected.pixels))
        checks: dict[str, Any] = {"source": compare("the exported source", expected.logits, logits)}
        if {"program", "onnx"} & set(wanted):
            with _quiet():
                checks |= _compiled(folder, runs, expected, wanted)
        card = {
            **_said(about),
            **_described(module, network, data),
            "measured": measure(runs, network.task.input_shape, tuple(MEASURED), repeats=REPEATS),
            "checks": {"images": len(expected.pixels), "tolerance": TOLERANCE, "results": checks},
            "files": {name: _file(folder / name, told) for name, told in _TOLD.items() if (folder / name).exists()},
        }
        write_file(folder / CARD, (json.dumps(card, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())
        write_file(folder / CARD_TEXT, markdown(card).encode())
    return card


def _said(about: About) -> dict[str, Any]:
    """What the caller knows."""
    return {
        "architecture": about.architecture,
        "space": dict(about.space),
        "metrics": {stage: by_split(metrics) for stage, metrics in about.metrics.items()},
        "training": dict(about.training),
        "found": dict(about.found),
    }


def _described(module: BuiltNetwork, network: Network, data: ImageSet) -> dict[str, Any]:
    """What the network itself tells."""
    means, deviations = data.statistics
    return {
        "classes": network.task.classes,
        "input": {"shape": list(network.task.input_shape), "mean": list(means), "deviation": list(deviations)},
        "data": {"name": data.name, "checksum": data.checksum, "sizes": dict(data.sizes)},
        "costs": {"exported": cost(live(network)).metrics(), "trained": cost(module.network).metrics()},
        "torch": torch.__version__,
    }


def export_checkpoint(
    checkpoint: Path,
    data: str,
    out: Path,
    *,
    checksum: str | None = None,
    formats: Sequence[str] | None = None,
    about: About | None = None,
) -> dict[str, Any]:
    """Write the network of a checkpoint for use without this toolkit; see `export_network`.

    Args:
        checkpoint: what `nas_train.checkpoint.save_network` wrote.
        data: the images that it was trained on (`nas_train.data.open_data`).
        out: the folder to make.
        checksum: of those images, where the checkpoint does not say it.
        formats: see `export_network`.
        about: for the card; what the checkpoint says about its training is added.

    Raises:
        InvalidData: the images cannot be read, or are others than it was trained on.
        StoreError: the checkpoint cannot be read.
        NasError: see `export_network`.
    """
    module, said = load_network(checkpoint)
    inference(module.network)
    images = open_data(data)
    wanted = said.get("data", {}).get("checksum", checksum)
    if wanted is not None and wanted != images.checksum:
        raise InvalidData(
            "these are not the images that the network was trained on",
            value=images.checksum,
            place=data,
            expected=f"the checksum {wanted}",
        )
    about = About() if about is None else about
    training = {name: said[name] for name in _TRAINING if name in said}
    about = replace(about, training={**training, **about.training})
    return export_network(module, images, out, formats=formats, about=about)


def _check_formats(formats: Sequence[str] | None) -> None:
    for name in formats or ():
        if name not in FORMATS:
            raise InvalidOption("no such format", value=name, expected="one of " + ", ".join(FORMATS))
    if "onnx" in (formats or ()) and (missing := onnx_file.missing()):
        raise InvalidOption(
            "an ONNX file needs packages that are not installed",
            value=", ".join(missing),
            remedy="Install the extra `onnx` of nas-train.",
        )


def _title(about: About) -> str:
    space = f" of the space {about.space['name']}" if "name" in about.space else ""
    return f"The architecture{space}:\n{about.architecture}" if about.architecture else ""


def _compiled(folder: Path, network: nn.Module, expected: Reference, wanted: Sequence[str]) -> dict[str, Any]:
    """Write and check the forms that torch makes of the exported network."""
    checks: dict[str, Any] = {}
    images: Tensor = expected.images
    program = trace(network, images)
    if "program" in wanted:
        write_program(folder / PROGRAM, program)
        checks["program"] = compare("the program", expected.logits, run_program(folder / PROGRAM, images))
    if "onnx" in wanted:
        missing = onnx_file.missing()
        if missing:
            checks["onnx"] = _NO_ONNX.format(" and ".join(missing))
        else:
            onnx_file.write_onnx(folder / ONNX, program)
            checker, logits = onnx_file.run_onnx(folder / ONNX, images)
            difference = compare("the ONNX file", expected.logits[: len(logits)], logits)
            checks["onnx"] = f"{difference:.3g} for {len(logits)} images, run by {checker}"
    return checks


def _file(path: Path, told: str) -> dict[str, Any]:
    data = path.read_bytes()
    return {"what": told, "bytes": len(data), "blake2b": blake2b(data, digest_size=16).hexdigest()}


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


@contextmanager
def _made(out: Path) -> Iterator[Path]:
    """A folder beside `out` that gets its name at the end, and is gone where something fails.

    Raises:
        StoreError: there is something at `out`, or nothing can be written there.
    """
    place = Path(out)
    try:
        if place.is_file() or (place.is_dir() and any(place.iterdir())):
            raise StoreError("the folder of an export must be empty or new", value=str(place), remedy="Choose another.")
        folder = place.absolute().parent / f".{place.name}.{os.getpid()}"
        folder.mkdir(parents=True)
    except OSError as error:
        raise StoreError("a folder cannot be made", value=error.strerror, place=str(place)) from None
    try:
        yield folder
        folder.replace(place)
    except OSError as error:
        raise StoreError("an export cannot be written", value=error.strerror, place=str(place)) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
