"""Recurrent cells of ENAS (Pham et al. 2018) and NAO (Luo et al. 2018), of BONAS's LSTM-12K, and DARTS's.

A cell has B nodes. Node 0 reads the input and the old state; each further node reads one earlier node and applies an
activation; the new state is the mean of the loose ends, the nodes that nobody reads. What a node computes stands in
`nas_spaces.recurrent_network`, which cells are twins in `nas_spaces.recurrent_trees`.

What the texts leave open, and what holds here:

* Node 0's activation. ENAS and NAO's text choose it; NAO's 22 tokens are 11 pairs of source and activation and leave it
  out, and its code and DARTS's fix tanh. Tanh here, or a decision with `first=True`.
* BONAS: "the same setting as ENAS", an adjacency matrix and a list of operations, at most 8 nodes. Read as these cells
  with two to eight nodes, node 0 counted: `Recurrent(nodes=8, variable=True)`.
* DARTS averages all nodes but node 0, whether they are read or not, and has no decision about node 0: its cells are
  members with `output="all"` and 9 nodes. With loose ends the same choices are another cell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from math import factorial
from typing import Any, Final, final

import numpy as np

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical, Decision, Integer, Value
from nas_core.errors import InvalidArchitecture, InvalidSpace
from nas_core.graph import Graph
from nas_core.network import Network, Task
from nas_core.space import Space, check_tokens
from nas_spaces import recurrent_trees
from nas_spaces.recurrent_network import build

ACTIVATIONS: Final = ("tanh", "relu", "identity", "sigmoid")
FEWEST: Final = 2
NAMED: Final = {
    "enas": (12, "loose", "0:tanh 1:tanh 1:relu 3:tanh 3:tanh 3:relu 4:relu 7:relu 8:relu 8:relu 8:relu"),
    "darts-v1": (9, "all", "0:relu 1:relu 2:tanh 3:relu 4:relu 1:identity 5:relu 1:relu"),
    "darts-v2": (9, "all", "0:sigmoid 1:relu 1:relu 1:identity 2:tanh 5:sigmoid 3:tanh 5:relu"),
}
"""Published cells found on Penn Treebank: number of nodes, what is averaged, text; node 0 has tanh in all of them."""

_MOST = 64
_OUTPUTS = ("loose", "all")
_ENTRY = re.compile(r"(0|[1-9][0-9]?):(" + "|".join(ACTIVATIONS) + ")")
_INPUTS = ("x", "h_prev")
_Nodes = tuple[tuple[int, str], ...]


@final
class Recurrent(Space):
    """Cells of B nodes, (B - 1)! · 4^(B-1) of them: 167,423,193,907,200 for B = 12, in 8,244,075,700 classes of twins.

    Text: source and activation of every node but the first, `0:tanh 1:relu …`, before them the activation of node 0
    where it is a decision. The graph has x, h_prev, the nodes, each labelled with its activation, and an output that
    reads the nodes that are averaged. Twins are the members with isomorphic graphs.

    Args:
        nodes: B.
        variable: cells may have fewer nodes, 2 at least.
        first: the activation of node 0 is a decision; tanh otherwise.
        output: "loose" averages the nodes that nobody reads, "all" all but node 0.

    Raises:
        InvalidSpace: an option cannot be set so.
    """

    name = "recurrent"
    graph_labels = (*_INPUTS, *ACTIVATIONS, "output")
    twin_rules = recurrent_trees.RULES

    def __init__(self, nodes: int = 12, variable: bool = False, first: bool = False, output: str = "loose") -> None:
        if isinstance(nodes, bool) or not isinstance(nodes, int) or not FEWEST <= nodes <= _MOST:
            raise InvalidSpace("nodes cannot be set", value=nodes, expected=f"a whole number from {FEWEST} to {_MOST}")
        for option, value in (("variable", variable), ("first", first)):
            if not isinstance(value, bool):
                raise InvalidSpace(f"{option} cannot be set", value=value, expected="true or false")
        if output not in _OUTPUTS:
            raise InvalidSpace("output cannot be set", value=output, expected=" or ".join(_OUTPUTS))
        self.nodes, self.variable, self.first, self.output = nodes, variable, first, output
        self.most_nodes = len(_INPUTS) + nodes + 1
        self.vocabulary = ("end", *(f"node_{i}" for i in range(nodes - 1)), *ACTIVATIONS)
        self._head = variable + first
        self.decisions = self._decisions()

    def _decisions(self) -> tuple[Decision, ...]:
        decisions: list[Decision] = [Integer("nodes", FEWEST, self.nodes)] if self.variable else []
        if self.first:
            decisions.append(Categorical("node_0.activation", ACTIVATIONS))
        for j in range(1, self.nodes):
            decisions.append(Categorical(f"node_{j}.source", tuple(range(j))))
            decisions.append(Categorical(f"node_{j}.activation", ACTIVATIONS))
        return tuple(decisions)

    @property
    def size(self) -> int:
        """Number of members."""
        fewest = FEWEST if self.variable else self.nodes
        choices = len(ACTIVATIONS)
        cells: int = sum(factorial(b - 1) * choices ** (b - 1) for b in range(fewest, self.nodes + 1))
        return cells * choices if self.first else cells

    @property
    def classes(self) -> int:
        """Number of classes of twins, by the formula of `nas_spaces.recurrent_trees`."""
        fewest = FEWEST if self.variable else self.nodes
        sizes = range(fewest, self.nodes + 1)
        return sum(recurrent_trees.classes(b, len(ACTIVATIONS), not self.first) for b in sizes)

    def to_config(self) -> dict[str, Any]:
        """Name and options."""
        options = {"nodes": self.nodes, "variable": self.variable, "first": self.first, "output": self.output}
        return {"name": self.name, **options}

    def active(self, values: Sequence[Value | None]) -> tuple[bool, ...]:
        """All, or those of the nodes that there are."""
        nodes: Any = values[0] if self.variable else self.nodes
        return tuple([i < self._head + 2 * (nodes - 1) for i in range(len(self.decisions))])

    def cell(self, a: Architecture) -> tuple[str, _Nodes]:
        """The activation of node 0, and source and activation of each further node."""
        values: Any = [value for value in a.values[self._head :] if value is not None]
        first: Any = a.values[self._head - 1] if self.first else ACTIVATIONS[0]
        return first, tuple(zip(values[::2], values[1::2], strict=True))

    def member(self, first: str, nodes: Sequence[tuple[int, str]]) -> Architecture:
        """The member with these activations and sources.

        Raises:
            InvalidArchitecture: there is none.
        """
        if len(nodes) + 1 != self.nodes and not (self.variable and FEWEST <= len(nodes) + 1 <= self.nodes):
            expected = f"{FEWEST} to {self.nodes}" if self.variable else str(self.nodes)
            raise InvalidArchitecture("a cell with a wrong number of nodes", value=len(nodes) + 1, expected=expected)
        if not self.first and first != ACTIVATIONS[0]:
            raise InvalidArchitecture("node 0 has no other activation here", value=first, expected=ACTIVATIONS[0])
        head: list[Value] = [len(nodes) + 1] if self.variable else []
        head += [first] if self.first else []
        pairs: list[Value] = [value for node in nodes for value in node]
        return self.canonical([*head, *pairs, *[None] * (2 * (self.nodes - 1 - len(nodes)))])

    def outputs(self, a: Architecture) -> tuple[int, ...]:
        """The nodes whose mean is the new state."""
        _, nodes = self.cell(a)
        if self.output == "all":
            return tuple(range(1, len(nodes) + 1))
        return tuple(sorted({*range(len(nodes) + 1)}.difference([source for source, _ in nodes])))

    def enumerate(self) -> Iterator[Architecture]:
        """All members, small cells first; the last decision varies fastest."""
        for nodes in range(FEWEST if self.variable else self.nodes, self.nodes + 1):
            active = self.decisions[self.variable : self._head + 2 * (nodes - 1)]
            missing = (None,) * (2 * (self.nodes - nodes))
            for values in product(*[decision.choices for decision in active if isinstance(decision, Categorical)]):
                yield Architecture(self.name, (*((nodes,) if self.variable else ()), *values, *missing))

    def sample(self, rng: np.random.Generator, n: int) -> list[Architecture]:
        """As NAO draws: sources and activations uniform and independent; the number of nodes likewise."""
        return super().sample(rng, n)

    def neighbors(self, a: Architecture) -> list[Architecture]:
        """Another source or activation of one node; a leaf more or less where cells may have fewer nodes."""
        first, nodes = self.cell(a)
        found: dict[Architecture, None] = {}
        start = 1 if self.variable else 0
        for i, (decision, value) in enumerate(zip(self.decisions[start:], a.values[start:], strict=True), start):
            for other in decision.others(value) if value is not None else ():
                found[Architecture(self.name, (*a.values[:i], other, *a.values[i + 1 :]))] = None
        if self.variable and len(nodes) + 1 < self.nodes:
            for pair in product(range(len(nodes) + 1), ACTIVATIONS):
                found[self.member(first, (*nodes, pair))] = None
        if self.variable and len(nodes) + 1 > FEWEST:
            read = {source for source, _ in nodes}
            for j in range(1, len(nodes) + 1):
                if j not in read:
                    rest = [(source - (source > j), f) for source, f in (*nodes[: j - 1], *nodes[j:])]
                    found[self.member(first, rest)] = None
        found.pop(a, None)
        return list(found)

    def text(self, a: Architecture) -> str:
        """`0:tanh 1:relu …`."""
        first, nodes = self.cell(a)
        return " ".join([*([first] if self.first else []), *[f"{source}:{f}" for source, f in nodes]])

    def parse(self, text: str) -> Architecture:
        """The member that a text describes.

        Raises:
            InvalidArchitecture: naming the node that is wrong.
        """
        words = text.split(" ") if isinstance(text, str) else []
        form = ("tanh " if self.first else "") + "0:tanh 1:relu …"
        if not words or len(words) > _MOST:
            raise InvalidArchitecture("not the text of a recurrent cell", value=text, expected=form)
        first = words.pop(0) if self.first else ACTIVATIONS[0]
        if first not in ACTIVATIONS:
            raise InvalidArchitecture(
                "node 0 has no such activation", value=first, expected="one of " + ", ".join(ACTIVATIONS)
            )
        nodes = []
        for j, word in enumerate(words, start=1):
            match = _ENTRY.fullmatch(word)
            if match is None or int(match[1]) >= j:
                raise InvalidArchitecture(
                    f"node {j} is no source and activation",
                    value=word,
                    expected=f"0 to {j - 1}, a colon and one of {', '.join(ACTIVATIONS)}",
                )
            nodes.append((int(match[1]), match[2]))
        return self.member(first, nodes)

    def named(self, name: str) -> Architecture:
        """A cell of `NAMED`; the space must have its number of nodes and its output.

        Raises:
            InvalidArchitecture: there is none of that name in this space.
        """
        if name not in NAMED:
            raise InvalidArchitecture("no such cell", value=name, expected="one of " + ", ".join(NAMED))
        nodes, output, text = NAMED[name]
        if output != self.output or nodes > self.nodes or (nodes < self.nodes and not self.variable):
            raise InvalidArchitecture(
                f"the cell {name!r} is none of this space",
                value=self.to_config(),
                expected=f"nodes = {nodes}, output = {output!r}",
            )
        return self.parse(f"{ACTIVATIONS[0]} {text}" if self.first else text)

    def graphs(self, a: Architecture) -> Mapping[str, Graph]:
        """{"cell": …}: x, h_prev, the nodes, output."""
        first, nodes = self.cell(a)
        start = len(_INPUTS)
        output = start + len(nodes) + 1
        edges = [(i, start) for i in range(start)]
        edges += [(start + source, start + j) for j, (source, _) in enumerate(nodes, start=1)]
        edges += [(start + j, output) for j in self.outputs(a)]
        return {"cell": Graph((*_INPUTS, first, *[f for _, f in nodes], "output"), tuple(edges))}

    def from_graphs(self, graphs: Mapping[str, Graph]) -> Architecture:
        """The member with this graph, its nodes numbered in the order of the graph's.

        Raises:
            InvalidArchitecture: there is none.
        """
        if set(graphs) != {"cell"}:
            raise InvalidArchitecture(f"{self.name} has one graph", value=sorted(graphs), expected='"cell"')
        graph = graphs["cell"]
        inner = [i for i, label in enumerate(graph.labels) if label in ACTIVATIONS]
        number = {node: j for j, node in enumerate(inner)}
        if not inner or sorted(graph.labels[i] for i in range(len(graph.labels)) if i not in number) != sorted(
            (*_INPUTS, "output")
        ):
            raise InvalidArchitecture("not the graph of a recurrent cell", value=graph.labels)
        nodes = []
        for i in inner[1:]:
            sources = [number.get(source, -1) for source in graph.sources(i)]
            if len(sources) != 1 or sources[0] < 0:
                raise InvalidArchitecture("a node must read one other node", value=graph.sources(i))
            nodes.append((sources[0], graph.labels[i]))
        a = self.member(graph.labels[inner[0]], nodes)
        if self.graphs(a)["cell"].key() != graph.key():
            raise InvalidArchitecture(
                "not the wiring of a recurrent cell",
                value=graph.edges,
                expected="the first node to read x and h_prev, and the output the nodes that are averaged",
            )
        return a

    def graph_key(self, a: Architecture) -> str:
        """Equal for members that differ in the order of their nodes alone."""
        return self.graphs(a)["cell"].key()

    def twin_key(self, a: Architecture) -> str:
        """Equal for members that the rules of `nas_spaces.recurrent_trees` turn into each other."""
        return recurrent_trees.key(*self.cell(a))

    def symmetric_twins(self, a: Architecture) -> list[Architecture]:
        """The twins by one exchange of numbers j and j + 1, up to B - 2, without `a`; repeated, they reach all."""
        first, nodes = self.cell(a)
        found: dict[Architecture, None] = {}
        for j in range(1, len(nodes)):
            if nodes[j][0] != j:
                moved = {j: j + 1, j + 1: j}
                swapped = [*nodes[: j - 1], nodes[j], nodes[j - 1], *nodes[j + 1 :]]
                found[self.member(first, [(moved.get(source, source), f) for source, f in swapped])] = None
        found.pop(a, None)
        return list(found)

    def tokens(self, a: Architecture) -> tuple[int, ...]:
        """NAO's numbers: source i is token i + 1, activations come last; t = 2 (B - 1), 22 for B = 12.

        The activation of node 0, where it is a decision, comes first; cells that may have fewer nodes end with 0.
        """
        first, nodes = self.cell(a)
        tokens = [self._activation(first)] if self.first else []
        for source, f in nodes:
            tokens += [source + 1, self._activation(f)]
        return (*tokens, 0) if self.variable else tuple(tokens)

    def from_tokens(self, tokens: Sequence[int]) -> Architecture:
        """The member of a token sequence.

        Raises:
            InvalidArchitecture: naming the first token that may not stand where it does.
        """
        check_tokens(self, tokens)
        first = self.vocabulary[tokens[0]] if self.first else ACTIVATIONS[0]
        pairs = tokens[self.first : len(tokens) - self.variable]
        return self.member(first, [(pairs[i] - 1, self.vocabulary[pairs[i + 1]]) for i in range(0, len(pairs), 2)])

    def legal_tokens(self, prefix: Sequence[int]) -> tuple[int, ...]:
        """Sources 1 to j for node j, activations in between; 0 is no source, and the end only of shorter cells."""
        at = len(prefix) - self.first
        j = at // 2 + 1
        if self.variable and len(prefix) and prefix[-1] == 0:
            return ()
        if at < 0 or at % 2:
            return tuple(range(self.nodes, self.nodes + len(ACTIVATIONS)))
        end = (0,) if self.variable and j >= FEWEST else ()
        return (*end, *range(1, j + 1)) if j < self.nodes else end

    def network(
        self, a: Architecture, task: Task, seed: int = 0, *, hidden: int | None = None, highway: bool = True
    ) -> Network:
        """One time step of the cell; see `nas_spaces.recurrent_network`.

        Args:
            a: the member.
            task: language; its input is the vector of one time step.
            seed: not read.
            hidden: width of the state and of the output; None for that of the input.
            highway: ENAS's gates; without them a node is the activation of a product alone, as NAO's text writes it.

        Raises:
            InvalidNetwork: the task or an option does not fit.
        """
        first, nodes = self.cell(a)
        return build(first, nodes, self.outputs(a), task, hidden, highway)

    def _activation(self, activation: str) -> int:
        return self.nodes + ACTIVATIONS.index(activation)
