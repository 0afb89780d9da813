"""Synaptic flow.

Tanaka et al. 2020, "Pruning neural networks without any data by iteratively conserving synaptic flow", eq. 2 and 3; as
a score of architectures: Abdelfattah et al. 2021, "Zero-cost proxies for lightweight NAS", §3.2.

Notation
    w     every kernel of a convolution or linear map
    R     1ᵀ f(1; |θ|): the sum of the logits for one image of ones, all parameters with their signs removed
    score log Σ_w Σ |∂R/∂w ⊙ w|          more is better

Nothing of normalisation takes part: each is replaced by the identity. R is a product of one factor a layer, so it is
computed in double precision; the logarithm, which Tanaka et al. do not take, keeps the order and tames the size.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from nas_train.proxies.contract import kernel_gradients, normalisations, working_copy
from nas_train.scoring import logits_of


def synflow(module: nn.Module, images: Tensor, labels: Tensor, seed: int) -> float:
    """The score; of `images` it reads the shape alone. Minus infinity where nothing flows."""
    linear = working_copy(module).double().eval()
    for part in normalisations(linear):
        part.register_forward_hook(_identity)
    with torch.no_grad():
        for parameter in linear.parameters():
            parameter.abs_()
    ones = torch.ones((1, *images.shape[1:]), dtype=torch.float64, device=images.device)
    flow = logits_of(linear(ones)).sum()
    total = sum(float((w * gradient).abs().sum()) for w, gradient in kernel_gradients(linear, flow))
    return math.log(total) if total > 0 else -math.inf if total == 0 else math.nan


def _identity(part: nn.Module, inputs: tuple[Any, ...], output: Any) -> Any:
    return inputs[0]
