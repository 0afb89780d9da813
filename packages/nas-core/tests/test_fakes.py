"""The fakes: their numbers by hand, and functions in fresh processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from nas_core.cost import cost
from nas_core.errors import InvalidArchitecture, InvalidData, InvalidNetwork, InvalidOption, TrialFailed
from nas_core.evaluator import Evaluation
from nas_core.graph import Graph
from nas_core.network import Task
from nas_core.random import rng
from nas_core.testing import (
    ContinuousToySpace,
    FakeEvaluator,
    FakePosterior,
    FakeSurrogate,
    ToySpace,
    in_fresh_process,
    load_object,
)
from nas_core.training_set import TrainingSet

IMAGES = Task("classification", (3, 8, 8), 10)


@pytest.mark.parametrize(
    ("operations", "deepest", "size", "graphs", "twins"),
    [
        # ordered pairs times tails; unordered pairs times tails; unordered pairs times tails with one relu
        (4, 2, 16 * 5, 10 * 5, 10 * 4),
        (2, 1, 4 * 3, 3 * 3, 3 * 3),
        (1, 3, 1 * 7, 1 * 7, 1 * 5),
    ],
)
def test_sizes_of_the_toy_space(operations: int, deepest: int, size: int, graphs: int, twins: int) -> None:
    space = ToySpace(operations, deepest)
    members = list(space.enumerate())
    assert (space.size, len(set(members))) == (size, size)
    assert len({space.graph_key(a) for a in members}) == graphs
    assert len({space.twin_key(a) for a in members}) == twins


def test_a_toy_member_by_hand() -> None:
    space = ToySpace()
    a = space.canonical(["skip", "conv3", 2, "relu"])
    assert space.text(a) == '{"left":"skip","right":"conv3","depth":2,"activation":"relu"}'
    assert space.graphs(a) == {
        "cell": Graph(
            ("input", "skip", "conv3", "add", "relu", "relu", "output"),
            ((0, 1), (0, 2), (1, 3), (2, 3), (3, 4), (4, 5), (5, 6)),
        )
    }
    assert [space.vocabulary[token] for token in space.tokens(a)] == ["skip", "conv3", "2", "relu"]
    assert space.twin_key(a) == '{"left":"conv3","right":"skip","depth":1,"activation":"relu"}'


def test_twins_compute_the_same_and_can_cost_differently() -> None:
    """A swap and a second relu keep accuracy and parameters of the network; only the fake's params differ."""
    space = ToySpace()
    one, other = (space.canonical(v) for v in (["conv1", "pool", 1, "relu"], ["pool", "conv1", 2, "relu"]))
    first, second = (FakeEvaluator().evaluate(Evaluation(space, a)).metrics for a in (one, other))
    assert first["val_accuracy"] == second["val_accuracy"]
    assert first["params"] != second["params"]
    assert cost(space.network(one, IMAGES)).parameters == cost(space.network(other, IMAGES)).parameters


def test_a_toy_network_by_hand() -> None:
    space = ContinuousToySpace()
    network = space.network(space.canonical(["conv3", "skip", 1, "tanh", 0.25]), IMAGES, channels=2)
    assert [node.name for node in network.nodes] == [
        "input", "stem.conv", "stem.norm", "left.conv3.conv", "left.conv3.norm", "right.skip", "join", "tanh0",
        "dropout",
        "head.pool", "head.flatten", "head.linear",
    ]  # fmt: skip
    assert cost(network).parameters == (2 * 3 * 9 + 4) + (2 * 2 * 9 + 4) + (2 * 10 + 10)
    with pytest.raises(InvalidNetwork, match="a toy network classifies images: 'language'"):
        ToySpace().network(ToySpace().sample(rng(0), 1)[0], Task("language", (3,), 10))


@pytest.mark.parametrize("options", [{"operations": 0}, {"operations": 5}, {"deepest": 0}, {"deepest": True}])
def test_toy_spaces_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    for kind in (ToySpace, ContinuousToySpace):
        with pytest.raises(InvalidOption, match="cannot be set"):
            kind(**options)


def test_a_graph_with_the_right_labels_and_wrong_edges_is_no_member() -> None:
    graph = Graph(("input", "conv3", "pool", "add", "output"), ((0, 1), (1, 2), (2, 3), (3, 4)))
    with pytest.raises(InvalidArchitecture, match="not the graph of a toy member"):
        ToySpace().from_graphs({"cell": graph})


def test_measurements_by_hand() -> None:
    """Units of (conv1, skip, depth 2 of 0 to 2, tanh): 0.375, 0.875, 2.5 / 3, 0.75."""
    space = ToySpace()
    a = space.canonical(["conv1", "skip", 2, "tanh"])
    squares = 0.325**2 + 0.175**2 + (2.5 / 3 - 0.7) ** 2 + 0.05**2
    accuracy = 100 * (1 - squares / 4)
    measured = FakeEvaluator().evaluate(Evaluation(space, a, draw=2, replicate=3, seed=4))
    # 1000 + 375 + 875 + 833.3 + 750
    expected = {"val_accuracy": accuracy, "test_accuracy": accuracy - 1, "params": 3833.0}
    assert measured.metrics == pytest.approx(expected, rel=1e-12)
    assert measured.seconds == 1.0
    assert measured.details == {"draw": 2, "replicate": 3, "seed": 4}
    cheap = FakeEvaluator().evaluate(Evaluation(space, a, fidelity=3.0))
    assert cheap.metrics["val_accuracy"] == pytest.approx(accuracy - 2.5)
    assert cheap.seconds == 3.0


def test_an_evaluator_does_as_it_is_told(tmp_path: Path) -> None:
    space = ToySpace()
    shallow = Evaluation(space, space.canonical(["skip", "skip", 0, None]))
    deep = Evaluation(space, space.canonical(["skip", "skip", 1, "tanh"]))
    same = FakeEvaluator(constant=True)
    assert same.evaluate(shallow).metrics == same.evaluate(deep).metrics
    failing = FakeEvaluator(fail_on={"depth": [1]}, crash_on={"left": ["conv3"]})
    assert failing.evaluate(shallow).metrics
    with pytest.raises(TrialFailed) as caught:
        failing.evaluate(deep)
    assert caught.value.reason == "diverged"
    with pytest.raises(ZeroDivisionError):
        failing.evaluate(Evaluation(space, space.canonical(["conv3", "skip", 1, "tanh"])))
    with pytest.raises(InvalidData, match="broken"):
        FakeEvaluator(broken=True).prepare(space)
    (tmp_path / "go").touch()
    assert FakeEvaluator(hold=str(tmp_path / "go")).evaluate(deep) == FakeEvaluator().evaluate(deep)


def test_a_posterior_says_what_it_is_told() -> None:
    a, b = ToySpace().sample(rng(0), 2)
    means = {a: [1.0, 2.0], b: [3.0, 4.0]}
    draws = np.arange(12.0).reshape(3, 2, 2)
    posterior = FakePosterior(means.__getitem__, std=0.5, draws=draws)
    assert_array_equal(posterior.predict([b, a]).mean, [[3.0, 4.0], [1.0, 2.0]])
    assert_array_equal(posterior.predict([b, a]).std, np.full((2, 2), 0.5))
    assert_array_equal(posterior.sample([a, b], 3, rng(0)), np.array([means[a], means[b]]) + 0.5 * draws)
    after = posterior.condition([b], np.array([[9.0, 8.0]]))
    assert_array_equal(after.predict([a, b]).mean, [[1.0, 2.0], [9.0, 8.0]])
    assert_array_equal(after.predict([a, b]).std, [[0.5, 0.5], [0.0, 0.0]])


def test_a_surrogate_weighs_by_distance() -> None:
    """Two observations at distances 0 and 2 (both slots differ, two columns each): weights 1 and 3 · 2^-12."""
    space = ToySpace()
    a, b = (space.canonical([name, name, 0, None]) for name in ("conv3", "pool"))
    data = TrainingSet((a, b), np.array([[0.0], [1.0]]), np.array([1, 3]), np.zeros(2))
    posterior = FakeSurrogate(space, std=2.0).fit(data, rng(0))
    weight = 3 / 4096
    assert_allclose(posterior.predict([a]).mean, [[weight / (1 + weight)]])
    near = space.canonical(["conv3", "skip", 0, None])
    assert_allclose(posterior.predict([a, near]).std, [[0.0], [2.0]])


def test_fresh_processes_hash_in_their_own_way() -> None:
    assert in_fresh_process("nas_core.testing.processes:load_object", "os:name") == load_object("os:name")
    hashes = [in_fresh_process("builtins:hash", "text", hash_seed=seed) for seed in (1, 1, 2)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_failures_in_fresh_processes_show_what_was_written() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)builtins:int failed in a fresh process.*ValueError: invalid literal"):
        in_fresh_process("builtins:int", "many")
