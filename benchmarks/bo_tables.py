"""Bayesian optimization in its default configuration on NAS-Bench-201 and on the sample of NAS-Bench-101.

    python benchmarks/bo_tables.py [--tables nb201 nb101] [--seeds 50 20] [--labels 100 300] [--processes 2]

NAS-Bench-201: CIFAR-10, 200-epoch validation accuracy, the whole space. NAS-Bench-101: 108-epoch validation accuracy in
the closed domain of the sample's 20,001 cells. Every label counts; a seed that does not meet the optimum counts all its
labels. A seed ends when it has met the optimum. Keeps each seed's best at 50 and 100 labels, the label at which the
optimum was met, and the milliseconds a proposal.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache, partial
from typing import Any

import numpy as np
import record

from nas_core.architecture import Architecture
from nas_core.objective import Objectives
from nas_core.space import Space
from nas_core.trial import Measurement
from nas_search.optimizers.bo import BayesianOptimization
from nas_spaces.nasbench201 import NASBench201
from nas_spaces.restricted import RestrictedSpace
from nas_spaces.tables.nasbench101 import nb101

AT = (50, 100)


@lru_cache(maxsize=1)
def table(name: str) -> tuple[Space, dict[Architecture, float]]:
    """The space and the validation accuracies in per cent."""
    if name == "nb101":
        whole = nb101(record.tables_dir())
        members = list(whole.architectures())
        with np.load(record.tables_dir() / "nb101_20k.npz", allow_pickle=False) as arrays:
            values = 100.0 * arrays["val_e108"].astype(np.float64)
        return RestrictedSpace(whole.space, members), dict(zip(members, values.tolist(), strict=True))
    with np.load(record.tables_dir() / "nb201_c10.npz", allow_pickle=False) as arrays:
        names = [str(operation) for operation in arrays["op_names"]]
        rows, values = arrays["ops"], arrays["c10_val_e200"].astype(np.float64)
    space = NASBench201()
    members = [Architecture(space.name, tuple(names[k] for k in row)) for row in rows]
    return space, dict(zip(members, values.tolist(), strict=True))


def search(name: str, labels: int, seed: int) -> dict[str, Any]:
    """One search."""
    space, values = table(name)
    objectives = Objectives.parse(["max:val_accuracy"])
    optimizer = BayesianOptimization(space, objectives, seed)
    history, optimum = objectives.new_history(), max(values.values())
    best: list[float] = []
    milliseconds: list[float] = []
    while len(best) < labels and (not best or best[-1] < optimum):
        begun = time.perf_counter()
        (proposal,) = optimizer.propose(history, 1)
        milliseconds.append(1e3 * (time.perf_counter() - begun))
        value = values[proposal.architecture]
        history.finish(history.begin(proposal).number, Measurement({"val_accuracy": value}))
        best.append(max(value, best[-1] if best else value))
    met = len(best) if best[-1] == optimum else None
    return {
        "optimum_at": met,
        **{f"best_at_{k}": best[min(k, len(best)) - 1] for k in AT},
        "ms_per_label": round(float(np.mean(milliseconds[optimizer.initial + 1 :] or milliseconds)), 1),
    }


def main() -> None:
    """Run and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", nargs="+", default=["nb201", "nb101"], choices=["nb201", "nb101"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[50, 20])
    parser.add_argument("--labels", nargs="+", type=int, default=[100, 300])
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    for name, seeds, labels in zip(options.tables, options.seeds, options.labels, strict=True):
        with ProcessPoolExecutor(options.processes) as pool:
            runs = list(pool.map(partial(search, name, labels), range(seeds)))
        met = np.array([run["optimum_at"] or labels for run in runs])
        figures = {
            "labels_to_optimum": round(float(met.mean()), 2),
            "se": round(float(met.std(ddof=1) / len(met) ** 0.5), 2) if len(met) > 1 else None,
            "found": sum(run["optimum_at"] is not None for run in runs) / len(runs),
            "most_labels": int(met.max()),
            **{f"best_at_{k}": round(float(np.mean([run[f"best_at_{k}"] for run in runs])), 4) for k in AT},
            "ms_per_label": round(float(np.mean([run["ms_per_label"] for run in runs])), 1),
        }
        record.keep(f"bo_{name}", figures, runs)


if __name__ == "__main__":
    main()
