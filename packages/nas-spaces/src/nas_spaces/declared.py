"""Spaces declared as data: decisions by name, each a list of choices; what a table of own measurements is about.

Graphs of cells can be declared over the decisions (`nas_spaces.declared_graph` tells how). Every decision then has to
stand in one of them: otherwise members that differ could not be told from their graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod
from typing import Any, TypeAlias, final

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical, Decision, Value, decision_from_config
from nas_core.errors import InvalidArchitecture, InvalidSpace
from nas_core.graph import Graph
from nas_core.space import Space
from nas_spaces.declared_graph import DeclaredGraph
from nas_spaces.declared_match import Known

Graphs: TypeAlias = Mapping[str, Graph]


@final
class DeclaredSpace(Space):
    """Every combination of the values of its decisions; members are written as JSON objects.

    Where no decision is real, the space can list its members and has a `size`. Where graphs are declared, it has
    them, both ways: of members with isomorphic graphs, which differ in what is left out of them, `from_graphs` gives
    one. It has no rules for twins: what a label computes is not known, but for `identities` and `zeros`.

    Args:
        decisions: by name, in order: a list of choices (JSON scalars of one type), or the configuration of a decision
            without its name, such as `{"kind": "integer", "low": 1, "high": 8}`. Or a list of whole configurations,
            whose order survives what sorts the keys of an object.
        title: what the space is called.
        graphs: by name, such as "cell", or "normal" and "reduction": see `nas_spaces.declared_graph`.
        identities: labels of nodes that hand on what they read.
        zeros: labels of nodes that give zeros.

    Raises:
        InvalidSpace: no decisions, one that cannot be made, or a graph that cannot be drawn over them.
    """

    name: str
    size: int  # only where the space is finite: a capability is had by having its attributes
    graph_labels: tuple[str, ...]  # these and the next only where graphs are declared
    most_nodes: int
    graph_identities: tuple[str, ...]
    graph_zeros: tuple[str, ...]
    graphs: Callable[[Architecture], Graphs]
    from_graphs: Callable[[Graphs], Architecture]
    graph_key: Callable[[Architecture], str]

    def __init__(
        self,
        decisions: Mapping[str, Any] | Sequence[Mapping[str, Any]],
        title: str = "declared",
        graphs: Mapping[str, Any] | None = None,
        identities: Sequence[str] = (),
        zeros: Sequence[str] = (),
    ) -> None:
        if not isinstance(title, str) or not title:
            raise InvalidSpace("a declared space needs a title", value=title, expected="a non-empty text")
        if isinstance(decisions, str) or not isinstance(decisions, Mapping | Sequence) or not decisions:
            raise InvalidSpace(
                f"the space {title!r} declares no decisions", value=decisions, expected="choices by name"
            )
        self.name = title
        if isinstance(decisions, Mapping):
            self.decisions = tuple(_decision(name, given) for name, given in decisions.items())
        else:
            self.decisions = tuple(_configured(config) for config in decisions)
        names = [decision.name for decision in self.decisions]
        if len(set(names)) < len(names):
            raise InvalidSpace(f"the space {title!r} declares a decision twice", value=names)
        sizes = [decision.size for decision in self.decisions]
        if None not in sizes:
            self.size = prod(size for size in sizes if size is not None)
        self._graphs = {} if graphs is None else self._declared(graphs)
        self._idle = {"identities": self._labels("identities", identities), "zeros": self._labels("zeros", zeros)}
        if self._graphs:
            self._give_graphs()

    def to_config(self) -> dict[str, Any]:
        """The declaration."""
        config: dict[str, Any] = {
            "name": "declared",
            "decisions": [d.to_config() for d in self.decisions],
            "title": self.name,
        }
        if self._graphs:
            config["graphs"] = {name: graph.to_config() for name, graph in self._graphs.items()}
            config |= {key: list(labels) for key, labels in self._idle.items()}
        return config

    def enumerate(self) -> Iterator[Architecture]:
        """All members; the last decision varies fastest.

        Raises:
            InvalidSpace: a decision is real.
        """
        for decision in self.decisions:
            if decision.size is None:
                raise InvalidSpace("a space with a real decision cannot be listed", value=decision.name)
        for number in range(self.size):
            yield self._member(number)

    def _member(self, number: int) -> Architecture:
        """The member at a place of the enumeration: its numbers of choices are the digits of the place."""
        values: list[Value] = []
        for decision in reversed(self.decisions):
            number, choice = divmod(number, decision.size or 1)
            values.append(decision.choices[choice] if isinstance(decision, Categorical) else int(decision.low) + choice)
        return Architecture(self.name, tuple(reversed(values)))

    def _declared(self, graphs: Any) -> dict[str, DeclaredGraph]:
        if not isinstance(graphs, Mapping) or not graphs or not all([isinstance(name, str) for name in graphs]):
            raise InvalidSpace("graphs must be declared by name", value=graphs, expected='such as {"cell": {…}}')
        declared = {name: DeclaredGraph(name, given, self.decisions) for name, given in graphs.items()}
        read = frozenset[int]().union(*[graph.read for graph in declared.values()])
        unread = [decision.name for place, decision in enumerate(self.decisions) if place not in read]
        if unread:
            raise InvalidSpace(
                "a decision stands in no graph, so that a graph would not say which member it is of",
                value=unread[0],
                remedy="Declare the space without graphs, or a space for each of its values.",
            )
        return declared

    def _labels(self, key: str, labels: Any) -> tuple[str, ...]:
        """Labels that compute nothing, which must be those of graphs."""
        if isinstance(labels, str) or not isinstance(labels, Sequence):
            raise InvalidSpace(f"{key!r} must be a list of labels", value=labels)
        known = self._all_labels()
        for label in labels:
            if label not in known:
                raise InvalidSpace(
                    f"{key!r} names a label that no graph has",
                    value=label,
                    expected="one of " + ", ".join(known) if known else "declared graphs",
                )
        return tuple(labels)

    def _all_labels(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(label for graph in self._graphs.values() for label in graph.labels))

    def _give_graphs(self) -> None:
        """Give this space the view of graphs; a capability is had by having its attributes."""
        self.graph_labels = self._all_labels()
        self.most_nodes = max(graph.most_nodes for graph in self._graphs.values())
        self.graph_identities, self.graph_zeros = self._idle["identities"], self._idle["zeros"]
        self.graphs, self.from_graphs, self.graph_key = self._graphs_of, self._of_graphs, self._key

    def _graphs_of(self, a: Architecture) -> Graphs:
        return {name: graph.graph(a.values) for name, graph in self._graphs.items()}

    def _key(self, a: Architecture) -> str:
        return "-".join([graph.key() for graph in self._graphs_of(a).values()])

    def _of_graphs(self, graphs: Graphs) -> Architecture:
        if set(graphs) != set(self._graphs):
            raise InvalidArchitecture(
                f"{self.name} has other graphs", value=sorted(graphs), expected=", ".join(self._graphs)
            )
        wanted = "-".join([graphs[name].key() for name in self._graphs])
        for known in self._known(graphs, list(self._graphs), {}):
            a = self._with(known)
            if self._key(a) == wanted:
                return a
        raise InvalidArchitecture(
            f"no member of {self.name} has these graphs", value={name: graph.labels for name, graph in graphs.items()}
        )

    def _known(self, graphs: Graphs, names: list[str], known: Known) -> Iterator[Known]:
        """The values that each way of matching all graphs settles."""
        if not names:
            yield known
            return
        for more in self._graphs[names[0]].values(graphs[names[0]], known):
            yield from self._known(graphs, names[1:], more)

    def _with(self, known: Known) -> Architecture:
        """The member with known values. What is not known is of nodes that are left out: their edges are not there.

        An edge less never adds a node to a graph; so where this member has more nodes, every one with these values has.
        """
        values: list[Value] = []
        for place, decision in enumerate(self.decisions):
            absent = [graph.absent(place) for graph in self._graphs.values()]
            free = next((value for value in absent if value is not None), decision.nearest(None))
            values.append(known.get(place, free))
        return Architecture(self.name, tuple(values))


def _decision(name: str, given: Any) -> Decision:
    if isinstance(given, Mapping):
        return _configured({**given, "name": name})
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise InvalidSpace(f"the choices of {name!r} must be a list", value=given)
    return Categorical(name, tuple(given))


def _configured(config: Any) -> Decision:
    if not isinstance(config, Mapping):
        raise InvalidSpace("not the configuration of a decision", value=config, expected="an object with kind and name")
    return decision_from_config(config)
