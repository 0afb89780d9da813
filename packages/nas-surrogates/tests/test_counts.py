"""Counts in dense and in sparse matrices, against plain arrays."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.sparse import issparse

from nas_core.random import rng
from nas_surrogates import counts as module
from nas_surrogates.counts import Counts, CountTable

Row = dict[tuple[str, ...], int]


def rows_of(n: int, things: int) -> list[Row]:
    """Some of the things in each row, up to 300 times."""
    stream = rng(0, "rows", n)
    return [
        {(str(k),): int(stream.integers(1, 300)) for k in stream.choice(things, size=5, replace=False)}
        for _ in range(n)
    ]


def plain(table: CountTable, rows: list[Row]) -> np.ndarray:
    """The same by loops."""
    result = np.zeros((len(rows), len(table.column)))
    for i, own in enumerate(rows):
        for thing, count in own.items():
            result[i, table.column[thing]] = min(count, 255)
    return result


@pytest.mark.parametrize("dense", [True, False])
def test_matrices_are_what_was_counted(dense: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DENSE", 100 if dense else 10)
    table, rows = CountTable(), rows_of(30, 40)
    table.append(rows)
    order = np.array([4, 0, 29, 4])
    found, expected = table[order], plain(table, rows)[order]
    assert issparse(found.matrix) is not dense
    assert_array_equal(found.dense(), expected)
    assert_array_equal(found.indicators().dense(), np.minimum(expected, 1.0))
    assert_array_equal(found.norms(), np.sqrt((expected**2).sum(axis=1)))
    assert_array_equal(found.inner(found), expected @ expected.T)
    assert_array_equal(found[1:3].dense(), expected[1:3])
    assert len(table[np.array([], dtype=np.int64)]) == 0


@pytest.mark.parametrize("limit", [10, 40, 1000])
def test_columns_met_later_are_zero_in_earlier_rows(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 30 things the first matrix has but some columns; at a limit of 40 it is dense and the other sparse."""
    monkeypatch.setattr(module, "DENSE", limit)
    table, rows = CountTable(), rows_of(3, 30) + [{(f"later {k}",): k + 1, ("0",): 2} for k in range(60)]
    table.append(rows[:3])
    early = table[np.arange(3)]
    table.append(rows[3:])
    late, expected = table[np.arange(3, 63)], plain(table, rows)
    assert early.matrix.shape[1] < late.matrix.shape[1]
    assert_array_equal(early.inner(late), expected[:3] @ expected[3:].T)
    assert_array_equal(late.inner(early), expected[3:] @ expected[:3].T)
    assert_array_equal(early.joined(late).dense(), expected)
    assert_array_equal(late.joined(early).inner(early), np.concatenate([expected[3:], expected[:3]]) @ expected[:3].T)


def test_what_is_forgotten_keeps_its_columns() -> None:
    table, rows = CountTable(), rows_of(6, 20)
    table.append(rows[:3])
    before = table[np.arange(3)]
    table.forget()
    table.append(rows[:3])
    assert isinstance(before, Counts)
    assert_array_equal(table[np.arange(3)].dense(), before.dense())
