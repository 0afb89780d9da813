"""Steps between recipes of NAS-Bench-NLP, and random recipes.

A step is one of these; nodes that it leaves dead go, and what breaks a rule is no step:

* another operation with as many sources; `linear` gains or loses its third;
* a node reads another source in place of one; two sources of a `blend` change places;
* another node gives a new state, or two states change theirs;
* a new node, an activation or a `linear` with x or an old state, comes between a source and a reader of it;
* a node goes, and what read it reads one of its sources;
* a state comes, read in place of some source; a state but the first goes, and what read it reads another old state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import combinations
from typing import Final, TypeAlias

import numpy as np

from nas_spaces.nasbench_nlp_recipes import (
    ACTIVATIONS,
    ARITY,
    FIRST,
    LINEAR,
    STATES,
    Recipe,
    Step,
    X,
    candidates,
    legal,
    mended,
    pruned,
    step,
    without_state,
)

STATE_CHANCES: Final = (0.47, 0.41, 0.12)
"""How often a random recipe has one, two and three states; nearly as in the published table."""
DRAFTS: Final = (5, 20)
"""Nodes of a draft: the smallest number beyond that of its states, the largest number."""
_MAIN = ("linear", "blend", "elementwise_prod", "elementwise_sum")
_MAIN_CHANCES = (3 / 6, 1 / 6, 1 / 6, 1 / 6)
_THREE_SOURCES = 0.2
_TRIES = 1000


Edit: TypeAlias = Callable[[], Recipe | None]
"""A step not yet made: what it makes of its recipe, dead nodes included; None where that breaks a rule."""


def neighbours(recipe: Recipe, most: int) -> list[Recipe]:
    """Every other recipe one step away, in a fixed order."""
    found = dict.fromkeys(_outcome(edit, recipe, most) for edit in _edits(recipe, most))
    return [other for other in found if other is not None]


def stepped(rng: np.random.Generator, recipe: Recipe, most: int) -> Recipe:
    """One of the neighbours: steps are drawn uniformly until one leads to another recipe.

    So a neighbour that several steps lead to is as many times as likely. Listing them all first takes 30 times as long.
    """
    edits = list(_edits(recipe, most))
    while True:
        if (other := _outcome(edits[int(rng.integers(len(edits)))], recipe, most)) is not None:
            return other


def _outcome(edit: Edit, recipe: Recipe, most: int) -> Recipe | None:
    """The recipe that a step leads to, if that is another one."""
    draft = edit()
    if draft is None:
        return None
    other = pruned(draft)
    return other if legal(other, most) and other != recipe else None


def _edits(recipe: Recipe, most: int) -> Iterator[Edit]:
    yield from _operations(recipe)
    yield from _rewirings(recipe)
    yield from _pointers(recipe)
    yield from _removals(recipe)
    yield from _states(recipe)
    if len(recipe.nodes) < most:
        yield from _additions(recipe)


def drawn(rng: np.random.Generator, most: int) -> Recipe:
    """A random recipe of at most `most` nodes.

    After the benchmark's own generator: states by `STATE_CHANCES`; a number of nodes, uniform between the bounds of
    `DRAFTS`; nodes: `linear` half of the time, of two (4 in 5) or three sources among x, old states and activations,
    with a random activation behind it, otherwise `blend`, product or sum of old states and nodes; new states, one of
    them the last node, the others uniform among the rest; pruning. What leaves x or an old state unread is drafted
    anew; after 1,000 such drafts one is mended. Recipes have 7 nodes in the mean, as the published ones.
    """
    states = 1 + int(np.searchsorted(np.cumsum(STATE_CHANCES)[:-1], rng.random(), side="right"))
    for _ in range(_TRIES):
        recipe = pruned(_draft(rng, states, most))
        if legal(recipe, most):
            return recipe
    nodes = [(op, (*sources, *[X] * (STATES - len(sources)))) for op, sources in recipe.nodes]
    return mended(recipe.states, nodes, recipe.hidden)


def _draft(rng: np.random.Generator, states: int, most: int) -> Recipe:
    smallest, largest = DRAFTS
    size = int(rng.integers(min(states + smallest, most), min(largest, most) + 1))
    nodes: list[Step] = []
    activations: list[int] = []
    while len(nodes) < size:
        operation = _MAIN[int(rng.choice(len(_MAIN), p=_MAIN_CHANCES))]
        if operation == "linear":
            pool = [*range(1 + states), *activations]
            operation = "linear3" if rng.random() < _THREE_SOURCES and len(pool) > 2 else "linear"
        else:
            pool = candidates(operation, states, len(nodes))
        if len(pool) < ARITY[operation]:
            continue
        chosen = rng.choice(len(pool), ARITY[operation], replace=False)
        nodes.append(step(operation, [pool[int(i)] for i in chosen]))
        if operation in LINEAR and len(nodes) < size:
            activations.append(FIRST + len(nodes))
            nodes.append((ACTIVATIONS[int(rng.integers(len(ACTIVATIONS)))], (FIRST + len(nodes) - 1,)))
    others = rng.choice(len(nodes) - 1, states - 1, replace=False).tolist()
    hidden = rng.permutation([*others, len(nodes) - 1]).tolist()
    return Recipe(tuple(nodes), tuple(hidden))


def _operations(recipe: Recipe) -> Iterator[Edit]:
    for i, (operation, sources) in enumerate(recipe.nodes):
        for other in ARITY:
            if other != operation and ARITY[other] == len(sources) and (X not in sources or other in LINEAR):
                yield partial(_with_node, recipe, i, other, sources)
        if operation == "linear":
            for source in candidates(operation, recipe.states, i):
                if source not in sources:
                    yield partial(_with_node, recipe, i, "linear3", (*sources, source))
        elif operation == "linear3":
            for pair in combinations(sources, 2):
                yield partial(_with_node, recipe, i, "linear", pair)


def _rewirings(recipe: Recipe) -> Iterator[Edit]:
    for i, (operation, sources) in enumerate(recipe.nodes):
        others = [source for source in candidates(operation, recipe.states, i) if source not in sources]
        for at in range(len(sources)):
            for source in others:
                yield partial(_with_node, recipe, i, operation, _replaced(sources, at, source))
        if operation == "blend":
            for at, other in combinations(range(3), 2):
                swapped = _replaced(_replaced(sources, at, sources[other]), other, sources[at])
                yield partial(_with_node, recipe, i, operation, swapped)


def _pointers(recipe: Recipe) -> Iterator[Edit]:
    for state, old in enumerate(recipe.hidden):
        for i in range(len(recipe.nodes)):
            if i not in recipe.hidden:
                yield partial(_with_hidden, recipe, _replaced(recipe.hidden, state, i))
        for other in range(state):
            exchanged = _replaced(recipe.hidden, state, recipe.hidden[other])
            yield partial(_with_hidden, recipe, _replaced(exchanged, other, old))


def _additions(recipe: Recipe) -> Iterator[Edit]:
    for i, (_, sources) in enumerate(recipe.nodes):
        for source in sources:
            for node in _new_nodes(source, recipe.states):
                yield partial(_between, recipe, i, source, node)
    for state, i in enumerate(recipe.hidden):
        for node in _new_nodes(FIRST + i, recipe.states):
            yield partial(_before_state, recipe, state, node)


def _removals(recipe: Recipe) -> Iterator[Edit]:
    for i, (_, sources) in enumerate(recipe.nodes):
        for source in sources:
            yield partial(_read_instead, recipe, FIRST + i, source)


def _states(recipe: Recipe) -> Iterator[Edit]:
    if recipe.states < STATES:
        pointers = [i for i in range(len(recipe.nodes)) if i not in recipe.hidden]
        for i, (_, sources) in enumerate(recipe.nodes):
            for at in range(len(sources)):
                for pointer in pointers:
                    yield partial(_with_state, recipe, i, at, pointer)
    for state in range(1, recipe.states):
        for other in range(1, 1 + recipe.states):
            if other != 1 + state:
                yield partial(_state_gone, recipe, state, other)


def _with_node(recipe: Recipe, i: int, operation: str, sources: tuple[int, ...]) -> Recipe:
    """With another node in place of one."""
    return Recipe((*recipe.nodes[:i], step(operation, sources), *recipe.nodes[i + 1 :]), recipe.hidden)


def _with_hidden(recipe: Recipe, hidden: tuple[int, ...]) -> Recipe:
    return Recipe(recipe.nodes, hidden)


def _between(recipe: Recipe, i: int, source: int, node: Step) -> Recipe:
    """With a new node, which node `i` reads in place of a source."""
    grown = _inserted(recipe, i, node)
    operation, sources = recipe.nodes[i]
    return _with_node(grown, i + 1, operation, tuple([FIRST + i if s == source else s for s in sources]))


def _before_state(recipe: Recipe, state: int, node: Step) -> Recipe:
    """With a new node, which gives a state in place of the node that it reads."""
    i = recipe.hidden[state]
    grown = _inserted(recipe, i + 1, node)
    return _with_hidden(grown, _replaced(grown.hidden, state, i + 1))


def _new_nodes(source: int, states: int) -> Iterator[Step]:
    if source != X:
        for activation in ACTIVATIONS:
            yield activation, (source,)
    for other in range(1 + states):
        if other != source:
            yield step("linear", (other, source))


def _inserted(recipe: Recipe, at: int, node: Step) -> Recipe:
    """With one more node, which nothing reads yet."""
    moved = [(op, tuple([s + (s >= FIRST + at) for s in sources])) for op, sources in recipe.nodes]
    return Recipe((*moved[:at], node, *moved[at:]), tuple([i + (i >= at) for i in recipe.hidden]))


def _with_state(recipe: Recipe, i: int, at: int, pointer: int) -> Recipe:
    """With one more state, read as source `at` of node `i` and given by node `pointer`."""
    operation, sources = recipe.nodes[i]
    read = _with_node(recipe, i, operation, _replaced(sources, at, 1 + recipe.states))
    return _with_hidden(read, (*recipe.hidden, pointer))


def _state_gone(recipe: Recipe, state: int, other: int) -> Recipe | None:
    """Without a state; what read it reads another source."""
    bypassed = _read_instead(recipe, 1 + state, other)
    return None if bypassed is None else without_state(bypassed, state)


def _read_instead(recipe: Recipe, gone: int, source: int) -> Recipe | None:
    """Whatever reads one source reads another; None where that is not legal."""
    nodes = []
    for operation, sources in recipe.nodes:
        if gone in sources:
            if source in sources or (source == X and operation not in LINEAR):
                return None
            sources = tuple([source if s == gone else s for s in sources])
        nodes.append(step(operation, sources))
    if gone - FIRST in recipe.hidden and (source < FIRST or source - FIRST in recipe.hidden):
        return None
    hidden = [source - FIRST if i == gone - FIRST else i for i in recipe.hidden]
    return Recipe(tuple(nodes), tuple(hidden))


def _replaced(numbers: tuple[int, ...], at: int, number: int) -> tuple[int, ...]:
    return (*numbers[:at], number, *numbers[at + 1 :])
