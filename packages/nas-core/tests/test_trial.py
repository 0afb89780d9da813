"""Trials: names of metrics, measurements that can be recorded, and what a trial shows at each status."""

from __future__ import annotations

import math
from typing import Any

import pytest

from nas_core.architecture import Architecture
from nas_core.errors import InvalidMeasurement
from nas_core.trial import Failure, Measurement, Proposal, Status, Trial, check_metric_name

A = Architecture("toy", ("conv3",))


@pytest.mark.parametrize(
    "name", ["val_accuracy", "params", "latency_pixel3", "val_accuracy@200", "test_loss@12.5", "train_seconds", "depth"]
)
def test_names_of_metrics(name: str) -> None:
    assert check_metric_name(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "Val_accuracy", "val accuracy", "val__accuracy", "_val", "val_", "val-accuracy", "3d", "val_accuracy@",
     "val_accuracy@x", "val_accuracy@1.", "größe", "val_accuracy\n", None, 3],
)  # fmt: skip
def test_names_of_no_metric(name: Any) -> None:
    with pytest.raises(InvalidMeasurement, match="not a metric's name"):
        check_metric_name(name)


@pytest.mark.parametrize("name", ["accuracy", "loss", "error", "perplexity", "top1", "top5", "accuracy@200"])
def test_names_must_say_their_split(name: str) -> None:
    with pytest.raises(InvalidMeasurement, match=f"must say its split: '{name}'; expected train_{name}, val_{name}"):
        check_metric_name(name)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, "93", True, [1.0], 1j])
def test_metrics_must_be_finite_numbers(value: Any) -> None:
    with pytest.raises(InvalidMeasurement, match="'val_accuracy' must be a finite number"):
        Measurement({"params": 1, "val_accuracy": value})


def test_a_measurement_needs_metrics_with_names() -> None:
    with pytest.raises(InvalidMeasurement, match="without metrics"):
        Measurement({})
    with pytest.raises(InvalidMeasurement, match="must say its split"):
        Measurement({"accuracy": 93.0})


@pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf, None, "1"])
def test_seconds_must_be_finite_and_not_negative(seconds: Any) -> None:
    with pytest.raises(InvalidMeasurement, match="seconds"):
        Measurement({"val_accuracy": 93.0}, seconds=seconds)


def test_what_a_trial_shows() -> None:
    running = Trial(0, Proposal(A))
    assert (running.architecture, running.status, running.metrics, running.seconds) == (A, Status.RUNNING, {}, 0.0)
    completed = Trial(0, Proposal(A), Status.COMPLETED, Measurement({"val_accuracy": 93.0}, seconds=2.0))
    assert (completed.metrics, completed.seconds) == ({"val_accuracy": 93.0}, 2.0)
    failed = Trial(0, Proposal(A), Status.FAILED, Failure("timeout", "too slow", seconds=9.0))
    assert (failed.metrics, failed.seconds) == ({}, 9.0)


def test_statuses_are_their_words() -> None:
    assert [str(status) for status in Status] == ["running", "completed", "failed"]


def test_what_is_not_said_is_the_first_and_free() -> None:
    proposal = Proposal(A)
    assert (proposal.fidelity, proposal.draw, proposal.replicate) == (None, 0, 0)
    assert (proposal.resume_from, proposal.group, proposal.info) == (None, None, {})
    assert Trial(0, proposal).attempt == 1
    assert Measurement({"params": 1}).seconds == Failure("timeout", "too slow").seconds == 0
    assert Measurement({"params": 1}, seconds=0).seconds == 0


def test_proposals_do_not_share_their_info() -> None:
    assert Proposal(A) == Proposal(A)
    assert Proposal(A).info is not Proposal(A).info
