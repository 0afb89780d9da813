"""Objectives as they are typed: a metric may come without its direction where that is known."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nas_core.errors import InvalidObjective
from nas_core.objective import Constraint, Objective, Objectives

if TYPE_CHECKING:
    from nas_search.table_files import TableLike

_MAXIMISED = re.compile(r"(train|val|test)_accuracy(_[a-z0-9_]+)?")


def resolved(objectives: Sequence[str], constraints: Sequence[str], tables: Sequence[TableLike]) -> Objectives:
    """Objectives with directions, of metrics that every table has.

    A metric without a direction goes in that which the tables state as their objective; an accuracy is maximised in any
    case. Without any objective it is what the tables state, where they agree.

    Raises:
        InvalidObjective: one cannot be read, has no known direction, or tables contradict each other.
        InvalidOption: a table has no such metric; the message lists those it has.
    """
    stated = [_stated(table) for table in tables]
    if not objectives and any(one != stated[0] for one in stated):
        raise InvalidObjective(
            "the tables state different objectives",
            value=sorted({str(objective) for one in stated for objective in one}),
            expected="--objective, such as max:val_accuracy",
        )
    read = tuple(_directed(text.strip(), stated) for text in objectives) if objectives else stated[0]
    wanted = Objectives(read, tuple(map(Constraint.parse, constraints)))
    for table in tables:
        for metric in wanted.metrics:
            table.column(metric)
    return wanted


def _stated(table: TableLike) -> tuple[Objective, ...]:
    return tuple(map(Objective.parse, table.objectives))


def _directed(text: str, stated: Sequence[Sequence[Objective]]) -> Objective:
    if ":" in text:
        return Objective.parse(text)
    name = text.partition("@")[0]
    known = {one.maximise for of_table in stated for one in of_table if one.metric.partition("@")[0] == name}
    if not known and _MAXIMISED.fullmatch(name):
        known = {True}
    if len(known) != 1:
        problem = "the tables disagree on this objective's direction" if known else "an objective without a direction"
        raise InvalidObjective(problem, value=text, expected=f"max:{text} or min:{text}")
    return Objective.parse(f"{'max' if known.pop() else 'min'}:{text}")
