"""Recipes of NAS-Bench-NLP (Klyuchnikov et al. 2020, section 3): what they are, which are legal, how others are mended.

A recipe is a list of nodes in topological order, each an operation on earlier sources, and one node a recurrent state
that gives its new value. Sources are numbered: 0 is x, 1 to 3 are the old states h_prev_0 to h_prev_2, and from `FIRST`
on come the nodes. Every recipe that a `Recipe` of this package holds is legal once `fault` finds nothing:

* one to three states, each with a node of its own that gives its new value; h_new_0 is also the cell's output;
* `linear` reads two or three sources, a product or sum two, `blend` three, an activation one; no source twice;
* only `linear` reads x, whose width may differ from that of the states;
* x and every old state are read;
* every node lies on a way to a new state. A state that only feeds itself counts as alive: the benchmark trains it.

All recipes of the published table keep these rules. `linear` with three sources is written `linear3` in the decisions.
Sources of sums, products and linear maps have no order and are kept ascending; those of `blend`, gate·a + (1 - gate)·b,
keep theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

ARITY: Final = {
    "linear": 2,
    "linear3": 3,
    "blend": 3,
    "elementwise_prod": 2,
    "elementwise_sum": 2,
    "activation_tanh": 1,
    "activation_sigm": 1,
    "activation_leaky_relu": 1,
}
"""The operations and how many sources each reads."""
ACTIVATIONS: Final = ("activation_tanh", "activation_sigm", "activation_leaky_relu")
LINEAR: Final = ("linear", "linear3")
STATES: Final = 3
"""The largest number of recurrent states."""
INPUTS: Final = ("x", *(f"h_prev_{k}" for k in range(STATES)))
"""The names of the sources that are no nodes."""
X: Final = 0
FIRST: Final = len(INPUTS)
"""The number of the source that is node 0."""

Step: TypeAlias = tuple[str, tuple[int, ...]]
"""A node: its operation and its sources."""


class Recipe(NamedTuple):
    """A recurrent cell.

    Args:
        nodes: operations and their sources, in topological order.
        hidden: for each state, in order, the number of the node that gives its new value.
    """

    nodes: tuple[Step, ...]
    hidden: tuple[int, ...]

    @property
    def states(self) -> int:
        """How many recurrent states there are."""
        return len(self.hidden)


def step(operation: str, sources: Iterable[int]) -> Step:
    """A node, its sources ascending where their order means nothing."""
    return operation, tuple(sources) if operation == "blend" else tuple(sorted(sources))


def candidates(operation: str, states: int, position: int) -> list[int]:
    """The sources that a node at some position may read, ascending."""
    return [*range(X if operation in LINEAR else X + 1, 1 + states), *range(FIRST, FIRST + position)]


def unread(recipe: Recipe) -> set[int]:
    """Which of x and the old states no node reads."""
    return set(range(1 + recipe.states)).difference(*[sources for _, sources in recipe.nodes])


def pruned(recipe: Recipe) -> Recipe:
    """Without the nodes that no new state depends on."""
    numbers = set(range(FIRST)).union([FIRST + i for i in recipe.hidden], *[sources for _, sources in recipe.nodes])
    if len(numbers) == FIRST + len(recipe.nodes):  # every node is read, the last of a chain by a new state
        return recipe
    alive = set(recipe.hidden)
    for i in range(len(recipe.nodes) - 1, -1, -1):
        if i in alive:
            alive.update([source - FIRST for source in recipe.nodes[i][1] if source >= FIRST])
    if len(alive) == len(recipe.nodes):
        return recipe
    kept = sorted(alive)
    moved = dict(enumerate(range(FIRST))) | {FIRST + old: FIRST + new for new, old in enumerate(kept)}
    nodes = tuple((recipe.nodes[i][0], tuple([moved[s] for s in recipe.nodes[i][1]])) for i in kept)
    return Recipe(nodes, tuple([moved[FIRST + i] - FIRST for i in recipe.hidden]))


def legal(recipe: Recipe, most: int) -> bool:
    """Whether a recipe of at most `most` nodes, made of legal nodes and pruned, reads all that it must."""
    return len(recipe.nodes) <= most and not unread(recipe)


def mended(states: int, nodes: Sequence[Step], hidden: Sequence[int]) -> Recipe:
    """A legal recipe for anything; a legal recipe stays as it is.

    A source that does not exist, or is read already, gives way to the next one that will do; a node for which there are
    too few becomes linear. New states likewise. Dead nodes go. Old states that nobody reads go too, with the nodes that
    only they kept alive, except the first: as long as it or x is unread, node 0 becomes linear(x, h_prev_0).

    Args:
        states: how many are wanted, 1 to 3.
        nodes: at least one; three wanted sources each, of which an operation reads as many as it needs.
        hidden: three wanted nodes.
    """
    states = min(states, len(nodes))
    made = [_mended_step(*wanted, states, i) for i, wanted in enumerate(nodes)]
    recipe = pruned(Recipe(tuple(made), tuple(_distinct(hidden[:states], range(len(nodes))))))
    while missing := unread(recipe):
        if max(missing) > 1:
            recipe = pruned(without_state(recipe, max(missing) - 1))
        else:
            recipe = pruned(recipe._replace(nodes=(("linear", (X, 1)), *recipe.nodes[1:])))
    return recipe


def without_state(recipe: Recipe, state: int) -> Recipe:
    """Without a state whose old value nobody reads; later ones move up."""
    gone = 1 + state
    nodes = tuple((op, tuple([s - (gone < s < FIRST) for s in sources])) for op, sources in recipe.nodes)
    return Recipe(nodes, recipe.hidden[:state] + recipe.hidden[state + 1 :])


def _mended_step(operation: str, wanted: Sequence[int], states: int, position: int) -> Step:
    pool = candidates(operation, states, position)
    if len(pool) < ARITY[operation]:
        operation, pool = "linear", candidates("linear", states, position)
    return step(operation, _distinct(wanted[: ARITY[operation]], pool))


def _distinct(wanted: Sequence[int], pool: Sequence[int]) -> list[int]:
    """For each number the next of the pool, going round, that is not taken yet."""
    taken: list[int] = []
    for number in wanted:
        free = [other for other in pool if other not in taken]
        taken.append(next((other for other in free if other >= number), free[0]))
    return taken
