"""Weight optimizers take the steps of torch's own, or those of their formula, and go on exactly from their state."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nas_train.recipe import Recipe
from nas_train.weight_optimizer import Adam, MomentumSGD, RMSProp, WeightOptimizer, weight_optimizer

RECIPES = {
    kind: Recipe("quick", 1, 2, 0.1, weight_optimizer=kind, second_momentum=0.9, epsilon=0.5)
    for kind in ("sgd", "rmsprop", "adam")
}


@pytest.mark.parametrize(("momentum", "nesterov", "decay"), [(0.0, True, 0.0), (0.9, False, 1e-2), (0.9, True, 5e-4)])
def test_steps_are_those_of_torch(momentum: float, nesterov: bool, decay: float) -> None:
    ours, theirs = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)), nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    theirs.load_state_dict(ours.state_dict())
    own = MomentumSGD(ours, momentum=momentum, nesterov=nesterov, weight_decay=decay)
    reference = torch.optim.SGD(
        theirs.parameters(), lr=1.0, momentum=momentum, nesterov=nesterov and momentum > 0, weight_decay=decay
    )
    for step in range(5):
        x = torch.randn(6, 3, generator=torch.Generator().manual_seed(step))
        own.zero_grad()
        ours(x).square().mean().backward()
        own.step(0.1 * (step + 1))
        reference.param_groups[0]["lr"] = 0.1 * (step + 1)
        reference.zero_grad()
        theirs(x).square().mean().backward()
        reference.step()
        for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(a, b)


def test_parameters_without_a_gradient_stay() -> None:
    module = nn.ModuleDict({"used": nn.Linear(2, 2), "dead": nn.Linear(2, 2)})
    before = module["dead"].weight.clone()
    own = MomentumSGD(module, momentum=0.9, nesterov=True, weight_decay=0.1)
    module["used"](torch.ones(1, 2)).sum().backward()
    own.step(0.1)
    assert torch.equal(module["dead"].weight, before)
    assert set(own.state()) == {"used.weight", "used.bias"}


def test_adam_takes_torchs_steps() -> None:
    ours, theirs = nn.Linear(3, 4), nn.Linear(3, 4)
    theirs.load_state_dict(ours.state_dict())
    own = Adam(ours, momentum=0.8, second_momentum=0.95, epsilon=1e-6, weight_decay=0.01)
    reference = torch.optim.Adam(theirs.parameters(), lr=0.1, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.01)
    for step in range(5):
        x = torch.randn(6, 3, generator=torch.Generator().manual_seed(step))
        for module, optimizer in ((ours, own), (theirs, reference)):
            optimizer.zero_grad()
            module(x).square().mean().backward()
        own.step(0.1)
        reference.step()
        torch.testing.assert_close(list(ours.parameters()), list(theirs.parameters()))


def test_rmsprop_worked_out_by_hand() -> None:
    module = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(2.0)
    own = RMSProp(module, momentum=0.5, second_momentum=0.75, epsilon=1.25, weight_decay=0.0)
    for expected in (
        # gradients are 2: v = 0.75 + 0.25 · 4 = 1.75, sqrt(v + 1.25) = sqrt(3), a move of 0.3 · 2 / sqrt(3)
        first := 2.0 - 0.6 / 3.0**0.5,
        # v = 0.75 · 1.75 + 1 = 2.3125; half the first move, and 0.6 / sqrt(3.5625)
        first - 0.5 * 0.6 / 3.0**0.5 - 0.6 / 3.5625**0.5,
    ):
        own.zero_grad()
        module(torch.tensor([[2.0]])).sum().backward()
        own.step(0.3)
        assert module.weight.item() == pytest.approx(expected)


def test_rmsprop_decays_weights_through_the_gradient() -> None:
    module = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        module.weight.fill_(2.0)
    own = RMSProp(module, momentum=0.0, second_momentum=0.5, epsilon=1.0, weight_decay=0.5)
    module(torch.tensor([[0.0]])).sum().backward()
    own.step(0.1)  # a gradient of 0 + 0.5 · 2 = 1: v = 1, a move of 0.1 / sqrt(2)
    assert module.weight.item() == pytest.approx(2.0 - 0.1 / 2.0**0.5)


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_a_step_that_overflows_is_left_out(kind: str) -> None:
    module, other = nn.Linear(3, 2), nn.Linear(3, 2)
    other.load_state_dict(module.state_dict())
    own, reference = weight_optimizer(module, RECIPES[kind]), weight_optimizer(other, RECIPES[kind])
    before = module.weight.detach().clone()
    for overflow in (1.0, 0.0):
        own.zero_grad()
        module(torch.ones(1, 3)).sum().backward()
        own.step(0.1, torch.tensor(overflow))
        if overflow:
            assert torch.equal(module.weight, before)
    other(torch.ones(1, 3)).sum().backward()
    reference.step(0.1)
    assert torch.equal(module.weight, other.weight)
    assert not torch.equal(module.weight, before)


@pytest.mark.parametrize("kind", RECIPES)
def test_a_restored_state_goes_on_as_before(kind: str) -> None:
    def step(module: nn.Module, own: WeightOptimizer, seed: int) -> None:
        own.zero_grad()
        x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
        module(x).square().mean().backward()
        own.step(0.1)

    def made() -> tuple[nn.Conv2d, WeightOptimizer]:
        module = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        return module, weight_optimizer(module, RECIPES[kind])

    (one, own), (other, resumed) = made(), made()
    step(one, own, 0)
    other.load_state_dict(one.state_dict())
    resumed.restore({name: t.contiguous() for name, t in own.state().items()})  # laid out anew, as in a file
    step(one, own, 1)
    step(other, resumed, 1)
    assert torch.equal(one.weight, other.weight)
