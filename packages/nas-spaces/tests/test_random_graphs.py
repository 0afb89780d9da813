"""Random wirings: connected, directed, as frequent as networkx draws them; odd K and graphs that never connect."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas_core.graph import Graph
from nas_core.random import rng
from nas_spaces import random_graphs
from nas_spaces.random_graphs import (
    SINGLE,
    Wiring,
    effective_neighbours,
    erdos_renyi,
    ring_parameters,
    watts_strogatz,
)


def edges(wiring: Wiring) -> int:
    return sum(map(len, wiring.sources))


def check(wiring: Wiring, nodes: int) -> None:
    """It has so many nodes, edges from low to high without repeats, and is connected."""
    assert len(wiring.sources) == nodes
    for node, sources in enumerate(wiring.sources):
        assert list(sources) == sorted(set(sources))
        assert all(0 <= source < node for source in sources)
    assert wiring.sources[0] == ()
    assert nodes - 1 in wiring.outputs
    assert nx.is_weakly_connected(wiring.graph(["x"] * nodes).to_networkx())


@given(st.integers(1, 14), st.integers(2, 9), st.floats(0, 1), st.integers(0, 10**6))
def test_a_watts_strogatz_graph_is_connected_and_follows_its_stream(n: int, k: int, p: float, seed: int) -> None:
    wiring = watts_strogatz(n, k, p, rng(seed))
    check(wiring, n)
    assert watts_strogatz(n, k, p, rng(seed)) == wiring


@given(st.integers(1, 14), st.floats(0, 1), st.integers(0, 10**6))
def test_an_erdos_renyi_graph_is_connected_and_follows_its_stream(n: int, p: float, seed: int) -> None:
    wiring = erdos_renyi(n, p, rng(seed))
    check(wiring, n)
    assert erdos_renyi(n, p, rng(seed)) == wiring


def test_a_node_alone_is_input_and_output() -> None:
    assert watts_strogatz(1, 4, 0.5, rng(0)) == erdos_renyi(1, 0.5, rng(0)) == SINGLE
    assert SINGLE.outputs == (0,)
    assert SINGLE.graph(["x"]) == Graph(("x",), ())


def test_a_ring_by_hand() -> None:
    ring = watts_strogatz(6, 2, 0.0, rng(0))
    assert ring.sources == ((), (0,), (1,), (2,), (3,), (0, 4))
    assert ring.outputs == (5,)
    wide = watts_strogatz(6, 4, 0.0, rng(0))
    assert wide.sources == ((), (0,), (0, 1), (1, 2), (0, 2, 3), (0, 1, 3, 4))


def test_odd_neighbours_are_those_of_the_even_number_below() -> None:
    """The trap of networkx: k = 3 draws what 2 does and 5 what 4 does, so an axis from 2 to 5 has two values."""
    drawn = [watts_strogatz(8, k, 0.6, rng(7)) for k in (2, 3, 4, 5)]
    assert [edges(wiring) for wiring in drawn] == [8, 8, 16, 16]
    assert drawn[0] == drawn[1] != drawn[2] == drawn[3]
    for n, k in ((8, 2), (8, 3), (8, 4), (8, 5), (6, 5), (12, 7)):
        assert edges(watts_strogatz(n, k, 0.3, rng(1))) == nx.watts_strogatz_graph(n, k, 0.3, seed=1).size()


def test_neighbours_are_clipped_to_the_other_nodes() -> None:
    assert [effective_neighbours(n, 5) for n in (1, 2, 3, 4, 5, 6)] == [0, 0, 2, 2, 4, 4]
    assert watts_strogatz(3, 5, 0.9, rng(0)).sources == ((), (0,), (0, 1))
    assert watts_strogatz(2, 2, 0.9, rng(0)).sources == ((), (0,))
    assert edges(watts_strogatz(5, 5, 0.9, rng(0))) == 10


def test_ring_parameters_forget_what_does_not_count() -> None:
    assert ring_parameters(8, 5, 0.6) == ring_parameters(8, 4, 0.6) == (8, 4, 0.6)
    assert ring_parameters(5, 4, 0.6) == ring_parameters(5, 5, 0.1) == (5, 4, 0.0)
    assert ring_parameters(1, 0, 0.6) == (1, 0, 0.0)


@pytest.mark.parametrize("nodes", range(2, 11))
def test_a_graph_that_never_connects_is_joined(nodes: int) -> None:
    """The trap of NAGO's public code: after 30 draws it has a graph without nodes."""
    chain = tuple((node - 1,) if node else () for node in range(nodes))
    assert erdos_renyi(nodes, 0.0, rng(0)).sources == chain
    for seed in range(20):
        check(erdos_renyi(nodes, 0.1, rng(seed)), nodes)


def test_joining_adds_an_edge_into_the_lowest_node_of_a_component(monkeypatch: pytest.MonkeyPatch) -> None:
    """One draw instead of 200: the edges are those of the draw, and one a component but the first."""
    monkeypatch.setattr(random_graphs, "RING_DRAWS", 1)
    joined = 0
    for seed in range(300):
        around = random_graphs._ring(10, 1, 1.0, rng(seed))
        drawn = nx.Graph()
        drawn.add_nodes_from(range(10))
        drawn.add_edges_from((u, w) for u in range(10) for w in range(10) if around[u] >> w & 1)
        assert drawn.size() == 10
        lowest = sorted(min(part) for part in nx.connected_components(drawn))
        joined += len(lowest) > 1
        drawn.add_edges_from((node - 1, node) for node in lowest[1:])
        found = watts_strogatz(10, 2, 1.0, rng(seed)).graph(["x"] * 10).edges
        assert set(found) == {(min(edge), max(edge)) for edge in drawn.edges}
    assert joined > 5


def test_a_complete_graph_is_drawn_without_a_stream() -> None:
    stream = rng(0)
    watts_strogatz(5, 4, 0.5, stream)
    watts_strogatz(2, 2, 0.5, stream)
    erdos_renyi(2, 0.5, stream)
    erdos_renyi(1, 0.5, stream)
    assert stream.random() == rng(0).random()


def test_streams_differ() -> None:
    assert len({watts_strogatz(10, 4, 0.5, rng(0, "cell", i)) for i in range(20)}) == 20
    assert len({erdos_renyi(10, 0.5, rng(0, "cell", i)) for i in range(20)}) == 20


@pytest.mark.parametrize(("n", "k", "p"), [(6, 2, 0.5), (7, 4, 0.9), (5, 2, 0.2)])
def test_watts_strogatz_graphs_are_as_frequent_as_in_networkx(n: int, k: int, p: float) -> None:
    """The share of graphs with each edge, over 1,500 draws of either.

    Six standard deviations of the difference of two shares are 6·sqrt(2·0.25/1500) = 0.11 at most; for 52 shares the
    odds of a false alarm are below 1e-6.
    """
    draws = 1500
    ours, theirs = np.zeros((n, n)), np.zeros((n, n))
    for seed in range(draws):
        for node, sources in enumerate(watts_strogatz(n, k, p, rng(seed, "ours")).sources):
            ours[list(sources), node] += 1
        for u, w in nx.connected_watts_strogatz_graph(n, k, p, tries=500, seed=seed).edges:
            theirs[min(u, w), max(u, w)] += 1
    assert np.abs(ours - theirs).max() / draws < 0.11


def test_erdos_renyi_graphs_are_conditioned_on_being_connected() -> None:
    """Of three nodes: P(all three edges | connected) = p³ / (3p²(1-p) + p³) = 1/4 at p = 1/2.

    2,000 draws: six standard deviations are 6·sqrt(3/16/2000) = 0.058, odds of a false alarm 2e-9.
    """
    complete = sum(edges(erdos_renyi(3, 0.5, rng(seed))) == 3 for seed in range(2000))
    assert abs(complete / 2000 - 0.25) < 0.058
