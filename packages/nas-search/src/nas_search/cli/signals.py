"""Ctrl-C and SIGTERM ask a search to stop; the second time they insist."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_STOPPING = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether somebody has asked to stop: call it."""

    def __init__(self) -> None:
        self._asked = False

    def __call__(self) -> bool:
        """True from the first signal on."""
        return self._asked

    def ask(self) -> bool:
        """Ask to stop; says whether this is the first time."""
        first, self._asked = not self._asked, True
        return first


@contextmanager
def stop_on_signals(say: Callable[[str], None]) -> Iterator[StopRequest]:
    """While inside, the first signal sets the request and is told to `say`, a second one raises KeyboardInterrupt."""
    request = StopRequest()

    def handle(number: int, frame: FrameType | None) -> None:
        if not request.ask():
            raise KeyboardInterrupt
        say("stopping when the running trials are done; once more stops at once (what runs is then run again)")

    before = {number: signal.signal(number, handle) for number in _STOPPING}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
