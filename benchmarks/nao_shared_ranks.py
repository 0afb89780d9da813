"""How truly does a bank of shared weights rank cells that were trained alone, and what makes it truer?

    python benchmarks/nao_shared_ranks.py --data cifar10.npz --runs runs [--cells 12] [--seeds 3]

The first random cells of each seed of `nao_shared.py cnn` are trained alone for `--alone` epochs, or found in its
journal in `--runs`. All of them together are then one group on a fresh bank, once for each `--banks`: epochs of the
bank and, after a +, steps for which each member goes on by itself before it is measured. Keeps the rank correlation of
minus the validation loss on the bank with the validation accuracy alone, and that with the number of separable
convolutions, which tells whether a bank favours cells that have little to learn.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import nao_shared
import record
from journal import Journal
from scipy.stats import spearmanr

from nas_core import registry
from nas_core.evaluator import Evaluation
from nas_core.trial import Measurement


def setting_of(given: argparse.Namespace, bank: str) -> tuple[nao_shared.Setting, argparse.Namespace]:
    """That of `nao_shared.py cnn` with a bank of other epochs and steps."""
    epochs, _, steps = bank.partition("+")
    words = ["cnn", "--data", str(given.data), "--runs", str(given.runs), "--epochs", str(given.alone)]
    options = nao_shared.arguments([*words, "--interval", epochs, "--tune", steps or "0"])
    return nao_shared.images(options), options


def measured(setting: nao_shared.Setting, cells: list[str]) -> dict[str, Any]:
    """What a fresh bank says of cells, and what it cost."""
    space = registry.from_config("space", setting.space)
    evaluator = registry.from_config("evaluator", setting.shared)
    evaluator.prepare(space)
    begun = time.process_time()
    results, _ = evaluator.evaluate_group([Evaluation(space, space.parse(cell), seed=0) for cell in cells], None)
    failed = [cell for cell, result in zip(cells, results, strict=True) if not isinstance(result, Measurement)]
    if failed:
        raise SystemExit(f"error: not every member was measured: {failed}")
    values = [round(result.metrics[setting.bank], 4) for result in results]
    return {"seconds": round(time.process_time() - begun, 1), "values": values}


def main() -> None:
    """Run, and keep what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the journals")
    parser.add_argument("--cells", type=int, default=12, help="of each seed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--alone", type=int, default=5, help="epochs of a training alone")
    parser.add_argument("--banks", nargs="+", default=["2", "2+60", "4", "8", "8+60", "16"])
    given = parser.parse_args()
    truth: dict[str, float] = {}
    setting, options = setting_of(given, given.banks[0])
    for seed in range(given.seeds):
        bench = nao_shared.Bench(setting, options, seed)
        for cell in islice(bench.at_random(), given.cells):
            entry = bench.trained(cell)
            truth[entry["cell"]] = entry[setting.metric]
    cells, accuracies = list(truth), list(truth.values())
    convolutions = [cell.count("sep_conv") for cell in cells]
    journal, runs, figures = Journal(given.runs / "nao_shared_ranks.jsonl"), [], {}
    for bank in given.banks:
        setting, _ = setting_of(given, bank)
        run = journal.run({"shared": setting.shared, "cells": cells}, partial(measured, setting, cells))
        scores = [-value for value in run["values"]]
        figures[bank] = {
            "with_accuracy": round(float(spearmanr(scores, accuracies).statistic), 3),
            "with_convolutions": round(float(spearmanr(scores, convolutions).statistic), 3),
            "seconds": run["seconds"],
        }
        print(f"{bank}: {figures[bank]}", flush=True)
        runs.append({"bank": bank, **run})
    trained = [{"cell": cell, setting.metric: value} for cell, value in truth.items()]
    record.keep("nao_shared_ranks", figures, [{"trained": trained}, *runs])


if __name__ == "__main__":
    main()
