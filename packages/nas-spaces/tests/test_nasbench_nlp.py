"""The space of NAS-Bench-NLP: recipes of the published table, rules, texts, graphs, tokens, steps, networks."""

from __future__ import annotations

import gzip
import json
import math
from collections import Counter
from itertools import combinations, permutations
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas_core.architecture import Architecture
from nas_core.cost import cost
from nas_core.errors import InvalidArchitecture, InvalidNetwork, InvalidSpace
from nas_core.graph import Graph
from nas_core.network import Network, Task
from nas_core.primitives import Input, StateIn, StateOut
from nas_core.random import rng
from nas_core.space import capabilities
from nas_core.testing import SpaceContract
from nas_spaces.nasbench_nlp import NAMED, NASBenchNLP
from nas_spaces.nasbench_nlp_recipes import FIRST, Recipe, legal, mended, pruned, unread
from nas_spaces.nasbench_nlp_steps import neighbours

SPACE = NASBenchNLP()
TASK = Task("language", (5,), 100)
LSTM_LIKE = {
    "h_new_0": {"op": "elementwise_prod", "input": ["c", "o"]},
    "c": {"op": "activation_tanh", "input": ["h_new_1"]},
    "o": {"op": "linear", "input": ["h_prev_0", "x"]},
    "h_new_1": {"op": "blend", "input": ["o", "h_prev_1", "h_prev_0"]},
}


class TestNASBenchNLP(SpaceContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_spaces.nasbench_nlp:NASBenchNLP"

    @pytest.fixture
    def task(self) -> Task:
        return TASK

    @pytest.fixture
    def network_options(self) -> dict[str, object]:
        return {"hidden": 7}


class TestSmallNASBenchNLP(TestNASBenchNLP):
    """Three nodes: masks and mending meet their limits."""

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"nodes": 3}


@pytest.fixture(scope="session")
def rows(published: Path) -> list[dict[str, Any]]:
    path = published / "nasbench_nlp_wikitext2.json.gz"
    if not path.is_file():
        pytest.skip(f"no {path.name} in {published}")
    found: list[dict[str, Any]] = json.loads(gzip.decompress(path.read_bytes()))
    return found


def unnamed(recipe: dict[str, Any]) -> nx.DiGraph:
    """A recipe as a graph whose only names are those of inputs and states; by networkx alone."""
    graph = nx.DiGraph()
    for name in {source for entry in recipe.values() for source in entry["input"]} | set(recipe):
        state = name if name.startswith("h_new_") and name[6:].isdigit() else None
        graph.add_node(name, op=recipe[name]["op"] if name in recipe else name, state=state)
    for name, entry in recipe.items():
        for position, source in enumerate(entry["input"]):
            graph.add_edge(source, name, at=position if entry["op"] == "blend" else None)
    return graph


def test_its_capabilities() -> None:
    assert capabilities(SPACE) == {"decisions", "graphs", "tokens", "network"}


def test_every_published_recipe_parses_and_prints_back(rows: list[dict[str, Any]]) -> None:
    later, members, sizes = 0, set(), Counter[int]()
    for row in rows:
        recipe = row["recepie"]
        names = list(recipe)
        for i, name in enumerate(names):
            later += sum(source in names[i:] for source in recipe[name]["input"])
        a = SPACE.parse(json.dumps(recipe))
        members.add(a)
        again = json.loads(SPACE.text(a))
        assert len(again) == len(recipe)  # nothing published is dead
        assert nx.is_isomorphic(unnamed(recipe), unnamed(again), dict.__eq__, dict.__eq__)
        graph = SPACE.graphs(a)["cell"]
        assert len(graph.labels) <= 26
        assert SPACE.graph_key(SPACE.from_graphs({"cell": graph})) == graph.key()
        assert SPACE.from_tokens(SPACE.tokens(a)) == a
        assert SPACE.canonical(a.values) == a
        sizes[len(recipe)] += 1
    assert (len(rows), later, max(sizes)) == (345, 101, 15)
    assert len({json.dumps(row["recepie"], sort_keys=True) for row in rows}) == 291
    # 26 of the 291 differ from others in names and in the order of sources of sums, products and linear maps alone
    assert len({SPACE.graph_key(a) for a in members}) == len(members) == 265


def test_parameters_equal_the_published_ones(rows: list[dict[str, Any]]) -> None:
    """Embedding and decoder share 33,278 x 400 numbers, the decoder has a bias; three layers of 600, 600 and 400."""
    for row in rows:
        a = SPACE.parse(json.dumps(row["recepie"]))
        layers = [
            cost(SPACE.network(a, Task("language", (wide,), 33_278), hidden=hidden)).parameters
            for wide, hidden in ((400, 600), (600, 600), (600, 400))
        ]
        assert 33_278 * 401 + sum(layers) == row["num_params"]


def test_samples_are_about_as_large_as_the_published_recipes(rows: list[dict[str, Any]]) -> None:
    """Sizes have a deviation of 2.7, so means of 2,000 samples one of 0.06: half a node is eight of them."""
    sizes = [len(SPACE.recipe(a).nodes) for a in SPACE.sample(rng(0, "sizes"), 2000)]
    published = [len(row["recepie"]) for row in rows]
    assert abs(np.mean(sizes) - np.mean(published)) < 0.5
    assert abs(np.std(sizes) - np.std(published)) < 0.7


def test_the_text_is_canonical() -> None:
    a = SPACE.parse(json.dumps(LSTM_LIKE))
    assert SPACE.text(a) == (
        '{"node_0":{"op":"linear","input":["x","h_prev_0"]},'
        '"h_new_1":{"op":"blend","input":["node_0","h_prev_1","h_prev_0"]},'
        '"node_2":{"op":"activation_tanh","input":["h_new_1"]},'
        '"h_new_0":{"op":"elementwise_prod","input":["node_0","node_2"]}}'
    )
    assert a.values[:7] == (2, 4, "linear", "x", "h_prev_0", None, "blend")
    assert a.values[-3:] == ("node_3", "node_1", None)


def test_dead_nodes_are_left_out() -> None:
    dead = {**LSTM_LIKE, "d": {"op": "linear", "input": ["x", "c"]}, "e": {"op": "activation_tanh", "input": ["d"]}}
    assert SPACE.parse(json.dumps(dead)) == SPACE.parse(json.dumps(LSTM_LIKE))


def test_names_that_only_begin_like_states_are_plain_nodes() -> None:
    """The table's LSTM has h_new_1_part1, h_new_1_part2 and h_new_1_act beside two states."""
    renamed = json.dumps(LSTM_LIKE).replace('"c"', '"h_new_1_act"').replace('"o"', '"h_new_00"')
    assert SPACE.parse(renamed) == SPACE.parse(json.dumps(LSTM_LIKE))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"c": {"op": "relu", "input": ["o"]}}, r"no such operation: 'relu' \(in node 'c'\); expected one of linear"),
        ({"c": {"op": "linear3", "input": ["o", "x", "h_prev_0"]}}, "no such operation: 'linear3'"),
        ({"c": {"op": ["linear"], "input": ["o"]}}, "no such operation"),
        ({"c": {"op": "linear", "input": ["o"]}}, r"linear with a wrong number of inputs.*expected 2 or 3"),
        ({"c": {"op": "blend", "input": ["o", "h_prev_0"]}}, "blend with a wrong number of inputs.*expected 3"),
        ({"c": {"op": "linear", "input": ["o", "o"]}}, "reads one input twice"),
        ({"c": {"op": "activation_tanh", "input": ["x"]}}, "activation_tanh cannot read x"),
        ({"c": {"op": "activation_tanh", "input": ["q"]}}, r"reads what there is not: 'q' \(in node 'c'\)"),
        ({"c": {"op": "activation_tanh", "input": ["h_prev_3"]}}, "reads what there is not: 'h_prev_3'"),
        ({"c": {"op": "activation_tanh", "input": ["h_prev_2"]}}, "there is no h_new_2: 'h_prev_2'"),
        ({"c": {"op": "activation_tanh", "input": ["h_new_0"]}}, "on or behind a cycle"),
        ({"c": {"op": "activation_tanh", "input": ["c"]}}, "on or behind a cycle"),
        ({"c": {"op": "activation_tanh", "input": "o"}}, "input must be a list of names"),
        ({"c": {"op": "activation_tanh", "input": [1]}}, "input must be a list of names"),
        ({"c": {"op": "activation_tanh"}}, 'must have "op" and "input" and nothing else'),
        ({"c": None}, 'must have "op" and "input"'),
        ({"x": {"op": "activation_tanh", "input": ["o"]}}, "this name is that of an input: 'x'"),
        ({"h_prev_7": {"op": "activation_tanh", "input": ["o"]}}, "this name is that of an input"),
        ({"h_new_3": {"op": "activation_tanh", "input": ["o"]}}, "numbered from 0 without gaps"),
        ({f"h_new_{k}": {"op": "activation_tanh", "input": ["o"]} for k in (2, 3)}, "h_new_0 up to h_new_2 at most"),
        ({"o": {"op": "linear", "input": ["h_prev_0", "h_prev_1"]}}, "no new state depends on a source: 'x'"),
        ({"h_new_1": {"op": "activation_tanh", "input": ["o"]}}, "no new state depends on a source: 'h_prev_1'"),
    ],
)
def test_wrong_recipes_are_refused_with_the_node(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArchitecture, match=message):
        SPACE.parse(json.dumps(LSTM_LIKE | changes))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be JSON"),
        ("[]", "must be a JSON object of nodes"),
        ("{}", "must be a JSON object of nodes"),
        ("[" * 100_000, "must be JSON"),
        (" " * 100_001, "not the text of a recipe"),
        ('{"a":{"op":"linear","input":[],"op":"blend"}}', "a name is given twice: 'op'"),
        ('{"a":1,"a":2}', "a name is given twice: 'a'"),
        (None, "not the text of a recipe"),
    ],
)
def test_what_is_no_recipe_is_refused(text: Any, message: str) -> None:
    with pytest.raises(InvalidArchitecture, match=message):
        SPACE.parse(text)


def test_too_many_nodes_are_refused() -> None:
    chain = {f"n{i}": {"op": "activation_tanh", "input": [f"n{i - 1}"]} for i in range(1, 21)}
    chain["n0"] = {"op": "linear", "input": ["x", "h_prev_0"]}
    whole = {**chain, "h_new_0": {"op": "activation_tanh", "input": ["n20"]}}
    with pytest.raises(InvalidArchitecture, match="too many nodes: 22; expected at most 21"):
        SPACE.parse(json.dumps(whole))
    del whole["n20"]
    whole["h_new_0"]["input"] = ["n19"]
    assert len(SPACE.graphs(SPACE.parse(json.dumps(whole)))["cell"].labels) == 24


_words = st.sampled_from(["x", "h_prev_0", "h_prev_1", "h_new_0", "h_new_1", "a", "b", "h_prev_9", ""])
_entries = st.fixed_dictionaries(
    {"op": st.sampled_from(["linear", "blend", "elementwise_sum", "activation_tanh", "none"]),
     "input": st.lists(_words, max_size=4)}
)  # fmt: skip
_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_words, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(_words, _entries | _anything, max_size=6) | _anything)
def test_the_parser_gives_a_member_or_invalid_architecture(entries: Any) -> None:
    try:
        a = SPACE.parse(json.dumps(entries))
    except InvalidArchitecture:
        return
    assert SPACE.canonical(a.values) == a
    assert SPACE.parse(SPACE.text(a)) == a


@given(st.text(max_size=51) | st.text(alphabet='{}[]":,xhop_', max_size=51))
def test_a_short_text_is_refused(text: str) -> None:
    """The shortest recipe, one linear map, has 52 characters."""
    assert len('{"h_new_0":{"op":"linear","input":["x","h_prev_0"]}}') == 52
    with pytest.raises(InvalidArchitecture):
        SPACE.parse(text)


def is_legal(recipe: Recipe) -> bool:
    """Every rule of the module, written down a second time."""
    n, states = len(recipe.nodes), recipe.states
    read = {source for _, sources in recipe.nodes for source in sources}
    arity = {"linear": 2, "linear3": 3, "blend": 3, "elementwise_prod": 2, "elementwise_sum": 2}
    return (
        1 <= states <= 3
        and len(set(recipe.hidden)) == states
        and all(0 <= i < n for i in recipe.hidden)
        and set(range(1 + states)) <= read
        and all(FIRST + i in read or i in recipe.hidden for i in range(n))
        and not {s for s in read if states < s < FIRST}
        and all(
            len(set(sources)) == len(sources) == arity.get(op, 1)
            and max(sources) < FIRST + i
            and (op == "blend" or list(sources) == sorted(sources))
            and (0 not in sources or op.startswith("linear"))
            for i, (op, sources) in enumerate(recipe.nodes)
        )
    )


@given(st.data())
def test_anything_is_mended_to_a_legal_recipe(data: st.DataObject) -> None:
    values = [data.draw(st.sampled_from(d.choices)) if hasattr(d, "choices") else d.high for d in SPACE.decisions]
    values[:2] = [data.draw(st.integers(1, 3)), data.draw(st.integers(1, 21))]
    a = SPACE.project(values)
    assert is_legal(SPACE.recipe(a))
    assert SPACE.project(a.values) == a


def test_mending_by_hand() -> None:
    # tanh(h_prev_0) reads no x, so node 0 becomes linear
    assert mended(1, [("activation_tanh", (1, 0, 0))], [0, 0, 0]) == Recipe((("linear", (0, 1)),), (0,))
    # x is not for products, h_prev_1 is taken for it; the second state is one node further on
    nodes = [("linear", (0, 1, 0)), ("elementwise_prod", (0, 4, 0))]
    assert mended(2, nodes, [1, 1, 0]) == Recipe((("linear", (0, 1)), ("elementwise_prod", (1, 4))), (1,))
    # blend has too few sources at node 0
    assert mended(1, [("blend", (1, 1, 1))], [0, 0, 0]) == Recipe((("linear", (0, 1)),), (0,))


def test_samples_and_steps_are_legal() -> None:
    for a in SPACE.sample(rng(3), 40):
        recipe = SPACE.recipe(a)
        assert is_legal(recipe)
        steps = list(neighbours(recipe, SPACE.nodes))
        assert all(is_legal(other) and pruned(other) == other for other in steps)


def test_steps_of_elmans_network_by_hand() -> None:
    """linear(x, h_prev_0) into tanh: every step, counted by kind."""
    a = SPACE.named("rnn")
    found = [SPACE.recipe(b) for b in SPACE.neighbors(a)]
    linear = ("linear", (0, 1))
    assert Recipe((linear, ("activation_sigm", (FIRST,))), (1,)) in found
    assert Recipe((linear,), (0,)) in found  # the activation goes, and by the pointer that moves to node 0
    assert Recipe((linear, ("activation_sigm", (FIRST,)), ("activation_tanh", (FIRST + 1,))), (2,)) in found
    assert Recipe((linear, ("linear", (0, FIRST))), (1,)) not in found  # tanh cannot become linear in one step
    assert Recipe((linear, ("linear", (0, FIRST)), ("activation_tanh", (FIRST + 1,))), (2,)) in found
    # h_prev_1 can stand in for one source only: in place of the others x or h_prev_0 is unread
    assert [r for r in found if r.states == 2] == [Recipe((linear, ("activation_tanh", (2,))), (1, 0))]


def test_repeated_steps_reach_every_small_recipe() -> None:
    """All recipes of at most two nodes, found by brute force, are reached from Elman's network by steps."""
    start = SPACE.recipe(SPACE.named("rnn"))
    reached, frontier = {start}, [start]
    while frontier:
        for other in neighbours(frontier.pop(), 2):
            if other not in reached:
                reached.add(other)
                frontier.append(other)
    assert reached == set(every_recipe(2))


def every_recipe(most: int) -> list[Recipe]:
    """By brute force over the rules."""
    arity = {"linear": 2, "linear3": 3, "blend": 3, "elementwise_prod": 2, "elementwise_sum": 2}
    arity |= dict.fromkeys(("activation_tanh", "activation_sigm", "activation_leaky_relu"), 1)
    found = []
    for states in range(1, 4):
        partial: list[tuple[Any, ...]] = [()]
        for n in range(1, most + 1):
            pool = [*range(1 + states), *range(FIRST, FIRST + n - 1)]
            options = [
                (op, sources)
                for op, k in arity.items()
                for sources in (permutations if op == "blend" else combinations)(pool, k)
                if 0 not in sources or op.startswith("linear")
            ]
            partial = [(*nodes, option) for nodes in partial for option in options]
            for nodes in partial:
                unread_nodes = {FIRST + i for i in range(n)} - {s for _, sources in nodes for s in sources}
                if len(unread_nodes) > states or unread(Recipe(nodes, (0,) * states)):
                    continue
                for hidden in permutations(range(n), states):
                    recipe = Recipe(nodes, hidden)
                    if is_legal(recipe):
                        found.append(recipe)
    return found


def test_legal_tokens_reach_every_small_recipe() -> None:
    """All walks along legal tokens of at most two nodes are the recipes found by brute force, each once."""
    space = NASBenchNLP(nodes=3)
    walks: list[tuple[int, ...]] = [()]
    ends: list[Recipe] = []
    while walks:
        walk = walks.pop()
        following = space.legal_tokens(walk)
        if not following:
            ends.append(space.recipe(space.from_tokens(walk)))
        elif sum(space.vocabulary[t] in space.decisions[2].choices for t in walk) <= 2:
            walks += [(*walk, token) for token in following]
    ends = [recipe for recipe in ends if len(recipe.nodes) <= 2]
    assert len(set(ends)) == len(ends)
    assert set(ends) == set(every_recipe(2))


def test_the_sources_of_blend_have_ports() -> None:
    texts = [
        json.dumps(LSTM_LIKE).replace('["o", "h_prev_1", "h_prev_0"]', json.dumps(order))
        for order in (["o", "h_prev_1", "h_prev_0"], ["o", "h_prev_0", "h_prev_1"], ["h_prev_1", "o", "h_prev_0"])
    ]
    assert len({SPACE.graph_key(SPACE.parse(text)) for text in texts}) == 3
    swapped = json.dumps(LSTM_LIKE).replace('["c", "o"]', '["o", "c"]')
    assert SPACE.graph_key(SPACE.parse(swapped)) == SPACE.graph_key(SPACE.parse(texts[0]))


def test_the_order_of_slots_does_not_change_the_graph_key() -> None:
    gru = json.loads(NAMED["gru"])
    other = dict(sorted(gru.items(), reverse=True))
    a, b = SPACE.named("gru"), SPACE.parse(json.dumps(other))
    assert a != b
    assert SPACE.graph_key(a) == SPACE.graph_key(b)


@pytest.mark.parametrize(
    ("labels", "edges", "ports", "message"),
    [
        (("x", "h_prev_0", "linear"), ((0, 2), (1, 2)), (0, 0), "one output, with ports"),
        (("x", "h_prev_0", "linear", "output"), ((0, 2), (1, 2), (2, 3)), None, "one output, with ports"),
        (("x", "h_prev_0", "linear", "output"), ((0, 2), (1, 2), (2, 3)), (0, 0, 1), "at ports 0, 1"),
        (("x", "h_prev_0", "linear", "output"), ((0, 2), (1, 2), (2, 3)), (0, 1, 0), "wrong ports at a linear"),
        (("x", "x", "linear", "output"), ((0, 2), (1, 2), (2, 3)), (0, 0, 0), "not the graph of a recipe"),
        (("x", "h_prev_0", "output"), ((0, 2), (1, 2)), (0, 1), "nodes of their own"),
        (("x", "h_prev_0", "linear", "output"), ((0, 2), (1, 2), (2, 3), (2, 3)), (0, 0, 0, 1), "of their own"),
        (("x", "h_prev_0", "linear", "output"), ((0, 1), (0, 2), (1, 2), (2, 3)), (0,) * 4, "an input reads nothing"),
        (("x", "h_prev_0", "output"), (), (), "not the graph of a recipe"),
    ],
)
def test_other_graphs_are_refused(labels: Any, edges: Any, ports: Any, message: str) -> None:
    with pytest.raises(InvalidArchitecture, match=message):
        SPACE.from_graphs({"cell": Graph(labels, edges, ports)})


def one_step(network: Network, x: float, states: dict[str, float]) -> tuple[float, dict[str, float]]:
    """A network of width 1 whose weights are 2 and whose biases are 3, by a reader of its own."""
    values: list[float] = []
    new: dict[str, float] = {}
    for _, primitive, inputs in network.nodes:
        read = [values[i] for i in inputs]
        match type(primitive).__name__:
            case "Input":
                value = x
            case "StateIn":
                value = states[primitive.state]  # type: ignore[attr-defined]
            case "Linear":
                value = 2 * read[0] + 3 * primitive.bias  # type: ignore[attr-defined]
            case "Add":
                value = sum(read)
            case "Multiply":
                value = read[0] * read[1]
            case "Complement":
                value = 1 - read[0]
            case "Activation":
                value = math.tanh(read[0]) if primitive.kind == "tanh" else 1 / (1 + math.exp(-read[0]))  # type: ignore[attr-defined]
            case _:
                assert isinstance(primitive, StateOut)
                value = new[primitive.state] = read[0]
        values.append(value)
    return values[network.outputs[0][1]], new


def test_a_step_of_the_gated_recurrent_unit_by_hand() -> None:
    network = SPACE.network(SPACE.named("gru"), Task("language", (1,), 10))

    def sigmoid(z: float) -> float:
        return 1 / (1 + math.exp(-z))

    x, h = 0.3, -0.7
    r = z = sigmoid(2 * x + 2 * h + 3)
    expected = z * h + (1 - z) * math.tanh(2 * x + 2 * (r * h) + 3)
    found, new = one_step(network, x, {"h_0": h})
    assert found == pytest.approx(expected)
    assert new == {"h_0": found}


def test_a_network_has_its_states() -> None:
    a = SPACE.parse(json.dumps(LSTM_LIKE))
    network = SPACE.network(a, TASK, hidden=7)
    assert [n.primitive for n in network.nodes if isinstance(n.primitive, Input)] == [Input((5,))]
    assert [n.primitive for n in network.nodes if isinstance(n.primitive, StateIn)] == [
        StateIn("h_0", (7,)), StateIn("h_1", (7,)),
    ]  # fmt: skip
    assert [n.primitive for n in network.nodes if isinstance(n.primitive, StateOut)] == [
        StateOut("h_0"), StateOut("h_1"),
    ]  # fmt: skip
    [(name, i)] = network.outputs
    assert (name, network.shapes[i]) == ("hidden", (7,))
    assert list(network.parameters()) == [
        ("node_0.linear.x.weight", (7, 5)),
        ("node_0.linear.x.bias", (7,)),
        ("node_0.linear.h_prev_0.weight", (7, 7)),
    ]


def test_other_tasks_and_widths_are_refused() -> None:
    a = SPACE.named("rnn")
    with pytest.raises(InvalidNetwork, match="a recurrent cell is for language"):
        SPACE.network(a, Task("classification", (3, 8, 8), 10))
    for hidden in (0, True, 2.0):
        with pytest.raises(InvalidNetwork, match="hidden cannot be set"):
            SPACE.network(a, TASK, hidden=hidden)  # type: ignore[arg-type]


@pytest.mark.parametrize("nodes", [2, 61, True, "9"])
def test_options_out_of_range_are_refused(nodes: Any) -> None:
    with pytest.raises(InvalidSpace, match="nodes cannot be set"):
        NASBenchNLP(nodes=nodes)


def test_unknown_names_are_refused() -> None:
    assert all(isinstance(SPACE.named(name), Architecture) for name in NAMED)
    with pytest.raises(InvalidArchitecture, match="no such cell: 'lstm'; expected one of rnn, gru"):
        SPACE.named("lstm")


def test_every_walk_along_legal_tokens_of_a_tight_space_ends() -> None:
    """The contract walks 20 times; the narrowest spaces are walked 300 times."""
    for nodes in (3, 4, 6):
        space, stream = NASBenchNLP(nodes=nodes), rng(nodes, "walk")
        for _ in range(100):
            walk: tuple[int, ...] = ()
            while following := space.legal_tokens(walk):
                walk = (*walk, following[int(stream.integers(len(following)))])
            recipe = space.recipe(space.from_tokens(walk))
            assert is_legal(recipe)
            assert legal(recipe, nodes)
