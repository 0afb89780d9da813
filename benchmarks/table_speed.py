"""How quickly tables load and are looked up in: NAS-Bench-201's, and one as large as NAS-Bench-101 whole.

    python benchmarks/table_speed.py [--lookups 1000000]

The second has all 423,624 cells with invented results; the third is the same, not compressed. Each figure is of a fresh
process: seconds to load, the growth of its memory, and seconds of that many look-ups at random (the least of three), by
choice numbers and by `Architecture`. To be kept: NAS-Bench-201 in 0.3 s, NAS-Bench-101 in 1 s and 300 MB, a million
look-ups in 2 s.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import record

from nas_core.random import rng
from nas_spaces.nasbench101 import OPERATIONS, NASBench101
from nas_spaces.tables import Table
from nas_spaces.tables.convert import nb201
from nas_spaces.tables.npz import read_arrays


def invented(path: Path) -> None:
    """A table of every cell of NAS-Bench-101 with the metrics of its public file and random numbers as results."""
    space = NASBench101()
    codes = {None: -1, 0: 0, 1: 1} | {name: k for k, name in enumerate(OPERATIONS)}
    decisions = np.array([[codes[value] for value in a.values] for a in space.enumerate()], dtype=np.int8)
    stream = rng(0, "table_speed")
    columns = {f"{split}_accuracy@108": stream.uniform(10, 95, len(decisions)) for split in ("train", "val", "test")}
    columns["train_seconds@108"] = stream.uniform(300, 5000, len(decisions))
    columns["params"] = stream.integers(200_000, 50_000_000, len(decisions))
    meta = {
        "name": "invented",
        "space": space.name,
        "source": "random numbers",
        "licence": "none",
        "units": {"params": "1"},
        "objective": "max:val_accuracy",
    }
    Table(meta, {"decisions": decisions, **columns}).save(path)


def measured(path: Path, lookups: int) -> dict[str, float]:
    """What this process takes."""
    before = _resident()
    begun = time.perf_counter()
    table = Table.load(path)
    figures = {"load_seconds": time.perf_counter() - begun, "rows": len(table), "load_megabytes": _peak() - before}
    rows = rng(0, "rows").integers(len(table), size=lookups)
    numbers = read_arrays(path)["decisions"][rows]
    members = table.architectures()
    architectures = [members[row] for row in rows.tolist()]
    for name, asked in (("numbers", numbers), ("architecture", architectures)):
        seconds = []
        for _ in range(3):
            begun = time.perf_counter()
            values = table.lookup(asked, "val_accuracy")
            seconds.append(time.perf_counter() - begun)
        figures[f"lookup_by_{name}_seconds"] = min(seconds)
        if not np.array_equal(values, table.column("val_accuracy")[rows]):
            raise SystemExit("error: the look-ups found something else")
    return {name: round(value, 4) for name, value in figures.items()}


def _resident() -> float:
    return _status("VmRSS")


def _peak() -> float:
    return _status("VmHWM")


def _status(key: str) -> float:
    """Megabytes of this process, from the system."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key))


def main() -> None:
    """Make the tables, measure each in a process of its own, keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lookups", type=int, default=1_000_000)
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is not None:
        print(json.dumps(measured(options.measure, options.lookups)))
        return
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        tables = {name: Path(folder) / f"{name}.npz" for name in ("nasbench201", "nasbench101", "nasbench101_stored")}
        nb201(record.tables_dir()).save(tables["nasbench201"])
        invented(tables["nasbench101"])
        np.savez(tables["nasbench101_stored"], **read_arrays(tables["nasbench101"]))  # not compressed: mapped
        for name, path in tables.items():
            command = [sys.executable, __file__, "--measure", str(path), "--lookups", str(options.lookups)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            figures[name] = json.loads(done.stdout)
    record.keep("table_speed", figures, None)


if __name__ == "__main__":
    main()
