"""What every executor must keep to: each task gives one outcome, and whatever an evaluator does, the executor goes on.

Tasks are evaluated by the fake evaluator, which is registered for the test as a stranger's package.
"""

# ruff: noqa: D102 - the name of a test says what it tests
from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nas_core.architecture import Architecture
from nas_core.errors import NasError
from nas_core.evaluator import Evaluation
from nas_core.executor import Executor, Group, GroupOutcome, Job, Outcome, Task
from nas_core.optimizer import State
from nas_core.testing.fakes import FakeEvaluator, ToySpace
from nas_core.testing.groups import FakeGroupEvaluator
from nas_core.testing.registered import register_fakes
from nas_core.trial import Failure, Measurement

MakeJob = Callable[..., Job]
"""make_job(**options of the fake evaluator)"""


class ExecutorContract:
    """Tests that an executor inherits.

    Fixtures to give: `executor`, one that has not been started; the suite stops it. To change what it claims:
    `concurrent`, that tasks run while nobody waits; `isolated`, that it survives an evaluator that ends its process.
    """

    @pytest.fixture
    def concurrent(self) -> bool:
        """Whether tasks run while nobody waits for them."""
        return False

    @pytest.fixture
    def isolated(self) -> bool:
        """Whether tasks run in processes of their own."""
        return False

    @pytest.fixture
    def make_job(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeJob:
        """Makes a job of the toy space and the fake evaluator."""
        register_fakes(tmp_path / "fakes", monkeypatch)

        def make(name: str = "fake", **options: Any) -> Job:
            return Job({"name": "toy"}, {"name": name, **options}, seed=5)

        return make

    @pytest.fixture
    def running(self, executor: Executor) -> Iterator[Executor]:
        """The executor, stopped after the test."""
        yield executor
        executor.stop()

    def test_every_task_has_one_outcome(self, running: Executor, make_job: MakeJob) -> None:
        assert isinstance(running, Executor)
        assert running.slots >= 1
        running.start(make_job())
        tasks = _tasks(7)
        outcomes = run_all(running, tasks)
        assert sorted((outcome.number, outcome.attempt) for outcome in outcomes) == [(t.number, 1) for t in tasks]
        space, evaluator = ToySpace(), FakeEvaluator()
        for outcome in outcomes:
            a = Architecture("toy", tasks[outcome.number].values)
            assert isinstance(outcome.result, Measurement)
            assert outcome.result.metrics == evaluator.evaluate(Evaluation(space, a)).metrics

    def test_a_task_reaches_the_evaluator_whole(self, running: Executor, make_job: MakeJob) -> None:
        running.start(make_job())
        values = ("conv3", "skip", 1, "tanh")
        (outcome,) = run_all(running, [Task(3, 4, values, fidelity=9.0, draw=2, replicate=1)])
        assert (outcome.number, outcome.attempt) == (3, 4)
        asked = Evaluation(ToySpace(), Architecture("toy", values), 9.0, draw=2, replicate=1, seed=5)
        expected = FakeEvaluator().evaluate(asked)
        assert isinstance(outcome.result, Measurement)
        assert outcome.result.metrics == expected.metrics
        assert outcome.result.details == expected.details

    @pytest.mark.parametrize(("fault", "reason"), [("fail_on", "diverged"), ("crash_on", "error")])
    def test_a_failing_evaluation_is_a_result(
        self, running: Executor, make_job: MakeJob, fault: str, reason: str
    ) -> None:
        running.start(make_job(**{fault: {"depth": [1]}}))
        tasks = _tasks(7)
        outcomes = run_all(running, tasks)
        assert len(outcomes) == len(tasks)
        for outcome in outcomes:
            if tasks[outcome.number].values[2] == 1:
                assert isinstance(outcome.result, Failure)
                assert outcome.result.reason == reason
                assert outcome.result.message
            else:
                assert isinstance(outcome.result, Measurement)

    def test_a_worker_that_dies_is_replaced(self, running: Executor, make_job: MakeJob, isolated: bool) -> None:
        if not isolated:
            pytest.skip("the executor does not claim to survive the end of an evaluator's process")
        running.start(make_job(exit_on={"depth": [1]}))
        tasks = _tasks(7)
        for outcome in run_all(running, tasks):
            died = tasks[outcome.number].values[2] == 1
            assert (getattr(outcome.result, "reason", None) == "crashed") == died

    @pytest.mark.parametrize(
        ("name", "options"), [("fake", {"broken": True}), ("fake", {"no_such_option": 1}), ("no_such_evaluator", {})]
    )
    def test_what_cannot_work_is_an_error_at_the_start(
        self, running: Executor, make_job: MakeJob, name: str, options: dict[str, Any]
    ) -> None:
        with pytest.raises(NasError):
            running.start(make_job(name, **options))

    def test_waiting_for_nothing_ends(self, running: Executor, make_job: MakeJob) -> None:
        running.start(make_job())
        assert running.wait(timeout=0.0) == []
        assert running.wait(timeout=0.01) == []

    def test_waiting_ends_before_the_task_does(
        self, running: Executor, make_job: MakeJob, concurrent: bool, tmp_path: Path
    ) -> None:
        if not concurrent:
            pytest.skip("the executor does not claim to run tasks while nobody waits")
        held = tmp_path / "released"
        running.start(make_job(hold=str(held)))
        tasks = _tasks(running.slots)
        for task in tasks:
            running.submit(task)
        assert running.wait(timeout=0.01) == []
        held.touch()
        outcomes = [outcome for outcome in _wait_for(running, len(tasks)) if isinstance(outcome, Outcome)]
        assert sorted(outcome.number for outcome in outcomes) == [task.number for task in tasks]
        assert all(isinstance(outcome.result, Measurement) for outcome in outcomes)

    def test_a_group_is_evaluated_as_one_and_hands_its_bank_on(self, running: Executor, make_job: MakeJob) -> None:
        running.start(make_job("fake_group"))
        tasks = tuple(replace(task, attempt=2) for task in _tasks(3))
        first = run_group(running, Group(tasks))
        second = run_group(running, Group(tasks[1:], first.state))
        expected = FakeGroupEvaluator().evaluate_group([_asked(task) for task in tasks], None)
        assert [one.result.metrics for one in first.outcomes if isinstance(one.result, Measurement)] == [
            one.metrics for one in expected[0] if isinstance(one, Measurement)
        ]
        assert [(one.number, one.attempt) for one in first.outcomes] == [(0, 2), (1, 2), (2, 2)]
        assert first.state == expected[1]
        assert second == _told(FakeGroupEvaluator(), tasks[1:], first.state)

    @pytest.mark.parametrize(
        ("name", "options", "reason"),
        [("fake", {}, "invalid"), ("fake_group", {"fail_after": 0}, "diverged")],
    )
    def test_a_group_that_cannot_be_evaluated_fails_whole(
        self, running: Executor, make_job: MakeJob, name: str, options: dict[str, Any], reason: str
    ) -> None:
        running.start(make_job(name, **options))
        outcomes, state = run_group(running, Group(tuple(_tasks(3)), State(values={"groups": 1})))
        assert [getattr(one.result, "reason", None) for one in outcomes] == [reason] * 3
        assert state is None

    def test_a_worker_that_dies_with_a_group_is_replaced(
        self, running: Executor, make_job: MakeJob, isolated: bool
    ) -> None:
        if not isolated:
            pytest.skip("the executor does not claim to survive the end of an evaluator's process")
        running.start(make_job("fake_group", exit_on={"depth": [1]}))
        outcomes, state = run_group(running, Group(tuple(_tasks(3))))
        assert [getattr(one.result, "reason", None) for one in outcomes] == ["crashed"] * 3
        assert state is None
        outcomes, state = run_group(running, Group((_tasks(1)[0],)))
        assert isinstance(outcomes[0].result, Measurement)

    def test_stopping_twice_does_nothing(self, executor: Executor, make_job: MakeJob) -> None:
        executor.start(make_job())
        executor.stop()
        executor.stop()

    def test_stopping_drops_what_is_unfinished(
        self, running: Executor, make_job: MakeJob, concurrent: bool, tmp_path: Path
    ) -> None:
        if not concurrent:
            pytest.skip("the executor does not claim to run tasks while nobody waits")
        running.start(make_job(hold=str(tmp_path / "never")))
        running.submit(_tasks(1)[0])
        running.stop()


def run_all(executor: Executor, tasks: Sequence[Task]) -> list[Outcome]:
    """Run tasks, never more than the executor has slots for."""
    outcomes: list[Outcome] = []
    waiting = list(tasks)
    unfinished = 0
    while waiting or unfinished:
        while waiting and unfinished < executor.slots:
            executor.submit(waiting.pop(0))
            unfinished += 1
        ended = _wait_for(executor, 1)
        assert len(ended) <= unfinished
        unfinished -= len(ended)
        outcomes += [outcome for outcome in ended if isinstance(outcome, Outcome)]
    return outcomes


def run_group(executor: Executor, group: Group) -> GroupOutcome:
    """Run one group."""
    executor.submit(group)
    (outcome,) = _wait_for(executor, 1)
    assert isinstance(outcome, GroupOutcome)
    return outcome


def _wait_for(executor: Executor, count: int) -> list[Outcome | GroupOutcome]:
    """At least `count` outcomes; fails where none comes for a minute."""
    outcomes: list[Outcome | GroupOutcome] = []
    while len(outcomes) < count:
        ended = executor.wait(timeout=60.0)
        assert ended, "no outcome for a minute"
        outcomes += ended
    return outcomes


def _asked(task: Task) -> Evaluation:
    return Evaluation(ToySpace(), Architecture("toy", task.values), seed=5)


def _told(evaluator: FakeGroupEvaluator, tasks: Sequence[Task], state: State | None) -> GroupOutcome:
    results, after = evaluator.evaluate_group([_asked(task) for task in tasks], state)
    outcomes = [Outcome(task.number, task.attempt, one) for task, one in zip(tasks, results, strict=True)]
    return GroupOutcome(tuple(outcomes), after)


def _tasks(count: int) -> list[Task]:
    """Members of the toy space with depths 0, 1 and 2 in turn."""
    names = ("conv3", "conv1", "pool", "skip")
    depths = [(0, None), (1, "relu"), (2, "tanh")]
    return [Task(i, 1, (names[i % 4], "skip", *depths[i % 3])) for i in range(count)]
