"""Trials: one evaluation of one architecture at one fidelity, draw and replicate, from proposal to result."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any, TypeVar

from nas_core.architecture import Architecture
from nas_core.errors import InvalidMeasurement

_METRIC = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*(@[0-9]+(\.[0-9]+)?)?")
_AMBIGUOUS = frozenset({"accuracy", "error", "loss", "perplexity", "top1", "top5"})


def check_metric_name(name: object) -> str:
    """Check a metric's name and return it.

    It is lower-case words joined by underscores, the split first where there is one ("val_accuracy"), with a fidelity
    after "@" where a table has several ("val_accuracy@200"). A bare "accuracy" says no split and is refused.

    Raises:
        InvalidMeasurement: it is not such a name.
    """
    if isinstance(name, str) and _METRIC.fullmatch(name) and name.split("@")[0] not in _AMBIGUOUS:
        return name
    if not isinstance(name, str) or not _METRIC.fullmatch(name):
        raise InvalidMeasurement(
            "not a metric's name", value=name, expected="lower-case words joined by '_', such as val_accuracy or params"
        )
    raise InvalidMeasurement(
        "a metric's name must say its split", value=name, expected=f"train_{name}, val_{name} or test_{name}"
    )


@lru_cache(maxsize=1024)
def _check_names(names: tuple[object, ...]) -> None:
    """Check all; remembered, since a study's measurements have the same names."""
    for name in names:
        check_metric_name(name)


class Status(StrEnum):
    """Where a trial stands."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"


@dataclass(frozen=True)
class Proposal:
    """What an optimizer asks to have evaluated.

    Args:
        architecture: the member.
        fidelity: how much to spend on it, in the evaluator's unit (epochs); None for the evaluator's only or highest.
        draw: which network a generator space draws.
        replicate: which repetition of the training.
        resume_from: number of the trial whose training is continued.
        group: trials with one group name are evaluated together on one bank of weights.
        info: what the optimizer wants to find again in the history (bracket, rung, parent): JSON.
    """

    architecture: Architecture
    fidelity: float | None = None
    draw: int = 0
    replicate: int = 0
    resume_from: int | None = None
    group: str | None = None
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def fullness(self) -> float:
        """The fidelity as a number to compare with: infinite where the evaluator's highest is meant."""
        return math.inf if self.fidelity is None else self.fidelity


@dataclass(frozen=True)
class Measurement:
    """What an evaluation found.

    Args:
        metrics: finite numbers by name (`check_metric_name`).
        seconds: what the evaluation cost on its device; what the table says where it was looked up.
        artefacts: files it left, by role, as paths below the artefacts directory ("checkpoint": "ab12….safetensors").
        details: JSON for the reader (curves, versions), never read by an optimizer.

    Raises:
        InvalidMeasurement: a metric with a wrong name or a value that is not a finite number.
    """

    metrics: Mapping[str, float]
    seconds: float = 0.0
    artefacts: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_names(tuple(self.metrics))
        for name, value in self.metrics.items():
            if type(value) is float and math.isfinite(value):
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise InvalidMeasurement(f"metric {name!r} must be a finite number", value=value)
        if not self.metrics:
            raise InvalidMeasurement("a measurement without metrics")
        if not (isinstance(self.seconds, int | float) and math.isfinite(self.seconds) and self.seconds >= 0):
            raise InvalidMeasurement("seconds must be a finite number of at least 0", value=self.seconds)


@dataclass(frozen=True)
class Failure:
    """Why a trial has no measurement: a short word for counting, and a message for the reader."""

    reason: str
    message: str
    seconds: float = 0.0


@dataclass(frozen=True)
class Trial:
    """A proposal and what became of it.

    Args:
        number: its place in the order of proposals, from 0.
        proposal: what was asked.
        status: running, completed or failed.
        result: the measurement of a completed trial, the failure of a failed one, None while it runs.
        attempt: how often it has been started; a worker died or the study was killed each time before the last.
    """

    number: int
    proposal: Proposal
    status: Status = Status.RUNNING
    result: Measurement | Failure | None = None
    attempt: int = 1

    @property
    def architecture(self) -> Architecture:
        """The member that is evaluated."""
        return self.proposal.architecture

    @property
    def metrics(self) -> Mapping[str, float]:
        """The metrics of a completed trial; empty otherwise."""
        return self.result.metrics if isinstance(self.result, Measurement) else {}

    @property
    def seconds(self) -> float:
        """What it has cost on its device so far as is known."""
        return self.result.seconds if self.result is not None else 0.0


T = TypeVar("T", Proposal, Trial)


def units_of(entries: Sequence[T]) -> list[tuple[T, ...]]:
    """Proposals or trials as what is evaluated at once: the members of a group together, all others alone, in order."""
    units: dict[str | int, list[T]] = {}
    for i, one in enumerate(entries):
        group = (one.proposal if isinstance(one, Trial) else one).group
        units.setdefault(i if group is None else group, []).append(one)
    return [tuple(unit) for unit in units.values()]
