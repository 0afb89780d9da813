"""BONAS transferred between spaces (paper, 4.4.2): from cells of 6 vertices to cells of 7, on the NAS-Bench-101 sample.

    python benchmarks/bonas_transfer.py [--seeds 20] [--labels 600] [--known 500] [--initial 10] [--journal J]

A surrogate is fitted to the cells of 6 vertices of the sample, all of them as in the paper or `--known` random ones,
and kept in a file; the search is for the best of the sample's cells of 7 vertices, once with that start and once
without. Labels of the small cells are not counted, as in the paper. A seed that does not meet the best counts all its
labels.

Searches are written to `--journal`; the same command goes on where it was stopped or has spent its `--minutes`.
"""

from __future__ import annotations

import argparse
import tempfile
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import record
from bo_tables import table
from portions import Run, known_of, make_missing

from nas_core.architecture import Architecture
from nas_core.objective import Objectives
from nas_core.random import rng
from nas_core.training_set import TrainingSet
from nas_core.trial import Measurement
from nas_search.optimizers.bonas import Bonas
from nas_spaces.restricted import RestrictedSpace
from nas_surrogates.gcn import GraphConvolution
from nas_surrogates.saved_fit import save

OBJECTIVES = Objectives.parse(["max:val_accuracy"])
KINDS = ("with_start", "alone")


@lru_cache(maxsize=1)
def by_vertices() -> tuple[dict[Architecture, float], dict[Architecture, float]]:
    """Validation accuracies of the sample's cells of 6 and of 7 vertices."""
    space, values = table("nb101")
    small, large = {}, {}
    for a, value in values.items():
        vertices = len(space.graphs(a)["cell"].labels)  # type: ignore[attr-defined]
        if vertices in (6, 7):
            (small if vertices == 6 else large)[a] = value
    return small, large


@lru_cache(maxsize=2)
def domain(vertices: int) -> RestrictedSpace:
    """The sample's cells of 6 or of 7 vertices."""
    whole = table("nb101")[0].whole  # type: ignore[attr-defined]
    return RestrictedSpace(whole, list(by_vertices()[vertices - 6]))


def known(values: dict[Architecture, float], n: int | None, seed: int) -> TrainingSet:
    """Random rows; all for None."""
    members = list(values)
    chosen = [members[i] for i in rng(seed, "known").permutation(len(members))[:n]]
    targets = -np.array([[values[a]] for a in chosen])
    return TrainingSet(tuple(chosen), targets, np.ones(len(chosen), np.int64), np.zeros(len(chosen)))


def search(given: argparse.Namespace, kind: str, seed: int) -> dict[str, Any]:
    """Labels until the best cell of 7 vertices is met, from a start on those of 6, or alone."""
    with tempfile.TemporaryDirectory() as folder:
        start: dict[str, Any] = {}
        if kind == "with_start":
            small = by_vertices()[0]
            path = Path(folder) / "small.safetensors"
            save(path, GraphConvolution(domain(6)).fit(known(small, given.known, seed), rng(seed, "fit")))
            start = {"start": str(path), "initial": given.initial}
        values, optimizer = by_vertices()[1], Bonas(domain(7), OBJECTIVES, seed, **start)
        history, optimum = OBJECTIVES.new_history(), max(values.values())
        while len(history) < given.labels:
            (proposal,) = optimizer.propose(history, 1)
            value = values[proposal.architecture]
            history.finish(history.begin(proposal).number, Measurement({"val_accuracy": value}))
            if value == optimum:
                return {"labels": len(history), "found": True}
    return {"labels": given.labels, "found": False}


def main() -> None:
    """Make what is missing, and keep the seeds of which both searches are known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--labels", type=int, default=600)
    parser.add_argument("--known", type=int, help="cells of 6 vertices that are learnt from; all by default")
    parser.add_argument("--initial", type=int, default=10, help="random labels of the search with a start")
    parser.add_argument("--journal", type=Path, default=Path("bonas_transfer.jsonl"))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--minutes", type=float, help="begin nothing after so many")
    given = parser.parse_args()
    optimizer = Bonas(domain(7), OBJECTIVES, 0).to_config()
    of_start = {"known": given.known, "initial": given.initial}
    more: dict[str, dict[str, Any]] = {"with_start": of_start, "alone": {}}
    keys = {
        (seed, kind): {"kind": kind, "seed": seed, "labels": given.labels, "optimizer": optimizer, **more[kind]}
        for seed in range(given.seeds)
        for kind in KINDS
    }
    runs = [Run(key, partial(search, given, kind, seed)) for (seed, kind), key in keys.items()]
    make_missing(given.journal, runs, given.processes, given.minutes)
    found = dict(zip(keys, known_of(given.journal, list(keys.values())), strict=True))
    whole = [seed for seed in range(given.seeds) if all(found[seed, kind] is not None for kind in KINDS)]
    raw = [{"seed": seed, **{kind: found[seed, kind] for kind in KINDS}} for seed in whole]
    if raw:
        record.keep("bonas_transfer" + (f"_{given.known}" if given.known else ""), figures_of(raw, given), raw)


def figures_of(raw: list[dict[str, Any]], given: argparse.Namespace) -> dict[str, Any]:
    """What the seeds come to."""
    means = {kind: float(np.mean([seed[kind]["labels"] for seed in raw])) for kind in KINDS}
    return {
        **{kind: round(mean, 1) for kind, mean in means.items()},
        **{f"{kind}_found": sum(seed[kind]["found"] for seed in raw) / len(raw) for kind in KINDS},
        "ratio": round(means["alone"] / means["with_start"], 2),
        "seeds": len(raw),
        "known": given.known or len(by_vertices()[0]),
        "cells": [len(values) for values in by_vertices()],
        "most_labels": given.labels,
    }


if __name__ == "__main__":
    main()
