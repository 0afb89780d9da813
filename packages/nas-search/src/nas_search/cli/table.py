"""`nas table`: describe, check, convert and join table files. Served by the extra `spaces`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import typer

from nas_core.errors import InvalidOption, RegistryError
from nas_core.objective import Objectives
from nas_search.cli.output import columns, print_json
from nas_search.report.numbers import shown

try:
    from nas_spaces.tables import Table
    from nas_spaces.tables.check import problems
    from nas_spaces.tables.convert import convert as converted
    from nas_spaces.tables.join import join as joined
except ImportError as error:
    raise RegistryError(
        f"tables need nas-spaces, which does not import ({error})", remedy="Install the extra `spaces` of nas-search."
    ) from error

_WRONG = 2


def info(file: Path, json: bool) -> None:
    """Print what a table holds.

    Raises:
        InvalidTable: the file is not there, damaged or no table.
    """
    table = Table.load(file)
    found = described(table, file)
    if json:
        print_json(found)
        return
    replicates = "" if found["rows"] == found["architectures"] else f" of {found['architectures']} architectures"
    print(f"{found['name']}: {found['rows']} rows{replicates} of {table.space.name}")
    print(f"source: {found['source']}\nlicence: {found['licence']}\nobjective: {', '.join(found['objectives'])}")
    head = ("column", "unit", "least", "greatest", "mean", "failed")
    body = [
        (c["name"], c["unit"], *("" if c[k] is None else shown(c[k]) for k in ("least", "greatest", "mean")),
         str(c["failed"]))
        for c in found["columns"]
    ]  # fmt: skip
    print(columns([head, *body], right=[False, False, True, True, True, True]))
    if found["best"] is not None:
        print(f"best: row {found['best']['row']}\n      {found['best']['architecture']}")


def described(table: Table, file: Path) -> dict[str, Any]:
    """What a table holds, as plain data; numbers of rows that did not fail."""
    return {
        "file": str(file),
        "name": table.meta["name"],
        "space": table.space.to_config(),
        "source": table.meta["source"],
        "licence": table.meta["licence"],
        "objectives": table.objectives,
        "rows": len(table),
        "architectures": table.members,
        "columns": [_column(table, name) for name in table.columns],
        "best": _best(table),
    }


def check(file: Path, json: bool) -> None:
    """Check all of a table, and print what is wrong with it.

    Raises:
        typer.Exit: with 2 where anything is.
    """
    found = problems(file)
    if json:
        print_json({"file": str(file), "sound": not found, "problems": found})
    elif not found:
        print(f"{file}: sound")
    else:
        for problem in found:
            print(f"error: {problem}", file=sys.stderr)
    if found:
        raise typer.Exit(_WRONG)


def convert(kind: str, source: Path, out: Path, json: bool) -> None:
    """Make a table of published results.

    Raises:
        InvalidOption: no reader has this name.
        InvalidTable: the source will not do, or the table cannot be written.
    """
    _keep(converted(kind, source), out, json)


def join(first: Path, second: Path, out: Path, rename: Sequence[str], json: bool) -> None:
    """Write the first table with the metrics of the second added.

    Raises:
        InvalidOption: `rename` is not of the form METRIC=NAME, or a metric is in both.
        InvalidTable: the tables do not fit together, or the new one cannot be written.
    """
    names = {}
    for text in rename:
        metric, equals, name = text.partition("=")
        if not (metric and equals and name):
            raise InvalidOption("not a new name", value=text, place="--rename", expected="METRIC=NAME")
        names[metric] = name
    _keep(joined(Table.load(first), Table.load(second), names), out, json)


def _keep(table: Table, out: Path, json: bool) -> None:
    table.save(out)
    if json:
        print_json(described(table, out))
    else:
        print(f"{out}: {len(table)} rows of {table.space.name}, metrics {', '.join(table.metrics)}")


def _column(table: Table, name: str) -> dict[str, Any]:
    values = table.column(name)
    measured = values[np.isfinite(values)]
    numbers = (measured.min(), measured.max(), measured.mean()) if len(measured) else (None, None, None)
    return {
        "name": name,
        "unit": table.meta["units"].get(name.partition("@")[0], ""),
        **{key: None if x is None else float(x) for key, x in zip(("least", "greatest", "mean"), numbers, strict=True)},
        "failed": len(values) - len(measured),
    }


def _best(table: Table) -> dict[str, Any] | None:
    """The best row by a single objective; None where there are several, or where all have failed."""
    parsed = Objectives.parse(table.objectives)
    if len(parsed.metrics) > 1:
        return None
    losses = parsed.losses(table.column(parsed.metrics[0])[:, None])[:, 0]
    if np.isnan(losses).all():
        return None
    row = int(np.nanargmin(losses))
    return {"row": row, "architecture": table.space.text(table.architecture(row))}
