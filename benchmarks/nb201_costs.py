"""NAS-Bench-201: parameters and FLOPs of all 15,625 networks against the published table, twins, and what they take.

    python benchmarks/nb201_costs.py [--rows 15625]

Prints how many rows agree to the 32-bit numbers of the table, the number of classes of twins, and the times: building
the description of a network (CIFAR-10, 16 channels, 5 cells a stage), its cost, its FLOPs in the table's convention,
the keys of the whole space, loading the converted table and looking every row up.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import record

from nas_core.cost import cost
from nas_spaces.nasbench201 import CIFAR10, NASBench201
from nas_spaces.nasbench201_flops import counted_flops
from nas_spaces.tables import Table
from nas_spaces.tables.convert import nb201

T = TypeVar("T")


def timed(work: Callable[..., T], *arguments: Any, **options: Any) -> tuple[T, float]:
    """What a call returns, and its seconds."""
    begun = time.perf_counter()
    result = work(*arguments, **options)
    return result, time.perf_counter() - begun


def costs(rows: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Agreement and times of the first rows of the table."""
    space = NASBench201()
    with np.load(record.tables_dir() / "nb201_c10.npz", allow_pickle=False) as arrays:
        ops, params, flops = arrays["ops"][:rows], arrays["c10_params_M"], arrays["c10_flops_M"]
    wrong: dict[str, list[int]] = {"params": [], "flops": []}
    seconds: dict[str, list[float]] = {"network": [], "cost": [], "flops": []}
    for row, numbers in enumerate(ops.tolist()):
        network, building = timed(space.network, space.from_tokens(numbers), CIFAR10)
        ours, costing = timed(cost, network)
        counted, counting = timed(counted_flops, network)
        for name, value in (("network", building), ("cost", costing), ("flops", counting)):
            seconds[name].append(value)
        if np.float32(ours.parameters / 1e6) != params[row]:
            wrong["params"].append(row)
        if np.float32(counted / 1e6) != flops[row]:
            wrong["flops"].append(row)
    figures: dict[str, Any] = {
        "rows": len(ops),
        "params_agree": len(ops) - len(wrong["params"]),
        "flops_agree": len(ops) - len(wrong["flops"]),
    }
    for name, values in seconds.items():
        figures[f"{name}_ms_median"] = round(1e3 * statistics.median(values), 3)
        figures[f"{name}_ms_mean"] = round(1e3 * statistics.fmean(values), 3)
    return figures, {"disagreeing_rows": wrong}


def sameness() -> tuple[dict[str, Any], dict[str, Any]]:
    """Classes of twins and of isomorphic graphs, and the seconds that all keys take."""
    space = NASBench201()
    members = list(space.enumerate())
    twins, twin_seconds = timed(lambda: [space.twin_key(a) for a in members])
    graphs, graph_seconds = timed(lambda: [space.graph_key(a) for a in members])
    figures = {
        "twin_rules": space.twin_rules,
        "twin_classes": len(set(twins)),
        "graph_classes": len(set(graphs)),
        "twin_keys_s": round(twin_seconds, 3),
        "graph_keys_s": round(graph_seconds, 3),
    }
    sizes = Counter(Counter(twins).values())
    return figures, {"twin_classes_by_size": dict(sorted(sizes.items()))}


def table() -> dict[str, Any]:
    """Seconds to load the table and to look all rows up."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "nb201.npz")
        nb201(record.tables_dir()).save(path)
        loads = [timed(Table.load, path) for _ in range(5)]
        loaded = loads[0][0]
        _, looking = timed(loaded.lookup, loaded.architectures(), "val_accuracy")
        return {
            "table_load_s_median": round(statistics.median(seconds for _, seconds in loads), 4),
            "table_lookup_all_s": round(looking, 4),
            "table_bytes": path.stat().st_size,
        }


def main() -> None:
    """Run and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=NASBench201.size)
    figures, raw = costs(parser.parse_args().rows)
    same, sizes = sameness()
    record.keep("nb201_costs", figures | same | table(), raw | sizes)


if __name__ == "__main__":
    main()
