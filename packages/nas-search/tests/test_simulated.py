"""The simulated executor: outcomes come back as workers would finish, and a study knows how long that would take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas_core.errors import InvalidOption
from nas_core.executor import Job, Task
from nas_core.testing import ExecutorContract
from nas_core.trial import Failure, Measurement
from nas_search.cli.boundary import run
from nas_search.config import StudyConfig
from nas_search.events import Event, TrialFinished
from nas_search.executors import make_executor
from nas_search.executors.simulated import FINISHED_AT, SimulatedExecutor
from nas_search.study import Study

FAKES = "nas_core.testing.fakes:"
VALUES = ("conv3", "skip", 1, "tanh")


class TestOne(ExecutorContract):
    @pytest.fixture
    def executor(self) -> SimulatedExecutor:
        return SimulatedExecutor(1)


class TestThree(ExecutorContract):
    @pytest.fixture
    def executor(self) -> SimulatedExecutor:
        return SimulatedExecutor(3)


def started(workers: int, **options: Any) -> SimulatedExecutor:
    executor = SimulatedExecutor(workers)
    executor.start(Job({"name": f"{FAKES}ToySpace"}, {"name": f"{FAKES}FakeEvaluator", **options}, seed=0))
    return executor


def task(number: int, seconds: float) -> Task:
    """The fake costs as many seconds as the fidelity."""
    return Task(number, 1, VALUES, fidelity=seconds)


def test_two_workers_finish_in_the_right_order() -> None:
    """By hand: 0 runs from 0 to 5; 1 from 0 to 1, then 2 to 4, then 3 to 5, which was submitted after 0."""
    executor = started(2)
    executor.submit(task(0, 5.0))
    executor.submit(task(1, 1.0))
    seen = []
    for number, seconds in ((2, 3.0), (3, 1.0), (None, 0.0), (None, 0.0)):
        (outcome,) = executor.wait()
        seen.append((outcome.number, executor.clock))
        if number is not None:
            executor.submit(task(number, seconds))
    assert seen == [(1, 1.0), (2, 4.0), (0, 5.0), (3, 5.0)]
    assert executor.wait() == []


@given(st.integers(1, 5), st.lists(st.sampled_from([1.0, 2.0, 2.5, 7.0, 30.0]), min_size=1, max_size=12))
def test_it_is_the_schedule_of_so_many_workers(workers: int, seconds: list[float]) -> None:
    """Against a list of workers, each of whom takes the next task when free."""
    free = [0.0] * workers
    ends = []
    for one in seconds:
        earliest = free.index(min(free))
        free[earliest] += one
        ends.append(free[earliest])
    executor, waiting, seen = started(workers), list(enumerate(seconds)), []
    for _ in seconds:
        while waiting and len(executor._running) < workers:
            executor.submit(task(*waiting.pop(0)))
        seen += [(executor.clock, outcome.number) for outcome in executor.wait()]
    assert seen == sorted((end, number) for number, end in enumerate(ends))


def test_a_failure_takes_no_time() -> None:
    executor = started(2, fail_on={"depth": [1]})
    executor.submit(Task(0, 1, ("conv3", "skip", 0, None), fidelity=4.0))
    executor.submit(Task(1, 1, VALUES, fidelity=9.0))
    (first,) = executor.wait()
    assert (first.number, executor.clock) == (1, 0.0)
    assert isinstance(first.result, Failure)
    assert first.result.seconds == 0.0
    (second,) = executor.wait()
    assert (second.number, executor.clock) == (0, 4.0)


def test_names_and_misuse() -> None:
    assert [make_executor(name).slots for name in ("simulated", "simulated:1", "simulated:64")] == [1, 1, 64]
    with pytest.raises(InvalidOption, match="no executor has this name: 'simulated:0'"):
        make_executor("simulated:0")
    with pytest.raises(InvalidOption, match="at least one worker"):
        SimulatedExecutor(0)
    executor = started(1)
    executor.submit(task(0, 1.0))
    with pytest.raises(InvalidOption, match="no worker is free"):
        executor.submit(task(1, 1.0))
    executor.stop()
    with pytest.raises(InvalidOption, match="no worker is free"):
        executor.submit(task(1, 1.0))


def config(trials: int, workers: int) -> StudyConfig:
    return StudyConfig.from_mapping(
        {
            "space": {"name": f"{FAKES}ToySpace"},
            "optimizer": {"name": "random"},
            "evaluator": {"name": f"{FAKES}FakeEvaluator"},
            "objectives": ["max:val_accuracy"],
            "trials": trials,
            "executor": f"simulated:{workers}",
        }
    )


def test_a_study_knows_its_simulated_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The fake costs a second: 8 trials take 3 workers 3 rounds; 4 and 4 more take 2 rounds each."""
    with Study.create(tmp_path / "a", config(8, 3)) as study:
        summary = study.run()
        ends = [trial.result.details[FINISHED_AT] for trial in study.trials() if isinstance(trial.result, Measurement)]
    assert ends == [1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 3.0]
    assert (summary.device_seconds, summary.simulated_seconds) == (8.0, 3.0)
    with Study.create(tmp_path / "b", config(8, 3)) as study:
        assert study.run(trials=4).simulated_seconds == 2.0
    with Study.open(tmp_path / "b") as study:
        assert study.run().simulated_seconds == 4.0
    assert run(["status", str(tmp_path / "a"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["simulated_seconds"] == 3.0
    assert run(["status", str(tmp_path / "a")]) == 0
    assert "simulated time: 3.0 s" in capsys.readouterr().out


def test_a_simulated_study_that_is_cut_off_goes_on_to_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker: what was gathered and not written when it was cut off is looked up again, trial by trial the same."""
    with Study.create(tmp_path / "whole", config(12, 1)) as study:
        study.run()
        whole = [(trial.architecture, trial.result) for trial in study.trials()]
    monkeypatch.setattr("nas_search.loop._GATHERED_SECONDS", 1e9)
    with Study.create(tmp_path / "cut", config(12, 1)) as study:
        study.run(trials=4)

    def cut(event: Event) -> None:
        if isinstance(event, TrialFinished) and event.trial.number == 8:
            study.store._drop_connection()  # as the end of the process would: nothing gathered reaches the disk
            raise KeyboardInterrupt

    with Study.open(tmp_path / "cut") as study:
        study.run(on_event=cut)
        assert len(study.trials()) == 4
    with Study.open(tmp_path / "cut") as study:
        study.run()
        assert [(trial.architecture, trial.result) for trial in study.trials()] == whole
