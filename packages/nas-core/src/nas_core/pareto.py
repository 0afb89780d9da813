"""Pareto dominance, fronts, hypervolume and crowding distance. Every objective is MINIMISED here.

Signs are handled in `objective.py`; whoever calls these functions has turned maximised objectives around already.

    values      n x m   objective values, one row a point
    reference   m       a point that bounds the hypervolume from above
    a, b        m       single points

Values that are not numbers (NaN) raise InvalidOption everywhere; `hypervolume` and `crowding_distance` measure lengths
and say where infinities are refused as well.

Sources: Deb, Pratap, Agarwal and Meyarivan, A fast and elitist multiobjective genetic algorithm: NSGA-II, IEEE Trans.
Evolutionary Computation 6(2), 2002 (fronts, crowding distance, constrained dominance); While, Bradstreet and Barone, A
fast way of calculating exact hypervolumes, IEEE Trans. Evolutionary Computation 16(1), 2012 (hypervolume).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from nas_core.errors import InvalidOption

_BLOCK = 256


def dominates(a: ArrayLike, b: ArrayLike) -> bool:
    """Whether `a` is nowhere worse than `b` and somewhere better.

    Raises:
        InvalidOption: NaN, or points with different numbers of objectives.
    """
    first, second = _checked_point(a, "a point"), _checked_point(b, "a point")
    if len(first) != len(second):
        raise InvalidOption("two points with different numbers of objectives", value=(len(first), len(second)))
    return bool((first <= second).all() and (first < second).any())


def non_dominated(values: ArrayLike) -> NDArray[np.bool_]:
    """Mask, n, of the points that no other point dominates; equal points stand or fall together.

    Raises:
        InvalidOption: `values` is not n x m, or holds NaN.
    """
    points = _checked_values(values)
    distinct, copies = _distinct(points)
    keep = np.zeros(len(distinct), dtype=np.bool_)
    front = distinct[:0]
    for start in range(0, len(distinct), _BLOCK):
        block = distinct[start : start + _BLOCK]  # only what sorts before a point can dominate it
        fresh = ~_any_covers(front, block)
        fresh[fresh] = ~_covered_by_another(block[fresh])
        keep[start : start + _BLOCK] = fresh
        front = np.concatenate([front, block[fresh]])
    return keep[copies]


def fronts(values: ArrayLike) -> NDArray[np.int64]:
    """Rank, n, of each point's front: 0 for non-dominated points, 1 for those that only front 0 dominates, and so on.

    Takes time in proportion to n² m.

    Raises:
        InvalidOption: `values` is not n x m, or holds NaN.
    """
    points = _checked_values(values)
    distinct, copies = _distinct(points)
    ranks = np.zeros(len(distinct), dtype=np.int64)
    columns = np.ascontiguousarray(distinct.T)
    for i in range(1, len(distinct)):
        above = np.ones(i, dtype=np.bool_)
        for column in columns:
            above &= column[:i] <= column[i]
        ranks[i] = ranks[:i].max(where=above, initial=-1) + 1
    return ranks[copies]


def constrained_fronts(values: ArrayLike, violations: ArrayLike) -> NDArray[np.int64]:
    """Rank, n, of each point under constrained dominance (Deb et al. 2002, section VI).

    A feasible point dominates every infeasible one; feasible points compare by `values`, infeasible ones by their total
    violation alone, where equal violations share a rank.

    Args:
        values: n x m.
        violations: n, the total by which constraints are exceeded; 0 where a point is feasible.

    Raises:
        InvalidOption: wrong shapes, NaN, or a negative violation.
    """
    points = _checked_values(values)
    excess = np.asarray(violations, dtype=np.float64)
    if excess.shape != (len(points),):
        raise InvalidOption("every point needs one total violation", value=excess.shape, expected=f"{(len(points),)}")
    if not (excess >= 0).all():
        raise InvalidOption("a violation must be a number from 0 upwards", value=excess[~(excess >= 0)][0].item())
    feasible = excess == 0
    ranks = np.empty(len(points), dtype=np.int64)
    ranks[feasible] = fronts(points[feasible])
    first = ranks[feasible].max(initial=-1) + 1
    ranks[~feasible] = first + np.unique(excess[~feasible], return_inverse=True)[1].reshape(-1)
    return ranks


def hypervolume(values: ArrayLike, reference: ArrayLike) -> float:
    """Volume of the region that the points dominate and that dominates `reference`; exact up to rounding.

    Points that are not better than the reference in every objective contribute nothing; no points have volume 0.

    Args:
        values: n x m; m = 1 and 2 take a sort, more objectives the recursion of While et al.
        reference: m.

    Raises:
        InvalidOption: wrong shapes, NaN, -infinity among the values or an infinite reference.
    """
    return _volume(*_inside(values, reference))


def hypervolume_contributions(values: ArrayLike, reference: ArrayLike) -> NDArray[np.float64]:
    """For each point, n, the hypervolume that would be lost without it.

    It is 0 for dominated points, for points that have an equal, and for those not better than the reference.

    Raises:
        InvalidOption: wrong shapes, NaN, -infinity among the values or an infinite reference.
    """
    points = _checked_values(values)
    inside, bounds = _inside(points, reference)
    rivals, copies, counts = np.unique(inside, axis=0, return_inverse=True, return_counts=True)
    # points behind a front count as well: they take over a part of what a point in front of them leaves
    lost = np.zeros(len(rivals))
    for i in np.flatnonzero(non_dominated(rivals) & (counts == 1)).tolist():
        lost[i] = _exclusive_volume(rivals[i], np.delete(rivals, i, axis=0), bounds)
    contributions = np.zeros(len(points))
    contributions[(points < bounds).all(axis=1)] = lost[copies.reshape(-1)]
    return contributions


def crowding_distance(values: ArrayLike) -> NDArray[np.float64]:
    """Room, n, around each point of one front: the sum over objectives of the gap between its two neighbours.

    Gaps are fractions of the objective's range; the ends of an objective have infinite room; an objective in which all
    points agree says nothing. Points that tie in one objective are ordered by the others, so that the result does not
    depend on the order of the rows. Of equal points the first has the room and the copies have 0: when a population is
    cut down, copies go first. (Deb et al. 2002, section III-B, leaves both to the sort.)

    Raises:
        InvalidOption: `values` is not n x m, or holds NaN or infinity.
    """
    points = _checked_values(values)
    if not np.isfinite(points).all():
        raise InvalidOption("crowding distance needs finite values", value=points[~np.isfinite(points)][0].item())
    distinct, first = np.unique(points, axis=0, return_index=True)
    room = np.zeros(len(distinct))
    if len(distinct) == 1:
        room[0] = np.inf
    for column in distinct.T if len(distinct) > 1 else ():
        order = np.argsort(column, kind="stable")
        span = column[order[-1]] - column[order[0]]
        if span > 0:
            room[order[[0, -1]]] = np.inf
            room[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
    distances = np.zeros(len(points))
    distances[first] = room
    return distances


def _checked_values(values: ArrayLike) -> NDArray[np.float64]:
    points = _as_numbers(values)
    if points.shape == (0,):
        return points.reshape(0, 1)
    if points.ndim != 2 or points.shape[1] == 0:
        raise InvalidOption("objective values of the wrong shape", value=points.shape, expected="points x objectives")
    return points


def _checked_point(point: ArrayLike, what: str) -> NDArray[np.float64]:
    numbers = _as_numbers(point)
    if numbers.ndim != 1 or len(numbers) == 0:
        raise InvalidOption(f"{what} of the wrong shape", value=numbers.shape, expected="one number an objective")
    return numbers


def _as_numbers(values: ArrayLike) -> NDArray[np.float64]:
    try:
        numbers = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidOption("objective values must be an array of numbers", value=values) from None
    if np.isnan(numbers).any():
        raise InvalidOption("an objective value is not a number (NaN)", value=values)
    return numbers


def _distinct(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """The distinct rows in lexicographic order, and for each point which of them it is."""
    rows, copies = np.unique(points, axis=0, return_inverse=True)
    return rows, copies.reshape(-1)


def _any_covers(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.bool_]:
    """For each row of `below`, whether some row of `above` is nowhere worse."""
    covers = np.ones((len(above), len(below)), dtype=np.bool_)
    for better, worse in zip(above.T, below.T, strict=True):
        covers &= better[:, None] <= worse[None, :]
    return np.asarray(covers.any(axis=0))


def _covered_by_another(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """For each of some distinct points, whether another is nowhere worse."""
    covers = np.ones((len(points), len(points)), dtype=np.bool_)
    for column in points.T:
        covers &= column[:, None] <= column[None, :]
    np.fill_diagonal(covers, False)
    return np.asarray(covers.any(axis=0))


def _inside(values: ArrayLike, reference: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The points that are better than the reference in every objective, and the reference; both checked."""
    points, bounds = _checked_values(values), _checked_point(reference, "a reference point")
    if not np.isfinite(bounds).all():
        raise InvalidOption("the reference point must be finite", value=bounds.tolist())
    if len(points) and points.shape[1] != len(bounds):
        raise InvalidOption(
            "a reference point for another number of objectives", value=len(bounds), expected=f"{points.shape[1]}"
        )
    if np.isneginf(points).any():
        raise InvalidOption("a hypervolume needs values above -infinity", value=-np.inf)
    points = points.reshape(len(points), len(bounds))
    return points[(points < bounds).all(axis=1)], bounds


def _volume(points: NDArray[np.float64], bounds: NDArray[np.float64]) -> float:
    """Hypervolume of points that are nowhere above the bounds.

    With the worst in the last objective first, the points after a point reach at least as far down in that objective,
    so what it alone adds to them is an area in the other objectives times its own height.
    """
    if len(points) == 0:
        return 0.0
    if len(bounds) == 1:
        return float(bounds[0] - points.min())
    if len(bounds) == 2:
        return _area(points, bounds)
    front = points[non_dominated(points)]
    front = front[np.argsort(-front[:, -1], kind="stable")]
    bases, heights = front[:, :-1], bounds[-1] - front[:, -1]
    return sum(
        float(height) * _exclusive_volume(base, bases[i + 1 :], bounds[:-1])
        for i, (base, height) in enumerate(zip(bases, heights, strict=True))
    )


def _exclusive_volume(point: NDArray[np.float64], others: NDArray[np.float64], bounds: NDArray[np.float64]) -> float:
    """The volume that `point` dominates and none of `others` does; never negative."""
    shared = _volume(np.maximum(others, point), bounds)
    return max(float(np.prod(bounds - point)) - shared, 0.0)


def _area(points: NDArray[np.float64], bounds: NDArray[np.float64]) -> float:
    """Hypervolume for m = 2: strips between neighbours in the first objective, as high as the best point so far."""
    points = points[np.argsort(points[:, 0], kind="stable")]
    widths = np.diff(points[:, 0], append=bounds[0])
    return float(widths @ (bounds[1] - np.minimum.accumulate(points[:, 1])))
