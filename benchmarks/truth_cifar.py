"""Do cheap trainings on real CIFAR-10 rank NAS-Bench-201 cells as the table does?

    python benchmarks/truth_cifar.py --data cifar10.npz --journal truth_cifar.jsonl [--cells 40] [--dtype bfloat16]
                                       [--limit N]

Trains a fixed random choice of connected cells with a narrow network and a cheap recipe (at least 5,000 images and 5
epochs), one after the other on one thread. Prints the best validation accuracy, and Spearman's rank correlation of the
accuracies with the table's after 200 epochs. Every cell is written to the journal when it is done, and a run that was
stopped goes on after the last of them; `--limit` stops after so many new ones.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import record
from cifar import cifar_npz
from scipy.stats import spearmanr

from nas_core.evaluator import Evaluation
from nas_core.random import rng
from nas_spaces.nasbench201 import NASBench201
from nas_train.evaluator import TrainingEvaluator

SPACE = NASBench201()
_SOURCES = (0, 0, 1, 0, 1, 2)
_TARGETS = (1, 2, 2, 3, 3, 3)


def connected(tokens: list[int]) -> bool:
    """Whether anything of the cell's input reaches its output; operation 0 is none."""
    reached = {0}
    for operation, source, target in zip(tokens, _SOURCES, _TARGETS, strict=True):
        if operation and source in reached:
            reached.add(target)
    return 3 in reached


def chosen_rows(ops: list[list[int]], cells: int) -> list[int]:
    """The first connected cells in a fixed random order of the table's rows; more cells only add to them."""
    order = rng(0, "truth_cifar").permutation(len(ops))
    return [int(row) for row in order if connected(ops[row])][:cells]


def trained(evaluator: TrainingEvaluator, tokens: list[int]) -> dict[str, Any]:
    """What one cell's training gave."""
    begun = time.process_time()
    metrics = evaluator.evaluate(Evaluation(SPACE, SPACE.from_tokens(tokens))).metrics
    kept = {name: round(metrics[name], 4) for name in ("val_accuracy", "val_loss", "train_seconds")}
    return {**kept, "cpu_seconds": round(time.process_time() - begun, 1)}


def main() -> None:
    """Run and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("cifar10.npz"), help="written where it is not there yet")
    parser.add_argument("--journal", type=Path, default=Path("truth_cifar.jsonl"))
    parser.add_argument("--cells", type=int, default=40)
    parser.add_argument("--limit", type=int, help="train so many more at most")
    parser.add_argument("--recipe", default="small")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's")
    parser.add_argument("--dtype", default="float32", help="bfloat16 is quicker where the processor has it")
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--stack", type=int, default=1, help="cells a stage")
    options = parser.parse_args()
    network = {"channels": options.channels, "cells": options.stack}
    recipe = {"name": options.recipe, "dtype": options.dtype}
    evaluator = TrainingEvaluator(
        str(cifar_npz(options.data)), recipe, epochs=options.epochs, network=network, threads=1
    )
    setting = {"recipe": options.recipe, "dtype": options.dtype, "epochs": evaluator.epochs, **network}
    with np.load(record.tables_dir() / "nb201_c10.npz", allow_pickle=False) as table:
        ops, accuracy = table["ops"].tolist(), table["c10_val_e200"]
    rows = chosen_rows(ops, options.cells)
    lines = options.journal.read_text().splitlines() if options.journal.exists() else []
    done = {entry["row"]: entry for entry in map(json.loads, lines) if entry["setting"] == setting}
    missing = [row for row in rows if row not in done]
    for row in missing[: options.limit]:
        done[row] = {"row": row, "setting": setting, **trained(evaluator, ops[row])}
        with options.journal.open("a") as stream:
            stream.write(json.dumps(done[row]) + "\n")
        print(json.dumps(done[row]), flush=True)
    if any(row not in done for row in rows):
        print(f"{sum(row not in done for row in rows)} cells are left; run it again")
        return
    ours = [done[row]["val_accuracy"] for row in rows]
    figures = {
        **setting,
        "cells": len(rows),
        "images": evaluator.recipe.images,
        "best_val_accuracy": max(ours),
        "spearman_table_val_accuracy": round(float(spearmanr(ours, accuracy[rows]).statistic), 3),
        "cpu_seconds_mean": round(float(np.mean([done[row]["cpu_seconds"] for row in rows])), 1),
    }
    record.keep("truth_cifar", figures, [done[row] for row in rows])


if __name__ == "__main__":
    main()
