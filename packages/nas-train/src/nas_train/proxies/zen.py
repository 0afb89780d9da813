"""Zen-score (Lin et al. 2021, "Zen-NAS: a zero-shot NAS for high-performance image recognition", §4 and algorithm 1).

Notation
    f      the network up to its global pooling, its weights drawn from N(0, 1)
    x, ε   b x c x h x w: images and perturbations, drawn from N(0, 1)
    γ      0.01
    σ_l²   mean over channels of the batch's variances at the l-th normalisation, for the images x
    score  log E_x ‖f(x) - f(x + γε)‖₁ + Σ_l log σ_l          more is better

The second term gives back what normalisation divided out. As in the authors' code Δ is a sum of absolute differences
for each image. Unlike in the paper's own spaces, links that skip stay in, as in every comparison on cell spaces.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas_core.random import derived_seed
from nas_train.proxies.contract import normalisations, watching, working_copy
from nas_train.scoring import logits_of

GAMMA = 0.01
_POOLS = frozenset({F.adaptive_avg_pool2d})


def zen(module: nn.Module, images: Tensor, labels: Tensor, seed: int) -> float:
    """The score for weights of its own and random images of the shape of `images`, both drawn from `seed`.

    Where nothing is pooled globally the logits stand for the features.
    """
    copied = working_copy(module)
    _draw_weights(copied, seed)
    x, noise = (_normal(tuple(images.shape), seed, "image", i).to(images) for i in range(2))
    variances: list[Tensor] = []
    with torch.no_grad():
        hooks = [part.register_forward_pre_hook(_note(variances)) for part in normalisations(copied)]
        first = _features(copied, x)
        for hook in hooks:
            hook.remove()
        difference = float((first - _features(copied, x + GAMMA * noise)).abs().flatten(1).sum(1).double().mean())
    scales = [0.5 * _log(float(v)) for v in variances]
    return _log(difference) + sum(scales)


def _log(value: float) -> float:
    if value > 0:
        return math.log(value) if math.isfinite(value) else math.inf
    return -math.inf if value == 0 else math.nan


def _note(variances: list[Tensor]) -> Any:
    def hook(part: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        x = inputs[0].double()
        variances.append(x.var([a for a in range(x.dim()) if a != 1], unbiased=False).mean())

    return hook


def _features(module: nn.Module, x: Tensor) -> Tensor:
    """What the last global pooling reads, else the logits."""
    pooled: list[Tensor] = []
    with watching(_POOLS, lambda before, after: pooled.append(before) if after.shape[2:] == (1, 1) else None):
        logits = logits_of(module(x))
    return pooled[-1] if pooled else logits


def _draw_weights(module: nn.Module, seed: int) -> None:
    with torch.no_grad():
        for name, part in module.named_modules():
            if isinstance(part, nn.Conv2d | nn.Linear):
                part.weight.copy_(_normal(tuple(part.weight.shape), seed, "weight", name))
                if part.bias is not None:
                    part.bias.zero_()
        for part in normalisations(module):
            for parameter, value in ((part.weight, 1.0), (part.bias, 0.0)):
                if parameter is not None:
                    parameter.fill_(value)


def _normal(shape: tuple[int, ...], seed: int, *path: str | int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(derived_seed(seed, "zen", *path)))
