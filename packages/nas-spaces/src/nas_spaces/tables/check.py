"""Finding everything that is wrong with a table file, where reading one stops at the first fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from nas_core.errors import InvalidArchitecture, InvalidTable
from nas_core.space import Space
from nas_spaces.tables.format import (
    check_objective,
    check_values,
    checked_meta,
    checked_numbers,
    member,
    metric_names,
    parsed_meta,
    space_of,
)
from nas_spaces.tables.npz import Arrays, read_arrays
from nas_spaces.tables.shipped import located
from nas_spaces.tables.table import Table


def problems(path: Path, most: int = 10) -> list[str]:
    """What is wrong with a table file: the first faults of each of its parts; [] where nothing is.

    Beyond what reading a table checks, the text of each architecture is parsed back to itself.

    Args:
        path: the file, or the name of a shipped table.
        most: how many faults are told.
    """
    return list(islice(_problems(located(path)), most))


def _problems(path: Path) -> Iterator[str]:
    try:
        arrays = read_arrays(path)
        meta = checked_meta(parsed_meta(arrays))
        del arrays["meta"]
        space = space_of(meta["space"])
    except InvalidTable as error:
        yield str(error)
        return
    found = False
    for problem in _parts(arrays, meta, space):
        found = True
        yield problem
    if not found:  # whatever the parts do not show
        yield from _failure(partial(Table.load, path))


def _parts(arrays: Arrays, meta: dict[str, Any], space: Space) -> Iterator[str]:
    yield from _members(arrays, space)
    given = arrays.get("decisions", arrays.get("architecture"))
    try:
        metrics, masks = metric_names(arrays, 0 if given is None or given.ndim == 0 else len(given))
    except InvalidTable as error:
        yield str(error)
        return
    for column in metrics.values():
        for fidelity, name in column.items():
            yield from _failure(partial(check_values, arrays, {name: {fidelity: name}}, masks))
    yield from _failure(lambda: check_objective(meta["objective"], metrics))


def _members(arrays: Arrays, space: Space) -> Iterator[str]:
    """What is wrong with architectures, row by row."""
    rows: Iterator[Any] = iter(())
    if "architecture" in arrays and arrays["architecture"].dtype.kind == "U" and arrays["architecture"].ndim == 1:
        rows = iter(arrays["architecture"].tolist())
    elif "decisions" in arrays:
        try:
            rows = (space.text(member(row, space)) for row in checked_numbers(arrays["decisions"], space))
        except InvalidTable as error:
            yield str(error)
    for row, text in enumerate(rows):
        try:
            again = space.text(space.parse(text))
        except InvalidArchitecture as error:
            yield f"the architecture of row {row} (counted from 0) is no member: {error}"
            continue
        if "decisions" in arrays and again != text:
            yield f"the architecture of row {row} (counted from 0) is not what its text says: {text!r}"


def _failure(work: Callable[[], object]) -> Iterator[str]:
    try:
        work()
    except InvalidTable as error:
        yield str(error)
