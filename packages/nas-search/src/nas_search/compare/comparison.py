"""A comparison from its plan to its files: what is missing is run, then curves, table and picture are written."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from nas_core.errors import RegistryError, StoreError
from nas_search.compare.figures import Curves, curves, figures
from nas_search.compare.fitted import SearchProblem
from nas_search.compare.journal import Journal
from nas_search.compare.markdown import markdown
from nas_search.compare.picture import Panel, draw
from nas_search.compare.plan import Plan
from nas_search.compare.run import Record
from nas_search.compare.workers import job, runs
from nas_search.provenance import machine, versions
from nas_search.report.pictures import save


@final
@dataclass(frozen=True)
class Outcome:
    """What a comparison has come to.

    Args:
        rows: the figures of each table and optimizer, plain data.
        files: what was written.
        undrawn: why there is no picture; None where there is one.
    """

    rows: list[dict[str, Any]]
    files: list[Path]
    undrawn: str | None


def run_missing(
    plan: Plan, journal: Journal, workers: int, on_run: Callable[[int, int], None], stop: Callable[[], bool]
) -> bool:
    """Do the runs that the journal does not have; says whether all are there now.

    Seeds advance together, so that a comparison that is stopped has about as many of each optimizer.

    Args:
        plan: what is compared.
        journal: keeps each run when it has ended.
        workers: number of processes.
        on_run: told after each run how many there are of how many.
        stop: once it says so no run is begun.

    Raises:
        NasError: a run cannot be done or kept.
    """
    wanted = plan.wanted
    done = {(record["table"], record["optimizer"], record["seed"]) for record in journal.records}
    jobs = [
        job(table, optimizer, seed, plan.budget, wanted)
        for seed in range(plan.seeds)
        for table in plan.tables
        for optimizer in plan.optimizers
        if (table.name, optimizer, seed) not in done
    ]
    total = len(done) + len(jobs)
    for record in runs(jobs, workers, stop):
        journal.add(record)
        on_run(len(journal.records), total)
    return len(journal.records) == total


def write(
    plan: Plan,
    problems: Sequence[SearchProblem],
    journal: Journal,
    directory: Path,
    at: Sequence[int],
    shares: Sequence[float],
) -> Outcome:
    """Figures of a complete comparison, and its files in the directory: curves.json, table.md, curves.png, curves.svg.

    Raises:
        StoreError: a file cannot be written.
    """
    rows: list[dict[str, Any]] = []
    panels: list[Panel] = []
    facts: dict[str, Any] = {}
    for table, problem in zip(plan.tables, problems, strict=True):
        facts[table.name] = {"file": Path(table.file).name, "sha256": table.sha256, **problem.facts()}
        drawn: dict[str, Curves] = {}
        for optimizer in plan.optimizers:
            records = _of(journal.records, table.name, optimizer)
            drawn[optimizer] = curves(records, problem, plan.budget)
            found = figures(records, problem, drawn[optimizer], at, shares)
            rows.append({"table": table.name, "optimizer": optimizer, **found})
        panels.append(_panel(table.name, plan, facts[table.name], drawn))
    raw = {
        "comparison": plan.identity(),
        "tables": facts,
        "versions": journal.versions,
        "machine": machine(),
        "rows": rows,
        "runs": [r for t in plan.tables for o in plan.optimizers for r in _of(journal.records, t.name, o)],
    }
    files = [directory / "curves.json", directory / "table.md"]
    _write(files[0], json.dumps(raw, allow_nan=False) + "\n")
    _write(files[1], markdown(plan, facts, rows))
    pictures = [directory / "curves.png", directory / "curves.svg"]
    try:
        figure = draw(panels)
    except RegistryError as error:
        return Outcome(rows, files, str(error))
    for path in pictures:
        save(figure, path)
    return Outcome(rows, [*files, *pictures], None)


def open_journal(plan: Plan, directory: Path) -> Journal:
    """The journal of a comparison in its directory, begun or gone on with; raises StoreError."""
    return Journal(directory, plan.identity(), versions())


def _of(records: Sequence[Record], table: str, optimizer: str) -> list[Record]:
    """The runs of one optimizer on one table, by seed."""
    return sorted(
        [record for record in records if (record["table"], record["optimizer"]) == (table, optimizer)],
        key=lambda record: int(record["seed"]),
    )


def _panel(title: str, plan: Plan, facts: dict[str, Any], drawn: dict[str, Curves]) -> Panel:
    direction, _, metric = plan.objectives[0].partition(":")
    better = "more" if direction == "max" else "less"
    label = f"best {metric} so far ({better} is better)"
    if facts["hypervolume"] is not None:
        label = "hypervolume so far (% of the table's)"
    return Panel(title, drawn, facts["best"], facts["hypervolume"], label)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"the file cannot be written ({error.strerror})", place=str(path)) from None
