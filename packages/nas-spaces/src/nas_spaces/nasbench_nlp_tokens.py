"""Recipes of NAS-Bench-NLP as token sequences, and which token may come next.

A sequence is the number of states; for every node its operation and its sources; `end`; and the node of every new
state. What may come next is what some member goes on with: every node must be read or be a new state, x and the old
states must be read, sources that have no order ascend.

Notation
    open    sources that must be read yet: x and old states, nodes that nobody reads
    left    nodes that may be added still
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from nas_spaces.nasbench_nlp_recipes import ARITY, FIRST, INPUTS, STATES, Recipe, Step, candidates

_OPERATIONS = tuple(ARITY)
_END = STATES
_OPERATION = _END + 1
_SOURCE = _OPERATION + len(_OPERATIONS)
_NUMBER = {operation: _OPERATION + i for i, operation in enumerate(_OPERATIONS)}


def vocabulary(most: int) -> tuple[str, ...]:
    """The tokens of recipes of at most `most` nodes."""
    states = [f"states_{k + 1}" for k in range(STATES)]
    return (*states, "end", *_OPERATIONS, *INPUTS, *(f"node_{i}" for i in range(most)))


def write(recipe: Recipe) -> tuple[int, ...]:
    """The token numbers of a recipe."""
    tokens = [recipe.states - 1]
    for operation, sources in recipe.nodes:
        tokens += [_NUMBER[operation], *[_SOURCE + source for source in sources]]
    return (*tokens, _END, *[_SOURCE + FIRST + i for i in recipe.hidden])


class _Partial(NamedTuple):
    """What a legal prefix says."""

    states: int
    nodes: tuple[Step, ...]
    operation: str | None
    sources: tuple[int, ...]
    hidden: tuple[int, ...] | None


def read(tokens: Sequence[int]) -> Recipe:
    """The recipe of a sequence that `legal` led to."""
    partial = _partial(tokens)
    return Recipe(partial.nodes, partial.hidden or ())


def legal(prefix: Sequence[int], most: int) -> tuple[int, ...]:
    """The tokens that may follow a legal prefix; () where it is complete."""
    if not prefix:
        return tuple(range(min(STATES, most)))
    partial = _partial(prefix)
    if partial.hidden is not None:
        return _legal_pointers(partial)
    if partial.operation is not None:
        return tuple([_SOURCE + source for source in _legal_sources(partial, partial.operation, most)])
    unread = _open(partial.states, partial.nodes)
    tokens = []
    if not any([source < FIRST for source in unread]) and len(unread) <= partial.states <= len(partial.nodes):
        tokens.append(_END)
    if len(partial.nodes) < most:
        begun = [partial._replace(operation=operation) for operation in _OPERATIONS]
        tokens += [_NUMBER[b.operation or ""] for b in begun if _legal_sources(b, b.operation or "", most)]
    return tuple(tokens)


def _partial(tokens: Sequence[int]) -> _Partial:
    states, at = tokens[0] + 1, 1
    nodes: list[Step] = []
    while at < len(tokens) and tokens[at] != _END:
        operation = _OPERATIONS[tokens[at] - _OPERATION]
        sources = tuple([token - _SOURCE for token in tokens[at + 1 : at + 1 + ARITY[operation]]])
        if len(sources) < ARITY[operation]:
            return _Partial(states, tuple(nodes), operation, sources, None)
        nodes.append((operation, sources))
        at += 1 + ARITY[operation]
    hidden = tuple([token - _SOURCE - FIRST for token in tokens[at + 1 :]]) if at < len(tokens) else None
    return _Partial(states, tuple(nodes), None, (), hidden)


def _open(states: int, nodes: Sequence[Step]) -> set[int]:
    every = {*range(1 + states), *range(FIRST, FIRST + len(nodes))}
    return every.difference(*[sources for _, sources in nodes])


def _legal_pointers(partial: _Partial) -> tuple[int, ...]:
    """Nodes that are no new state yet; all that nobody reads must become one."""
    hidden = partial.hidden or ()
    remaining = partial.states - len(hidden)
    if remaining == 0:
        return ()
    due = [source for source in _open(partial.states, partial.nodes) if source - FIRST not in hidden]
    free = [FIRST + i for i in range(len(partial.nodes)) if i not in hidden]
    return tuple([_SOURCE + source for source in (sorted(due) if len(due) == remaining else free)])


def _legal_sources(partial: _Partial, operation: str, most: int) -> list[int]:
    """The next sources of a node that is begun, after which the recipe can be finished."""
    states, position, chosen = partial.states, len(partial.nodes), partial.sources
    unread = _open(states, partial.nodes) - set(chosen)
    pool = [source for source in candidates(operation, states, position) if source not in chosen]
    if operation != "blend" and chosen:
        pool = [source for source in pool if source > chosen[-1]]
    needed = ARITY[operation] - len(chosen) - 1
    found = []
    for source in pool:
        later = [s for s in pool if s != source and (operation == "blend" or s > source)]
        if len(later) < needed:
            continue
        still = unread - {source}
        taken = [s for s in later if s in still and s < FIRST] + [s for s in later if s in still and s >= FIRST]
        if _can_finish(still.difference(taken[:needed]), states, position + 1, most):
            found.append(source)
    return found


def _can_finish(unread: Collection[int], states: int, nodes: int, most: int) -> bool:
    """Whether a recipe can be finished.

    Args:
        unread: what must be read yet, without the node just made, which is unread too.
        states: how many there are.
        nodes: how many there are, with the node just made.
        most: how many there may be.

    A further node takes at most three sources off the list and is itself added to it, so that the list shrinks by two;
    `linear3` reads any sources, and where three are not left, smaller operations finish the rest.
    """
    inputs = len([source for source in unread if source < FIRST])
    further = max(-(-(len(unread) + 1 - states) // 2), -(-inputs // 3), states - nodes)
    return further <= most - nodes
