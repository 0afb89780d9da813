"""Cells with two inputs: standard order, graphs, and the way back from graphs."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, permutations, product

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas_core.encoding import paths
from nas_core.errors import InvalidArchitecture
from nas_core.graph import Graph
from nas_core.random import rng
from nas_spaces import two_input_cells as cells
from nas_spaces.two_input_cells import Branch, Cell

OPERATIONS = ("a", "b", "c", "d", "e", "f", "g", "h")
# every operation names its branch, so that a graph's wiring can be read off its labels
TELLING: Cell = (
    ((0, "a"), (1, "b")),
    ((0, "c"), (2, "d")),
    ((1, "e"), (3, "f")),
    ((4, "g"), (3, "h")),
)


def differ(first: Branch, second: Branch) -> bool:
    return first[0] != second[0]


def anything(first: Branch, second: Branch) -> bool:
    return True


def drawn(stream: np.random.Generator, nodes: int, operations: str) -> Cell:
    """A cell in which the sources of a node differ."""
    found = []
    for p in range(2, nodes + 2):
        a, b = stream.choice(p, size=2, replace=False).tolist()
        found.append(((a, str(stream.choice(list(operations)))), (b, str(stream.choice(list(operations))))))
    return tuple(found)


def reordered(cell: Cell, stream: np.random.Generator) -> Cell:
    """The cell with its nodes in a random topological order and its branches swapped at random."""
    number, left, found = {0: 0, 1: 1}, list(range(len(cell))), []
    while left:
        ready = [i for i in left if {source for source, _ in cell[i]} <= set(number)]
        i = ready[int(stream.integers(len(ready)))]
        left.remove(i)
        first, second = ((number[source], operation) for source, operation in cell[i])
        found.append((first, second) if stream.random() < 0.5 else (second, first))
        number[i + 2] = len(found) + 1
    return tuple(found)


def expanded(cell: Cell, loose_only: bool) -> nx.DiGraph:
    """A second, faithful view: sums are nodes of their own, and the output reads them."""
    graph = nx.DiGraph()
    graph.add_nodes_from([("x", 0), ("x", 1)])
    for i in (0, 1):
        graph.nodes["x", i]["label"] = f"input{i}"
    values = [("x", 0), ("x", 1)]
    read = {source for node in cell for source, _ in node}
    graph.add_node("out", label="out")
    for i, node in enumerate(cell):
        graph.add_node(("sum", i), label="sum")
        for slot, (source, operation) in enumerate(node):
            graph.add_node(("op", i, slot), label=operation)
            graph.add_edge(values[source], ("op", i, slot))
            graph.add_edge(("op", i, slot), ("sum", i))
        values.append(("sum", i))
        if not loose_only or i + 2 not in read:
            graph.add_edge(("sum", i), "out")
    return graph


def isomorphic(first: Cell, second: Cell, loose_only: bool) -> bool:
    return bool(
        nx.is_isomorphic(
            expanded(first, loose_only),
            expanded(second, loose_only),
            node_match=lambda x, y: x["label"] == y["label"],
        )
    )


def relabelled(graph: Graph, stream: np.random.Generator) -> Graph:
    """The graph with its nodes in a random topological order."""
    left, order = set(range(len(graph.labels))), []
    while left:
        ready = sorted(node for node in left if not left & set(graph.sources(node)))
        order.append(ready[int(stream.integers(len(ready)))])
        left.remove(order[-1])
    return graph.relabelled(order)


def test_the_graph_has_two_op_nodes_for_each_node() -> None:
    graph = cells.graph(TELLING, loose_only=False)
    assert graph.labels == ("input0", "input1", *"abcdefgh", "output")
    into = {graph.labels[i]: [graph.labels[j] for j in graph.sources(i)] for i in range(len(graph.labels))}
    assert into == {
        "input0": [],
        "input1": [],
        "a": ["input0"],
        "b": ["input1"],
        "c": ["input0"],
        "d": ["a", "b"],
        "e": ["input1"],
        "f": ["c", "d"],
        "g": ["e", "f"],
        "h": ["c", "d"],
        "output": ["a", "b", "c", "d", "e", "f", "g", "h"],
    }
    assert len(graph.labels) == cells.most_nodes(4) == 11


def test_only_loose_nodes_are_wired_to_the_output() -> None:
    assert cells.loose(TELLING) == (3,)
    graph = cells.graph(TELLING, loose_only=True)
    assert [graph.labels[i] for i in graph.sources(10)] == ["g", "h"]
    wide = (((0, "a"), (1, "b")), ((0, "c"), (1, "d")), ((2, "e"), (1, "f")), ((0, "g"), (0, "h")))
    assert cells.loose(wide) == (1, 2, 3)
    assert sorted(cells.graph(wide, loose_only=True).labels[i] for i in cells.graph(wide, True).sources(10)) == list(
        "cdefgh"
    )


def test_bug_of_the_published_code_readers_of_node_4_are_not_wired_to_node_3() -> None:
    """A rule by parity sends p = 4 to op-nodes 4 and 5, those of p = 3, so that two wirings become one."""
    from_3, from_4 = ((*TELLING[:3], ((source, "g"), (0, "h"))) for source in (3, 4))
    graphs = [cells.graph(cell, loose_only=False) for cell in (from_3, from_4)]
    assert graphs[0].sources(8) == (4, 5)
    assert graphs[1].sources(8) == (6, 7)
    assert graphs[0].key() != graphs[1].key()
    for p in (2, 3, 4):
        cell = (*TELLING[:3], ((p, "g"), (0, "h")))
        assert cells.graph(cell, loose_only=False).sources(8) == (2 * p - 2, 2 * p - 1)


def test_bug_of_the_published_code_operations_are_read_in_twos() -> None:
    """A pointer that advances by one op-node a node reads (0, 1), (1, 2), (2, 3), (3, 4) and loses the last three."""
    found = cells.from_graph(cells.graph(TELLING, False), OPERATIONS, 4, False, differ)
    assert sorted(operation for node in found for _, operation in node) == list("abcdefgh")
    assert {frozenset(operation for _, operation in node) for node in found} == {
        frozenset("ab"), frozenset("cd"), frozenset("ef"), frozenset("gh"),
    }  # fmt: skip
    assert found == (*TELLING[:3], ((3, "h"), (4, "g")))  # no other order of nodes is possible


def test_the_standard_order_is_the_smallest_of_all() -> None:
    stream = rng(0, "standard")
    for _ in range(60):
        cell = drawn(stream, 4, "ab")
        best, order = cells.standard(cell)
        tried = []
        for permutation in permutations(range(4)):
            number = {0: 0, 1: 1, **{i + 2: place + 2 for place, i in enumerate(permutation)}}
            nodes = [tuple(sorted((number[s], op) for s, op in cell[i])) for i in permutation]
            if all(source < place + 2 for place, node in enumerate(nodes) for source, _ in node):
                tried.append(tuple(nodes))
        assert best == min(tried)
        number = {0: 0, 1: 1, **{i + 2: place + 2 for place, i in enumerate(order)}}
        assert best == tuple(tuple(sorted((number[s], op) for s, op in cell[i])) for i in order)


@pytest.mark.parametrize("loose_only", [False, True])
def test_keys_of_graphs_tell_cells_apart_up_to_the_order_of_nodes(loose_only: bool) -> None:
    stream = rng(1, "keys")
    found = [drawn(stream, 4, "ab") for _ in range(40)]
    found += [reordered(cell, stream) for cell in found]
    keys = [cells.graph(cell, loose_only).key() for cell in found]
    standards = [cells.standard(cell)[0] for cell in found]
    same = 0
    for i, j in combinations(range(len(found)), 2):
        equal = isomorphic(found[i], found[j], loose_only)
        same += equal
        assert (keys[i] == keys[j]) == (standards[i] == standards[j]) == equal
    assert same >= 40


def test_graphs_without_ports_merge_what_the_ports_keep_apart() -> None:
    """{a + b, c + d} and {a + c, b + d} have one wiring, and are different functions."""
    rest = (((0, "e"), (1, "f")),)
    first = (*rest, ((0, "a"), (1, "b")), ((0, "c"), (1, "d")))
    second = (*rest, ((0, "a"), (1, "d")), ((0, "c"), (1, "b")))
    graphs = [cells.graph(cell, False) for cell in (first, second)]
    bare = [Graph(graph.labels, graph.edges) for graph in graphs]
    assert bare[0].key() == bare[1].key()
    assert graphs[0].key() != graphs[1].key()
    assert not isomorphic(first, second, False)


def test_pairs_of_equal_expressions_are_kept_apart_too() -> None:
    """Nodes 2 and 3 look alike; {x(2) + y(2), x(3) + y(3)} is not {x(2) + y(3), x(3) + y(2)}."""
    twins = (((0, "a"), (1, "a")), ((0, "a"), (1, "a")))
    straight = (*twins, ((2, "x"), (2, "y")), ((3, "x"), (3, "y")))
    crossed = (*twins, ((2, "x"), (3, "y")), ((3, "x"), (2, "y")))
    assert cells.graph(straight, False).key() != cells.graph(crossed, False).key()
    for cell in (straight, crossed):
        back = cells.from_graph(cells.graph(cell, False), "axy", 4, False, anything)
        assert back == cells.standard(cell)[0]


@pytest.mark.parametrize("loose_only", [False, True])
def test_any_isomorphic_graph_gives_the_cell_back(loose_only: bool) -> None:
    stream = rng(2, "back")
    for _ in range(100):
        cell = drawn(stream, 4, "abc")
        graph = relabelled(cells.graph(cell, loose_only), stream)
        assert cells.from_graph(graph, "abc", 4, loose_only, differ) == cells.standard(cell)[0]


@pytest.mark.parametrize("loose_only", [False, True])
def test_graphs_without_ports_give_a_cell_with_the_same_wiring(loose_only: bool) -> None:
    stream = rng(3, "bare")
    for _ in range(100):
        graph = relabelled(cells.graph(drawn(stream, 4, "abc"), loose_only), stream)
        bare = Graph(graph.labels, graph.edges)
        found = cells.graph(cells.from_graph(bare, "abc", 4, loose_only, differ), loose_only)
        assert Graph(found.labels, found.edges).key() == bare.key()


def test_graphs_without_ports_are_paired_in_the_order_of_their_nodes_by_the_rule() -> None:
    cell = (((0, "a"), (1, "b")), ((0, "c"), (1, "d")), ((0, "e"), (1, "f")))
    graph = cells.graph(cell, False)
    bare = Graph(graph.labels, graph.edges)
    assert cells.from_graph(bare, "abcdef", 3, False, anything) == cell
    swapped = bare.relabelled([0, 1, 2, 4, 3, 5, 6, 7, 8])  # a, c, b, d: c reads what a reads
    found = cells.from_graph(swapped, "abcdef", 3, False, differ)
    assert {frozenset(op for _, op in node) for node in found} == {frozenset("ab"), frozenset("cd"), frozenset("ef")}
    found = cells.from_graph(swapped, "abcdef", 3, False, anything)
    assert {frozenset(op for _, op in node) for node in found} == {frozenset("ac"), frozenset("bd"), frozenset("ef")}


def changed(labels: dict[int, str] | None = None, more: tuple[tuple[int, int], ...] = (), less: int = 0) -> Graph:
    """The telling graph without ports, with other labels, more edges, or without its last ones."""
    graph = cells.graph(TELLING, False)
    names = tuple((labels or {}).get(i, label) for i, label in enumerate(graph.labels))
    return Graph(names, (*graph.edges[: len(graph.edges) - less], *more))


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (changed({0: "input1"}), "one node 'input0'"),
        (changed({10: "a"}), "one node 'output'"),
        (changed({5: "z"}), "no such operation: 'z'"),
        (changed(more=((0, 3),)), "node 3 of the graph does not read one source"),
        (changed(more=((2, 7),)), "node 7 of the graph does not read one source"),
        (changed(more=((0, 10),)), "the output reads the wrong nodes"),
        (changed(less=1), "the output reads the wrong nodes"),
        (Graph(("input0", "input1", "a", "b", "output"), ((0, 2), (1, 3), (2, 4), (3, 4))), "expected 11 nodes"),
    ],
)
def test_other_graphs_are_refused(graph: Graph, message: str) -> None:
    with pytest.raises(InvalidArchitecture, match=message):
        cells.from_graph(graph, OPERATIONS, 4, False, differ)


def test_graphs_whose_sums_contradict_each_other_are_refused() -> None:
    labels = ("input0", "input1", "a", "b", "c", "d", "e", "f", "output")
    inputs = ((0, 2), (1, 3), (0, 4), (1, 5))
    out = tuple((i, 8) for i in range(2, 8))
    crossed = Graph(labels, (*inputs, (2, 6), (3, 6), (3, 7), (4, 7), *out))
    with pytest.raises(InvalidArchitecture, match="summed with two others"):
        cells.from_graph(crossed, "abcdef", 3, False, differ)
    alike = Graph(labels, ((0, 2), (0, 3), (0, 4), (0, 5), (0, 6), (1, 7), *out))
    with pytest.raises(InvalidArchitecture, match="no two nodes"):
        cells.from_graph(alike, "abcdef", 3, False, differ)
    same_source = Graph(labels, ((0, 2), (0, 3), (0, 4), (1, 5), (2, 6), (3, 6), (1, 7), *out))
    with pytest.raises(InvalidArchitecture, match="cannot form a node"):
        cells.from_graph(same_source, "abcdef", 3, False, differ)
    cell = (((0, "a"), (1, "b")), ((0, "c"), (1, "d")), ((0, "e"), (1, "f")))
    good = cells.graph(cell, False)
    assert good.ports is not None
    ports = dict(zip(good.edges, good.ports, strict=True))
    for new, message in (
        ({(4, 8): ports[2, 8]}, "does not sum two op-nodes"),
        ({(0, 2): 1}, "only the output of a cell has numbered inputs"),
    ):
        wrong = Graph(good.labels, good.edges, tuple(({**ports, **new})[edge] for edge in good.edges))
        with pytest.raises(InvalidArchitecture, match=message):
            cells.from_graph(wrong, "abcdef", 3, False, differ)
    read_apart = cells.graph((((0, "a"), (1, "b")), ((0, "c"), (1, "d")), ((2, "e"), (1, "f"))), False)
    assert read_apart.ports is not None
    ports = dict(zip(read_apart.edges, read_apart.ports, strict=True))
    ports[2, 8], ports[4, 8] = ports[4, 8], ports[2, 8]
    with pytest.raises(InvalidArchitecture, match="read apart"):
        cells.from_graph(
            Graph(read_apart.labels, read_apart.edges, tuple(ports[edge] for edge in read_apart.edges)),
            "abcdef", 3, False, differ,
        )  # fmt: skip


@given(st.data())
def test_junk_graphs_raise_invalid_architecture_or_give_a_cell_of_their_wiring(data: st.DataObject) -> None:
    """Graphs of a cell with some of their edges, labels and ports exchanged, such as a generator might draw."""
    cell = drawn(rng(data.draw(st.integers(0, 100)), "junk"), 3, "ab")
    loose_only = data.draw(st.booleans())
    good = cells.graph(cell, loose_only)
    pairs = list(combinations(range(9), 2))
    flipped = set(data.draw(st.lists(st.sampled_from(pairs), max_size=3)))
    edges = tuple(sorted(set(good.edges) ^ flipped))
    labels = list(good.labels)
    for at, label in data.draw(st.lists(st.tuples(st.integers(0, 8), st.sampled_from(good.labels)), max_size=1)):
        labels[at] = label
    ports = dict(zip(good.edges, good.ports or (), strict=True))
    numbered = (
        tuple(ports.get(edge, data.draw(st.integers(0, 3))) for edge in edges) if data.draw(st.booleans()) else None
    )
    graph = Graph(tuple(labels), edges, numbered)
    try:
        found = cells.from_graph(graph, "ab", 3, loose_only, differ)
    except InvalidArchitecture:
        return
    wiring = cells.graph(found, loose_only)
    assert Graph(wiring.labels, wiring.edges).key() == Graph(graph.labels, graph.edges).key()


def test_paths_run_from_inputs_to_the_output() -> None:
    cell = (((0, "a"), (1, "b")), ((2, "c"), (0, "d")))
    assert paths(cells.graph(cell, True)) == {
        ("input0", "a", "c", "output"): 1,
        ("input1", "b", "c", "output"): 1,
        ("input0", "d", "output"): 1,
    }


def orbits(nodes: int, operations: int) -> int:
    """Cells up to the order of nodes, counted without making them.

    Each wiring adds, over the renumberings that leave it alone, the labellings that the renumbering leaves alone,
    divided by the number of its renumberings (Burnside's lemma for partial renumberings).
    """
    total = Fraction(0)
    for wiring in product(*(list(combinations(range(p), 2)) for p in range(2, nodes + 2))):
        renumberings = fixed = 0
        for order in permutations(range(nodes)):
            number = {0: 0, 1: 1, **{i + 2: place + 2 for i, place in enumerate(order)}}
            moved = {order[i]: tuple(sorted((number[a], number[b]))) for i, (a, b) in enumerate(wiring)}
            if any(source >= place + 2 for place, pair in moved.items() for source in pair):
                continue
            renumberings += 1
            if all(moved[i] == pair for i, pair in enumerate(wiring)):
                follows = {(i, s): (order[i], number[s]) for i, pair in enumerate(wiring) for s in pair}
                seen: set[tuple[int, int]] = set()
                cycles = 0
                for slot in follows:
                    cycles += slot not in seen
                    while slot not in seen:
                        seen.add(slot)
                        slot = follows[slot]
                fixed += operations**cycles
        total += Fraction(fixed, renumberings)
    assert total.denominator == 1
    return int(total)


def test_the_number_of_cells_up_to_the_order_of_nodes() -> None:
    for nodes, operations, expected in ((2, 3, 207), (2, 7, 6027), (3, 2, 712)):
        standards = set()
        for wiring in product(*(list(combinations(range(p), 2)) for p in range(2, nodes + 2))):
            for chosen in product("abcdefg"[:operations], repeat=2 * nodes):
                slots = iter(chosen)
                standards.add(cells.standard(tuple(((a, next(slots)), (b, next(slots))) for a, b in wiring))[0])
        assert len(standards) == orbits(nodes, operations) == expected
    assert orbits(4, 7) == 382_128_166  # of the 1,037,664,180 cells of DARTS
