"""NAO's convolutional cells (Luo et al. 2018, section 3.1 and appendix 7.1).

A normal and a reduction cell with two inputs and five nodes each. A node is the sum of two branches, which are ordered
and free: any earlier source, any operation, both the same if need be. The nodes that no branch reads are concatenated.

Members are written in the paper's words, branch by branch source, operation and size, nodes parted by commas, cells by
a semicolon: "node-2 conv 3x3 node-1 max_pool 3x3, …; …". The inputs are node-2 and node-1, the first node is node1. The
token sequence is the same words; only legal pairs of operation and size are members, and decoding admits no others.
With ENAS's operations the size is a part of the operation's word.

The width of a cell's output depends on its wiring, and so does every kernel that reads it. `shared=True` of `network`
gives each loose node a kernel of its own and sums what they give: the same functions, with one shape for each name in
all members, so that they can be trained on one bank of weights. Trained alone, one kernel over the concatenation is
the same in fewer steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, Final, final

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical, Value
from nas_core.errors import InvalidArchitecture, InvalidOption
from nas_core.network import Network, Task
from nas_spaces import nao_operations as ops
from nas_spaces.two_input_cells import Branch, Cell, CellNode, sources
from nas_spaces.two_input_network import Stack, Style, build, check_count
from nas_spaces.two_input_space import TwoInputSpace, swapped
from nas_spaces.two_input_twins import Roles

NODES: Final = 5
SOURCES: Final = ("node-2", "node-1", "node1", "node2", "node3", "node4")
"""What a branch can read, in the order of the numbers of sources."""
SETS: Final[Mapping[str, tuple[str, ...]]] = {"nao": ops.OPERATIONS, "enas": ops.ENAS_OPERATIONS}

_KINDS = ("normal", "reduction")
_NUMBER = {name: number for number, name in enumerate(SOURCES)}
_STYLE = Style(ops.operation, ops.IDENTITY, None, loose_only=True, slots=True, scheduled=True)
_STACKS = 3


def _words(operation: str, sized: bool) -> tuple[str, ...]:
    """How an operation is spelled: name and size, or one word."""
    if not sized:
        return (operation,)
    return (operation, "1x1") if operation == ops.IDENTITY else (operation[: operation.rindex("_")], operation[-3:])


@final
class NAOCNN(TwoInputSpace):
    """The pairs of cells of NAO.

    Decisions: `<kind>_node<j>_source_a`, `…_op_a`, `…_source_b` and `…_op_b` for j from 1 to 5. Every combination is a
    member, and `sample` draws each decision uniformly, so that it is uniform over members.

    Args:
        operations: "nao", the paper's eleven, with 60 tokens a member; or "enas", the five of weight sharing, with 40.

    Raises:
        InvalidOption: there is no such set of operations.
    """

    name = "nao_cnn"
    kinds = _KINDS
    nodes = NODES

    def __init__(self, operations: str = "nao") -> None:
        if operations not in SETS:
            raise InvalidOption("no such set of operations", value=operations, expected="one of " + ", ".join(SETS))
        self.set = operations
        self.operations = SETS[operations]
        words = {operation: _words(operation, operations == "nao") for operation in self.operations}
        columns = zip(*words.values(), strict=True)
        self.vocabulary = (*SOURCES, *dict.fromkeys(word for column in columns for word in column))
        token = {word: number for number, word in enumerate(self.vocabulary)}
        self.spelling = {
            (source, operation): (source, *(token[word] for word in spelled))
            for source in range(len(SOURCES))
            for operation, spelled in words.items()
        }
        self.roles = Roles(ops.IDENTITY, frozenset(ops.POOLINGS), None, loose_only=True)
        self.decisions = tuple(
            Categorical(f"{kind}_node{j}_{what}_{slot}", choices)
            for kind in _KINDS
            for j in range(1, NODES + 1)
            for slot in "ab"
            for what, choices in (("source", SOURCES[: j + 1]), ("op", self.operations))
        )
        self.size = prod(decision.size for decision in self.decisions)

    def to_config(self) -> dict[str, Any]:
        """The options."""
        return {"name": self.name, "operations": self.set}

    def text(self, a: Architecture) -> str:
        """The paper's words; see the module."""
        written = [self.vocabulary[token] for token in self.tokens(a)]
        width = len(written) // (len(_KINDS) * NODES)
        nodes = [" ".join(written[i : i + width]) for i in range(0, len(written), width)]
        return "; ".join(", ".join(nodes[i : i + NODES]) for i in range(0, len(nodes), NODES))

    def parse(self, text: str) -> Architecture:
        """The member of a text.

        Raises:
            InvalidArchitecture: with the cell, node and word that are wrong.
        """
        cells = text.split(";") if isinstance(text, str) else []
        if len(cells) != len(_KINDS):
            raise InvalidArchitecture(
                "not the text of NAO's cells", value=text, expected="a normal and a reduction cell, parted by ';'"
            )
        tokens: list[int] = []
        for kind, cell in zip(_KINDS, cells, strict=True):
            nodes = cell.split(",")
            if len(nodes) != NODES:
                raise InvalidArchitecture(
                    f"the {kind} cell has {len(nodes)} nodes", value=cell, expected=f"{NODES}, parted by ','"
                )
            for j, node in enumerate(nodes, start=1):
                tokens += self._read(node, tokens, f"node {j} of the {kind} cell")
        return self.from_tokens(tokens)

    def _read(self, node: str, before: list[int], place: str) -> list[int]:
        """The tokens of a node's words, each of which is checked."""
        words = node.split()
        width = 2 * len(self.spelling[0, ops.IDENTITY])
        if len(words) != width:
            raise InvalidArchitecture(f"a node has {width} words", value=node.strip(), place=place)
        found = list(before)
        for word in words:
            legal = {self.vocabulary[token]: token for token in self.legal_tokens(found)}
            if word not in legal:
                raise InvalidArchitecture(
                    "a wrong word", value=word, place=place, expected="one of " + ", ".join(legal)
                )
            found.append(legal[word])
        return found[len(before) :]

    def cells_of(self, a: Architecture) -> tuple[Cell, ...]:
        """The normal and the reduction cell."""
        half = len(a.values) // 2
        return _cell(a.values[:half]), _cell(a.values[half:])

    def may_join(self, first: Branch, second: Branch) -> bool:
        """Always."""
        return True

    def ordered(self, node: CellNode) -> CellNode:
        """As given."""
        return node

    def _values(self, cell: Cell) -> tuple[Value, ...]:
        return tuple([v for node in cell for source, operation in node for v in (SOURCES[source], operation)])

    def legal_tokens(self, prefix: Sequence[int]) -> tuple[int, ...]:
        """The sources that a node has, then an operation, then the sizes that the operation has."""
        width = len(self.spelling[0, ops.IDENTITY])
        at = len(prefix)
        if at >= len(_KINDS) * NODES * 2 * width:
            return ()
        if at % width == 0:
            return tuple(range(at // (2 * width) % NODES + 2))
        begun = tuple(prefix[at - at % width + 1 :])
        spelled = [self.spelling[0, operation][1:] for operation in self.operations]
        return tuple(dict.fromkeys(words[len(begun)] for words in spelled if words[: len(begun)] == begun))

    def symmetric_twins(self, a: Architecture) -> list[Architecture]:
        """The members of `symmetric_tokens`: the branches of one node in each cell are exchanged; up to 25."""
        found = dict.fromkeys(self.from_cells(cells) for cells in swapped(self.cells_of(a)))
        found.pop(a, None)
        return list(found)

    def network(
        self,
        a: Architecture,
        task: Task,
        seed: int = 0,
        *,
        channels: int = 36,
        cells: int = 6,
        stem: str = "auto",
        auxiliary: bool = False,
        shared: bool = False,
    ) -> Network:
        """Three stacks of normal cells with a reduction cell after the first and the second.

        Where a cell leaves an input unread, what nothing depends on is left out.

        Args:
            a: the member.
            task: images to classify.
            seed: not read.
            channels: F, the channels of a node in the first stack.
            cells: N, the normal cells of a stack; the network has 3·N + 2 cells.
            stem: "cifar", "imagenet", or "auto": the latter from 96 pixels on.
            auxiliary: with an auxiliary head on the second reduction cell.
            shared: in the form that all members can share; see the module.

        Raises:
            InvalidNetwork: the task or an option does not fit.
        """
        check_count("cells", cells)
        normal, reduction = self.cells_of(a)
        stack = Stack(channels, _STACKS * cells + _STACKS - 1, (cells, 2 * cells + 1), stem, auxiliary, shared)
        network = build(normal, reduction, task, stack, _STYLE)
        return network if {0, 1} <= sources(normal) & sources(reduction) else network.pruned()


def _cell(values: Sequence[Any]) -> Cell:
    rest = iter(values)
    return tuple([((_NUMBER[s], a), (_NUMBER[t], b)) for s, a, t, b in zip(rest, rest, rest, rest, strict=True)])
