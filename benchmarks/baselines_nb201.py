"""Random search, regularized evolution and local search on NAS-Bench-201 CIFAR-10 (200-epoch validation accuracy).

    python benchmarks/baselines_nb201.py [--seeds 200] [--labels 192] [--twins exclude|allow]

Every label counts. Prints the mean best validation accuracy with its standard error, the test accuracy of the
best-validation cell and the share of seeds that met the optimum; keeps each seed's best and the label it was met at.
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import numpy as np
import record

from nas_core.objective import Objectives
from nas_core.trial import Measurement
from nas_search.optimizers.evolution import RegularizedEvolution
from nas_search.optimizers.local_search import LocalSearch
from nas_search.optimizers.random_search import RandomSearch
from nas_spaces.nasbench201 import NASBench201

OPTIMIZERS = {
    "random": partial(RandomSearch),
    "evolution": partial(RegularizedEvolution, population=20, tournament=5),
    "local_search": partial(LocalSearch),
}


def accuracies() -> dict[tuple[object, ...], tuple[float, float]]:
    """Validation and test accuracy by the values of a member."""
    with np.load(record.tables_dir() / "nb201_c10.npz", allow_pickle=False) as arrays:
        names = [str(name) for name in arrays["op_names"]]
        ops, val, test = arrays["ops"], arrays["c10_val_e200"], arrays["c10_test_e200"]
    return {tuple(names[k] for k in row): (float(v), float(t)) for row, v, t in zip(ops, val, test, strict=True)}


def search(name: str, allow_twins: bool, labels: int, seed: int) -> dict[str, float | int | None]:
    """One search; its best value, the test accuracy of that cell, and the label at which the optimum was met."""
    space, table = NASBench201(), accuracies()
    objectives = Objectives.parse(["max:val_accuracy"])
    optimizer = OPTIMIZERS[name](space, objectives, seed, allow_twins=allow_twins)
    history = objectives.new_history()
    optimum = max(val for val, _ in table.values())
    met: int | None = None
    for label in range(1, labels + 1):
        for proposal in optimizer.propose(history, 1):
            trial = history.begin(proposal)
            val = table[proposal.architecture.values][0]
            history.finish(trial.number, Measurement({"val_accuracy": val}))
            if val == optimum and met is None:
                met = label
    best = objectives.best(history)[0]
    return {"val": best.metrics["val_accuracy"], "test": table[best.architecture.values][1], "optimum_at": met}


def main() -> None:
    """Run and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--labels", type=int, default=192)
    parser.add_argument("--twins", choices=["exclude", "allow"], default="allow")
    options = parser.parse_args()
    figures, raw = {}, {}
    with ProcessPoolExecutor() as pool:
        for name in OPTIMIZERS:
            begun = time.perf_counter()
            one = partial(search, name, options.twins == "allow", options.labels)
            runs = list(pool.map(one, range(options.seeds), chunksize=5))
            val = np.array([run["val"] for run in runs])
            figures[name] = {
                "val_mean": round(float(val.mean()), 4),
                "val_se": round(float(val.std(ddof=1) / len(val) ** 0.5), 4),
                "test_mean": round(float(np.mean([run["test"] for run in runs])), 3),
                "optimum_found": sum(run["optimum_at"] is not None for run in runs) / len(runs),
                "seconds": round(time.perf_counter() - begun, 1),
            }
            raw[name] = runs
    record.keep(f"baselines_nb201_twins_{options.twins}", figures, raw)


if __name__ == "__main__":
    main()
