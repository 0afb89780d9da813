"""Executors: where evaluations run. `make_executor` reads their short names."""

from __future__ import annotations

import os
import re

from nas_core.errors import InvalidOption
from nas_core.executor import Executor


def make_executor(name: str) -> Executor:
    """The executor of a name, not started.

    Args:
        name: "serial" (in this process), "processes" (a worker process a core) or "processes:4".

    Raises:
        InvalidOption: none of these.
    """
    from nas_search.executors.processes import ProcessExecutor
    from nas_search.executors.serial import SerialExecutor

    if name == "serial":
        return SerialExecutor()
    match = re.fullmatch(r"processes(?::([1-9][0-9]{0,3}))?", name)
    if match is None:
        raise InvalidOption("no executor has this name", value=name, expected="serial, processes or processes:NUMBER")
    return ProcessExecutor(int(match[1]) if match[1] else cores())


def cores() -> int:
    """The number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
