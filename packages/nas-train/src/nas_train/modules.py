"""Modules and functions that torch lacks, for the primitives of `nas_core.primitives`.

Shapes: b images in a batch, c channels, h height, w width, d features.

Modules that own parameters leave them unset: `nas_train.build.initialise` is the one place that gives values. Noise
(dropout, dropped paths) is drawn from a generator that the training loop hands over with `set_noise`; without one it
comes from torch's default generator, as in torch's own modules.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas_core.primitives import Shape

_FLATTEST = 1e-12
"""Smallest span of a mask's values that is still stretched to [0, 1]."""


class Conv2d(nn.Conv2d):
    """torch's convolution, without initial values: those would be drawn from torch's global generator."""

    def reset_parameters(self) -> None:
        """Leave the values to `nas_train.build.initialise`."""


class Linear(nn.Linear):
    """torch's linear map, without initial values: those would be drawn from torch's global generator."""

    def reset_parameters(self) -> None:
        """Leave the values to `nas_train.build.initialise`."""


class BatchNorm(nn.Module):
    """Batch normalisation of b x c x h x w images or b x d vectors (Ioffe & Szegedy 2015).

    In training mode the batch's own mean and variance normalise it and move the running ones; in evaluation mode the
    running ones do. Unlike torch's own module it counts no batches: that costs a launch a layer and a step.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, affine: bool, momentum: float, epsilon: float) -> None:
        super().__init__()
        self.momentum = momentum
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.empty(channels)) if affine else None
        self.bias = nn.Parameter(torch.empty(channels)) if affine else None
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Images (b x c x h x w) or vectors (b x d), to the same shape."""
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, self.training, self.momentum, self.epsilon
        )


class WeightedSum(nn.Module):
    """Sum of tensors of one shape, each scaled by the sigmoid of a learnt number."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs))

    def forward(self, *xs: Tensor) -> Tensor:
        """Any number of tensors of one shape, to that shape."""
        scales = torch.sigmoid(self.weight).to(xs[0].dtype)
        total = xs[0] * scales[0]
        for i in range(1, len(xs)):
            total = torch.addcmul(total, xs[i], scales[i])
        return total


class Attention(nn.Module):
    """sigmoid(scale)·o + mask·o with o the sum of all inputs but the first and mask = minmax(gate·first) per image."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.empty(()))
        self.scale = nn.Parameter(torch.empty(()))

    def forward(self, first: Tensor, *rest: Tensor) -> Tensor:
        """At least two tensors of one shape, to that shape."""
        total = sum(rest[1:], start=rest[0])
        gated = self.gate * first
        axes = tuple(range(1, first.dim()))
        lowest = gated.amin(axes, keepdim=True)
        span = gated.amax(axes, keepdim=True) - lowest
        mask = (gated - lowest) / span.clamp_min(_FLATTEST)
        return (torch.sigmoid(self.scale) + mask) * total


class Noise(nn.Module):
    """What `Dropout` and `DropPath` share: drop with a probability while training, and scale up what is left."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self.generator: torch.Generator | None = None

    def _drop(self, x: Tensor, shape: tuple[int, ...]) -> Tensor:
        if not self.training or self.probability == 0.0:
            return x
        kept = 1.0 - self.probability
        if kept <= 0.0:
            return torch.zeros_like(x)
        mask = torch.empty(shape, dtype=x.dtype, device=x.device).bernoulli_(kept, generator=self.generator)
        return x * mask.div_(kept)


class Dropout(Noise):
    """Drops single elements."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, to the same."""
        return self._drop(x, tuple(x.shape))


class DropPath(Noise):
    """Drops all that a path gives for an image (Larsson et al. 2017).

    The probability is 0 until `set_drop_path` gives the rate of paths at depth 1.
    """

    def __init__(self, depth: float) -> None:
        super().__init__(0.0)
        self.depth = depth

    def forward(self, x: Tensor) -> Tensor:
        """Any shape that begins with b, to the same."""
        return self._drop(x, (x.shape[0],) + (1,) * (x.dim() - 1))


def set_drop_path(module: nn.Module, rate: float) -> None:
    """Every `DropPath` in a module drops with `rate` times its depth from now on."""
    for part in module.modules():
        if isinstance(part, DropPath):
            part.probability = rate * part.depth


def set_noise(module: nn.Module, generator: torch.Generator | None) -> None:
    """Every `Dropout` and `DropPath` in a module draws from `generator` from now on."""
    for part in module.modules():
        if isinstance(part, Noise):
            part.generator = generator


def min_pool2d(x: Tensor, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
    """Minimum over windows; padding never counts. b x c x h x w to b x c x h' x w'."""
    return -F.max_pool2d(-x, kernel, stride, padding)


def zeros(x: Tensor, shape: Shape) -> Tensor:
    """Zeros, b x `shape`, with the number of images, type and device of x; no gradient flows through them."""
    return x.new_zeros((x.shape[0], *shape))


def crop(x: Tensor, top: int, left: int) -> Tensor:
    """Without the first rows and columns: b x c x h x w to b x c x (h - top) x (w - left)."""
    return x[:, :, top:, left:]


def channels(x: Tensor, start: int, stop: int) -> Tensor:
    """Channels (or features) from `start` up to, not including, `stop`."""
    return x[:, start:stop]
