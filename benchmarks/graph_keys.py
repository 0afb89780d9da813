"""Time to build the graphs of 20,001 NAS-Bench-101 cells and their isomorphism-invariant keys.

    python benchmarks/graph_keys.py [--repeats 3]

Prints the seconds of the fastest repeat for loading, building and keys, the number of cells and of distinct keys; keeps
the seconds of every repeat.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import record

from nas_core.graph import Graph


def load(path: Path) -> list[tuple[np.ndarray, tuple[str, ...]]]:
    """Adjacency matrix (v x v) and labels (v) of every cell."""
    with np.load(path, allow_pickle=False) as table:
        names = table["op_names"].tolist()
        bits, sizes, operations = table["adj_bits"], table["nv"].tolist(), table["ops"].tolist()
    matrices = np.zeros((len(sizes), 7, 7), dtype=np.uint8)
    matrices[(slice(None), *np.triu_indices(7, 1))] = np.unpackbits(bits, axis=1)[:, :21]
    return [
        (matrix[:v, :v], ("input", *[names[k] for k in inner[: v - 2]], "output"))
        for matrix, v, inner in zip(matrices, sizes, operations, strict=True)
    ]


def main() -> None:
    """Run the repeats and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3, choices=range(1, 10))
    repeats = parser.parse_args().repeats
    path = record.tables_dir() / "nb101_20k.npz"
    seconds: dict[str, list[float]] = {"load": [], "build": [], "keys": []}
    for _ in range(repeats):
        start = time.perf_counter()
        cells = load(path)
        loaded = time.perf_counter()
        graphs = [Graph.from_adjacency(matrix, labels) for matrix, labels in cells]
        built = time.perf_counter()
        keys = [graph.key() for graph in graphs]
        done = time.perf_counter()
        for part, took in (("load", loaded - start), ("build", built - loaded), ("keys", done - built)):
            seconds[part].append(round(took, 4))
    fastest = {f"{part}_seconds": min(times) for part, times in seconds.items()}
    record.keep("graph_keys", {**fastest, "count": len(keys), "distinct": len(set(keys))}, {"seconds": seconds})


if __name__ == "__main__":
    main()
