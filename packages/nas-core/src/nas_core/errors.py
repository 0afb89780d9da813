"""Errors in the user's words.

Every error that a user can cause is a `NasError`. It says which value was wrong, where it came from, what was expected
and what to do; a command line prints it without a traceback. An error that is none of these is a fault of the toolkit.
"""

from __future__ import annotations

from typing import Any

_ABSENT: Any = object()
_LONGEST_VALUE = 120


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


class NasError(Exception):
    """What went wrong, in one message.

    Args:
        problem: what is wrong, a sentence without a full stop.
        value: the offending value, shown as Python would write it, shortened.
        place: where it came from: a file and line, an option, a TOML key.
        expected: what would have been accepted.
        remedy: what to do about it.
    """

    def __init__(
        self,
        problem: str,
        *,
        value: Any = _ABSENT,
        place: str | None = None,
        expected: str | None = None,
        remedy: str | None = None,
    ) -> None:
        self.problem = problem
        self.has_value = value is not _ABSENT
        self.value = None if value is _ABSENT else value
        self.place = place
        self.expected = expected
        self.remedy = remedy
        super().__init__(problem)

    def __str__(self) -> str:
        text = self.problem
        if self.has_value:
            text += f": {_shown(self.value)}"
        if self.place:
            text += f" (in {self.place})"
        if self.expected:
            text += f"; expected {self.expected}"
        if self.remedy:
            text += f". {self.remedy}"
        return text

    def at(self, place: str) -> NasError:
        """The same error, with the place it came from named by a caller who knows it better."""
        self.place = place if self.place is None else f"{place}, {self.place}"
        return self


class InvalidGraph(NasError):
    """A labelled graph that is not acyclic, not in topological order, or inconsistent."""


class InvalidArchitecture(NasError):
    """Values or text that are no member of the space."""


class InvalidSpace(NasError):
    """The definition of a space or of a decision contradicts itself."""


class InvalidNetwork(NasError):
    """A network whose shapes do not fit, or that cannot be built for the task."""


class InvalidObjective(NasError):
    """An objective or constraint that cannot be read or cannot be measured."""


class InvalidOption(NasError):
    """An option, argument or configuration key that is unknown or has a wrong value."""


class InvalidTable(NasError):
    """A table file that is damaged, incomplete or of another space."""


class InvalidData(NasError):
    """Training data that is missing or has wrong shapes, types or labels."""


class InvalidMeasurement(NasError):
    """An evaluator returned metrics that cannot be recorded."""


class InvalidPrediction(NasError):
    """A surrogate predicted numbers of a wrong shape, or numbers that are not finite."""


class MissingCapability(NasError):
    """A component needs a view or capability that the space does not have."""


class RegistryError(NasError):
    """A component name that nobody registered, that two packages claim, or that fails to load."""


class StoreError(NasError):
    """A store or run directory that cannot be opened, read or written."""


class StaleAttempt(StoreError):
    """A worker reports an attempt that has been given to somebody else since."""


class TrialFailed(NasError):
    """An evaluator could not measure an architecture; the study records it and goes on.

    `reason` is a short word for counting: "out_of_memory", "diverged", "crashed", "timeout", "not_in_table", …
    """

    def __init__(self, reason: str, problem: str, **details: Any) -> None:
        super().__init__(problem, **details)
        self.reason = reason
        self.args = (reason, problem)  # what pickle makes it of again, on its way out of a worker process


class Exhausted(NasError):
    """The optimizer has nothing left to propose and nothing is running."""
