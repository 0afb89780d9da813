"""BONAS transferred between spaces (paper, 4.4.2): from cells of 6 vertices to cells of 7, on the NAS-Bench-101 sample.

    python benchmarks/bonas_transfer.py [--seeds 10] [--first 0] [--labels 600] [--known 500] [--initial 10]

A surrogate is fitted to `--known` random cells of 6 vertices of the sample and kept in a file; the search is for the
best of the sample's cells of 7 vertices, once with that start and once without. Labels of the small cells are not
counted, as in the paper. A seed that does not meet the best counts all its labels.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import record
from bo_tables import table

from nas_core.architecture import Architecture
from nas_core.objective import Objectives
from nas_core.random import rng
from nas_core.training_set import TrainingSet
from nas_core.trial import Measurement
from nas_search.optimizers.bonas import Bonas
from nas_spaces.restricted import RestrictedSpace
from nas_surrogates.gcn import GraphConvolution
from nas_surrogates.saved_fit import save


def by_vertices() -> tuple[dict[Architecture, float], dict[Architecture, float]]:
    """Validation accuracies of the sample's cells of 6 and of 7 vertices."""
    space, values = table("nb101")
    small, large = {}, {}
    for a, value in values.items():
        vertices = len(space.graphs(a)["cell"].labels)  # type: ignore[attr-defined]
        if vertices in (6, 7):
            (small if vertices == 6 else large)[a] = value
    return small, large


def known(values: dict[Architecture, float], n: int, seed: int) -> TrainingSet:
    """Random rows."""
    members = list(values)
    chosen = [members[i] for i in rng(seed, "known").permutation(len(members))[:n]]
    targets = -np.array([[values[a]] for a in chosen])
    return TrainingSet(tuple(chosen), targets, np.ones(len(chosen), np.int64), np.zeros(len(chosen)))


def search(space: RestrictedSpace, values: dict[Architecture, float], labels: int, seed: int, **options: Any) -> int:
    """Labels until the best is met."""
    objectives = Objectives.parse(["max:val_accuracy"])
    optimizer, history = Bonas(space, objectives, seed, **options), objectives.new_history()
    optimum = max(values.values())
    while len(history) < labels:
        (proposal,) = optimizer.propose(history, 1)
        value = values[proposal.architecture]
        history.finish(history.begin(proposal).number, Measurement({"val_accuracy": value}))
        if value == optimum:
            break
    return len(history)


def main() -> None:
    """Run and keep, after every seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--labels", type=int, default=600)
    parser.add_argument("--known", type=int, default=500)
    parser.add_argument("--initial", type=int, default=10, help="random labels of the search with a start")
    given = parser.parse_args()
    small, large = by_vertices()
    whole = table("nb101")[0].whole  # type: ignore[attr-defined]
    spaces = [RestrictedSpace(whole, list(values)) for values in (small, large)]
    runs: list[dict[str, int]] = []
    if given.first:
        runs = json.loads((record.RESULTS / "bonas_transfer.json").read_text())["raw"][: given.first]
    for seed in range(given.first, given.first + given.seeds):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "small.safetensors"
            save(path, GraphConvolution(spaces[0]).fit(known(small, given.known, seed), rng(seed, "fit")))
            with_start = search(spaces[1], large, given.labels, seed, start=str(path), initial=given.initial)
        alone = search(spaces[1], large, given.labels, seed)
        runs.append({"seed": seed, "with_start": with_start, "alone": alone})
        means = {key: float(np.mean([run[key] for run in runs])) for key in ("with_start", "alone")}
        figures = {
            **{key: round(mean, 1) for key, mean in means.items()},
            "ratio": round(means["alone"] / means["with_start"], 2),
            "seeds": len(runs),
            "known": given.known,
            "cells": [len(small), len(large)],
            "most_labels": given.labels,
        }
        record.keep("bonas_transfer", figures, runs)


if __name__ == "__main__":
    main()
