"""Parts of learnt surrogates: losses and scales by hand, Adam against torch's, the controller that learns to draw."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from nas_core.errors import InvalidData, InvalidOption
from nas_core.random import rng
from nas_surrogates.adam import Adam
from nas_surrogates.controller import Controller
from nas_surrogates.losses import loss_weights, weighted_squares
from nas_surrogates.target_scale import EDGE, TargetScale


@pytest.mark.parametrize(
    ("loss", "weights"),
    [
        ("mse", [1.0, 1.0, 1.0]),
        ("exponential", [0.0, (math.sqrt(math.e) - 1) / (math.e - 1), 1.0]),
        ("logarithmic", [0.0, math.log2(1.5), 1.0]),
        ("linear", [0.0, 0.5, 1.0]),
        ("exponential_code", [math.exp(-1), math.exp(-0.5), 1.0]),
    ],
)
def test_the_weights_of_losses(loss: str, weights: list[float]) -> None:
    found = loss_weights(loss, torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64))
    assert_allclose(found.numpy(), weights)


def test_the_loss_is_a_mean_over_architectures_and_a_sum_over_targets() -> None:
    predicted = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    loss = weighted_squares(predicted, torch.zeros(2, 2), torch.tensor([[1.0, 0.5], [0.0, 1.0]]))
    assert float(loss) == pytest.approx((1 + 0) / 2 + (2 + 16) / 2)


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(InvalidOption, match="no such loss"):
        loss_weights("huber", torch.zeros(1))


def test_accuracies_in_per_cent() -> None:
    scale = TargetScale.of(np.array([-90.0, -50.0, -10.0]))
    assert scale.bounded
    assert_allclose(scale.trained_to(np.array([-90.0])), [0.9])
    assert_allclose(scale.goodness(np.array([-90.0, 5.0])), [0.9, 0.0])
    assert_allclose(scale.forward(np.array([-90.0, -50.0])), [-math.log(9.0), 0.0], atol=1e-12)
    assert_allclose(scale.inverse(scale.forward(np.array([-90.0, -33.0]))), [-90.0, -33.0])
    assert_allclose(scale.of_network(scale.trained_to(np.array([-77.0]))), [-77.0])


def test_accuracies_as_shares() -> None:
    assert TargetScale.of(np.array([-0.9, -0.5])).whole == 1.0


def test_shares_without_a_logit() -> None:
    t = np.array([-90.0, -50.0, -10.0])
    scale = TargetScale.of(t, "share")
    assert scale.bounded
    assert_allclose(scale.trained_to(t), [0.9, 0.5, 0.1])
    assert_allclose(scale.forward(t), [-0.9, -0.5, -0.1])
    assert_allclose(scale.inverse(scale.forward(t)), t)
    assert not TargetScale.of(np.array([80.0, 120.0]), "share").bounded


def test_logits_end_at_one_error_in_ten_thousand() -> None:
    scale = TargetScale.of(np.array([-1.0, 0.0]))
    assert_allclose(scale.forward(np.array([-1.0, 0.0])), [math.log(EDGE / (1 - EDGE)), math.log((1 - EDGE) / EDGE)])


@pytest.mark.parametrize("targets", [[80.0, 120.0], [-5000.0, -10.0], [-1e-4, -2e-5], [-90.0, 3.0]])
def test_other_targets_are_taken_as_they_are(targets: list[float]) -> None:
    t = np.array(targets)
    scale = TargetScale.of(t)
    assert not scale.bounded
    assert_array_equal(scale.forward(t), t)
    assert_allclose(scale.trained_to(t).mean(), 0.0, atol=1e-12)
    assert_allclose(scale.trained_to(t).std(), 1.0)
    assert_allclose(scale.goodness(np.array([t.min(), t.max(), t.mean()])), [1.0, 0.0, 0.5])
    assert_allclose(scale.of_network(scale.trained_to(t)), t)


def test_constant_targets_have_a_scale() -> None:
    scale = TargetScale.of(np.full(3, 7.0))
    assert_array_equal(scale.trained_to(np.full(3, 7.0)), np.zeros(3))
    assert_array_equal(scale.goodness(np.full(3, 7.0)), np.ones(3))


def test_a_logit_of_what_is_no_accuracy_is_refused() -> None:
    with pytest.raises(InvalidData, match="logit"):
        TargetScale.of(np.array([80.0, 120.0]), "logit")


def test_adam_is_that_of_torch() -> None:
    modules = [torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1)) for _ in range(2)]
    modules[1].load_state_dict(modules[0].state_dict())
    ours, theirs = Adam(modules[0], 0.01), torch.optim.Adam(modules[1].parameters(), lr=0.01)
    x = torch.from_numpy(rng(0).standard_normal((8, 3)).astype(np.float32))
    for _ in range(50):
        ours.step((modules[0](x) ** 2).mean())
        theirs.zero_grad()
        (modules[1](x) ** 2).mean().backward()
        theirs.step()
    for name, tensor in modules[1].state_dict().items():
        assert_allclose(modules[0].state_dict()[name].numpy(), tensor.numpy(), atol=1e-5)


def test_a_controller_learns_what_is_rewarded() -> None:
    """Reward: how many of four decisions are their last choice; uniform draws have 1.25 in the mean."""
    controller = Controller((3, 4, 3, 3), rng(0))
    for step in range(60):
        choices = controller.draw(50, rng(1, step))
        rewards = (choices == np.array([2, 3, 2, 2])).sum(axis=1).astype(np.float64)
        controller.learn(choices, np.ones(choices.shape, dtype=np.bool_), rewards)
    assert (controller.draw(200, rng(2)) == np.array([2, 3, 2, 2])).sum(axis=1).mean() > 3.0


def test_a_controller_goes_on_from_its_state() -> None:
    first, second = Controller((2, 5), rng(0)), Controller((2, 5), rng(9))
    for one in (first, second):
        choices = first.draw(20, rng(1))
        one.learn(choices, np.ones(choices.shape, dtype=np.bool_), choices[:, 1].astype(np.float64))
    second.restore(first.state())
    for one in (first, second):
        choices = one.draw(20, rng(3))
        one.learn(choices, np.ones(choices.shape, dtype=np.bool_), choices[:, 0].astype(np.float64))
    assert_array_equal(first.draw(50, rng(4)), second.draw(50, rng(4)))
    assert first.state().keys() == second.state().keys()
    for name, array in first.state().items():
        assert_array_equal(array, second.state()[name])


def test_equal_rewards_teach_nothing() -> None:
    controller = Controller((2, 2), rng(0))
    before = controller.state()
    controller.learn(controller.draw(8, rng(1)), np.ones((8, 2), dtype=np.bool_), np.full(8, 0.3))
    assert_array_equal(controller.state()["parameters"], before["parameters"])


def test_what_a_controller_refuses() -> None:
    controller = Controller((2, 2), rng(0))
    with pytest.raises(InvalidData, match="finite"):
        controller.learn(controller.draw(2, rng(1)), np.ones((2, 2), dtype=np.bool_), np.array([1.0, np.nan]))
    with pytest.raises(InvalidData, match="shapes"):
        controller.learn(controller.draw(2, rng(1)), np.ones((2, 2), dtype=np.bool_), np.zeros(3))
    with pytest.raises(InvalidData, match="other decisions"):
        Controller((2, 3), rng(0)).restore(controller.state())
    with pytest.raises(InvalidOption, match="decisions with choices"):
        Controller((), rng(0))


def test_regrets_are_logarithmic_and_turn_back() -> None:
    """Regrets 0, 1, 2, 9 have the lower quartile 0.75, so that z is linear in log(1 + regret / 0.75)."""
    t = np.array([-95.0, -94.0, -93.0, -86.0])
    scale = TargetScale.of(t, "regret")
    assert not scale.bounded
    z, logs = scale.forward(t), np.log1p(np.array([0.0, 1.0, 2.0, 9.0]) / 0.75)
    assert_allclose(z, (logs - logs.mean()) / logs.std())
    assert_allclose(scale.inverse(z), t)
    assert_array_equal(scale.trained_to(t), z)
    assert_allclose(scale.goodness(t), 1.0 - logs / logs.max())
