"""The layout of graphs: layers, crossings, heights and bends, by hand and by brute force."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nas_core.graph import Graph
from nas_search.report.layout import crossings, layered, spread


def test_layers_are_longest_paths() -> None:
    graph = Graph(("input", "a", "b", "output"), ((0, 1), (1, 2), (0, 2), (2, 3)))
    assert layered(graph).layers == (0, 1, 2, 3)


def test_an_edge_bends_at_every_layer_that_it_passes() -> None:
    graph = Graph(("input", "a", "b", "output"), ((0, 1), (1, 2), (2, 3), (0, 3)))
    bends = dict(zip(graph.edges, layered(graph).bends, strict=True))
    assert [layer for layer, _ in bends[0, 3]] == [1, 2]
    assert [bends[edge] for edge in ((0, 1), (1, 2), (2, 3))] == [(), (), ()]


def test_two_paths_that_cross_as_numbered_are_taken_apart() -> None:
    # 0 -> 3 and 1 -> 2 cross where both layers are in the order of their numbers
    layout = layered(Graph(("a", "b", "c", "d"), ((1, 2), (0, 3))))
    low = layout.heights
    assert (low[0] < low[1]) == (low[3] < low[2])


def test_a_chain_is_straight() -> None:
    assert set(layered(Graph(("a", "b", "c"), ((0, 1), (1, 2)))).heights) == {0.0}


def test_one_node() -> None:
    layout = layered(Graph(("a",), ()))
    assert (layout.layers, layout.heights, layout.bends) == ((0,), (0.0,), ())


rows = st.lists(st.lists(st.integers(0, 5), max_size=4), max_size=5)


@given(rows)
def test_crossings_are_those_of_all_pairs(upper: list[list[int]]) -> None:
    ends = [(i, position) for i, positions in enumerate(upper) for position in positions]
    pairs = sum(a < c and b > d for a, b in ends for c, d in ends)
    assert crossings(upper) == pairs


def test_spread_by_hand() -> None:
    # both want 0 and must keep 1 apart: half of it each
    assert spread([0.0, 0.0], [1.0]) == [-0.5, 0.5]
    # the third is far enough already
    assert spread([0.0, 0.0, 5.0], [1.0, 1.0]) == [-0.5, 0.5, 5.0]


@given(st.lists(st.tuples(st.floats(-9, 9), st.floats(0.1, 2)), min_size=1, max_size=6), st.integers(0, 99))
def test_spread_is_the_nearest_that_keeps_its_distances(points: list[tuple[float, float]], seed: int) -> None:
    wanted, distances = [number for number, _ in points], [distance for _, distance in points[1:]]
    found = spread(wanted, distances)
    assert all(b - a > d - 1e-9 for (a, b), d in zip(pairwise(found), distances, strict=True))
    # no other legal choice is nearer; the criterion is convex, so random ones and small steps away will do
    cost = np.square(np.subtract(found, wanted)).sum()
    rng = np.random.default_rng(seed)
    for size in (1e-3, 1.0):
        other = np.sort(np.subtract(found, np.cumsum([0.0, *distances])) + size * rng.standard_normal(len(found)))
        assert np.square(other + np.cumsum([0.0, *distances]) - wanted).sum() > cost - 1e-9


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    v = draw(st.integers(1, 9))
    pairs = [(i, j) for j in range(v) for i in range(j)]
    return Graph(("x",) * v, tuple(draw(st.sets(st.sampled_from(pairs))) if pairs else ()))


@given(graphs())
def test_nodes_of_a_layer_do_not_touch_and_edges_lead_right(graph: Graph) -> None:
    layout = layered(graph)
    for layer in set(layout.layers):
        row = sorted(h for h, on in zip(layout.heights, layout.layers, strict=True) if on == layer)
        assert all(b - a > 1 - 1e-9 for a, b in pairwise(row))
    for (source, target), bends in zip(graph.edges, layout.bends, strict=True):
        passed = [layer for layer, _ in bends]
        assert passed == list(range(layout.layers[source] + 1, layout.layers[target]))
    assert layered(graph) == layout
