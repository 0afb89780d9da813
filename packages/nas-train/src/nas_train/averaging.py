"""Averaged weights: an exponential moving average of parameters and running statistics, which is what is measured.

The share that is kept grows from 2/11 to its end with the number of steps t, min(decay, (1 + t) / (10 + t)), so that a
short training's average does not hold on to the initial weights (the rule of TensorFlow's ExponentialMovingAverage).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

import torch
from torch import Tensor, nn


@final
class WeightAverage:
    """The average of a module's floating-point parameters and buffers, batch statistics included.

    Args:
        module: whose.
        decay: share that is kept at a step in the end.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._decay = decay
        self._live = {name: t for name, t in module.state_dict(keep_vars=True).items() if t.is_floating_point()}
        self._average = {name: t.detach().clone() for name, t in self._live.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after a step, counted from 1."""
        weight = 1.0 - min(self._decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self._average.values()), [t.detach() for t in self._live.values()], weight)

    def state(self) -> Mapping[str, Tensor]:
        """The average, by name, as long as it is not swapped in."""
        return dict(self._average)

    def swap(self) -> None:
        """Give the module the averaged weights and keep the trained ones, or the other way round."""
        for name, t in self._live.items():
            # the tensors change places, not their values: nothing is copied, and a second swap puts back the addresses
            t.data, self._average[name] = self._average[name], t.data
