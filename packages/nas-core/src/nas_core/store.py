"""What a store is: it keeps a study's trials, results and carried states safe.

A store sees trials and blobs only. What `finish` has returned for is on disk and stays there; what `begin` recorded
without a result is run again by whoever goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from nas_core.optimizer import State
from nas_core.trial import Failure, Measurement, Proposal, Trial


@runtime_checkable
class Store(Protocol):
    """One study's memory."""

    @property
    def spec(self) -> Mapping[str, Any]:
        """What the study runs, as plain data, fixed when it was created."""
        ...

    def begin(self, proposals: Sequence[Proposal], seen: tuple[int, int], state: State | None) -> list[Trial]:
        """Record proposals as running trials, in one transaction.

        Args:
            proposals: in the order of the numbers that they get.
            seen: the history they were made from (length, seq).
            state: the carried state after them; None keeps what is stored.
        """
        ...

    def retry(self, number: int) -> Trial:
        """Start a running trial anew: its attempt goes up, and an older attempt can no longer finish it."""
        ...

    def finish(self, number: int, attempt: int, result: Measurement | Failure) -> Trial:
        """Record a result.

        Raises:
            StaleAttempt: the trial has been given to a newer attempt, or is finished.
        """
        ...

    def finish_group(
        self, results: Sequence[tuple[int, int, Measurement | Failure]], state: State | None
    ) -> list[Trial]:
        """Record the results of a group and the bank of weights that it has left, in one transaction.

        Args:
            results: (number, attempt, result) of each member.
            state: the evaluator's state afterwards; None keeps what is stored.

        Raises:
            StaleAttempt: as in `finish`; then nothing is recorded.
        """
        ...

    def evaluator_state(self) -> State | None:
        """The evaluator's state after the newest group; None before the first."""
        ...

    def trials(self) -> list[Trial]:
        """All trials in order of proposal, with full results."""
        ...

    def finished_order(self) -> list[int]:
        """Numbers of the finished trials in the order in which they finished."""
        ...

    def state(self) -> State | None:
        """The carried state after the newest proposals."""
        ...

    def close(self) -> None:
        """Give up what is held open; may be called twice."""
        ...
