"""The weight optimizer takes the steps of torch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nas_train.weight_optimizer import MomentumSGD


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


def test_a_restored_momentum_goes_on_as_before() -> None:
    def step(module: nn.Module, own: MomentumSGD, seed: int) -> None:
        own.zero_grad()
        x = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(seed))
        module(x).square().mean().backward()
        own.step(0.1)

    def made() -> tuple[nn.Module, MomentumSGD]:
        module = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
        return module, MomentumSGD(module, momentum=0.9, nesterov=True, weight_decay=0.0)

    (one, own), (other, resumed) = made(), made()
    step(one, own, 0)
    other.load_state_dict(one.state_dict())
    resumed.restore({name: t.contiguous() for name, t in own.state().items()})  # laid out anew, as in a file
    step(one, own, 1)
    step(other, resumed, 1)
    assert torch.equal(one.weight, other.weight)
