"""Results of random DARTS cells as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_core.errors import InvalidTable
from nas_spaces.darts import DARTS
from nas_spaces.tables.darts214 import darts214

SPACE = DARTS()
NAMES = np.array(SPACE.operations[::-1])  # an order of their own
GENOTYPE = [[0, 0], [1, 1], [2, 2], [0, 3], [1, 4], [3, 5], [4, 6], [0, 0]]
CURVES = np.arange(1200, dtype=np.uint16).reshape(2, 600)


def source(folder: Path, **changes: Any) -> Path:
    """Arrays of two rows in the form of the published ones."""
    arrays: dict[str, Any] = {
        "genotype": np.array([[GENOTYPE, GENOTYPE], [GENOTYPE, [[1, 6], [0, 5], *GENOTYPE[2:]]]], dtype=np.uint8),
        "op_names": NAMES,
        "test_acc_curve_x100": CURVES,
    }
    arrays |= changes
    np.savez(folder / "darts214_c10.npz", **{name: array for name, array in arrays.items() if array is not None})
    return folder


def test_arrays_become_a_table(tmp_path: Path) -> None:
    curves = CURVES.copy()
    curves[1, 7] = 9703
    table = darts214(source(tmp_path, test_acc_curve_x100=curves))
    first, second = table.architectures()
    normal = (
        ((0, "dil_conv_5x5"), (1, "dil_conv_3x3")),
        ((0, "sep_conv_3x3"), (2, "sep_conv_5x5")),
        ((1, "skip_connect"), (3, "avg_pool_3x3")),
        ((0, "dil_conv_5x5"), (4, "max_pool_3x3")),
    )
    assert SPACE.cells_of(first) == (normal, normal)
    assert SPACE.cells_of(second) == (normal, (((0, "avg_pool_3x3"), (1, "max_pool_3x3")), *normal[1:]))
    assert table.columns == ("test_accuracy@600", "test_accuracy_best@600")
    assert table.column("test_accuracy").tolist() == [5.99, 11.99]
    assert table.column("test_accuracy_best").tolist() == [5.99, 97.03]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"op_names": None}, "there is no array 'op_names'"),
        ({"genotype": np.zeros((2, 8, 2), dtype=np.uint8)}, "'genotype' has a wrong form"),
        ({"test_acc_curve_x100": CURVES[:1]}, "'test_acc_curve_x100' has a wrong form"),
        ({"test_acc_curve_x100": CURVES.astype(float)}, "'test_acc_curve_x100' has a wrong form"),
        (
            {"genotype": np.zeros((2, 2, 8, 2), dtype=np.uint8)},
            "row 0 of 'genotype' is no member of DARTS: two branches",
        ),
        ({"op_names": NAMES[:3]}, "row 0 of 'genotype' is no member of DARTS: no such operation: '3'"),
        ({"op_names": np.array(["conv"] * 7)}, "no such operation: 'conv'"),
    ],
)
def test_wrong_arrays_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidTable, match=message):
        darts214(source(tmp_path, **changes))


def test_the_published_arrays(published: Path) -> None:
    if not (published / "darts214_c10.npz").is_file():
        pytest.skip(f"no darts214_c10.npz in {published}")
    table = darts214(published)
    assert len(table) == len(set(table.architectures())) == 214
    best = table.column("test_accuracy_best")
    assert round(float(best.mean()), 2) == 97.03  # the published mean
    with np.load(published / "darts214_c10.npz", allow_pickle=False) as arrays:
        np.testing.assert_allclose(best, arrays["score"], atol=1e-5)
    assert (table.column("test_accuracy") <= best).all()
