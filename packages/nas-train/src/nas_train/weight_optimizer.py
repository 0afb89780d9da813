"""The weight optimizer: stochastic gradient descent with momentum (Sutskever et al. 2013), one fused call a step.

The arithmetic is torch's own (`torch.optim.sgd.sgd`). torch's class around it is left out because making one loads
torch's compiler: three seconds in every process, as long as a search trains a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd


@final
class MomentumSGD:
    """Moves a module's parameters against their gradients; those without a gradient stay where they are.

    Args:
        module: whose parameters.
        momentum: share of the last move that is kept.
        nesterov: whether the momentum looks ahead.
        weight_decay: multiple of each parameter that is added to its gradient.
    """

    def __init__(self, module: nn.Module, *, momentum: float, nesterov: bool, weight_decay: float) -> None:
        self._parameters = dict(module.named_parameters())
        self._momentum: dict[str, Tensor] = {}
        self._rate, self._nesterov, self._decay = momentum, nesterov and momentum > 0, weight_decay

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self._parameters.values():
            parameter.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Move every parameter that has a gradient."""
        moved = {name: p for name, p in self._parameters.items() if p.grad is not None}
        gradients = [p.grad for p in moved.values()]
        buffers = [self._momentum.get(name) for name in moved]
        sgd(
            list(moved.values()),
            gradients,  # type: ignore[arg-type]
            buffers,
            fused=True,
            lr=learning_rate,
            dampening=0.0,
            momentum=self._rate,
            nesterov=self._nesterov,
            weight_decay=self._decay,
            maximize=False,
        )
        self._momentum = {name: b for name, b in zip(moved, buffers, strict=True) if b is not None}

    def state(self) -> dict[str, Tensor]:
        """The momentum of every parameter that has moved, by the parameter's name."""
        return dict(self._momentum)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up a momentum."""
        # laid out in memory as the parameter is: the fused step walks through both side by side
        self._momentum = {
            n: torch.empty_like(self._parameters[n]).copy_(state[n]) for n in self._parameters if n in state
        }
