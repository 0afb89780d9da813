"""Decisions: legal values, the way from anything to a legal value, and the unit interval."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas_core.decisions import Categorical, Decision, Integer, Real, decision_from_config
from nas_core.errors import InvalidArchitecture, InvalidSpace
from nas_core.random import rng

COLOUR = Categorical("colour", ("red", "green", "blue", "grey"))
DEPTH = Integer("depth", -1, 3)
RATE = Real("rate", 0.5, 2.5)
SCALE = Real("scale", 1e-4, 1e-2, log=True)
ALL: list[Decision] = [COLOUR, DEPTH, RATE, SCALE]

JUNK: list[Any] = [
    None, "", "junk", math.nan, math.inf, -math.inf, 10**400, -(10**400), 1e308, 2.6, 7, -7, True, b"red", (), [], {},
    1j, object(), np.float32("nan"), np.int8(2),
]  # fmt: skip


def test_hand_made_units() -> None:
    assert [COLOUR.to_unit(choice) for choice in COLOUR.choices] == [0.125, 0.375, 0.625, 0.875]
    assert [DEPTH.to_unit(value) for value in range(-1, 4)] == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])
    assert [RATE.to_unit(value) for value in (0.5, 1.0, 2.5)] == [0.0, 0.25, 1.0]
    assert [SCALE.to_unit(value) for value in (1e-4, 1e-3, 1e-2)] == pytest.approx([0.0, 0.5, 1.0])
    assert SCALE.from_unit(0.5) == pytest.approx(1e-3)
    assert [COLOUR.from_unit(unit) for unit in (0.0, 0.24, 0.25, 0.99, 1.0)] == ["red", "red", "green", "grey", "grey"]
    assert [DEPTH.from_unit(unit) for unit in (0.0, 0.2, 0.41, 1.0)] == [-1, 0, 1, 3]


@pytest.mark.parametrize("decision", ALL, ids=lambda decision: decision.name)
def test_units_are_clipped(decision: Decision) -> None:
    for unit, end in ((-0.5, 0.0), (-math.inf, 0.0), (1.5, 1.0), (math.inf, 1.0)):
        assert decision.from_unit(unit) == decision.from_unit(end)


@given(st.integers(-(10**6), 10**6), st.integers(0, 10**6), st.data())
def test_whole_numbers_return_from_the_unit_interval(low: int, width: int, data: st.DataObject) -> None:
    decision = Integer("x", low, low + width)
    value = data.draw(st.integers(low, low + width))
    assert 0 < decision.to_unit(value) < 1
    assert decision.from_unit(decision.to_unit(value)) == value


@given(st.floats(1e-3, 1e3), st.floats(1e-3, 1e3), st.floats(0, 1), st.booleans())
def test_numbers_return_from_the_unit_interval(low: float, width: float, unit: float, log: bool) -> None:
    decision = Real("x", low, low + width, log=log)
    value = float(decision.from_unit(unit))
    assert decision.low <= value <= decision.high
    assert decision.check(value) == value
    assert float(decision.from_unit(decision.to_unit(value))) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("decision", ALL, ids=lambda decision: decision.name)
def test_nearest_is_total_and_legal(decision: Decision) -> None:
    for junk in JUNK:
        nearest = decision.nearest(junk)
        assert decision.check(nearest) == nearest
        assert type(decision.check(nearest)) is type(nearest)


@pytest.mark.parametrize("decision", ALL, ids=lambda decision: decision.name)
def test_nearest_leaves_legal_values_alone(decision: Decision) -> None:
    stream = rng(0)
    for _ in range(50):
        value = decision.sample(stream)
        assert decision.check(value) == value
        assert decision.nearest(value) == value


def test_nearest_rounds_and_clips() -> None:
    assert [DEPTH.nearest(v) for v in (1.4, 1.6, 99, -99, math.inf, -math.inf, 10**400)] == [1, 2, 3, -1, 3, -1, 3]
    assert [RATE.nearest(v) for v in (1, 9, -9, math.inf, -(10**400))] == [1.0, 2.5, 0.5, 2.5, 0.5]
    assert [DEPTH.nearest(v) for v in (None, "3", math.nan)] == [-1, -1, -1]
    assert [RATE.nearest(v) for v in (None, "3", math.nan)] == [0.5, 0.5, 0.5]
    assert [COLOUR.nearest(v) for v in (None, "blue", "pink", 2)] == ["red", "blue", "red", "red"]


def test_large_whole_numbers_stay_exact() -> None:
    decision = Integer("x", 0, 2**60)
    assert decision.nearest(2**60 - 1) == 2**60 - 1
    assert decision.check(np.int64(2**60 - 1)) == 2**60 - 1


@pytest.mark.parametrize(
    ("decision", "values"),
    [
        (COLOUR, ["pink", 0, None, ["red"], b"red", True]),
        (DEPTH, [-2, 4, 1.0, "1", True, None, math.nan, 10**400]),
        (RATE, [0.4999, 2.6, "1", True, None, math.nan, math.inf, 10**400, 1j, np.complex128(1)]),
        (Categorical("flag", (False, True)), [0, 1, "True", None]),
        (Categorical("width", (1, 2)), [1.0, True, "1"]),
        (Categorical("share", (0.5, 1.0)), [1, True, "0.5"]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_check_refuses_what_is_not_legal(decision: Decision, values: list[Any]) -> None:
    for value in values:
        with pytest.raises(InvalidArchitecture, match=repr(decision.name)):
            decision.check(value)


@pytest.mark.parametrize(("choices", "end"), [(12, "10, 11"), (13, r"10, 11, … \(13 in all\)")])
def test_messages_list_a_dozen_choices(choices: int, end: str) -> None:
    with pytest.raises(InvalidArchitecture, match=f"one of 0, 1, .*{end}$"):
        Categorical("x", tuple(range(choices))).check(-1)


def test_check_gives_plain_types() -> None:
    assert type(DEPTH.check(np.int32(2))) is int
    assert type(RATE.check(np.float32(2.0))) is float
    assert type(RATE.check(1)) is float


def test_other_values() -> None:
    assert COLOUR.others("green") == ("red", "blue", "grey")
    assert DEPTH.others(1) == (-1, 0, 2, 3)
    assert RATE.others(1.5) == pytest.approx((1.3, 1.7))
    assert RATE.others(0.5) == pytest.approx((0.7,))
    assert Real("x", 0.0, 10.0).others(1.0) == pytest.approx((0.0, 2.0))
    assert Real("x", 0.0, 10.0).others(9.0) == pytest.approx((8.0, 10.0))
    assert SCALE.others(1e-2) == pytest.approx((10 ** (-2 - 0.2),))


def test_sizes() -> None:
    assert (COLOUR.size, DEPTH.size, RATE.size) == (4, 5, None)


def test_samples_are_uniform() -> None:
    """4000 draws on 4 or 5 cells: a cell's count is off by six standard errors with odds of 2 in 10^9."""
    stream = rng(0, "uniform")
    for decision in ALL:
        cells = 4 if decision is COLOUR else 5
        units = [decision.to_unit(decision.sample(stream)) for _ in range(4000)]
        counts = np.histogram(units, bins=cells, range=(0, 1))[0]
        assert (abs(counts - 4000 / cells) < 6 * math.sqrt(4000 / cells * (1 - 1 / cells))).all()


@pytest.mark.parametrize("decision", ALL, ids=lambda decision: decision.name)
def test_configs_round_trip_through_json(decision: Decision) -> None:
    assert decision_from_config(json.loads(json.dumps(decision.to_config()))) == decision


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"kind": "ordinal", "name": "x"}, "unknown kind: 'ordinal'; expected one of categorical, integer, real"),
        ({"name": "x"}, "unknown kind: None"),
        ({"kind": "integer", "name": "x", "low": 0}, "wrong keys"),
        ({"kind": "integer", "name": "x", "low": 0, "high": 1, "step": 1}, "wrong keys"),
        ({"kind": "categorical", "name": "x", "choices": "abc"}, "choices must be a list: 'abc'"),
        ({"kind": "categorical", "name": "x", "choices": []}, "has no choices"),
        ({"kind": "categorical", "name": "x", "choices": [1, "a"]}, "scalars of one type"),
        ({"kind": "categorical", "name": "x", "choices": [[1]]}, "scalars of one type"),
        ({"kind": "categorical", "name": "x", "choices": [1, 2, 1]}, "names a choice twice"),
        ({"kind": "categorical", "name": "", "choices": [1]}, "needs a name"),
        ({"kind": "integer", "name": "x", "low": 0.0, "high": 1}, "whole numbers: 0.0"),
        ({"kind": "integer", "name": "x", "low": True, "high": 1}, "whole numbers: True"),
        ({"kind": "integer", "name": "x", "low": 2, "high": 1}, "has no values"),
        ({"kind": "real", "name": "x", "low": 1, "high": 1}, "has no values"),
        ({"kind": "real", "name": "x", "low": 0, "high": "much"}, "must be numbers"),
        ({"kind": "real", "name": "x", "low": 0, "high": math.inf}, "has no values"),
        ({"kind": "real", "name": "x", "low": 0, "high": 1, "log": True}, "is logarithmic"),
        ({"kind": "real", "name": None, "low": 0, "high": 1}, "needs a name"),
    ],
)
def test_contradictions_are_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidSpace, match=message):
        decision_from_config(config)
