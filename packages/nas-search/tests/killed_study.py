"""A study that is killed again and again, beside one that runs through; prints what each of them came to as JSON.

    python killed_study.py DIRECTORY CONFIG KILLS SEED

Every run of the study is a fork of this process that kills itself with SIGKILL at a random call that our code or the
database's makes, counted from its start: creating, opening, proposing, writing, evaluating, all are met.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nas_core.random import rng
from nas_core.trial import Failure
from nas_search.config import StudyConfig
from nas_search.study import DATABASE, Study

OURS = ("nas_", "sqlalchemy", "sqlite3")


def exists(directory: Path) -> bool:
    """Whether the study has been created, rather than killed before it was."""
    return (directory / DATABASE).exists()


def create(directory: Path, config: StudyConfig) -> None:
    """Create the study."""
    Study.create(directory, config).close()


def run(directory: Path, config: StudyConfig) -> None:
    """Run the study, wherever it stands, to its end."""
    with Study.open(directory) if exists(directory) else Study.create(directory, config) as study:
        study.run()


def forked(what: Callable[[], None], calls: int = 0) -> int | None:
    """Do something in a fork that is killed at a call of this number; how many it made, None where it was killed."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        made = 0

        def count(frame: Any, event: str, argument: Any) -> None:
            nonlocal made
            made += frame.f_globals.get("__name__", "").startswith(OURS)
            if 0 < calls <= made:
                os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count)
        what()
        sys.setprofile(None)
        os.write(theirs, str(made).encode())
        os._exit(0)
    os.close(theirs)
    _, status = os.waitpid(child, 0)
    with os.fdopen(ours) as told:
        text = told.read()
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return None
    if status != 0:
        sys.exit(f"the study ended with {status}")
    return int(text)


def seen(directory: Path) -> dict[str, Any]:
    """What a reader finds: every trial that has a result, in order of finishing, and what the status says."""
    if not exists(directory):
        return {"results": [], "running": 0, "finished": 0, "driven": False, "attempts": []}
    with Study.open(directory, read_only=True) as study:
        trials, status, history = study.trials(), study.status(), study.history()
        rows = []
        for number in (trial.number for trial in history.finished):
            trial = trials[number]
            what = trial.result.reason if isinstance(trial.result, Failure) else dict(trial.metrics)
            rows.append([number, study.space.text(trial.architecture), dict(trial.proposal.info), what])
        return {
            "results": rows,
            "running": status.running,
            "finished": status.finished,
            "driven": status.driven,
            "attempts": [trial.attempt for trial in trials],
        }


def main(directory: Path, config: StudyConfig, kills: int, seed: int) -> dict[str, Any]:
    """Both studies. Moments are uniform over creation, opening and the first eighth of what there is to do."""
    run(directory / "whole", config)  # in this process, so that forks find every module imported
    creation = forked(lambda: create(directory / "counted", config)) or 0
    whole = forked(lambda: run(directory / "counted", config)) or 0
    idle = forked(lambda: run(directory / "counted", config)) or 0
    killed, stream, after = directory / "killed", rng(seed, "kills"), []
    ended: int | None = None
    while ended is None and len(after) < kills:
        most = (0 if exists(killed) else creation) + idle + (whole - idle) // 8
        ended = forked(lambda: run(killed, config), int(stream.integers(1, most)))
        after.append(seen(killed))
    if ended is None:
        forked(lambda: run(killed, config))
    return {"whole": seen(directory / "whole"), "killed": seen(killed), "after": after}


if __name__ == "__main__":
    whole_config = StudyConfig.from_mapping(json.loads(sys.argv[2]))
    print(json.dumps(main(Path(sys.argv[1]), whole_config, int(sys.argv[3]), int(sys.argv[4]))))
