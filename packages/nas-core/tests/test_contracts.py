"""The contract suites: fakes and the plainest possible store and executor pass them, broken components do not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from _pytest.outcomes import Failed

from nas_core.architecture import Architecture
from nas_core.errors import Exhausted, InvalidOption, StaleAttempt, StoreError, TrialFailed
from nas_core.evaluator import Evaluation, Evaluator, GroupEvaluator
from nas_core.executor import Group, GroupOutcome, Job, Outcome, Task
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.optimizer import State
from nas_core.random import rng
from nas_core.registry import from_config
from nas_core.space import Space
from nas_core.surrogate import Posterior, Prediction
from nas_core.testing import (
    EvaluatorContract,
    ExecutorContract,
    FakePosterior,
    FakeSurrogate,
    OptimizerContract,
    SpaceContract,
    StoreContract,
    SurrogateContract,
    ToySpace,
)
from nas_core.testing.surrogates import training_set
from nas_core.training_set import TrainingSet
from nas_core.trial import Failure, Measurement, Proposal, Status, Trial


class TestFakeEvaluator(EvaluatorContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_core.testing.fakes:FakeEvaluator"


class TestFakeEvaluatorWithOptions(EvaluatorContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_core.testing.fakes:FakeEvaluator"

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"constant": True, "fail_on": {"depth": [9]}}

    @pytest.fixture
    def fidelity(self) -> float:
        return 3.0


class TestFakeSurrogate(SurrogateContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_core.testing.fakes:FakeSurrogate"


class TestFakeOptimizer(OptimizerContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_core.testing.fakes:FakeOptimizer"


class TestFakeOptimizerThatCarriesState(OptimizerContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_core.testing.fakes:FakeOptimizer"

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"carries": True}


class FileStore:
    """A store that writes everything anew at every change: JSON, and a file for each array."""

    def __init__(self, path: Path) -> None:
        self._path = path
        saved = json.loads((path / "study.json").read_text(encoding="utf-8"))
        self.spec: Mapping[str, Any] = saved["spec"]
        self._order: list[int] = saved["order"]
        self._trials = [_trial(row) for row in saved["trials"]]
        self._state = saved["state"]
        self._bank = saved["bank"]

    @classmethod
    def create(cls, path: Path, spec: Mapping[str, Any]) -> FileStore:
        empty: dict[str, Any] = {"spec": spec, "order": [], "trials": [], "state": None, "bank": None}
        (path / "study.json").write_text(json.dumps(empty), encoding="utf-8")
        return cls(path)

    def begin(self, proposals: Sequence[Proposal], seen: tuple[int, int], state: State | None) -> list[Trial]:
        begun = [Trial(len(self._trials) + i, proposal) for i, proposal in enumerate(proposals)]
        self._trials += begun
        if state is not None:
            self._state = self._arrays_kept("state", state)
        self._save()
        return begun

    def _arrays_kept(self, name: str, state: State) -> dict[str, Any]:
        for i, array in enumerate(state.arrays.values()):
            np.save(self._path / f"{name}{i}.npy", array)
        return {"arrays": list(state.arrays), "values": dict(state.values)}

    def retry(self, number: int) -> Trial:
        trial = self._running(number)
        return self._replace(replace(trial, attempt=trial.attempt + 1))

    def finish(self, number: int, attempt: int, result: Measurement | Failure) -> Trial:
        trial = self._running(number)
        if attempt != trial.attempt:
            raise StaleAttempt("the trial has been given to another", value=attempt)
        self._order.append(number)
        status = Status.COMPLETED if isinstance(result, Measurement) else Status.FAILED
        return self._replace(replace(trial, status=status, result=result))

    def finish_group(
        self, results: Sequence[tuple[int, int, Measurement | Failure]], state: State | None
    ) -> list[Trial]:
        for number, attempt, _ in results:
            if attempt != self._running(number).attempt:
                raise StaleAttempt("the trial has been given to another", value=attempt)
        if state is not None:
            self._bank = self._arrays_kept("bank", state)
        return [self.finish(*result) for result in results]

    def evaluator_state(self) -> State | None:
        return self._read("bank", self._bank)

    def trials(self) -> list[Trial]:
        return list(self._trials)

    def finished_order(self) -> list[int]:
        return list(self._order)

    def state(self) -> State | None:
        return self._read("state", self._state)

    def _read(self, name: str, kept: dict[str, Any] | None) -> State | None:
        if kept is None:
            return None
        arrays = {array: np.load(self._path / f"{name}{i}.npy") for i, array in enumerate(kept["arrays"])}
        return State(arrays, kept["values"])

    def close(self) -> None:
        pass

    def _running(self, number: int) -> Trial:
        if number >= len(self._trials):
            raise StoreError("no such trial", value=number)
        if self._trials[number].status is not Status.RUNNING:
            raise StaleAttempt("the trial is finished", value=number)
        return self._trials[number]

    def _replace(self, trial: Trial) -> Trial:
        self._trials[trial.number] = trial
        self._save()
        return trial

    def _save(self) -> None:
        rows = [[t.number, t.proposal.architecture, asdict(t.proposal), t.attempt, _kept(t)] for t in self._trials]
        saved = {"spec": self.spec, "order": self._order, "trials": rows, "state": self._state, "bank": self._bank}
        (self._path / "study.json").write_text(json.dumps(saved), encoding="utf-8")


def _kept(trial: Trial) -> Any:
    return None if trial.result is None else [str(trial.status), asdict(trial.result)]


def _trial(row: list[Any]) -> Trial:
    number, (space, values), asked, attempt, kept = row
    proposal = Proposal(**{**asked, "architecture": Architecture(space, tuple(values))})
    if kept is None:
        return Trial(number, proposal, attempt=attempt)
    status = Status(kept[0])
    result = (Measurement if status is Status.COMPLETED else Failure)(**kept[1])
    return Trial(number, proposal, status, result, attempt)


class TestFileStore(StoreContract):
    @pytest.fixture
    def create_store(self) -> Callable[[Path, Mapping[str, Any]], FileStore]:
        return FileStore.create

    @pytest.fixture
    def open_store(self) -> Callable[[Path], FileStore]:
        return FileStore


class Here:
    """An executor that evaluates where it stands, while one waits."""

    slots = 1

    def __init__(self) -> None:
        self._tasks: list[Task | Group] = []

    def start(self, job: Job) -> None:
        self._job = job
        self._space: Space = from_config("space", job.space)
        self._evaluator: Evaluator = from_config("evaluator", job.evaluator)
        self._evaluator.prepare(self._space)

    def submit(self, task: Task | Group) -> None:
        self._tasks.append(task)

    def wait(self, timeout: float | None = None) -> list[Outcome | GroupOutcome]:
        tasks, self._tasks = self._tasks, []
        return [self._outcome(task) for task in tasks]

    def _outcome(self, task: Task | Group) -> Outcome | GroupOutcome:
        if isinstance(task, Task):
            return Outcome(task.number, task.attempt, self._result(task))
        results, state = self._results(task)
        return GroupOutcome(
            tuple(Outcome(t.number, t.attempt, r) for t, r in zip(task.tasks, results, strict=True)), state
        )

    def _results(self, group: Group) -> tuple[Sequence[Measurement | Failure], State | None]:
        if not isinstance(self._evaluator, GroupEvaluator):
            return [Failure("invalid", "no groups")] * len(group.tasks), None
        try:
            return self._evaluator.evaluate_group([self._asked(task) for task in group.tasks], group.state)
        except TrialFailed as error:
            return [Failure(error.reason, str(error))] * len(group.tasks), None

    def stop(self) -> None:
        self._tasks = []

    def _result(self, task: Task) -> Measurement | Failure:
        try:
            return self._evaluator.evaluate(self._asked(task))
        except TrialFailed as error:
            return Failure(error.reason, str(error))
        except ZeroDivisionError as error:
            return Failure("error", str(error))

    def _asked(self, task: Task) -> Evaluation:
        a = self._space.canonical(task.values)
        return Evaluation(self._space, a, task.fidelity, task.draw, task.replicate, self._job.seed)


class TestHere(ExecutorContract):
    @pytest.fixture
    def executor(self) -> Here:
        return Here()


# Broken components, each with the tests that have to find it out.

TOY = ToySpace()
MEMBERS = TOY.sample(rng(0), 20)
CAPABLE = ("graphs", "from_graphs", "graph_labels", "most_nodes", "graph_key", "vocabulary", "tokens", "from_tokens",
           "legal_tokens", "twin_rules", "twin_key", "active", "to_config")  # fmt: skip


class PatchedSpace(Space):
    """The toy space with some methods exchanged."""

    name = "toy"
    decisions = TOY.decisions

    def __init__(self, **exchanged: Any) -> None:
        self.__dict__.update({name: getattr(TOY, name) for name in CAPABLE})
        self.__dict__.update(exchanged)

    def to_config(self) -> dict[str, Any]:
        return TOY.to_config()


@pytest.mark.parametrize(
    ("test", "exchanged"),
    [
        ("test_values_are_none_exactly_where_inactive", {"active": lambda values: (True, True, True, True)}),
        ("test_project_leaves_members_alone", {"project": lambda values: MEMBERS[0]}),
        ("test_text_and_parse_are_inverse", {"text": TOY.twin_key}),
        ("test_neighbours_are_other_members", {"neighbors": lambda a: [*TOY.neighbors(a), a]}),
        ("test_neighbours_are_other_members", {"neighbors": lambda a: TOY.neighbors(a) * 2}),
        ("test_mutation_is_a_step_that_follows_the_generator", {"mutate": lambda a, rng: a}),
        ("test_graphs_use_the_vocabulary_and_fit", {"most_nodes": 5}),
        ("test_graphs_use_the_vocabulary_and_fit", {"graph_labels": TOY.graph_labels[1:]}),
        ("test_graphs_give_the_member_back_up_to_isomorphism", {"from_graphs": lambda graphs: MEMBERS[0]}),
        ("test_from_graphs_refuses_what_no_member_has", {"from_graphs": lambda graphs: MEMBERS[0]}),
        ("test_graph_keys_agree_exactly_where_the_graphs_are_isomorphic", {"graph_key": TOY.text}),
        ("test_graph_keys_agree_exactly_where_the_graphs_are_isomorphic", {"graph_key": TOY.twin_key}),
        ("test_legal_tokens_admit_every_member", {"legal_tokens": lambda prefix: (0, 1)}),
        ("test_from_tokens_refuses_other_sequences", {"from_tokens": lambda tokens: MEMBERS[0]}),
        ("test_twins_are_at_least_the_isomorphic_members", {"twin_key": TOY.text}),
    ],
)
def test_the_space_suite_finds_a_broken_method(test: str, exchanged: dict[str, Any]) -> None:
    run = getattr(SpaceContract(), test)
    run(PatchedSpace(), MEMBERS)
    with pytest.raises((AssertionError, Failed)):
        run(PatchedSpace(**exchanged), MEMBERS)


class Listing:
    """Proposes members in a fixed order, or as one of several faults has it."""

    requires = frozenset({"enumerate"})

    def __init__(self, space: ToySpace, objectives: Objectives, seed: int, *, fault: str = "") -> None:
        self._members = list(space.enumerate())
        self._fault = fault
        self._calls = 0

    def propose(self, history: History, n: int) -> list[Proposal]:
        left = [a for a in self._members if a not in history]
        self._calls += 1
        if not left and not history.running:
            raise Exhausted("nothing is left")
        if self._fault == "repeats":
            return [Proposal(self._members[0])]
        if self._fault == "too many":
            return [Proposal(a) for a in left[: n + 1]]
        if self._fault == "waits for ever":
            return []
        if self._fault == "gives up early" and history.running:
            raise Exhausted("nothing is left")
        if self._fault == "remembers":
            left = left[self._calls :]
        if self._fault == "writes":
            history.begin(Proposal(left[0]))
        if self._fault == "stumbles over failures" and len(history.completed) < history.seq:
            raise ZeroDivisionError
        return [Proposal(a) for a in left[:n]]

    def state(self) -> State | None:
        return None

    def restore(self, state: State) -> None:
        raise InvalidOption("nothing is carried")

    def to_config(self) -> dict[str, Any]:
        return {"name": "listing", "fault": self._fault}


@pytest.mark.parametrize(
    ("test", "fault", "arguments"),
    [
        ("test_it_does_not_repeat_itself", "repeats", {"repeats": False, "n": 1, "trials": 8}),
        ("test_it_proposes_members_and_not_too_many", "too many", {"n": 1, "trials": 8}),
        ("test_it_proposes_members_and_not_too_many", "waits for ever", {"n": 1, "trials": 8}),
        ("test_it_says_when_nothing_is_left", "waits for ever", {"exhausts": True, "n": 1}),
        ("test_it_says_when_nothing_is_left", "repeats", {"exhausts": True, "n": 1}),
        ("test_trials_may_run_on_and_finish_in_any_order", "gives up early", {"repeats": False, "trials": 8}),
        ("test_it_can_be_taken_up_anywhere", "remembers", {"n": 1, "waiting": 0, "trials": 8}),
        ("test_without_carried_state_asking_twice_gives_the_same", "remembers", {}),
        ("test_it_leaves_the_history_alone", "writes", {}),
        ("test_it_copes_with_failures", "stumbles over failures", {"every": 3, "trials": 8}),
        ("test_another_seed_gives_another_trace", "", {"seeded": True}),
    ],
)
def test_the_optimizer_suite_finds_a_fault(test: str, fault: str, arguments: dict[str, Any]) -> None:
    run = getattr(OptimizerContract(), test)
    if "exhausts" not in arguments:
        arguments = {**arguments, "space": TOY}
    if fault:
        run(make_optimizer=Listing, **arguments)
    with pytest.raises((AssertionError, Failed, Exhausted, ZeroDivisionError)):
        run(make_optimizer=partial(Listing, fault=fault), **arguments)


HASHED = """
from nas_core.testing.fakes import FakeOptimizer

class Hashed(FakeOptimizer):
    def __init__(self, space, objectives, seed):
        super().__init__(space, objectives, seed)
        self._order = [a for _, a in sorted((hash(space.text(a)), a) for a in self._order)]
"""


def test_the_optimizer_suite_finds_what_depends_on_the_hashes_of_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The order of 80 hashes agrees with that of another process with odds of 1 in 10^118."""
    (tmp_path / "hashed.py").write_text(HASHED, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    run = OptimizerContract().test_the_same_seed_gives_the_same_anywhere
    with pytest.raises(AssertionError):
        run("hashed:Hashed", {}, "nas_core.testing.fakes:ToySpace", {}, 8, 1, 0)


class Careless:
    """The fake surrogate with one of several faults."""

    requires: frozenset[str] = frozenset()

    def __init__(self, space: Space, fault: str = "") -> None:
        self._inner = FakeSurrogate(space)
        self._fault = fault
        self._fits = 0

    def fit(self, data: TrainingSet, rng: np.random.Generator) -> Posterior:
        self._fits += 1
        if self._fault == "writes":
            data.targets[:] = 0.0
        if self._fault == "remembers":
            return FakePosterior(lambda a: [float(self._fits)] * data.targets.shape[1])
        if self._fault == "reads the last row":
            return FakePosterior(lambda a: data.targets[-1].tolist())
        if self._fault == "transposes":
            return cast(Posterior, Transposed(self._inner.fit(data, rng)))
        return self._inner.fit(data, rng)

    def to_config(self) -> dict[str, Any]:
        return {"fault": self._fault}


class Transposed:
    """A posterior whose arrays are m x n."""

    def __init__(self, inner: Posterior) -> None:
        self._inner = inner

    def predict(self, x: Sequence[Architecture]) -> Prediction:
        given = self._inner.predict(x)
        return Prediction(given.mean.T, given.std.T)


@pytest.mark.parametrize(
    ("test", "fault", "arguments"),
    [
        ("test_it_leaves_its_inputs_alone", "writes", {}),
        ("test_it_repeats_itself", "remembers", {}),
        ("test_the_order_of_rows_does_not_matter", "reads the last row", {"order_tolerance": 1e-6}),
        ("test_it_fits_one_observation", "transposes", {}),
    ],
)
def test_the_surrogate_suite_finds_a_fault(test: str, fault: str, arguments: dict[str, Any]) -> None:
    run = getattr(SurrogateContract(), test)
    for broken in ("", fault):
        given = {"data": training_set(TOY, 16), "elsewhere": TOY.sample(rng(1), 7), **arguments}
        if not broken:
            run(surrogate=Careless(TOY), **given)
            continue
        with pytest.raises(AssertionError):
            run(surrogate=Careless(TOY, broken), **given)
