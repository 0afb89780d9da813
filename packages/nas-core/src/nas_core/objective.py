"""Objectives and constraints. Signs are handled here and nowhere else.

Notation
    values    n x M, metrics in the order of `Objectives.metrics`, as measured (a `History`'s columns)
    losses    n x m, one column an objective, to be minimised
    violation n, how far a row is from meeting the constraints: 0 where all hold
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas_core.errors import InvalidMeasurement, InvalidObjective
from nas_core.history import History
from nas_core.pareto import constrained_fronts, crowding_distance, non_dominated
from nas_core.trial import Trial, check_metric_name

FloatArray = NDArray[np.float64]

_CONSTRAINT = re.compile(r"\s*(?P<metric>\S+?)\s*(?P<sign><=|>=)\s*(?P<bound>\S+)\s*")
_FUNCTIONAL = re.compile(r"(train|val|test)_(accuracy|error|loss|perplexity|top5|top1)[a-z0-9_]*(@.*)?")


def _metric(name: str, text: str) -> str:
    try:
        return check_metric_name(name)
    except InvalidMeasurement as error:
        raise InvalidObjective(str(error), place=repr(text)) from None


def is_functional(metric: str) -> bool:
    """Whether a metric depends on nothing but the function that a network computes.

    Accuracies and losses do; parameters, latency, memory and times do not. Twins may be pooled and left out only where
    every metric is functional.
    """
    return _FUNCTIONAL.fullmatch(metric) is not None


@dataclass(frozen=True)
class Objective:
    """A metric to be minimised or maximised."""

    metric: str
    maximise: bool

    @classmethod
    def parse(cls, text: str) -> Objective:
        """Read "max:val_accuracy" or "min:params".

        Raises:
            InvalidObjective: it is neither.
        """
        direction, colon, metric = text.partition(":")
        if not colon or direction not in ("min", "max"):
            raise InvalidObjective(
                "not an objective", value=text, expected="min:METRIC or max:METRIC, such as max:val_accuracy"
            )
        return cls(_metric(metric.strip(), text), direction == "max")

    def __str__(self) -> str:
        return f"{'max' if self.maximise else 'min'}:{self.metric}"


@dataclass(frozen=True)
class Constraint:
    """A bound that a metric must keep."""

    metric: str
    bound: float
    at_most: bool = True

    @classmethod
    def parse(cls, text: str) -> Constraint:
        """Read "params<=1.0e6" or "val_accuracy>=90".

        Raises:
            InvalidObjective: it is neither.
        """
        match = _CONSTRAINT.fullmatch(text)
        try:
            bound = float(match["bound"]) if match else math.nan
        except ValueError:
            bound = math.nan
        if match is None or not math.isfinite(bound):
            raise InvalidObjective(
                "not a constraint", value=text, expected="METRIC<=NUMBER or METRIC>=NUMBER, such as params<=1e6"
            )
        return cls(_metric(match["metric"], text), bound, match["sign"] == "<=")

    def violation(self, values: FloatArray) -> FloatArray:
        """How far measured values (n) are beyond the bound, relative to its size; 0 where they keep it."""
        beyond = values - self.bound if self.at_most else self.bound - values
        return np.maximum(beyond, 0.0) / max(abs(self.bound), 1e-12)

    def __str__(self) -> str:
        short = f"{self.bound:g}"
        exact = short if float(short) == self.bound else repr(self.bound)
        return f"{self.metric}{'<=' if self.at_most else '>='}{exact}"


@dataclass(frozen=True)
class Objectives:
    """Everything a study wants: m objectives and any number of constraints."""

    objectives: tuple[Objective, ...]
    constraints: tuple[Constraint, ...] = ()

    def __post_init__(self) -> None:
        if not self.objectives:
            raise InvalidObjective("a study needs at least one objective", expected="such as max:val_accuracy")
        names = [objective.metric for objective in self.objectives]
        if len(set(names)) < len(names):
            raise InvalidObjective(
                "an objective is named twice", value=[str(objective) for objective in self.objectives]
            )

    @classmethod
    def parse(cls, objectives: Sequence[str], constraints: Sequence[str] = ()) -> Objectives:
        """Read lists of texts; raises InvalidObjective."""
        return cls(tuple(map(Objective.parse, objectives)), tuple(map(Constraint.parse, constraints)))

    def to_config(self) -> dict[str, Any]:
        """Plain data: the texts that `parse` reads."""
        return {"objectives": [str(o) for o in self.objectives], "constraints": [str(c) for c in self.constraints]}

    @property
    def metrics(self) -> tuple[str, ...]:
        """The M metrics that a history must hold: the objectives', then those that only constraints read."""
        wanted = [objective.metric for objective in self.objectives]
        bounded = [constraint.metric for constraint in self.constraints]
        return tuple(dict.fromkeys(wanted + bounded))

    @property
    def functional(self) -> bool:
        """Whether every metric depends on the network's function alone (`is_functional`)."""
        return all(is_functional(metric) for metric in self.metrics)

    @property
    def _signs(self) -> FloatArray:
        return np.array([-1.0 if objective.maximise else 1.0 for objective in self.objectives])

    def new_history(self) -> History:
        """An empty history with the columns that an optimizer may see."""
        return History(self.metrics)

    def losses(self, values: FloatArray) -> FloatArray:
        """Objectives with their signs turned so that less is better (n x m)."""
        return np.multiply(values[:, : len(self.objectives)], self._signs)

    def measured(self, losses: FloatArray) -> FloatArray:
        """The inverse of `losses`, for losses of any leading shape (… x m)."""
        return np.multiply(losses, self._signs)

    def violation(self, values: FloatArray) -> FloatArray:
        """Total violation of the constraints (n); NaN rows of failed trials stay NaN."""
        total = np.where(np.isnan(values).any(axis=1), np.nan, 0.0)
        for constraint in self.constraints:
            total = total + constraint.violation(values[:, self.metrics.index(constraint.metric)])
        return total

    def feasible(self, values: FloatArray) -> NDArray[np.bool_]:
        """Which rows meet every constraint (n); failed ones do not."""
        return np.asarray(self.violation(values) == 0.0)

    def fitness(self, values: FloatArray) -> FloatArray:
        """One number a row to compare members of a population by, less is better (n).

        Failed rows are worst (infinite), rows that break a constraint come after all that keep them. With one objective
        it orders by the loss; with several by the rank of the front, then by crowding (Deb et al. 2002).
        """
        fitness = np.full(len(values), np.inf)
        known = np.flatnonzero(~np.isnan(values).any(axis=1))
        if len(known) == 0:
            return fitness
        losses, violation = self.losses(values[known]), self.violation(values[known])
        if len(self.objectives) == 1:
            worst_kept = np.max(losses[violation == 0], initial=-np.inf)
            floor = worst_kept if np.isfinite(worst_kept) else 0.0
            fitness[known] = np.where(violation == 0, losses[:, 0], np.nextafter(floor, np.inf) + violation)
            return fitness
        ranks = constrained_fronts(losses, violation)
        for rank in np.unique(ranks):
            of_rank = ranks == rank
            crowding = crowding_distance(losses[of_rank])
            fitness[known[of_rank]] = rank + 1.0 / (2.0 + crowding)
        return fitness

    def best(self, history: History) -> list[Trial]:
        """The best completed trials: all of the first front that keep the constraints, in order of proposal.

        With one objective this is one trial, the earliest of those that tie. Of several fidelities only the highest
        counts that any such trial has: what was stopped early is not compared with what was not. Empty where none keeps
        the constraints.
        """
        trials = history.finished
        feasible = np.flatnonzero(self.feasible(history.values))
        if len(feasible) == 0:
            return []
        fullness = np.array([trials[i].proposal.fullness for i in feasible])
        feasible = feasible[fullness == fullness.max()]
        losses = self.losses(history.values[feasible])
        if len(self.objectives) == 1:
            least = feasible[losses[:, 0] == losses[:, 0].min()]
            return [min((trials[i] for i in least), key=lambda trial: trial.number)]
        return sorted((trials[i] for i in feasible[non_dominated(losses)]), key=lambda trial: trial.number)
