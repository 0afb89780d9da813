"""pareto: dominance, fronts, hypervolume and crowding against values by hand and second routes."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nas_core.errors import InvalidOption
from nas_core.pareto import (
    constrained_fronts,
    crowding_distance,
    dominates,
    fronts,
    hypervolume,
    hypervolume_contributions,
    non_dominated,
)
from nas_core.random import rng

Points = NDArray[np.float64]

# Three trade-offs, a copy of one, a point behind them, and one behind that.
STAIRS = np.array([[1.0, 5.0], [2.0, 3.0], [4.0, 1.0], [2.0, 3.0], [3.0, 4.0], [4.0, 4.0]])


@st.composite
def points(draw: st.DrawFn, most: int = 8, objectives: tuple[int, int] = (1, 4)) -> Points:
    """Small grids of whole numbers, so that ties and copies are common and volumes are exact."""
    m = draw(st.integers(*objectives))
    rows = draw(st.lists(st.lists(st.integers(0, 4), min_size=m, max_size=m), max_size=most))
    return np.array(rows, dtype=np.float64).reshape(len(rows), m)


def by_definition(values: Points) -> list[int]:
    """Front of each point: peel off, again and again, what nothing left dominates."""
    ranks, left, rank = [0] * len(values), set(range(len(values))), 0
    while left:
        front = {i for i in left if not any(dominates(values[j], values[i]) for j in left)}
        for i in front:
            ranks[i] = rank
        left, rank = left - front, rank + 1
    return ranks


def by_inclusion_and_exclusion(values: Points, reference: Points) -> float:
    """Hypervolume as the volume of a union of boxes: every subset's common box, with alternating signs."""
    total = 0.0
    for size in range(1, len(values) + 1):
        for chosen in itertools.combinations(values, size):
            corner = np.max(chosen, axis=0)
            total += (-1) ** (size + 1) * float(np.prod(np.maximum(reference - corner, 0.0)))
    return total


# Dominance


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1, 2], [1, 3], True),
        ([1, 2], [2, 3], True),
        ([1, 2], [1, 2], False),
        ([1, 3], [2, 2], False),
        ([2, 3], [1, 2], False),
        ([1], [2], True),
        ([-np.inf, 0], [0, 0], True),
    ],
)
def test_dominates(a: list[float], b: list[float], expected: bool) -> None:
    assert dominates(a, b) is expected


def test_copies_of_a_non_dominated_point_all_count() -> None:
    assert non_dominated(STAIRS).tolist() == [True, True, True, True, False, False]


def test_fronts_of_the_stairs() -> None:
    assert fronts(STAIRS).tolist() == [0, 0, 0, 0, 1, 2]


def test_one_objective_ranks_by_value() -> None:
    assert fronts([[3.0], [1.0], [3.0], [2.0]]).tolist() == [2, 0, 2, 1]
    assert non_dominated([[3.0], [1.0], [1.0]]).tolist() == [False, True, True]


def test_signed_zeros_are_equal() -> None:
    assert non_dominated([[0.0, 1.0], [-0.0, 1.0], [0.0, 2.0]]).tolist() == [True, True, False]
    assert fronts([[0.0, 1.0], [-0.0, 2.0], [0.0, 0.0]]).tolist() == [1, 2, 0]


@given(points(most=12))
def test_fronts_follow_their_definition(values: Points) -> None:
    expected = by_definition(values)
    assert fronts(values).tolist() == expected
    assert non_dominated(values).tolist() == [rank == 0 for rank in expected]


@pytest.mark.parametrize("m", [2, 3, 5])
def test_non_dominated_across_blocks(m: int) -> None:
    """More points than are compared at once, on a grid with ties, against the definition in one comparison."""
    values = rng(0, "blocks", m).integers(0, 12, size=(900, m)).astype(np.float64)
    nowhere_worse = (values[:, None, :] <= values[None, :, :]).all(axis=-1)
    better = (values[:, None, :] < values[None, :, :]).any(axis=-1)
    mask = non_dominated(values)
    assert mask.tolist() == (~(nowhere_worse & better).any(axis=0)).tolist()
    assert 0 < mask.sum() < 900
    assert mask.tolist() == (fronts(values) == 0).tolist()


# Constraints


def test_feasible_points_come_before_infeasible_ones() -> None:
    values = [[1.0, 1.0], [3.0, 3.0], [2.0, 2.0], [0.0, 0.0], [0.0, 9.0], [5.0, 5.0]]
    violations = [2.0, 0.0, 0.0, 0.5, 0.5, np.inf]
    # feasible: 2 dominates 1; infeasible by violation alone: 0.5, 0.5, 2, infinity
    assert constrained_fronts(values, violations).tolist() == [3, 1, 0, 2, 2, 4]


def test_constrained_fronts_without_feasible_points() -> None:
    assert constrained_fronts([[1.0], [0.0]], [1.0, 3.0]).tolist() == [0, 1]
    assert constrained_fronts(np.zeros((0, 2)), []).tolist() == []


@given(points())
def test_without_violations_nothing_changes(values: Points) -> None:
    assert constrained_fronts(values, np.zeros(len(values))).tolist() == fronts(values).tolist()


@pytest.mark.parametrize(
    ("violations", "message"),
    [([0.0], "one total violation"), ([0.0, -1.0], "from 0 upwards: -1.0"), ([np.nan, 0.0], "from 0 upwards: nan")],
)
def test_invalid_violations(violations: list[float], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        constrained_fronts([[1.0], [2.0]], violations)


# Hypervolume


def test_hypervolume_by_hand() -> None:
    assert hypervolume([[2.0], [3.0]], [5.0]) == 3.0
    # up to (6, 6): 5 wide x 1 high from (1, 5), 4 x 2 from (2, 3), 2 x 2 from (4, 1)
    assert hypervolume(STAIRS, [6.0, 6.0]) == 5.0 + 8.0 + 4.0
    # three boxes of 1 x 1 x 2 along the axes of a cube of side 2, which share the cube of side 1 at its far corner
    assert hypervolume([[0, 1, 1], [1, 0, 1], [1, 1, 0]], [2, 2, 2]) == 3 * 2.0 - 2 * 1.0
    # the same in four dimensions: four boxes of volume 2, which share one of volume 1
    assert hypervolume(1.0 - np.eye(4), [2] * 4) == 4 * 2.0 - 3 * 1.0


def test_points_that_do_not_dominate_the_reference_contribute_nothing() -> None:
    assert hypervolume([[1.0, 2.0], [0.0, 3.0], [-9.0, 4.0], [np.inf, 0.0]], [2.0, 3.0]) == 1.0
    assert hypervolume([[2.0, 2.0]], [2.0, 3.0]) == 0.0


@pytest.mark.parametrize("empty", [[], np.zeros((0, 3))])
def test_no_points_have_no_volume(empty: Points) -> None:
    assert hypervolume(empty, [1.0, 1.0, 1.0]) == 0.0
    assert hypervolume_contributions(empty, [1.0, 1.0, 1.0]).tolist() == []


@given(points(most=7, objectives=(1, 5)))
def test_hypervolume_agrees_with_inclusion_and_exclusion(values: Points) -> None:
    reference = np.full(values.shape[1], 4.0)
    # whole numbers below 2**53 on both routes: equal without a tolerance
    assert hypervolume(values, reference) == by_inclusion_and_exclusion(values, reference)


@pytest.mark.parametrize("m", [3, 4])
def test_hypervolume_agrees_with_monte_carlo(m: int) -> None:
    """40 points, 200,000 samples of the unit cube; 5 standard errors: odds of a false alarm below 1 in a million."""
    stream = rng(1, "hypervolume", m)
    directions = np.abs(stream.standard_normal((40, m)))
    values = 1.0 - 0.9 * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    samples = stream.random((200_000, m))
    hit = np.zeros(len(samples), dtype=np.bool_)
    for point in values:
        hit |= (samples >= point).all(axis=1)
    share = float(hit.mean())
    assert abs(hypervolume(values, np.ones(m)) - share) < 5 * np.sqrt(share * (1 - share) / len(samples))


@given(points(objectives=(2, 4)), st.randoms(use_true_random=False))
def test_rows_and_objectives_can_be_permuted(values: Points, random: object) -> None:
    rows, columns = list(range(len(values))), list(range(values.shape[1]))
    random.shuffle(rows)  # type: ignore[attr-defined]
    random.shuffle(columns)  # type: ignore[attr-defined]
    turned = values[rows][:, columns]
    reference = np.arange(3.0, 3.0 + values.shape[1])
    assert hypervolume(turned, reference[columns]) == hypervolume(values, reference)
    assert fronts(turned).tolist() == fronts(values)[rows].tolist()
    assert non_dominated(turned).tolist() == non_dominated(values)[rows].tolist()
    contributions = hypervolume_contributions(values, reference)
    assert hypervolume_contributions(turned, reference[columns]).tolist() == contributions[rows].tolist()


def test_contributions_by_hand() -> None:
    # (1, 5) alone adds 1 x 1; (2, 3) has a copy; (4, 1) adds 2 x 2; the others are behind them
    assert hypervolume_contributions(STAIRS, [6.0, 6.0]).tolist() == [1.0, 0.0, 4.0, 0.0, 0.0, 0.0]
    # each box of 1 x 1 x 2 shares its half with the others
    assert hypervolume_contributions([[0, 1, 1], [1, 0, 1], [1, 1, 0]], [2, 2, 2]).tolist() == [1.0, 1.0, 1.0]
    assert hypervolume_contributions([[1.0], [2.0], [9.0]], [5.0]).tolist() == [1.0, 0.0, 0.0]
    # of the 3 x 3 in front of (0, 0), the 2 x 2 behind it would stay with (1, 1)
    assert hypervolume_contributions([[0.0, 0.0], [1.0, 1.0]], [3.0, 3.0]).tolist() == [5.0, 0.0]


@given(points(objectives=(1, 4)))
def test_contributions_are_what_is_lost(values: Points) -> None:
    reference = np.full(values.shape[1], 4.0)
    whole = hypervolume(values, reference)
    lost = [whole - hypervolume(np.delete(values, i, axis=0), reference) for i in range(len(values))]
    assert hypervolume_contributions(values, reference).tolist() == lost


def test_no_rounding_below_zero() -> None:
    values = rng(2, "rounding").random((30, 4))
    contributions = hypervolume_contributions(values, np.full(4, 1.1))
    assert (contributions >= 0).all()
    assert (contributions[~non_dominated(values)] == 0).all()
    assert (contributions[non_dominated(values)] > 0).all()


# Crowding distance


def test_crowding_distance_by_hand() -> None:
    values = [[0.0, 10.0], [1.0, 6.0], [4.0, 5.0], [5.0, 0.0]]
    # inner points: (4 - 0)/5 + (10 - 5)/10 and (5 - 1)/5 + (6 - 0)/10
    assert crowding_distance(values) == pytest.approx([np.inf, 1.3, 1.4, np.inf])


def test_crowding_distance_of_copies_and_constant_objectives() -> None:
    assert crowding_distance([[0.0, 7.0], [1.0, 7.0], [1.0, 7.0], [4.0, 7.0]]).tolist() == [np.inf, 1.0, 0.0, np.inf]
    assert crowding_distance([[2.0, 2.0], [2.0, 2.0]]).tolist() == [np.inf, 0.0]
    assert crowding_distance([[2.0, 1.0], [1.0, 2.0]]).tolist() == [np.inf, np.inf]
    assert crowding_distance(np.zeros((0, 2))).tolist() == []


@given(points(), st.randoms(use_true_random=False))
def test_crowding_distance_does_not_depend_on_the_order_of_rows(values: Points, random: object) -> None:
    rows = list(range(len(values)))
    random.shuffle(rows)  # type: ignore[attr-defined]

    def largest(values: Points) -> dict[tuple[float, ...], float]:
        room: dict[tuple[float, ...], float] = {}
        for point, distance in zip(values.tolist(), crowding_distance(values).tolist(), strict=True):
            room[tuple(point)] = max(room.get(tuple(point), 0.0), distance)
        return room

    assert largest(values[rows]) == largest(values)


# What is refused


@pytest.mark.parametrize(
    "function",
    [
        non_dominated,
        fronts,
        crowding_distance,
        lambda values: hypervolume(values, [1.0, 1.0]),
        lambda values: hypervolume_contributions(values, [1.0, 1.0]),
        lambda values: constrained_fronts(values, [0.0, 0.0]),
    ],
)
def test_values_that_are_refused(function: Callable[[object], object]) -> None:
    with pytest.raises(InvalidOption, match="not a number"):
        function([[1.0, np.nan], [0.0, 0.0]])
    with pytest.raises(InvalidOption, match=r"wrong shape: \(2,\)"):
        function([1.0, 2.0])
    with pytest.raises(InvalidOption, match="array of numbers"):
        function([["a", "b"]])
    with pytest.raises(InvalidOption, match="array of numbers"):
        function([[1.0], [1.0, 2.0]])


def test_other_arguments_that_are_refused() -> None:
    with pytest.raises(InvalidOption, match="not a number"):
        dominates([np.nan], [0.0])
    with pytest.raises(InvalidOption, match="different numbers of objectives"):
        dominates([1.0, 2.0], [1.0])
    with pytest.raises(InvalidOption, match="must be finite"):
        hypervolume([[1.0]], [np.inf])
    with pytest.raises(InvalidOption, match="another number of objectives: 1; expected 2"):
        hypervolume([[1.0, 2.0]], [3.0])
    with pytest.raises(InvalidOption, match="above -infinity"):
        hypervolume([[-np.inf, 2.0]], [3.0, 3.0])
    with pytest.raises(InvalidOption, match="finite values: inf"):
        crowding_distance([[np.inf, 2.0]])
