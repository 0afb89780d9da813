"""The last training: the architecture that a search found, trained longer, and tested once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nas_core.architecture import Architecture
from nas_core.cost import cost
from nas_core.errors import StoreError
from nas_core.random import derived_seed
from nas_core.space import Space
from nas_core.trial import Measurement
from nas_train.build import build
from nas_train.checkpoint import save_network, write_file
from nas_train.data import open_data
from nas_train.defaults import default_recipes, default_threads
from nas_train.devices import find_device
from nas_train.evaluator import conditions, curve, how, network_for, score_metrics, training_metrics
from nas_train.loop import ALONE, Epoch, fit
from nas_train.ranks import Ranks
from nas_train.recipe import Recipe
from nas_train.scoring import evaluate

CHECKPOINT = "final.safetensors"
CARD = "final.json"
_UNFINISHED = "training.safetensors"


def train_final(
    space: Space,
    architecture: Architecture,
    *,
    data: str,
    recipe: str | Mapping[str, Any] | None = None,
    network: Mapping[str, Any] | None = None,
    seed: int,
    out: Path,
    epochs: int | None = None,
    draw: int = 0,
    with_validation: bool = False,
    device: str = "cpu",
    threads: int | None = None,
    time_limit: float | None = None,
    step: str = "auto",
    ranks: Ranks = ALONE,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> Measurement:
    """Train an architecture to the end, then open the test split and measure it there, once.

    Writes `final.safetensors` (`nas_train.checkpoint.load_network` reads it) and the card `final.json`. Called again
    after an interruption with the same arguments it goes on from the last epoch that was finished.

    Args:
        space: the space of the architecture.
        architecture: the member.
        data: a named set, an `.npz` file or a folder of images.
        recipe: a name, or fields; None for the last training's recipe of the data (`nas_train.defaults`).
        network: options of `space.network`; None for those of `nas_train.defaults`.
        seed: of the study; weights and order of images follow from it and the architecture.
        out: directory for the files; made where it is not there.
        epochs: instead of the recipe's.
        draw: which network a generator space draws, as in the trial.
        with_validation: train on the validation images too; then there are no validation metrics.
        device: "cpu", "cuda", "cuda:1", or "auto".
        threads: CPU threads; None for those of `nas_train.defaults`.
        time_limit: seconds that the training may take.
        step: how steps are launched on a GPU: "auto", "graph" or "eager" (`nas_train.step`).
        ranks: which of several processes this is, all called alike; that of rank 0 alone writes
            (`nas_train.distributed`).
        on_epoch: called after each epoch.

    Returns:
        test_accuracy, test_loss, train_loss, train_seconds, val_accuracy and val_loss where the validation images were
        not trained on, top-5 accuracies where there are more than five classes, and the metrics of the network's cost.
        The artefacts are paths below `out`.

    Raises:
        NasError: data, device or an option is wrong, or a file cannot be written.
        TrialFailed: "diverged", "out_of_memory", "device_lost" or "time_limit".
    """
    start = time.perf_counter()
    images, where = open_data(data), find_device(device)
    chosen = Recipe.from_config(default_recipes(data).final if recipe is None else recipe)
    threads = default_threads(chosen.name) if threads is None else threads
    text = space.text(architecture)
    described = network_for(space, architecture, images, network, chosen, derived_seed(seed, "draw", text, draw))
    own_seed = derived_seed(seed, "final", text, draw)
    module = build(described, seed=own_seed)
    _make(out)
    fitted = fit(
        module,
        images,
        chosen,
        seed=own_seed,
        device=where,
        threads=threads,
        epochs=epochs,
        with_validation=with_validation,
        checkpoint=out / _UNFINISHED,
        time_limit=time_limit,
        step=step,
        ranks=ranks,
        on_epoch=on_epoch,
    )
    test = images.split("test")
    score = evaluate(module, images, test, dtype=chosen.dtype)
    metrics = {**training_metrics(fitted), **score_metrics("test", score), **cost(described).metrics()}
    card = {
        "architecture": text,
        "space": space.to_config(),
        "seed": seed,
        "draw": draw,
        **conditions(images, chosen, len(fitted.epochs), where, threads),
        **how(fitted),
        "processes": ranks.size,
        "recipe": chosen.to_config(),
        "with_validation": with_validation,
        "test_checksum": test.checksum,
        "metrics": metrics,
        "curve": curve(fitted),
        "nas_train": version("nas-train"),
    }
    if ranks.writes:
        save_network(out / CHECKPOINT, module, card)
        write_file(out / CARD, (json.dumps(card, indent=1, sort_keys=True, allow_nan=False) + "\n").encode())
        (out / _UNFINISHED).unlink(missing_ok=True)
    ranks.wait()
    shown = ("data", "epochs", "device", "threads", "torch", "batch", "step", "processes", "curve")
    details: dict[str, Any] = {key: card[key] for key in shown}
    return Measurement(metrics, time.perf_counter() - start, {"checkpoint": CHECKPOINT, "card": CARD}, details)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError("a directory cannot be made", value=error.strerror, place=str(folder)) from None
