"""What each round of a search under constraints came to: which share of its trials keeps them (AG-Net, figure 4).

A round is what an optimizer says in the `info` of its proposals: {"round": labels when it began}. Trials that name none
were drawn at random or begin the search, and count as the round before the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nas_core.objective import Objectives
from nas_core.trial import Status
from nas_search.report.table import Row


class Round(NamedTuple):
    """One round.

    Args:
        start: trials when it began; None for those that belong to none.
        finished: its trials that have a result.
        feasible: those of them that keep the constraints.
        best: the best value of the first objective among those; None where there is none.
    """

    start: int | None
    finished: int
    feasible: int
    best: float | None


def rounds_of(rows: Sequence[Row], objectives: Objectives) -> list[Round]:
    """The rounds of a study in order; [] where there are no constraints, or no optimizer that goes in rounds."""
    found: dict[int | None, list[Row]] = {}
    for row in rows:
        start = row.trial.proposal.info.get("round")
        if row.trial.status is not Status.RUNNING:
            found.setdefault(start if isinstance(start, int) else None, []).append(row)
    if not objectives.constraints or not set(found) - {None}:
        return []
    first = objectives.objectives[0]
    result = []
    for start in sorted(found, key=lambda key: -1 if key is None else key):
        values = [row.trial.metrics[first.metric] for row in found[start] if row.feasible]
        best = (max if first.maximise else min)(values) if values else None
        result.append(Round(start, len(found[start]), len(values), best))
    return result
