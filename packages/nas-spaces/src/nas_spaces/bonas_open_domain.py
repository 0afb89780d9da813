"""The open domain of BONAS (Shi et al. 2020, section 4.3 and appendix A.2): one cell for both kinds.

The cell has two inputs, four nodes and the eight operations of DARTS, *none* among them, and serves as normal and as
reduction cell. Unlike in DARTS, both branches of a node may read one source, but not with one operation. A member is
source and operation of both branches of nodes 2 to 5, the smaller branch (by source, then by operation) first.
Members are written as published genotypes whose two cells are equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import comb, prod
from typing import Any, Final, final

import numpy as np

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical, Value
from nas_core.errors import InvalidArchitecture
from nas_core.network import Network, Task
from nas_spaces import darts_operations as ops
from nas_spaces import genotypes
from nas_spaces.darts import reductions
from nas_spaces.two_input_cells import Branch, Cell, CellNode
from nas_spaces.two_input_network import Stack, Style, build, check_count
from nas_spaces.two_input_space import TwoInputSpace
from nas_spaces.two_input_twins import Roles

NODES: Final = 4
OPERATIONS: Final = (*ops.OPERATIONS, ops.ZERO)

_NUMBER = {operation: number for number, operation in enumerate(OPERATIONS)}
_SOURCES = NODES + 1
_STYLE = Style(ops.operation, ops.IDENTITY, ops.ZERO, loose_only=False, slots=False, scheduled=False)
_TOKENS = NODES * 4
_SPELLING: Final[Mapping[Branch, tuple[int, ...]]] = {
    (source, operation): (source, _SOURCES + number)
    for source in range(_SOURCES)
    for operation, number in _NUMBER.items()
}


@final
class BonasOpenDomain(TwoInputSpace):
    """The 12,813,465,600 cells of BONAS's open domain.

    Decisions: `node<p>_source_a`, `…_op_a`, `…_source_b` and `…_op_b`. `project` puts branches in order, and gives the
    second of two equal ones the next operation.
    """

    name = "bonas_open_domain"
    kinds = ("cell",)
    nodes = NODES
    operations = OPERATIONS
    roles = Roles(ops.IDENTITY, frozenset(ops.POOLINGS), ops.ZERO, loose_only=False)
    size = prod(comb(p * len(OPERATIONS), 2) for p in range(2, NODES + 2))
    spelling = _SPELLING
    vocabulary = (*map(str, range(_SOURCES)), *OPERATIONS)
    decisions = tuple(
        Categorical(f"node{p}_{what}_{slot}", choices)
        for p in range(2, NODES + 2)
        for slot in "ab"
        for what, choices in (("source", tuple(range(p))), ("op", OPERATIONS))
    )

    def to_config(self) -> dict[str, Any]:
        """The space has no options."""
        return {"name": self.name}

    def canonical(self, values: Sequence[object]) -> Architecture:
        """The member with exactly these values.

        Raises:
            InvalidArchitecture: an illegal value, or branches of a node that are equal or in the wrong order.
        """
        self._check_length(values)
        legal = [decision.check(value) for decision, value in zip(self.decisions, values, strict=True)]
        for number, (first, second) in enumerate(_cell(legal), start=2):
            if _rank(first) >= _rank(second):
                raise InvalidArchitecture(
                    f"the branches of node {number} are equal or in the wrong order",
                    value=(first, second),
                    expected="the smaller source first, with equal sources the operation that is listed first",
                )
        return Architecture(self.name, tuple(legal))

    def project(self, values: Sequence[object]) -> Architecture:
        """A member for any values: illegal ones become the first legal ones; then see the class."""
        self._check_length(values)
        nearest = [decision.nearest(value) for decision, value in zip(self.decisions, values, strict=True)]
        return Architecture(self.name, self._values(tuple(self._repaired(node) for node in _cell(nearest))))

    def _repaired(self, node: CellNode) -> CellNode:
        first, (source, operation) = node
        if first == (source, operation):
            operation = OPERATIONS[(_NUMBER[operation] + 1) % len(OPERATIONS)]
        return self.ordered((first, (source, operation)))

    def sample(self, rng: np.random.Generator, n: int) -> list[Architecture]:
        """`n` members, independent and uniform: for each node two different branches."""
        branches = np.arange(2, NODES + 2) * len(OPERATIONS)
        firsts = rng.integers(branches, size=(n, NODES))
        seconds = rng.integers(branches - 1, size=(n, NODES))
        seconds += seconds >= firsts
        found = []
        for pairs in np.stack([np.minimum(firsts, seconds), np.maximum(firsts, seconds)], axis=-1).tolist():
            found.append(Architecture(self.name, self._values(tuple((_branch(a), _branch(b)) for a, b in pairs))))
        return found

    def text(self, a: Architecture) -> str:
        """The published form, the cell written twice."""
        [cell] = self.cells_of(a)
        return genotypes.write(cell, cell)

    def parse(self, text: str) -> Architecture:
        """The member of a genotype whose cells are equal; a node's branches may stand in either order.

        Raises:
            InvalidArchitecture: with the place that is wrong.
        """
        normal, reduction = (self.from_cells([cell]) for cell in genotypes.read(text, OPERATIONS, NODES))
        if normal != reduction:
            raise InvalidArchitecture(
                "the normal and the reduction cell differ", value=text, expected=f"one cell for both in {self.name}"
            )
        return normal

    def cells_of(self, a: Architecture) -> tuple[Cell, ...]:
        """The one cell."""
        return (_cell(a.values),)

    def may_join(self, first: Branch, second: Branch) -> bool:
        """Where they differ."""
        return first != second

    def ordered(self, node: CellNode) -> CellNode:
        """The smaller branch first."""
        return node if _rank(node[0]) < _rank(node[1]) else (node[1], node[0])

    def _values(self, cell: Cell) -> tuple[Value, ...]:
        return tuple([value for node in cell for branch in node for value in branch])

    def legal_tokens(self, prefix: Sequence[int]) -> tuple[int, ...]:
        """Source and operation in turn, the smaller branch of a node first.

        Raises:
            InvalidArchitecture: the second branch of a node comes, and the first leaves none.
        """
        at = len(prefix)
        if at >= _TOKENS:
            return ()
        sources, last = at // 4 + 2, len(self.vocabulary) - 1
        if at % 4 == 0:
            return tuple(range(sources))
        if at % 4 == 1:
            return tuple(range(_SOURCES, last if prefix[-1] == sources - 1 else last + 1))
        if at % 4 == 2:
            legal = tuple(range(prefix[-2] + (prefix[-1] == last), sources))
        else:
            legal = tuple(range(prefix[-2] + 1 if prefix[-1] == prefix[-3] else _SOURCES, last + 1))
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
        """DARTS's network of the cell: see `nas_spaces.darts.DARTS.network`.

        Raises:
            InvalidNetwork: the task or an option does not fit.
        """
        check_count("cells", cells)
        [cell] = self.cells_of(a)
        return build(cell, cell, task, Stack(channels, cells, reductions(cells), stem, auxiliary), _STYLE)


def _rank(branch: Branch) -> tuple[int, int]:
    return branch[0], _NUMBER[branch[1]]


def _branch(number: int) -> Branch:
    source, operation = divmod(number, len(OPERATIONS))
    return source, OPERATIONS[operation]


def _cell(values: Sequence[Any]) -> Cell:
    rest = iter(values)
    return tuple([((s, a), (t, b)) for s, a, t, b in zip(rest, rest, rest, rest, strict=True)])
