"""AG-Net on tables: the best at fixed numbers of labels, its readings, surrogates and ablations (tables 1, 2, 3 and 6).

    python benchmarks/agnet_search.py nb201 [--seeds 20] [--labels 192] [--first 0] [--name agnet_nb201] \
        [--options reading=paper,weigh=none] [--pretraining steps=500] [--cache FOLDER] [--journal agnet_search.jsonl]
    python benchmarks/agnet_search.py nb101 --seeds 20
    python benchmarks/agnet_search.py nb201 --ablations --seeds 20
    python benchmarks/agnet_search.py nb301 nlp --others --seeds 20

nb201   CIFAR-10, 200-epoch validation accuracy, the whole space; the test accuracy is that of the best found
nb101   108-epoch validation accuracy in the closed domain of the sample's 20,001 cells
nb301   DARTS cells, nlp recurrent cells: the validation accuracy and the validation perplexity (less is better) that a
        regression fitted on the table predicts for any member of the space (`surrogate_table`, benchmark
        fitted_tables.py)

Proposals come 16 at a time. `--ablations` runs the default, both readings, the trees, and the searches without weighted
retraining, without backpropagation, without random labels and with a generator that goes on from round to round, and on
DARTS those that take turns with the cells; `--others` runs random search, evolution, local search and `bo` beside the
default, one label at a time. Each is kept under a name of its own.
Seconds, on the clock and of the processor, are those of all proposals, pretraining apart. Every run is journalled by
table, labels, optimizer, options and seed; with `--first` another process does other seeds, and the command without it
collects them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import record
from bo_tables import table
from journal import Journal

from nas_core.architecture import Architecture
from nas_core.evaluator import Evaluation
from nas_core.objective import Objectives
from nas_core.space import Space
from nas_core.trial import Measurement, Proposal
from nas_search.compare.searchers import make_searcher
from nas_search.config import component
from nas_search.optimizers.agnet import AGNet
from nas_spaces.tables.convert import convert
from nas_surrogates.fitted_table import FittedTableEvaluator
from nas_surrogates.generator_pretraining import Pretraining, pretrained

AT = {"nb201": (96, 192), "nb101": (96, 192), "nb301": (96, 192), "nlp": (96, 192, 304)}
FITTED = {"nb301": "max:val_accuracy", "nlp": "min:val_perplexity"}
ABLATIONS: dict[str, dict[str, Any]] = {
    "": {},
    "_paper": {"reading": "paper"},
    "_uniform": {"latent": "uniform"},
    "_xgb": {"surrogate": "xgb"},
    "_xgb_rank": {"surrogate": "xgb_rank"},
    "_without_weights": {"weigh": "none"},
    "_weights_in_both": {"weigh": "both"},
    "_without_backprop": {"backprop": False},
    "_going_on": {"begin": "last"},
    "_without_chance": {"random": 0.0},
    "_one_label": {"labels": 1},
}
TURNS: dict[str, dict[str, Any]] = {
    "_phases": {"cells": "phases", "phase": 96},
    "_alternating": {"cells": "alternating"},
}
OTHERS = ("random", "evolution", "local_search", "bo")


class Problem(NamedTuple):
    """What is searched: a space, the objective, a value for any member, and the best value where it is known."""

    space: Space
    objective: str
    value: Callable[[Architecture], float]
    optimum: float | None
    tests: dict[Architecture, float]


@lru_cache(maxsize=1)
def problem(name: str) -> Problem:
    """A table as a problem; test accuracies (%) of NAS-Bench-201."""
    if name in FITTED:
        return _fitted(name)
    space, values = table(name)
    tests = {}
    if name == "nb201":
        with np.load(record.tables_dir() / "nb201_c10.npz", allow_pickle=False) as arrays:
            tests = dict(zip(values, arrays["c10_test_e200"].astype(np.float64).tolist(), strict=True))
    return Problem(space, "max:val_accuracy", values.__getitem__, max(values.values()), tests)


def _fitted(name: str) -> Problem:
    read, metric = convert(name, record.tables_dir()), FITTED[name].partition(":")[2]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.npz"
        read.save(file)
        evaluator = FittedTableEvaluator(str(file), metrics=metric)
        evaluator.prepare(read.space)

    def value(a: Architecture) -> float:
        return float(evaluator.evaluate(Evaluation(read.space, a)).metrics[metric])

    return Problem(read.space, FITTED[name], value, None, {})


def search(name: str, optimizer: str, labels: int, options: dict[str, Any], seed: int) -> dict[str, Any]:
    """One search; `members` are the best at each of `AT`."""
    space, objective, value, optimum, tests = problem(name)
    objectives = Objectives.parse([objective])
    metric, sign = objectives.metrics[0], 1.0 if objectives.objectives[0].maximise else -1.0
    history, seconds, cpu = objectives.new_history(), 0.0, 0.0
    agnet = AGNet(space, objectives, seed, **options) if optimizer == "agnet" else None
    other = make_searcher({"name": optimizer}, space, objectives, seed) if agnet is None else None
    best: list[tuple[float, Architecture]] = []
    valid: list[float] = []
    while len(best) < labels:
        begun, spent = time.perf_counter(), time.process_time()
        proposals: list[Proposal] = (
            [other.ask()] if agnet is None else agnet.propose(history, min(agnet.labels, labels - len(best)))
        )
        seconds, cpu = seconds + time.perf_counter() - begun, cpu + time.process_time() - spent
        for proposal in proposals:
            found = value(proposal.architecture)
            if agnet is None:
                other.tell(Measurement({metric: found}))
            else:
                history.finish(history.begin(proposal).number, Measurement({metric: found}))
            here = (found, proposal.architecture)
            best.append(max(here, best[-1], key=lambda one: sign * one[0]) if best else here)
        valid += [float(proposals[0].info["valid"])] if "valid" in proposals[0].info else []
    at = {k: best[min(k, labels) - 1] for k in AT[name]}
    values = [one for one, _ in best]
    return {
        "optimum_at": values.index(optimum) + 1 if optimum in values else None,
        **{f"best_at_{k}": one for k, (one, _) in at.items()},
        **{f"test_at_{k}": tests[a] for k, (_, a) in at.items() if tests},
        "members": [space.text(a) for _, a in at.values()],
        "valid": valid,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
    }


def figures_of(runs: list[dict[str, Any]], labels: int, options: dict[str, Any]) -> dict[str, Any]:
    """What the seeds come to."""
    spread = {key: [run[key] for run in runs] for key in runs[0] if "_at_" in key}
    met = [run["optimum_at"] for run in runs if run["optimum_at"] is not None]
    return {
        "options": options,
        "seeds": len(runs),
        "labels": labels,
        **{key: round(float(np.mean(own)), 4) for key, own in spread.items()},
        **{f"{key}_sd": round(float(np.std(own, ddof=1)), 4) for key, own in spread.items() if len(own) > 1},
        "found": len(met) / len(runs),
        "labels_to_optimum_where_found": round(float(np.mean(met)), 1) if met else None,
        "seconds_per_search": round(float(np.mean([run["seconds"] for run in runs])), 2),
        "cpu_seconds_per_search": round(float(np.mean([run["cpu_seconds"] for run in runs])), 2),
    }


def run(table_name: str, suffix: str, given: argparse.Namespace, optimizer: str, options: dict[str, Any]) -> None:
    """All seeds of one configuration, kept after each."""
    labels = given.labels or max(AT[table_name])
    shown = {key: value for key, value in options.items() if key != "cache"}
    if optimizer == "agnet":
        pretrained(problem(table_name).space, Pretraining(**options.get("pretraining", {})), options.get("cache"))
    journal, runs = Journal(given.journal), []
    for seed in range(given.first, given.first + given.seeds):
        key = {"table": table_name, "optimizer": optimizer, "options": shown, "labels": labels, "seed": seed}
        made = journal.run(key, lambda s=seed: search(table_name, optimizer, labels, options, s))
        runs.append({"seed": seed, **made})
        record.keep((given.name or f"agnet_{table_name}") + suffix, figures_of(runs, labels, shown), runs)


def main() -> None:
    """Run and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", choices=list(AT))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--labels", type=int, help="192; 304 of nlp")
    parser.add_argument("--name", help="of the result; agnet_TABLE by default")
    parser.add_argument("--options", default="", help="of the optimizer, KEY=VALUE,…")
    parser.add_argument("--pretraining", default="", help="options of the generator, KEY=VALUE,…")
    parser.add_argument("--cache", help="folder of pretrained generators")
    parser.add_argument("--journal", type=Path, default=Path("agnet_search.jsonl"))
    parser.add_argument("--ablations", action="store_true")
    parser.add_argument("--others", action="store_true")
    given = parser.parse_args()
    options = {key: value for key, value in component("agnet:" + given.options).items() if key != "name"}
    how = {key: value for key, value in component("generator:" + given.pretraining).items() if key != "name"}
    options |= {"pretraining": how, "cache": given.cache}
    for name in given.tables:
        changes = {"": {}} if not given.ablations else ABLATIONS | (TURNS if name == "nb301" else {})
        for suffix, changed in changes.items():
            run(name, suffix, given, "agnet", {**options, **changed})
        for other in OTHERS if given.others else ():
            run(name, f"_{other}", given, other, {})


if __name__ == "__main__":
    main()
