"""What a study has come to: counts, costs, the best trials, and the accounts of its budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.space import HasTwins, Space
from nas_core.trial import Failure, Status, Trial
from nas_search.executors.simulated import simulated_seconds
from nas_search.store import Driver


@dataclass(frozen=True)
class Summary:
    """A study after `Study.run`.

    Args:
        reason: why it stopped: "trials" (all are done), "exhausted" (the optimizer has nothing left), "seconds" (the
            time is spent), "asked" (`stop` said so) or "interrupted" (Ctrl-C).
        finished: trials with a result, all runs of the study together.
        completed: those with a measurement.
        failed: those without.
        failures: how many failed, by reason, the most frequent first.
        best: the best trials with all their metrics, in order of proposal.
        seconds: wall-clock time of this run.
        device_seconds: what all finished trials have cost on their devices.
        architectures: different architectures among the finished trials.
        repeats: finished trials of an architecture that had been proposed before (another fidelity or draw included).
        twins: different architectures that are a twin of an earlier one; None where the space has no rules for twins.
        simulated_seconds: the simulated time that all runs took together; None where nothing was simulated.
    """

    reason: str
    finished: int
    completed: int
    failed: int
    failures: Mapping[str, int]
    best: tuple[Trial, ...]
    seconds: float
    device_seconds: float
    architectures: int
    repeats: int
    twins: int | None
    simulated_seconds: float | None = None


@dataclass(frozen=True)
class StudyStatus:
    """How far a study is.

    Args:
        wanted: trials to be finished.
        completed: trials with a measurement.
        failed: trials that failed.
        running: trials without a result; with no driver they are run again on resume.
        driver: the process that holds the study, dead ones included; None where the last one gave it back.
    """

    wanted: int
    completed: int
    failed: int
    running: int
    driver: Driver | None

    @property
    def finished(self) -> int:
        """Completed and failed trials."""
        return self.completed + self.failed

    @property
    def driven(self) -> bool:
        """Whether a living process drives the study."""
        return self.driver is not None and self.driver.alive


def summarise(
    reason: str, trials: Sequence[Trial], history: History, objectives: Objectives, space: Space, seconds: float
) -> Summary:
    """The summary of a study.

    Args:
        reason: why it stopped.
        trials: all, with full results.
        history: of the same trials.
        objectives: what is best.
        space: counts twins.
        seconds: wall-clock time of this run.
    """
    finished = [trial for trial in trials if trial.status is not Status.RUNNING]
    reasons = Counter(trial.result.reason for trial in finished if isinstance(trial.result, Failure))
    different = {trial.architecture for trial in finished}
    return Summary(
        reason=reason,
        finished=len(finished),
        completed=len(finished) - reasons.total(),
        failed=reasons.total(),
        failures=dict(reasons.most_common()),
        best=tuple(trials[trial.number] for trial in objectives.best(history)),
        seconds=seconds,
        device_seconds=sum(trial.seconds for trial in finished),
        architectures=len(different),
        repeats=len(finished) - len(different),
        twins=len(different) - len(set(map(space.twin_key, different))) if isinstance(space, HasTwins) else None,
        simulated_seconds=simulated_seconds(finished),
    )


def status_of(trials: Sequence[Trial], wanted: int, driver: Driver | None) -> StudyStatus:
    """The status of a study."""
    counts = Counter(trial.status for trial in trials)
    return StudyStatus(wanted, counts[Status.COMPLETED], counts[Status.FAILED], counts[Status.RUNNING], driver)


class BestSoFar:
    """The best of the trials that have finished, one after the other, as `Objectives.best` would have them.

    Args:
        objectives: what is best.
    """

    def __init__(self, objectives: Objectives) -> None:
        self._objectives = objectives
        self._losses: NDArray[np.float64] = np.empty((0, len(objectives.objectives)))
        self._fullness = -np.inf
        self.trials: tuple[Trial, ...] = ()

    def add(self, trial: Trial) -> None:
        """Take account of a finished trial."""
        if trial.status is not Status.COMPLETED:
            return
        values = np.array([[trial.metrics[name] for name in self._objectives.metrics]])
        loss = self._objectives.losses(values)
        fullness = trial.proposal.fullness
        if not self._objectives.feasible(values)[0] or fullness < self._fullness:
            return
        if fullness > self._fullness:
            self._fullness, self.trials, self._losses = fullness, (), self._losses[:0]
        no_worse, better = (self._losses <= loss).all(axis=1), (self._losses < loss).any(axis=1)
        if (no_worse & better).any():
            return
        beaten = (loss <= self._losses).all(axis=1) & (loss < self._losses).any(axis=1)
        kept = np.logical_not(beaten)
        trials = [*(old for old, keep in zip(self.trials, kept.tolist(), strict=True) if keep), trial]
        losses = np.concatenate([self._losses[kept], loss])
        order = sorted(range(len(trials)), key=lambda i: trials[i].number)
        if loss.shape[1] == 1:
            order = order[:1]
        self.trials, self._losses = tuple(trials[i] for i in order), losses[order]
