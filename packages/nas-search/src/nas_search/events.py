"""What happens in a study while it runs, told to whoever listens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from nas_core.trial import Trial


@dataclass(frozen=True)
class TrialStarted:
    """A trial has been recorded and handed to the executor; its attempt is above 1 where it is run again."""

    trial: Trial


@dataclass(frozen=True)
class TrialFinished:
    """A result has been committed.

    Args:
        trial: with all its metrics.
        best: the best trials so far: one, or the Pareto front where there are several objectives.
    """

    trial: Trial
    best: tuple[Trial, ...]


@dataclass(frozen=True)
class StudyStopped:
    """The study ends here for now.

    Args:
        reason: see `Summary.reason`.
        finished: number of finished trials.
    """

    reason: str
    finished: int


Event: TypeAlias = TrialStarted | TrialFinished | StudyStopped
