"""A real search: BONAS against random search on DARTS's cells, trained on CIFAR-10 images on the CPU.

    python benchmarks/bonas_cifar.py --data cifar10.npz --runs runs [--seeds 3] [--trials 40] [--methods bonas random] \
        [--minutes 60]

The space is that of BONAS's open domain, one cell of DARTS's operations for both kinds of cells (`--space darts` for
two). Every cell is trained by the recipe `small` (5,000 images) for `--epochs` in a narrow network, on one thread, in
both methods alike. DARTS's ImageNet stem, which shrinks an image to a quarter of its sides, makes that cheaper than
`--stem cifar` does. Each seed of each method is a study of its own. Keeps the best validation accuracy after 10, 20, …
trials, and the test accuracy of the cell that is best at the end, which no search has seen. `bonas_predicted` measures
an improvement from the best prediction, since one label of a cell is noisy here (`nas_search.optimizers.bonas`).

Studies lie in `--runs` and go on with the same command where they were stopped or have spent the `--minutes`; two
commands may run side by side with other `--methods`. What is unfinished is left out of the figures.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import record
from cifar import cifar_npz

from nas_core.trial import Status, Trial
from nas_search.config import StudyConfig
from nas_search.study import Study

METHODS: dict[str, dict[str, Any]] = {
    "bonas": {"name": "bonas"},
    "bonas_predicted": {"name": "bonas", "incumbent": "predicted"},
    "random": {"name": "random"},
}
STEP = 10


def config_of(given: argparse.Namespace, method: str, seed: int) -> StudyConfig:
    """One study."""
    evaluator = {
        "name": "train",
        "data": str(cifar_npz(given.data).resolve()),
        "recipe": {"name": "small", "images": given.images, "dtype": given.dtype},
        "epochs": given.epochs,
        "network": {"channels": given.channels, "cells": given.stack, "stem": given.stem},
        "threads": 1,
        "test": True,
    }
    return StudyConfig.from_mapping(
        {
            "space": given.space,
            "optimizer": METHODS[method],
            "evaluator": evaluator,
            "objectives": ["max:val_accuracy"],
            "trials": given.trials,
            "seed": seed,
        }
    )


def place_of(given: argparse.Namespace, method: str, seed: int) -> Path:
    """The study's directory, which names everything that may be set."""
    network = f"{given.space}_{given.channels}x{given.stack}_{given.stem}"
    training = f"{given.images}x{given.epochs}_{given.dtype}"
    return Path(given.runs / f"bonas_cifar_{network}_{training}_{given.trials}_{method}_{seed}")


def gone_on(given: argparse.Namespace, method: str, seed: int, until: float) -> bool:
    """Go on with a study until it is finished or the time is over; whether it is finished."""
    place = place_of(given, method, seed)
    with Study.open(place) if place.exists() else Study.create(place, config_of(given, method, seed)) as study:
        study.run(stop=lambda: time.monotonic() > until)
        return study.status().finished >= given.trials


def run_of(given: argparse.Namespace, method: str, seed: int) -> dict[str, Any] | None:
    """What a finished study found; None for one that is not."""
    place = place_of(given, method, seed)
    if not place.exists():
        return None
    with Study.open(place, read_only=True) as study:
        trials = study.trials()
        if study.status().finished < given.trials:
            return None
    completed = [trial for trial in trials if trial.status is Status.COMPLETED]
    best = max(completed, key=lambda trial: trial.metrics["val_accuracy"])
    counts = range(STEP, given.trials + 1, STEP)
    return {
        "method": method,
        "seed": seed,
        "best_val_accuracy": {count: best_of(trials[:count]) for count in counts},
        "test_accuracy": round(best.metrics["test_accuracy"], 3),
        "params": best.metrics["params"],
        "failed": len(trials) - len(completed),
        "train_seconds": round(sum(trial.metrics["train_seconds"] for trial in completed), 1),
        "val_accuracies": [round(trial.metrics["val_accuracy"], 3) for trial in completed],
    }


def best_of(trials: list[Trial]) -> float:
    """The best validation accuracy so far."""
    return round(max(trial.metrics.get("val_accuracy", 0.0) for trial in trials), 3)


def mean(values: Iterable[float]) -> float:
    """Rounded."""
    return round(float(np.mean(list(values))), 3)


def figures_of(runs: list[dict[str, Any]], given: argparse.Namespace) -> dict[str, Any]:
    """Means over the seeds, by method."""
    figures: dict[str, Any] = {}
    for method in METHODS:
        own = [run for run in runs if run["method"] == method]
        if own:
            counts = own[0]["best_val_accuracy"]
            figures[method] = {
                "seeds": len(own),
                "best_val_accuracy": {count: mean(run["best_val_accuracy"][count] for run in own) for count in counts},
                "mean_val_accuracy": mean(value for run in own for value in run["val_accuracies"]),
                "test_accuracy": mean(run["test_accuracy"] for run in own),
                "train_seconds": mean(run["train_seconds"] for run in own),
            }
    names = ("space", "trials", "images", "epochs", "channels", "stack", "stem", "dtype")
    return {**figures, **{name: getattr(given, name) for name in names}}


def main() -> None:
    """Go on with what is unfinished, and keep what is finished."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("cifar10.npz"), help="written where it is not there yet")
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--space", default="bonas_open_domain", choices=["bonas_open_domain", "darts"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--stack", type=int, default=3, help="cells of a network")
    parser.add_argument("--stem", default="imagenet", choices=["imagenet", "cifar"])
    parser.add_argument("--dtype", default="float32", help="bfloat16 was slower here: depthwise convolutions")
    parser.add_argument("--minutes", type=float, help="begin no trial after so many")
    given = parser.parse_args()
    given.runs.mkdir(parents=True, exist_ok=True)
    until = float("inf") if given.minutes is None else time.monotonic() + 60.0 * given.minutes
    for seed in range(given.seeds):
        for method in given.methods:
            print(f"{method}, seed {seed}:", "finished" if gone_on(given, method, seed, until) else "unfinished")
    runs = [run_of(given, method, seed) for seed in range(given.seeds) for method in METHODS]
    finished = [run for run in runs if run is not None]
    if finished:
        record.keep("bonas_cifar", figures_of(finished, given), finished)


if __name__ == "__main__":
    main()
