"""`bo` in its default configuration on tables that it was not made on, against the other optimizers at the same budget.

    python benchmarks/bo_elsewhere.py [--tasks NAME …] [--seeds 5] [--labels 60]

Tasks: NAS-Bench-201 declared as six decisions without any view; its 12-epoch validation accuracy; NAS-Bench-101's
sample at 36 and at 12 epochs; 214 cells of DARTS (test accuracy, the only one there is); 345 recipes of NAS-Bench-NLP
(the least validation perplexity). All but the first two are closed domains. Every label counts. For each optimizer the
labels to the optimum (a seed that does not meet it counts all its labels), and at 30 and 60 labels the share of members
(%) that are better than the best found: a scale that is the same for all tables. Each task is kept by itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import record

from nas_core.architecture import Architecture
from nas_core.errors import Exhausted
from nas_core.objective import Objectives
from nas_core.space import Space
from nas_core.trial import Measurement
from nas_search.compare.searchers import make_searcher
from nas_spaces.declared import DeclaredSpace
from nas_spaces.nasbench201 import NASBench201
from nas_spaces.restricted import RestrictedSpace
from nas_spaces.tables.darts214 import darts214
from nas_spaces.tables.nasbench101 import nb101
from nas_spaces.tables.nasbench_nlp import nlp
from nas_spaces.tables.table import Table

OPTIMIZERS = ("bo", "local_search", "evolution", "random")
AT = (30, 60)


def nb201(column: str, space: Space) -> tuple[Space, dict[Architecture, float]]:
    """A column of NAS-Bench-201, to be maximised, in a space with its six decisions."""
    with np.load(record.tables_dir() / "nb201_c10.npz", allow_pickle=False) as arrays:
        names = [str(operation) for operation in arrays["op_names"]]
        rows, values = arrays["ops"], arrays[column].astype(np.float64)
    members = [Architecture(space.name, tuple(names[k] for k in row)) for row in rows]
    return space, dict(zip(members, values.tolist(), strict=True))


def closed(table: Table, metric: str, sign: float) -> tuple[Space, dict[Architecture, float]]:
    """A metric of the first replicate of each member at the highest fidelity, without those that failed."""
    fidelities = table.fidelities(metric)
    column = sign * table.column(metric, max(fidelities) if fidelities else None)
    values: dict[Architecture, float] = {}
    for row, value in enumerate(column.tolist()):
        if np.isfinite(value):
            values.setdefault(table.architecture(row), value)
    return RestrictedSpace(table.space, list(values)), values


def nb101_at(epochs: int) -> tuple[Space, dict[Architecture, float]]:
    """The sample of NAS-Bench-101 by its validation accuracy after some epochs."""
    table = nb101(record.tables_dir())
    members = list(table.architectures())
    with np.load(record.tables_dir() / "nb101_20k.npz", allow_pickle=False) as arrays:
        values = 100.0 * arrays[f"val_e{epochs}"].astype(np.float64)
    return RestrictedSpace(table.space, members), dict(zip(members, values.tolist(), strict=True))


def declared() -> Space:
    """NAS-Bench-201 as a stranger declares it."""
    names = [decision.name for decision in NASBench201().decisions]
    operations = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
    return DeclaredSpace({name: operations for name in names}, title="declared201")


TASKS: dict[str, Callable[[], tuple[Space, dict[Architecture, float]]]] = {
    "nb201_declared": lambda: nb201("c10_val_e200", declared()),
    "nb201_e12": lambda: nb201("c10_val_e12", NASBench201()),
    "nb101_e36": lambda: nb101_at(36),
    "nb101_e12": lambda: nb101_at(12),
    "darts214": lambda: closed(darts214(record.tables_dir()), "test_accuracy", 1.0),
    "nlp345": lambda: closed(nlp(record.tables_dir()), "val_perplexity_best", -1.0),
}


def search(name: str, space: Space, values: dict[Architecture, float], labels: int, seed: int) -> list[float]:
    """The best value after each label."""
    objectives = Objectives.parse(["max:val_accuracy"])
    searcher = make_searcher({"name": name}, space, objectives, seed)
    best: list[float] = []
    optimum = max(values.values())
    while len(best) < labels and (not best or best[-1] < optimum):
        try:
            value = values[searcher.ask().architecture]
        except Exhausted:
            break
        searcher.tell(Measurement({"val_accuracy": value}))
        best.append(max(value, best[-1] if best else value))
    return best


def main() -> None:
    """Run and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--labels", type=int, default=60)
    options = parser.parse_args()
    for task in options.tasks:
        space, values = TASKS[task]()
        every = np.array(list(values.values()))
        figures: dict[str, Any] = {}
        raw: list[dict[str, Any]] = []
        for name in OPTIMIZERS:
            runs = [search(name, space, values, options.labels, seed) for seed in range(options.seeds)]
            met = np.array([len(best) if best[-1] == every.max() else options.labels for best in runs])
            figures[name] = {
                "labels_to_optimum": round(float(met.mean()), 1),
                "found": round(float(np.mean([best[-1] == every.max() for best in runs])), 2),
                **{
                    f"better_at_{k}": round(
                        100.0 * float(np.mean([np.mean(every > best[min(k, len(best)) - 1]) for best in runs])), 3
                    )
                    for k in AT
                },
            }
            raw += [{"optimizer": name, "seed": seed, "best": best} for seed, best in enumerate(runs)]
        record.keep(f"bo_elsewhere_{task}", figures, raw)


if __name__ == "__main__":
    main()
