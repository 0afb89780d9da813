"""Cells with two inputs, the family of NASNet (Zoph et al. 2018) and DARTS (Liu et al. 2019), and their graphs.

A cell reads the outputs of the two cells before it, c_{k-2} and c_{k-1}. Each of its nodes is the sum of two branches,
and a branch applies an operation to one source: an input or an earlier node. The output of the cell concatenates its
nodes: all of them, or only the loose ones, which no branch reads.

Numbers of sources are those of published genotypes: 0 and 1 are the inputs c_{k-2} and c_{k-1}, 2 is the first node.

The graph of a cell has its operations on the nodes, 2·nodes + 3 of them: both inputs, two op-nodes for each node of the
cell, output. The op-nodes of node p are numbers 2p - 2 and 2p - 1; what reads node p has edges from both. Such graphs
alone do not say which op-nodes without readers are summed together: {a + b, c + d} and {a + c, b + d} look alike, and
they are different functions. The ports of the output do say it: edges that feed one of its ports are summed, and the
ports are concatenated. They are numbered by the standard order of the cell's nodes, which does not depend on how the
nodes are numbered, so that graphs are isomorphic exactly where cells differ in the order of nodes and branches alone.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, TypeAlias

from nas_core.errors import InvalidArchitecture
from nas_core.graph import Graph

INPUTS: Final = ("input0", "input1")
"""Labels of c_{k-2} and c_{k-1}."""
OUTPUT: Final = "output"

Branch: TypeAlias = tuple[int, str]
"""Source and operation."""
CellNode: TypeAlias = tuple[Branch, Branch]
Cell: TypeAlias = tuple[CellNode, ...]
Rule: TypeAlias = Callable[[Branch, Branch], bool]
"""Whether two branches, in either order, may form a node; it may only ask whether sources are the same."""


def sources(cell: Cell) -> set[int]:
    """The inputs and nodes that some branch reads."""
    return {source for node in cell for source, _ in node}


def loose(cell: Cell) -> tuple[int, ...]:
    """The positions, from 0, of the nodes that no branch reads."""
    read = sources(cell)
    return tuple([position for position in range(len(cell)) if position + 2 not in read])


def labels(operations: Sequence[str]) -> tuple[str, ...]:
    """Every label of a cell's graph."""
    return (*INPUTS, *operations, OUTPUT)


def most_nodes(nodes: int) -> int:
    """Number of nodes of the graph of a cell with so many nodes."""
    return 2 * nodes + 3


@lru_cache(maxsize=1 << 14)
def standard(cell: Cell) -> tuple[Cell, tuple[int, ...]]:
    """The cell with its nodes in standard order and sorted branches, and the positions that its nodes had.

    Of all orders in which nodes read earlier ones only, the standard one gives the smallest cell. Cells that differ in
    the order of nodes and branches alone have equal standard cells.
    """
    return _smallest(cell, (), {0: 0, 1: 1})


def _smallest(cell: Cell, order: tuple[int, ...], number: dict[int, int]) -> tuple[Cell, tuple[int, ...]]:
    """The smallest rest of a cell when the nodes in `order` come first; `number` gives new numbers of sources."""
    if len(order) == len(cell):
        return (), order
    ready: dict[CellNode, list[int]] = {}
    for position, ((a, op_a), (b, op_b)) in enumerate(cell):
        if position not in order and a in number and b in number:
            x, y = (number[a], op_a), (number[b], op_b)
            ready.setdefault((x, y) if x <= y else (y, x), []).append(position)
    first = min(ready)
    found = (_smallest(cell, (*order, position), {**number, position + 2: len(order) + 2}) for position in ready[first])
    rest, whole = min(found)
    return (first, *rest), whole


def graph(cell: Cell, loose_only: bool) -> Graph:
    """The graph of a cell; `loose_only` says that only loose nodes are concatenated."""
    output = 2 * len(cell) + 2
    edges: list[tuple[int, int]] = []
    ports: list[int] = []
    for op_node, (source, _) in enumerate((branch for node in cell for branch in node), start=2):
        feeding = _op_nodes(source) if source >= 2 else (source,)
        edges += [(one, op_node) for one in feeding]
        ports += [0] * len(feeding)
    concatenated = set(loose(cell)) if loose_only else set(range(len(cell)))
    order = [position for position in standard(cell)[1] if position in concatenated]
    for port, position in enumerate(order):
        edges += [(one, output) for one in _op_nodes(position + 2)]
        ports += [port, port]
    return Graph((*INPUTS, *(op for node in cell for _, op in node), OUTPUT), tuple(edges), tuple(ports))


def _op_nodes(node: int) -> tuple[int, int]:
    """The op-nodes of a node of the cell, in the graph."""
    return 2 * node - 2, 2 * node - 1


def from_graph(graph: Graph, operations: Collection[str], nodes: int, loose_only: bool, rule: Rule) -> Cell:
    """The cell, in standard order, of a graph whose nodes stand in any order.

    A graph without ports, such as a generator draws, leaves open which op-nodes without readers belong together: the
    first of them gets the first partner with which all others can be paired by the rule. Of ports, only those of the
    output are read, and of those only which edges share one.

    Args:
        graph: see the module.
        operations: the operations of branches.
        nodes: number of the cell's nodes.
        loose_only: whether only loose nodes are concatenated.
        rule: which two branches may form a node.

    Raises:
        InvalidArchitecture: it is the graph of no such cell.
    """
    places = _places(graph, operations, nodes)
    read = {op_node: _source(graph, op_node, places) for op_node in places.op_nodes}
    partner = _partners(source for source in read.values() if len(source) == 2)
    _check_output(graph, places, set(partner), loose_only)
    for a, b in _pairs_of_output(graph, places, partner, read, rule):
        partner[a], partner[b] = b, a
    return standard(_cell(graph, places, read, partner, rule))[0]


class _Places(NamedTuple):
    """Where the inputs, the op-nodes and the output of a graph stand."""

    inputs: tuple[int, int]
    op_nodes: tuple[int, ...]
    output: int


def _places(graph: Graph, operations: Collection[str], nodes: int) -> _Places:
    at: dict[str, list[int]] = {}
    for node, label in enumerate(graph.labels):
        at.setdefault(label, []).append(node)
    for label in (*INPUTS, OUTPUT):
        if len(at.pop(label, ())) != 1:
            raise InvalidArchitecture(f"a cell's graph has one node {label!r}", value=graph.labels)
    unknown = sorted(set(at) - set(operations))
    if unknown:
        raise InvalidArchitecture("no such operation", value=unknown[0], expected="one of " + ", ".join(operations))
    if len(graph.labels) != most_nodes(nodes):
        raise InvalidArchitecture(
            "a graph of the wrong size", value=len(graph.labels), expected=f"{most_nodes(nodes)} nodes"
        )
    first, second, output = (graph.labels.index(label) for label in (*INPUTS, OUTPUT))
    op_nodes = tuple(node for node in range(len(graph.labels)) if node not in (first, second, output))
    return _Places((first, second), op_nodes, output)


def _source(graph: Graph, op_node: int, places: _Places) -> tuple[int, ...]:
    """What an op-node reads: (input,), or both op-nodes of a node of the cell."""
    found = graph.sources(op_node)
    if len(found) == 1 and found[0] in places.inputs:
        return found
    if len(found) == 2 and found[0] != found[1] and set(found) <= set(places.op_nodes):
        return found
    raise InvalidArchitecture(
        f"node {op_node} of the graph does not read one source",
        value=found,
        expected="an edge from an input, or edges from both op-nodes of a node",
    )


def _partners(pairs: Iterator[tuple[int, ...]]) -> dict[int, int]:
    """For each op-node that is read the one with which it is summed."""
    partner: dict[int, int] = {}
    for a, b in pairs:
        if partner.setdefault(a, b) != b or partner.setdefault(b, a) != a:
            raise InvalidArchitecture("an op-node is summed with two others", value=(a, b))
    return partner


def _check_output(graph: Graph, places: _Places, read: set[int], loose_only: bool) -> None:
    wired = graph.sources(places.output)
    expected = set(places.op_nodes) - (read if loose_only else set())
    if set(wired) != expected or len(wired) != len(expected):
        raise InvalidArchitecture("the output reads the wrong nodes", value=wired, expected=f"{sorted(expected)}")
    if graph.ports is not None and any(
        port for (_, target), port in zip(graph.edges, graph.ports, strict=True) if target != places.output
    ):
        raise InvalidArchitecture("only the output of a cell has numbered inputs", value=graph.ports)
    if any(target in places.inputs for _, target in graph.edges):
        raise InvalidArchitecture("an edge leads to an input of the cell", value=graph.edges)


def _pairs_of_output(
    graph: Graph, places: _Places, partner: dict[int, int], read: dict[int, tuple[int, ...]], rule: Rule
) -> list[tuple[int, int]]:
    """The pairs of op-nodes that the output says or, without ports, leaves to be chosen."""
    if graph.ports is None:
        free = [op_node for op_node in places.op_nodes if op_node not in partner]
        branches = {one: (read[one][0], graph.labels[one]) for one in free}  # any name will do for a source
        pairs = _paired(free, branches, rule)
        if pairs is None:
            raise InvalidArchitecture("no two nodes of the graph can be summed by the rules of the cell", value=free)
        return pairs
    fed: dict[int, list[int]] = {}
    for (source, target), port in zip(graph.edges, graph.ports, strict=True):
        if target == places.output:
            fed.setdefault(port, []).append(source)
    for port, summed in fed.items():
        if len(summed) != 2:
            raise InvalidArchitecture(f"port {port} of the output does not sum two op-nodes", value=summed)
        if any(partner.get(a, b) != b for a, b in (summed, reversed(summed))):
            raise InvalidArchitecture(f"port {port} of the output sums op-nodes that are read apart", value=summed)
    return [(a, b) for a, b in fed.values()]


def _paired(free: list[int], branches: dict[int, Branch], rule: Rule) -> list[tuple[int, int]] | None:
    """The first way to pair op-nodes by the rule; None where there is none."""
    if not free:
        return []
    first, *others = free
    for other in others:
        if rule(branches[first], branches[other]):
            rest = _paired([one for one in others if one != other], branches, rule)
            if rest is not None:
                return [(first, other), *rest]
    return None


def _cell(graph: Graph, places: _Places, read: dict[int, tuple[int, ...]], partner: dict[int, int], rule: Rule) -> Cell:
    number = {places.inputs[0]: 0, places.inputs[1]: 1}
    found: list[CellNode] = []
    for op_node in places.op_nodes:  # in topological order: what a pair reads is numbered when its later member comes
        other = partner[op_node]
        if other > op_node:
            continue
        branches = [(number[read[one][0]], graph.labels[one]) for one in (other, op_node)]
        if not rule(branches[0], branches[1]):
            raise InvalidArchitecture("two branches that cannot form a node", value=branches)
        number[op_node] = number[other] = len(found) + 2
        found.append((branches[0], branches[1]))
    return tuple(found)
