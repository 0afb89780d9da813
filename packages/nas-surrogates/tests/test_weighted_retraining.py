"""Weights by hand, and what one round of training does to generator and surrogate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nas_core.errors import InvalidData, InvalidOption
from nas_core.random import rng
from nas_core.registry import make
from nas_core.testing import ToySpace
from nas_surrogates.generator_pretraining import Pretrained, Pretraining, pretrain
from nas_surrogates.weighted_retraining import Expert, Retraining, rank_weights


@pytest.fixture(scope="module")
def toy() -> Pretrained:
    return pretrain(ToySpace(), Pretraining(samples=200, steps=60, batch=64, rate=1e-2, latent=8, width=12))


def data(toy: Pretrained) -> tuple[Any, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Members, targets that count how many slots are no skip (less is better), and the weights of their ranks."""
    space = ToySpace()
    members = list(dict.fromkeys(space.sample(rng(0), 40)))
    targets = np.array([[sum(slot != "skip" for slot in a.values[:2])] for a in members], dtype=np.float64)
    ranks = np.searchsorted(np.sort(targets[:, 0]), targets[:, 0])
    return members, targets - targets.mean(), rank_weights(ranks, 0.01)


def share_of_skips(toy: Pretrained, expert: Expert) -> float:
    members, _ = expert.generate(200, "normal", rng(1))
    return float(np.mean([a.values[:2].count("skip") for a in members if a is not None]))


def test_weights_by_hand() -> None:
    """k N = 0.25 * 4 = 1: 1 / (1 + 0), 1 / 2, 1 / 2, 1 / 4 and their mean 9 / 16."""
    wanted = np.array([1.0, 0.5, 0.5, 0.25]) * 16 / 9
    assert rank_weights(np.array([0, 1, 1, 3]), 0.25) == pytest.approx(wanted)


@pytest.mark.parametrize("weigh", ["both", "sampler", "loss"])
@pytest.mark.parametrize("reading", ["informed", "paper"])
def test_weights_draw_the_generator_to_the_best(toy: Pretrained, weigh: str, reading: str) -> None:
    """Skips in the two slots of 200 draws: 0.5 at chance. Retraining on skips at weights of ranks gives more."""
    members, targets, weights = data(toy)
    how = Retraining(reading=reading, weigh=weigh, epochs=10, rate=5e-3, fit_steps=0, alpha=0.1)
    expert = Expert(toy, 1, how, rng(2))
    before = share_of_skips(toy, expert)
    expert.retrain(toy.rules.encode(toy.space, members), targets, weights, rng(3))
    assert share_of_skips(toy, expert) > before + 0.3


def test_the_informed_surrogate_predicts_what_it_has_not_seen(toy: Pretrained) -> None:
    members, targets, weights = data(toy)
    expert = Expert(toy, 1, Retraining(epochs=3), rng(2))
    expert.retrain(toy.rules.encode(toy.space, members), targets, weights, rng(3))
    unseen = [a for a in ToySpace().enumerate() if a not in members]
    predicted = expert.predict(toy.rules.encode(toy.space, unseen), np.zeros((len(unseen), 0), dtype=np.float32))
    wanted = [sum(slot != "skip" for slot in a.values[:2]) for a in unseen]
    assert np.corrcoef(predicted[:, 0], wanted)[0, 1] > 0.8


def test_without_backpropagation_the_surrogate_leaves_the_generator_alone(toy: Pretrained) -> None:
    """With alpha 1 nothing but the surrogate's gradient could move it."""
    members, targets, weights = data(toy)
    moved = []
    for backprop in (False, True):
        expert = Expert(toy, 1, Retraining(epochs=1, alpha=1.0, backprop=backprop, begin="last"), rng(2))
        before = expert.state()["generator.vector"]
        expert.retrain(toy.rules.encode(toy.space, members), targets, weights, rng(3))
        moved.append(not np.array_equal(expert.state()["generator.vector"], before))
    assert moved == [False, True]


@pytest.mark.parametrize("begin", ["pretrained", "last"])
def test_a_round_begins_where_it_is_told(toy: Pretrained, begin: str) -> None:
    """Without the surrogate's gradient, what the generator learnt in a first round is forgotten or is not."""
    members, targets, weights = data(toy)
    arrays, how = toy.rules.encode(toy.space, members), Retraining(epochs=1, backprop=False, begin=begin)
    twice, once = Expert(toy, 1, how, rng(2)), Expert(toy, 1, how, rng(2))
    twice.retrain(arrays, targets, weights, rng(3))
    for expert in (twice, once):
        expert.retrain(arrays, targets, weights, rng(4))
    alike = once.generate(50, "normal", rng(5))[0] == twice.generate(50, "normal", rng(5))[0]
    assert alike == (begin == "pretrained")


@pytest.mark.parametrize("reading", ["informed", "paper"])
def test_it_goes_on_exactly_from_its_state(toy: Pretrained, reading: str) -> None:
    members, targets, weights = data(toy)
    arrays = toy.rules.encode(toy.space, members)
    how = Retraining(reading=reading, epochs=1, fit_steps=5)
    one, other = Expert(toy, 1, how, rng(2)), Expert(toy, 1, how, rng(9))
    one.retrain(arrays, targets, weights, rng(3))
    other.restore(one.state())
    for expert in (one, other):
        expert.retrain(arrays, targets, weights, rng(4))
    found, again = one.state(), other.state()
    assert all(np.array_equal(found[name], again[name]) for name in found)
    given, scores = one.generate(20, "uniform", rng(5))
    assert other.generate(20, "uniform", rng(5))[0] == given
    kept = [i for i, a in enumerate(given) if a is not None]
    own = toy.rules.encode(toy.space, [given[i] for i in kept])
    assert np.array_equal(one.predict(own, scores[kept]), other.predict(own, scores[kept]))


@pytest.mark.parametrize("reading", ["informed", "paper"])
def test_of_two_graphs_only_the_one_that_is_searched_is_learnt(reading: str) -> None:
    """Weights on members whose normal cell has no pooling: the share falls there, and only there is anything learnt."""
    pytest.importorskip("nas_spaces", reason="the space is one of nas-spaces")
    space: Any = make("space", "darts")
    made = pretrain(space, Pretraining(samples=200, steps=30, batch=32, rate=1e-2, latent=8, width=12))
    members = space.sample(rng(0), 40)

    def pools(a: Any, cell: int) -> int:
        return sum("pool" in operation for node in space.cells_of(a)[cell] for _, operation in node)

    targets = np.array([[float(pools(a, 0))] for a in members])
    ranks = np.searchsorted(np.sort(targets[:, 0]), targets[:, 0])
    expert = Expert(made, 1, Retraining(reading=reading, epochs=4, rate=1e-2, alpha=0.1, fit_steps=5), rng(2))
    arrays = made.rules.encode(space, members)
    kept = made.rules.encode(space, members[:1])
    expert.retrain(arrays, targets - targets.mean(), rank_weights(ranks, 0.01), rng(3), (0,))
    drawn, scores = expert.generate(100, "normal", rng(4), kept, (0,))
    found = [a for a in drawn if a is not None]
    assert {space.graphs(a)["reduction"].key() for a in found} == {space.graphs(members[0])["reduction"].key()}
    assert np.mean([pools(a, 0) for a in found]) < targets.mean() - 0.5
    rows = [i for i, a in enumerate(drawn) if a is not None]
    assert expert.predict(made.rules.encode(space, found), scores[rows]).shape == (len(found), 1)


def test_the_state_of_another_is_refused(toy: Pretrained) -> None:
    one, two = (Expert(toy, m, Retraining(), rng(0)) for m in (1, 2))
    with pytest.raises(InvalidData):
        two.restore(one.state())


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 0}, {"reading": "x"}, {"weigh": "x"}, {"begin": "x"}, {"alpha": -0.1}, {"k": 0.0}, {"rate": True}],
)
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        Retraining(**wrong)
