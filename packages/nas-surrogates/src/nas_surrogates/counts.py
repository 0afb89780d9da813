"""Counts of what occurs in members, as many columns as there are things that have been met.

A cell has few of all the paths that a space has, and in a large space new ones are met without end: dense rows of DARTS
cells filled the memory of a machine. Rows are therefore kept as pairs of column and count; a matrix of some
of them is dense where columns are few, which is the faster, and sparse where they are many. Counts are whole numbers
and inner products below 2^24, so that float32 is exact and neither the order of columns nor the kind of matrix changes
a result.

Notation
    n, k  rows     d  columns
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, issparse, vstack

FloatArray: TypeAlias = NDArray[np.float64]

DENSE: Final = 2048
"""Columns up to which a matrix is dense."""
MOST: Final = 255
"""Count from which more counts as no more."""


@final
@dataclass(frozen=True, eq=False)
class Counts:
    """Counts of n rows.

    Args:
        matrix: n x d, of float32, dense or sparse.
    """

    matrix: Any

    def __len__(self) -> int:
        return int(self.matrix.shape[0])

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Counts:
        return Counts(self.matrix[rows])

    def dense(self) -> NDArray[np.float32]:
        """As an array (n x d)."""
        return np.asarray(self.matrix.toarray() if issparse(self.matrix) else self.matrix)

    def indicators(self) -> Counts:
        """1 where there is a count."""
        if not issparse(self.matrix):
            return Counts(np.minimum(self.matrix, np.float32(1.0)))
        ones = np.ones_like(self.matrix.data)
        return Counts(csr_array((ones, self.matrix.indices, self.matrix.indptr), shape=self.matrix.shape))

    def norms(self) -> FloatArray:
        """Lengths of the rows (n)."""
        return np.sqrt(np.asarray((self.matrix * self.matrix).sum(axis=1), dtype=np.float64))

    def inner(self, other: Counts) -> FloatArray:
        """Inner products of n and k rows (n x k); a column that one side does not have is 0 there."""
        d = min(self.matrix.shape[1], other.matrix.shape[1])
        product = self.matrix[:, :d] @ other.matrix[:, :d].T
        return np.asarray(product.toarray() if issparse(product) else product, dtype=np.float64)

    def joined(self, other: Counts) -> Counts:
        """The rows of both, one after the other."""
        d = max(self.matrix.shape[1], other.matrix.shape[1])
        if d <= DENSE:
            return Counts(np.concatenate([_wider(own.dense(), d) for own in (self, other)]))
        both = [csr_array(own.matrix) for own in (self, other)]
        for own in both:
            own.resize(own.shape[0], d)
        return Counts(csr_array(vstack(both, format="csr")))


@final
class CountTable:
    """Rows of counts, and the column of each thing that has been met."""

    def __init__(self) -> None:
        self.column: dict[tuple[str, ...], int] = {}
        self._columns: list[NDArray[np.int32]] = []
        self._values: list[NDArray[np.float32]] = []

    def append(self, rows: Sequence[Mapping[tuple[str, ...], int]]) -> None:
        """Add rows, each what occurs with how often."""
        column = self.column
        for own in rows:
            for thing in own:
                column.setdefault(thing, len(column))
            self._columns.append(np.array([column[thing] for thing in own], dtype=np.int32))
            self._values.append(np.array([min(count, MOST) for count in own.values()], dtype=np.float32))

    def forget(self) -> None:
        """Drop all rows; columns stay as they are, for matrices that have been made."""
        self._columns, self._values = [], []

    def __getitem__(self, rows: NDArray[np.int64]) -> Counts:
        """The counts of some rows (n x d)."""
        columns = [self._columns[row] for row in rows.tolist()]
        sizes = np.array([len(own) for own in columns], dtype=np.int64)
        shape = (len(columns), len(self.column))
        if not columns:
            return Counts(np.zeros(shape, dtype=np.float32))
        flat, values = np.concatenate(columns), np.concatenate([self._values[row] for row in rows.tolist()])
        if shape[1] > DENSE:
            starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
            return Counts(csr_array((values, flat, starts), shape=shape))
        dense = np.zeros(shape, dtype=np.float32)
        dense[np.repeat(np.arange(shape[0]), sizes), flat] = values
        return Counts(dense)


def _wider(matrix: NDArray[np.float32], d: int) -> NDArray[np.float32]:
    return np.pad(matrix, ((0, 0), (0, d - matrix.shape[1])))
