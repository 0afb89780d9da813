"""The history: against a list that does the same slowly, and each of its promises by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from nas_core.architecture import Architecture
from nas_core.errors import InvalidMeasurement, InvalidOption
from nas_core.history import History
from nas_core.trial import Failure, Measurement, Proposal, Status, Trial


def member(i: int) -> Architecture:
    return Architecture("line", (i,))


def measured(accuracy: float, params: float = 0.0) -> Measurement:
    return Measurement(
        {"test_accuracy": accuracy - 1, "val_accuracy": accuracy, "params": params},
        seconds=2.0,
        artefacts={"checkpoint": "ab12"},
        details={"curve": [1]},
    )


def three() -> History:
    """Trials 0, 1, 2, 3; 2 has finished first, then 0 has failed; 1 and 3 run."""
    history = History(("val_accuracy", "params"))
    for i in range(4):
        history.begin(Proposal(member(i % 3), info={"i": i}))
    history.finish(2, measured(90.0, 7.0))
    history.finish(0, Failure("timeout", "too slow"))
    return history


def test_trials_are_numbered_in_order_of_proposal() -> None:
    history = three()
    assert len(history) == 4
    assert [trial.number for trial in history] == [0, 1, 2, 3]
    assert [trial.proposal.info["i"] for trial in history] == [0, 1, 2, 3]
    assert history[2].architecture == member(2)


def test_running_finished_and_completed() -> None:
    history = three()
    assert [trial.number for trial in history.running] == [1, 3]
    assert [trial.number for trial in history.finished] == [2, 0]
    assert [trial.number for trial in history.completed] == [2]
    assert history.seq == 2
    assert [trial.status for trial in history] == [Status.FAILED, Status.RUNNING, Status.COMPLETED, Status.RUNNING]


def test_columns_are_in_order_of_finishing() -> None:
    history = three()
    np.testing.assert_array_equal(history.values, [[90.0, 7.0], [math.nan, math.nan]])
    np.testing.assert_array_equal(history.column("params"), [7.0, math.nan])
    with pytest.raises(InvalidOption, match="no such metric: 'test_accuracy'; expected val_accuracy, params"):
        history.column("test_accuracy")


def test_only_its_own_metrics_are_kept() -> None:
    trial = three()[2]
    assert trial.result == Measurement({"val_accuracy": 90.0, "params": 7.0}, seconds=2.0)


def test_columns_cannot_be_written_to() -> None:
    history = three()
    with pytest.raises(ValueError, match="read-only"):
        history.values[0, 0] = 1.0
    with pytest.raises(ValueError, match="read-only"):
        history.column("params")[0] = 1.0


def test_columns_taken_earlier_do_not_change() -> None:
    history = three()
    earlier = history.values
    kept = earlier.copy()
    for i in range(40):
        history.finish(history.begin(Proposal(member(i))).number, measured(float(i)))
    np.testing.assert_array_equal(earlier, kept)


def test_membership_counts_running_and_failed_trials() -> None:
    history = three()
    assert all(member(i) in history for i in range(3))
    assert member(3) not in history
    assert history.numbers(member(0)) == (0, 3)
    assert history.numbers(member(3)) == ()


def test_since_gives_what_finished_later() -> None:
    history = three()
    assert [trial.number for trial in history.since(0)] == [2, 0]
    assert [trial.number for trial in history.since(1)] == [0]
    assert history.since(2) == []
    history.finish(3, measured(80.0))
    assert [trial.number for trial in history.since(2)] == [3]


def test_a_prefix_is_the_history_of_its_finished_trials() -> None:
    history = three()
    history.finish(3, measured(80.0, 1.0))
    prefix = history.prefix(2)
    assert [trial.proposal.info["i"] for trial in prefix] == [0, 2]
    assert [trial.number for trial in prefix] == [0, 1]
    assert [trial.proposal.info["i"] for trial in prefix.finished] == [2, 0]
    assert prefix.running == []
    np.testing.assert_array_equal(prefix.values, history.values[:2])
    assert len(history.prefix(0)) == 0
    for seq in (-1, 4):
        with pytest.raises(InvalidOption, match="between 0 and the number of finished trials"):
            history.prefix(seq)


def test_a_trial_finishes_once() -> None:
    history = three()
    for number in (0, 2, 4, -1):
        with pytest.raises(InvalidOption, match="no running trial has this number"):
            history.finish(number, measured(1.0))
    assert history.seq == 2


def test_a_missing_metric_is_refused_and_changes_nothing() -> None:
    history = three()
    with pytest.raises(InvalidMeasurement, match="did not measure 'val_accuracy'; expected one of params"):
        history.finish(1, Measurement({"params": 1.0}))
    assert history.seq == 2
    assert history[1].status is Status.RUNNING
    history.finish(1, measured(70.0))
    assert history.column("val_accuracy")[-1] == 70.0


@given(st.integers(1, 70).flatmap(lambda n: st.permutations(range(n))))
def test_columns_grow(order: list[int]) -> None:
    """Beyond 16, 32 and 64 finished trials the columns are laid out anew."""
    history = History(("val_accuracy",))
    for i in range(len(order)):
        history.begin(Proposal(member(i)))
    for number in order:
        history.finish(number, measured(float(number)))
    assert history.column("val_accuracy").tolist() == order
    assert [trial.number for trial in history.finished] == order


# named, not lambdas: older releases of hypothesis parse a lambda's source at every step
def _something_runs(machine: HistoryAgainstLists) -> bool:
    return bool(machine.running())


def _something_has_finished(machine: HistoryAgainstLists) -> bool:
    return bool(machine.order)


class HistoryAgainstLists(RuleBasedStateMachine):
    """The same operations on a history and on two plain lists."""

    def __init__(self) -> None:
        super().__init__()
        self.history = History(("val_accuracy", "params"))
        self.trials: list[Trial] = []
        self.order: list[int] = []
        self.rows: list[list[float]] = []

    def running(self) -> list[int]:
        return [trial.number for trial in self.trials if trial.status is Status.RUNNING]

    @rule(i=st.integers(0, 4), fidelity=st.sampled_from([None, 1.0, 9.0]))
    def begin(self, i: int, fidelity: float | None) -> None:
        trial = Trial(len(self.trials), Proposal(member(i), fidelity))
        self.trials.append(trial)
        assert self.history.begin(trial.proposal) == trial

    @precondition(_something_runs)
    @rule(data=st.data(), accuracy=st.integers(0, 100), fails=st.booleans())
    def finish(self, data: st.DataObject, accuracy: int, fails: bool) -> None:
        number = data.draw(st.sampled_from(self.running()))
        asked = self.trials[number].proposal
        if fails:
            failure = Failure("diverged", "NaN")
            self.trials[number] = Trial(number, asked, Status.FAILED, failure)
            self.rows.append([math.nan, math.nan])
            assert self.history.finish(number, failure) == self.trials[number]
        else:
            kept = Measurement({"val_accuracy": float(accuracy), "params": 3.0}, seconds=2.0)
            self.trials[number] = Trial(number, asked, Status.COMPLETED, kept)
            self.rows.append([float(accuracy), 3.0])
            assert self.history.finish(number, measured(float(accuracy), 3.0)) == self.trials[number]
        self.order.append(number)

    @invariant()
    def agrees(self) -> None:
        history, trials, order = self.history, self.trials, self.order
        assert list(history) == trials
        assert (len(history), history.seq) == (len(trials), len(order))
        assert [trial.number for trial in history.running] == self.running()
        assert history.finished == [trials[number] for number in order]
        assert history.completed == [trials[n] for n in order if trials[n].status is Status.COMPLETED]
        np.testing.assert_array_equal(history.values, np.array(self.rows).reshape(len(order), 2))
        for i in range(5):
            numbers = tuple(trial.number for trial in trials if trial.architecture == member(i))
            assert history.numbers(member(i)) == numbers
            assert (member(i) in history) == bool(numbers)

    @precondition(_something_has_finished)
    @rule(data=st.data())
    def prefix(self, data: st.DataObject) -> None:
        seq = data.draw(st.integers(0, len(self.order)))
        prefix = self.history.prefix(seq)
        proposals = [trial.proposal for trial in self.trials if trial.number in self.order[:seq]]
        assert [trial.proposal for trial in prefix] == proposals
        results = [self.trials[number].result for number in self.order[:seq]]
        assert [trial.result for trial in prefix.finished] == results
        assert [trial.result for trial in self.history.since(seq)] == [self.trials[n].result for n in self.order[seq:]]


TestHistoryAgainstLists = HistoryAgainstLists.TestCase


def test_a_prefix_renumbers_what_a_trial_resumes() -> None:
    history = History(["val_accuracy"])
    for resume_from in (None, None, 1):
        history.begin(Proposal(Architecture("toy", (0,)), resume_from=resume_from))
    for number in (1, 2, 0):
        history.finish(number, Measurement({"val_accuracy": 1.0}))
    assert [trial.proposal.resume_from for trial in history.prefix(2)] == [None, 0]
