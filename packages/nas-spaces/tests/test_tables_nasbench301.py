"""Predictions of NAS-Bench-301's surrogate as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_core.errors import InvalidTable
from nas_spaces.darts import DARTS
from nas_spaces.tables.nasbench301 import SCORES, nb301

SPACE = DARTS()
GENOTYPE = [[0, 0], [1, 1], [0, 3], [2, 2], [1, 4], [3, 5], [0, 0], [4, 6]]


def source(folder: Path, **changes: Any) -> Path:
    """Arrays of three rows in the form of the published ones; the second has no label."""
    column = np.array([1.0, np.nan, 3.0], dtype=np.float32)
    other = [[1, 6], [0, 5], *GENOTYPE[2:]]
    arrays: dict[str, Any] = {
        "arch": np.array([[GENOTYPE, other], [GENOTYPE, GENOTYPE], [GENOTYPE, GENOTYPE]], dtype=np.int8),
        "val_accuracy": np.array([93.5, np.nan, 94.25], dtype=np.float32),
        **dict.fromkeys(("params", "flops", *SCORES), column),
    }
    arrays = {f"nasbench301__cifar10__{name}": array for name, array in (arrays | changes).items() if array is not None}
    np.savez(folder / "zero_cost.npz", **arrays)
    return folder


def test_labelled_rows_become_a_table(tmp_path: Path) -> None:
    table = nb301(source(tmp_path))
    first, second = table.architectures()
    cell = (
        ((0, "max_pool_3x3"), (1, "avg_pool_3x3")),
        ((0, "sep_conv_3x3"), (2, "skip_connect")),
        ((1, "sep_conv_5x5"), (3, "dil_conv_3x3")),
        ((0, "max_pool_3x3"), (4, "dil_conv_5x5")),
    )
    assert SPACE.cells_of(first) == (cell, (((0, "dil_conv_3x3"), (1, "dil_conv_5x5")), *cell[1:]))
    assert SPACE.cells_of(second) == (cell, cell)
    assert table.column("val_accuracy").tolist() == [93.5, 94.25]
    assert table.column("zero_cost_params").tolist() == [1e6, 3e6]
    assert table.column("zero_cost_synflow").tolist() == [1.0, 3.0]
    assert "surrogate" in table.meta["name"]
    assert "not measured" in table.meta["source"]
    assert len(nb301(tmp_path / "zero_cost.npz")) == 2  # the file itself will do as well


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arch": None}, "there is no array 'nasbench301__cifar10__arch'"),
        ({"arch": np.zeros((3, 8, 2), dtype=np.int8)}, "arch' has a wrong form"),
        ({"arch": np.zeros((3, 2, 8, 2), dtype=np.int8)}, "row 0 of nasbench301__cifar10__arch is no member of DARTS"),
        ({"arch": np.full((3, 2, 8, 2), 9, dtype=np.int8)}, "no member of DARTS"),
        ({"val_accuracy": np.zeros(2, dtype=np.float32)}, "val_accuracy' has a wrong form"),
        ({"val_accuracy": np.full(3, np.nan, dtype=np.float32)}, "a table without rows"),
        ({"snip": np.full(3, np.nan, dtype=np.float32)}, "zero_cost_snip"),
    ],
)
def test_wrong_arrays_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidTable, match=message):
        nb301(source(tmp_path, **changes))


def test_the_published_arrays(published: Path) -> None:
    """That branches are read right is tested by parameters in test_two_input_network, for the same 725 rows."""
    if not (published / "zero_cost.npz").is_file():
        pytest.skip(f"no zero_cost.npz in {published}")
    table = nb301(published)
    assert len(table) == len(set(table.architectures())) == 725
    accuracies = table.column("val_accuracy")
    assert 91 < accuracies.min() < accuracies.max() < 95
