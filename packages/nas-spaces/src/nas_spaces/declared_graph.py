"""The graph of a cell as plain data over decisions: operations on edges or on nodes, edges that can be absent.

    {"inputs": ["input"],
     "outputs": ["output"],
     "nodes": ["sum", {"name": "a", "decision": "a"}, {"name": "b", "label": "relu"}],
     "edges": [{"from": "input", "to": "sum", "decision": "edge0"},
               {"from": "sum", "to": "a", "label": "conv3x3"},
               {"from": "a", "to": "output", "if": "a_to_output"}, …]}

Inputs and outputs are labelled by their names. Every other node and every edge may have a label: one that is fixed, or
that of a decision whose choices are texts. An edge with `if` is there where that decision, a choice of true and false,
"yes" and "no" or 1 and 0, says so.

A member's graph has labels on its nodes. An edge with a label becomes a node between the nodes that it joins; a node
without one, which adds up what it reads, vanishes: whoever reads it, reads what leads to it (as in
`nas_spaces.nasbench201`). That is why only edges with labels lead to such nodes: what is added twice would be seen
once. Where edges can be absent, nodes that are on no path from an input to an output are left out, but for the inputs
and outputs themselves.

    v   nodes of the graph in which every edge is there, in topological order; a wire is one of its edges
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, final

from nas_core.decisions import Categorical, Decision, Integer, Value
from nas_core.errors import InvalidSpace
from nas_core.graph import Graph
from nas_spaces.declared_match import PRESENT, Known, Node, Wire, matches, switch

_KEYS: Final = ("inputs", "outputs", "nodes", "edges")
_SWITCHES: Final = ({0, 1}, {"no", "yes"})


class _Edge(NamedTuple):
    """An edge of the declaration, between nodes by name."""

    source: str
    target: str
    node: Node | None
    condition: int | None


@final
class DeclaredGraph:
    """One graph of a space's members.

    Args:
        name: the graph's.
        given: the declaration; see the module.
        decisions: of the space.

    Raises:
        InvalidSpace: what is wrong with the declaration, and where.
    """

    def __init__(self, name: str, given: Any, decisions: Sequence[Decision]) -> None:
        self._place = f"the graph {name!r}"
        self._decisions = {decision.name: (i, decision) for i, decision in enumerate(decisions)}
        self._choices: dict[int, tuple[Any, ...]] = {}
        self._config = self._checked(given)
        self._inner: dict[str, Node | None] = {}
        for config in self._config["nodes"]:
            self._inner[config["name"]] = self._labelled(f"the node {config['name']!r}", config, None)
        self._ends = {name: Node(name, None) for key in ("inputs", "outputs") for name in self._config[key]}
        self._edges = [self._edge(config) for config in self._config["edges"]]
        order = self._ordered()
        self._check_reached(order)
        self._nodes: list[Node] = []
        self._wires: list[Wire] = []
        self._kept: list[int] = []
        self._wire_up(order)
        self._switches = {node.condition for node in self._nodes} | {wire.condition for wire in self._wires}
        self._changes = self._switches != {None}

    def to_config(self) -> dict[str, Any]:
        """The declaration."""
        return self._config

    @property
    def read(self) -> frozenset[int]:
        """The places of the decisions that the graph depends on."""
        found = {node.decision for node in self._nodes} | self._switches
        return frozenset(place for place in found if place is not None)

    @property
    def most_nodes(self) -> int:
        """The number of nodes v where every edge is there."""
        return len(self._nodes)

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label, in the order in which they are met."""
        found: dict[str, None] = dict.fromkeys(self._config["inputs"])
        inner = [node for node in self._nodes if node.label is None or node.label not in self._ends]
        for node in inner:
            found.update(dict.fromkeys(self._labels(node)))
        return tuple(found | dict.fromkeys(self._config["outputs"]))

    def graph(self, values: Sequence[Value | None]) -> Graph:
        """The graph of a member with these values."""
        labels = tuple(
            [str(values[node.decision]) if node.decision is not None else str(node.label) for node in self._nodes]
        )
        there = [node.condition is None or values[node.condition] in PRESENT for node in self._nodes]
        edges = tuple(
            [
                (wire.source, wire.target)
                for wire in self._wires
                if there[wire.source]
                and there[wire.target]
                and (wire.condition is None or values[wire.condition] in PRESENT)
            ]
        )
        whole = Graph(labels, edges)
        if not self._changes:
            return whole
        inputs, outputs = self._kept[: len(self._config["inputs"])], self._kept[len(self._config["inputs"]) :]
        return whole.subgraph({*whole.pruning(inputs, outputs), *self._kept})

    def values(self, graph: Graph, known: Known) -> Iterator[Known]:
        """The values with which the graph of a member can be isomorphic to `graph`, added to those that are known.

        Conditions that are not among them must not hold; other decisions that are not are free.
        """
        if graph.ports is not None or not len(self._kept) <= len(graph.labels) <= len(self._nodes):
            return
        may_miss = [self._changes and node not in self._kept for node in range(len(self._nodes))]
        yield from matches(graph, self._nodes, self._wires, may_miss, self._choices, known)

    def absent(self, place: int) -> Value | None:
        """What the decision at a place says where a condition on it does not hold; None where there is none on it."""
        return switch(self._choices[place], on=False) if place in self._switches else None

    def _labels(self, node: Node) -> tuple[str, ...]:
        return (node.label,) if node.label is not None else self._choices[node.decision or 0]

    def _checked(self, given: Any) -> dict[str, Any]:
        """The declaration in full."""
        if not isinstance(given, Mapping):
            raise self._wrong("a graph must be an object", given, expected="the keys " + ", ".join(_KEYS))
        self._check_keys(given, _KEYS)
        config: dict[str, Any] = {key: given.get(key, []) for key in _KEYS}
        for key, value in config.items():
            if isinstance(value, str | Mapping) or not isinstance(value, Sequence) or not (value or key == "nodes"):
                raise self._wrong(f"{key!r} must be a list", value, expected="at least one of them")
        config["nodes"] = [{"name": node} if isinstance(node, str) else node for node in config["nodes"]]
        for key, keys in (
            ("nodes", ("name", "decision", "label")),
            ("edges", ("from", "to", "decision", "label", "if")),
        ):
            for part in config[key]:
                if not isinstance(part, Mapping):
                    raise self._wrong(
                        f"each of {key!r} must be an object", part, expected="the keys " + ", ".join(keys)
                    )
                self._check_keys(part, keys)
            config[key] = [dict(part) for part in config[key]]
        names = [*config["inputs"], *config["outputs"], *(node.get("name") for node in config["nodes"])]
        for i, name in enumerate(names):
            if not isinstance(name, str) or not name:
                raise self._wrong("a node needs a name", name, expected="a non-empty text")
            if name in names[:i]:
                raise self._wrong("a node is declared twice", name)
        return {**config, "inputs": list(config["inputs"]), "outputs": list(config["outputs"])}

    def _edge(self, config: Mapping[str, Any]) -> _Edge:
        for key in ("from", "to"):
            known = [*self._ends, *self._inner]
            if config.get(key) not in known:
                raise self._wrong(
                    f"an edge {key!r} an unknown node", config.get(key), expected="one of " + ", ".join(known)
                )
        source, target = config["from"], config["to"]
        where = f"the edge from {source!r} to {target!r}"
        if target in self._config["inputs"] or source in self._config["outputs"]:
            raise self._wrong(f"{where} leads to an input or from an output")
        condition = self._switch(where, config["if"]) if "if" in config else None
        return _Edge(source, target, self._labelled(where, config, condition), condition)

    def _labelled(self, where: str, config: Mapping[str, Any], condition: int | None) -> Node | None:
        """The node that a part of the declaration becomes; None where it has no label."""
        if "decision" in config and "label" in config:
            raise self._wrong(f"{where} has two labels", dict(config), expected="either decision or label")
        if "label" in config:
            if not isinstance(config["label"], str) or not config["label"]:
                raise self._wrong(f"the label of {where} must be a text", config["label"])
            return Node(config["label"], None, condition)
        if "decision" not in config:
            return None
        place, decision = self._decision(where, config["decision"])
        if not isinstance(decision, Categorical) or not isinstance(decision.choices[0], str):
            kind = decision.to_config()["kind"]
            raise self._wrong(
                f"{where} cannot be labelled by the {kind} decision {decision.name!r}",
                expected="choices that are texts",
            )
        self._choices[place] = decision.choices
        return Node(None, place, condition)

    def _switch(self, where: str, name: Any) -> int:
        """The place of a decision that says whether an edge is there."""
        place, decision = self._decision(where, name)
        choices: tuple[Any, ...] = ()
        if isinstance(decision, Categorical):
            choices = decision.choices
        elif isinstance(decision, Integer):
            choices = (0, 1) if (decision.low, decision.high) == (0, 1) else ()
        if len(choices) != 2 or set(choices) not in _SWITCHES:
            raise self._wrong(
                f"{where} cannot depend on the decision {decision.name!r}",
                decision.to_config(),
                expected='a choice of true and false, "yes" and "no", or 1 and 0',
            )
        self._choices[place] = choices
        return place

    def _decision(self, where: str, name: Any) -> tuple[int, Decision]:
        if not isinstance(name, str) or name not in self._decisions:
            raise self._wrong(
                f"{where} names an unknown decision", name, expected="one of " + ", ".join(self._decisions)
            )
        return self._decisions[name]

    def _ordered(self) -> list[str]:
        """The declared nodes in topological order; where edges leave a choice, as they are declared."""
        names = [*self._config["inputs"], *self._inner, *self._config["outputs"]]
        waiting, order = dict.fromkeys(names), list[str]()
        while waiting:
            held = {edge.target for edge in self._edges if edge.source in waiting}
            ready = next((name for name in waiting if name not in held), None)
            if ready is None:
                raise self._wrong("its edges form a cycle", [name for name in waiting if name in held])
            order.append(ready)
            del waiting[ready]
        return order

    def _check_reached(self, order: Sequence[str]) -> None:
        """Refuse nodes that are on no path from an input to an output, and edges whose copies would be lost."""
        reached, wanted = set(self._config["inputs"]), set(self._config["outputs"])
        for name in order:
            reached |= {edge.target for edge in self._edges if edge.source == name and name in reached}
        for name in reversed(order):
            wanted |= {edge.source for edge in self._edges if edge.target == name and name in wanted}
        for name in order:
            if name not in reached or name not in wanted:
                raise self._wrong(f"no path from an input to an output goes through the node {name!r}")
        plain = [(edge.source, edge.target) for edge in self._edges if edge.node is None]
        for i, (source, target) in enumerate(plain):
            if target in self._inner and self._inner[target] is None:
                raise self._wrong(
                    f"the edge from {source!r} to {target!r} has no label, and neither has {target!r}",
                    expected="a decision or a label on one of them",
                )
            if (source, target) in plain[:i]:
                raise self._wrong("an edge without a label is declared twice", [source, target])

    def _wire_up(self, order: Sequence[str]) -> None:
        tails: dict[str, list[int]] = {}
        for name in order:
            into: list[Wire] = []
            sums: list[int] = []
            for edge in [edge for edge in self._edges if edge.target == name]:
                if edge.node is None:
                    into += [Wire(tail, -1, edge.condition) for tail in tails[edge.source]]
                else:
                    here = self._append(edge.node)
                    self._wires += [Wire(tail, here, None) for tail in tails[edge.source]]
                    sums.append(here)
            node = self._ends.get(name) or self._inner[name]
            if node is not None:
                here = self._append(node)
                self._wires += [wire._replace(target=here) for wire in into]
                self._wires += [Wire(source, here, None) for source in sums]
                sums = [here]
            tails[name] = sums
        self._kept = [tails[name][0] for name in self._ends]

    def _append(self, node: Node) -> int:
        self._nodes.append(node)
        return len(self._nodes) - 1

    def _check_keys(self, given: Mapping[str, Any], keys: Sequence[str]) -> None:
        for key in given:
            if key not in keys:
                raise self._wrong("an unknown key", key, expected="one of " + ", ".join(keys))

    def _wrong(self, problem: str, *value: Any, expected: str | None = None) -> InvalidSpace:
        shown = {"value": value[0]} if value else {}
        return InvalidSpace(problem, **shown, expected=expected, place=self._place)
