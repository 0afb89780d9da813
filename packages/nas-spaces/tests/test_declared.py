"""Declared spaces."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from nas_core.errors import InvalidSpace
from nas_core.space import Enumerable
from nas_core.testing import SpaceContract
from nas_spaces.declared import DeclaredSpace

FINITE = {"width": [16, 32, 64], "activation": ["relu", "gelu"], "depth": {"kind": "integer", "low": 1, "high": 3}}
REAL = {"width": [16, 32], "rate": {"kind": "real", "low": 0.1, "high": 0.5, "log": True}}


class TestFiniteDeclaredSpace(SpaceContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_spaces.declared:DeclaredSpace"

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"decisions": FINITE, "title": "finite"}


class TestRealDeclaredSpace(SpaceContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_spaces.declared:DeclaredSpace"

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"decisions": REAL}


def test_members_are_listed_with_the_last_decision_fastest() -> None:
    space = DeclaredSpace({"a": [True, False], "b": {"kind": "integer", "low": 5, "high": 7}})
    assert space.size == 6
    assert [a.values for a in space.enumerate()] == [(x, y) for x in (True, False) for y in (5, 6, 7)]


def test_a_huge_space_is_listed_as_far_as_it_is_asked_for() -> None:
    space = DeclaredSpace({"n": {"kind": "integer", "low": 0, "high": 10**15}, "b": ["x", "y"]})
    assert space.size == 2 * (10**15 + 1)
    assert [a.values for a in islice(space.enumerate(), 3)] == [(0, "x"), (0, "y"), (1, "x")]


def test_only_a_finite_space_can_be_listed() -> None:
    assert isinstance(DeclaredSpace(FINITE), Enumerable)
    assert not isinstance(DeclaredSpace(REAL), Enumerable)
    with pytest.raises(InvalidSpace, match="cannot be listed: 'rate'"):
        next(DeclaredSpace(REAL).enumerate())


def test_its_text_is_json() -> None:
    space = DeclaredSpace(FINITE, "finite")
    a = space.parse('{"depth": 2, "width": 32, "activation": "gelu"}')
    assert a.values == (32, "gelu", 2)
    assert space.text(a) == '{"width":32,"activation":"gelu","depth":2}'


@pytest.mark.parametrize(
    ("decisions", "title", "message"),
    [
        ({}, "x", "'x' declares no decisions"),
        ("ab", "x", "declares no decisions: 'ab'"),
        (["a"], "x", "not the configuration of a decision: 'a'"),
        ([{"kind": "categorical", "name": "a", "choices": [1]}] * 2, "x", "declares a decision twice"),
        ({"a": "relu"}, "x", "choices of 'a' must be a list: 'relu'"),
        ({"a": 3}, "x", "choices of 'a' must be a list: 3"),
        ({"a": []}, "x", "'a' has no choices"),
        ({"a": [1, "b"]}, "x", "scalars of one type"),
        ({"a": {"kind": "normal"}}, "x", "unknown kind: 'normal'"),
        ({"a": [1]}, "", "needs a title"),
    ],
)
def test_a_wrong_declaration_is_told(decisions: Any, title: str, message: str) -> None:
    with pytest.raises(InvalidSpace, match=message):
        DeclaredSpace(decisions, title)
