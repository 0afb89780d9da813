"""One driver a study: who holds the lease, and whether that process is still there.

A driver that was killed on this machine is known to be gone at once: its process does not exist any more, or another
one has its number. Elsewhere, and where the system does not tell, a driver counts as gone when its heart has not beaten
for `EXPIRY` seconds; clocks of machines that share a store must agree to within a few seconds.
"""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXPIRY = 60.0
BEAT = 15.0

given_up: set[str] = set()
"""Drivers of this process that are done, though their lease could not be taken out of the store."""


@dataclass(frozen=True)
class Driver:
    """A process that drives a study.

    Args:
        id: unique to one `SqlStore.acquire`.
        host: name of the machine.
        pid: number of the process.
        started: what tells the process from others that get its number later; "" where the system does not say.
        heartbeat: when it was last known to live (seconds since 1970).
    """

    id: str
    host: str
    pid: int
    started: str
    heartbeat: float

    @classmethod
    def here(cls) -> Driver:
        """This process."""
        pid = os.getpid()
        return cls(uuid.uuid4().hex, socket.gethostname(), pid, process_start(pid) or "", time.time())

    @property
    def alive(self) -> bool:
        """Whether it still drives."""
        if self.id in given_up:
            return False
        if self.started and self.host == socket.gethostname() and _machine(self.started) == _machine():
            return process_start(self.pid) == self.started
        return abs(time.time() - self.heartbeat) < EXPIRY


def process_start(pid: int) -> str | None:
    """What tells a process from others that had or will have its number: "machine/when it started".

    None where there is no such process (or only its remains that nobody has collected), "" where that cannot be told.
    """
    if not Path("/proc/self/stat").exists():
        return _start_by_ps(pid)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "" if _hidden(pid) else None
    except OSError:
        return ""
    return None if fields[0] in ("Z", "X") else f"{_machine()}/{fields[19]}"


def _hidden(pid: int) -> bool:
    """Whether there is such a process although /proc does not show it to us."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _machine(started: str | None = None) -> str:
    """This boot of this machine and its space of process numbers (containers have their own), or that of `started`."""
    if started is not None:
        return started.rpartition("/")[0]
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _start_by_ps(pid: int) -> str | None:
    try:
        done = subprocess.run(
            ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    state, _, when = done.stdout.strip().partition(" ")
    return None if not when or state.startswith("Z") else f"/{when.strip()}"


class Heart(threading.Thread):
    """Renews a lease until it is stopped or the lease is lost.

    Args:
        beat: renews once; False where the lease is somebody else's now, None where this could not be found out.
    """

    def __init__(self, beat: Callable[[], bool | None]) -> None:
        super().__init__(name="nas-lease", daemon=True)
        self._beat = beat
        self._end = threading.Event()
        self.lost = False

    def run(self) -> None:
        """Beat every `BEAT` seconds."""
        while not self._end.wait(BEAT):
            if self._beat() is False:
                self.lost = True
                return

    def stop(self) -> None:
        """End the thread and wait for it."""
        self._end.set()
        self.join()


def driver_of(row: Any) -> Driver:
    """The driver of a row of the lease table."""
    return Driver(row.driver, row.host, row.pid, row.started, row.heartbeat)
