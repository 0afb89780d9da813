"""A sweep's trials as the columns of a table: one row for each member and replicate.

Notation
    n   rows: members times replicates, those of one member together, in the order of evaluation
    d   decisions
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas_core.cost import Cost
from nas_core.decisions import Categorical
from nas_core.errors import InvalidOption
from nas_core.space import Space
from nas_core.trial import Trial

_COSTS = frozenset(Cost(0, 0, 0, 0).metrics())
"""What a network has whatever is spent on it: such metrics have one column for all fidelities."""


def rows_of(trials: Sequence[Trial]) -> list[tuple[Any, int]]:
    """The members and replicates of trials, each pair once, in the order in which they were first proposed (n)."""
    return list(dict.fromkeys((trial.architecture, trial.proposal.replicate) for trial in trials))


def columns_of(trials: Sequence[Trial], metrics: Sequence[str] | None = None) -> dict[str, NDArray[Any]]:
    """What was measured (n each) and the masks of what failed, by the names that a table has for them.

    Args:
        trials: all finished.
        metrics: those that are kept; None for all.

    Raises:
        InvalidOption: a metric that no trial has, or no trial that was completed.
    """
    place = {row: i for i, row in enumerate(rows_of(trials))}
    known = list(dict.fromkeys(name for trial in trials for name in trial.metrics))
    if not known:
        raise InvalidOption("no trial has been completed, so there is nothing to make a table of", value=len(trials))
    for name in metrics or ():
        if name not in known:
            raise InvalidOption("no trial has measured this", value=name, expected="one of " + ", ".join(known))
    found: dict[str, NDArray[np.float64]] = {}
    failed: dict[str, NDArray[np.bool_]] = {}
    for trial in trials:
        row, at = place[trial.architecture, trial.proposal.replicate], _suffix(trial.proposal.fidelity)
        if not trial.metrics:
            failed.setdefault(f"failed{at}", np.zeros(len(place), dtype=np.bool_))[row] = True
        for name, value in trial.metrics.items():
            if metrics is None or name in metrics:
                column = name if name in _COSTS else name + at
                found.setdefault(column, np.full(len(place), np.nan))[row] = value
    return {**{name: _compact(column) for name, column in found.items()}, **_with_missing(failed, found)}


def members_of(trials: Sequence[Trial], space: Space) -> dict[str, NDArray[Any]]:
    """The members of the rows: choice numbers (n x d, -1 where inactive) where all are choices, otherwise texts (n)."""
    members = [architecture for architecture, _ in rows_of(trials)]
    decisions = [decision for decision in space.decisions if isinstance(decision, Categorical)]
    if len(decisions) < len(space.decisions):
        return {"architecture": np.array([space.text(a) for a in members])}
    numbers = [
        [-1 if value is None else decision.index(value) for decision, value in zip(decisions, a.values, strict=True)]
        for a in members
    ]
    most = max(decision.size for decision in decisions)
    return {"decisions": np.array(numbers, dtype=np.int8 if most <= np.iinfo(np.int8).max else np.int32)}


def _suffix(fidelity: float | None) -> str:
    return "" if fidelity is None else f"@{fidelity:g}"


def _compact(column: NDArray[np.float64]) -> NDArray[Any]:
    """Whole numbers as such, others with the seven digits that a measurement is worth."""
    whole = bool(np.isfinite(column).all() and (column == np.rint(column)).all() and np.abs(column).max() < 2**62)
    return column.astype(np.int64) if whole else column.astype(np.float32)


def _with_missing(
    failed: Mapping[str, NDArray[np.bool_]], found: Mapping[str, NDArray[np.float64]]
) -> dict[str, NDArray[np.bool_]]:
    """The masks of failures; a row is marked as failed altogether where what does not depend on fidelity is missing."""
    masks = dict(failed)
    for column in (found[name] for name in sorted(_COSTS & found.keys())):
        missing = np.isnan(column)
        if missing.any():
            masks["failed"] = masks.get("failed", np.zeros_like(missing)) | missing
    return masks
