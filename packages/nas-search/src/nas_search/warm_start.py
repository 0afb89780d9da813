"""What another study of the same space has found, to begin with.

Its trials as data: NAGO's MOBO starts from BOHB's (§4.2). Its best members, to be evaluated elsewhere: BONAS's cells go
on from CIFAR-10 to ImageNet (§4.4.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nas_core.architecture import Architecture
from nas_core.errors import InvalidMeasurement, InvalidOption
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.space import Space
from nas_core.trial import Trial
from nas_search.ranking import ranked
from nas_search.study import Study


def trials_to_start_from(
    start: str, space: Space, objectives: Objectives, fidelity: float | None, first: int | None
) -> tuple[list[Trial], int]:
    """The finished trials of a study at one fidelity, in order of finishing, and how many of all were looked at.

    Args:
        start: the study's directory.
        space: that the study must have searched.
        objectives: whose metrics the study must have measured; it need not have searched for them.
        fidelity: None for the highest.
        first: only the so many first ones of all finished trials are looked at; None for all.

    Raises:
        StoreError: there is no study.
        InvalidOption: another space, a metric that was not measured, or no completed trial at the fidelity.
    """
    with Study.open(Path(start), read_only=True) as study:
        _check_space(study, space, start)
        history = _history(study, objectives, start)
    finished = history.finished[:first]
    at = fidelity
    if at is None:
        known = [trial.proposal.fidelity for trial in finished if trial.metrics]
        at = None if None in known else max((f for f in known if f is not None), default=None)
    found = [trial for trial in finished if trial.proposal.fidelity == at]
    if not any(trial.metrics for trial in found):
        there = sorted({trial.proposal.fidelity or 0.0 for trial in finished if trial.metrics})
        raise InvalidOption(
            "the study to start from has no completed trial at this fidelity",
            value=fidelity,
            place=start,
            expected=f"one of {there}" if there else None,
        )
    return found, len(finished)


def best_members(start: str, space: Space, first: int | None) -> tuple[list[Architecture], int]:
    """The members that keep a study's constraints, the best by its own objectives first, and how many were looked at.

    Trials of the highest fidelity come before all others.

    Args:
        start: the study's directory.
        space: that the study must have searched.
        first: only the so many first ones of all finished trials are looked at; None for all.

    Raises:
        StoreError: there is no study.
        InvalidOption: another space, or no completed trial that keeps the constraints.
    """
    with Study.open(Path(start), read_only=True) as study:
        _check_space(study, space, start)
        history, objectives = study.history(), study.objectives
    finished = history.finished[:first]
    values = history.values[: len(finished)]
    kept = objectives.feasible(values)
    order = sorted(ranked(objectives, values).tolist(), key=lambda i: -finished[i].proposal.fullness)
    found = [finished[i].architecture for i in order if kept[i]]
    if not found:
        raise InvalidOption("the study to start from has no completed trial that keeps its constraints", place=start)
    return found, len(finished)


def begun_with(earlier: Sequence[Trial], history: History, fidelity: float | None) -> History:
    """A history that begins with finished trials of another, which then count as trials of one's own fidelity."""
    whole = History(history.metrics)
    for trial in earlier:
        proposal = replace(trial.proposal, fidelity=fidelity, resume_from=None, group=None, info={})
        _end(whole, whole.begin(proposal).number, trial)
    k = len(earlier)
    for trial in history:
        back = trial.proposal.resume_from
        whole.begin(replace(trial.proposal, resume_from=None if back is None else back + k))
    for trial in history.finished:
        _end(whole, trial.number + k, trial)
    return whole


def _check_space(study: Study, space: Space, start: str) -> None:
    if study.space.to_config() != space.to_config():
        raise InvalidOption(
            "the study to start from searched another space",
            value=study.space.to_config(),
            place=start,
            expected=str(space.to_config()),
        )


def _history(study: Study, objectives: Objectives, start: str) -> History:
    """The study's finished trials with the metrics of the objectives, in order of finishing."""
    kept: History = History(objectives.metrics)
    own = study.history()
    results: dict[int, Any] = {trial.number: trial for trial in study.trials()}
    for trial in own.finished:
        number = kept.begin(replace(trial.proposal, resume_from=None)).number
        try:
            _end(kept, number, results[trial.number])
        except InvalidMeasurement as error:
            raise InvalidOption(str(error), place=start) from None
    return kept


def _end(history: History, number: int, trial: Trial) -> None:
    if trial.result is not None:
        history.finish(number, trial.result)
