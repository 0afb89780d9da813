"""What every search space must keep to: members, texts, steps, and whichever views it has.

Samples are drawn with fixed seeds, so a suite that passes passes always; junk is drawn in the same way.
"""

# ruff: noqa: D102 - the name of a test says what it tests
from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import combinations, islice
from typing import Any

import numpy as np
import pytest

from nas_core.architecture import Architecture
from nas_core.cost import cost
from nas_core.errors import InvalidArchitecture
from nas_core.graph import Graph
from nas_core.network import Network, Task
from nas_core.primitives import Input
from nas_core.random import rng
from nas_core.space import CAPABILITIES, Space
from nas_core.testing.processes import in_fresh_process, load_object

_JUNK: tuple[object, ...] = (
    None, "", "junk", "\N{SNOWMAN}", float("nan"), float("inf"), -float("inf"), 10**400, -(10**400), 1e308, -1, 0, 1,
    2.5, True, np.float64("nan"), np.int64(3), 1j, b"", (), [], {}, object(),
)  # fmt: skip


def _claims(space: Space, capability: str) -> bool:
    return isinstance(space, CAPABILITIES[capability])


def _has(space: Space, capability: str) -> Any:
    """The space, as one that has the capability; skips the test otherwise."""
    if not _claims(space, capability):
        pytest.skip(f"the space {space.name!r} does not claim {capability}")
    return space


class SpaceContract:
    """Tests that a space inherits.

    Fixtures to give: `factory`, "module:Class" of the space. To change: `options` of its constructor; `task` and
    `network_options` of its networks; `count`, how many members are looked at; `most_listed`, up to how many members an
    enumeration is walked through to its end.
    """

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        """Options of the space's constructor."""
        return {}

    @pytest.fixture
    def count(self) -> int:
        """How many sampled members the tests look at."""
        return 20

    @pytest.fixture
    def most_listed(self) -> int:
        """Enumerations of more members are looked at in their first thousand only."""
        return 20_000

    @pytest.fixture
    def task(self) -> Task:
        """What networks are built for."""
        return Task("classification", (3, 32, 32), 10)

    @pytest.fixture
    def network_options(self) -> dict[str, Any]:
        """Options of `Space.network`."""
        return {}

    @pytest.fixture
    def space(self, factory: str, options: dict[str, Any]) -> Any:
        """The space itself."""
        return load_object(factory)(**options)

    @pytest.fixture
    def members(self, space: Space, count: int) -> list[Architecture]:
        """Sampled members, most of them different."""
        return space.sample(rng(0, "contract"), count)

    def test_decisions_have_distinct_names(self, space: Space) -> None:
        names = [decision.name for decision in space.decisions]
        assert names
        assert len(set(names)) == len(names)

    def test_config_is_json_and_makes_an_equal_space(self, space: Space) -> None:
        config = json.loads(json.dumps(space.to_config()))
        assert isinstance(config.pop("name"), str)
        again = type(space)(**config)
        assert again.to_config() == space.to_config()
        assert again.decisions == space.decisions
        assert again.name == space.name
        assert again.sample(rng(1), 5) == space.sample(rng(1), 5)

    def test_samples_are_members(self, space: Space, members: list[Architecture], count: int) -> None:
        assert len(members) == count
        for member in members:
            assert member.space == space.name
            assert _types(space.canonical(member.values)) == _types(member)
            assert hash(space.canonical(member.values)) == hash(member)

    def test_samples_follow_the_generator_alone(self, space: Space, members: list[Architecture], count: int) -> None:
        assert space.sample(rng(0, "contract"), count) == members
        assert space.sample(rng(0), 0) == []

    def test_values_are_none_exactly_where_inactive(self, space: Space, members: list[Architecture]) -> None:
        for member in members:
            full = [d.nearest(v) if v is None else v for d, v in zip(space.decisions, member.values, strict=True)]
            assert space.active(full) == tuple(value is not None for value in member.values)

    def test_project_leaves_members_alone(self, space: Space, members: list[Architecture]) -> None:
        for member in members:
            assert space.project(member.values) == member

    def test_project_is_total(self, space: Space, members: list[Architecture]) -> None:
        stream = rng(0, "junk")
        for member in members:
            values = [_JUNK[stream.integers(len(_JUNK))] if stream.random() < 0.5 else v for v in member.values]
            projected = space.project(values)
            assert space.canonical(projected.values) == projected
            assert space.project(values) == projected

    def test_canonical_refuses_a_wrong_length(self, space: Space, members: list[Architecture]) -> None:
        for values in ((), members[0].values[:-1], (*members[0].values, members[0].values[-1])):
            with pytest.raises(InvalidArchitecture):
                space.canonical(values)

    def test_canonical_refuses_unknown_values(self, space: Space, members: list[Architecture]) -> None:
        for i in range(len(space.decisions)):
            for junk in ("no such value", float("nan"), 10**400, object()):
                with pytest.raises(InvalidArchitecture):
                    space.canonical(_replaced(members[i % len(members)], i, junk))

    def test_canonical_refuses_none_where_active_and_values_where_not(
        self, space: Space, members: list[Architecture]
    ) -> None:
        for member in members:
            for i, (decision, value) in enumerate(zip(space.decisions, member.values, strict=True)):
                with pytest.raises(InvalidArchitecture):
                    space.canonical(_replaced(member, i, decision.nearest(None) if value is None else None))

    def test_text_and_parse_are_inverse(self, space: Space, members: list[Architecture]) -> None:
        for member in members:
            assert _types(space.parse(space.text(member))) == _types(member)
        assert len({space.text(member) for member in members}) == len(set(members))

    def test_parse_of_junk_raises_invalid_architecture_only(self, space: Space, members: list[Architecture]) -> None:
        accepted = []
        for text in ("", " ", "junk", "{}", "[]", "null", "1", "[" * 100_000, "\x00", *_damaged(space, members)):
            try:
                accepted.append(space.parse(text))
            except InvalidArchitecture:
                continue
        for member in accepted:
            assert space.canonical(member.values) == member

    def test_neighbours_are_other_members(self, space: Space, members: list[Architecture]) -> None:
        for member in members[:5]:
            steps = space.neighbors(member)
            assert member not in steps
            assert len(set(steps)) == len(steps)
            assert space.neighbors(member) == steps
            for step in steps:
                assert space.canonical(step.values) == step

    def test_mutation_is_a_step_that_follows_the_generator(self, space: Space, members: list[Architecture]) -> None:
        for i, member in enumerate(members[:5]):
            steps = space.neighbors(member)
            if not steps:
                with pytest.raises(InvalidArchitecture):
                    space.mutate(member, rng(i))
                continue
            mutated = space.mutate(member, rng(i))
            assert mutated in steps
            assert space.mutate(member, rng(i)) == mutated

    def test_enumeration(self, space: Space, members: list[Architecture], most_listed: int) -> None:
        listing = _has(space, "enumerate")
        if listing.size > most_listed:
            listed = list(islice(listing.enumerate(), 1000))
            assert len(set(listed)) == 1000
        else:
            listed = list(listing.enumerate())
            assert len(listed) == listing.size
            assert len(set(listed)) == len(listed)
            assert set(members) <= set(listed)
        assert listed[:100] == list(islice(listing.enumerate(), min(100, len(listed))))
        for member in listed[:: max(1, len(listed) // 1000)]:
            assert _types(space.canonical(member.values)) == _types(member)

    def test_graphs_use_the_vocabulary_and_fit(self, space: Space, members: list[Architecture]) -> None:
        graphed = _has(space, "graphs")
        assert len(set(graphed.graph_labels)) == len(graphed.graph_labels)
        for member in members:
            graphs = graphed.graphs(member)
            assert graphs
            for graph in graphs.values():
                assert set(graph.labels) <= set(graphed.graph_labels)
                assert len(graph.labels) <= graphed.most_nodes

    def test_graphs_give_the_member_back_up_to_isomorphism(self, space: Space, members: list[Architecture]) -> None:
        graphed = _has(space, "graphs")
        stream = rng(0, "order")
        for member in members:
            graphs = graphed.graphs(member)
            key = graphed.graph_key(member)
            assert graphed.graph_key(graphed.from_graphs(graphs)) == key
            shuffled = {name: _shuffled(graph, stream) for name, graph in graphs.items()}
            assert graphed.graph_key(graphed.from_graphs(shuffled)) == key

    def test_from_graphs_refuses_what_no_member_has(self, space: Space, members: list[Architecture]) -> None:
        graphed = _has(space, "graphs")
        graphs = graphed.graphs(members[0])
        foreign = {name: Graph(("no such label",) * len(g.labels), g.edges, g.ports) for name, g in graphs.items()}
        for wrong in ({}, foreign, {f"no {name}": graph for name, graph in graphs.items()}):
            with pytest.raises(InvalidArchitecture):
                graphed.from_graphs(wrong)

    def test_graph_keys_agree_exactly_where_the_graphs_are_isomorphic(
        self, space: Space, members: list[Architecture]
    ) -> None:
        graphed = _has(space, "graphs")
        own = [
            (graphed.graph_key(a), {name: graph.key() for name, graph in graphed.graphs(a).items()})
            for a in _with_relatives(space, members)
        ]
        for (key, graphs), (other_key, other_graphs) in combinations(own, 2):
            assert (key == other_key) == (graphs == other_graphs)

    def test_tokens_give_the_member_back(self, space: Space, members: list[Architecture]) -> None:
        spelled = _has(space, "tokens")
        assert len(set(spelled.vocabulary)) == len(spelled.vocabulary)
        for member in members:
            tokens = spelled.tokens(member)
            assert set(tokens) <= set(range(len(spelled.vocabulary)))
            assert _types(spelled.from_tokens(tokens)) == _types(member)

    def test_legal_tokens_admit_every_member(self, space: Space, members: list[Architecture]) -> None:
        spelled = _has(space, "tokens")
        for member in members:
            tokens = spelled.tokens(member)
            for i, token in enumerate(tokens):
                legal = spelled.legal_tokens(tokens[:i])
                assert token in legal
                assert len(set(legal)) == len(legal)
            assert spelled.legal_tokens(tokens) == ()

    def test_legal_tokens_lead_to_members_only(self, space: Space, count: int) -> None:
        spelled = _has(space, "tokens")
        stream = rng(0, "walk")
        for _ in range(count):
            walk: tuple[int, ...] = ()
            while legal := spelled.legal_tokens(walk):
                walk = (*walk, legal[int(stream.integers(len(legal)))])
                assert len(walk) < 10_000, "a walk along legal tokens does not end"
            member = spelled.from_tokens(walk)
            assert space.canonical(member.values) == member
            assert spelled.tokens(member) == walk

    def test_from_tokens_refuses_other_sequences(self, space: Space, members: list[Architecture]) -> None:
        spelled = _has(space, "tokens")
        tokens = spelled.tokens(members[0])
        for wrong in (
            (),
            tokens[:-1],
            (*tokens, tokens[-1]),
            (*tokens[:-1], len(spelled.vocabulary)),
            (-1, *tokens[1:]),
        ):
            with pytest.raises(InvalidArchitecture):
                spelled.from_tokens(wrong)

    def test_twins_are_at_least_the_isomorphic_members(self, space: Space, members: list[Architecture]) -> None:
        twinned = _has(space, "twins")
        assert isinstance(twinned.twin_rules, str)
        assert twinned.twin_rules
        for member in members:
            again = space.parse(space.text(member))
            assert twinned.twin_key(again) == twinned.twin_key(member)
        if not _claims(space, "graphs"):
            return
        graphed = _has(space, "graphs")
        twin_of: dict[str, str] = {}
        for a in _with_relatives(space, members):
            key = graphed.graph_key(a)
            assert twin_of.setdefault(key, twinned.twin_key(a)) == twinned.twin_key(a)

    def test_networks_infer_and_round_trip(
        self, space: Space, members: list[Architecture], task: Task, network_options: Mapping[str, Any]
    ) -> None:
        built = _has(space, "network")
        for member in members[:5]:
            network: Network = built.network(member, task, 0, **network_options)
            assert network.task == task
            assert len({node.name for node in network.nodes}) == len(network.nodes)
            assert any(node.primitive == Input(task.input_shape) for node in network.nodes)
            name, logits = network.outputs[0]
            if task.kind == "classification":
                assert (name, network.shapes[logits]) == ("logits", (task.classes,))
            again = Network.from_config(json.loads(json.dumps(network.to_config())))
            assert again == network
            assert again.shapes == network.shapes
            assert built.network(member, task, 0, **network_options) == network

    def test_pruning_a_network_adds_nothing(
        self, space: Space, members: list[Architecture], task: Task, network_options: Mapping[str, Any]
    ) -> None:
        built = _has(space, "network")
        for member in members[:5]:
            network: Network = built.network(member, task, 0, **network_options)
            whole, pruned = cost(network), cost(network.pruned())
            assert whole.parameters == sum(int(np.prod(shape)) for _, shape in network.parameters())
            assert pruned.parameters <= whole.parameters
            assert pruned.multiply_adds <= whole.multiply_adds
            assert pruned.depth == whole.depth

    def test_a_fresh_process_finds_the_same(
        self, factory: str, options: dict[str, Any], task: Task, network_options: dict[str, Any]
    ) -> None:
        arguments = (factory, options, task.to_config(), network_options)
        here = json.loads(json.dumps(findings(*arguments)))
        assert in_fresh_process("nas_core.testing.spaces:findings", *arguments) == here


def findings(
    factory: str, options: Mapping[str, Any], task: Mapping[str, Any], network_options: Mapping[str, Any]
) -> dict[str, Any]:
    """What a space says of a few members, as JSON: the same in every process."""
    space = load_object(factory)(**options)
    members: list[Architecture] = space.sample(rng(2), 5)
    found: dict[str, Any] = {
        "texts": [space.text(a) for a in members],
        "neighbours": [[space.text(b) for b in space.neighbors(a)] for a in members[:2]],
        "mutations": [space.text(space.mutate(a, rng(3))) for a in members if space.neighbors(a)],
    }
    if _claims(space, "enumerate"):
        found["listed"] = [space.text(a) for a in islice(space.enumerate(), 20)]
    if _claims(space, "graphs"):
        found["graphs"] = [[name, repr(graph)] for a in members for name, graph in space.graphs(a).items()]
        found["graph_keys"] = [space.graph_key(a) for a in members]
    if _claims(space, "tokens"):
        found["tokens"] = [[list(space.tokens(a)), list(space.legal_tokens(space.tokens(a)[:1]))] for a in members]
    if _claims(space, "twins"):
        found["twin_keys"] = [space.twin_key(a) for a in members]
    if _claims(space, "network"):
        found["networks"] = [space.network(a, Task(**task), 0, **network_options).to_config() for a in members[:2]]
    return found


def _types(a: Architecture) -> tuple[Architecture, list[type]]:
    """An architecture with the types of its values: 1 == 1.0 == True."""
    return a, [type(value) for value in a.values]


def _replaced(a: Architecture, i: int, value: object) -> list[object]:
    return [*a.values[:i], value, *a.values[i + 1 :]]


def _with_relatives(space: Space, members: list[Architecture]) -> list[Architecture]:
    """Members, some of their neighbours and, where there are graphs, members with isomorphic graphs."""
    found = dict.fromkeys(members)
    for member in members[:5]:
        found.update(dict.fromkeys(space.neighbors(member)[:20]))
    if _claims(space, "graphs"):
        graphed, stream = _has(space, "graphs"), rng(0, "relatives")
        for member in members:
            graphs = graphed.graphs(member)
            found[graphed.from_graphs({name: _shuffled(graph, stream) for name, graph in graphs.items()})] = None
    return list(found)


def _shuffled(graph: Graph, stream: np.random.Generator) -> Graph:
    """The graph with its nodes in a random topological order."""
    missing = list(graph.in_degrees())
    ready = [node for node, degree in enumerate(missing) if degree == 0]
    order: list[int] = []
    while ready:
        node = ready.pop(int(stream.integers(len(ready))))
        order.append(node)
        for target in graph.targets(node):
            missing[target] -= 1
            if missing[target] == 0:
                ready.append(target)
    return graph.relabelled(order)


def _damaged(space: Space, members: list[Architecture]) -> Iterator[str]:
    """Texts of members with a character or more cut out, put in or exchanged."""
    stream = rng(0, "damage")
    for member in members:
        text = space.text(member)
        at, other = (int(i) for i in stream.integers(len(text), size=2))
        strange = "09-x~|,:{}[]\"' \N{SNOWMAN}"[int(stream.integers(16))]
        yield from (text[:at], text[at:], text[:at] + text[at + 1 :], text[:at] + strange + text[at:])
        yield from (text[:at] + strange + text[at + 1 :], text[:at] + text[other:], text + text, f" {text} ")
