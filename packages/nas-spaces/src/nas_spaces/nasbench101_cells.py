"""NAS-Bench-101 cells as (wiring, operations): making any of them legal, and the steps from one to another.

`operations` are those of vertices 1, 2, …; before a cell is legal there may be more of them than inner vertices.
"""

from __future__ import annotations

from functools import cache, lru_cache
from itertools import combinations, product
from typing import NamedTuple, TypeAlias

from nas_spaces import nasbench101_wirings as wirings
from nas_spaces.nasbench101_wirings import MOST_EDGES, MOST_VERTICES, OPERATIONS, Edge, Operations, Wiring

Cell: TypeAlias = tuple[Wiring, Operations]


@cache
def pairs(vertices: int) -> tuple[Edge, ...]:
    """All edges that so many vertices can have, sorted."""
    return tuple(combinations(range(vertices), 2))


def connected(wiring: Wiring, operations: Operations, output: int) -> Cell:
    """What lies on paths to the output; the first vertex that one leads from is joined to the input where none does."""
    alive = wirings.alive(wiring, output)
    for vertex in range(1, output + 1):
        if alive:
            break
        alive = wirings.alive(wiring | wirings.from_edges([(0, vertex)]), output)
        if alive:
            wiring |= wirings.from_edges([(0, vertex)])
    return wirings.kept(wiring, alive), tuple([operations[vertex - 1] for vertex in alive[1:-1]])


def trimmed(wiring: Wiring, operations: Operations, most: int = MOST_EDGES) -> Cell:
    """A connected cell without its last dispensable edges, until there are at most so many.

    Where every edge is its source's only way out or its target's only way in, the last edge goes and what dies with it.
    """
    while len(edges := wirings.edges_of(wiring)) > most:
        spare = wirings.removable(wiring) or edges
        rest = wiring ^ wirings.from_edges([spare[-1]])
        wiring, operations = connected(rest, operations, len(operations) + 1)
    return wiring, operations


def resized(wiring: Wiring, operations: Operations, vertices: int, given: Operations) -> Cell:
    """A legal cell of exactly so many vertices, 6 or 7.

    From a larger one the last inner vertex goes, and what dies with it. A smaller one gets a vertex before the output,
    put into its last edge, with the operation `given` for its place; of nine edges the last dispensable one goes first.
    """
    while (output := len(operations) + 1) > vertices - 1:
        gone = wirings.from_edges(edge for edge in wirings.edges_of(wiring) if output - 1 in edge)
        wiring, operations = connected(wiring ^ gone, operations, output)
    while (output := len(operations) + 1) < vertices - 1:
        wiring, operations = trimmed(wiring, operations, MOST_EDGES - 1)
        source, _ = wirings.edges_of(wiring)[-1]
        wiring = wirings.inserted(wiring, output) ^ wirings.from_edges([(source, output + 1)])
        wiring |= wirings.from_edges([(source, output), (output, output + 1)])
        operations = (*operations, given[output - 1])
    return wiring, operations


class Step(NamedTuple):
    """A way from one cell to another; it may lead to what is no legal cell.

    "flip": the edge from vertex i to vertex j goes or comes; "move": it becomes the edge from k to l, which shares an
    end with it; "change": inner vertex i (from 1) gets the j-th next operation; "grow": a vertex with operation k comes
    with an edge from i and one to j.
    """

    kind: str
    i: int
    j: int
    k: int = 0
    l: int = 0  # noqa: E741


@cache
def steps(vertices: int, fixed: bool) -> tuple[Step, ...]:
    """Every step from a cell of so many vertices.

    Args:
        vertices: of the cell.
        fixed: whether the number of vertices must stay: no vertex is added then, but an end of an edge may move.
    """
    ordered = [(i, j) for i in range(vertices - 1) for j in range(1, vertices) if i != j]
    found = [Step("flip", i, j) for i, j in ordered]
    found += [Step("change", vertex, by) for vertex in range(1, vertices - 1) for by in range(1, OPERATIONS)]
    if fixed:
        both = product(pairs(vertices), ordered)
        found += [Step("move", *edge, *other) for edge, other in both if (edge[0] == other[0]) != (edge[1] == other[1])]
    elif vertices < MOST_VERTICES:
        found += [Step("grow", i, j, k) for i, j in ordered for k in range(OPERATIONS)]
    return tuple(found)


def stepped(cell: Cell, step: Step, fixed: bool) -> Cell | None:
    """The standard form of what a step from a legal cell leads to, pruned; None where that is no legal cell."""
    wiring, operations = cell
    if step.kind == "change":
        changed = (operations[step.i - 1] + step.j) % OPERATIONS
        return wirings.standard_form(wiring, (*operations[: step.i - 1], changed, *operations[step.i :]))
    rewired, order = _rewired(wiring, len(operations) + 2, step)
    if (fixed and len(order) != len(operations) + 2) or not wirings.legal(rewired):
        return None
    if step.kind == "grow":
        operations = (*operations, step.k)
    return wirings.standard_form(rewired, tuple([operations[vertex - 1] for vertex in order[1:-1]]))


@lru_cache(maxsize=1 << 16)
def _rewired(wiring: Wiring, vertices: int, step: Step) -> tuple[Wiring, tuple[int, ...]]:
    """The wiring after a step, pruned, and the old numbers of its vertices; nothing where an edge would close a cycle.

    A new vertex has the old number of the output, which nothing else needs.
    """
    edges = set(wirings.edges_of(wiring))
    output = vertices - 1
    if step.kind == "flip":
        edges ^= {(step.i, step.j)}
    elif step.kind == "move":
        if (step.i, step.j) not in edges or (step.k, step.l) in edges:
            return 0, ()
        edges = edges - {(step.i, step.j)} | {(step.k, step.l)}
    else:
        edges = {(i, j + (j == output)) for i, j in edges} | {(step.i, output), (output, step.j + (step.j == output))}
        output = vertices
    if len(edges) > MOST_EDGES:  # nothing dies where an edge comes
        return 0, ()
    if all([i < j for i, j in edges]):
        forward = wirings.from_edges(edges)
        alive = wirings.alive(forward, output)
        return wirings.kept(forward, alive), alive
    return _numbered(edges, output)


def _numbered(edges: set[Edge], output: int) -> tuple[Wiring, tuple[int, ...]]:
    """The wiring of what lies on paths from 0 to the output, and its vertices in their new order."""
    alive = _reached(0, edges) & _reached(output, {(j, i) for i, j in edges})
    waiting, order = sorted(alive), []
    while waiting:
        blocked = {j for i, j in edges if i in waiting}
        ready = [vertex for vertex in waiting if vertex not in blocked]
        if not ready:
            return 0, ()
        order.append(ready[0])
        waiting.remove(ready[0])
    place = {vertex: i for i, vertex in enumerate(order)}
    return wirings.from_edges((place[i], place[j]) for i, j in edges if i in place and j in place), tuple(order)


def _reached(start: int, edges: set[Edge]) -> set[int]:
    found, waiting = {start}, [start]
    while waiting:
        here = waiting.pop()
        new = {j for i, j in edges if i == here} - found
        found |= new
        waiting.extend(new)
    return found
