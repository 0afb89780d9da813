"""NAS-Bench-NLP (Klyuchnikov et al. 2020): recurrent cells given by recipes, graphs of simple operations on vectors.

What a recipe is and which are legal stands in `nas_spaces.nasbench_nlp_recipes`, how it is written in
`nas_spaces.nasbench_nlp_text`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, final

import numpy as np

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical, Decision, Integer, Value
from nas_core.errors import InvalidArchitecture, InvalidSpace
from nas_core.graph import Graph
from nas_core.network import Network, Task
from nas_core.space import Space, check_tokens
from nas_spaces import nasbench_nlp_text, nasbench_nlp_tokens
from nas_spaces.nasbench_nlp_network import build
from nas_spaces.nasbench_nlp_recipes import ARITY, FIRST, INPUTS, LINEAR, STATES, Recipe, mended
from nas_spaces.nasbench_nlp_steps import drawn, neighbours, stepped

NAMED: Final = {
    "rnn": '{"f":{"op":"linear","input":["x","h_prev_0"]},"h_new_0":{"op":"activation_tanh","input":["f"]}}',
    "gru": '{"r":{"op":"linear","input":["x","h_prev_0"]},"r_act":{"op":"activation_sigm","input":["r"]},'
    '"z":{"op":"linear","input":["x","h_prev_0"]},"z_act":{"op":"activation_sigm","input":["z"]},'
    '"rh":{"op":"elementwise_prod","input":["r_act","h_prev_0"]},"t":{"op":"linear","input":["x","rh"]},'
    '"t_act":{"op":"activation_tanh","input":["t"]},"h_new_0":{"op":"blend","input":["z_act","h_prev_0","t_act"]}}',
}
"""Cells that people know, as recipes: Elman's network and the gated recurrent unit; both are in the table."""

_FEWEST, _MOST = STATES, 60
_WIDEST = max(ARITY.values())
_HEAD = 2  # the decisions "states" and "nodes"
_SLOT = 1 + _WIDEST


@final
class NASBenchNLP(Space):
    """Recipes of at most `nodes` nodes and three states.

    Decisions: how many states and nodes there are; for each slot its operation and three sources, of which those beyond
    the operation's number are inactive, as are slots beyond the number of nodes; and for each state the slot that gives
    its new value. `project` makes a recipe of anything (`nasbench_nlp_recipes.mended`): it may have fewer nodes and
    states than were asked for, since what is dead is pruned. The order of slots is part of a member, though it does not
    change the function; members that differ in nothing else share a `graph_key`.

    The graph has the inputs, the nodes and one output; a `blend` has its sources at ports 0, 1 and 2, the output has
    the new states at the ports of their numbers, and all other edges have port 0.

    Args:
        nodes: the largest number of nodes; 21 by default, so that no graph has more than 26.

    Raises:
        InvalidSpace: `nodes` is not between 3 and 60.
    """

    name = "nasbench_nlp"
    graph_labels = (*INPUTS, *(op for op in ARITY if op != "linear3"), "output")

    def __init__(self, nodes: int = 21) -> None:
        if isinstance(nodes, bool) or not isinstance(nodes, int) or not _FEWEST <= nodes <= _MOST:
            raise InvalidSpace("nodes cannot be set", value=nodes, expected=f"a whole number from {_FEWEST} to {_MOST}")
        self.nodes = nodes
        self.most_nodes = FIRST + nodes + 1
        self.vocabulary = nasbench_nlp_tokens.vocabulary(nodes)
        self._sources = (*INPUTS, *(f"node_{i}" for i in range(nodes)))
        self._number = {name: number for number, name in enumerate(self._sources)}
        self.decisions = self._decisions()

    def _decisions(self) -> tuple[Decision, ...]:
        decisions: list[Decision] = [Integer("states", 1, STATES), Integer("nodes", 1, self.nodes)]
        for i in range(self.nodes):
            decisions.append(Categorical(f"node_{i}.op", tuple(ARITY)))
            sources = self._sources[: FIRST + i]
            decisions += [Categorical(f"node_{i}.input_{port}", sources) for port in range(_WIDEST)]
        return (*decisions, *(Categorical(f"h_new_{state}", self._sources[FIRST:]) for state in range(STATES)))

    def to_config(self) -> dict[str, Any]:
        """Name and the number of nodes."""
        return {"name": self.name, "nodes": self.nodes}

    def active(self, values: Sequence[Value | None]) -> tuple[bool, ...]:
        """Slots below the number of nodes, with as many sources as the operation reads; pointers of the states."""
        states, nodes = _whole(values[0]), _whole(values[1])
        shown = [True, True]
        for i in range(self.nodes):
            reads = ARITY[str(values[_HEAD + i * _SLOT])] if i < nodes else -1
            shown += [reads >= 0, *[port < reads for port in range(_WIDEST)]]
        return (*shown, *[state < states for state in range(STATES)])

    def project(self, values: Sequence[object]) -> Architecture:
        """The member that `nasbench_nlp_recipes.mended` makes of the nearest legal values."""
        self._check_length(values)
        near = [decision.nearest(value) for decision, value in zip(self.decisions, values, strict=True)]
        nodes = []
        for i in range(_whole(near[1])):
            operation, *sources = near[_HEAD + i * _SLOT : _HEAD + (i + 1) * _SLOT]
            nodes.append((str(operation), tuple([self._number[str(source)] for source in sources])))
        hidden = [self._number[str(value)] - FIRST for value in near[-STATES:]]
        return self.member(mended(_whole(near[0]), nodes, hidden))

    def member(self, recipe: Recipe) -> Architecture:
        """The member of a legal recipe.

        Raises:
            InvalidArchitecture: it has too many nodes.
        """
        if len(recipe.nodes) > self.nodes:
            raise InvalidArchitecture(
                "a recipe with too many nodes", value=len(recipe.nodes), expected=f"at most {self.nodes}"
            )
        values: list[Value | None] = [recipe.states, len(recipe.nodes)]
        for operation, sources in recipe.nodes:
            values += [operation, *[self._sources[s] for s in sources], *[None] * (_WIDEST - len(sources))]
        values += [None] * (_SLOT * (self.nodes - len(recipe.nodes)))
        values += [self._sources[FIRST + i] for i in recipe.hidden]
        return Architecture(self.name, (*values, *[None] * (STATES - recipe.states)))

    def recipe(self, a: Architecture) -> Recipe:
        """The recipe of a member."""
        nodes = []
        for i in range(_whole(a.values[1])):
            operation, *sources = a.values[_HEAD + i * _SLOT : _HEAD + (i + 1) * _SLOT]
            nodes.append((str(operation), tuple([self._number[str(s)] for s in sources if s is not None])))
        pointers = [self._number[str(value)] - FIRST for value in a.values[-STATES:] if value is not None]
        return Recipe(tuple(nodes), tuple(pointers))

    def sample(self, rng: np.random.Generator, n: int) -> list[Architecture]:
        """Members about as large as the published ones; the distribution is that of `nasbench_nlp_steps.drawn`."""
        return [self.member(drawn(rng, self.nodes)) for _ in range(n)]

    def neighbors(self, a: Architecture) -> list[Architecture]:
        """The members one step away; `nas_spaces.nasbench_nlp_steps` tells which steps there are."""
        return [self.member(other) for other in neighbours(self.recipe(a), self.nodes)]

    def mutate(self, a: Architecture, rng: np.random.Generator) -> Architecture:
        """One of the neighbours; one that several steps lead to is as many times as likely."""
        return self.member(stepped(rng, self.recipe(a), self.nodes))

    def text(self, a: Architecture) -> str:
        """The recipe as canonical JSON; see `nas_spaces.nasbench_nlp_text`."""
        return nasbench_nlp_text.write(self.recipe(a))

    def parse(self, text: str) -> Architecture:
        """The member that a published recipe describes; dead nodes are left out.

        Raises:
            InvalidArchitecture: it describes none, with the node that is wrong.
        """
        return self.member(nasbench_nlp_text.read(text))

    def named(self, name: str) -> Architecture:
        """A member of `NAMED`.

        Raises:
            InvalidArchitecture: there is none of that name.
        """
        if name not in NAMED:
            raise InvalidArchitecture("no such cell", value=name, expected="one of " + ", ".join(NAMED))
        return self.parse(NAMED[name])

    def graphs(self, a: Architecture) -> Mapping[str, Graph]:
        """{"cell": …}: x, the old states, the nodes in their order, the output."""
        recipe = self.recipe(a)
        place = [*range(1 + recipe.states), *[-1] * (STATES - recipe.states)]
        place += range(1 + recipe.states, 1 + recipe.states + len(recipe.nodes))
        rows = []
        for i, (operation, sources) in enumerate(recipe.nodes):
            for port, source in enumerate(sources):
                rows.append((place[source], place[FIRST + i], port if operation == "blend" else 0))
        output = 1 + recipe.states + len(recipe.nodes)
        rows += [(place[FIRST + i], output, state) for state, i in enumerate(recipe.hidden)]
        operations = ["linear" if op in LINEAR else op for op, _ in recipe.nodes]
        labels = (*INPUTS[: 1 + recipe.states], *operations, "output")
        return {"cell": Graph(labels, tuple([row[:2] for row in rows]), tuple([row[2] for row in rows]))}

    def from_graphs(self, graphs: Mapping[str, Graph]) -> Architecture:
        """The member with this graph, its slots in the order of the graph's nodes; dead nodes are left out.

        Raises:
            InvalidArchitecture: there is none.
        """
        if set(graphs) != {"cell"}:
            raise InvalidArchitecture(f"{self.name} has one graph", value=sorted(graphs), expected='"cell"')
        return self.member(nasbench_nlp_text.read_entries(_entries(graphs["cell"])))

    def graph_key(self, a: Architecture) -> str:
        """Equal for members that differ in the order of their slots alone."""
        return self.graphs(a)["cell"].key()

    def tokens(self, a: Architecture) -> tuple[int, ...]:
        """States; operation and sources of each node; `end`; pointers (`nas_spaces.nasbench_nlp_tokens`)."""
        return nasbench_nlp_tokens.write(self.recipe(a))

    def from_tokens(self, tokens: Sequence[int]) -> Architecture:
        """The member of a token sequence.

        Raises:
            InvalidArchitecture: naming the first token that may not stand where it does.
        """
        check_tokens(self, tokens)
        return self.member(nasbench_nlp_tokens.read(tokens))

    def legal_tokens(self, prefix: Sequence[int]) -> tuple[int, ...]:
        """The tokens that some member goes on with after a legal prefix."""
        return nasbench_nlp_tokens.legal(prefix, self.nodes)

    def network(self, a: Architecture, task: Task, seed: int = 0, *, hidden: int | None = None) -> Network:
        """One time step of the cell; see `nas_spaces.nasbench_nlp_network`.

        Args:
            a: the member.
            task: language; its input is the vector of one time step.
            seed: not read.
            hidden: width of the states and of the output; None for that of the input.

        Raises:
            InvalidNetwork: the task or the width does not fit.
        """
        return build(self.recipe(a), task, hidden)


def _whole(value: object) -> int:
    """A whole number; the annotation of values is wider than what these decisions hold."""
    return value  # type: ignore[return-value]


def _entries(graph: Graph) -> dict[str, dict[str, object]]:
    """A graph as an object of a recipe's text.

    Raises:
        InvalidArchitecture: its labels or ports are not those of a recipe.
    """
    outputs = [node for node, label in enumerate(graph.labels) if label == "output"]
    inputs = [label for label in graph.labels if label in INPUTS]
    if len(outputs) != 1 or graph.targets(outputs[0]) or len(set(inputs)) < len(inputs) or graph.ports is None:
        raise InvalidArchitecture("not the graph of a recipe", value=graph.labels, expected="one output, with ports")
    names = [label if label in INPUTS else f"node_{node}" for node, label in enumerate(graph.labels)]
    arriving: list[list[tuple[int, int]]] = [[] for _ in names]
    for (source, target), port in zip(graph.edges, graph.ports, strict=True):
        arriving[target].append((port, source))
    if [port for port, _ in arriving[outputs[0]]] != list(range(len(arriving[outputs[0]]))):
        raise InvalidArchitecture("new states must be at ports 0, 1, …", value=arriving[outputs[0]])
    for state, source in arriving[outputs[0]]:
        if names[source].startswith("h_new_") or graph.labels[source] in INPUTS:
            raise InvalidArchitecture("new states must be nodes of their own", value=names[source])
        names[source] = f"h_new_{state}"
    entries: dict[str, dict[str, object]] = {}
    for node, label in enumerate(graph.labels):
        if label in INPUTS and arriving[node]:
            raise InvalidArchitecture("an input reads nothing", value=label)
        if label in INPUTS or label == "output":
            continue
        ports = [port for port, _ in arriving[node]]
        if ports != (list(range(len(ports))) if label == "blend" else [0] * len(ports)):
            raise InvalidArchitecture(f"wrong ports at a {label}", value=ports)
        entries[names[node]] = {"op": label, "input": [names[source] for _, source in arriving[node]]}
    return entries
