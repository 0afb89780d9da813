"""The simulated executor: any number of workers on a clock of its own, for evaluations that look their cost up.

Each task is evaluated when it is submitted, in this process, and comes back when its turn has come: in the order in
which `workers` workers would finish, had each evaluation taken the seconds that its measurement says. A search by a
table of trainings so takes milliseconds and sees what a search of days would have seen.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import replace
from typing import Final, final

from nas_core.errors import InvalidOption
from nas_core.executor import Group, GroupOutcome, Job, Outcome, Task
from nas_core.trial import Failure, Measurement, Trial
from nas_search.executors.work import Worker, outcome_of

FINISHED_AT: Final = "simulated_finish"
"""Where the details of a measurement say when it was finished, in seconds of the simulated clock."""


@final
class SimulatedExecutor:
    """Evaluates at once, and gives outcomes back in simulated time. See `nas_core.executor.Executor`.

    Of outcomes that finish at one time the first submitted comes first. A failure takes no time, whatever it took:
    otherwise the order would depend on the machine. What was running when a study was stopped begins anew on resume.

    Args:
        workers: how many, from 1.
        clock: the time at the start, in seconds: when a study that goes on was stopped.

    Raises:
        InvalidOption: fewer.
    """

    def __init__(self, workers: int, clock: float = 0.0) -> None:
        if workers < 1:
            raise InvalidOption("there must be at least one worker", value=workers)
        self._count = workers
        self._clock = clock
        self._submitted = 0
        self._worker: Worker | None = None
        self._running: list[tuple[float, int, Outcome | GroupOutcome]] = []

    @property
    def slots(self) -> int:
        """The number of workers."""
        return self._count

    @property
    def clock(self) -> float:
        """The simulated time: when the last outcome that came back was finished. The study keeps it with the result."""
        return self._clock

    def start(self, job: Job) -> None:
        """Make the space and the evaluator.

        Raises:
            NasError: the evaluator cannot work.
        """
        self._worker = Worker(job)

    def submit(self, task: Task | Group) -> None:
        """Evaluate a task, or a group on one worker; it is begun now by the simulated clock.

        Raises:
            InvalidOption: every worker is busy, or the executor has not been started.
        """
        if self._worker is None or len(self._running) >= self._count:
            raise InvalidOption("no worker is free", expected=f"at most {self._count} tasks at once")
        outcome = outcome_of(self._worker, task)
        if isinstance(outcome, GroupOutcome):
            outcome = outcome._replace(outcomes=tuple(map(_timeless, outcome.outcomes)))
            seconds = sum(one.result.seconds for one in outcome.outcomes)
        else:
            outcome = _timeless(outcome)
            seconds = outcome.result.seconds
        heapq.heappush(self._running, (self._clock + seconds, self._submitted, outcome))
        self._submitted += 1

    def wait(self, timeout: float | None = None) -> list[Outcome | GroupOutcome]:
        """The task that finishes next, whatever the timeout; nothing without one."""
        if not self._running:
            return []
        self._clock, _, outcome = heapq.heappop(self._running)
        return [outcome]

    def stop(self) -> None:
        """Let go of the evaluator and of tasks that have not come back."""
        self._worker = None
        self._running = []


def _timeless(outcome: Outcome) -> Outcome:
    """An outcome, without the time that it took where it is a failure."""
    result = outcome.result
    return outcome._replace(result=replace(result, seconds=0.0)) if isinstance(result, Failure) else outcome


def simulated_seconds(trials: Iterable[Trial]) -> float | None:
    """The simulated time when the last of the trials was finished; None where none was simulated."""
    details = [trial.result.details for trial in trials if isinstance(trial.result, Measurement)]
    return max((float(one[FINISHED_AT]) for one in details if FINISHED_AT in one), default=None)
