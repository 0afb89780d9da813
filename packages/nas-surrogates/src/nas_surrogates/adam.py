"""Adam (Kingma and Ba 2015) on one flat vector of parameters.

A few operations on one vector take the place of a few for each parameter, which matters where networks are small and
trained often; and torch.optim imports torch's compiler, seconds that a search of half a minute would notice. The test
compares it with torch's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, final

import torch
from torch import Tensor, nn

_FIRST: Final = 0.9
_SECOND: Final = 0.999
_EPSILON: Final = 1e-8


@final
class Adam:
    """A weight optimizer over all parameters of a module, which become views of one vector.

    Args:
        module: with parameters of one floating type, on the CPU.
        rate: step size; it may be changed between steps.
        decay: weight of half the squared parameters in the loss.
        clip: longest gradient; longer ones are shortened to it.
    """

    def __init__(self, module: nn.Module, rate: float, *, decay: float = 0.0, clip: float | None = None) -> None:
        self.parameters = list(module.parameters())
        self.rate = rate
        self._decay = decay
        self._clip = clip
        self.vector = torch.cat([parameter.detach().reshape(-1) for parameter in self.parameters])
        self.first = torch.zeros_like(self.vector)
        self.second = torch.zeros_like(self.vector)
        self.steps = 0
        start = 0
        for parameter in self.parameters:
            parameter.data = self.vector[start : start + parameter.numel()].view(parameter.shape)
            start += parameter.numel()

    def step(self, loss: Tensor) -> None:
        """One step down the gradient of a loss."""
        self.apply(torch.autograd.grad(loss, self.parameters))

    def apply(self, gradients: Sequence[Tensor]) -> None:
        """One step down a gradient, given for each of `parameters`."""
        with torch.no_grad():
            gradient = torch.cat([part.reshape(-1) for part in gradients])
            if self._decay:
                gradient.add_(self.vector, alpha=self._decay)
            if self._clip is not None:
                gradient.mul_((self._clip / (gradient.norm() + _EPSILON)).clamp(max=1.0))
            self.steps += 1
            self.first.mul_(_FIRST).add_(gradient, alpha=1.0 - _FIRST)
            self.second.mul_(_SECOND).addcmul_(gradient, gradient, value=1.0 - _SECOND)
            root = (self.second / (1.0 - _SECOND**self.steps)).sqrt_().add_(_EPSILON)
            self.vector.addcdiv_(self.first, root, value=-self.rate / (1.0 - _FIRST**self.steps))
