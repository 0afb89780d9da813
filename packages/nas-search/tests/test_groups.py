"""Groups: evaluated together on one bank of weights, which is recorded with them, whatever is killed and whenever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nas_core.errors import NasError
from nas_core.evaluator import Evaluation
from nas_core.history import History
from nas_core.optimizer import State
from nas_core.random import rng
from nas_core.testing import ToySpace
from nas_core.testing.groups import FakeGroupEvaluator, FakeGroupOptimizer
from nas_core.trial import Failure, Measurement, Proposal, Status, Trial, units_of
from nas_search.config import StudyConfig
from nas_search.study import Study

FAKES = "nas_core.testing.fakes"
GROUPS = "nas_core.testing.groups"
SCRIPT = Path(__file__).with_name("killed_study.py")


def config(evaluator: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "space": f"{FAKES}:ToySpace",
        "optimizer": f"{GROUPS}:FakeGroupOptimizer",
        "evaluator": {"name": f"{GROUPS}:FakeGroupEvaluator", **(evaluator or {})},
        "objectives": ["max:val_accuracy"],
        "trials": 12,
        **changes,
    }


def ran(directory: Path, **changes: Any) -> tuple[list[Trial], State | None]:
    with Study.create(directory, StudyConfig.from_mapping(config(**changes))) as study:
        study.run()
        return study.trials(), study.store.evaluator_state()


def by_hand(trials: list[Trial], **options: Any) -> tuple[list[Measurement | Failure], State | None]:
    """The results of the trials' groups, one after the other, by the evaluator itself."""
    evaluator, space = FakeGroupEvaluator(**options), ToySpace()
    state: State | None = None
    found: list[Measurement | Failure] = []
    for unit in units_of(trials):
        asked = [Evaluation(space, trial.architecture) for trial in unit]
        if unit[0].proposal.group is None:
            found.append(evaluator.evaluate(asked[0]))
        else:
            results, state = evaluator.evaluate_group(asked, state)
            found += results
    return found, state


def shown(result: Measurement | Failure | None) -> Any:
    return result.metrics if isinstance(result, Measurement) else getattr(result, "reason", None)


@pytest.mark.parametrize("executor", ["serial", "processes:2", "simulated:2"])
@pytest.mark.parametrize("alone", [False, True])
def test_a_study_is_its_groups_one_after_the_other(tmp_path: Path, executor: str, alone: bool) -> None:
    """Size 4 and trials alone at 0, 3, 6 …: with one worker the order of proposals is 1, 4, 4, 4 or so."""
    optimizer = {"name": f"{GROUPS}:FakeGroupOptimizer", "size": 4, "alone": alone}
    trials, state = ran(tmp_path / "a", optimizer=optimizer, executor=executor)
    assert len(trials) >= 12
    groups = [len(unit) for unit in units_of(trials) if unit[0].proposal.group is not None]
    assert set(groups) == {4}
    assert any(trial.proposal.group is None for trial in trials) == alone
    results, expected = by_hand(trials)
    assert [shown(trial.result) for trial in trials] == [shown(one) for one in results]
    assert state == expected
    assert state is not None
    assert state.values == {"groups": len(groups)}


def test_a_member_may_fail_alone(tmp_path: Path) -> None:
    trials, _ = ran(tmp_path / "a", evaluator={"fail_on": {"left": ["pool"]}}, failure_limit=1.0)
    failed = [trial.status is Status.FAILED for trial in trials]
    assert any(failed)
    assert not all(failed)
    assert failed == [trial.architecture.values[0] == "pool" for trial in trials]


def test_a_group_that_fails_whole_leaves_the_bank_as_it_was(tmp_path: Path) -> None:
    trials, state = ran(tmp_path / "a", evaluator={"fail_after": 2}, failure_limit=1.0)
    assert [shown(trial.result) == "diverged" for trial in trials] == [False] * 6 + [True] * 6
    assert state == by_hand(trials[:6])[1]


def test_an_evaluator_without_shared_weights_cannot_evaluate_groups(tmp_path: Path) -> None:
    evaluator = {"name": f"{FAKES}:FakeEvaluator"}
    settings = config(trials=3, failure_limit=1.0) | {"evaluator": evaluator}
    with Study.create(tmp_path / "a", StudyConfig.from_mapping(settings)) as study:
        study.run()
        failures = [trial.result for trial in study.trials()]
    assert all(isinstance(one, Failure) and one.reason == "invalid" for one in failures)
    assert all(isinstance(one, Failure) and "shares no weights" in one.message for one in failures)


def test_a_group_is_begun_whole(tmp_path: Path) -> None:
    trials, _ = ran(tmp_path / "a", trials=4)
    assert len(trials) == 6
    assert all(trial.status is Status.COMPLETED for trial in trials)


def test_nothing_is_added_to_a_group_that_is_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def propose(self: FakeGroupOptimizer, history: History, n: int) -> list[Proposal]:
        members = ToySpace().sample(rng(0, len(history)), 2)
        return [
            Proposal(a, group=name) for a, name in zip(members, ("y", "y") if len(history) else ("x", "y"), strict=True)
        ]

    monkeypatch.setattr(FakeGroupOptimizer, "propose", propose)
    settings = StudyConfig.from_mapping(config(executor="processes:2"))
    with (
        Study.create(tmp_path / "a", settings) as study,
        pytest.raises(NasError, match="adds to a group that is running"),
    ):
        study.run()


def test_more_groups_than_were_asked_for_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def propose(self: FakeGroupOptimizer, history: History, n: int) -> list[Proposal]:
        members = ToySpace().sample(rng(0, len(history)), 4)
        return [Proposal(a, group=f"group {i // 2}") for i, a in enumerate(members)]

    monkeypatch.setattr(FakeGroupOptimizer, "propose", propose)
    with (
        Study.create(tmp_path / "a", StudyConfig.from_mapping(config())) as study,
        pytest.raises(NasError, match="proposes more than it is asked for: 2"),
    ):
        study.run()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the killed processes are forks")
def test_a_killed_study_of_groups_ends_as_one_that_ran_through(tmp_path: Path) -> None:
    settings = config({"fail_on": {"left": ["pool"]}}, trials=30, failure_limit=1.0)
    settings["optimizer"] = {"name": f"{GROUPS}:FakeGroupOptimizer", "size": 3}
    told = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path), json.dumps(settings), "10", "5"],
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    found: dict[str, Any] = json.loads(told.stdout)
    whole = found["whole"]["results"]
    assert len(whole) == 30
    for after in found["after"]:
        assert after["running"] in (0, 3)
        assert after["finished"] % 3 == 0
        assert after["results"] == whole[: after["finished"]]
    assert len(found["after"]) == 10
    assert any(after["running"] for after in found["after"])  # a group was met half-way
    assert found["killed"]["results"] == whole
    states = []
    for name in ("whole", "killed"):
        with Study.open(tmp_path / name, read_only=True) as study:
            states.append(study.store.evaluator_state())
    assert states[0] is not None
    assert states[0] == states[1]
