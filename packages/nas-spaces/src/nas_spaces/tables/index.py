"""Finding the rows of architectures, one at a time or a million at once.

Rows of one architecture are a group. Where members are given as choice numbers, a row is one key, a whole number or,
where that is too large, a string of bytes; sorted keys are searched, which is quick in batches and takes little memory.
Where they are given as texts, each is looked for by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from math import prod
from operator import itemgetter
from typing import Any, Protocol, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical, Decision
from nas_core.space import Space

IntArray: TypeAlias = NDArray[np.int64]

ABSENT = -1
"""The group of what is not in the table."""
_NONE = -2  # the number of what is no choice
_MOST_CODES = 1 << 8
_BLOCK = 1 << 14  # members that are looked up at a time
_VALUES = itemgetter(Architecture._fields.index("values"))


class Index(Protocol):
    """Groups of the rows of a table: group g has the rows `order[starts[g] : starts[g + 1]]`, ascending."""

    order: IntArray
    starts: IntArray

    def group(self, architecture: Architecture) -> int:
        """The group of a member; `ABSENT` where it is not in the table."""
        ...

    def groups(self, architectures: Sequence[Architecture]) -> IntArray:
        """The groups of n members (n)."""
        ...


@final
class TextIndex:
    """Of members that are known by themselves.

    Args:
        members: those of the rows (n).
    """

    def __init__(self, members: Sequence[Architecture]) -> None:
        self._groups: dict[Architecture, int] = {}
        numbers = [self._groups.setdefault(member, len(self._groups)) for member in members]
        self.order, self.starts = _grouped(np.array(numbers, dtype=np.int64))

    def group(self, architecture: Architecture) -> int:
        """See `Index`."""
        return self._groups.get(architecture, ABSENT)

    def groups(self, architectures: Sequence[Architecture]) -> IntArray:
        """See `Index`."""
        return np.array([self._groups.get(a, ABSENT) for a in architectures], dtype=np.int64)


@final
class NumberIndex:
    """Of members that are known by their choice numbers.

    Args:
        numbers: those of the rows (n x d), -1 where inactive; checked.
        space: whose choices they number.
    """

    def __init__(self, numbers: NDArray[Any], space: Space) -> None:
        self._sizes = [int(decision.size or 0) for decision in space.decisions]
        self._pack = _Packer(self._sizes)
        self._numberings = [_numbering(decision) for decision in space.decisions]
        self._codes, self._meant = _codes(space, self._sizes)
        keys = self._pack([numbers[:, j] for j in range(len(self._sizes))])
        self.order, self.starts = _grouped(keys)
        self._keys = keys[self.order[self.starts[:-1]]]

    def group(self, architecture: Architecture) -> int:
        """See `Index`."""
        numbers = self._numbers(architecture)
        if not self._pack.whole or _NONE in numbers:
            return int(self._found(np.array([numbers], dtype=np.int64).T)[0])
        key = self._pack.one(numbers)  # as `_found` does, without what arrays cost
        place = int(self._keys.searchsorted(key))
        return place if place < len(self._keys) and self._keys[place] == key else ABSENT

    def groups(self, architectures: Sequence[Architecture]) -> IntArray:
        """See `Index`."""
        blocks = [self._groups(architectures[at : at + _BLOCK]) for at in range(0, len(architectures), _BLOCK)]
        return np.concatenate([np.empty(0, dtype=np.int64), *blocks])

    def groups_of_numbers(self, numbers: NDArray[Any]) -> IntArray:
        """The groups of members that are given by choice numbers (n x d)."""
        blocks = [self._found(numbers[at : at + _BLOCK].T.copy()) for at in range(0, len(numbers), _BLOCK)]
        return np.concatenate([np.empty(0, dtype=np.int64), *blocks])

    def _groups(self, architectures: Sequence[Architecture]) -> IntArray:
        given = self._coded(architectures)
        if given is None:
            return self._found(np.array([self._numbers(a) for a in architectures], dtype=np.int64).T)
        return self._found([meant[column] for meant, column in zip(self._meant, given.T.copy(), strict=True)])

    def _found(self, columns: Sequence[NDArray[Any]] | NDArray[Any]) -> IntArray:
        """The groups of rows that are given as d columns (n)."""
        legal = np.ones(len(columns[0]), dtype=np.bool_)
        for size, column in zip(self._sizes, columns, strict=True):
            legal &= (column >= -1) & (column < size)
        keys = self._pack(columns)
        order = np.argsort(keys)  # keys that are looked for in order are found in memory that was just read
        places = np.empty(len(keys), dtype=np.int64)
        places[order] = np.searchsorted(self._keys, keys[order])
        places[places == len(self._keys)] = 0
        return np.where(legal & (self._keys[places] == keys), places, ABSENT)

    def _numbers(self, architecture: Architecture) -> list[int]:
        if len(architecture.values) != len(self._sizes):
            return [_NONE] * len(self._sizes)
        return [number(value) for number, value in zip(self._numberings, architecture.values, strict=True)]

    def _coded(self, architectures: Sequence[Architecture]) -> NDArray[np.uint8] | None:
        """The codes of all values (n x d); None where there is a value that has none."""
        values = list(map(_VALUES, architectures))
        if self._codes is None or set(map(len, values)) != {len(self._sizes)}:
            return None
        try:
            given = bytes(map(self._codes.__getitem__, chain.from_iterable(values)))
        except KeyError:
            return None
        return np.frombuffer(given, dtype=np.uint8).reshape(len(values), -1)


class _Packer:
    """Makes one key of the choice numbers of a row: equal for equal rows only.

    `whole` says that keys are whole numbers, otherwise they are bytes.

    Args:
        sizes: the number of choices of each decision.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self._sizes = sizes
        self.whole = prod(size + 1 for size in sizes) < 1 << 63

    def one(self, numbers: Sequence[int]) -> int:
        """The key of one row (d), where keys are whole numbers."""
        key = 0
        for size, number in zip(self._sizes, numbers, strict=True):
            key = key * (size + 1) + number + 1
        return key

    def __call__(self, columns: Sequence[NDArray[Any]] | NDArray[Any]) -> NDArray[Any]:
        """The keys of rows (n), given as d columns."""
        if self.whole:
            keys = np.zeros(len(columns[0]), dtype=np.int64)
            for size, column in zip(self._sizes, columns, strict=True):
                keys *= size + 1
                keys += column
                keys += 1
            return keys
        table = np.empty((len(columns[0]), len(columns)), dtype=">u4")
        for j, column in enumerate(columns):
            table[:, j] = column.astype(np.int64) + 1
        return table.view(f"S{4 * len(columns)}")[:, 0]


def _grouped(keys: NDArray[Any]) -> tuple[IntArray, IntArray]:
    """Rows sorted by key, and where each key begins among them, with the end of the last."""
    order = np.argsort(keys, kind="stable")
    found = keys[order]
    begins = np.flatnonzero(np.concatenate([[True], found[1:] != found[:-1]]))
    return order.astype(np.int64), np.append(begins, len(keys)).astype(np.int64)


def _codes(space: Space, sizes: Sequence[int]) -> tuple[dict[Any, int] | None, list[NDArray[np.int16]]]:
    """A byte for every value that any decision can have, and what it stands for in each; None where bytes are too few.

    Values that are equal have one code. `_NONE` stands for what is no choice of the decision.
    """
    if sum(sizes) > 1 << 16:
        return None, []
    choices = [_choices(decision) for decision in space.decisions]
    codes: dict[Any, int] = {}
    for value in (None, *chain.from_iterable(choices)):
        codes.setdefault(value, len(codes))
    if len(codes) > _MOST_CODES:
        return None, []
    meant = []
    for values in choices:
        means = np.full(_MOST_CODES, _NONE, dtype=np.int16)
        means[0] = -1
        means[[codes[value] for value in values]] = np.arange(len(values))
        meant.append(means)
    return codes, meant


def _choices(decision: Decision) -> Sequence[Any]:
    if isinstance(decision, Categorical):
        return decision.choices
    return range(int(decision.low), int(decision.high) + 1)


def _numbering(decision: Decision) -> Callable[[Any], int]:
    """The choice number of a value, -1 for None, `_NONE` for what is no choice."""
    if isinstance(decision, Categorical):
        known = {choice: number for number, choice in enumerate(decision.choices)} | {None: -1}
        return lambda value: known.get(value, _NONE)
    low, high = int(decision.low), int(decision.high)
    whole = range(low, high + 1)
    return lambda value: -1 if value is None else value - low if type(value) is int and value in whole else _NONE
