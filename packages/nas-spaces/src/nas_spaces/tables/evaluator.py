"""Looking results up in a table instead of training: the evaluator `table`."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from functools import cached_property
from typing import Any, Final, NamedTuple, final

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.errors import InvalidArchitecture, InvalidOption, InvalidTable, TrialFailed
from nas_core.evaluator import Evaluation
from nas_core.objective import is_functional
from nas_core.space import HasGraphs, Space
from nas_core.trial import Measurement
from nas_spaces.tables.table import FloatArray, Table

SECONDS = "train_seconds"
"""The metric that says what an evaluation cost."""
MATCHES: Final = ("equal", "graph")
"""Whose results an architecture has: its own, or also those of an isomorphic one."""


class _Results(NamedTuple):
    """What is measured at one fidelity: columns by the name of the metric (n), and which rows failed (n)."""

    columns: dict[str, FloatArray]
    failed: NDArray[np.bool_]


@final
class TableEvaluator:
    """Measures what a table holds.

    A trial is evaluated at its own fidelity, at the evaluator's where it has none, and at the table's highest where
    neither has. It measures

    * every metric that the table has at that fidelity, and those that do not depend on one, by plain name;
    * under their full names, such as `val_accuracy@12`, those of that fidelity and of all below: of higher ones a trial
      knows nothing yet.

    It costs the seconds of the metric `train_seconds` where the table has it, otherwise none. A trial of replicate r
    reads the r-th row of its architecture. It fails as "failed_in_table" where the table marks the row as failed at the
    fidelity, and as "not_in_table" where there is no such architecture, replicate or fidelity.

    Where a table has one of several isomorphic members, `match="graph"` gives its results to all: of several that it
    has, an equal one comes before the first of the others. Then only metrics are measured that depend on the function
    alone (accuracies, losses), for every member: parameters depend on the order of vertices. The cost in seconds is
    that of the row that is read.

    Args:
        file: the table (`nas_spaces.tables.table` tells the format).
        fidelity: at which to evaluate; None for the table's highest.
        match: "equal", or "graph" in a space that has graphs.

    Raises:
        InvalidOption: the fidelity is no number, or there is no such way to match.
    """

    def __init__(self, file: str, fidelity: float | None = None, match: str = "equal") -> None:
        if isinstance(fidelity, bool) or not isinstance(fidelity, int | float | None):
            raise InvalidOption("a fidelity must be a number", value=fidelity)
        if match not in MATCHES:
            raise InvalidOption("no way to match", value=match, expected="one of " + ", ".join(MATCHES))
        self.match = match
        self.requires = frozenset({"graphs"}) if match == "graph" else frozenset()
        self.file = str(file)
        self.fidelity = fidelity
        self._known: dict[float | None, _Results] = {}

    @cached_property
    def table(self) -> Table:
        """The table, read when it is first needed.

        Raises:
            InvalidTable: the file is not there, damaged or no table.
        """
        return Table.load(self.file)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what is measured at the evaluator's fidelity."""
        return tuple(filter(self._told, self._results(self._at(None)).columns))

    def prepare(self, space: Space) -> None:
        """Read the table and check that it is of the space and has the fidelity.

        Raises:
            InvalidTable: it cannot be read, or is of another space.
            InvalidOption: it has no such fidelity.
        """
        own, space = self.table.space, getattr(space, "whole", space)  # a part of a space is measured by its tables
        if own.name != space.name:
            raise InvalidTable("the table is of another space", value=own.name, place=self.file, expected=space.name)
        if own.to_config() != space.to_config():
            raise InvalidTable(
                f"the table is of another space {own.name!r}", place=self.file, expected=str(space.to_config())
            )
        if self.fidelity is not None and self.fidelity not in self.table.fidelities():
            raise InvalidOption(
                "the table has no results at this fidelity",
                value=self.fidelity,
                place=self.file,
                expected=self._listed(),
            )

    def evaluate(self, evaluation: Evaluation) -> Measurement:
        """The results of one row.

        Raises:
            TrialFailed: see the class.
        """
        at = self._at(evaluation.fidelity)
        if at is not None and at not in self.table.fidelities():
            raise TrialFailed(
                "not_in_table", "the table has no results at this fidelity", value=at, expected=self._listed()
            )
        row, results = self._row(evaluation), self._results(at)
        if results.failed[row]:
            text = evaluation.space.text(evaluation.architecture)
            raise TrialFailed("failed_in_table", "by the table this evaluation failed", value=text)
        found = {name: float(column[row]) for name, column in results.columns.items()}
        metrics = {
            name: value for name, value in found.items() if math.isfinite(value) and self._told(name)
        }  # a lower fidelity can have failed
        return Measurement(metrics, seconds=found.get(SECONDS, 0.0))

    def to_config(self) -> dict[str, Any]:
        """The options."""
        return {"name": "table", "file": self.file, "fidelity": self.fidelity, "match": self.match}

    def _at(self, fidelity: float | None) -> float | None:
        given = self.fidelity if fidelity is None else fidelity
        return max(self.table.fidelities(), default=None) if given is None else given

    def _row(self, evaluation: Evaluation) -> int:
        architecture = evaluation.architecture
        if self.match == "graph" and not self.table.rows(architecture):
            architecture = self._isomorphic.get(self._class(architecture), architecture)
        try:
            return self.table.row(architecture, evaluation.replicate)
        except InvalidOption as error:
            raise TrialFailed("not_in_table", str(error)) from None
        except InvalidArchitecture as error:
            raise TrialFailed("not_in_table", str(error), remedy=self._remedy()) from None

    @cached_property
    def _class(self) -> Callable[[Architecture], Hashable]:
        """What isomorphic members share; a space's own standard form is quicker than keys of graphs."""
        space: Any = self.table.space
        return getattr(space, "standard", space.graph_key)  # type: ignore[no-any-return]

    @cached_property
    def _isomorphic(self) -> dict[Hashable, Architecture]:
        """The first member of each class that the table has."""
        return {self._class(member): member for member in reversed(self.table.architectures())}

    def _told(self, metric: str) -> bool:
        return self.match == "equal" or is_functional(metric.partition("@")[0])

    def _remedy(self) -> str:
        searched = "The space restricted:table=FILE holds only members that the table has"
        if self.match == "graph" or not isinstance(self.table.space, HasGraphs):
            return searched
        return f"{searched}; with match=graph the results of isomorphic members are read too"

    def _results(self, at: float | None) -> _Results:
        if at not in self._known:
            columns: dict[str, FloatArray] = {}
            for full_name in self.table.columns:
                name, _, fidelity = full_name.partition("@")
                if not fidelity or float(fidelity) == at:
                    columns[name] = self.table.column(full_name)
                if fidelity and at is not None and float(fidelity) <= at:
                    columns[full_name] = self.table.column(full_name)
            self._known[at] = _Results(columns, self.table.failed(at))
        return self._known[at]

    def _listed(self) -> str:
        known = ", ".join(f"{fidelity:g}" for fidelity in self.table.fidelities())
        return f"one of {known}" if known else "none: its results do not depend on one"
