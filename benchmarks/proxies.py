"""Zero-cost scores of NAS-Bench-201 cells against their trained accuracy and against published scores.

    python benchmarks/proxies.py --data cifar10.npz [--cells 300] [--scores nwot,synflow] [--journal proxies.jsonl]

Cells: a fixed random choice among those with published scores. Each network has 16 channels and 5 cells a stage, as in
the benchmark, and sees one batch of 32 CIFAR-10 training images. Prints Spearman's rank correlation of every score with
the validation accuracy after 200 epochs, and with the published score of the same name; a cell without a score ranks
last. The condition number, which costs most, is taken for the first cells only (`--ntk`), with 16 images.
With a journal a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import record
from cifar import cifar_npz
from scipy.stats import spearmanr

from nas_core.architecture import Architecture
from nas_core.errors import TrialFailed
from nas_core.evaluator import Evaluation
from nas_core.random import rng
from nas_core.space import Space
from nas_spaces.nasbench201 import NASBench201
from nas_train.proxies import PROXIES, ProxyEvaluator

NETWORK = {"channels": 16, "cells": 5}
SPACE = NASBench201()


def scored(evaluator: ProxyEvaluator, space: Space, a: Architecture) -> dict[str, Any]:
    """Value (None where it is not finite) and CPU seconds of the evaluator's one score for one cell."""
    begun = time.process_time()
    try:
        measured = evaluator.evaluate(Evaluation(space, a))
        value: float | None = measured.metrics[evaluator.scores[0]]
    except TrialFailed:
        value = None
    return {"value": value, "seconds": round(time.process_time() - begun, 3)}


def measure(
    names: list[str], rows: list[int], data: str, ntk: int, journal: Path | None
) -> dict[str, list[dict[str, Any]]]:
    """By score, one entry a row."""
    with np.load(record.tables_dir() / "nb201_c10.npz", allow_pickle=False) as table:
        ops = table["ops"]
    done = [json.loads(line) for line in journal.read_text().splitlines()] if journal and journal.exists() else []
    found: dict[str, list[dict[str, Any]]] = {name: [e for e in done if e["score"] == name] for name in names}
    for name in names:
        chosen = rows[:ntk] if name == "ntk_condition" else rows
        evaluator = ProxyEvaluator(data, [name], images=16 if name == "ntk_condition" else 32, network=NETWORK)
        if len(found[name]) < len(chosen):
            evaluator.prepare(SPACE)
        for row in chosen[len(found[name]) :]:
            entry = {"score": name, "row": row, **scored(evaluator, SPACE, SPACE.from_tokens(ops[row].tolist()))}
            found[name].append(entry)
            if journal is not None:
                with journal.open("a") as stream:
                    stream.write(json.dumps(entry) + "\n")
    return found


def rank_correlation(name: str, entries: list[dict[str, Any]], truth: np.ndarray) -> float:
    """Spearman's, over the rows whose truth is known; the better end of the score counts as more."""
    sign = 1.0 if PROXIES[name].direction == "max" else -1.0
    known = np.isfinite(truth)
    ours = np.array([-math.inf if e["value"] is None else sign * e["value"] for e in entries])
    return round(float(spearmanr(ours[known], truth[known]).statistic), 3)


def summary(name: str, entries: list[dict[str, Any]], accuracy: np.ndarray) -> dict[str, Any]:
    """What the entries of a score come to."""
    return {
        "cells": len(entries),
        "not_finite": sum(e["value"] is None for e in entries),
        "spearman_val_accuracy": rank_correlation(name, entries, accuracy),
        "cpu_seconds_mean": round(float(np.mean([e["seconds"] for e in entries])), 3),
    }


def main() -> None:
    """Run and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("cifar10.npz"), help="written where it is not there yet")
    parser.add_argument("--cells", type=int, default=300)
    parser.add_argument("--ntk", type=int, default=60)
    parser.add_argument("--journal", type=Path)
    parser.add_argument("--scores", default=",".join(PROXIES), help="names with commas between them")
    options = parser.parse_args()
    tables = record.tables_dir()
    with np.load(tables / "zero_cost.npz", allow_pickle=False) as arrays:
        index = arrays["nasbench201__cifar10__nb201_index"].astype(int)
        published = {n: arrays[key] for n in PROXIES if (key := f"nasbench201__cifar10__{n}") in arrays.files}
    with np.load(tables / "nb201_c10.npz", allow_pickle=False) as table:
        accuracy = table["c10_val_e200"]
    candidates = np.flatnonzero(np.isfinite(published["jacov"]))
    chosen = rng(0, "proxies", options.cells).permutation(candidates)[: options.cells]
    rows = [int(index[i]) for i in chosen]
    found = measure(options.scores.split(","), rows, str(cifar_npz(options.data)), options.ntk, options.journal)
    figures: dict[str, Any] = {"cells": len(rows)}
    for name, entries in found.items():
        few = chosen[: len(entries)]
        figures[name] = summary(name, entries, accuracy[index[few]])
        if name in published:
            figures[name]["spearman_published_score"] = rank_correlation(name, entries, published[name][few])
            finite = np.isfinite(published[name])
            figures[name]["published_spearman_val_accuracy"] = round(
                float(spearmanr(published[name][finite], accuracy[index[finite]]).statistic), 3
            )
    record.keep("proxies", figures, {name: [e["value"] for e in entries] for name, entries in found.items()})


if __name__ == "__main__":
    main()
