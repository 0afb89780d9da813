"""Results of 214 random DARTS cells as a table: `python -m nas_spaces.tables.convert darts214 SOURCE OUT.npz`.

The source is `darts214_c10.npz` or its folder, plain arrays: `genotype` (n x 2 x 8 x 2), for the normal and the
reduction cell the source and the operation, a number into `op_names`, of each branch; `test_acc_curve_x100`
(n x 600), the test accuracy after each epoch in hundredths of a percent.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas_core.errors import InvalidArchitecture, InvalidTable
from nas_spaces.darts import DARTS, NODES
from nas_spaces.tables.npz import Arrays, read_arrays
from nas_spaces.tables.table import Table
from nas_spaces.two_input_cells import Cell

_FILE = "darts214_c10.npz"
_SPACE = DARTS()


def darts214(source: Path) -> Table:
    """Random members of DARTS, trained for 600 epochs on all training images of CIFAR-10.

    There is no validation accuracy. `test_accuracy` is that after the last epoch, in %; `test_accuracy_best` is the
    largest after any epoch, which is chosen by the test images themselves and therefore too good.

    Args:
        source: the file, or its folder.

    Raises:
        InvalidTable: the file is not there, or an array is missing or of a wrong form.
    """
    path = source / _FILE if source.is_dir() else source
    arrays = read_arrays(path)
    members = _members(arrays, path)
    curves = _array(arrays, "test_acc_curve_x100", "u", (len(members), 600), path)
    meta = {
        "name": "DARTS sample, CIFAR-10",
        "space": _SPACE.name,
        "source": "NAS-Benchmark (Yang, Esperança and Carlucci, 2020)",
        "licence": "GPL-3.0",
        "units": {"test_accuracy": "%", "test_accuracy_best": "%"},
        "objective": "max:test_accuracy",
    }
    return Table(
        meta,
        {
            "architecture": np.array(members),
            "test_accuracy@600": curves[:, -1] / 100,
            "test_accuracy_best@600": curves.max(axis=1) / 100,
        },
    )


def _members(arrays: Arrays, path: Path) -> list[str]:
    names = _array(arrays, "op_names", "U", (None,), path).tolist()
    genotypes = _array(arrays, "genotype", "u", (None, 2, 2 * NODES, 2), path)
    found = []
    for row, (normal, reduction) in enumerate(genotypes.tolist()):
        try:
            found.append(_SPACE.text(_SPACE.from_cells([_cell(kind, names) for kind in (normal, reduction)])))
        except InvalidArchitecture as error:
            raise InvalidTable(f"row {row} of 'genotype' is no member of DARTS: {error}", place=str(path)) from error
    return found


def _cell(branches: list[list[int]], names: list[str]) -> Cell:
    """The cell of eight branches; an unknown operation keeps its number for the message."""
    named = [(source, names[number] if number < len(names) else str(number)) for source, number in branches]
    return tuple((named[i], named[i + 1]) for i in range(0, len(named), 2))


def _array(arrays: Arrays, name: str, kind: str, shape: tuple[int | None, ...], path: Path) -> NDArray[Any]:
    if name not in arrays:
        raise InvalidTable(f"there is no array {name!r}", place=str(path))
    array = arrays[name]
    fits = len(array.shape) == len(shape) and all(
        size in (None, own) for size, own in zip(shape, array.shape, strict=True)
    )
    if array.dtype.kind != kind or not fits:
        raise InvalidTable(
            f"the array {name!r} has a wrong form", value=f"{array.dtype} {array.shape}", place=str(path)
        )
    return array
