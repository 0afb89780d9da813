"""The serial executor: one evaluation at a time, in this process, while somebody waits for it."""

from __future__ import annotations

from typing import final

from nas_core.errors import InvalidOption
from nas_core.executor import Group, GroupOutcome, Job, Outcome, Task
from nas_search.executors.work import Worker, outcome_of


@final
class SerialExecutor:
    """Evaluates in `wait`; Ctrl-C there drops the task. See `nas_core.executor.Executor`."""

    def __init__(self) -> None:
        self._worker: Worker | None = None
        self._task: Task | Group | None = None

    @property
    def slots(self) -> int:
        """One."""
        return 1

    def start(self, job: Job) -> None:
        """Make the space and the evaluator.

        Raises:
            NasError: the evaluator cannot work.
        """
        self._worker = Worker(job)

    def submit(self, task: Task | Group) -> None:
        """Take on a task, or a group as one; nothing happens before `wait`.

        Raises:
            InvalidOption: there is an unfinished one, or the executor has not been started.
        """
        if self._worker is None or self._task is not None:
            raise InvalidOption("the serial executor takes one task at a time, when started")
        self._task = task

    def wait(self, timeout: float | None = None) -> list[Outcome | GroupOutcome]:
        """Evaluate the task, whatever the timeout; nothing without one."""
        if self._worker is None or self._task is None:
            return []
        task, self._task = self._task, None
        return [outcome_of(self._worker, task)]

    def stop(self) -> None:
        """Let go of the evaluator and of a task that has not been run."""
        self._worker = None
        self._task = None
