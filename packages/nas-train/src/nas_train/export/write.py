"""Writing an export: of a classifier of images, and of whatever a checkpoint holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nas_core.cost import cost
from nas_core.errors import InvalidData, InvalidNetwork
from nas_core.network import Network
from nas_train.build import BuiltNetwork
from nas_train.checkpoint import load_network, write_file
from nas_train.data import ImageSet, open_data
from nas_train.export.card import IMAGES, MEASURED, About
from nas_train.export.check import TOLERANCE, Reference, compare, loaded, reference
from nas_train.export.folder import SOURCE, made, write_card
from nas_train.export.forms import Case, check_formats, write_forms
from nas_train.export.language_write import export_language
from nas_train.export.program import ANY, EXAMPLES
from nas_train.export.source import WEIGHTS, inference, layer_names, live, source
from nas_train.export.weights import named_weights, write_weights
from nas_train.language.files import holds_language, load_language
from nas_train.language.text import open_text
from nas_train.measure import measure

REPEATS = 10
"""Forward passes whose median is a latency."""
_TRAINING = ("recipe", "epochs", "with_validation", "seed", "draw", "device", "threads", "torch", "nas_train")


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
    check_formats(formats)
    network = inference(module.network)
    about = About() if about is None else about
    expected = reference(module, data)
    with made(out) as folder:
        write_file(folder / SOURCE, source(network, *data.statistics, about.title).encode())
        write_weights(folder / WEIGHTS, named_weights(module, network, layer_names(network)))
        exported = loaded(folder / SOURCE)
        runs = exported.load(folder / WEIGHTS)
        with torch.inference_mode():
            logits = runs(exported.prepare(expected.pixels))
        checks = {"source": compare("the exported source", expected.logits, logits)}
        checks |= write_forms(folder, runs, _case(expected), formats)
        card = {
            **about.to_card(),
            **_described(module, network, data),
            "measured": measure(runs, network.task.input_shape, tuple(MEASURED), repeats=REPEATS),
            "checks": {"images": len(expected.pixels), "tolerance": TOLERANCE, "results": checks},
        }
        return write_card(folder, card, IMAGES)


def _case(expected: Reference) -> Case:
    """Images, the last of which goes through alone."""

    def run(form: Callable[..., Any], count: int) -> Tensor:
        return torch.cat([form(expected.images[: count - 1]), form(expected.images[count - 1 : count])])

    examples = (expected.images[:EXAMPLES],)
    return Case(examples, ({0: ANY},), ("images",), ("logits",), "images", expected.logits, run)


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
        checkpoint: what `nas_train.checkpoint.save_network` or `nas_train.language.files.save_language` wrote.
        data: the images or the text that it was trained on (`open_data`, `open_text`).
        out: the folder to make.
        checksum: of those, where the checkpoint does not say it.
        formats: see `export_network`.
        about: for the card; what the checkpoint says about its training is added.

    Raises:
        InvalidData: the data cannot be read, or are others than it was trained on.
        InvalidNetwork: the checkpoint says that it is of another architecture.
        StoreError: the checkpoint cannot be read.
        NasError: see `export_network` and `nas_train.export.export_language`.
    """
    language = holds_language(checkpoint)
    network, said = load_language(checkpoint) if language else load_network(checkpoint)
    opened = open_text(data) if language else open_data(data)
    wanted = said.get("data", {}).get("checksum", checksum)
    if wanted is not None and wanted != opened.checksum:
        raise InvalidData(
            f"these are not the {'words' if language else 'images'} that the network was trained on",
            value=opened.checksum,
            place=data,
            expected=f"the checksum {wanted}",
        )
    about = About() if about is None else about
    if about.architecture and said.get("architecture", about.architecture) != about.architecture:
        raise InvalidNetwork(
            "the checkpoint of another network",
            value=said["architecture"],
            place=str(checkpoint),
            expected=about.architecture,
        )
    training = {name: said[name] for name in _TRAINING if name in said}
    about = replace(about, training={**training, **about.training})
    export: Callable[..., dict[str, Any]] = export_language if language else export_network
    return export(network, opened, out, formats=formats, about=about)
