"""The runs of a comparison in parallel processes. What goes in and out of one is plain JSON.

Each worker has one thread, so that figures do not depend on how many there are; it reads a table when it first needs
it, fits it where it is to be fitted, and keeps it. A worker ends with its parent, also when that is killed.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from nas_core.errors import NasError
from nas_core.objective import Objectives
from nas_search.compare.fitted import FittedProblem, SearchProblem
from nas_search.compare.plan import TableFile
from nas_search.compare.problem import Problem
from nas_search.compare.run import Record, run
from nas_search.config import component
from nas_search.executors.messages import error_message, error_of
from nas_search.executors.work import THREAD_VARIABLES, limit_threads
from nas_search.table_files import read_table

_AHEAD = 2


def runs(jobs: Sequence[Mapping[str, Any]], workers: int, stop: Callable[[], bool]) -> Iterator[Record]:
    """The records of jobs as they end.

    Args:
        jobs: plain data, see `job`.
        workers: number of processes.
        stop: once it says so nothing more is begun; what runs is finished.

    Raises:
        NasError: a run cannot be done, or a worker died.
    """
    if not jobs:
        return
    texts = iter([json.dumps(one) for one in jobs])
    others = set(multiprocessing.active_children())
    with _one_thread():
        pool = ProcessPoolExecutor(
            min(workers, len(jobs)), mp_context=multiprocessing.get_context("spawn"), initializer=_begin
        )
        try:
            waiting = {pool.submit(_work, text) for text in islice(texts, _AHEAD * workers)}
            while waiting:
                done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
                if stop():
                    waiting = {future for future in waiting if not future.cancel()}
                else:
                    waiting |= {pool.submit(_work, text) for text in islice(texts, len(done))}
                yield from map(_record, done)
        except BrokenProcessPool:
            if stop():  # a signal to the whole process group ended the workers too
                return
            raise NasError(
                "a worker process died", remedy="Run the same command again: it goes on after the runs that are kept."
            ) from None
        except KeyboardInterrupt:
            for worker in set(multiprocessing.active_children()) - others:
                worker.kill()
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def job(table: TableFile, optimizer: str, seed: int, budget: int, objectives: Objectives) -> dict[str, Any]:
    """What a worker has to know of a run."""
    of_table = {"table": table.name, "file": table.file, "fitted": table.fitted}
    wanted = objectives.to_config()
    return {**of_table, "optimizer": optimizer, "seed": seed, "budget": budget, "wanted": wanted}


def _record(future: Future[str]) -> Record:
    message = json.loads(future.result())
    if "error" in message:
        raise error_of(message["error"])
    record: Record = message["record"]
    return record


def _work(text: str) -> str:
    told = json.loads(text)
    try:
        problem = _problem(told["file"], json.dumps(told["wanted"]), json.dumps(told["fitted"]))
        record = run(problem, component(told["optimizer"]), told["seed"], told["budget"])
    except NasError as error:
        return json.dumps({"error": error_message(error)})
    return json.dumps({"record": {**{key: told[key] for key in ("table", "optimizer", "seed")}, **record}})


@cache
def _problem(file: str, wanted: str, fitted: str) -> SearchProblem:
    path, objectives, options = Path(file), Objectives.parse(**json.loads(wanted)), json.loads(fitted)
    table = read_table(path)
    return Problem(path, table, objectives) if options is None else FittedProblem(path, table, objectives, options)


def _begin() -> None:
    """Leave Ctrl-C to the parent, keep to one thread, and end with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Processes that are started inside load their numerical libraries with one thread."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
