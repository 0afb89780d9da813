"""DARTS (Liu, Simonyan, Yang, ICLR 2019): a normal and a reduction cell with two inputs and four nodes each.

A node is the sum of two branches with different sources, and a cell concatenates its four nodes. This is also the space
of NAS-Bench-301 and of most published differentiable searches. A member is, for each cell, the pair of sources of
nodes 3 to 5 (node 2 has one pair only) and the operations of both branches of nodes 2 to 5, that of the smaller source
first. Members are written as published genotypes.

The graph view is that of `nas_spaces.two_input_cells`, 11 nodes a cell: what reads node p ≥ 2 has edges from the
op-nodes 2p - 2 and 2p - 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import comb
from typing import Any, Final, final

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical, Value
from nas_core.errors import InvalidArchitecture, InvalidOption
from nas_core.network import Network, Task
from nas_spaces import darts_operations as ops
from nas_spaces import genotypes
from nas_spaces.two_input_cells import Branch, Cell, CellNode
from nas_spaces.two_input_network import Stack, Style, build, check_count
from nas_spaces.two_input_space import TwoInputSpace
from nas_spaces.two_input_twins import Roles

NODES: Final = 4
PUBLISHED: Final[Mapping[str, str]] = {
    # Liu et al. 2019: first and second order
    "darts_v1": "Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), ('sep_conv_3x3', 1), "
    "('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)], reduce_concat=[2, 3, 4, 5])",
    "darts_v2": "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])",
    # Chen et al. 2019
    "pdarts": "Genotype(normal=[('skip_connect', 0), ('dil_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 3), ('sep_conv_3x3', 0), ('dil_conv_5x5', 4)], normal_concat=range(2, 6), "
    "reduce=[('avg_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('dil_conv_5x5', 2), ('max_pool_3x3', 0), "
    "('dil_conv_3x3', 1), ('dil_conv_3x3', 1), ('dil_conv_5x5', 3)], reduce_concat=range(2, 6))",
    # Xu et al. 2020: searched on CIFAR-10 and on ImageNet
    "pcdarts": "Genotype(normal=[('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 0), ('dil_conv_3x3', 1), "
    "('sep_conv_5x5', 0), ('sep_conv_3x3', 1), ('avg_pool_3x3', 0), ('dil_conv_3x3', 1)], normal_concat=range(2, 6), "
    "reduce=[('sep_conv_5x5', 1), ('max_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_5x5', 2), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 3), ('sep_conv_3x3', 1), ('sep_conv_3x3', 2)], reduce_concat=range(2, 6))",
    "pcdarts_imagenet": "Genotype(normal=[('skip_connect', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 0), "
    "('skip_connect', 1), ('sep_conv_3x3', 1), ('sep_conv_3x3', 3), ('sep_conv_3x3', 1), ('dil_conv_5x5', 4)], "
    "normal_concat=range(2, 6), reduce=[('sep_conv_3x3', 0), ('skip_connect', 1), ('dil_conv_5x5', 2), "
    "('max_pool_3x3', 1), ('sep_conv_3x3', 2), ('sep_conv_3x3', 1), ('sep_conv_5x5', 0), ('sep_conv_3x3', 3)], "
    "reduce_concat=range(2, 6))",
}
"""Published cells by name."""

_KINDS = ("normal", "reduction")
_SOURCES = NODES + 1  # that a branch of the last node can read
_STYLE = Style(ops.operation, ops.IDENTITY, ops.ZERO, loose_only=False, slots=False, scheduled=False)
_PAIRS = {f"{a},{b}": (a, b) for a, b in combinations(range(_SOURCES), 2)}
_PAIR_NAME = {pair: name for name, pair in _PAIRS.items()}


def reductions(cells: int) -> tuple[int, int]:
    """The reduction cells of a network: those at one and two thirds of its depth."""
    return cells // 3, 2 * cells // 3


@final
class DARTS(TwoInputSpace):
    """The pairs of cells of DARTS: 1.08e18, each cell one of 1,037,664,180.

    Decisions: `<kind>_node<p>_sources`, a pair such as "0,2", for p from 3; `<kind>_node<p>_op_a` and `…_op_b`. Every
    combination is a member, and `sample` draws each decision uniformly, so that it is uniform over members.

    Args:
        none: *none* is an operation too.

    Raises:
        InvalidOption: `none` is neither true nor false.
    """

    name = "darts"
    kinds = _KINDS
    nodes = NODES

    def __init__(self, none: bool = False) -> None:
        if not isinstance(none, bool):
            raise InvalidOption("none cannot be set", value=none, expected="true or false")
        self.none = none
        self.operations = (*ops.OPERATIONS, ops.ZERO) if none else ops.OPERATIONS
        self.roles = Roles(ops.IDENTITY, frozenset(ops.POOLINGS), ops.ZERO if none else None, loose_only=False)
        self.decisions = tuple(d for kind in _KINDS for d in _decisions(kind, self.operations))
        self.vocabulary = (*map(str, range(_SOURCES)), *self.operations)
        self.spelling = {
            (source, operation): (source, number)
            for source in range(_SOURCES)
            for number, operation in enumerate(self.operations, _SOURCES)
        }
        choices = len(self.operations) ** (2 * NODES)
        for p in range(2, NODES + 2):
            choices *= comb(p, 2)
        self.size = choices ** len(_KINDS)

    def to_config(self) -> dict[str, Any]:
        """The options."""
        return {"name": self.name, "none": self.none}

    def text(self, a: Architecture) -> str:
        """The published form, branches in the order of their sources."""
        return genotypes.write(*self.cells_of(a))

    def parse(self, text: str) -> Architecture:
        """The member of a genotype; a node's branches may stand in either order, a concatenation may be a list.

        Raises:
            InvalidArchitecture: with the place that is wrong.
        """
        return self.from_cells(genotypes.read(text, self.operations, NODES))

    @property
    def named(self) -> dict[str, Architecture]:
        """The members of `PUBLISHED`."""
        return {name: self.parse(text) for name, text in PUBLISHED.items()}

    def cells_of(self, a: Architecture) -> tuple[Cell, ...]:
        """The normal and the reduction cell."""
        half = len(a.values) // 2
        return _cell(a.values[:half]), _cell(a.values[half:])

    def may_join(self, first: Branch, second: Branch) -> bool:
        """Where their sources differ."""
        return first[0] != second[0]

    def ordered(self, node: CellNode) -> CellNode:
        """The branch with the smaller source first."""
        return node if node[0][0] < node[1][0] else (node[1], node[0])

    def _values(self, cell: Cell) -> tuple[Value, ...]:
        values: list[Value] = []
        for position, ((a, op_a), (b, op_b)) in enumerate(cell):
            values += [op_a, op_b] if position == 0 else [_PAIR_NAME[a, b], op_a, op_b]
        return tuple(values)

    def legal_tokens(self, prefix: Sequence[int]) -> tuple[int, ...]:
        """Source and operation in turn, the smaller source of a node first.

        Raises:
            InvalidArchitecture: the second source of a node comes, and the first leaves none.
        """
        at = len(prefix)
        if at >= len(_KINDS) * NODES * 4:
            return ()
        if at % 2:
            return tuple(range(_SOURCES, len(self.vocabulary)))
        sources = at % (NODES * 4) // 4 + 2
        if at % 4 == 0:
            return tuple(range(sources - 1))
        legal = tuple(range(prefix[at - 2] + 1, sources))
        if not legal:
            raise InvalidArchitecture("no member's tokens begin like this", value=tuple(prefix))
        return legal

    def network(
        self,
        a: Architecture,
        task: Task,
        seed: int = 0,
        *,
        channels: int = 36,
        cells: int = 20,
        stem: str = "auto",
        auxiliary: bool = False,
    ) -> Network:
        """The networks that published results are for; see `nas_spaces.two_input_network`.

        The defaults are those of CIFAR-10; for ImageNet's mobile setting take `channels=48, cells=14`.

        Args:
            a: the member.
            task: images to classify.
            seed: not read.
            channels: channels of a node in the first cells.
            cells: number of cells, of which those at one and two thirds of the depth are reduction cells.
            stem: "cifar", "imagenet", or "auto": the latter from 96 pixels on.
            auxiliary: with an auxiliary head, whose parameters published sizes leave out.

        Raises:
            InvalidNetwork: the task or an option does not fit.
        """
        check_count("cells", cells)
        normal, reduction = self.cells_of(a)
        return build(normal, reduction, task, Stack(channels, cells, reductions(cells), stem, auxiliary), _STYLE)


def _decisions(kind: str, operations: tuple[str, ...]) -> list[Categorical]:
    found = []
    for p in range(2, NODES + 2):
        if p > 2:
            pairs = tuple(name for name, (_, b) in _PAIRS.items() if b < p)
            found.append(Categorical(f"{kind}_node{p}_sources", pairs))
        found += [Categorical(f"{kind}_node{p}_op_{slot}", operations) for slot in "ab"]
    return found


def _cell(values: Sequence[Any]) -> Cell:
    """The cell of half of a member's values."""
    rest = iter(("0,1", *values))
    return tuple([((_PAIRS[pair][0], a), (_PAIRS[pair][1], b)) for pair, a, b in zip(rest, rest, rest, strict=True)])
