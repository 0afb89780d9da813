"""Runs of a benchmark in portions: those that the journal lacks are made, on several processes, while there is time.

A benchmark says which runs it is made of. The same command again makes what is left, in this session or another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from deadline import Deadline
from journal import Journal


class Run(NamedTuple):
    """One run: everything that its result depends on, and a function that a process can be sent."""

    key: Mapping[str, Any]
    make: Callable[[], dict[str, Any]]


class _Missing(Exception):
    """A run that the journal does not have."""


def make_missing(place: Path, runs: Sequence[Run], processes: int = 1, minutes: float | None = None) -> None:
    """Make the runs that a journal lacks, in their order.

    Args:
        place: of the journal.
        runs: those that are wanted.
        processes: how many make them; each has one thread.
        minutes: nothing is begun when these are over; None for no limit.
    """
    known = known_of(place, [run.key for run in runs])
    missing = [run for run, found in zip(runs, known, strict=True) if found is None]
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(partial(_make, place, Deadline(minutes)), missing))


def known_of(place: Path, keys: Sequence[Mapping[str, Any]]) -> list[dict[str, Any] | None]:
    """The run of each key; None for those that the journal lacks."""
    journal = Journal(place)
    return [_known(journal, key) for key in keys]


def _make(place: Path, deadline: Deadline, run: Run) -> None:
    import torch

    torch.set_num_threads(1)
    if not deadline.over():
        made = Journal(place).run(run.key, run.make)
        print({name: value for name, value in run.key.items() if not isinstance(value, Mapping)}, made, flush=True)


def _known(journal: Journal, key: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        return journal.run(key, _nothing)
    except _Missing:
        return None


def _nothing() -> dict[str, Any]:
    raise _Missing
