"""BONAS in closed domains: labels until the best architecture is met, by sampler, loss and option (paper, table 2).

    python benchmarks/bonas_search.py nb201 --settings default random reinforce [--seeds 50] [--labels 400]
    python benchmarks/bonas_search.py nb101 --settings default symmetric label [--seeds 20] [--labels 600]
    python benchmarks/bonas_search.py nb101 --settings mse exponential logarithmic linear

NAS-Bench-201: CIFAR-10, 200-epoch validation accuracy, the whole space. NAS-Bench-101: 108-epoch validation accuracy in
the closed domain of the sample's 20,001 cells. Every label counts, the random ones too; a seed that does not meet the
best counts all its labels; a seed ends when it has met it. Keeps for each seed the best at 50, 100, 200 and 400 labels,
and the processor seconds of all proposals together. The four losses are those of figure 5.

Searches are written to `--journal`; the same command goes on where it was stopped or has spent its `--minutes`, and
more seeds or settings are added to those that are there. A search is found again by all its options.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import record
from bo_tables import table
from portions import Run, known_of, make_missing

from nas_core.objective import Objectives
from nas_core.trial import Measurement
from nas_search.optimizers.bonas import Bonas

AT = (50, 100, 200, 400)
SEEDS = {"nb201": 50, "nb101": 20}
LABELS = {"nb201": 400, "nb101": 600}
PAPER = {"deviation": "label", "intercept": False, "targets": "share"}
CODE = {"normalise": "none", "batch_norm": True, "loss": "exponential_code", "intercept": False}
SETTINGS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "default": ({}, {}),
    "random": ({"sampler": "random"}, {}),
    "reinforce": ({"sampler": "reinforce"}, {}),
    "predicted": ({"incumbent": "predicted"}, {}),
    "symmetric": ({}, {"normalise": "symmetric"}),
    "unnormalised": ({}, {"normalise": "none"}),
    "mse": ({}, {"loss": "mse"}),
    "exponential": ({}, {"loss": "exponential"}),
    "logarithmic": ({}, {"loss": "logarithmic"}),
    "linear": ({}, {"loss": "linear"}),
    "label": ({}, {"deviation": "label"}),
    "epochs_300": ({}, {"epochs": 300}),
    "no_intercept": ({}, {"intercept": False}),
    "share": ({}, {"targets": "share"}),
    "earlier": ({"sources": "earlier"}, {}),
    "paper": ({"sources": "earlier"}, PAPER),
    "code": ({"population": 30, "tournament": 10}, CODE),
}
"""By name: what differs from the defaults, of the optimizer and of its surrogate `gcn`."""


def optimizer_of(name: str, setting: str, seed: int) -> Bonas:
    """The optimizer of a setting."""
    options, surrogate = SETTINGS[setting]
    objectives = Objectives.parse(["max:val_accuracy"])
    return Bonas(table(name)[0], objectives, seed, surrogate={"name": "gcn", **surrogate}, **options)


def search(name: str, setting: str, labels: int, seed: int) -> dict[str, Any]:
    """One search."""
    values = table(name)[1]
    optimizer = optimizer_of(name, setting, seed)
    history, optimum = optimizer.objectives.new_history(), max(values.values())
    best: list[float] = []
    seconds = 0.0
    while len(best) < labels and (not best or best[-1] < optimum):
        begun = time.process_time()
        (proposal,) = optimizer.propose(history, 1)
        seconds += time.process_time() - begun
        value = values[proposal.architecture]
        history.finish(history.begin(proposal).number, Measurement({"val_accuracy": value}))
        best.append(max(value, best[-1] if best else value))
    return {
        "optimum_at": len(best) if best[-1] == optimum else None,
        **{f"best_at_{k}": best[min(k, len(best)) - 1] for k in AT},
        "cpu_seconds": round(seconds, 2),
        "labels": len(best),
    }


def figures_of(runs: list[dict[str, Any]], labels: int, config: dict[str, Any]) -> dict[str, Any]:
    """What the seeds come to."""
    met = np.array([run["optimum_at"] or labels for run in runs])
    return {
        "labels_to_optimum": round(float(met.mean()), 2),
        "se": round(float(met.std(ddof=1) / len(met) ** 0.5), 2) if len(met) > 1 else None,
        "median": float(np.median(met)),
        "found": sum(run["optimum_at"] is not None for run in runs) / len(runs),
        "seeds": len(runs),
        "most_labels": labels,
        **{f"best_at_{k}": round(float(np.mean([run[f"best_at_{k}"] for run in runs])), 4) for k in AT},
        "cpu_ms_per_label": round(
            1e3 * sum(run["cpu_seconds"] for run in runs) / sum(run["labels"] for run in runs), 1
        ),
        "optimizer": config,
    }


def main() -> None:
    """Make what is missing, and keep a result for each setting."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=list(SEEDS))
    parser.add_argument("--settings", nargs="+", default=["default"], choices=list(SETTINGS))
    parser.add_argument("--seeds", type=int, help="50 for nb201, 20 for nb101")
    parser.add_argument("--labels", type=int, help="400 for nb201, 600 for nb101")
    parser.add_argument("--journal", type=Path, default=Path("bonas_search.jsonl"))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--minutes", type=float, help="begin nothing after so many")
    given = parser.parse_args()
    seeds, labels = given.seeds or SEEDS[given.table], given.labels or LABELS[given.table]
    configs = {setting: optimizer_of(given.table, setting, 0).to_config() for setting in given.settings}
    keys = {
        setting: [{"table": given.table, "labels": labels, "seed": s, "optimizer": config} for s in range(seeds)]
        for setting, config in configs.items()
    }
    runs = [
        Run(keys[setting][seed], partial(search, given.table, setting, labels, seed))
        for seed in range(seeds)
        for setting in given.settings
    ]
    make_missing(given.journal, runs, given.processes, given.minutes)
    for setting, config in configs.items():
        found = known_of(given.journal, keys[setting])
        known = [{"seed": seed, **run} for seed, run in enumerate(found) if run is not None]
        if known:
            name = f"bonas_{given.table}" + ("" if setting == "default" else f"_{setting}")
            record.keep(name, figures_of(known, labels, config), known)


if __name__ == "__main__":
    main()
