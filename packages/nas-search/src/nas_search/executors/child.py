"""A worker process of the process executor: one job, then task after task, until the parent says so or is gone.

A thread of its own listens to the parent, so that a worker ends with its parent even while it evaluates, together with
the processes that the evaluation started.
"""

from __future__ import annotations

import os
import queue
import signal
import threading
import traceback
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from nas_core.errors import NasError
from nas_core.executor import Outcome
from nas_search.executors.messages import (
    error_message,
    group_of,
    group_outcome_message,
    job_of,
    outcome_message,
    receive,
    send,
    task_of,
)
from nas_search.executors.work import Worker

_LOOK_SECONDS = 2.0


def main(file: int, parent: int) -> None:
    """Work for the process `parent` over the socket with the descriptor `file`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's affair
    os.set_inheritable(file, False)
    connection = Connection(file)
    messages: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, parent, messages), daemon=True).start()
    with suppress(OSError):  # the parent is gone
        _work(connection, messages)


def _work(connection: Connection, messages: queue.SimpleQueue[dict[str, Any]]) -> None:
    worker = _ready(messages.get()["job"])
    if isinstance(worker, NasError):
        send(connection, {"error": error_message(worker)})
        return
    send(connection, {"ready": True})
    while "end" not in (message := messages.get()):
        if "group" in message:
            send(connection, group_outcome_message(worker.run_group(group_of(message["group"]))))
        else:
            task = task_of(message["task"])
            send(connection, {"outcome": outcome_message(Outcome(task.number, task.attempt, worker.run(task)))})


def _ready(job: dict[str, Any]) -> Worker | NasError:
    try:
        return Worker(job_of(job))
    except NasError as error:
        return error
    except Exception as error:  # a fault of the evaluator's: its author needs to see where
        place = "".join(traceback.format_exception(error)).rstrip()
        return NasError(f"the evaluator could not be prepared\n{place}")


def _listen(connection: Connection, parent: int, messages: queue.SimpleQueue[dict[str, Any]]) -> None:
    """Pass messages on; end the process when there is nobody left to send any."""
    with suppress(EOFError, OSError):
        while os.getppid() == parent:
            if connection.poll(_LOOK_SECONDS):
                messages.put(receive(connection))
    os.killpg(0, signal.SIGKILL)
