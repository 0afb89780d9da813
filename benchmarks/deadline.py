"""Until when a benchmark begins something new; the same command goes on another time."""

from __future__ import annotations

import argparse
import time


class Deadline:
    """An end of the time for beginnings, the same in all processes of a machine.

    Args:
        minutes: from now on; None for no end.
    """

    def __init__(self, minutes: float | None) -> None:
        self._end = float("inf") if minutes is None else time.monotonic() + 60.0 * minutes

    @property
    def seconds(self) -> float | None:
        """What is left, at least 0; None where there is no end."""
        return None if self._end == float("inf") else max(0.0, self._end - time.monotonic())

    def over(self) -> bool:
        """Whether it has passed."""
        return time.monotonic() >= self._end

    def check(self) -> None:
        """Stop the benchmark where it has passed.

        Raises:
            SystemExit: it has.
        """
        if self.over():
            raise SystemExit("the time is over; the same command goes on from here")


def add_option(parser: argparse.ArgumentParser) -> None:
    """The option `--minutes`."""
    parser.add_argument("--minutes", type=float, help="begin nothing new after so many minutes")
