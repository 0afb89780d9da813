"""`nas status` and `nas best`: what a run directory holds, read without disturbing whoever drives the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nas_core.errors import NasError
from nas_search.cli.output import columns, print_json
from nas_search.report.numbers import device_time, duration, shown, shown_metrics
from nas_search.report.table import Row, best_rows, nearest, ranked
from nas_search.study import Study
from nas_search.summary import summarise


def status(directory: Path, json: bool) -> None:
    """Print how far a study is."""
    with Study.open(directory, read_only=True) as study:
        found = study.status()
        done = found.finished >= found.wanted and not found.running
        name = "running" if found.driven else "finished" if done else "stopped"
        # `nas resume --trials` may have asked for more than the configuration does
        print_state(state(study, name, max(found.wanted, found.finished)), json)


def best(directory: Path, number: int | None, json: bool) -> None:
    """Print the best trials of a study.

    Raises:
        NasError: no trial keeps the constraints yet.
    """
    with Study.open(directory, read_only=True) as study:
        rows = best_trials(study, number)
        if json:
            print_json({"directory": str(directory), "best": [plain(row) for row in rows]})
        else:
            print(table(rows, study.objectives.metrics))


def best_trials(study: Study, number: int | None = None) -> list[Row]:
    """The best trials of a study, the best first; see `best_rows`.

    Raises:
        NasError: there are none.
    """
    history = study.history()
    rows = best_rows(ranked(study.trials(), study.objectives, study.space), history, study.objectives, number)
    if not rows:
        kept = "keeps the constraints" if study.objectives.constraints else "has been completed"
        raise NasError(f"no trial {kept} yet", value=f"{history.seq} trials finished")
    return rows


def state(study: Study, name: str, wanted: int) -> dict[str, Any]:
    """How far a study is and what it has found, as plain data.

    Args:
        study: open.
        name: "finished", "running", "stopped", …
        wanted: trials that are to be finished.
    """
    trials, history = study.trials(), study.history()
    found = summarise("", trials, history, study.objectives, study.space, 0.0)
    every = ranked(trials, study.objectives, study.space)
    rows = best_rows(every, history, study.objectives)
    near = None if rows else nearest(every, study.objectives)
    return {
        "directory": str(study.directory),
        "state": name,
        "trials": {
            "wanted": wanted,
            "completed": found.completed,
            "failed": found.failed,
            "running": len(trials) - found.finished,
        },
        "failures": dict(found.failures),
        "architectures": found.architectures,
        "repeats": found.repeats,
        "twins": found.twins,
        "device_seconds": found.device_seconds,
        "simulated_seconds": found.simulated_seconds,
        **study.objectives.to_config(),
        "best": [plain(row) for row in rows],
        "nearest": None if near is None else plain(near),
    }


def plain(row: Row) -> dict[str, Any]:
    """A trial as plain data."""
    return {
        "trial": row.trial.number,
        "architecture": row.text,
        "metrics": dict(row.trial.metrics),
        "seconds": row.trial.seconds,
    }


def table(rows: Sequence[Row], metrics: Sequence[str]) -> str:
    """Trials in aligned columns."""
    head = ("trial", *metrics, "architecture")
    body = [(str(row.trial.number), *(shown(row.trial.metrics[name]) for name in metrics), row.text) for row in rows]
    return columns([head, *body], right=[True] * (len(metrics) + 1))


def print_state(found: Mapping[str, Any], json: bool) -> None:
    """Print what `state` gave."""
    if json:
        print_json(found)
        return
    trials = found["trials"]
    finished = trials["completed"] + trials["failed"]
    running = f", {trials['running']} running" if trials["running"] else ""
    print(f"{found['directory']}: {found['state']}, {finished} of {trials['wanted']} trials{running}")
    twins = f", {found['twins']} of them twins of others" if found["twins"] else ""
    print(f"cost: {device_time(found['device_seconds'])} for {found['architectures']} different architectures{twins}")
    if found["simulated_seconds"] is not None:
        print(f"simulated time: {duration(found['simulated_seconds'])}")
    for reason, count in found["failures"].items():
        print(f"failed ({reason}): {count}")
    names = [text.partition(":")[2] for text in found["objectives"]]
    for one in found["best"]:
        print(f"best: trial {one['trial']}, {shown_metrics(one['metrics'], names)}\n      {one['architecture']}")
    if not found["best"]:
        print("best: none yet that keeps the constraints" if found["constraints"] else "best: none yet")
    if (near := found["nearest"]) is not None:
        print(f"nearest: trial {near['trial']}, {shown_metrics(near['metrics'], list(near['metrics']))}")
        print(f"      {near['architecture']}")
