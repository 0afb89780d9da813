"""Results of NAS-Bench-101 as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_core.errors import InvalidTable
from nas_spaces.nasbench101 import OPERATIONS
from nas_spaces.tables.nasbench101 import nb101

CONV3, CONV1, POOL = OPERATIONS
BITS = [[1, *[0] * 20], [1, 1, *[0] * 5, 1, *[0] * 3, 1, *[0] * 9]]  # 0-1; and 0-1, 0-2, 1-3, 2-3


def source(folder: Path, **changes: Any) -> Path:
    """Arrays of two rows in the form of the published ones; the operations are in an order of their own."""
    arrays: dict[str, Any] = {
        "adj_bits": np.packbits(np.array(BITS, dtype=np.uint8), axis=1),
        "ops": np.array([[255] * 5, [0, 1, 255, 255, 255]], dtype=np.uint8),
        "op_names": np.array([POOL, CONV3, CONV1]),
        "train_time_e108": np.array([900.5, 1000], dtype=np.float32),
        "params": np.array([1000, 2000], dtype=np.int32),
    }
    arrays |= {f"val_e{epochs}": np.array([0.25, epochs / 128], dtype=np.float32) for epochs in (4, 12, 36, 108)}
    np.savez(
        folder / "nb101_20k.npz", **{name: array for name, array in (arrays | changes).items() if array is not None}
    )
    return folder


def test_arrays_become_a_table(tmp_path: Path) -> None:
    table = nb101(source(tmp_path))
    space = table.space
    assert [space.text(a) for a in table.architectures()] == ["1|", f"110011|{POOL},{CONV3}"]
    assert table.columns == (
        "val_accuracy@4", "val_accuracy@12", "val_accuracy@36", "val_accuracy@108", "train_seconds@108", "params",
    )  # fmt: skip
    assert table.column("val_accuracy").tolist() == [25.0, 84.375]
    assert table.column("val_accuracy@4").tolist() == [25.0, 3.125]
    assert table.column("train_seconds").tolist() == [900.5, 1000.0]
    assert table.column("params").tolist() == [1000, 2000]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"params": None}, "there is no array 'params'"),
        ({"op_names": np.array([POOL, CONV3, "conv5x5"])}, "other names"),
        ({"adj_bits": np.zeros((2, 4), dtype=np.uint8)}, "'adj_bits' has a wrong form"),
        ({"ops": np.zeros((1, 5), dtype=np.uint8)}, "'ops' has a wrong form"),
        ({"adj_bits": np.zeros((2, 3), dtype=np.uint8)}, r"row 0 .* no path leads"),
        ({"ops": np.array([[0] * 5, [0] * 5], dtype=np.uint8)}, r"row 0 .* 'op1' is inactive"),
    ],
)
def test_wrong_arrays_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidTable, match=message):
        nb101(source(tmp_path, **changes))
