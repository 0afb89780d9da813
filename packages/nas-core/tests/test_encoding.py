"""Encodings: small arrays written out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from numpy.testing import assert_allclose, assert_array_equal

from nas_core.decisions import Categorical, Integer, Real, Value
from nas_core.encoding import indices, one_hot, padded_graphs, path_counts, paths, tokens
from nas_core.errors import InvalidOption
from nas_core.graph import Graph
from nas_core.space import Space
from nas_core.testing import ContinuousToySpace, ToySpace

DIAMOND = Graph(("in", "a", "b", "out"), ((0, 1), (0, 2), (1, 3), (2, 3)))
CHAIN = Graph(("in", "a", "out"), ((0, 1), (1, 2)))
LABELS = ("in", "a", "b", "out")


class Mixed(Space):
    """One decision of each kind, all of them inactive at depth 1 but the depth."""

    name = "mixed"
    decisions = (Integer("depth", 1, 4), Categorical("colour", ("red", "green", "blue")), Real("rate", 0.0, 2.0))

    def active(self, values: Sequence[Value | None]) -> tuple[bool, ...]:
        return (True, values[0] != 1, values[0] != 1)

    def to_config(self) -> dict[str, Any]:
        return {"name": "mixed"}


def test_one_hot() -> None:
    space = Mixed()
    members = [space.canonical(values) for values in ((2, "green", 0.5), (4, "red", 2.0), (1, None, None))]
    assert_allclose(
        one_hot(space, members),
        [
            # depth: middle of its cell, active | red green blue | rate, active
            [0.375, 1, 0, 1, 0, 0.25, 1],
            [0.875, 1, 1, 0, 0, 1.0, 1],
            [0.125, 1, 0, 0, 0, 0.5, 0],
        ],
    )
    assert one_hot(space, []).shape == (0, 7)


def test_indices() -> None:
    space = ToySpace()
    members = [space.canonical(values) for values in (("conv1", "skip", 2, "tanh"), ("conv3", "pool", 0, None))]
    assert_array_equal(indices(space, members), [[1, 3, 2, 1], [0, 2, 0, -1]])
    assert indices(space, []).shape == (0, 4)
    with pytest.raises(InvalidOption, match="a real decision has no choice numbers: 'rate'"):
        indices(ContinuousToySpace(), [])


def test_padded_graphs() -> None:
    padded = padded_graphs([CHAIN, DIAMOND], LABELS)
    assert_array_equal(padded.sizes, [3, 4])
    assert_array_equal(padded.labels, [[0, 1, 3, -1], [0, 1, 2, 3]])
    assert_array_equal(
        padded.adjacency,
        [
            [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]],
            [[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]],
        ],
    )
    wide = padded_graphs([CHAIN], LABELS, most_nodes=6)
    assert (wide.adjacency.shape, wide.labels.shape) == ((1, 6, 6), (1, 6))
    assert wide.adjacency.sum() == 2
    empty = padded_graphs([], LABELS, most_nodes=5)
    assert (empty.adjacency.shape, empty.labels.shape, empty.sizes.shape) == ((0, 5, 5), (0, 5), (0,))
    assert padded_graphs([Graph(("in",), ())], LABELS).adjacency.tolist() == [[[0]]]


def test_parallel_edges_count_once_in_the_padding() -> None:
    twice = Graph(("in", "a"), ((0, 1), (0, 1)), (0, 1))
    assert padded_graphs([twice], LABELS).adjacency.tolist() == [[[0, 1], [0, 0]]]
    assert paths(twice) == {("in", "a"): 1}


def test_graphs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidOption, match="more nodes than the padding: 4; expected at most 3"):
        padded_graphs([CHAIN, DIAMOND], LABELS, most_nodes=3)
    with pytest.raises(InvalidOption, match="a label outside the vocabulary: 'b'; expected in, a, out"):
        padded_graphs([DIAMOND], ("in", "a", "out"))


def test_paths() -> None:
    assert paths(DIAMOND) == {("in", "a", "out"): 1, ("in", "b", "out"): 1}
    twins = Graph(("in", "a", "a", "out"), ((0, 1), (0, 2), (0, 3), (1, 3), (2, 3)))
    assert paths(twins) == {("in", "a", "out"): 2, ("in", "out"): 1}
    # two ways in, two ways out of the middle, a node that leads nowhere and one that nothing leads to
    hourglass = Graph(("in", "a", "b", "m", "a", "b", "out"), ((0, 1), (0, 2), (1, 3), (2, 3), (3, 4), (3, 5), (4, 6)))
    assert paths(hourglass) == {
        ("in", "a", "m", "a", "out"): 1,
        ("in", "b", "m", "a", "out"): 1,
        ("in", "a", "m", "b"): 1,
        ("in", "b", "m", "b"): 1,
    }
    assert paths(Graph(("a", "b"), ())) == {("a",): 1, ("b",): 1}


def test_path_counts() -> None:
    table, names = path_counts([CHAIN, DIAMOND, Graph(("in", "a", "a", "out"), ((0, 1), (0, 2), (1, 3), (2, 3)))])
    assert names == (("in", "a", "out"), ("in", "b", "out"))
    assert_array_equal(table, [[1, 0], [1, 1], [2, 0]])
    assert path_counts([])[0].shape == (0, 0)


def test_tokens() -> None:
    space = ToySpace()
    members = [space.canonical(values) for values in (("conv1", "skip", 2, "tanh"), ("conv3", "pool", 0, None))]
    # conv3 conv1 pool skip | 0 1 2 | relu tanh
    assert_array_equal(tokens(space, members), [[1, 3, 6, 8], [0, 2, 4, -1]])
    assert tokens(space, []).shape == (0, 0)
    with pytest.raises(InvalidOption, match="the space has no token view: 'continuous_toy'"):
        tokens(ContinuousToySpace(), [])
