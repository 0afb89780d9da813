"""What every store must keep to: nothing that it has confirmed is lost, and nothing comes back changed."""

# ruff: noqa: D102 - the name of a test says what it tests
from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_core.architecture import Architecture
from nas_core.errors import StaleAttempt, StoreError
from nas_core.optimizer import State
from nas_core.store import Store
from nas_core.trial import Failure, Measurement, Proposal, Status

Create = Callable[[Path, Mapping[str, Any]], Store]
Open = Callable[[Path], Store]

SPEC: Mapping[str, Any] = {
    "space": {"name": "toy", "operations": 4, "deepest": 2},
    "objectives": ["max:val_accuracy"],
    "seed": 0,
    "note": "Grüße, \N{SNOWMAN}",
}
"""What the stored study runs; a fixture `spec` may give another."""

_NUMBERS = (0.1 + 0.2, 5e-324, 1.7976931348623157e308, -0.0, math.pi, -1e-9, 93.66)


class StoreContract:
    """Tests that a store inherits.

    Fixtures to give: `create_store(path, spec)`, which makes a new store in a directory that exists, and
    `open_store(path)`, which opens one again. To change: `spec`.
    """

    @pytest.fixture
    def spec(self) -> Mapping[str, Any]:
        """What the study runs."""
        return SPEC

    @pytest.fixture
    def store(self, create_store: Create, tmp_path: Path, spec: Mapping[str, Any]) -> Iterator[Store]:
        """A new store, closed after the test."""
        made = create_store(tmp_path, spec)
        yield made
        made.close()

    @pytest.fixture
    def reopened(self, store: Store, open_store: Open, tmp_path: Path) -> Iterator[Callable[[], Store]]:
        """Closes the store and opens it again, as after the end of a process."""
        opened: list[Store] = [store]

        def reopen() -> Store:
            opened[-1].close()
            opened.append(open_store(tmp_path))
            return opened[-1]

        yield reopen
        opened[-1].close()

    def test_a_new_store_is_empty(self, store: Store, spec: Mapping[str, Any]) -> None:
        assert isinstance(store, Store)
        assert dict(store.spec) == dict(spec)
        assert store.trials() == []
        assert store.finished_order() == []
        assert store.state() is None

    def test_begin_numbers_trials_in_order(self, store: Store, reopened: Callable[[], Store]) -> None:
        first = store.begin([_proposal("a"), _proposal("b")], (0, 0), None)
        second = store.begin([_proposal("c")], (2, 0), None)
        assert [trial.number for trial in (*first, *second)] == [0, 1, 2]
        assert {trial.status for trial in (*first, *second)} == {Status.RUNNING}
        assert {trial.attempt for trial in (*first, *second)} == {1}
        assert reopened().trials() == [*first, *second]

    def test_proposals_come_back_unchanged(self, store: Store, reopened: Callable[[], Store]) -> None:
        proposals = [
            _proposal("plain"),
            Proposal(Architecture("toy", ("conv3", 1, 2.0, True, None, "\N{SNOWMAN}")), fidelity=0.1 + 0.2),
            Proposal(Architecture("toy", ()), 81.0, draw=3, replicate=2, resume_from=0, group="round 1"),
            Proposal(_proposal("x").architecture, info={"rung": 1, "parents": [0, None], "why": {"ü": [1.5, True]}}),
        ]
        store.begin(proposals, (0, 0), None)
        back = [trial.proposal for trial in reopened().trials()]
        assert back == proposals
        for got, given in zip(back, proposals, strict=True):
            assert [type(v) for v in got.architecture.values] == [type(v) for v in given.architecture.values]

    def test_measurements_come_back_unchanged(self, store: Store, reopened: Callable[[], Store]) -> None:
        measured = Measurement(
            {f"val_loss{i}": number for i, number in enumerate(_NUMBERS)},
            seconds=0.1 + 0.2,
            artefacts={"checkpoint": "ab12.safetensors"},
            details={"curve": [0.1, 0.2, None], "versions": {"numpy": "1.26 \N{SNOWMAN}"}},
        )
        store.begin([_proposal("a")], (0, 0), None)
        finished = store.finish(0, 1, measured)
        assert (finished.status, finished.result) == (Status.COMPLETED, measured)
        (back,) = reopened().trials()
        assert back == finished
        values = list(back.metrics.values())
        assert [value.hex() for value in values] == [number.hex() for number in _NUMBERS]

    def test_failures_come_back_unchanged(self, store: Store, reopened: Callable[[], Store]) -> None:
        failure = Failure("out_of_memory", "2 GiB wanted\nGrüße \N{SNOWMAN}", seconds=1.5)
        store.begin([_proposal("a")], (0, 0), None)
        finished = store.finish(0, 1, failure)
        assert (finished.status, finished.result) == (Status.FAILED, failure)
        assert reopened().trials() == [finished]

    def test_the_order_of_finishing_is_kept(self, store: Store, reopened: Callable[[], Store]) -> None:
        store.begin([_proposal(name) for name in "abcd"], (0, 0), None)
        for number in (2, 0, 3):
            store.finish(number, 1, Measurement({"val_accuracy": float(number)}))
        assert store.finished_order() == [2, 0, 3]
        again = reopened()
        assert again.finished_order() == [2, 0, 3]
        again.finish(1, 1, Failure("diverged", "NaN"))
        assert again.finished_order() == [2, 0, 3, 1]

    def test_a_finished_trial_cannot_finish_again(self, store: Store) -> None:
        store.begin([_proposal("a")], (0, 0), None)
        finished = store.finish(0, 1, Measurement({"val_accuracy": 1.0}))
        with pytest.raises(StaleAttempt):
            store.finish(0, 1, Measurement({"val_accuracy": 2.0}))
        with pytest.raises(StoreError):
            store.retry(0)
        assert store.trials() == [finished]

    def test_an_older_attempt_cannot_finish(self, store: Store, reopened: Callable[[], Store]) -> None:
        store.begin([_proposal("a")], (0, 0), None)
        assert store.retry(0).attempt == 2
        again = reopened()
        assert again.trials()[0].attempt == 2
        with pytest.raises(StaleAttempt):
            again.finish(0, 1, Measurement({"val_accuracy": 1.0}))
        assert again.finished_order() == []
        assert again.finish(0, 2, Measurement({"val_accuracy": 2.0})).metrics == {"val_accuracy": 2.0}

    def test_unknown_trials_are_refused(self, store: Store) -> None:
        store.begin([_proposal("a")], (0, 0), None)
        with pytest.raises(StoreError):
            store.finish(1, 1, Measurement({"val_accuracy": 1.0}))
        with pytest.raises(StoreError):
            store.retry(7)

    def test_states_come_back_unchanged(self, store: Store, reopened: Callable[[], Store]) -> None:
        state = State(
            arrays={
                "exact": np.array(_NUMBERS),
                "single": np.arange(6, dtype=np.float32).reshape(2, 3),
                "turned": np.arange(6.0).reshape(2, 3).T,
                "counts": np.array([2**62, -1], dtype=np.int64),
                "bytes": np.arange(256, dtype=np.uint8),
                "mask": np.array([True, False]),
                "empty": np.empty((0, 3)),
                "scalar": np.array(7),
                "Grüße/\N{SNOWMAN}": np.zeros(1),
            },
            values={"epochs": 3, "name": "\N{SNOWMAN}", "nested": {"list": [1, 2.5, None, True]}, "empty": {}},
        )
        store.begin([_proposal("a")], (0, 0), state)
        back = reopened().state()
        assert back == state
        assert back is not None
        for name, array in state.arrays.items():
            got = back.arrays[name]
            assert (got.dtype, got.shape) == (array.dtype, array.shape)
            assert got.tobytes() == array.tobytes()  # -0.0 too

    def test_the_newest_state_is_kept(self, store: Store, reopened: Callable[[], Store]) -> None:
        store.begin([_proposal("a")], (0, 0), State(values={"round": 1}))
        store.begin([_proposal("b")], (1, 0), State(arrays={"w": np.ones(2)}, values={"round": 2}))
        store.begin([_proposal("c")], (2, 0), None)
        assert reopened().state() == State(arrays={"w": np.ones(2)}, values={"round": 2})

    def test_a_group_and_its_bank_are_recorded_together(self, store: Store, reopened: Callable[[], Store]) -> None:
        assert store.evaluator_state() is None
        store.begin([_proposal(name) for name in "abc"], (0, 0), State(values={"of": "the optimizer"}))
        failure = Failure("diverged", "NaN")
        bank = State(arrays={"w": np.arange(3.0)}, values={"epochs": 1})
        finished = store.finish_group([(1, 1, Measurement({"val_accuracy": 1.0})), (0, 1, failure)], bank)
        assert [(trial.number, trial.status) for trial in finished] == [(1, Status.COMPLETED), (0, Status.FAILED)]
        again = reopened()
        assert again.finished_order() == [1, 0]
        assert [trial.status for trial in again.trials()] == [Status.FAILED, Status.COMPLETED, Status.RUNNING]
        assert again.evaluator_state() == bank
        assert again.state() == State(values={"of": "the optimizer"})
        again.finish_group([(2, 1, failure)], None)
        assert again.evaluator_state() == bank

    def test_of_a_group_with_an_older_attempt_nothing_is_recorded(self, store: Store) -> None:
        store.begin([_proposal("a"), _proposal("b")], (0, 0), None)
        store.retry(1)
        measured = Measurement({"val_accuracy": 1.0})
        with pytest.raises(StaleAttempt):
            store.finish_group([(0, 1, measured), (1, 1, measured)], State(values={"epochs": 1}))
        assert store.finished_order() == []
        assert store.evaluator_state() is None
        store.finish_group([(0, 1, measured), (1, 2, measured)], State(values={"epochs": 2}))
        assert store.evaluator_state() == State(values={"epochs": 2})

    def test_closing_twice_does_nothing(self, store: Store) -> None:
        store.close()
        store.close()


def _proposal(name: str) -> Proposal:
    return Proposal(Architecture("toy", (name, 1)))
