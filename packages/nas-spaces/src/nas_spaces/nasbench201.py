"""NAS-Bench-201 (Dong and Yang, ICLR 2020): cells of four nodes with one of five operations on each of the six edges.

Node 0 is the cell's input, node 3 its output, and node j is the sum of the operations applied to all earlier nodes. A
member is its six operations in the order of the published text, `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`, where the entry
`op~i` of the j-th group is the edge from node i to node j.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, Final, TypeAlias, final

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical
from nas_core.errors import InvalidArchitecture
from nas_core.graph import Graph
from nas_core.network import Network, Task
from nas_core.space import Space
from nas_spaces import nasbench201_twins as twins
from nas_spaces.nasbench201_flops import counted_flops
from nas_spaces.nasbench201_network import build

OPERATIONS: Final = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""The choices of every edge, in the order of the published table."""
EDGES: Final = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
"""The edges as (target, source), in the order of the published text."""
CIFAR10: Final = Task("classification", (3, 32, 32), 10)
"""What the published parameters and FLOPs are for."""

Operations: TypeAlias = tuple[str, ...]

_GRAPH_EDGES = ((0, 1), (0, 2), (0, 4), (1, 3), (1, 5), (2, 6), (3, 6), (4, 7), (5, 7), (6, 7))
_DECISIONS = tuple(Categorical(f"edge{target}_{source}", OPERATIONS) for target, source in EDGES)
_TOKENS = tuple(range(len(OPERATIONS)))
_NUMBER = {operation: number for number, operation in enumerate(OPERATIONS)}
_WRITTEN = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|"
_PATTERN = re.compile(re.sub(r"\\\{\\\}", "({})".format("|".join(OPERATIONS)), re.escape(_WRITTEN)))


@final
class NASBench201(Space):
    """The 15,625 cells of NAS-Bench-201.

    Every decision is an edge, named `edge<target>_<source>`; every choice is one of `OPERATIONS`. The graph of a member
    has its operations on the nodes: input, the six operations in the order of the decisions, output. Twins are told by
    the rules of `nas_spaces.nasbench201_twins`; they form 5,316 classes.
    """

    name = "nasbench201"
    decisions = _DECISIONS
    size = len(OPERATIONS) ** len(EDGES)
    vocabulary = OPERATIONS
    graph_labels = ("input", *OPERATIONS, "output")
    most_nodes = len(EDGES) + 2
    graph_identities = ("skip_connect",)
    graph_zeros = ("none",)
    twin_rules = twins.RULES

    def to_config(self) -> dict[str, Any]:
        """The space has no options."""
        return {"name": self.name}

    def enumerate(self) -> Iterator[Architecture]:
        """All members; the last edge varies fastest, operations in the order of the choices."""
        for operations in product(OPERATIONS, repeat=len(EDGES)):
            yield Architecture(self.name, operations)

    def neighbors(self, a: Architecture) -> list[Architecture]:
        """The 24 members with another operation on one edge, in the order of the decisions."""
        v = a.values
        return [
            Architecture(self.name, (*v[:i], other, *v[i + 1 :]))
            for i, own in enumerate(v)
            for other in OPERATIONS
            if other != own
        ]

    def text(self, a: Architecture) -> str:
        """The published notation."""
        return _WRITTEN.format(*a.values)

    def parse(self, text: str) -> Architecture:
        """The member that a published text describes.

        Raises:
            InvalidArchitecture: naming the entry that is wrong, counted from 1.
        """
        match = _PATTERN.fullmatch(text) if isinstance(text, str) else None
        if match is None:
            raise _wrong_text(text)
        return Architecture(self.name, match.groups())

    def graphs(self, a: Architecture) -> Mapping[str, Graph]:
        """{"cell": …} with eight nodes: input, the operations in the order of the decisions, output."""
        return {"cell": Graph(("input", *_operations(a), "output"), _GRAPH_EDGES)}

    def from_graphs(self, graphs: Mapping[str, Graph]) -> Architecture:
        """The member whose cell is isomorphic to the one given.

        The wiring has no automorphism but the identity: a node's depth and height say which edge it is.

        Raises:
            InvalidArchitecture: there is none.
        """
        if set(graphs) != {"cell"}:
            raise InvalidArchitecture(f"{self.name} has one graph", value=sorted(graphs), expected='"cell"')
        graph = graphs["cell"]
        place = _places(graph)
        if place is None or graph.ports is not None:
            raise InvalidArchitecture(f"not the wiring of a {self.name} cell", value=graph.edges)
        labels = [label for _, label in sorted(zip(place, graph.labels, strict=True))]
        if labels[0] != "input" or labels[-1] != "output":
            raise InvalidArchitecture(
                "a cell begins at its input and ends at its output", value=(labels[0], labels[-1])
            )
        return self.canonical(labels[1:-1])

    def graph_key(self, a: Architecture) -> str:
        """Different for all members: no two have isomorphic graphs."""
        return self.graphs(a)["cell"].key()

    def tokens(self, a: Architecture) -> tuple[int, ...]:
        """The numbers of the six operations (t = 6)."""
        return tuple([_NUMBER[operation] for operation in _operations(a)])

    def from_tokens(self, tokens: Sequence[int]) -> Architecture:
        """The member of six numbers of operations.

        Raises:
            InvalidArchitecture: there are not six, or one is none of 0 to 4.
        """
        if len(tokens) != len(EDGES) or any(token not in _TOKENS for token in tokens):
            raise InvalidArchitecture(
                f"not the tokens of a {self.name} cell", value=tuple(tokens), expected="six of 0 to 4"
            )
        return Architecture(self.name, tuple([OPERATIONS[int(token)] for token in tokens]))

    def legal_tokens(self, prefix: Sequence[int]) -> tuple[int, ...]:
        """All five until there are six."""
        return _TOKENS if len(prefix) < len(EDGES) else ()

    def twin_key(self, a: Architecture) -> str:
        """32 hexadecimal digits that two members share exactly when the rules turn one into the other."""
        return twins.key(_operations(a))

    def network(
        self, a: Architecture, task: Task, seed: int = 0, *, channels: int = 16, cells: int = 5, pruned: bool = False
    ) -> Network:
        """The benchmark's network: stem, three stages of cells, head; see `nas_spaces.nasbench201_network`.

        Args:
            a: the member.
            task: images to classify whose height and width are multiples of 4.
            seed: not read.
            channels: width of the first stage; the second has twice, the third four times as many.
            cells: cells a stage.
            pruned: leave out what cannot change the output. The benchmark counts dead operations: its parameters and
                FLOPs are those of networks that are not pruned.

        Raises:
            InvalidNetwork: the task or an option does not fit.
        """
        return build(_operations(a), task, channels, cells, pruned)

    def benchmark_flops(self, a: Architecture, *, channels: int = 16, cells: int = 5) -> int:
        """FLOPs on CIFAR-10 in the convention of the table that the space is used with.

        They are no multiply-adds: normalisations, activations and poolings count as well (`counted_flops`).
        """
        return counted_flops(self.network(a, CIFAR10, channels=channels, cells=cells))


def _operations(a: Architecture) -> Operations:
    """The operations of a member; the annotation of `values` is wider than what this space makes."""
    return a.values  # type: ignore[return-value]


def _places(graph: Graph) -> list[int] | None:
    """The node of a member's graph that each node corresponds to; None where the wiring is another."""
    v = NASBench201.most_nodes
    if len(graph.labels) != v or len(graph.edges) != len(_GRAPH_EDGES):
        return None
    role = {levels: node for node, levels in enumerate(_levels(_GRAPH_EDGES, v))}
    place = [role.get(levels, v) for levels in _levels(graph.edges, v)]
    moved = sorted((place[source], place[target]) for source, target in graph.edges)
    return place if moved == sorted(_GRAPH_EDGES) else None


def _levels(edges: Sequence[tuple[int, int]], v: int) -> list[tuple[int, int]]:
    """Edges of a longest path into and out of each node; `edges` are sorted by target."""
    depths, heights = [0] * v, [0] * v
    for source, target in edges:
        depths[target] = max(depths[target], depths[source] + 1)
    for source, target in reversed(edges):
        heights[source] = max(heights[source], heights[target] + 1)
    return list(zip(depths, heights, strict=True))


def _wrong_text(text: object) -> InvalidArchitecture:
    """What is wrong with a text that describes no member."""
    form = _WRITTEN.format(*["op"] * len(EDGES))
    if not isinstance(text, str):
        return InvalidArchitecture("not the text of a NAS-Bench-201 cell", value=text, expected=form)
    groups = text.split("+")
    if len(groups) != 3:
        return InvalidArchitecture(f"a NAS-Bench-201 cell has 3 groups, not {len(groups)}", value=text, expected=form)
    for target, group in enumerate(groups, start=1):
        if len(group) < 2 or group[0] != "|" or group[-1] != "|":
            return InvalidArchitecture(f"group {target} must begin and end with '|'", value=group, expected=form)
        entries = group[1:-1].split("|")
        if len(entries) != target:
            return InvalidArchitecture(
                f"group {target} has {len(entries)} entries", value=group, expected=f"{target} of them"
            )
        for source, entry in enumerate(entries):
            operation, _, index = entry.partition("~")
            where = f"entry {source + 1} of group {target} (edge{target}_{source})"
            if operation not in OPERATIONS:
                return InvalidArchitecture(
                    f"unknown operation in {where}", value=operation, expected="one of " + ", ".join(OPERATIONS)
                )
            if index != str(source):
                return InvalidArchitecture(f"wrong input in {where}", value=entry, expected=f"{operation}~{source}")
    return InvalidArchitecture("not the text of a NAS-Bench-201 cell", value=text, expected=form)
