"""`nas compare`: run optimizers on tables under one accounting, go on where a killed comparison was, print figures."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from nas_core.errors import InvalidOption
from nas_search.cli.output import print_json, say
from nas_search.cli.signals import stop_on_signals
from nas_search.compare.comparison import open_journal, run_missing, write
from nas_search.compare.figures import checked_budgets, checked_shares
from nas_search.compare.plan import make_plan
from nas_search.executors import cores
from nas_search.provenance import versions

_STOPPED_CODE = 130
_SECONDS_BETWEEN_LINES = 10.0


@dataclass(frozen=True)
class CompareOptions:
    """The options of `nas compare` as they were typed; empty or None where one was not given."""

    tables: Sequence[Path]
    optimizers: Sequence[str]
    budget: int
    seeds: int
    objectives: Sequence[str] = ()
    constraints: Sequence[str] = ()
    at: Sequence[int] = ()
    top: Sequence[float] = ()
    fitted: Sequence[Path] = ()
    workers: int | None = None


def compare(options: CompareOptions, out: Path, json: bool) -> None:
    """Run what is missing in the directory, write its files and print the figures.

    Raises:
        NasError: an option is wrong, the directory cannot be used, or a run cannot be done.
        typer.Exit: with 130 where it was stopped.
    """
    workers = cores() if options.workers is None else options.workers
    if workers < 1:
        raise InvalidOption("there must be at least one worker", value=workers, place="--workers")
    plan, problems = make_plan(
        options.tables,
        options.optimizers,
        options.objectives,
        options.constraints,
        options.budget,
        options.seeds,
        options.fitted,
    )
    at, shares = checked_budgets(options.at, plan.budget), checked_shares(options.top)
    with open_journal(plan, out) as journal:
        _note_versions(journal.versions)
        with stop_on_signals(say) as stop:
            complete = run_missing(plan, journal, workers, _progress(), stop)
        if not complete:
            say(f"stopped after {len(journal.records)} runs; the same command goes on")
            raise typer.Exit(_STOPPED_CODE)
        outcome = write(plan, problems, journal, out, at, shares)
    if outcome.undrawn is not None:
        say(f"note: no picture was drawn: {outcome.undrawn}")
    files = [str(path) for path in outcome.files]
    if json:
        print_json({"directory": str(out), "files": files, "rows": outcome.rows})
    else:
        print((out / "table.md").read_text(encoding="utf-8"))
        print("\n".join(files))


def _note_versions(begun: dict[str, str]) -> None:
    now = versions()
    for name in sorted({**begun, **now}):
        if begun.get(name) != now.get(name):
            then, here = begun.get(name, "(absent)"), now.get(name, "(absent)")
            say(f"note: the comparison was begun with {name} {then} and goes on with {here}")


def _progress() -> Callable[[int, int], None]:
    """What tells the number of runs: now and then, and in a terminal on one line."""
    last = time.monotonic()

    def told(done: int, total: int) -> None:
        nonlocal last
        if sys.stderr.isatty():
            end = "\n" if done == total else ""
            print(f"\r{done} of {total} runs", end=end, file=sys.stderr, flush=True)
        elif time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            say(f"{done} of {total} runs")

    return told
