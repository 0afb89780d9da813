"""What spaces of cells with two inputs have in common: every view of a member follows from its cells."""

from __future__ import annotations

import hashlib
import operator
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical, Value
from nas_core.errors import InvalidArchitecture
from nas_core.graph import Graph
from nas_core.space import Space
from nas_spaces import two_input_cells, two_input_twins
from nas_spaces.two_input_cells import Branch, Cell, CellNode
from nas_spaces.two_input_twins import Roles


class Step(NamedTuple):
    """One branch of a member, exchanged for another.

    Args:
        kind: number of the cell.
        position: position of the node in the cell, from 0.
        slot: 0 or 1.
        branch: the new branch.
    """

    kind: int
    position: int
    slot: int
    branch: Branch


class TwoInputSpace(Space):
    """Members are cells with two inputs, one for each of `kinds`.

    A concrete space says how cells become values and back, which branches may form a node, and how a branch is spelled
    in tokens; see the attributes.
    """

    kinds: tuple[str, ...]
    """Names of the cells, and of their graphs: ("normal", "reduction"), or one name where a cell serves as both."""
    nodes: int
    """Nodes of a cell."""
    operations: tuple[str, ...]
    """What branches can apply."""
    roles: Roles
    """What the rules for twins need to know."""
    spelling: Mapping[Branch, tuple[int, ...]]
    """The tokens of every branch; all have equally many, and no two begin alike and mean different things."""
    size: int
    """Number of members."""

    decisions: tuple[Categorical, ...]

    def sample(self, rng: np.random.Generator, n: int) -> list[Architecture]:
        """`n` members, independent and uniform: here each decision is drawn, since every combination is a member."""
        drawn = rng.integers([decision.size for decision in self.decisions], size=(n, len(self.decisions)))
        choices = [decision.choices for decision in self.decisions]
        return [
            Architecture(self.name, tuple([own[i] for own, i in zip(choices, row, strict=True)]))
            for row in drawn.tolist()
        ]

    @abstractmethod
    def cells_of(self, a: Architecture) -> tuple[Cell, ...]:
        """The cells of a member, in the order of `kinds`."""

    @abstractmethod
    def may_join(self, first: Branch, second: Branch) -> bool:
        """Whether two branches may form a node."""

    @abstractmethod
    def ordered(self, node: CellNode) -> CellNode:
        """A node with its branches in the order in which members have them."""

    @abstractmethod
    def _values(self, cell: Cell) -> tuple[Value, ...]:
        """The decisions of one cell of a member."""

    def from_cells(self, cells: Sequence[Cell]) -> Architecture:
        """The member with these cells, in the order of `kinds`; branches of a node may stand in either order.

        Raises:
            InvalidArchitecture: a wrong number of cells or nodes, an unknown operation, a source that is no earlier
                node, or two branches that may not form a node.
        """
        if len(cells) != len(self.kinds):
            raise InvalidArchitecture(f"{self.name} has {len(self.kinds)} cells", value=len(cells))
        values: list[Value] = []
        for kind, cell in zip(self.kinds, cells, strict=True):
            if len(cell) != self.nodes:
                raise InvalidArchitecture(f"a {kind} cell has {self.nodes} nodes", value=len(cell))
            values += self._values(
                tuple(self._checked(node, f"node {p} of the {kind} cell", p) for p, node in enumerate(cell, 2))
            )
        return Architecture(self.name, tuple(values))

    def _checked(self, node: CellNode, place: str, number: int) -> CellNode:
        for source, operation in node:
            if operation not in self.operations:
                raise InvalidArchitecture(
                    "no such operation", value=operation, place=place, expected="one of " + ", ".join(self.operations)
                )
            if not 0 <= source < number:
                raise InvalidArchitecture("no such source", value=source, place=place, expected=f"0 to {number - 1}")
        if not self.may_join(*node):
            raise InvalidArchitecture("two branches that may not form a node", value=node, place=place)
        return self.ordered(node)

    def neighbors(self, a: Architecture) -> list[Architecture]:
        """Members in which one branch has another operation or another source."""
        cells = self.cells_of(a)
        return [self._after(a, cells, step) for step in self._steps(cells)]

    def mutate(self, a: Architecture, rng: np.random.Generator) -> Architecture:
        """A uniform neighbour; the others are not made."""
        cells = self.cells_of(a)
        steps = self._steps(cells)
        return self._after(a, cells, steps[int(rng.integers(len(steps)))])

    def _steps(self, cells: Sequence[Cell]) -> list[Step]:
        """Every legal exchange; no two lead to the same member."""
        found: list[Step] = []
        for kind, cell in enumerate(cells):
            for position, node in enumerate(cell):
                for slot, (source, operation) in enumerate(node):
                    others = [(source, other) for other in self.operations if other != operation]
                    others += [(other, operation) for other in range(position + 2) if other != source]
                    found += [
                        Step(kind, position, slot, other) for other in others if self.may_join(other, node[1 - slot])
                    ]
        return found

    def _after(self, a: Architecture, cells: Sequence[Cell], step: Step) -> Architecture:
        kind, position, slot, branch = step
        node = cells[kind][position]
        changed = self.ordered((branch, node[1]) if slot == 0 else (node[0], branch))
        cell = (*cells[kind][:position], changed, *cells[kind][position + 1 :])
        values = self._values(cell)
        start = kind * len(values)
        return Architecture(self.name, (*a.values[:start], *values, *a.values[start + len(values) :]))

    @property
    def graph_labels(self) -> tuple[str, ...]:
        """Inputs, operations, output."""
        return two_input_cells.labels(self.operations)

    @property
    def graph_identities(self) -> tuple[str, ...]:
        """The identity, though in a reduction cell it halves the image where it reads an input."""
        return (self.roles.identity,)

    @property
    def graph_zeros(self) -> tuple[str, ...]:
        """The operation that gives zeros, where there is one."""
        return () if self.roles.zero is None else (self.roles.zero,)

    @property
    def most_nodes(self) -> int:
        """Nodes v of every graph: two inputs, two op-nodes for each node of the cell, output."""
        return two_input_cells.most_nodes(self.nodes)

    def graphs(self, a: Architecture) -> Mapping[str, Graph]:
        """One graph a cell; see `nas_spaces.two_input_cells`."""
        cells = zip(self.kinds, self.cells_of(a), strict=True)
        return {kind: two_input_cells.graph(cell, self.roles.loose_only) for kind, cell in cells}

    def from_graphs(self, graphs: Mapping[str, Graph]) -> Architecture:
        """The member, with its nodes in standard order, whose graphs are isomorphic to those given.

        Graphs without ports are read too; they leave open which op-nodes without readers are summed
        (`nas_spaces.two_input_cells.from_graph` says how that is settled).

        Raises:
            InvalidArchitecture: there is none.
        """
        if set(graphs) != set(self.kinds):
            expected = ", ".join(self.kinds)
            raise InvalidArchitecture(
                f"not the graphs of a member of {self.name}", value=sorted(graphs), expected=expected
            )
        return self.from_cells([self._cell(graphs[kind], kind) for kind in self.kinds])

    def _cell(self, graph: Graph, kind: str) -> Cell:
        try:
            return two_input_cells.from_graph(graph, self.operations, self.nodes, self.roles.loose_only, self.may_join)
        except InvalidArchitecture as error:
            raise error.at(f"the graph {kind!r}") from None

    def standard(self, a: Architecture) -> Architecture:
        """The isomorphic member whose nodes stand in standard order."""
        return self.from_cells([two_input_cells.standard(cell)[0] for cell in self.cells_of(a)])

    def graph_key(self, a: Architecture) -> str:
        """32 hexadecimal digits, equal where cells differ in the order of their nodes and branches alone."""
        return _digest(repr([two_input_cells.standard(cell)[0] for cell in self.cells_of(a)]))

    @property
    def twin_rules(self) -> str:
        """Name and version of the rules; `nas_spaces.two_input_twins` gives them."""
        return two_input_twins.RULES

    def twin_key(self, a: Architecture) -> str:
        """32 hexadecimal digits that members share where the rules turn one into the other.

        A cell that serves as normal and as reduction cell is looked at as both.
        """
        cells = self.cells_of(a)
        return _digest(
            two_input_twins.key(cells[0], self.roles, False) + two_input_twins.key(cells[-1], self.roles, True)
        )

    def tokens(self, a: Architecture) -> tuple[int, ...]:
        """The branches of all nodes of all cells in a row, spelled by `spelling`."""
        return _spelled(self.cells_of(a), self.spelling)

    def from_tokens(self, tokens: Sequence[int]) -> Architecture:
        """The member of a sequence; branches of a node may stand in either order.

        Raises:
            InvalidArchitecture: there is none.
        """
        branches = list(self._branches(_checked_tokens(tokens)))
        nodes = [(branches[i], branches[i + 1]) for i in range(0, len(branches), 2)]
        return self.from_cells([tuple(nodes[i : i + self.nodes]) for i in range(0, len(nodes), self.nodes)])

    def _branches(self, tokens: tuple[int, ...]) -> Iterator[Branch]:
        meaning = {spelled: branch for branch, spelled in self.spelling.items()}
        width = len(next(iter(meaning)))
        expected = len(self.kinds) * self.nodes * 2 * width
        if len(tokens) != expected:
            raise InvalidArchitecture(f"{self.name} has {expected} tokens", value=len(tokens))
        for i in range(0, expected, width):
            if tokens[i : i + width] not in meaning:
                raise InvalidArchitecture(
                    "tokens that spell no branch",
                    value=tokens[i : i + width],
                    place=f"positions {i} to {i + width - 1}",
                )
            yield meaning[tokens[i : i + width]]

    def symmetric_tokens(self, a: Architecture) -> list[tuple[int, ...]]:
        """Sequences of the same function: the branches of one node in each cell are exchanged (NAO, section 3.2).

        `from_tokens` reads them all. Sequences without a change are left out.
        """
        found = {_spelled(cells, self.spelling): None for cells in swapped(self.cells_of(a))}
        found.pop(self.tokens(a), None)
        return list(found)


def swapped(cells: Sequence[Cell]) -> Iterator[tuple[Cell, ...]]:
    """The cells with the branches of one node in each of them exchanged, for every choice of nodes."""
    for positions in product(*(range(len(cell)) for cell in cells)):
        yield tuple(
            (*cell[:i], (cell[i][1], cell[i][0]), *cell[i + 1 :]) for cell, i in zip(cells, positions, strict=True)
        )


def _spelled(cells: Sequence[Cell], spelling: Mapping[Branch, tuple[int, ...]]) -> tuple[int, ...]:
    return tuple([token for cell in cells for node in cell for branch in node for token in spelling[branch]])


def _checked_tokens(tokens: Sequence[int]) -> tuple[int, ...]:
    try:
        return tuple([operator.index(token) for token in tokens])
    except TypeError:
        raise InvalidArchitecture("tokens are whole numbers", value=tuple(tokens)) from None


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
