"""The trials as a table: best first, then those that break a constraint, failed and running ones last."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas_core.errors import StoreError
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.space import Space
from nas_core.trial import Failure, Status, Trial


@dataclass(frozen=True)
class Row:
    """One trial of the table.

    Args:
        rank: place among the completed trials, from 1; None for the others.
        trial: with its full result.
        feasible: whether it keeps the constraints; None where that is not known.
        text: its architecture as text.
    """

    rank: int | None
    trial: Trial
    feasible: bool | None
    text: str


def ranked(trials: Sequence[Trial], objectives: Objectives, space: Space) -> list[Row]:
    """All trials, the best of the highest fidelity first; those that tie, and those without a result, as proposed."""
    completed = [trial for trial in trials if trial.status is Status.COMPLETED]
    values = np.array([[trial.metrics[name] for name in objectives.metrics] for trial in completed])
    values = values.reshape(len(completed), len(objectives.metrics))
    feasible = objectives.feasible(values)
    fullness = np.array([trial.proposal.fullness for trial in completed])
    order = np.lexsort((objectives.fitness(values), -fullness))
    rows = [
        Row(rank, completed[i], bool(feasible[i]), space.text(completed[i].architecture))
        for rank, i in enumerate(order.tolist(), start=1)
    ]
    for status in (Status.FAILED, Status.RUNNING):
        rows += [Row(None, trial, None, space.text(trial.architecture)) for trial in trials if trial.status is status]
    return rows


def best_rows(rows: Sequence[Row], history: History, objectives: Objectives, count: int | None = None) -> list[Row]:
    """The best of the trials that keep the constraints, the best first.

    Args:
        rows: what `ranked` gave.
        history: of the same trials.
        objectives: of the study.
        count: how many architectures at most, each by its best trial; None for the best alone or, where there are
            several objectives, the whole Pareto front in the order of the first one.
    """
    if count is not None:
        first_of = {row.trial.architecture: row for row in reversed(rows) if row.feasible}
        return [row for row in rows if first_of.get(row.trial.architecture) is row][:count]
    best = {trial.number for trial in objectives.best(history)}
    first = objectives.objectives[0]
    sign = -1.0 if first.maximise else 1.0
    return sorted(
        (row for row in rows if row.trial.number in best), key=lambda row: sign * row.trial.metrics[first.metric]
    )


def nearest(rows: Sequence[Row], objectives: Objectives) -> Row | None:
    """The completed trial that comes nearest to keeping the constraints; None without trials or constraints."""
    completed = [row for row in rows if row.trial.status is Status.COMPLETED]
    if not completed or not objectives.constraints:
        return None
    values = np.array([[row.trial.metrics[name] for name in objectives.metrics] for row in completed])
    return completed[int(np.argmin(objectives.violation(values)))]


def metric_names(trials: Sequence[Trial], objectives: Objectives) -> list[str]:
    """All metrics that any trial has, those of the objectives and constraints first."""
    others = sorted({name for trial in trials for name in trial.metrics} - set(objectives.metrics))
    return [*objectives.metrics, *others]


def write_csv(path: Path, rows: Sequence[Row], metrics: Sequence[str]) -> None:
    """Write the table with every metric at full precision.

    Raises:
        StoreError: the file cannot be written.
    """
    head = ["rank", "trial", "status", "feasible", *metrics, "seconds", "fidelity", "architecture", "reason"]
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(head)
            writer.writerows(_cells(row, metrics) for row in rows)
    except OSError as error:
        raise StoreError(f"the table cannot be written ({error.strerror})", place=str(path)) from error


def _cells(row: Row, metrics: Sequence[str]) -> list[object]:
    trial = row.trial
    values = [trial.metrics.get(name, "") for name in metrics]
    feasible = "" if row.feasible is None else "yes" if row.feasible else "no"
    reason = trial.result.reason if isinstance(trial.result, Failure) else ""
    seconds = trial.seconds if trial.result is not None else ""
    fidelity = "" if trial.proposal.fidelity is None else trial.proposal.fidelity
    return [row.rank or "", trial.number, trial.status.value, feasible, *values, seconds, fidelity, row.text, reason]
