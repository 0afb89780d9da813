"""Jacobian covariance (Mellor et al. 2020, "Neural architecture search without training", first version, §3).

Notation
    J      b x (c·h·w): row i is the gradient of Σ logits (over all images) with respect to image i
    Σ      b x b: correlations of the rows of J
    λ_i    eigenvalues of Σ, i = 1 … b
    k      1e-5
    score  -Σ_i [log(λ_i + k) + 1 / (λ_i + k)]          more is better

It is highest, -b, where the rows are uncorrelated: images then are told apart locally.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from nas_train.proxies.contract import working_copy
from nas_train.scoring import logits_of

K = 1e-5


def jacov(module: nn.Module, images: Tensor, labels: Tensor, seed: int) -> float:
    """The score; not a number where the logits do not depend on some image."""
    x = images.detach().clone().requires_grad_()
    total = logits_of(working_copy(module)(x)).sum()
    gradient = torch.autograd.grad(total, x, allow_unused=True)[0] if total.requires_grad else None
    if gradient is None:
        return math.nan
    return of_jacobian(gradient.flatten(1).double().cpu().numpy())


def of_jacobian(jacobian: np.ndarray) -> float:
    """The score of a Jacobian, b x (c·h·w)."""
    centred = jacobian - jacobian.mean(1, keepdims=True)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    if not np.all(np.isfinite(lengths)) or np.any(lengths == 0):
        return math.nan
    unit = centred / lengths
    values = np.linalg.eigvalsh(unit @ unit.T).clip(min=0.0)  # rounding makes zeros slightly negative
    return float(-np.sum(np.log(values + K) + 1.0 / (values + K)))
