"""NAS-Bench-101: the whole space and its sample against the published data, and what the space's work takes.

    python benchmarks/nb101_costs.py [--hashes 1] [--rows 1]

Prints how many isomorphism classes the space lists, whether their published hashes are, as a set, those of the
benchmark's 423,624 cells (`nb101_space.npz`), how many of the 20,001 networks of `nb101_20k.npz` have the published
number of parameters, how many cells a full-size table of invented numbers holds and how fast it loads, and times.
`--hashes k` and `--rows k` look at every k-th only; the set is then checked to lie within the published one.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import record

from nas_core.cost import cost
from nas_core.network import Task
from nas_core.objective import Objectives
from nas_core.random import rng
from nas_core.trial import Measurement
from nas_search.optimizers.evolution import RegularizedEvolution
from nas_search.optimizers.local_search import LocalSearch
from nas_spaces.nasbench101 import NASBench101
from nas_spaces.nasbench101_wirings import PAIRS, standards
from nas_spaces.restricted import RestrictedSpace
from nas_spaces.tables import Table
from nas_spaces.tables.nasbench101 import nb101

T = TypeVar("T")
CIFAR10 = Task("classification", (3, 32, 32), 10)


def timed(work: Callable[..., T], *arguments: Any) -> tuple[T, float]:
    """What a call returns, and its seconds."""
    begun = time.perf_counter()
    result = work(*arguments)
    return result, time.perf_counter() - begun


def space_figures(every: int) -> dict[str, Any]:
    """The listing of the space against the published hashes."""
    space = NASBench101()
    members, listing_seconds = timed(lambda: list(space.enumerate()))
    looked_at = members[::every]
    own, hash_seconds = timed(lambda: {bytes.fromhex(space.published_hash(a)) for a in looked_at})
    with np.load(record.tables_dir() / "nb101_space.npz", allow_pickle=False) as arrays:
        published = {row.tobytes() for row in arrays["hash"]}
    return {
        "cells": len(members),
        "cells_published": len(published),
        "cells_of_7_vertices": NASBench101(7).size,
        "cells_of_6_vertices": NASBench101(6).size,
        "hashes": len(own),
        "hashes_equal_as_sets": own == published,
        "hashes_among_published": own <= published,
        "listing_s": round(listing_seconds, 3),
        "hashes_s": round(hash_seconds, 1),
    }


def parameter_figures(table: Table, every: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The networks' parameters against the published ones; the vertex order is the table's."""
    space, wrong, reordered = NASBench101(), [], 0
    published = table.column("params").astype(int).tolist()
    seconds: list[float] = []
    rows = range(0, len(table), every)
    for row in rows:
        a = table.architecture(row)
        ours, took = timed(lambda a=a: cost(space.network(a, CIFAR10)))
        seconds.append(took)
        if ours.parameters != published[row]:
            wrong.append(row)
        if (standard := space.standard(a)) != a:
            reordered += cost(space.network(standard, CIFAR10)).parameters != published[row]
    figures = {
        "rows": len(rows),
        "params_agree": len(rows) - len(wrong),
        "params_differ_in_standard_order": reordered,
        "network_and_cost_ms_median": round(1e3 * statistics.median(seconds), 3),
        "network_and_cost_ms_max": round(1e3 * max(seconds), 3),
    }
    return figures, {"disagreeing_rows": wrong}


def work_figures(table: Table, file: Path) -> dict[str, Any]:
    """Times of sampling and stepping in the whole space, and of proposals in the closed domain of the sample."""
    space = NASBench101()
    members, sampling = timed(space.sample, rng(0), 10_000)
    _, stepping = timed(lambda: [space.neighbors(a) for a in members[:2000]])
    _, mutating = timed(lambda: [space.mutate(a, rng(1)) for a in members[:2000]])
    closed, closing = timed(lambda: RestrictedSpace(table=file))
    listed = table.architectures()
    around, surrounding = timed(lambda: [len(closed.neighbors(a)) for a in listed[:2000]])
    figures = {
        "sample_us": round(1e6 * sampling / 10_000, 1),
        "share_of_7_vertices_in_10000": sum(a.values[-1] is not None for a in members) / 10_000,
        "neighbors_us": round(1e6 * stepping / 2000, 1),
        "mutate_us": round(1e6 * mutating / 2000, 1),
        "closed_domain_s": round(closing, 3),
        "closed_neighbors_ms": round(1e3 * surrounding / 2000, 2),
        "closed_neighbors_median": statistics.median(around),
        "closed_neighbors_fewest": min(around),
    }
    for name, kind in (("evolution", RegularizedEvolution), ("local_search", LocalSearch)):
        figures[f"closed_{name}_ms_a_proposal"] = round(1e3 * proposing(kind, closed, table), 2)
    return figures


def proposing(kind: Any, space: RestrictedSpace, table: Table, labels: int = 500) -> float:
    """Mean seconds a proposal takes in a search of the closed domain."""
    objectives = Objectives.parse(["max:val_accuracy"])
    optimizer, history, total = kind(space, objectives, 0), objectives.new_history(), 0.0
    for _ in range(labels):
        proposals, seconds = timed(optimizer.propose, history, 1)
        total += seconds
        trial = history.begin(proposals[0])
        value = float(table.lookup([trial.architecture], "val_accuracy")[0])
        history.finish(trial.number, Measurement({"val_accuracy": value}))
    return total / labels


def full_table_figures(folder: Path) -> dict[str, Any]:
    """A table of all cells with invented accuracies: how fast it loads."""
    with np.load(record.tables_dir() / "nb101_space.npz", allow_pickle=False) as arrays:
        bits = np.unpackbits(arrays["adj_bits"], axis=1)[:, : len(PAIRS)].astype(np.int8)
        ops = arrays["ops"]
    decisions = np.concatenate([bits, np.where(ops == 255, -1, ops).astype(np.int8)], axis=1)
    meta = {
        "name": "invented", "space": NASBench101.name, "source": "random numbers", "licence": "none",
        "units": {"val_accuracy": "%"}, "objective": "max:val_accuracy",
    }  # fmt: skip
    invented = rng(0, "invented").uniform(80, 95, size=(4, len(decisions))).astype(np.float32)
    columns = {f"val_accuracy@{epochs}": row for epochs, row in zip((4, 12, 36, 108), invented, strict=True)}
    file = folder / "full.npz"
    Table(meta, {"decisions": decisions, **columns}).save(file)
    loaded, seconds = timed(Table.load, file)
    return {"full_table_rows": len(loaded), "full_table_load_s": round(seconds, 3)}


def main() -> None:
    """Run and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hashes", type=int, default=1, help="check every k-th cell of the space")
    parser.add_argument("--rows", type=int, default=1, help="check every k-th row of the sample")
    options = parser.parse_args()
    _, wiring_seconds = timed(standards)  # before anything has needed them
    with tempfile.TemporaryDirectory() as name:
        file = Path(name, "nb101.npz")
        table = nb101(record.tables_dir())
        table.save(file)
        parameters, raw = parameter_figures(table, options.rows)
        figures = (
            {"wirings_s": round(wiring_seconds, 3)}
            | space_figures(options.hashes)
            | parameters
            | work_figures(table, file)
        )
        record.keep("nb101_costs", figures | full_table_figures(Path(name)), raw)


if __name__ == "__main__":
    main()
