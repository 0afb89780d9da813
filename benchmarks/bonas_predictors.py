"""The predictors that BONAS compares (paper, table 1): graph convolution, perceptron, LSTM, on real tables.

    python benchmarks/bonas_predictors.py nb201 [--predictors gcn mlp lstm] [--splits 1] [--first 0] [--options K=V]
    python benchmarks/bonas_predictors.py nb101 --splits 10
    python benchmarks/bonas_predictors.py nlp

Splits of 85 % to train on, 10 % to validate (not used: nothing is chosen by it) and 5 % to test; on NAS-Bench-NLP ten
folds. The square loss, as in the paper. Targets: 200-epoch CIFAR-10 test accuracy (nb201), 108-epoch validation
accuracy (nb101; the sample has no test accuracy), the log of the mean perplexity of a recipe's trainings at the last
epoch (nlp). Keeps Pearson, Spearman and Kendall of every split and of both the network's output and the regression on
its embedding; further splits or predictors are added to what the result has (`--first`).
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import record
from bo_tables import table
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.random import rng
from nas_core.registry import make
from nas_core.space import Space
from nas_core.training_set import TrainingSet
from nas_search.config import component
from nas_spaces.tables.nasbench_nlp import nlp
from nas_surrogates.metrics import kendall_tau, pearson, spearman

TEST, VALIDATION, FOLDS = 0.05, 0.10, 10


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


def split(name: str, n: int, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to train on and rows to test on."""
    if name == "nlp":
        order = rng(number // FOLDS, "folds").permutation(n)
        held = np.array_split(order, FOLDS)[number % FOLDS]
        return np.setdiff1d(order, held), held
    order = rng(number, "split").permutation(n)
    test, validation = round(TEST * n), round(VALIDATION * n)
    return order[test + validation :], order[:test]


def judged(name: str, predictor: str, options: dict[str, Any], number: int) -> dict[str, Any]:
    """One split."""
    space, members, loss = observations(name)
    train, test = split(name, len(members), number)
    data = TrainingSet(
        tuple(members[i] for i in train), loss[train][:, None], np.ones(len(train), np.int64), np.zeros(len(train))
    )
    begun = time.perf_counter()
    posterior = make("surrogate", predictor, space, loss="mse", **options).fit(data, rng(number, "fit", predictor))
    seconds = time.perf_counter() - begun
    asked = [members[i] for i in test]
    found: dict[str, Any] = {"predictor": predictor, "split": number, "seconds": round(seconds, 1)}
    for by, predicted in (("network", posterior.by_network(asked)), ("regression", posterior.predict(asked).mean)):
        for metric in (pearson, spearman, kendall_tau):
            found[f"{by}_{metric.__name__}"] = round(metric(predicted[:, 0], loss[test]), 4)
    return found


def main() -> None:
    """Run and keep, after every split."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=["nb201", "nb101", "nlp"])
    parser.add_argument("--predictors", nargs="+", default=["gcn", "mlp", "lstm"])
    parser.add_argument("--splits", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--options", default="", help="of all predictors, KEY=VALUE,…")
    parser.add_argument("--name")
    given = parser.parse_args()
    options = {key: value for key, value in component("all:" + given.options).items() if key != "name"}
    name = given.name or f"bonas_predictors_{given.table}"
    path = record.RESULTS / f"{name}.json"
    runs: list[dict[str, Any]] = json.loads(path.read_text())["raw"] if path.exists() else []
    for number in range(given.first, given.first + given.splits):
        for predictor in given.predictors:
            runs = [run for run in runs if (run["predictor"], run["split"]) != (predictor, number)]
            runs.append({**judged(given.table, predictor, options, number), "options": options})
            record.keep(name, figures_of(runs), runs)


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
