"""Graphs of graphs: levels counted by hand, and what does not fit."""

from __future__ import annotations

import pytest

from nas_core.errors import InvalidGraph
from nas_core.graph import Graph
from nas_core.nested import NestedGraph

PAIR = Graph(("a", "b"), ((0, 1),))
BOTTOM = NestedGraph(PAIR, ("mean", "mean"))


def test_levels() -> None:
    assert BOTTOM.levels == 1
    middle = NestedGraph(PAIR, parts=(BOTTOM, BOTTOM))
    assert middle.levels == 2
    assert NestedGraph(PAIR, parts=(BOTTOM, middle)).levels == 3


def test_equal_ones_are_one() -> None:
    assert len({BOTTOM, NestedGraph(Graph(("a", "b"), ((0, 1),)), ("mean", "mean")), NestedGraph(PAIR)}) == 2


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InvalidGraph, match=r"2 nodes with other ways to merge: 1"):
        NestedGraph(PAIR, ("mean",))
    with pytest.raises(InvalidGraph, match=r"2 nodes with other parts: 3"):
        NestedGraph(PAIR, parts=(BOTTOM,) * 3)
