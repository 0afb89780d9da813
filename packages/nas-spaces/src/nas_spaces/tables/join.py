"""Adding the metrics of one table to another, by architecture: latencies to accuracies, for instance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas_core.errors import InvalidOption, InvalidTable
from nas_spaces.tables.format import FAILED
from nas_spaces.tables.npz import Arrays
from nas_spaces.tables.table import Table


def join(first: Table, second: Table, rename: Mapping[str, str] | None = None) -> Table:
    """The rows of `first` with the metrics of both.

    Where `second` has one row for each architecture, all replicates in `first` get its values; otherwise both must have
    the same number of replicates, which are put together in their order. Objective and name are those of `first`.

    Args:
        first: whose rows are kept.
        second: has all architectures of `first`; more do no harm.
        rename: other names for metrics of `second`, such as {"latency_pixel3": "latency_pixel3_hw"}.

    Raises:
        InvalidOption: both have a metric of one name, or `rename` names none of `second`'s.
        InvalidTable: they are of different spaces, an architecture is missing in `second`, the replicates do not fit,
            or a row has failed in `second` only, where `first` has results that the mark would hide.
    """
    names = _names(first, second, rename or {})
    if first.space.to_config() != second.space.to_config():
        raise InvalidTable("the tables are of different spaces", value=second.space.to_config())
    rows = _rows(first, second)
    arrays: Arrays = dict(first.arrays)
    for column in second.columns:
        metric, at, fidelity = column.partition("@")
        arrays[f"{names[metric]}{at}{fidelity}"] = second.arrays[column][rows]
    for name in second.arrays:
        if name.partition("@")[0] == FAILED:
            _check_failures(name, second.arrays[name][rows], first)
            arrays.setdefault(name, second.arrays[name][rows])
    units = {names[metric]: unit for metric, unit in second.meta["units"].items() if metric in names}
    meta: dict[str, Any] = dict(first.meta)
    meta["units"] = {**meta["units"], **units}
    for key in ("source", "licence"):
        if second.meta[key] != meta[key]:
            meta[key] = f"{meta[key]}; {', '.join(names.values())}: {second.meta[key]}"
    return Table(meta, arrays)


def _names(first: Table, second: Table, rename: Mapping[str, str]) -> dict[str, str]:
    """What each metric of the second table is called."""
    for metric in rename:
        if metric not in second.metrics:
            raise InvalidOption(
                "no such metric to rename", value=metric, expected="one of " + ", ".join(second.metrics)
            )
    names = {metric: rename.get(metric, metric) for metric in second.metrics}
    clashes = [name for name in names.values() if name in first.metrics]
    if clashes:
        raise InvalidOption("both tables have this metric", value=clashes[0], remedy="Rename it.")
    if len(set(names.values())) < len(names):
        raise InvalidOption("two metrics get one name", value=sorted(names.values()))
    return names


def _rows(first: Table, second: Table) -> NDArray[np.int64]:
    """The row of the second table for each of the first (n)."""
    rows = np.empty(len(first), dtype=np.int64)
    single = second.members == len(second)
    for a in first.architectures():
        here, there = first.rows(a), second.rows(a)
        if not there:
            raise InvalidTable("an architecture is missing in the second table", value=first.space.text(a))
        if not single and len(here) != len(there):
            raise InvalidTable(
                f"the second table has {len(there)} replicates of an architecture",
                value=first.space.text(a),
                expected=str(len(here)),
            )
        rows[list(here)] = there[0] if single else there
    return rows


def _check_failures(name: str, failed: NDArray[Any], first: Table) -> None:
    alone = failed & ~first.arrays[name] if name in first.arrays else failed
    if alone.any():
        row = int(alone.argmax())
        raise InvalidTable(
            f"{name!r} of the second table would hide results of the first",
            value=first.space.text(first.architecture(row)),
            remedy="Leave out what failed.",
        )
