"""Studies: what is checked before anything is written, the loop and its stop rules, and what is told of it."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nas_core.errors import (
    InvalidData,
    InvalidObjective,
    InvalidOption,
    MissingCapability,
    NasError,
    RegistryError,
    StoreError,
)
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.optimizer import State
from nas_core.random import rng
from nas_core.testing import FakeEvaluator, ToySpace, in_fresh_process
from nas_core.trial import Failure, Measurement, Proposal, Status, Trial
from nas_search.config import StudyConfig
from nas_search.events import Event, StudyStopped, TrialFinished, TrialStarted
from nas_search.study import Study
from nas_search.summary import BestSoFar, Summary

FAKES = "nas_core.testing.fakes"


def config(evaluator: Mapping[str, Any] | None = None, **changes: Any) -> StudyConfig:
    return StudyConfig.from_mapping(
        {
            "space": f"{FAKES}:ToySpace",
            "optimizer": "random",
            "evaluator": {"name": f"{FAKES}:FakeEvaluator", **(evaluator or {})},
            "objectives": ["max:val_accuracy"],
            "trials": 8,
            **changes,
        }
    )


def finished(directory: Path, **changes: Any) -> Summary:
    with Study.create(directory, config(**changes)) as study:
        return study.run()


def results(directory: Path) -> list[Any]:
    """Everything that is to be the same again, as JSON."""
    with Study.open(directory, read_only=True) as study:
        return [
            [t.number, study.space.text(t.architecture), dict(t.proposal.info), dict(t.metrics)]
            for t in study.history().finished
        ]


def results_of_a_study(directory: str, changes: dict[str, Any]) -> list[Any]:
    finished(Path(directory), **changes)
    return results(Path(directory))


class TestCreate:
    def test_what_runs_is_kept(self, tmp_path: Path) -> None:
        with Study.create(tmp_path / "a" / "b", config(optimizer="evolution:population=6", seed=4)) as study:
            assert study.config.optimizer == {
                "name": "evolution",
                "population": 6,
                "tournament": 5,
                "allow_twins": False,
            }
            assert study.config.space == {"name": f"{FAKES}:ToySpace", "operations": 4, "deepest": 2}
            assert study.changed_versions() == {}
        kept = json.loads((tmp_path / "a" / "b" / "config.json").read_text())
        assert kept["config"] == study.config.to_config()
        assert {"python", "nas-core", "nas-search", "numpy"} <= kept["versions"].keys()
        assert kept["machine"]["cores"] >= 1
        with Study.open(tmp_path / "a" / "b") as again:
            assert again.config == study.config

    @pytest.mark.parametrize(
        ("changes", "error", "message"),
        [
            ({"space": "no_such"}, RegistryError, "no space has this name: 'no_such'"),
            ({"space": f"{FAKES}:NoSpace"}, RegistryError, "the space cannot be imported"),
            ({"space": "no.such:Space"}, RegistryError, "the space cannot be imported"),
            ({"space": f"{FAKES}:ToySpace:deep=1"}, InvalidOption, "no such option"),
            ({"optimizer": "randm"}, RegistryError, "Did you mean 'random'"),
            ({"optimizer": "evolution:population=0"}, InvalidOption, "population must be"),
            ({"executor": "threads"}, InvalidOption, "expected serial, processes, processes:NUMBER, simulated"),
            ({"executor": "processes:0"}, InvalidOption, "expected serial, processes, processes:NUMBER, simulated"),
            ({"objectives": ["max:val_loss"]}, InvalidObjective, "not measure this: 'val_loss'; expected one of val_"),
            ({"constraints": ["latency<=1"]}, InvalidObjective, "does not measure this: 'latency'"),
            ({"evaluator": {"broken": True}}, InvalidData, "broken"),
            ({"evaluator": {"colour": 1}}, InvalidOption, "no such option: 'colour'"),
            (
                {"space": f"{FAKES}:ContinuousToySpace", "optimizer": f"{FAKES}:FakeOptimizer"},
                MissingCapability,
                "needs enumerate",
            ),
        ],
    )  # fmt: skip
    def test_mistakes_are_told_before_anything_is_written(
        self, tmp_path: Path, changes: dict[str, Any], error: type[NasError], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            Study.create(tmp_path / "run", config(**changes))
        assert list(tmp_path.iterdir()) == []

    def test_a_directory_that_is_used(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").touch()
        with pytest.raises(StoreError, match="the directory is not empty"):
            Study.create(tmp_path, config())
        with pytest.raises(StoreError, match="this is no directory"):
            Study.create(tmp_path / "notes.txt", config())
        finished(tmp_path / "run")
        before = results(tmp_path / "run")
        with pytest.raises(StoreError, match=r"holds a study already.*nas resume"):
            Study.create(tmp_path / "run", config())
        assert results(tmp_path / "run") == before

    def test_what_a_killed_creation_left_is_taken_over(self, tmp_path: Path) -> None:
        (tmp_path / "artefacts").mkdir()
        (tmp_path / ".study.db.new").write_bytes(b"half")
        assert finished(tmp_path).finished == 8
        assert not (tmp_path / ".study.db.new").exists()

    @pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
    def test_a_directory_that_cannot_be_written(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        try:
            for directory in (tmp_path, tmp_path / "run"):
                with pytest.raises(StoreError, match="the directory cannot be written"):
                    Study.create(directory, config())
        finally:
            tmp_path.chmod(0o700)

    def test_a_password_is_not_kept(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="holds a password") as caught:
            Study.create(tmp_path / "run", config(), store="postgresql://me:secret@host/name")
        assert "secret" not in str(caught.value)
        assert not (tmp_path / "run").exists()


class TestOpen:
    def test_a_directory_without_a_study(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="there is no such directory"):
            Study.open(tmp_path / "none")
        with pytest.raises(StoreError, match="the directory holds no study"):
            Study.open(tmp_path)
        (tmp_path / "config.json").write_text("{")
        with pytest.raises(StoreError, match="the directory holds no study"):
            Study.open(tmp_path)

    def test_a_reader_follows_a_study_that_is_driven(self, tmp_path: Path) -> None:
        told: list[tuple[int, int, int, bool]] = []

        def look(event: Event) -> None:
            with Study.open(tmp_path, read_only=True) as reader:
                status = reader.status()
                assert len(reader.history()) == len(reader.trials()) == status.finished + status.running
                told.append((status.completed, status.failed, status.running, status.driven))

        with Study.create(tmp_path, config(evaluator={"fail_on": {"depth": [0]}}, trials=3)) as study:
            study.run(on_event=look)
        assert [sum(row[:2]) for row in told] == [0, 1, 1, 2, 2, 3, 3]
        assert [row[2] for row in told] == [1, 0, 1, 0, 1, 0, 0]
        assert all(row[3] for row in told)
        with Study.open(tmp_path, read_only=True) as reader:
            assert not reader.status().driven
            assert reader.status().wanted == 3

    def test_a_second_driver_is_refused(self, tmp_path: Path) -> None:
        def drive(event: Event) -> None:
            with Study.open(tmp_path) as second, pytest.raises(StoreError, match=f"process {os.getpid()} on"):
                second.run()

        with Study.create(tmp_path, config(trials=1)) as study:
            assert study.run(on_event=drive).finished == 1


class TestRun:
    def test_a_study_runs_to_its_end(self, tmp_path: Path) -> None:
        events: list[Event] = []
        with Study.create(tmp_path, config()) as study:
            summary = study.run(on_event=events.append)
            trials = study.trials()
        space, evaluator = ToySpace(), FakeEvaluator()
        assert [trial.number for trial in trials] == list(range(8))
        for trial in trials:
            assert isinstance(trial.result, Measurement)
            assert set(trial.metrics) == set(evaluator.metrics)
        assert (summary.reason, summary.finished, summary.completed, summary.failed) == ("trials", 8, 8, 0)
        assert summary.device_seconds == 8.0
        best = max(trials, key=lambda trial: trial.metrics["val_accuracy"])
        assert summary.best == (best,)
        assert "test_accuracy" in summary.best[0].metrics
        assert (summary.architectures, summary.repeats) == (8, 0)
        assert summary.twins == 8 - len({space.twin_key(trial.architecture) for trial in trials})
        kinds = [type(event) for event in events]
        assert kinds == [TrialStarted, TrialFinished] * 8 + [StudyStopped]
        assert events[-1] == StudyStopped("trials", 8)
        last = events[-2]
        assert isinstance(last, TrialFinished)
        assert last.best == summary.best

    def test_only_objectives_reach_the_optimizer(self, tmp_path: Path) -> None:
        finished(tmp_path, objectives=["max:val_accuracy"], constraints=["params<=3000"])
        with Study.open(tmp_path) as study:
            assert study.history().metrics == ("val_accuracy", "params")
            assert all(trial.metrics.keys() == {"val_accuracy", "params"} for trial in study.history())
            assert all("test_accuracy" in trial.metrics for trial in study.trials())

    @pytest.mark.parametrize("optimizer", ["random", "evolution:population=4,tournament=2", "local_search"])
    def test_the_same_seed_gives_the_same_study(self, tmp_path: Path, optimizer: str) -> None:
        changes = {"optimizer": optimizer, "trials": 12, "seed": 3}
        here = results_of_a_study(str(tmp_path / "a"), changes)
        assert len(here) == 12
        assert results_of_a_study(str(tmp_path / "b"), changes) == here
        assert results_of_a_study(str(tmp_path / "c"), {**changes, "seed": 4}) != here

    def test_the_same_seed_gives_the_same_study_in_a_fresh_process(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.syspath_prepend(str(Path(__file__).parent))
        changes = {"optimizer": "evolution:population=4,tournament=2", "trials": 12}
        there = in_fresh_process("test_study:results_of_a_study", str(tmp_path / "there"), changes)
        assert there == results_of_a_study(str(tmp_path / "here"), changes)

    def test_it_goes_on_to_more_trials(self, tmp_path: Path) -> None:
        whole = results_of_a_study(
            str(tmp_path / "whole"), {"trials": 12, "optimizer": f"{FAKES}:FakeOptimizer:carries=true"}
        )
        directory = tmp_path / "parts"
        with Study.create(directory, config(trials=5, optimizer=f"{FAKES}:FakeOptimizer:carries=true")) as study:
            assert study.run(3).finished == 3
            assert study.run().finished == 5
            assert study.run().finished == 5
        with Study.open(directory) as study:
            assert study.run(12).finished == 12
            with pytest.raises(InvalidOption, match="at least one trial"):
                study.run(0)
        assert results(directory) == whole

    def test_it_ends_when_nothing_is_left(self, tmp_path: Path) -> None:
        summary = finished(tmp_path, space=f"{FAKES}:ToySpace:operations=1,deepest=1", trials=50)
        assert summary.reason == "exhausted"
        assert summary.finished == 3

    @pytest.mark.parametrize("executor", ["serial", "processes:2"])
    def test_it_ends_when_the_time_is_spent(self, tmp_path: Path, executor: str) -> None:
        """The fake evaluator costs a second a trial."""
        summary = finished(tmp_path, seconds=3, executor=executor)
        assert summary.reason == "seconds"
        assert 3 <= summary.finished <= (3 if executor == "serial" else 4)
        assert summary.device_seconds == summary.finished

    def test_it_stops_when_asked(self, tmp_path: Path) -> None:
        stop = threading.Event()

        def ask(event: Event) -> None:
            if isinstance(event, TrialFinished) and event.trial.number == 2:
                stop.set()

        with Study.create(tmp_path, config()) as study:
            summary = study.run(on_event=ask, stop=stop)
            assert (summary.reason, summary.finished) == ("asked", 3)
            assert study.run(stop=lambda: True).finished == 3
            assert study.run().finished == 8

    @pytest.mark.parametrize("kind", [TrialStarted, TrialFinished])
    def test_ctrl_c_ends_it_at_once(self, tmp_path: Path, kind: type[Event]) -> None:
        def interrupt(event: Event) -> None:
            if isinstance(event, kind) and event.trial.number == 3:  # type: ignore[union-attr]
                raise KeyboardInterrupt

        whole = results_of_a_study(str(tmp_path / "whole"), {})
        with Study.create(tmp_path / "run", config()) as study:
            summary = study.run(on_event=interrupt)
            assert summary.reason == "interrupted"
            assert summary.finished == (3 if kind is TrialStarted else 4)
            status = study.status()
            assert (status.running, status.driven) == (8 - 4 - 3 if kind is TrialStarted else 0, False)
            assert study.run().finished == 8
            assert study.trials()[3].attempt == (2 if kind is TrialStarted else 1)
        assert results(tmp_path / "run") == whole

    def test_a_failure_is_a_result(self, tmp_path: Path) -> None:
        events: list[Event] = []
        changes = {"evaluator": {"fail_on": {"depth": [0]}, "crash_on": {"left": ["pool"]}}, "failure_limit": 1.0}
        with Study.create(tmp_path, config(trials=40, **changes)) as study:
            summary = study.run(on_event=events.append)
            failures = [trial.result for trial in study.trials() if isinstance(trial.result, Failure)]
        assert summary.failures == {"error": summary.failures["error"], "diverged": summary.failures["diverged"]}
        assert summary.completed + summary.failed == 40
        assert len(failures) == summary.failed
        error = next(failure for failure in failures if failure.reason == "error")
        assert error.message.startswith("ZeroDivisionError: a fault of the evaluator\n")
        assert "in _stumble" in error.message

    def test_too_many_failures_stop_it(self, tmp_path: Path) -> None:
        """Every depth fails, so the judgement falls at the tenth; it falls anew after ten more."""
        evaluator = {"fail_on": {"depth": [0, 1, 2]}}
        with Study.create(tmp_path, config(evaluator, trials=40)) as study:
            with pytest.raises(
                NasError, match=r"10 of 10 trials have failed.*limit of 50%.*trial 0 \(diverged\).*trial 2 \(diverged\)"
            ):
                study.run()
            assert study.status().failed == 10
            with pytest.raises(NasError, match="20 of 20"):
                study.run()

    def test_a_share_of_failures_below_the_limit_is_borne(self, tmp_path: Path) -> None:
        """A quarter of the members fails; the odds of more than 0.9 among at least 10 are below 1e-4."""
        assert finished(tmp_path, evaluator={"fail_on": {"left": ["pool"]}}, trials=30, failure_limit=0.9).failed > 0

    def test_several_objectives_give_a_front(self, tmp_path: Path) -> None:
        events: list[Event] = []
        with Study.create(tmp_path, config(objectives=["max:val_accuracy", "min:params"], trials=20)) as study:
            summary = study.run(on_event=events.append)
            assert [t.number for t in summary.best] == [t.number for t in study.objectives.best(study.history())]
        assert len(summary.best) > 1
        told = [event for event in events if isinstance(event, TrialFinished)][-1]
        assert told.best == summary.best


class TestProcesses:
    def test_they_find_what_the_serial_executor_finds(self, tmp_path: Path) -> None:
        """Random search does not read results, so its trials do not depend on who finishes first."""
        finished(tmp_path / "serial", optimizer=f"{FAKES}:FakeOptimizer")
        summary = finished(tmp_path / "processes", optimizer=f"{FAKES}:FakeOptimizer", executor="processes:2")
        assert (summary.reason, summary.finished) == ("trials", 8)
        found = [sorted(row[1:2] + row[3:] for row in results(tmp_path / name)) for name in ("serial", "processes")]
        assert found[0] == found[1]

    def test_a_worker_that_dies_costs_one_trial(self, tmp_path: Path) -> None:
        evaluator = {"exit_on": {"depth": [0]}}
        with Study.create(tmp_path, config(evaluator, executor="processes:2", failure_limit=1)) as study:
            summary = study.run()
            died = [trial for trial in study.trials() if trial.architecture.values[2] == 0]
        assert died
        assert summary.failures == {"crashed": len(died)}
        assert summary.completed == 8 - len(died)
        for trial in died:
            assert isinstance(trial.result, Failure)
            assert trial.result.message == "the worker process died: exit code 1"

    def test_what_ran_when_it_was_interrupted_is_run_again(self, tmp_path: Path) -> None:
        hold = tmp_path / "release"
        started: list[int] = []

        def interrupt(event: Event) -> None:
            if isinstance(event, TrialStarted):
                started.append(event.trial.number)
                if len(started) == 2:
                    raise KeyboardInterrupt

        evaluator = {"hold": str(hold)}
        with Study.create(tmp_path / "run", config(evaluator, executor="processes:2", trials=4)) as study:
            assert study.run(on_event=interrupt).finished == 0
            assert study.status().running == 2
            hold.touch()
            again: list[Trial] = []
            summary = study.run(on_event=lambda e: again.append(e.trial) if isinstance(e, TrialStarted) else None)
        assert [(trial.number, trial.attempt) for trial in again[:2]] == [(0, 2), (1, 2)]
        assert summary.finished == 4

    def test_workers_share_the_cores(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "thread_counter.py").write_text(COUNTER)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.setattr("nas_search.loop.cores", lambda: 6)
        for threads, expected in ((None, 3.0), (5, 5.0)):
            settings: dict[str, Any] = {"threads": threads, "objectives": ["max:threads"], "executor": "processes:2"}
            counted = config({"name": "thread_counter:Counter"}, trials=1, **settings)
            with Study.create(tmp_path / f"run{threads}", counted) as study:
                assert study.run().best[0].metrics["threads"] == expected


COUNTER = """
import os
from nas_core.trial import Measurement

FOUND = int(os.environ["OMP_NUM_THREADS"]) if "OMP_NUM_THREADS" in os.environ else 0  # before anything is evaluated

class Counter:
    requires = frozenset()
    metrics = ("threads",)
    def prepare(self, space): pass
    def evaluate(self, evaluation): return Measurement({"threads": FOUND})
    def to_config(self): return {"name": "thread_counter:Counter"}
"""


class Stuck:
    """An optimizer that breaks its contract: proposes nothing, or too much."""

    requires: frozenset[str] = frozenset()

    def __init__(self, space: Any, objectives: Objectives, seed: int, *, count: int = 0) -> None:
        self.space, self.count = space, count

    def propose(self, history: History, n: int) -> list[Proposal]:
        return [Proposal(a) for a in self.space.sample(rng(0), self.count)]

    def state(self) -> State | None:
        return None

    def restore(self, state: State) -> None:
        raise AssertionError("nothing was carried")

    def to_config(self) -> dict[str, Any]:
        return {"count": self.count}


@pytest.mark.parametrize(
    ("count", "message"), [(0, "proposes nothing although nothing is running"), (2, "proposes more")]
)
def test_an_optimizer_that_breaks_its_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int, message: str
) -> None:
    monkeypatch.setattr(f"{FAKES}.FakeOptimizer", Stuck)
    with (
        Study.create(tmp_path, config(optimizer={"name": f"{FAKES}:FakeOptimizer", "count": count})) as study,
        pytest.raises(NasError, match=message),
    ):
        study.run()


def test_the_best_so_far_is_what_the_objectives_call_best() -> None:
    """Against `Objectives.best` over the whole history, after every trial: ties, failures, constraints, fidelities."""
    stream = rng(0, "best")
    for names in (["max:val_accuracy"], ["max:val_accuracy", "min:params"]):
        objectives = Objectives.parse(names, ["flops<=7"])
        best, history = BestSoFar(objectives), objectives.new_history()
        a = ToySpace().sample(stream, 1)[0]
        for _ in range(60):
            history.begin(Proposal(a, fidelity=float(stream.integers(1, 4))))
        for number in stream.permutation(60).tolist():
            values = dict(zip(("val_accuracy", "params", "flops"), stream.integers(10, size=3).tolist(), strict=True))
            result = Failure("error", "") if values["flops"] == 0 else Measurement(values)
            trial = history.finish(number, result)
            best.add(trial)
            assert [t.number for t in best.trials] == [t.number for t in objectives.best(history)]
        assert all(trial.status is Status.COMPLETED for trial in best.trials)
        assert best.trials
