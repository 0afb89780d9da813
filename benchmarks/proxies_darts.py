"""The two scores of TE-NAS against the accuracy of trained DARTS cells.

    python benchmarks/proxies_darts.py --data cifar10.npz [--cells 60] [--channels 4] [--cells-a-network 5] \
        [--images 16] [--repeats 6] [--journal proxies_darts.jsonl]

Cells: a fixed random choice among those of the table of DARTS cells, with their validation accuracy on CIFAR-10. Prints
Spearman's rank correlation of the condition number, the number of linear regions and the sum of the ranks of both with
it; a cell without a score ranks last. Networks and images are those of `agnet_training_free.py`.
With a journal a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import record
from cifar import cifar_npz
from journal import Journal
from proxies import scored, summary
from scipy.stats import rankdata, spearmanr

from nas_core.random import rng
from nas_spaces.tables.convert import convert
from nas_train.proxies import ProxyEvaluator

SCORES = ("ntk_condition", "linear_regions")


def main() -> None:
    """Run and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("cifar10.npz"), help="written where it is not there yet")
    parser.add_argument("--cells", type=int, default=60)
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--cells-a-network", type=int, default=5)
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=6)
    parser.add_argument("--journal", type=Path)
    given = parser.parse_args()
    table = convert("nb301", record.tables_dir())
    rows = rng(0, "subset").permutation(len(table))[: given.cells]
    accuracy = table.column("val_accuracy")[rows]
    setting = {
        "images": given.images,
        "repeats": given.repeats,
        "network": {"channels": given.channels, "cells": given.cells_a_network},
    }
    figures: dict[str, Any] = {"cells": len(rows), **setting}
    raw: dict[str, Any] = {"val_accuracy": accuracy.tolist()}
    total = np.zeros(len(rows))
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(given.journal or Path(folder) / "proxies_darts.jsonl")
        for name in SCORES:
            evaluator = ProxyEvaluator(str(cifar_npz(given.data)), [name], **setting)
            evaluator.prepare(table.space)
            found = []
            for row in rows:
                a = table.architecture(int(row))
                key = {"score": name, "cell": table.space.text(a), **setting}
                found.append(journal.run(key, partial(scored, evaluator, table.space, a)))
            values = np.array([np.nan if one["value"] is None else one["value"] for one in found])
            total += rankdata(np.nan_to_num(values if name == "ntk_condition" else -values, nan=np.inf))
            figures[name] = summary(name, found, accuracy)
            raw[name] = [one["value"] for one in found]
    figures["both"] = {"spearman_val_accuracy": round(float(spearmanr(-total, accuracy).statistic), 3)}
    record.keep("proxies_darts", figures, raw)


if __name__ == "__main__":
    main()
