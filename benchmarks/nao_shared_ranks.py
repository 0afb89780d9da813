"""How truly does a bank of shared weights rank cells that were trained alone, and is it truer after more epochs?

    python benchmarks/nao_shared_ranks.py --data cifar10.npz --runs runs [--cells 12] [--seeds 3]

The first random cells of each seed of `nao_shared.py cnn` are trained alone for `--alone` epochs, or found in its
journal in `--runs`; one that diverged is left out. All others together are then one group on a fresh bank, once for
each of `--epochs`. Keeps the rank correlation of minus the validation loss on the bank with the validation accuracy
alone, and of both with the number of separable convolutions, which tells whether a bank favours cells that have little
to learn.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
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


def setting_of(given: argparse.Namespace, epochs: int) -> tuple[nao_shared.Setting, argparse.Namespace]:
    """That of `nao_shared.py cnn` with a bank of other epochs."""
    words = ["cnn", "--data", str(given.data), "--runs", str(given.runs), "--epochs", str(given.alone)]
    options = nao_shared.arguments([*words, "--interval", str(epochs)])
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


def ranks_agree(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's rank correlation."""
    return round(float(spearmanr(one, other).statistic), 3)


def main() -> None:
    """Run, and keep what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, required=True, help="folder of the journals")
    parser.add_argument("--cells", type=int, default=12, help="of each seed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--alone", type=int, default=5, help="epochs of a training alone")
    parser.add_argument("--epochs", nargs="+", type=int, default=[2, 4, 8], help="of the bank")
    given = parser.parse_args()
    truth: dict[str, float] = {}
    setting, options = setting_of(given, given.epochs[0])
    for seed in range(given.seeds):
        bench = nao_shared.Bench(setting, options, seed)
        for cell in islice(bench.at_random(), given.cells):
            entry = bench.trained(cell)
            if setting.metric in entry:
                truth[entry["cell"]] = entry[setting.metric]
    cells, accuracies = list(truth), list(truth.values())
    convolutions = [cell.count("sep_conv") for cell in cells]
    journal, runs, figures = Journal(given.runs / "nao_shared_ranks.jsonl"), [], {}
    figures["alone"] = {"with_convolutions": ranks_agree(accuracies, convolutions)}
    for epochs in given.epochs:
        setting, _ = setting_of(given, epochs)
        run = journal.run({"shared": setting.shared, "cells": cells}, partial(measured, setting, cells))
        scores = [-value for value in run["values"]]
        of_bank = figures[f"{epochs} epochs"] = {
            "with_accuracy": ranks_agree(scores, accuracies),
            "with_convolutions": ranks_agree(scores, convolutions),
            "seconds": run["seconds"],
        }
        print(f"{epochs} epochs: {of_bank}", flush=True)
        runs.append({"epochs": epochs, **run})
    trained = [{"cell": cell, setting.metric: value} for cell, value in truth.items()]
    record.keep("nao_shared_ranks", figures, [{"trained": trained}, *runs])


if __name__ == "__main__":
    main()
