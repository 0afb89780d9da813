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
import struct
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical, Decision
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
from nas_spaces.tables.npz import read_arrays, write_arrays

FloatArray: TypeAlias = NDArray[np.float64]

_Locate: TypeAlias = Callable[[Architecture], Hashable]


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
        self._locate, self._index = self._indexed()
        self._metrics, self._masks = metric_names(self._arrays, len(self))
        check_values(self._arrays, self._metrics, self._masks)
        check_objective(self.meta["objective"], self._metrics)

    @classmethod
    def load(cls, path: str | Path) -> Table:
        """Read a file.

        Raises:
            InvalidTable: see the class; also a file that is not there, cannot be read or is damaged.
        """
        arrays = read_arrays(Path(path))
        try:
            return cls(parsed_meta(arrays.pop("meta", None)), arrays)
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
        return tuple(self._index.get(self._locate(architecture), ()))

    def row(self, architecture: Architecture, replicate: int = 0) -> int:
        """The row of one replicate of an architecture.

        Raises:
            InvalidArchitecture: it is not in the table.
            InvalidOption: the table has fewer replicates of it.
        """
        rows = self.rows(architecture)
        if not rows:
            raise InvalidArchitecture(f"not in the table {self.meta['name']!r}", value=tuple(architecture))
        if not 0 <= replicate < len(rows):
            raise InvalidOption(
                f"the table {self.meta['name']!r} has no such replicate of {self.space.text(architecture)}",
                value=replicate,
                expected="0" if len(rows) == 1 else f"0 to {len(rows) - 1}",
            )
        return rows[replicate]

    def lookup(
        self,
        architectures: Sequence[Architecture],
        metric: str,
        fidelity: float | None = None,
        replicate: int | None = None,
    ) -> FloatArray:
        """A metric of n architectures (n).

        Args:
            architectures: members that are in the table.
            metric: see `column`.
            fidelity: see `column`.
            replicate: which one, from 0; None for the mean of those that did not fail.

        Returns:
            The values; NaN where all that were asked for failed.

        Raises:
            InvalidArchitecture: one is not in the table.
            InvalidOption: there is no such metric, fidelity or replicate.
        """
        column = self.column(metric, fidelity)
        if replicate is not None or len(self._index) == len(self):
            return np.array([column[self.row(a, replicate or 0)] for a in architectures], dtype=np.float64)
        result = np.full(len(architectures), np.nan)
        for i, architecture in enumerate(architectures):
            self.row(architecture)
            values = column[list(self.rows(architecture))]
            if not np.isnan(values).all():
                result[i] = np.nanmean(values)
        return result

    def architecture(self, row: int) -> Architecture:
        """The member of a row."""
        given = self._rows[row]
        return member(given, self.space) if "decisions" in self._arrays else self.space.parse(str(given))

    def architectures(self) -> list[Architecture]:
        """The members that are in the table, each once, in the order of their first rows."""
        return [self.architecture(rows[0]) for rows in self._index.values()]

    @property
    def _rows(self) -> NDArray[Any]:
        return self._arrays["decisions" if "decisions" in self._arrays else "architecture"]

    def _indexed(self) -> tuple[_Locate, dict[Hashable, list[int]]]:
        """How a member is found, and the rows of each."""
        given = [name for name in MEMBERS if name in self._arrays]
        if len(given) != 1:
            raise InvalidTable(
                "a table needs to say its architectures", value=given, expected="either of " + " and ".join(MEMBERS)
            )
        keys: Sequence[Hashable]
        if given == ["architecture"]:
            locate: _Locate = _itself
            keys = parsed_members(self._rows, self.space)
        else:
            locate = _packer(self.space)
            keys = [row.tobytes() for row in checked_numbers(self._rows, self.space)]
        index: dict[Hashable, list[int]] = {}
        for row, key in enumerate(keys):
            index.setdefault(key, []).append(row)
        if not index:
            raise InvalidTable("a table without rows")
        return locate, index

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


def _itself(architecture: Architecture) -> Architecture:
    return architecture


def _packer(space: Space) -> _Locate:
    """What turns a member into its choice numbers as they lie in memory."""
    packed = struct.Struct(f"={len(space.decisions)}i")
    numbers = [_numbering(decision) for decision in space.decisions]

    def locate(architecture: Architecture) -> bytes:
        pairs = zip(numbers, architecture.values, strict=True)
        return packed.pack(*[-1 if value is None else number(value) for number, value in pairs])

    return locate


def _numbering(decision: Decision) -> Callable[[Any], int]:
    if isinstance(decision, Categorical):
        return {choice: number for number, choice in enumerate(decision.choices)}.__getitem__
    return range(int(decision.low), int(decision.high) + 1).index
