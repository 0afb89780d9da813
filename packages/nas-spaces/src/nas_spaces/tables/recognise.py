"""Which published source a file is that is no table, for the message that refuses it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

ARRAYS: Final[Mapping[frozenset[str], str]] = {
    frozenset({"adj_bits", "ops", "op_names", "val_e108"}): "nb101",
    frozenset({"ops", "op_names", "c10_val_e200"}): "nb201",
    frozenset({"ops", "op_names", "help_pixel3_lat_ms"}): "nb201",
    frozenset({"nasbench301__cifar10__arch", "nasbench301__cifar10__val_accuracy"}): "nb301",
    frozenset({"genotype", "op_names", "test_acc_curve_x100"}): "darts214",
}
"""Arrays that only one source has together, and its kind of reader."""
NAMES: Final[Mapping[str, tuple[str, ...]]] = {
    "nlp": ("nasbench_nlp*.json.gz",),
    "nb101-tfrecord": ("*.tfrecord",),
    "natsbench-cifar10": ("NATS-tss*", "NAS-Bench-201*.pth"),
    "hwnasbench-cifar10": ("HW-NAS-Bench*.pickle",),
}
"""By kind of reader, names of files in other formats."""


def remedy_by_arrays(names: Iterable[str]) -> str:
    """What to do with a file of these arrays."""
    there = frozenset(names)
    for needed, kind in ARRAYS.items():
        if needed <= there:
            return _command(kind)
    from nas_spaces.tables.convert import KINDS  # not above: its readers make tables, which need this module

    return f"{_command('KIND')}, where KIND is one of {', '.join(KINDS)}"


def remedy_by_name(path: Path) -> str | None:
    """What to do with a file that is no `.npz` file; None where its name says nothing."""
    for kind, patterns in NAMES.items():
        if any(path.match(pattern) for pattern in patterns):
            return _command(kind)
    return None


def _command(kind: str) -> str:
    return f"Make a table of it: nas table convert {kind} FILE OUT.npz"
