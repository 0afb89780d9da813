"""What groups on one bank of weights have measured: a history of each.

The bank learns from group to group, so that a value is worth comparing with those of its own group only. A member that
is evaluated again counts with its newest value, and what an older group measured of it, or of members that were not
kept, has gone stale.
"""

from __future__ import annotations

from nas_core.history import History
from nas_core.trial import Status, units_of


def group_histories(history: History) -> list[History]:
    """The finished trials of every group that measured something, in the order in which the groups finished.

    A group without any measurement has left the bank as it was (it diverged, or its members have no networks), and is
    left out. Trials without a group are left out too.
    """
    return [
        _alone(history.metrics, [trial.number for trial in unit], history)
        for unit in units_of(history.finished)
        if unit[0].proposal.group is not None and any(trial.status is Status.COMPLETED for trial in unit)
    ]


def _alone(metrics: tuple[str, ...], numbers: list[int], history: History) -> History:
    kept = History(metrics)
    for number in numbers:
        trial = kept.begin(history[number].proposal)
        result = history[number].result
        if result is not None:
            kept.finish(trial.number, result)
    return kept
