"""Executors: where evaluations run. `make_executor` reads their short names."""

from __future__ import annotations

import os
import re

from nas_core.errors import InvalidOption
from nas_core.executor import Executor


def make_executor(name: str, clock: float = 0.0) -> Executor:
    """The executor of a name, not started.

    Args:
        name: "serial" (in this process), "processes" (a worker process a core), "processes:4", "simulated" (one worker
            in simulated time) or "simulated:4".
        clock: where simulated time begins, in seconds.

    Raises:
        InvalidOption: none of these.
    """
    from nas_search.executors.processes import ProcessExecutor
    from nas_search.executors.serial import SerialExecutor
    from nas_search.executors.simulated import SimulatedExecutor

    if name == "serial":
        return SerialExecutor()
    match = re.fullmatch(r"(processes|simulated)(?::([1-9][0-9]{0,3}))?", name)
    if match is None:
        raise InvalidOption(
            "no executor has this name",
            value=name,
            expected="serial, processes, processes:NUMBER, simulated or simulated:NUMBER",
        )
    if match[1] == "simulated":
        return SimulatedExecutor(int(match[2] or 1), clock)
    return ProcessExecutor(int(match[2]) if match[2] else cores())


def cores() -> int:
    """The number of processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
