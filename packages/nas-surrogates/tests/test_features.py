"""Features against paths worked out by hand, and their independence of what was asked before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical, Integer
from nas_core.graph import Graph
from nas_core.random import rng
from nas_core.space import Space
from nas_core.testing import ToySpace
from nas_core.training_set import TrainingSet
from nas_surrogates import features as module
from nas_surrogates.features import SpaceFeatures, scaled_decisions
from nas_surrogates.gp import GaussianProcess
from nas_surrogates.kernels import CellKernel

EDGES = ((0, 1), (0, 2), (0, 4), (1, 3), (1, 5), (2, 6), (3, 6), (4, 7), (5, 7), (6, 7))


OPERATIONS = ("none", "skip", "a", "b")


class Cell(Space):
    """Six operations on the edges of a complete graph of four nodes, as nodes of an eight-node graph."""

    name = "cell"
    decisions = tuple(Categorical(f"edge{i}", OPERATIONS) for i in range(6))
    graph_labels = ("in", *OPERATIONS, "out")
    most_nodes = 8
    graph_identities = ("skip",)
    graph_zeros = ("none",)

    def graphs(self, a: Architecture) -> Mapping[str, Graph]:
        return {"cell": Graph(("in", *map(str, a.values), "out"), EDGES)}

    def from_graphs(self, graphs: Mapping[str, Graph]) -> Architecture:
        return self.canonical(graphs["cell"].labels[1:-1])

    def graph_key(self, a: Architecture) -> str:
        return self.text(a)

    def to_config(self) -> dict[str, Any]:
        return {"name": self.name}


def paths(operations: str) -> dict[tuple[str, ...], int]:
    """Paths of a cell: n, s, a, b for none, skip, a, b."""
    space = Cell()
    names = {"n": "none", "s": "skip", "a": "a", "b": "b"}
    features = SpaceFeatures(space)
    rows = features.rows([space.canonical([names[o] for o in operations])])
    block = features.blocks[0]
    counts = features.counts(block, rows).dense()[0]
    return {path: int(count) for path, count in zip(features.counted(block), counts, strict=True) if count}


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ("nnnnnn", {}),
        ("nnnsnn", {("in", "out"): 1}),
        ("annnan", {("in", "a", "a", "out"): 1}),  # 0 -> 1 -> 3
        ("ssssss", {("in", "out"): 4}),
        # edges 0-1, 0-2, 1-2, 0-3, 1-3, 2-3: four routes from 0 to 3
        ("absbas", {("in", "b", "out"): 2, ("in", "a", "a", "out"): 1, ("in", "a", "out"): 1}),
        ("nabsab", {("in", "out"): 1, ("in", "a", "b", "out"): 1}),  # what edge 0 cuts takes 1-2 and 1-3 with it
    ],
)
def test_paths_by_hand(operations: str, expected: dict[tuple[str, ...], int]) -> None:
    assert paths(operations) == expected


def test_cells_that_compute_alike_have_equal_features() -> None:
    space = Cell()
    features = SpaceFeatures(space)
    a = space.canonical(["a", "none", "skip", "none", "none", "b"])  # in, a, skip, b, out
    b = space.canonical(["a", "none", "none", "none", "b", "skip"])  # in, a, b, out; the last skip gets nothing
    found = features([a, b])
    assert_array_equal(found["paths:cell"][0], found["paths:cell"][1])
    assert_array_equal(found["statistics:cell"][0], found["statistics:cell"][1])
    assert not np.array_equal(found["decisions"][0], found["decisions"][1])


def test_features_do_not_depend_on_what_was_asked_before(monkeypatch: pytest.MonkeyPatch) -> None:
    space = ToySpace()
    members = list(space.enumerate())
    one, other = CellKernel(SpaceFeatures(space)), CellKernel(SpaceFeatures(space))
    monkeypatch.setattr(module, "MOST_KEPT", 60)  # features are forgotten on the way
    first = one.distances(one.points(members[:9]), one.points(members[50:]))
    for i in range(0, len(members), 7):
        other.points(members[i : i + 7][::-1])
    again = other.distances(other.points(members[:9]), other.points(members[50:]))
    for x, y in zip(first, again, strict=True):
        assert_array_equal(x, y)


def test_distances_by_hand() -> None:
    space = Cell()
    kernel = CellKernel(SpaceFeatures(space))
    empty = space.canonical(["none"] * 6)
    skips = space.canonical(["none", "none", "none", "skip", "none", "none"])
    both = space.canonical(["none", "none", "a", "skip", "none", "none"])  # the same function
    more = space.canonical(["a", "none", "none", "skip", "skip", "none"])  # paths in-out and in-a-out
    points = kernel.points([empty, skips, both, more])
    by_paths, *_ = kernel.distances(points, points)
    cosine = 1 / np.sqrt(2)
    expected = [
        [0, 2, 2, 2],
        [2, 0, 0, 2 - 2 * cosine],
        [2, 0, 0, 2 - 2 * cosine],
        [2, 2 - 2 * cosine, 2 - 2 * cosine, 0],
    ]
    assert_allclose(by_paths, expected, atol=1e-12)
    assert kernel.blocks[-1].kind == "decisions"
    *_, by_decisions, trend = kernel.distances(points, points)
    raw, drawn = (scaled_decisions(space, members) for members in ([empty, skips, both, more], kernel.features.drawn))
    spread = np.mean(np.sum((drawn - drawn.mean(axis=0)) ** 2, axis=1))
    centred = raw - drawn.mean(axis=0)
    assert_allclose(trend, centred @ centred.T / spread)
    assert_allclose(by_decisions[0], [0, 1, 2, 3], atol=1e-12)


def test_large_graphs_are_read_by_walks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST", 7)
    assert paths("annnan") == {
        ("in",): 1, ("a",): 2, ("out",): 1, ("in", "a"): 1, ("a", "a"): 1, ("a", "out"): 1,
        ("in", "a", "a"): 1, ("a", "a", "out"): 1,
    }  # fmt: skip


def test_spaces_without_graphs_have_their_decisions_alone() -> None:
    class Plain(Space):
        name = "plain"
        decisions = (Categorical("c", ("x", "y", "z")), Integer("k", 0, 4))

        def to_config(self) -> dict[str, Any]:
            return {"name": self.name}

    space = Plain()
    features = SpaceFeatures(space)
    assert [block.name for block in features.blocks] == ["decisions"]
    kernel = CellKernel(features)
    drawn = kernel.points(features.drawn)
    assert_allclose(drawn.matrices[-1].mean(axis=0), 0.0, atol=1e-12)
    assert_allclose(drawn.sizes[-1].mean(), 1.0)
    assert_allclose(kernel.distances(drawn, drawn)[-1], drawn.matrices[-1] @ drawn.matrices[-1].T)
    x = scaled_decisions(space, [space.canonical(["x", 0]), space.canonical(["y", 0]), space.canonical(["x", 4])])
    assert_allclose(np.sum((x[0] - x) ** 2, axis=1), [0.0, 1.0, 0.64])  # five numbers stand at 0.1 … 0.9


def test_what_is_no_function_of_the_graph_follows_the_decisions() -> None:
    """A cost of 1 for each edge that is not none, dead ones too: told that the target is no function of what is
    computed, the fit at least halves the error on members that it has not seen."""
    space = Cell()
    members = list(dict.fromkeys(space.sample(rng(1), 200)))
    cost = np.array([[float(sum(value != "none" for value in a.values))] for a in members])
    order = rng(5).permutation(len(members))
    seen, unseen = order[:40], order[40:140]
    errors = []
    for functional in (True, False):
        data = TrainingSet(
            tuple(members[i] for i in seen),
            cost[seen],
            np.ones(40, dtype=np.int64),
            np.zeros(40),
            functional=(functional,),
        )
        mean = GaussianProcess(space).fit(data, rng(0)).predict([members[i] for i in unseen]).mean
        errors.append(float(np.sqrt(np.mean((mean - cost[unseen]) ** 2))))
    assert errors[1] < errors[0] / 2
