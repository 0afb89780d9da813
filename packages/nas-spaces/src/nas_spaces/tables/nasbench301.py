"""NAS-Bench-301's predictions for 725 DARTS cells: `python -m nas_spaces.tables.convert nb301 SOURCE OUT.npz`.

The source is `zero_cost.npz` or its folder, plain arrays: `nasbench301__cifar10__arch` (n x 2 x 8 x 2), for the normal
and the reduction cell the source and the operation, a number in DARTS's published order, of each branch;
`…__val_accuracy` (n), in %, NaN where there is none; and the zero-cost scores of the same rows, NaN likewise.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nas_core.errors import InvalidArchitecture, InvalidTable
from nas_spaces.darts import DARTS, NODES
from nas_spaces.darts_operations import OPERATIONS
from nas_spaces.tables.npz import Arrays, read_arrays
from nas_spaces.tables.table import Table
from nas_spaces.two_input_cells import Cell

SCORES: Final = (
    "epe_nas", "fisher", "grad_norm", "grasp", "jacov", "l2_norm", "nwot", "plain", "snip", "synflow",
)  # fmt: skip
"""The zero-cost scores that the labelled rows have; a column is `zero_cost_<score>`."""

_FILE = "zero_cost.npz"
_PREFIX = "nasbench301__cifar10__"
_SPACE = DARTS()


def nb301(source: Path) -> Table:
    """Members of DARTS with the validation accuracy that the *surrogate* of NAS-Bench-301 predicts on CIFAR-10.

    No row was trained: `val_accuracy` (%) is what a regression of Zela et al. predicts, and the table's name and source
    say so. Rows without a prediction are left out. The other columns are of the same networks, 8 cells of 32 channels:
    `zero_cost_params` and `zero_cost_megaflops` are as the source counts them (parameters without the scales and shifts
    of normalisations in branches, multiply-adds with those of normalisations and poolings), the others are scores at
    initialisation without a unit.

    Args:
        source: the file, or its folder.

    Raises:
        InvalidTable: the file is not there, or an array is missing or of a wrong form.
    """
    path = source / _FILE if source.is_dir() else source
    arrays = read_arrays(path)
    accuracies = _column(arrays, "val_accuracy", path)
    labelled = np.flatnonzero(np.isfinite(accuracies))
    columns: Arrays = {
        "architecture": np.array(_members(arrays, labelled, path), dtype=np.str_),
        "val_accuracy": accuracies[labelled],
        "zero_cost_params": np.rint(1e6 * _column(arrays, "params", path)[labelled]),
        "zero_cost_megaflops": _column(arrays, "flops", path)[labelled],
        **{f"zero_cost_{score}": _column(arrays, score, path)[labelled] for score in SCORES},
    }
    meta = {
        "name": "NAS-Bench-301 surrogate, CIFAR-10",
        "space": _SPACE.name,
        "source": "predictions of the surrogate of NAS-Bench-301 (Zela et al., 2022), not measured; with the zero-cost "
        "scores of NAS-Bench-Suite-Zero (Krishnakumar et al., 2022), from NASLib",
        "licence": "Apache-2.0",
        "units": {"val_accuracy": "%", "zero_cost_params": "1", "zero_cost_megaflops": "1e6"},
        "objective": "max:val_accuracy",
    }
    return Table(meta, columns)


def _members(arrays: Arrays, rows: NDArray[np.intp], path: Path) -> list[str]:
    genotypes = _array(arrays, "arch", path)
    if genotypes.dtype.kind not in "iu" or genotypes.shape[1:] != (2, 2 * NODES, 2):
        raise _wrong_form("arch", genotypes, path)
    found = []
    for row in rows.tolist():
        try:
            normal, reduction = genotypes[row].tolist()
            found.append(_SPACE.text(_SPACE.from_cells([_cell(normal), _cell(reduction)])))
        except InvalidArchitecture as error:
            raise InvalidTable(f"row {row} of {_PREFIX}arch is no member of DARTS: {error}", place=str(path)) from error
    return found


def _cell(branches: list[list[int]]) -> Cell:
    """The cell of eight branches; an unknown operation keeps its number for the message."""
    named = [(source, OPERATIONS[o] if 0 <= o < len(OPERATIONS) else str(o)) for source, o in branches]
    return tuple((named[i], named[i + 1]) for i in range(0, len(named), 2))


def _column(arrays: Arrays, name: str, path: Path) -> NDArray[np.float64]:
    """A column of all rows (n); as exact as the source's 32-bit numbers."""
    array, n = _array(arrays, name, path), len(_array(arrays, "arch", path))
    if array.dtype.kind != "f" or array.shape != (n,):
        raise _wrong_form(name, array, path)
    return array.astype(np.float64)


def _array(arrays: Arrays, name: str, path: Path) -> NDArray[Any]:
    if _PREFIX + name not in arrays:
        raise InvalidTable(f"there is no array {_PREFIX + name!r}", place=str(path))
    return arrays[_PREFIX + name]


def _wrong_form(name: str, array: NDArray[Any], path: Path) -> InvalidTable:
    return InvalidTable(
        f"the array {_PREFIX + name!r} has a wrong form", value=f"{array.dtype} {array.shape}", place=str(path)
    )
