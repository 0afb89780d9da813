"""Training-free search on DARTS cells with CIFAR-10: condition number and linear regions (AG-Net, section 4.2; TE-NAS).

    python benchmarks/agnet_training_free.py --data cifar10.npz --folder training_free [--queries 208] [--random 10] \
        [--seed 0] [--options cells=phases,phase=104] [--cells 5] [--channels 4] [--repeats 6] [--epochs 10]

AG-Net asks for 208 cells in rounds of 16 of 50 candidates, one pass a round, and ranks them by the sum of their ranks
in the two scores, as in the paper; each score is the mean of six initial weights (three in the paper) on a reduced
network. The best by that sum over all queries is then trained with the recipe `small`, beside random cells; and what
the regression fitted to the table of DARTS cells predicts for each, after a full training, is kept as well. The search
is a study in the folder, the trainings are a journal there: a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import record
from agnet_search import problem
from cifar import cifar_npz
from journal import Journal

from nas_core.architecture import Architecture
from nas_core.evaluator import Evaluation
from nas_core.random import rng
from nas_core.registry import make
from nas_core.trial import Status
from nas_search.config import StudyConfig, component
from nas_search.study import Study
from nas_train.evaluator import TrainingEvaluator

SCORES = {"ntk_condition": "min", "linear_regions": "max"}
PAPER: dict[str, Any] = {"name": "agnet", "candidates": 50, "epochs": 1, "weighting": "equal"}


def searched(given: argparse.Namespace, data: str) -> tuple[Architecture, dict[str, Any]]:
    """The best cell of the search, and what the search came to."""
    how = {key: value for key, value in component("agnet:" + given.options).items() if key != "name"}
    network = {"channels": given.channels, "cells": given.cells}
    config = StudyConfig.from_mapping(
        {
            "space": {"name": "darts"},
            "optimizer": {**PAPER, "cache": given.cache, **how},
            "evaluator": {
                "name": "proxies", "data": data, "scores": list(SCORES), "images": 16, "repeats": given.repeats,
                "network": network,
            },
            "objectives": [f"{direction}:{name}" for name, direction in SCORES.items()],
            "trials": given.queries,
            "seed": given.seed,
            "failure_limit": 1.0,
        }
    )  # fmt: skip
    directory = given.folder / "search"
    with Study.open(directory) if directory.exists() else Study.create(directory, config) as study:
        study.run()
        trials = [trial for trial in study.trials() if trial.status is Status.COMPLETED]
        seconds = sum(trial.seconds for trial in study.trials())
    total = np.zeros(len(trials), dtype=np.int64)
    distinct = {}
    for name, direction in SCORES.items():
        column = np.array([trial.metrics[name] for trial in trials]) * (1.0 if direction == "min" else -1.0)
        total += np.searchsorted(np.sort(column), column, side="left")
        distinct[name] = len(np.unique(column))
    best = trials[int(np.argmin(total))]
    figures = {
        "queries": given.queries,
        "completed": len(trials),
        "distinct_values": distinct,
        "scoring_seconds": round(seconds, 1),
        "best_trial": best.number,
        **{name: best.metrics[name] for name in SCORES},
    }
    return best.architecture, figures


def main() -> None:
    """Search, train and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("cifar10.npz"), help="written where it is not there yet")
    parser.add_argument("--folder", type=Path, default=Path("training_free"))
    parser.add_argument("--queries", type=int, default=208)
    parser.add_argument("--random", type=int, default=10, help="cells trained beside the best")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--options", default="", help="of the optimizer, KEY=VALUE,…")
    parser.add_argument("--cache", help="folder of pretrained generators")
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--cells", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=6, help="initial weights of a score")
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--name", default="agnet_training_free")
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    data = str(cifar_npz(given.data).resolve())
    begun = time.perf_counter()
    best, figures = searched(given, data)
    figures["search_seconds"] = round(time.perf_counter() - begun, 1)
    space = make("space", "darts")
    network = {"channels": 2 * given.channels, "cells": given.cells}
    evaluator = TrainingEvaluator(data, given.recipe, epochs=given.epochs, network=network, threads=1)
    predicted = problem("nb301").value
    journal, accuracies, raw = Journal(given.folder / "trained.jsonl"), [], []
    for number, cell in enumerate([best, *space.sample(rng(given.seed, "random cells"), given.random)]):
        text = space.text(cell)

        def trained(cell: Architecture = cell) -> dict[str, Any]:
            start = time.process_time()
            accuracy = evaluator.evaluate(Evaluation(space, cell)).metrics["val_accuracy"]
            return {"val_accuracy": accuracy, "cpu_seconds": round(time.process_time() - start, 1)}

        key = {"cell": text, "recipe": given.recipe, "epochs": evaluator.epochs, **network}
        raw.append({"cell": text, **journal.run(key, trained), "predicted": round(predicted(cell), 3)})
        accuracies.append(raw[-1]["val_accuracy"])
        of_random = [entry["predicted"] for entry in raw[1:]]
        figures |= {
            "found": accuracies[0],
            "random_mean": float(np.mean(accuracies[1:])) if number else None,
            "random_best": max(accuracies[1:], default=None),
            "random_better": sum(a > accuracies[0] for a in accuracies[1:]),
            "predicted_of_found": raw[0]["predicted"],
            "predicted_of_random_mean": round(float(np.mean(of_random)), 3) if number else None,
            "predicted_of_random_better": sum(value > raw[0]["predicted"] for value in of_random),
            "training_cpu_seconds": round(sum(entry["cpu_seconds"] for entry in raw), 1),
        }
        record.keep(given.name, figures, raw)


if __name__ == "__main__":
    main()
