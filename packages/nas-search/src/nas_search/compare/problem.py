"""A table as a search problem: the space to search, what a label says, and what the best of the table is.

Notation
    n    members of the table, each once: its rows of replicate 0
    M    metrics of objectives and constraints, m objectives
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np

from nas_core.architecture import Architecture
from nas_core.errors import InvalidObjective
from nas_core.objective import Objectives
from nas_core.pareto import hypervolume
from nas_core.registry import from_config
from nas_core.space import HasTwins, Space
from nas_core.trial import Failure, Measurement, Proposal
from nas_search.table_files import FloatArray, TableLike, searched_space

SECONDS = "train_seconds"


class Label(NamedTuple):
    """What one evaluation says: the result for the searcher, and the numbers that are kept.

    Args:
        row: the table's row; None where it has none for the proposal.
        result: what the searcher is told.
        full: whether it was evaluated at the fidelity that is compared; others are charged but find nothing.
        test: the test metric; None where there is none, or it failed.
    """

    row: int | None
    result: Measurement | Failure
    full: bool
    test: float | None = None


@final
class TwinKeys:
    """The keys of twins of a space's members, remembered; None for all where it has no rules for them."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._known: dict[Architecture, Hashable] = {}

    def __call__(self, architecture: Architecture) -> Hashable:
        """The key of one member."""
        if not isinstance(self._space, HasTwins):
            return None
        if architecture not in self._known:
            self._known[architecture] = self._space.twin_key(architecture)
        return self._known[architecture]


class _Columns(NamedTuple):
    """The table at one fidelity: values (rows x M), NaN rows where failed, and seconds (rows)."""

    values: FloatArray
    seconds: FloatArray


@final
class Problem:
    """One table under some objectives.

    It is searched in the space of `searched_space`. A metric is compared at the fidelity that it names, or
    at its highest; labels are bought at the highest of these.

    Args:
        file: where the table was read from.
        table: the table.
        objectives: of metrics that it has.

    Raises:
        InvalidObjective: no member of the table keeps the constraints.
    """

    fitted = None
    """How the table is fitted: it is looked up."""

    def __init__(self, file: Path, table: TableLike, objectives: Objectives) -> None:
        self.name = str(table.meta["name"])
        self.objectives = objectives
        self._table = table
        self._rows: dict[Architecture, list[int]] = {}
        for row in range(len(table)):
            self._rows.setdefault(table.architecture(row), []).append(row)
        self.space: Space = from_config("space", searched_space(file, table))
        self.fidelity = self._compared()
        self._at: dict[float | None, _Columns] = {}
        self.twin_key = TwinKeys(self.space)
        self.test_metric = _tested(table, objectives)
        self.test = None if self.test_metric is None else table.column(self.test_metric)
        first = [rows[0] for rows in self._rows.values()]
        self._values = self._columns(self.fidelity).values[first]
        self._kept = self._values[objectives.feasible(self._values)]
        if len(self._kept) == 0:
            raise InvalidObjective(
                f"no member of the table {self.name!r} keeps the constraints",
                value=[str(constraint) for constraint in objectives.constraints],
            )

    def label(self, proposal: Proposal) -> Label:
        """Look a proposal up; what the table does not have, or marks as failed, is a failure and counts too."""
        rows = self._rows.get(proposal.architecture, [])
        at = self.fidelity if proposal.fidelity is None else proposal.fidelity
        full = at == self.fidelity
        if proposal.replicate >= len(rows) or not (full or at in self._table.fidelities()):
            return Label(None, Failure("not_in_table", "the table has no such result"), full)
        row = rows[proposal.replicate]
        values, seconds = self._columns(at)
        cost = float(seconds[row])
        test = None if self.test is None or np.isnan(self.test[row]) else float(self.test[row])
        if np.isnan(values[row]).any():
            return Label(row, Failure("failed_in_table", "by the table this evaluation failed", cost), full, test)
        measured = dict(zip(self.objectives.metrics, values[row].tolist(), strict=True))
        return Label(row, Measurement(measured, cost), full, test)

    @property
    def timed(self) -> bool:
        """Whether the table says how long an evaluation took."""
        return bool(self._columns(self.fidelity).seconds.any())

    @property
    def optimum(self) -> float:
        """The least loss of the first objective among the members that keep the constraints."""
        return self.threshold(0.0)

    def threshold(self, share: float) -> float:
        """The loss of the first objective that the best `share` of the members that keep the constraints reach."""
        losses = np.sort(self.objectives.losses(self._kept)[:, 0])
        return float(losses[max(math.ceil(share * len(losses)), 1) - 1])

    def thresholds(self, shares: Iterable[float]) -> dict[float, float]:
        """`threshold` by share."""
        return {share: self.threshold(share) for share in shares}

    @property
    def reference(self) -> FloatArray:
        """The worst value of each objective among the members that did not fail, as losses (m)."""
        losses: FloatArray = self.objectives.losses(self._values)
        worst: FloatArray = losses[~np.isnan(self._values).any(axis=1)].max(axis=0)
        return worst

    def facts(self) -> dict[str, Any]:
        """What the table itself says, as plain data."""
        several = len(self.objectives.objectives) > 1
        best = self.objectives.measured(np.array([self.optimum] * len(self.objectives.objectives)))[0]
        facts: dict[str, Any] = {
            "members": len(self._rows),
            "fidelity": self.fidelity,
            "best": float(best),
            "reference": None,
            "hypervolume": None,
        }
        if several:
            facts["reference"] = self.objectives.measured(self.reference).tolist()
            facts["hypervolume"] = hypervolume(self.objectives.losses(self._kept), self.reference)
        return facts

    def _compared(self) -> float | None:
        own = [own_fidelity(self._table, metric) for metric in self.objectives.metrics]
        known = [fidelity for fidelity in own if fidelity is not None]
        return max(known or self._table.fidelities(), default=None)

    def _columns(self, at: float | None) -> _Columns:
        if at not in self._at:
            values = np.stack([self._column(metric, at) for metric in self.objectives.metrics], axis=1)
            values[np.isnan(values).any(axis=1) | self._table.failed(at)] = np.nan
            has_times = SECONDS in self._table.metrics
            seconds = self._column(SECONDS, at) if has_times else np.zeros(len(values))
            self._at[at] = _Columns(values, np.nan_to_num(seconds))
        return self._at[at]

    def _column(self, metric: str, at: float | None) -> FloatArray:
        """What is known of a metric (rows) after an evaluation at a fidelity; NaN where that is nothing."""
        name, _, named = metric.partition("@")
        known = [float(named)] if named else list(self._table.fidelities(name))
        if not known or at is None:
            return self._table.column(metric)
        reached = [fidelity for fidelity in known if fidelity <= at]
        return self._table.column(name, max(reached)) if reached else np.full(len(self._table), np.nan)


def own_fidelity(table: TableLike, metric: str) -> float | None:
    """The fidelity that a metric names, or its highest; None where it does not depend on one."""
    name, _, named = metric.partition("@")
    return float(named) if named else max(table.fidelities(name), default=None)


def _tested(table: TableLike, objectives: Objectives) -> str | None:
    """The full name of the first objective's test split at the same fidelity; None where the table has none."""
    metric = objectives.objectives[0].metric
    if not metric.startswith("val_"):
        return None
    test, at = f"test_{metric.partition('@')[0].removeprefix('val_')}", own_fidelity(table, metric)
    for column in table.columns:
        name, _, fidelity = column.partition("@")
        if name == test and (not fidelity or float(fidelity) == at):
            return column
    return None
