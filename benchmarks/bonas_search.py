"""BONAS in closed domains: labels until the best architecture is met, by sampler, loss and option (paper, table 2).

    python benchmarks/bonas_search.py nb201 [--seeds 50] [--labels 200] [--first 0] [--name bonas_nb201] \
        [--options sampler=random] [--surrogate loss=mse]
    python benchmarks/bonas_search.py nb101 --seeds 20 --labels 600

NAS-Bench-201: CIFAR-10, 200-epoch validation accuracy, the whole space. NAS-Bench-101: 108-epoch validation accuracy in
the closed domain of the sample's 20,001 cells. Every label counts, the random ones too; a seed that does not meet the
best counts all its labels; a seed ends when it has met it. With `--first` further seeds are added to those that the
result has; it must then have been made with the same options. Keeps for each seed the labels, the best at 50, 100 and
200 labels, and the seconds of all proposals together.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import record
from bo_tables import table

from nas_core.objective import Objectives
from nas_core.trial import Measurement
from nas_search.config import component
from nas_search.optimizers.bonas import Bonas

AT = (50, 100, 200)


def search(name: str, labels: int, options: dict[str, Any], seed: int) -> dict[str, Any]:
    """One search."""
    space, values = table(name)
    objectives = Objectives.parse(["max:val_accuracy"])
    optimizer = Bonas(space, objectives, seed, **options)
    history, optimum = objectives.new_history(), max(values.values())
    best: list[float] = []
    seconds = 0.0
    while len(best) < labels and (not best or best[-1] < optimum):
        begun = time.perf_counter()
        (proposal,) = optimizer.propose(history, 1)
        seconds += time.perf_counter() - begun
        value = values[proposal.architecture]
        history.finish(history.begin(proposal).number, Measurement({"val_accuracy": value}))
        best.append(max(value, best[-1] if best else value))
    return {
        "seed": seed,
        "optimum_at": len(best) if best[-1] == optimum else None,
        **{f"best_at_{k}": best[min(k, len(best)) - 1] for k in AT},
        "seconds": round(seconds, 2),
        "labels": len(best),
    }


def figures_of(runs: list[dict[str, Any]], labels: int, options: dict[str, Any]) -> dict[str, Any]:
    """What the seeds come to."""
    met = np.array([run["optimum_at"] or labels for run in runs])
    return {
        "options": options,
        "seeds": len(runs),
        "labels_to_optimum": round(float(met.mean()), 2),
        "se": round(float(met.std(ddof=1) / len(met) ** 0.5), 2) if len(met) > 1 else None,
        "median": float(np.median(met)),
        "found": sum(run["optimum_at"] is not None for run in runs) / len(runs),
        "most_labels": labels,
        **{f"best_at_{k}": round(float(np.mean([run[f"best_at_{k}"] for run in runs])), 4) for k in AT},
        "ms_per_label": round(1e3 * sum(run["seconds"] for run in runs) / sum(run["labels"] for run in runs), 1),
    }


def main() -> None:
    """Run and keep, after every seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=["nb201", "nb101"])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--labels", type=int, default=200)
    parser.add_argument("--name")
    parser.add_argument("--options", default="", help="of the optimizer, KEY=VALUE,…")
    parser.add_argument("--surrogate", default="", help="options of gcn, KEY=VALUE,…")
    given = parser.parse_args()
    surrogate = component("gcn:" + given.surrogate)
    read = component("bonas:" + given.options)
    options = {**{key: value for key, value in read.items() if key != "name"}, "surrogate": surrogate}
    name = given.name or f"bonas_{given.table}"
    runs: list[dict[str, Any]] = []
    if given.first:
        kept = json.loads((record.RESULTS / f"{name}.json").read_text())
        if kept["figures"]["options"] != options or kept["figures"]["most_labels"] != given.labels:
            raise SystemExit("error: the result was made with other options")
        runs = kept["raw"][: given.first]
    for seed in range(given.first, given.first + given.seeds):
        runs.append(search(given.table, given.labels, options, seed))
        record.keep(name, figures_of(runs, given.labels, options), runs)


if __name__ == "__main__":
    main()
