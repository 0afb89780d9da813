"""Results of NAS-Bench-101 as a table: `python -m nas_spaces.tables.convert nb101 SOURCE OUT.npz`.

The source is `nb101_20k.npz` or its folder, plain arrays of some of the benchmark's cells: `adj_bits` (n x 3 bytes),
the 21 bits above the diagonal of the zero-padded matrix; `ops` (n x 5), numbers into `op_names`, larger ones where
there is no vertex; `val_e4` … `val_e108`, `train_time_e108`, `params`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas_core.errors import InvalidTable
from nas_spaces.nasbench101 import OPERATIONS, NASBench101
from nas_spaces.nasbench101_wirings import PAIRS
from nas_spaces.tables.npz import Arrays, read_arrays
from nas_spaces.tables.table import Table

_EPOCHS = (4, 12, 36, 108)
_FILE = "nb101_20k.npz"


def nb101(source: Path) -> Table:
    """NAS-Bench-101's sample of cells on CIFAR-10.

    Validation accuracies in %, of one training each for 4, 12, 36 and 108 epochs; seconds of the last; trainable
    parameters. Vertices stand in the source's order, in which the parameters are exact: another order of the same cell
    is not in the table, and `RestrictedSpace` finds the one that is.

    Args:
        source: the file, or its folder.

    Raises:
        InvalidTable: the file is not there, or an array is missing or of a wrong form.
    """
    path = source / _FILE if source.is_dir() else source
    arrays = read_arrays(path)
    columns: Arrays = {"decisions": _numbers(arrays, path)}
    for epochs in _EPOCHS:
        columns[f"val_accuracy@{epochs}"] = 100 * _column(arrays, f"val_e{epochs}", path).astype(np.float64)
    columns["train_seconds@108"] = _column(arrays, "train_time_e108", path).astype(np.float64)
    columns["params"] = _column(arrays, "params", path)
    meta = {
        "name": "NAS-Bench-101 sample",
        "space": NASBench101.name,
        "source": "NAS-Bench-101 (Ying et al., 2019) from nasbench-vis",
        "licence": "Apache-2.0",
        "units": {"val_accuracy": "%", "train_seconds": "s", "params": "1"},
        "objective": "max:val_accuracy",
    }
    return Table(meta, columns)


def _numbers(arrays: Arrays, path: Path) -> NDArray[np.int8]:
    """The choice numbers of all rows (n x 26), -1 where there is no vertex."""
    names = _column(arrays, "op_names", path).tolist()
    packed, ops = _column(arrays, "adj_bits", path), _column(arrays, "ops", path)
    if sorted(names) != sorted(OPERATIONS):
        raise InvalidTable(
            "the operations have other names", value=names, place=str(path), expected=", ".join(OPERATIONS)
        )
    for name, array, shape in (("adj_bits", packed, (len(packed), 3)), ("ops", ops, (len(packed), 5))):
        if array.dtype != np.uint8 or array.shape != shape:
            raise InvalidTable(
                f"the array {name!r} has a wrong form",
                value=f"{array.dtype} {array.shape}",
                place=str(path),
                expected=f"uint8 {shape}",
            )
    bits = np.unpackbits(packed, axis=1)[:, : len(PAIRS)].astype(np.int8)
    own = np.array([*[OPERATIONS.index(name) for name in names], -1], dtype=np.int8)
    return np.concatenate([bits, own[np.minimum(ops, len(names))]], axis=1)


def _column(arrays: Arrays, name: str, path: Path) -> NDArray[Any]:
    if name not in arrays:
        raise InvalidTable(f"there is no array {name!r}", place=str(path))
    return arrays[name]
