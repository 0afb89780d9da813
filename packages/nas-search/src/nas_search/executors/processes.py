"""The process executor: worker processes that are fresh interpreters, and tasks sent to them as JSON.

A worker that dies, whatever killed it, costs the trial it was at and is replaced. Workers are started as new
interpreters rather than with multiprocessing, so that their environment (threads of numerical libraries, the GPU) is
set before anything is imported, and scripts that start a study need no `if __name__ == "__main__"`. Each is the leader
of a process group of its own: Ctrl-C in the terminal does not reach it, and it is ended together with its children.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, final

from nas_core.errors import InvalidOption, NasError
from nas_core.executor import Group, GroupOutcome, Job, Outcome, Task
from nas_core.trial import Failure
from nas_search.executors.messages import (
    error_of,
    group_message,
    group_outcome_of,
    job_message,
    outcome_of,
    receive,
    send,
    task_message,
)
from nas_search.executors.work import THREAD_VARIABLES

_PROGRAM = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from nas_search.executors.child import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)
_END_SECONDS = 5.0
_LOOK_SECONDS = 1.0


@final
class ProcessExecutor:
    """Evaluates in `workers` processes. See `nas_core.executor.Executor`.

    Where several GPUs are visible they are dealt out in turn: with as many workers as GPUs each has one of its own.

    Args:
        workers: how many, from 1.

    Raises:
        InvalidOption: fewer.
    """

    def __init__(self, workers: int) -> None:
        if workers < 1:
            raise InvalidOption("there must be at least one worker", value=workers)
        self._count = workers
        self._job: Job | None = None
        self._gpus: Sequence[str] = ()
        self._workers: dict[int, _Worker] = {}

    @property
    def slots(self) -> int:
        """The number of workers."""
        return self._count

    def start(self, job: Job) -> None:
        """Start all workers and wait until each has prepared its evaluator.

        Raises:
            NasError: the evaluator cannot work, in the words of the first worker that says so.
        """
        self._job = job
        self._gpus = visible_gpus()
        try:
            for place in range(self._count):
                self._workers[place] = self._hire(place)
            for worker in self._workers.values():
                worker.await_ready()
        except BaseException:
            self.stop()
            raise

    def submit(self, task: Task | Group) -> None:
        """Give a task, or a group, to a free worker; one that has died is replaced now.

        Raises:
            InvalidOption: every worker is busy, or the executor has not been started.
        """
        free = [place for place, worker in self._workers.items() if worker.task is None]
        if not free:
            raise InvalidOption("no worker is free", expected=f"at most {self._count} tasks at once")
        place = next((place for place in free if self._workers[place].alive), free[0])
        if not self._workers[place].alive:
            self._workers[place].end()
            self._workers[place] = self._hire(place)
        self._workers[place].take(task)

    def wait(self, timeout: float | None = None) -> list[Outcome | GroupOutcome]:
        """Outcomes of tasks that have ended; see `nas_core.executor.Executor.wait`.

        Raises:
            NasError: a worker that replaced another cannot prepare its evaluator.
        """
        deadline = time.monotonic() + timeout if timeout is not None else None
        while True:
            busy = {worker.connection: worker for worker in self._workers.values() if worker.task is not None}
            if not busy:
                return []
            left = _LOOK_SECONDS if deadline is None else min(max(deadline - time.monotonic(), 0.0), _LOOK_SECONDS)
            spoken = wait(list(busy), left)
            told = [worker.outcome() for c, worker in busy.items() if c in spoken or not worker.alive]
            ended = [outcome for outcome in told if outcome is not None]
            if ended or (deadline is not None and time.monotonic() >= deadline):
                return ended

    def stop(self) -> None:
        """End all workers, busy ones at once; may be called twice."""
        for worker in self._workers.values():
            worker.dismiss()
        deadline = time.monotonic() + _END_SECONDS
        for worker in self._workers.values():
            worker.end(deadline)
        self._workers = {}

    def _hire(self, place: int) -> _Worker:
        if self._job is None:
            raise InvalidOption("the executor has not been started")
        environment = dict(os.environ)
        if self._job.threads is not None:
            environment.update(dict.fromkeys(THREAD_VARIABLES, str(self._job.threads)))
        if len(self._gpus) > 1:
            environment["CUDA_VISIBLE_DEVICES"] = self._gpus[place % len(self._gpus)]
        return _Worker(self._job, environment)


class _Worker:
    """One worker process and the task it is at."""

    def __init__(self, job: Job, environment: dict[str, str]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _PROGRAM, json.dumps(sys.path), str(theirs.fileno()), str(os.getpid())],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=2,  # what an evaluator prints is no result of ours
                pass_fds=[theirs.fileno()],
                process_group=0,
            )
        self.connection = Connection(ours.detach())
        self.task: Task | Group | None = None
        self._begun = 0.0
        self._ready = False
        self._say({"job": job_message(job)})

    @property
    def alive(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def await_ready(self) -> None:
        """Wait until the evaluator is prepared; raises NasError where it cannot be."""
        try:
            self._hear(receive(self.connection))
        except (EOFError, OSError):
            raise NasError("a worker process ended before it was ready", value=self._how_it_ended()) from None

    def take(self, task: Task | Group) -> None:
        """Begin a task, or a group."""
        self.task, self._begun = task, time.perf_counter()
        self._say({"group": group_message(task)} if isinstance(task, Group) else {"task": task_message(task)})

    def outcome(self) -> Outcome | GroupOutcome | None:
        """What came of the task, read now; None where the worker said something else.

        Raises:
            NasError: it cannot prepare its evaluator.
        """
        if self.task is None:
            return None
        try:
            if not self.alive and not self.connection.poll():
                raise EOFError  # a process that it started may still hold the socket
            outcome = self._hear(receive(self.connection))
        except (EOFError, OSError):
            message = f"the worker process died: {self._how_it_ended()}"
            outcome = _crashed(self.task, message, time.perf_counter() - self._begun)
        if outcome is not None:
            self.task = None
        return outcome

    def dismiss(self) -> None:
        """Let an idle worker go; one that is busy or not ready is killed."""
        if self.task is None and self._ready:
            self._say({"end": True})
        else:
            self._kill()

    def end(self, deadline: float = 0.0) -> None:
        """Wait for the end until `deadline` (monotonic), then kill."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(max(deadline - time.monotonic(), 0.0))
        self._kill()
        self._process.wait()
        self.connection.close()

    def _hear(self, message: dict[str, Any]) -> Outcome | GroupOutcome | None:
        if "error" in message:
            raise error_of(message["error"])
        if "outcome" in message:
            return outcome_of(message["outcome"])
        if "outcomes" in message:
            return group_outcome_of(message)
        self._ready = True
        return None

    def _say(self, message: dict[str, Any]) -> None:
        with suppress(OSError):  # it is dead, which shows where it is waited for
            send(self.connection, message)

    def _kill(self) -> None:
        """Kill the process and those that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _how_it_ended(self) -> str:
        self._kill()
        code = self._process.wait()
        if code >= 0:
            return f"exit code {code}"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
        return f"killed by {name}" + (" (the system does so when memory runs out)" if name == "SIGKILL" else "")


def _crashed(task: Task | Group, message: str, seconds: float) -> Outcome | GroupOutcome:
    """The outcome of what a worker was at when it died; a group shares its time out."""
    if isinstance(task, Group):
        failure = Failure("crashed", message, seconds / len(task.tasks))
        return GroupOutcome(tuple(Outcome(one.number, one.attempt, failure) for one in task.tasks), None)
    return Outcome(task.number, task.attempt, Failure("crashed", message, seconds))


def visible_gpus() -> list[str]:
    """Names of the CUDA devices that this process may use, as CUDA_VISIBLE_DEVICES takes them; [] without any."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        done = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return done.stdout.split() if done.returncode == 0 else []
