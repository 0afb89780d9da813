"""The predictors that BONAS compares (paper, table 1): graph convolution, perceptron, LSTM, on real tables.

    python benchmarks/bonas_predictors.py nb201 [--predictors gcn mlp lstm] [--splits 1]
    python benchmarks/bonas_predictors.py nb101 [--splits 10]
    python benchmarks/bonas_predictors.py nlp [--splits 30]

Splits of 85 % to train on, 10 % to validate (not used: nothing is chosen by it) and 5 % to test; on NAS-Bench-NLP ten
folds, three times. The square loss, as in the paper. Targets: 200-epoch CIFAR-10 test accuracy (nb201), 108-epoch
validation accuracy (nb101; the sample has no test accuracy), the log of the mean perplexity of a recipe's trainings at
the last epoch (nlp). Keeps Pearson, Spearman and Kendall of every split and of both the network's output and the
regression on its embedding, and of a table everything that the journal has.

Fits are written to `--journal`; the same command goes on where it was stopped or has spent its `--minutes`.
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
from numpy.typing import NDArray
from portions import Run, known_of, make_missing

from nas_core.architecture import Architecture
from nas_core.random import rng
from nas_core.registry import make
from nas_core.space import Space
from nas_core.training_set import TrainingSet
from nas_spaces.tables.nasbench_nlp import nlp
from nas_surrogates.metrics import kendall_tau, pearson, spearman

TEST, VALIDATION, FOLDS = 0.05, 0.10, 10
SPLITS = {"nb201": 1, "nb101": 10, "nlp": 3 * FOLDS}
PREDICTORS = ("gcn", "mlp", "lstm")


def observations(name: str) -> tuple[Space, list[Architecture], NDArray[np.float64]]:
    """The space, its members, and losses to be minimised (n)."""
    if name == "nlp":
        made = nlp(record.tables_dir() / "nasbench_nlp_wikitext2.json.gz")
        members = made.architectures()
        loss = np.log(made.lookup(members, "val_perplexity", 50))
        kept = np.flatnonzero(np.isfinite(loss))
        return made.space, [members[i] for i in kept], loss[kept]
    space, values = table(name)
    accuracies = np.array(list(values.values()))
    if name == "nb201":
        with np.load(record.tables_dir() / "nb201_c10.npz", allow_pickle=False) as arrays:
            accuracies = arrays["c10_test_e200"].astype(np.float64)
    return space, list(values), -accuracies


def parted(name: str, n: int, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to train on and rows to test on."""
    if name == "nlp":
        order = rng(number // FOLDS, "folds").permutation(n)
        held = np.array_split(order, FOLDS)[number % FOLDS]
        return np.setdiff1d(order, held), held
    order = rng(number, "split").permutation(n)
    test, validation = round(TEST * n), round(VALIDATION * n)
    return order[test + validation :], order[:test]


def judged(name: str, predictor: str, number: int) -> dict[str, Any]:
    """One split."""
    space, members, loss = observations(name)
    train, test = parted(name, len(members), number)
    data = TrainingSet(
        tuple(members[i] for i in train), loss[train][:, None], np.ones(len(train), np.int64), np.zeros(len(train))
    )
    begun = time.process_time()
    posterior = make("surrogate", predictor, space, loss="mse").fit(data, rng(number, "fit", predictor))
    seconds = time.process_time() - begun
    asked = [members[i] for i in test]
    found: dict[str, Any] = {"cpu_seconds": round(seconds, 1)}
    for by, predicted in (("network", posterior.by_network(asked)), ("regression", posterior.predict(asked).mean)):
        for metric in (pearson, spearman, kendall_tau):
            found[f"{by}_{metric.__name__}"] = round(metric(predicted[:, 0], loss[test]), 4)
    return found


def main() -> None:
    """Make what is missing, and keep all that is known of the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=list(SPLITS))
    parser.add_argument("--predictors", nargs="+", default=list(PREDICTORS), choices=PREDICTORS)
    parser.add_argument("--splits", type=int, help="1 for nb201, 10 for nb101, 30 for nlp")
    parser.add_argument("--journal", type=Path, default=Path("bonas_predictors.jsonl"))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--minutes", type=float, help="begin nothing after so many")
    given = parser.parse_args()
    space = observations(given.table)[0]
    configs = {predictor: make("surrogate", predictor, space, loss="mse").to_config() for predictor in PREDICTORS}
    most = max(SPLITS[given.table], given.splits or 0)
    keys = {
        (predictor, number): {"table": given.table, "split": number, "surrogate": config}
        for predictor, config in configs.items()
        for number in range(most)
    }
    runs = [
        Run(keys[predictor, number], partial(judged, given.table, predictor, number))
        for number in range(given.splits or SPLITS[given.table])
        for predictor in given.predictors
    ]
    make_missing(given.journal, runs, given.processes, given.minutes)
    found = zip(keys, known_of(given.journal, list(keys.values())), strict=True)
    known = [{"predictor": predictor, "split": split, **run} for (predictor, split), run in found if run is not None]
    if known:
        record.keep(f"bonas_predictors_{given.table}", figures_of(known), known)


def figures_of(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and median over the splits, by predictor."""
    figures: dict[str, Any] = {}
    for predictor in dict.fromkeys(run["predictor"] for run in runs):
        own = [run for run in runs if run["predictor"] == predictor]
        keys = [key for key in own[0] if key.startswith(("network_", "regression_"))]
        figures[predictor] = {
            "splits": len(own),
            **{key: round(float(np.mean([run[key] for run in own])), 4) for key in keys},
            **{f"median_{key}": round(float(np.median([run[key] for run in own])), 4) for key in keys},
        }
    return figures


if __name__ == "__main__":
    main()
