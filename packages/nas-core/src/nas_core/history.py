"""The history: all trials of a study, in order, running ones included, in columns.

Notation
    number    place of a trial in the order of proposals, 0 … len(history) - 1
    seq       count of finished trials; finished trials are ordered by when they finished
    metrics   M names: the columns that the holder of the history may see

An optimizer sees the objectives' and constraints' metrics and no others (design: "Only objectives reach an optimizer").
Columns grow by doubling; appending and finishing cost the same at any length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.errors import InvalidMeasurement, InvalidOption
from nas_core.trial import Failure, Measurement, Proposal, Status, Trial


class History:
    """Trials in order of proposal, with the columns of the finished ones.

    Args:
        metrics: names of the M metrics to keep; a completed trial must have measured all of them.
    """

    def __init__(self, metrics: Sequence[str]) -> None:
        self.metrics = tuple(metrics)
        self._trials: list[Trial] = []
        self._finished: list[int] = []
        self._running: dict[int, None] = {}
        self._values: NDArray[np.float64] = np.empty((16, len(self.metrics)))
        self._numbers: dict[Architecture, list[int]] = {}

    def __len__(self) -> int:
        """Number of trials, running ones included."""
        return len(self._trials)

    def __getitem__(self, number: int) -> Trial:
        return self._trials[number]

    def __iter__(self) -> Iterator[Trial]:
        return iter(self._trials)

    def __contains__(self, architecture: object) -> bool:
        """Whether a trial of the architecture has been proposed, whatever became of it."""
        return architecture in self._numbers

    @property
    def seq(self) -> int:
        """Number of finished trials."""
        return len(self._finished)

    @property
    def running(self) -> list[Trial]:
        """Trials without a result yet, in order of proposal."""
        return [self._trials[number] for number in self._running]

    @property
    def finished(self) -> list[Trial]:
        """Completed and failed trials in the order in which they finished."""
        return [self._trials[number] for number in self._finished]

    @property
    def completed(self) -> list[Trial]:
        """Completed trials in the order in which they finished."""
        return [trial for trial in self.finished if trial.status is Status.COMPLETED]

    @property
    def values(self) -> NDArray[np.float64]:
        """Metrics of the finished trials in order of finishing (`seq` x M); NaN in rows of failed ones."""
        view = self._values[: self.seq]
        view.flags.writeable = False
        return view

    def column(self, metric: str) -> NDArray[np.float64]:
        """One metric of the finished trials (`seq`,); NaN where failed.

        Raises:
            InvalidOption: the history does not hold it.
        """
        if metric not in self.metrics:
            raise InvalidOption("the history holds no such metric", value=metric, expected=", ".join(self.metrics))
        return self.values[:, self.metrics.index(metric)]

    def numbers(self, architecture: Architecture) -> tuple[int, ...]:
        """Numbers of the trials of an architecture."""
        return tuple(self._numbers.get(architecture, ()))

    def since(self, seq: int) -> list[Trial]:
        """The trials that have finished since there were `seq` of them: what a derived cache still has to read."""
        return [self._trials[number] for number in self._finished[seq:]]

    def prefix(self, seq: int) -> History:
        """The history of the first `seq` finished trials alone, for fits that happen at intervals.

        Trials keep their order of proposal among themselves and are numbered anew, `resume_from` included.

        Raises:
            InvalidOption: fewer have finished.
        """
        if not 0 <= seq <= self.seq:
            raise InvalidOption("a prefix must be between 0 and the number of finished trials", value=seq)
        kept = History(self.metrics)
        number = {old: new for new, old in enumerate(sorted(self._finished[:seq]))}
        for old in number:
            proposal = self._trials[old].proposal
            if proposal.resume_from is not None:
                proposal = replace(proposal, resume_from=number.get(proposal.resume_from))
            kept.begin(proposal)
        for old in self._finished[:seq]:
            result = self._trials[old].result
            if result is not None:
                kept.finish(number[old], result)
        return kept

    def begin(self, proposal: Proposal) -> Trial:
        """Append a proposal as a running trial."""
        trial = Trial(len(self._trials), proposal)
        self._trials.append(trial)
        self._running[trial.number] = None
        self._numbers.setdefault(proposal.architecture, []).append(trial.number)
        return trial

    def finish(self, number: int, result: Measurement | Failure) -> Trial:
        """Record the result of a running trial.

        Metrics that the history does not hold are left out of the trial it keeps.

        Raises:
            InvalidOption: the trial is not running.
            InvalidMeasurement: a metric is missing.
        """
        if number not in self._running:
            raise InvalidOption("no running trial has this number", value=number)
        row = self._row(result)
        if self.seq == len(self._values):
            self._values = np.concatenate([self._values, np.empty_like(self._values)])
        self._values[self.seq] = row
        if isinstance(result, Measurement):
            status = Status.COMPLETED
            result = replace(result, metrics=dict(zip(self.metrics, row, strict=True)), artefacts={}, details={})
        else:
            status = Status.FAILED
        trial = replace(self._trials[number], status=status, result=result)
        self._trials[number] = trial
        self._finished.append(number)
        del self._running[number]
        return trial

    def _row(self, result: Measurement | Failure) -> list[float]:
        if isinstance(result, Failure):
            return [float("nan")] * len(self.metrics)
        missing = [name for name in self.metrics if name not in result.metrics]
        if missing:
            raise InvalidMeasurement(
                f"the evaluator did not measure {missing[0]!r}", expected="one of " + ", ".join(sorted(result.metrics))
            )
        return [float(result.metrics[name]) for name in self.metrics]
