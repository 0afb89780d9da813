"""Wirings of NAS-Bench-101 cells: their pruning, their standard numbering and their number up to isomorphism.

A wiring is one whole number: the 21 bits above the diagonal of a 7 x 7 matrix, row by row, the first bit the highest;
bit (i, j) stands for an edge from vertex i to vertex j > i. Vertex 0 is the input, the last vertex that an edge leads
to is the output, those between are inner ones and carry operations. A wiring is legal if it has at most 9 edges and
every vertex up to the output lies on a path from the input to the output (Ying et al. 2019, "NAS-Bench-101", section
2.1). There are 6,472 legal wirings, 2,494 up to isomorphism; both are computed at the first use, within 0.1 s.

Isomorphic cells have one *standard form*: of all legal numberings of the vertices the one with the smallest wiring and,
among those, the lexicographically smallest operations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from itertools import permutations, product
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

MOST_VERTICES = 7
MOST_EDGES = 9
OPERATIONS = 3

Edge: TypeAlias = tuple[int, int]
Wiring: TypeAlias = int
Operations: TypeAlias = tuple[int, ...]
"""The operation, 0 to 2, of every inner vertex."""

PAIRS: tuple[Edge, ...] = tuple((i, j) for i in range(MOST_VERTICES) for j in range(i + 1, MOST_VERTICES))
"""What the bits stand for, the highest first."""
_WEIGHT: dict[Edge, int] = {pair: 1 << (len(PAIRS) - 1 - k) for k, pair in enumerate(PAIRS)}


class Standard(NamedTuple):
    """A wiring in its standard numbering.

    `symmetries` are its automorphisms as orders of the inner vertices: operations o and
    `tuple(o[i] for i in symmetry)` make isomorphic cells. `cells` is the number of cells up to isomorphism.
    """

    wiring: Wiring
    vertices: int
    symmetries: tuple[tuple[int, ...], ...]
    cells: int


def from_edges(edges: Iterable[Edge]) -> Wiring:
    """The wiring that has just these edges."""
    return sum({_WEIGHT[edge] for edge in edges})


@lru_cache(maxsize=1 << 16)
def edges_of(wiring: Wiring) -> tuple[Edge, ...]:
    """The edges, sorted."""
    return tuple([pair for pair in PAIRS if wiring & _WEIGHT[pair]])


@lru_cache(maxsize=1 << 16)
def bits_of(wiring: Wiring) -> tuple[int, ...]:
    """The 21 bits."""
    return tuple([int(bit) for bit in f"{wiring:0{len(PAIRS)}b}"])


@lru_cache(maxsize=1 << 16)
def from_bits(bits: tuple[int, ...]) -> Wiring:
    """The wiring of 21 bits."""
    return int("".join([str(bit) for bit in bits]), 2)


@lru_cache(maxsize=1 << 16)
def vertices_of(wiring: Wiring) -> int:
    """Number of vertices up to the output; 1 where there is no edge."""
    return max([target for _, target in edges_of(wiring)], default=0) + 1


@lru_cache(maxsize=1 << 16)
def alive(wiring: Wiring, output: int) -> tuple[int, ...]:
    """The vertices on a path from the input to `output`, ascending; () where there is no path."""
    edges = edges_of(wiring)
    forwards, backwards = {0}, {output}
    for source, target in edges:  # sorted: all that leads to the source has been read
        if source in forwards:
            forwards.add(target)
    for source, target in reversed(edges):
        if target in backwards:
            backwards.add(source)
    return tuple(sorted(forwards & backwards)) if output in forwards else ()


@lru_cache(maxsize=1 << 16)
def kept(wiring: Wiring, vertices: tuple[int, ...]) -> Wiring:
    """The wiring among some vertices, which are numbered anew in their order."""
    place = {vertex: i for i, vertex in enumerate(vertices)}
    return from_edges((place[i], place[j]) for i, j in edges_of(wiring) if i in place and j in place)


@lru_cache(maxsize=1 << 16)
def inserted(wiring: Wiring, vertex: int) -> Wiring:
    """The wiring with a new vertex of this number, which nothing leads to or from; those from it on move up by one."""
    return from_edges((i + (i >= vertex), j + (j >= vertex)) for i, j in edges_of(wiring))


@lru_cache(maxsize=1 << 16)
def removable(wiring: Wiring) -> tuple[Edge, ...]:
    """The edges that are neither the only one out of their source nor the only one into their target, sorted."""
    edges = edges_of(wiring)
    sources, targets = Counter(i for i, _ in edges), Counter(j for _, j in edges)
    return tuple((i, j) for i, j in edges if sources[i] > 1 and targets[j] > 1)


def legal(wiring: Wiring) -> bool:
    """Whether this is the pruned wiring of a cell."""
    return wiring in _table()[0]


def legal_sizes(wirings: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of vertices of each of n wirings (n); 0 where it is not legal."""
    known = sorted(_table()[0])
    codes, sizes = np.array([-1, *known]), np.array([0, *[vertices_of(wiring) for wiring in known]])
    places = np.searchsorted(codes, wirings, side="right") - 1
    return np.where(codes[places] == wirings, sizes[places], 0)


@cache
def standards(vertices: int | None = None) -> tuple[Standard, ...]:
    """All wirings up to isomorphism, or those of so many vertices; by number of vertices, then by wiring."""
    found = _table()[1]
    return found if vertices is None else tuple(s for s in found if s.vertices == vertices)


def standard_form(wiring: Wiring, operations: Operations) -> tuple[Wiring, Operations]:
    """The standard form of a legal cell; the same for isomorphic cells, different otherwise."""
    standard, order = _table()[0][wiring]
    placed = tuple([operations[i] for i in order])
    if len(standard.symmetries) > 1:
        placed = min([tuple([placed[i] for i in symmetry]) for symmetry in standard.symmetries])
    return standard.wiring, placed


def operations_of(standard: Standard) -> Iterator[Operations]:
    """The operations of all cells in standard form with this wiring, in lexicographic order."""
    every = product(range(OPERATIONS), repeat=standard.vertices - 2)
    return every if len(standard.symmetries) == 1 else iter(_smallest(standard))


def operations_at(standard: Standard, rank: int) -> Operations:
    """The operations at a place of `operations_of`."""
    if len(standard.symmetries) > 1:
        return _smallest(standard)[rank]
    return tuple([rank // OPERATIONS**k % OPERATIONS for k in range(standard.vertices - 3, -1, -1)])


@cache
def _smallest(standard: Standard) -> tuple[Operations, ...]:
    """Of operations that the symmetries turn into each other the smallest ones, in order."""
    every = product(range(OPERATIONS), repeat=standard.vertices - 2)
    return tuple(o for o in every if all(o <= tuple([o[i] for i in s]) for s in standard.symmetries))


@cache
def _table() -> tuple[dict[Wiring, tuple[Standard, tuple[int, ...]]], tuple[Standard, ...]]:
    """For every legal wiring its standard and the order of inner vertices that leads there; and all standards."""
    places: dict[Wiring, tuple[Standard, tuple[int, ...]]] = {}
    found: list[Standard] = []
    for vertices in range(2, MOST_VERTICES + 1):
        wirings = _legal_wirings(vertices)
        orders = list(permutations(range(vertices - 2)))
        images = np.stack([_images(wirings, order) for order in orders])  # orders x wirings
        best = images.argmin(axis=0)
        smallest = images.min(axis=0)
        own: dict[Wiring, Standard] = {}
        for column in np.flatnonzero(smallest == wirings):
            code = int(wirings[column])
            symmetries = tuple(orders[row] for row in np.flatnonzero(images[:, column] == code))
            own[code] = Standard(code, vertices, symmetries, _count(symmetries))
        found.extend(own[code] for code in sorted(own))
        for code, row, standard in zip(wirings.tolist(), best.tolist(), smallest.tolist(), strict=True):
            places[code] = (own[standard], orders[row])
    return places, tuple(found)


def _legal_wirings(vertices: int) -> NDArray[np.int64]:
    """All legal wirings of so many vertices: a non-empty set of sources for each target, then what has no dead ends."""
    codes, counts = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    for target in range(1, vertices):
        sets = [s for s in product((0, 1), repeat=target) if any(s)]
        added = np.array([sum(_WEIGHT[i, target] for i, bit in enumerate(s) if bit) for s in sets])
        codes = (codes[:, None] | added).ravel()
        counts = (counts[:, None] + np.array([sum(s) for s in sets])).ravel()
        fits = counts <= MOST_EDGES - (vertices - 1 - target)  # each later target takes one edge at least
        codes, counts = codes[fits], counts[fits]
    for source in range(vertices - 1):
        codes = codes[codes & from_edges((source, target) for target in range(source + 1, vertices)) != 0]
    return codes


def _images(wirings: NDArray[np.int64], order: tuple[int, ...]) -> NDArray[np.int64]:
    """The wirings with inner vertices in another order; beyond all wirings where an edge would lead backwards."""
    vertices = len(order) + 2
    place = {0: 0, vertices - 1: vertices - 1} | {old + 1: new + 1 for new, old in enumerate(order)}
    images, backwards = np.zeros_like(wirings), 0
    for i, j in PAIRS:
        if j >= vertices:
            continue
        if place[i] < place[j]:
            images |= np.where(wirings & _WEIGHT[i, j], _WEIGHT[place[i], place[j]], 0)
        else:
            backwards |= _WEIGHT[i, j]
    return np.where(wirings & backwards, 1 << len(PAIRS), images)


def _count(symmetries: Sequence[tuple[int, ...]]) -> int:
    """Number of ways to give operations to the inner vertices up to symmetry: the mean of those a symmetry keeps."""
    kept_by: list[int] = [OPERATIONS ** _cycles(symmetry) for symmetry in symmetries]
    return sum(kept_by) // len(symmetries)


def _cycles(order: tuple[int, ...]) -> int:
    left, found = set(range(len(order))), 0
    while left:
        found += 1
        vertex = left.pop()
        while order[vertex] in left:
            vertex = order[vertex]
            left.remove(vertex)
    return found
