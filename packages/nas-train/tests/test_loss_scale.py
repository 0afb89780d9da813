"""Loss scaling: gradients come back as they were, and an overflow halves the scale and is told."""

from __future__ import annotations

import torch
from torch import nn

from nas_train.loss_scale import LossScale


def _scaled_gradient(module: nn.Linear, scale: LossScale, x: float) -> torch.Tensor:
    module.weight.grad = None
    scale.scaled(module(torch.tensor([[x]])).sum()).backward()
    scale.unscale(module.parameters())
    assert module.weight.grad is not None
    return module.weight.grad


def test_gradients_are_those_of_the_loss_and_the_scale_halves_at_an_overflow() -> None:
    module, scale = nn.Linear(1, 1, bias=False), LossScale(torch.device("cpu"))
    assert _scaled_gradient(module, scale, 3.0).item() == 3.0
    assert scale.overflow.item() == 0.0
    scale.update()
    assert scale.state()["scale"].item() == 2.0**16
    _scaled_gradient(module, scale, 1e35)  # times 65,536 it is beyond the largest float
    assert scale.overflow.item() == 1.0
    scale.update()
    assert scale.state()["scale"].item() == 2.0**15
    _scaled_gradient(module, scale, 3.0)
    assert scale.overflow.item() == 0.0


def test_the_scale_doubles_after_two_thousand_steps_and_goes_on_from_its_state() -> None:
    one = LossScale(torch.device("cpu"))
    for _ in range(1999):
        one.update()
    other = LossScale(torch.device("cpu"))
    other.restore({name: t.clone() for name, t in one.state().items()})
    for scale in (one, other):
        assert scale.state()["scale"].item() == 2.0**16
        scale.update()
        assert scale.state()["scale"].item() == 2.0**17


def test_a_module_without_gradients_has_nothing_to_unscale() -> None:
    scale = LossScale(torch.device("cpu"))
    scale.unscale(nn.Linear(1, 1).parameters())
    assert scale.overflow.item() == 0.0
