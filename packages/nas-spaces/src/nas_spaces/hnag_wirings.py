"""What HNAG draws (NAGO, Ru et al. 2020, section 2.1): graphs of cells of blocks of nodes, merging and operations.

The top level is a Watts-Strogatz graph of cells, a cell an Erdős-Rényi graph of blocks, a block a Watts-Strogatz graph
of nodes, and a node one operation. Every cell and every block has a draw of its own, named by the seed and its place,
so that two cells of a network differ, and so do the networks of two seeds. (NAGO's public code ignored the seed, and
until April 2021 gave all cells of all networks one wiring.)

How tensors are merged is drawn for every node of every level, the operation for every node of the bottom level, from
other streams than the wirings: with other weights a seed gives the same wirings.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

from nas_core.nested import NestedGraph
from nas_core.random import rng
from nas_spaces.generator_parts import MERGING, OPERATIONS
from nas_spaces.random_graphs import SINGLE, Wiring, erdos_renyi, watts_strogatz

STAGES = 3


class Theta(NamedTuple):
    """The parameters of a generator, named as in the paper.

    Args:
        top: N, K, P of the graph of cells.
        middle: N, P of the graphs of blocks.
        bottom: N, K, P of the graphs of nodes.
        stages: relative lengths of the three stages.
        channels: relative widths of the three stages.
        merging: weights of `MERGING`.
        operations: weights of `OPERATIONS`.
    """

    top: tuple[int, int, float]
    middle: tuple[int, float]
    bottom: tuple[int, int, float]
    stages: tuple[float, ...] = (0.33, 0.33, 0.33)
    channels: tuple[int, ...] = (1, 2, 4)
    merging: tuple[float, ...] = (1.0, 0.0, 0.0)
    operations: tuple[float, ...] = (1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


class Block(NamedTuple):
    """A block: how its nodes are wired, and for each of them how it merges and what it does."""

    wiring: Wiring
    merging: tuple[str, ...]
    operations: tuple[str, ...]


class Cell(NamedTuple):
    """A cell: how its blocks are wired, how each of them merges, and the blocks."""

    wiring: Wiring
    merging: tuple[str, ...]
    blocks: tuple[Block, ...]


class Drawn(NamedTuple):
    """All that is random about a network: how its cells are wired, how each of them merges, and the cells."""

    wiring: Wiring
    merging: tuple[str, ...]
    cells: tuple[Cell, ...]


def draw(theta: Theta, seed: int) -> Drawn:
    """The network of a generator and a seed."""
    nodes, neighbours, rewiring = theta.top
    wiring = SINGLE if nodes == 1 else watts_strogatz(nodes, neighbours, rewiring, rng(seed, "hnag", "wiring"))
    merging = _picked(MERGING, theta.merging, _chances(theta, nodes, seed)[0])
    return Drawn(wiring, merging, tuple([_cell(theta, seed, number) for number in range(nodes)]))


def stage_of(nodes: int, ratios: Sequence[float]) -> tuple[int, ...]:
    """The stage of each cell of the top graph.

    Cell x of n lies in the stage whose share of [0, 1] holds x/n, the shares being the ratios over their sum. Divided
    so, equal ratios always mean equal shares. (NAGO's public configuration gives 1, 1, 1 where its code wants shares,
    which puts every cell into the first stage.)
    """
    total = sum(ratios)
    bounds = [sum(ratios[: stage + 1]) / total * nodes for stage in range(len(ratios) - 1)]
    return tuple([sum([node >= bound - 1e-9 for bound in bounds]) for node in range(nodes)])


def nested(drawn: Drawn, stages: Sequence[int]) -> NestedGraph:
    """A drawn network as graphs of graphs.

    Labels are "stage0" to "stage2" at the top, "block" in a cell and operations in a block.
    """
    cells = []
    for cell in drawn.cells:
        blocks = [NestedGraph(block.wiring.graph(block.operations), block.merging) for block in cell.blocks]
        cells.append(NestedGraph(cell.wiring.graph(["block"] * len(blocks)), cell.merging, tuple(blocks)))
    return NestedGraph(drawn.wiring.graph([f"stage{stage}" for stage in stages]), drawn.merging, tuple(cells))


def _cell(theta: Theta, seed: int, number: int) -> Cell:
    nodes, probability = theta.middle
    wiring = SINGLE if nodes == 1 else erdos_renyi(nodes, probability, rng(seed, "hnag", "wiring", number))
    merging = _picked(MERGING, theta.merging, _chances(theta, nodes, seed, number)[0])
    return Cell(wiring, merging, tuple([_block(theta, seed, number, block) for block in range(nodes)]))


def _block(theta: Theta, seed: int, cell: int, number: int) -> Block:
    nodes, neighbours, rewiring = theta.bottom
    wiring = watts_strogatz(nodes, neighbours, rewiring, rng(seed, "hnag", "wiring", cell, number))
    first, second = _chances(theta, nodes, seed, cell, number)
    return Block(wiring, _picked(MERGING, theta.merging, first), _picked(OPERATIONS, theta.operations, second))


def shares(weights: Sequence[float]) -> tuple[float, ...]:
    """Probabilities in proportion to weights; equal ones where all weights are zero."""
    total = sum(weights)
    return tuple([weight / total if total else 1 / len(weights) for weight in weights])


def _chances(theta: Theta, nodes: int, seed: int, *place: int) -> list[list[float]]:
    """Two numbers from [0, 1) for each node of a graph, from its own stream where there is a choice."""
    if len(_likely(MERGING, theta.merging)) == len(_likely(OPERATIONS, theta.operations)) == 1:
        return [[0.0] * nodes] * 2
    chances: list[list[float]] = rng(seed, "hnag", "choices", *place).random((2, nodes)).tolist()
    return chances


def _picked(names: tuple[str, ...], weights: tuple[float, ...], chances: Sequence[float]) -> tuple[str, ...]:
    """A name for each chance, with probabilities in proportion to the weights."""
    likely = _likely(names, weights)
    bounds = [bound for _, bound in likely[:-1]]  # the last bound may be a little below 1
    return tuple([likely[bisect_right(bounds, chance)][0] for chance in chances])


@lru_cache(maxsize=256)
def _likely(names: tuple[str, ...], weights: tuple[float, ...]) -> tuple[tuple[str, float], ...]:
    """The names of positive probability, each with the sum of probabilities up to it."""
    bounds = accumulate(shares(weights))
    return tuple([(n, bound) for n, share, bound in zip(names, shares(weights), bounds, strict=True) if share > 0])
