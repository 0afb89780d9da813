"""Random wirings: Watts-Strogatz and Erdős-Rényi graphs as connected directed acyclic graphs.

What Xie et al. (Exploring randomly wired neural networks, 2019) and NAGO (Ru et al. 2020, section 2.1) draw networks
from. An undirected random graph is drawn and every edge directed from its lower to its higher node; nodes keep the
numbers that the model gives them. Watts and Strogatz (1998): v nodes in a ring, each joined to its k nearest (k even);
the edges are visited, the shortest first, and each is moved with probability p from its far end to a node that is not
yet a neighbour. Erdős and Rényi (1959): every pair of nodes is joined with probability p.

Both functions always give a connected graph. A draw that is not connected is thrown away; where `RING_DRAWS` or
`PAIR_DRAWS` in a row are thrown away, the last one is joined: the lowest node of every component but the first gets an
edge from the node before it. The numbers of draws are those of NAGO's public code, which gives up afterwards.

    v  number of nodes      k  neighbours of a node in the ring      p  probability
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from nas_core.graph import Graph

RING_DRAWS = 200
"""Watts-Strogatz graphs drawn at most in the hope of a connected one."""
PAIR_DRAWS = 30
"""Erdős-Rényi graphs drawn at most in the hope of a connected one."""


class Wiring(NamedTuple):
    """A directed acyclic graph whose nodes 0 … v-1 are in topological order.

    Args:
        sources: for each of the v nodes those that it reads, ascending. One that reads none is an input.
    """

    sources: tuple[tuple[int, ...], ...]

    @property
    def outputs(self) -> tuple[int, ...]:
        """The nodes that none reads, ascending. A node alone is input and output."""
        read = {source for sources in self.sources for source in sources}
        return tuple([node for node in range(len(self.sources)) if node not in read])

    def graph(self, labels: Sequence[str]) -> Graph:
        """The same as a labelled graph."""
        edges = [(source, node) for node, sources in enumerate(self.sources) for source in sources]
        return Graph(tuple(labels), tuple(edges))


SINGLE = Wiring(((),))
"""One node, its own input and output."""


def effective_neighbours(nodes: int, neighbours: int) -> int:
    """The k that a ring has in truth: at most v-1, and of an odd number the even one below it.

    A ring has the same number of neighbours on either side, so k = 2 and 3 draw alike, and so do 4 and 5. 0 where there
    are fewer than three nodes.
    """
    return min(neighbours, nodes - 1) // 2 * 2


def ring_parameters(nodes: int, neighbours: int, rewiring: float) -> tuple[int, int, float]:
    """What a Watts-Strogatz graph depends on: v, the k that it has in truth, and p where there is anything to move."""
    even = effective_neighbours(nodes, neighbours)
    return nodes, even, rewiring if 0 < even < nodes - 1 else 0.0


def watts_strogatz(nodes: int, neighbours: int, rewiring: float, stream: np.random.Generator) -> Wiring:
    """A connected Watts-Strogatz graph.

    Args:
        nodes: v, from 1.
        neighbours: k, taken as `effective_neighbours` says. Where that is v-1, every pair is joined and nothing drawn.
        rewiring: p, the probability that an edge is moved.
        stream: what it is drawn from.
    """
    half = effective_neighbours(nodes, neighbours) // 2
    around = [0] * nodes
    for _ in range(RING_DRAWS if 0 < 2 * half < nodes - 1 else 1):
        around = _ring(nodes, half, rewiring, stream)
        if len(_lowest_nodes(around)) == 1:
            break
    return _joined(around)


def erdos_renyi(nodes: int, probability: float, stream: np.random.Generator) -> Wiring:
    """A connected Erdős-Rényi graph.

    Args:
        nodes: v, from 1. Of one or two nodes there is one connected graph, and nothing is drawn.
        probability: p of every edge.
        stream: what it is drawn from.
    """
    around = [0] * nodes
    pairs = [(u, w) for w in range(nodes) for u in range(w)]
    for _ in range(PAIR_DRAWS if nodes > 2 else 0):
        around = [0] * nodes
        for (u, w), chance in zip(pairs, stream.random(len(pairs)).tolist(), strict=True):
            if chance < probability:
                around[u] |= 1 << w
                around[w] |= 1 << u
        if len(_lowest_nodes(around)) == 1:
            break
    return _joined(around)


def _ring(nodes: int, half: int, rewiring: float, stream: np.random.Generator) -> list[int]:
    """Bit w of entry u says whether u and w are neighbours, in one draw that need not be connected."""
    around = [0] * nodes
    lattice = [(u, (u + step) % nodes) for step in range(1, half + 1) for u in range(nodes)]
    for u, w in lattice:
        around[u] |= 1 << w
        around[w] |= 1 << u
    if 2 * half >= nodes - 1:
        return around
    chances: list[list[float]] = stream.random((len(lattice), 2)).tolist()
    for (u, w), (chance, place) in zip(lattice, chances, strict=True):
        if chance < rewiring:
            free = [other for other in range(nodes) if other != u and not around[u] >> other & 1]
            if free:
                other = free[int(place * len(free))]
                around[u] ^= 1 << w | 1 << other
                around[w] ^= 1 << u
                around[other] |= 1 << u
    return around


def _lowest_nodes(around: Sequence[int]) -> list[int]:
    """The lowest node of every component, ascending; bit w of `around[u]` says whether u and w are neighbours."""
    lowest, seen = [], 0
    for node in range(len(around)):
        if not seen >> node & 1:
            lowest.append(node)
            seen |= _reached(around, node)
    return lowest


def _reached(around: Sequence[int], node: int) -> int:
    """The component of a node as bits."""
    reached = frontier = 1 << node
    while frontier:
        bit = frontier & -frontier
        new = around[bit.bit_length() - 1] & ~reached
        reached |= new
        frontier ^= bit | new
    return reached


def _joined(around: Sequence[int]) -> Wiring:
    """Edges from lower to higher nodes, and one into the lowest node of every component but the first."""
    extra = {node: {node - 1} for node in _lowest_nodes(around)[1:]}
    return Wiring(
        tuple(
            tuple(sorted({u for u in range(node) if bits >> u & 1} | extra.get(node, set())))
            for node, bits in enumerate(around)
        )
    )
