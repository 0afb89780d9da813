"""From the records of the runs to the figures of a comparison.

Notation
    s    seeds
    N    labels of the budget; a run that ended early stays at what it had found
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from nas_core.errors import InvalidOption
from nas_core.objective import Objectives
from nas_core.pareto import hypervolume
from nas_search.compare.fitted import SearchProblem
from nas_search.compare.run import Record

FloatArray = NDArray[np.float64]

BUDGETS = (10, 25, 50, 100, 150, 192, 300, 500, 1000, 2000, 5000, 10_000)
SHARES = (0.001, 0.01)


@final
@dataclass(frozen=True)
class Curves:
    """The runs of one optimizer on one table, label by label.

    Args:
        loss: s x N, the least loss of the first objective so far among the labels that keep the constraints; infinite
            before there is one.
        best: s x N, the same as measured; NaN before there is one.
        volume: s x N, the hypervolume so far; None with one objective.
        seconds: s x N, the simulated time so far, NaN after a run's end; None where the table has no times.
    """

    loss: FloatArray
    best: FloatArray
    volume: FloatArray | None
    seconds: FloatArray | None


def curves(records: Sequence[Record], problem: SearchProblem, budget: int) -> Curves:
    """The curves of the runs of one optimizer on one table."""
    objectives = problem.objectives
    values = [_values(record, objectives, budget) for record in records]
    kept = [objectives.feasible(of_run) for of_run in values]
    losses = [objectives.losses(of_run) for of_run in values]
    first = np.array([np.where(k, of_run[:, 0], np.inf) for k, of_run in zip(kept, losses, strict=True)])
    loss = np.minimum.accumulate(first, axis=1)
    volume = None
    if len(objectives.objectives) > 1:
        reference = problem.reference
        volume = np.array([_volumes(of_run, k, reference) for k, of_run in zip(kept, losses, strict=True)])
    return Curves(loss, _measured(loss, objectives), volume, _seconds(records, budget))


def figures(
    records: Sequence[Record], problem: SearchProblem, drawn: Curves, at: Iterable[int], shares: Iterable[float]
) -> dict[str, Any]:
    """The figures of one optimizer on one table, as plain data.

    What has an error is `{"mean", "se", "seeds"}`: `seeds` counts those that have a value, `se` is null where that is
    one at most and `mean` where it is none.

    Args:
        records: of its runs, by seed.
        problem: the table.
        drawn: their curves.
        at: labels at which to read the curves.
        shares: of the table's members, that the labels to its best are counted for.
    """
    budget = drawn.loss.shape[1]
    columns = [n - 1 for n in at]
    constrained = bool(problem.objectives.constraints)
    twins = [record["twins"] for record in records]
    optimum = problem.optimum
    return {
        "seeds": len(records),
        "budget": budget,
        "labels": _mean(len(record["values"]) for record in records),
        "labels_to_optimum": None if optimum is None else labels_to(drawn.loss, optimum),
        "labels_to_top": {f"{s:g}": labels_to(drawn.loss, least) for s, least in problem.thresholds(shares).items()},
        "best_at": _read(drawn.best, columns),
        "test_of_best": None if problem.test_metric is None else mean_se(_tested(records, drawn.loss)),
        "hypervolume_at": None if drawn.volume is None else _read(drawn.volume, columns),
        "feasible_share": mean_se(_feasible(records, problem.objectives)) if constrained else None,
        "failed": _mean(record["failed"] for record in records),
        "overhead_ms_per_label": _mean(ms for record in records for ms in record["search_ms"]),
        "repeats": _mean(record["repeats"] for record in records),
        "twins": None if None in twins else _mean(twins),
    }


def default_budgets(budget: int) -> tuple[int, ...]:
    """The labels at which curves are read where nobody says: round numbers up to the budget, and the budget."""
    return (*[n for n in BUDGETS if n < budget], budget)


def checked_budgets(at: Sequence[int], budget: int) -> tuple[int, ...]:
    """Labels at which curves are to be read, in order; the default ones for none.

    Raises:
        InvalidOption: one is below 1 or beyond the budget.
    """
    for n in at:
        if not 1 <= n <= budget:
            raise InvalidOption("no such label", value=n, place="--at", expected=f"1 to {budget}, the budget")
    return tuple(sorted(set(at))) if at else default_budgets(budget)


def checked_shares(shares: Sequence[float]) -> tuple[float, ...]:
    """Shares of a table's members, in order; the default ones for none.

    Raises:
        InvalidOption: one is not between 0 and 1.
    """
    for share in shares:
        if not 0 < share <= 1:
            raise InvalidOption("not a share", value=share, place="--top", expected="above 0 and at most 1")
    return tuple(sorted(set(shares))) if shares else SHARES


def mean_se(values: FloatArray) -> dict[str, Any]:
    """Mean and standard error of the values that are numbers, and how many these are."""
    known = values[np.isfinite(values)]
    mean = float(known.mean()) if len(known) else None
    se = float(known.std(ddof=1) / np.sqrt(len(known))) if len(known) > 1 else None
    return {"mean": mean, "se": se, "seeds": len(known)}


def labels_to(loss: FloatArray, threshold: float) -> dict[str, Any]:
    """How many labels each run (s x N) needed to reach a loss; one that did not counts its budget.

    `found` is the share of the seeds that reached it.
    """
    reached = loss <= threshold
    found = reached.any(axis=1)
    labels = np.where(found, reached.argmax(axis=1) + 1, loss.shape[1]).astype(np.float64)
    summary = mean_se(labels)
    return {"mean": summary["mean"], "se": summary["se"], "found": float(found.mean())}


def _values(record: Record, objectives: Objectives, budget: int) -> FloatArray:
    """What each label measured (N x M); NaN where it failed and after the run's end."""
    values = np.full((budget, len(objectives.metrics)), np.nan)
    for j, label in enumerate(record["values"]):
        if label is not None:
            values[j] = label
    return values


def _measured(loss: FloatArray, objectives: Objectives) -> FloatArray:
    """Losses of the first objective (s x N) as they are measured; NaN for infinite ones."""
    finite = np.where(np.isfinite(loss), loss, np.nan)
    filled = np.repeat(finite[..., None], len(objectives.objectives), axis=-1)
    measured: FloatArray = objectives.measured(filled)[..., 0]
    return measured


def _volumes(losses: FloatArray, kept: NDArray[np.bool_], reference: FloatArray) -> FloatArray:
    """Hypervolume after each label of one run (N), computed anew only where a label adds to the front."""
    volumes = np.zeros(len(losses))
    front = np.empty((0, losses.shape[1]))
    so_far = 0.0
    for j, loss in enumerate(losses):
        if kept[j] and not (front <= loss).all(axis=1).any():
            front = np.vstack([front[~(loss <= front).all(axis=1)], loss])
            so_far = hypervolume(front, reference)
        volumes[j] = so_far
    return volumes


def _seconds(records: Sequence[Record], budget: int) -> FloatArray | None:
    if any(record["seconds"] is None for record in records):
        return None
    seconds = np.full((len(records), budget), np.nan)
    for i, record in enumerate(records):
        seconds[i, : len(record["seconds"])] = np.cumsum(record["seconds"])
    return seconds


def _tested(records: Sequence[Record], loss: FloatArray) -> FloatArray:
    """The test metric of each run's best by validation, the earliest of those that tie (s); NaN without one."""
    tested = np.full(len(records), np.nan)
    for i, record in enumerate(records):
        if np.isfinite(loss[i, -1]):
            value = record["test"][int(np.argmax(loss[i] == loss[i, -1]))]
            tested[i] = np.nan if value is None else value
    return tested


def _feasible(records: Sequence[Record], objectives: Objectives) -> FloatArray:
    """The share of each run's labels that keep all constraints (s); failed ones do not."""
    return np.array([objectives.feasible(_values(r, objectives, len(r["values"]))).mean() for r in records])


def _read(curve: FloatArray, columns: Sequence[int]) -> dict[str, Any]:
    return {str(column + 1): mean_se(curve[:, column]) for column in columns}


def _mean(values: Iterable[float]) -> float | None:
    known = list(values)
    return float(np.mean(known)) if known else None
