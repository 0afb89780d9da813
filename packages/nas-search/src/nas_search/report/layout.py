"""Where the nodes of a labelled graph stand in a picture: layers from left to right, with few crossings.

The four steps of Sugiyama, Tagawa and Toda (IEEE Transactions on Systems, Man, and Cybernetics 11, 1981), for graphs
that have no cycles: layers by longest paths, bends where an edge passes a layer, order within a layer by barycentres,
and heights as near to the neighbours' as the least distances allow (isotonic regression by pooling adjacent violators).

Notation
    v       nodes of the graph; points 0 … v-1 are its nodes, the ones above are bends
    layer   number of edges of a longest path that ends in a node
    height  place within a layer, in units of the distance between neighbouring nodes; 0 is the lowest point
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from nas_core.graph import Graph

_ORDER_SWEEPS = 12
_HEIGHT_SWEEPS = 24
_BEND_DISTANCE = 0.6  # a bend is a line and needs less room than a node's box
# how strongly a link with no, one and two bends pulls: long edges become straight (Gansner et al., TSE 19, 1993)
_PULL = (1.0, 2.0, 8.0)


@dataclass(frozen=True)
class Layout:
    """Places of a graph's nodes and routes of its edges.

    Args:
        layers: v layers, from 0.
        heights: v heights.
        bends: for each edge, in the graph's order, the (layer, height) of every layer that it passes.
    """

    layers: tuple[int, ...]
    heights: tuple[float, ...]
    bends: tuple[tuple[tuple[int, float], ...], ...]


@dataclass
class _Points:
    """Nodes and bends, and the links between points of neighbouring layers."""

    v: int
    layer: list[int]
    chains: list[list[int]]
    before: list[list[int]]
    after: list[list[int]]


def layered(graph: Graph) -> Layout:
    """The layout of a graph; the same for equal graphs."""
    points = _points(graph)
    order = _ordered(points)
    heights = _heights(points, order)
    bends = tuple(tuple((points.layer[p], heights[p]) for p in chain[1:-1]) for chain in points.chains)
    return Layout(tuple(points.layer[: points.v]), tuple(heights[: points.v]), bends)


def crossings(upper: Sequence[Sequence[int]]) -> int:
    """Number of crossings between two layers.

    Args:
        upper: for each point of one layer, from its lowest, the positions in the other layer that it is linked to.
    """
    seen: list[int] = []
    count = 0
    for positions in upper:
        count += sum(len(seen) - bisect_right(seen, position) for position in positions)
        for position in positions:
            insort(seen, position)
    return count


def spread(wanted: Sequence[float], distances: Sequence[float]) -> list[float]:
    """The ascending numbers nearest to `wanted` (least squares) that keep the given distances to their neighbours.

    Args:
        wanted: where each would like to be.
        distances: one less than there are numbers: the least step from each to the next.
    """
    offsets = [0.0]
    for distance in distances:
        offsets.append(offsets[-1] + distance)
    blocks: list[tuple[float, int]] = []  # (sum, count) of runs that share one value
    for number, offset in zip(wanted, offsets, strict=True):
        total, count = number - offset, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / count:
            total, count = total + blocks[-1][0], count + blocks[-1][1]
            blocks.pop()
        blocks.append((total, count))
    levels = [total / count for total, count in blocks for _ in range(count)]
    return [level + offset for level, offset in zip(levels, offsets, strict=True)]


def _points(graph: Graph) -> _Points:
    v = len(graph.labels)
    layer = [0] * v
    for source, target in graph.edges:  # sorted by target, so the source's layer is settled
        layer[target] = max(layer[target], layer[source] + 1)
    points = _Points(v, layer, [], [[] for _ in range(v)], [[] for _ in range(v)])
    for source, target in graph.edges:
        chain = [source]
        for passed in range(layer[source] + 1, layer[target]):
            chain.append(len(points.layer))
            points.layer.append(passed)
            points.before.append([])
            points.after.append([])
        chain.append(target)
        points.chains.append(chain)
        for a, b in pairwise(chain):
            points.after[a].append(b)
            points.before[b].append(a)
    return points


def _ordered(points: _Points) -> list[list[int]]:
    """For each layer its points from the lowest, with as few crossings as a dozen sweeps find."""
    order: list[list[int]] = [[] for _ in range(max(points.layer) + 1)]
    for point, layer in enumerate(points.layer):
        order[layer].append(point)
    best, fewest = order, _all_crossings(points, order)
    for sweep in range(_ORDER_SWEEPS):
        rightwards = sweep % 2 == 0
        links = points.before if rightwards else points.after
        order = [list(row) for row in order]
        for number in range(1, len(order)) if rightwards else range(len(order) - 2, -1, -1):
            position = _positions(order[number - 1 if rightwards else number + 1])
            order[number] = _by_barycentre(order[number], links, position)
        count = _all_crossings(points, order)
        if count < fewest:
            best, fewest = order, count
    return best


def _positions(row: Sequence[int]) -> dict[int, int]:
    return {point: i for i, point in enumerate(row)}


def _by_barycentre(row: Sequence[int], links: Sequence[Sequence[int]], position: dict[int, int]) -> list[int]:
    """A layer ordered by the mean position of each point's neighbours; points without any keep their relative place."""
    centre = {}
    for i, point in enumerate(row):
        neighbours = links[point]
        scale = max(len(position) - 1, 1) / max(len(row) - 1, 1)
        centre[point] = sum(position[p] for p in neighbours) / len(neighbours) if neighbours else i * scale
    return sorted(row, key=centre.__getitem__)


def _all_crossings(points: _Points, order: Sequence[Sequence[int]]) -> int:
    count = 0
    for left, right in pairwise(order):
        position = _positions(right)
        count += crossings([[position[p] for p in points.after[point]] for point in left])
    return count


def _heights(points: _Points, order: Sequence[Sequence[int]]) -> list[float]:
    heights = [0.0] * len(points.layer)
    for row in order:
        for i, point in enumerate(row):
            heights[point] = i - (len(row) - 1) / 2
    for sweep in range(_HEIGHT_SWEEPS):
        rightwards = sweep % 2 == 0
        for row in order if rightwards else reversed(order):
            wanted = [_wanted(points, heights, point, sweep, rightwards) for point in row]
            distances = [1.0 if max(pair) < points.v else _BEND_DISTANCE for pair in pairwise(row)]
            for point, height in zip(row, spread(wanted, distances), strict=True):
                heights[point] = height
    lowest = min(heights)
    return [height - lowest for height in heights]


def _wanted(points: _Points, heights: Sequence[float], point: int, sweep: int, rightwards: bool) -> float:
    """The mean height of the neighbours, by the pull of their links.

    Those on the side that the sweep comes from; both sides in the second half of the sweeps.
    """
    sides = points.before[point] if rightwards else points.after[point]
    if sweep >= _HEIGHT_SWEEPS // 2:
        sides = points.before[point] + points.after[point]
    if not sides:
        return heights[point]
    pulls = [_PULL[(point >= points.v) + (other >= points.v)] for other in sides]
    return sum(pull * heights[other] for pull, other in zip(pulls, sides, strict=True)) / sum(pulls)
