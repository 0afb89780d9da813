"""A study that is killed with SIGKILL at random moments and taken up again each time, beside one that runs through.

    python benchmarks/kill_resume.py [--kills 50] [--config FILE.toml] [--longest 0.5] [--seed 0]

Every run is a process of its own, killed after a time drawn uniformly from 0 to `--longest` seconds, wherever it is
then. The time counts from when the process holds the study's lease; of every five, one counts from its first statement,
so that creation and opening are met too. After each kill the directory is read as `nas status` reads it: what has
finished must be the beginning of the other study, and nobody may seem to drive it. When a study reaches its end before
all kills are spent, the next one has another seed. Metrics whose names end in "_seconds" are times and not compared.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import record

from nas_core import registry
from nas_core.random import rng
from nas_core.trial import Failure
from nas_search.config import StudyConfig
from nas_search.store import SqlStore
from nas_search.study import DATABASE, Study

DEFAULT = {
    "space": "nasbench201",
    "optimizer": "evolution",
    "evaluator": {"name": "nas_core.testing.fakes:FakeEvaluator", "fail_on": {"edge1_0": ["none"]}},
    "objectives": ["max:val_accuracy"],
    "trials": 1000,
}


def drive(directory: Path, config: StudyConfig) -> None:
    """Create or take up the study, and run it to its end."""
    for kind, component in (("space", config.space), ("optimizer", config.optimizer), ("evaluator", config.evaluator)):
        registry.load(kind, component["name"])  # what it imports takes longer than the rest
    print("ready", flush=True)
    made = (directory / DATABASE).exists()
    with Study.open(directory) if made else Study.create(directory, config) as study:
        study.run()


def started(directory: Path, config: StudyConfig) -> subprocess.Popen[str]:
    """A process that drives the study and has imported what it needs."""
    command = [sys.executable, __file__, "--drive", str(directory), json.dumps(config.to_config())]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    if process.stdout is None or process.stdout.readline() != "ready\n":
        raise SystemExit("error: the study does not start")
    return process


def await_lease(directory: Path, process: subprocess.Popen[str]) -> None:
    """Wait until the process holds the study's lease, or is gone."""
    while process.poll() is None:
        if (directory / DATABASE).exists():
            with SqlStore.open(directory / DATABASE, read_only=True) as store:
                driver = store.driver()
            if driver is not None and driver.pid == process.pid:
                return
        time.sleep(0.01)


def results(directory: Path) -> tuple[list[Any], dict[str, Any]]:
    """What has finished, in the order in which it did, and the status."""
    if not (directory / DATABASE).exists():
        return [], {"created": False, "finished": 0, "running": 0, "driven": False}
    with Study.open(directory, read_only=True) as study:
        trials, status = study.trials(), study.status()
        rows = []
        for number in (trial.number for trial in study.history().finished):
            trial = trials[number]
            if isinstance(trial.result, Failure):
                what: Any = trial.result.reason
            else:
                what = {name: value for name, value in trial.metrics.items() if not name.endswith("_seconds")}
            rows.append([number, study.space.text(trial.architecture), dict(trial.proposal.info), what])
        told = {"finished": status.finished, "running": status.running, "driven": status.driven}
        return rows, {"created": True, **told}


def killed_study(config: StudyConfig, kills: int, longest: float, seed: int, folder: Path) -> dict[str, Any]:
    """One study that runs through and one that is killed; what each kill met, and whether all was right."""
    whole, killed = folder / f"whole{seed}", folder / f"killed{seed}"
    if started(whole, config).wait() != 0:
        raise SystemExit("error: the study fails")
    expected, _ = results(whole)
    stream, met = rng(seed, "kills"), []
    for _ in range(kills):
        process = started(killed, config)
        if stream.random() > 0.2:
            await_lease(killed, process)
        time.sleep(float(stream.uniform(0.0, longest)))
        process.send_signal(signal.SIGKILL)
        if process.wait() == 0:
            break
        rows, status = results(killed)
        right = rows == expected[: len(rows)] and status["finished"] == len(rows) and not status["driven"]
        met.append({**status, "right": right and status["running"] <= 1})
    if started(killed, config).wait() != 0:
        raise SystemExit("error: the killed study cannot be taken up")
    rows, _ = results(killed)
    return {"seed": config.seed, "trials": len(expected), "kills": met, "identical": rows == expected}


def main() -> None:
    """Run and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--config", type=Path)
    parser.add_argument("--longest", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    config = StudyConfig.from_toml(options.config) if options.config else StudyConfig.from_mapping(DEFAULT)
    studies: list[dict[str, Any]] = []
    spent = 0
    with tempfile.TemporaryDirectory() as folder:
        while spent < options.kills:
            seed = options.seed + len(studies)
            left = options.kills - spent
            study = killed_study(replace(config, seed=seed), left, options.longest, seed, Path(folder))
            studies.append(study)
            spent += len(study["kills"])
            print(f"seed {seed}: {len(study['kills'])} kills, identical: {study['identical']}", file=sys.stderr)
            if not any(study["kills"] for study in studies[-5:]):
                raise SystemExit("error: studies end before they are killed; lower --longest")
    met = [kill for study in studies for kill in study["kills"]]
    figures = {
        "evaluator": config.evaluator["name"],
        "optimizer": config.optimizer["name"],
        "trials_a_study": config.trials,
        "studies": len(studies),
        "kills": len(met),
        "kills_before_creation": sum(not kill["created"] for kill in met),
        "kills_while_a_trial_ran": sum(kill["running"] > 0 for kill in met),
        "kills_after_progress": sum(
            now["finished"] > before["finished"] for study in studies for before, now in pairwise(study["kills"])
        ),
        "status_right": sum(kill["right"] for kill in met),
        "studies_identical": sum(study["identical"] for study in studies),
    }
    name = config.evaluator["name"].rpartition(":")[2].lower()
    record.keep(f"kill_resume_{name}", figures, studies)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--drive"]:
        drive(Path(sys.argv[2]), StudyConfig.from_mapping(json.loads(sys.argv[3])))
    else:
        main()
