"""The last training of a recurrent cell that a search found: trained longer, and tested once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nas_core.architecture import Architecture
from nas_core.errors import StoreError
from nas_core.random import derived_seed
from nas_core.space import Space
from nas_core.trial import Measurement
from nas_train.checkpoint import write_file
from nas_train.devices import find_device
from nas_train.final import CARD, CHECKPOINT
from nas_train.language.evaluator import (
    checked_network_options,
    language_conditions,
    language_curve,
    language_metrics,
    networks_for,
)
from nas_train.language.files import save_language
from nas_train.language.loop import LanguageEpoch, evaluate_language, fit_language, perplexity
from nas_train.language.model import build_language
from nas_train.language.recipe import LanguageRecipe
from nas_train.language.text import checksum, open_text

FINAL_RECIPE = "small_text_final"
_UNFINISHED = "training.safetensors"


def train_final_language(
    space: Space,
    architecture: Architecture,
    *,
    data: str,
    recipe: str | Mapping[str, Any] = FINAL_RECIPE,
    network: Mapping[str, Any] | None = None,
    seed: int,
    out: Path,
    epochs: int | None = None,
    draw: int = 0,
    device: str = "cpu",
    threads: int | None = 1,
    on_epoch: Callable[[LanguageEpoch], None] | None = None,
) -> Measurement:
    """Train a cell's language model to the end, then open the test split and measure it there, once.

    Writes `final.safetensors` (`nas_train.language.files.load_language` reads it) and the card `final.json`. Called
    again after an interruption with the same arguments it goes on from the last epoch that was finished.

    Args:
        space: the space of the architecture.
        architecture: the member.
        data: an `.npz` file of word numbers or a folder of texts.
        recipe: a name, or fields.
        network: options of `space.network`; the widths are the recipe's.
        seed: of the study; weights and dropout follow from it and the architecture.
        out: directory for the files; made where it is not there.
        epochs: instead of the recipe's.
        draw: which network a generator space draws, as in the trial.
        device: "cpu", "cuda", "cuda:1", or "auto".
        threads: CPU threads; None leaves torch's choice.
        on_epoch: called after each epoch.

    Returns:
        test_perplexity, test_loss (over every word of the test text, in one stream) and the metrics of the evaluator
        `language`. The artefacts are paths below `out`.

    Raises:
        NasError: text, device or an option is wrong, or a file cannot be written.
        TrialFailed: "diverged" or "out_of_memory".
    """
    start = time.perf_counter()
    text, where, chosen = open_text(data), find_device(device), LanguageRecipe.from_config(recipe)
    told = space.text(architecture)
    options = checked_network_options(network)
    networks = networks_for(space, architecture, text, options, chosen, derived_seed(seed, "draw", told, draw))
    own_seed = derived_seed(seed, "final", told, draw)
    model = build_language(networks, text.words, tied=chosen.tied, state_norm=chosen.state_norm, seed=own_seed)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError("a directory cannot be made", value=error.strerror, place=str(out)) from None
    unfinished = out / _UNFINISHED
    fitted = fit_language(
        model,
        text,
        chosen,
        seed=own_seed,
        device=where,
        threads=threads,
        epochs=epochs,
        checkpoint=unfinished,
        on_epoch=on_epoch,
    )
    test = text.split("test")
    nats = evaluate_language(model, test, streams=1, steps=chosen.truncation)
    metrics = {"test_perplexity": perplexity(nats), "test_loss": nats, **language_metrics(model, fitted)}
    card: dict[str, Any] = {
        "architecture": told,
        "space": space.to_config(),
        "seed": seed,
        "draw": draw,
        **language_conditions(text, chosen, len(fitted.epochs), where, threads),
        "recipe": chosen.to_config(),
        "test_checksum": checksum(test),
        "metrics": metrics,
        "curve": language_curve(fitted),
        "nas_train": version("nas-train"),
    }
    save_language(out / CHECKPOINT, model, card)
    write_file(out / CARD, (json.dumps(card, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())
    unfinished.unlink(missing_ok=True)
    details = {key: card[key] for key in ("data", "epochs", "device", "threads", "torch", "curve")}
    return Measurement(metrics, time.perf_counter() - start, {"checkpoint": CHECKPOINT, "card": CARD}, details)
