"""Loss scaling for half-precision floats (Micikevicius et al. 2018): small gradients are kept from vanishing.

The loss is multiplied by a scale before the backward pass and the gradients are divided by it after; where one of them
is not finite the step is left out and the scale halved, and after 2,000 steps without it is doubled. All of it stays on
the device: nothing waits. (torch's own GradScaler does the same around torch's optimizer classes, which are not used.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import final

import torch
from torch import Tensor, nn

_INITIAL = 2.0**16
_GROWTH, _BACKOFF, _INTERVAL = 2.0, 0.5, 2000


@final
class LossScale:
    """The scale of a training.

    Args:
        device: where the training runs.
    """

    def __init__(self, device: torch.device) -> None:
        self.overflow = torch.zeros((), device=device)
        self._scale = torch.full((), _INITIAL, device=device)
        self._steps = torch.zeros((), dtype=torch.int32, device=device)

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss from which gradients are taken."""
        return loss * self._scale

    @torch.no_grad()
    def unscale(self, parameters: Iterable[nn.Parameter]) -> None:
        """Divide the gradients by the scale; `overflow` holds a 1 where one of them is not finite, else a 0."""
        self.overflow.zero_()
        gradients = [p.grad for p in parameters if p.grad is not None]
        if gradients:
            inverse = self._scale.double().reciprocal().float()
            torch._amp_foreach_non_finite_check_and_unscale_(gradients, self.overflow, inverse)

    @torch.no_grad()
    def update(self) -> None:
        """Move the scale after a step."""
        torch._amp_update_scale_(self._scale, self._steps, self.overflow, _GROWTH, _BACKOFF, _INTERVAL)

    def state(self) -> dict[str, Tensor]:
        """Scale and steps since it last moved."""
        return {"scale": self._scale, "steps": self._steps}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state` gave."""
        self._scale.copy_(state["scale"])
        self._steps.copy_(state["steps"])
