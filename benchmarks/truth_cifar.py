"""Do cheap trainings on real CIFAR-10 rank NAS-Bench-201 cells as the table does?

    python benchmarks/truth_cifar.py --data cifar10.npz --journal truth_cifar.jsonl [--cells 40] [--dtype bfloat16]
                                     [--processes 2] [--minutes N]

Trains a fixed random choice of connected cells with a narrow network and a cheap recipe (at least 5,000 images and 5
epochs), each on one thread. Prints the best validation accuracy, and Spearman's rank correlation of the accuracies with
the table's after 200 epochs. Every cell is written to the journal when it is done, and a run that was stopped goes on
after the last of them.
"""

from __future__ import annotations

import argparse
import time
from functools import cache, partial
from pathlib import Path
from typing import Any

import deadline
import numpy as np
import record
from cifar import cifar_npz
from connected import connected
from portions import Run, known_of, make_missing
from scipy.stats import spearmanr

from nas_core.evaluator import Evaluation
from nas_core.random import rng
from nas_spaces.nasbench201 import NASBench201
from nas_train.evaluator import TrainingEvaluator

SPACE = NASBench201()


def chosen_rows(ops: list[list[int]], cells: int) -> list[int]:
    """The first connected cells in a fixed random order of the table's rows; more cells only add to them."""
    order = rng(0, "truth_cifar").permutation(len(ops))
    return [int(row) for row in order if connected(SPACE.from_tokens(ops[row]))][:cells]


@cache
def evaluator_of(
    data: str, recipe: str, dtype: str, epochs: int | None, channels: int, cells: int
) -> TrainingEvaluator:
    """The evaluator of one setting, with its images."""
    network = {"channels": channels, "cells": cells}
    return TrainingEvaluator(data, {"name": recipe, "dtype": dtype}, epochs=epochs, network=network, threads=1)


def trained(data: str, setting: dict[str, Any], tokens: list[int]) -> dict[str, Any]:
    """What one cell's training gave."""
    evaluator, begun = evaluator_of(data, **setting), time.process_time()
    metrics = evaluator.evaluate(Evaluation(SPACE, SPACE.from_tokens(tokens))).metrics
    kept = {name: round(metrics[name], 4) for name in ("val_accuracy", "val_loss", "train_seconds")}
    return {**kept, "cpu_seconds": round(time.process_time() - begun, 1)}


def main() -> None:
    """Run and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("cifar10.npz"), help="written where it is not there yet")
    parser.add_argument("--journal", type=Path, default=Path("truth_cifar.jsonl"))
    parser.add_argument("--cells", type=int, default=40)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--dtype", default="float32", help="bfloat16 is quicker where the processor has it")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--stack", type=int, default=1, help="cells a stage")
    deadline.add_option(parser)
    options = parser.parse_args()
    setting = {
        **{name: getattr(options, name) for name in ("recipe", "dtype", "epochs", "channels")},
        "cells": options.stack,
    }
    data = str(cifar_npz(options.data))
    evaluator = evaluator_of(data, **setting)
    setting["epochs"] = evaluator.epochs
    with np.load(record.tables_dir() / "nb201_c10.npz", allow_pickle=False) as table:
        ops, accuracy = table["ops"].tolist(), table["c10_val_e200"]
    rows = chosen_rows(ops, options.cells)
    runs = [Run({"row": row, **setting}, partial(trained, data, setting, ops[row])) for row in rows]
    make_missing(options.journal, runs, options.processes, options.minutes)
    done = [found for found in known_of(options.journal, [run.key for run in runs]) if found is not None]
    if len(done) < len(rows):
        print(f"{len(rows) - len(done)} cells are left; run it again")
        return
    ours = [one["val_accuracy"] for one in done]
    figures = {
        **setting,
        "sampled": len(rows),
        "images": evaluator.recipe.images,
        "best_val_accuracy": max(ours),
        "spearman_table_val_accuracy": round(float(spearmanr(ours, accuracy[rows]).statistic), 3),
        "cpu_seconds_mean": round(float(np.mean([one["cpu_seconds"] for one in done])), 1),
    }
    record.keep("truth_cifar", figures, [{"row": row, **one} for row, one in zip(rows, done, strict=True)])


if __name__ == "__main__":
    main()
