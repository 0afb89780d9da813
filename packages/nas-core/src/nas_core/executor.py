"""What an executor is: it runs an evaluator on tasks, here, in processes or elsewhere.

A job says once what all tasks have in common; a task is one attempt at one trial. Both are plain JSON, so that they can
be sent anywhere. Trials that are evaluated together on one bank of weights are sent as a group, with the bank: arrays
and JSON. An executor never sees the store or the optimizer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

from nas_core.optimizer import State
from nas_core.trial import Failure, Measurement


@dataclass(frozen=True)
class Job:
    """What all tasks of a study have in common.

    Args:
        space: configuration of the space (`registry.from_config`).
        evaluator: configuration of the evaluator.
        seed: the study's seed.
        artefacts: directory for files worth keeping; None where nothing is kept.
        threads: CPU threads an evaluation may use; None leaves the libraries' choice.
    """

    space: Mapping[str, Any]
    evaluator: Mapping[str, Any]
    seed: int
    artefacts: str | None = None
    threads: int | None = None


@dataclass(frozen=True)
class Task:
    """One attempt at one trial: the architecture as values, and how it is to be evaluated."""

    number: int
    attempt: int
    values: tuple[Any, ...]
    fidelity: float | None = None
    draw: int = 0
    replicate: int = 0
    resume_from: str | None = None


@dataclass(frozen=True)
class Group:
    """Tasks that are evaluated together, as one (`nas_core.evaluator.GroupEvaluator`), and the bank to go on from."""

    tasks: tuple[Task, ...]
    state: State | None = None


class Outcome(NamedTuple):
    """What came of a task."""

    number: int
    attempt: int
    result: Measurement | Failure


class GroupOutcome(NamedTuple):
    """What came of a group: an outcome for each of its tasks, and the bank afterwards; None where it is as before."""

    outcomes: tuple[Outcome, ...]
    state: State | None


@runtime_checkable
class Executor(Protocol):
    """Runs tasks. `start`, then any number of `submit` and `wait`, then `stop`."""

    @property
    def slots(self) -> int:
        """How many tasks run at once; a group counts as one."""
        ...

    def start(self, job: Job) -> None:
        """Get ready; raises NasError where the evaluator cannot work (missing data, a wrong option)."""
        ...

    def submit(self, task: Task | Group) -> None:
        """Take on a task, or a group as one task; at most `slots` are unfinished at a time."""
        ...

    def wait(self, timeout: float | None = None) -> list[Outcome | GroupOutcome]:
        """Outcomes of tasks that have ended, in the order in which they did.

        Waits for at least one unless `timeout` seconds pass. A worker that dies gives its task, or each of its group's,
        a Failure "crashed" and is replaced.
        """
        ...

    def stop(self) -> None:
        """End all workers; unfinished tasks are dropped. May be called twice."""
        ...
