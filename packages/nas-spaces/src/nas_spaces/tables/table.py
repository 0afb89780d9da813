"""Tables: the file format and what is looked up in it.

A table is one `.npz` file of plain arrays, n rows each:

    meta                   a JSON text, an object with the keys
                           name, source, licence: texts
                           space: the name of a registered space, its configuration {"name": …, **options}, or a
                           declaration {"name": …, "decisions": {name: [choices], …}}
                           units: {metric: unit}
                           objective: such as "max:val_accuracy", or a list of such texts
    architecture           the members as text, or
    decisions              their choice numbers (n x d), -1 where a decision is inactive
    <metric>[@<fidelity>]  finite numbers: `val_accuracy@200`, `params`
    failed[@<fidelity>]    optional: truth values; the results of a failed row at that fidelity, or at all, are not read
                           and may be missing

A metric has one column for all fidelities or one for each. Rows of one architecture are its replicates, in order.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.errors import InvalidArchitecture, InvalidOption, InvalidTable
from nas_core.space import Space
from nas_spaces.tables.format import (
    MEMBERS,
    check_objective,
    check_values,
    checked_meta,
    checked_numbers,
    member,
    metric_names,
    parsed_members,
    parsed_meta,
    space_of,
)
from nas_spaces.tables.index import ABSENT, Index, IntArray, NumberIndex, TextIndex
from nas_spaces.tables.npz import read_arrays, write_arrays
from nas_spaces.tables.shipped import located

FloatArray: TypeAlias = NDArray[np.float64]

_SPACE = itemgetter(Architecture._fields.index("space"))


@final
class Table:
    """Measured results of n architectures of one space; immutable.

    Args:
        meta: what the meta text of a file says.
        arrays: the other arrays of a file by name.

    Raises:
        InvalidTable: anything is missing, wrong or contradicts itself; the message names the array and the first row.
    """

    def __init__(self, meta: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        self.meta: Mapping[str, Any] = MappingProxyType(checked_meta(meta))
        self.space: Space = space_of(self.meta["space"])
        self._arrays = {name: _frozen(array) for name, array in arrays.items()}
        self._index = self._indexed()
        self._metrics, self._masks = metric_names(self._arrays, len(self))
        check_values(self._arrays, self._metrics, self._masks)
        check_objective(self.meta["objective"], self._metrics)

    @classmethod
    def load(cls, path: str | Path) -> Table:
        """Read a file, or the shipped table of this name (`nas_spaces.tables.shipped`).

        Raises:
            InvalidTable: see the class; also a file that is not there, cannot be read or is damaged.
        """
        arrays = read_arrays(located(path))
        try:
            meta = parsed_meta(arrays)
            return cls(meta, {name: array for name, array in arrays.items() if name != "meta"})
        except InvalidTable as error:
            raise error.at(str(path)) from None

    def save(self, path: str | Path) -> None:
        """Write the table; the file appears whole or not at all, and equal tables give equal files.

        Raises:
            InvalidTable: the file cannot be written.
        """
        meta = np.array(json.dumps(dict(self.meta)))
        write_arrays(Path(path), {"meta": meta, **self._arrays})

    def __len__(self) -> int:
        """Number of rows n."""
        return len(self._rows)

    @property
    def members(self) -> int:
        """Number of architectures, each once."""
        return len(self._index.starts) - 1

    @property
    def objectives(self) -> list[str]:
        """What `meta` states to optimise, such as "max:val_accuracy", each."""
        objective = self.meta["objective"]
        return [objective] if isinstance(objective, str) else list(objective)

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]:
        """The arrays of the file but for `meta`, as it has them; read-only."""
        return MappingProxyType(self._arrays)

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the metrics, without fidelities, in the order of the file."""
        return tuple(self._metrics)

    @property
    def columns(self) -> tuple[str, ...]:
        """The full names of the metrics, such as `val_accuracy@12`, in the order of the file."""
        return tuple(array for column in self._metrics.values() for array in column.values())

    def fidelities(self, metric: str | None = None) -> tuple[float, ...]:
        """The fidelities at which a metric was measured, ascending; those of all metrics where none is named.

        () where it does not depend on one.

        Raises:
            InvalidOption: the table has no such metric.
        """
        names = self.metrics if metric is None else (self._known(metric),)
        found = {fidelity for name in names for fidelity in self._metrics[name] if fidelity is not None}
        return tuple(sorted(found))

    def column(self, metric: str, fidelity: float | None = None) -> FloatArray:
        """A metric of all rows (n); NaN in failed ones.

        Args:
            metric: its name; `val_accuracy@12` says the fidelity too.
            fidelity: None for the metric's highest. A metric that does not depend on one is the same at all.

        Raises:
            InvalidOption: there is no such metric or fidelity; the message lists those there are.
        """
        name, at = self._resolved(metric, fidelity)
        values = self._arrays[self._metrics[name][at]].astype(np.float64)
        values[self.failed(at)] = np.nan
        return values

    def failed(self, fidelity: float | None = None) -> NDArray[np.bool_]:
        """Which rows failed at a fidelity (n); None for those that failed altogether."""
        mask = np.zeros(len(self), dtype=np.bool_)
        for at, name in self._masks.items():
            if at is None or at == fidelity:
                mask |= self._arrays[name]
        return mask

    def rows(self, architecture: Architecture) -> tuple[int, ...]:
        """The rows of an architecture, one a replicate; () where it is not in the table."""
        if architecture.space != self.space.name:
            return ()
        group, starts = self._index.group(architecture), self._index.starts
        return () if group == ABSENT else tuple(self._index.order[starts[group] : starts[group + 1]].tolist())

    def row(self, architecture: Architecture, replicate: int = 0) -> int:
        """The row of one replicate of an architecture.

        Raises:
            InvalidArchitecture: it is not in the table.
            InvalidOption: the table has fewer replicates of it.
        """
        rows = self.rows(architecture)
        if not rows:
            raise self._absent(tuple(architecture))
        if not 0 <= replicate < len(rows):
            raise InvalidOption(
                f"the table {self.meta['name']!r} has no such replicate of {self.space.text(architecture)}",
                value=replicate,
                expected="0" if len(rows) == 1 else f"0 to {len(rows) - 1}",
            )
        return rows[replicate]

    def lookup(
        self,
        architectures: Sequence[Architecture] | NDArray[np.integer[Any]],
        metric: str,
        fidelity: float | None = None,
        replicate: int | None = None,
    ) -> FloatArray:
        """A metric of n architectures (n); quickest where members and table are both choice numbers.

        Args:
            architectures: members that are in the table, or their choice numbers (n x d), -1 where inactive.
            metric: see `column`.
            fidelity: see `column`.
            replicate: which one, from 0; None for the mean of those that did not fail.

        Returns:
            The values; NaN where all that were asked for failed.

        Raises:
            InvalidArchitecture: one is not in the table.
            InvalidOption: there is no such metric, fidelity or replicate.
        """
        column, groups = self.column(metric, fidelity), self._groups(architectures)
        order, starts = self._index.order, self._index.starts
        if replicate is not None:
            rows = starts[groups] + replicate
            wrong = (rows >= starts[groups + 1]) | (replicate < 0)
            if wrong.any():  # says which
                self.row(self.architecture(int(order[starts[groups[int(wrong.argmax())]]])), replicate)
            return column[order[rows]]
        if self.members == len(self):
            return column[order[starts[groups]]]
        measured = ~np.isnan(column[order])
        counts = np.add.reduceat(measured.astype(np.int64), starts[:-1])
        sums = np.add.reduceat(np.where(measured, column[order], 0.0), starts[:-1])
        means = np.full(len(counts), np.nan)
        np.divide(sums, counts, out=means, where=counts > 0)
        return means[groups]

    def architecture(self, row: int) -> Architecture:
        """The member of a row."""
        given = self._rows[row]
        return member(given, self.space) if "decisions" in self._arrays else self.space.parse(str(given))

    def architectures(self) -> list[Architecture]:
        """The members that are in the table, each once, in the order of their first rows."""
        return [self.architecture(row) for row in np.sort(self._index.order[self._index.starts[:-1]]).tolist()]

    @property
    def _rows(self) -> NDArray[Any]:
        return self._arrays["decisions" if "decisions" in self._arrays else "architecture"]

    def _indexed(self) -> Index:
        given = [name for name in MEMBERS if name in self._arrays]
        if len(given) != 1:
            raise InvalidTable(
                "a table needs to say its architectures", value=given, expected="either of " + " and ".join(MEMBERS)
            )
        if given == ["architecture"]:
            members = parsed_members(self._rows, self.space)
        else:
            numbers = checked_numbers(self._rows, self.space)
        if not len(self._rows):
            raise InvalidTable("a table without rows")
        return TextIndex(members) if given == ["architecture"] else NumberIndex(numbers, self.space)

    def _groups(self, architectures: Sequence[Architecture] | NDArray[np.integer[Any]]) -> IntArray:
        """The groups of members (n), which are all in the table."""
        if isinstance(architectures, np.ndarray):
            d = len(self.space.decisions)
            if architectures.dtype.kind not in "iu" or architectures.ndim != 2 or architectures.shape[1] != d:
                raise InvalidOption("not the choice numbers of architectures", expected=f"whole numbers (n, {d})")
            if isinstance(self._index, NumberIndex):
                groups = self._index.groups_of_numbers(architectures)
                if (groups == ABSENT).any():
                    row = int((groups == ABSENT).argmax())
                    raise self._absent(architectures[row].tolist())
                return groups
            architectures = [member(row, self.space) for row in architectures]
        if not set(map(_SPACE, architectures)) <= {self.space.name}:
            raise self._absent(tuple(next(a for a in architectures if a.space != self.space.name)))
        groups = self._index.groups(architectures)
        if (groups == ABSENT).any():
            raise self._absent(tuple(architectures[int((groups == ABSENT).argmax())]))
        return groups

    def _absent(self, value: Any) -> InvalidArchitecture:
        return InvalidArchitecture(f"not in the table {self.meta['name']!r}", value=value)

    def _known(self, metric: str) -> str:
        if metric not in self._metrics:
            known = "one of " + ", ".join(self.columns)
            raise InvalidOption(f"the table {self.meta['name']!r} has no such metric", value=metric, expected=known)
        return metric

    def _resolved(self, metric: str, fidelity: float | None) -> tuple[str, float | None]:
        """The metric's name and the fidelity of the column that is meant."""
        name, named, _ = metric.partition("@")
        column = self._metrics[self._known(name)]
        if named:
            explicit = {array: known for known, array in column.items()}
            if metric not in explicit or fidelity not in (None, explicit[metric]):
                raise InvalidOption(
                    f"{name!r} has no such column", value=metric, expected="one of " + ", ".join(explicit)
                )
            return name, explicit[metric]
        if None in column:
            return name, None
        known = self.fidelities(name)
        if fidelity is not None and fidelity not in known:
            there = ", ".join(f"{other:g}" for other in known)
            raise InvalidOption(
                f"{name!r} was not measured at this fidelity", value=fidelity, expected=f"one of {there}"
            )
        return name, known[-1] if fidelity is None else fidelity


def _frozen(array: NDArray[Any]) -> NDArray[Any]:
    if array.flags.writeable:
        array = array.copy()
        array.flags.writeable = False
    return array
