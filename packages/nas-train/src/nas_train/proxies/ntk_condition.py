"""Condition number of the neural tangent kernel.

Chen et al. 2021, "Neural architecture search on ImageNet in four GPU hours" (TE-NAS), §3.1; as AG-Net uses it, §4.3.

Notation
    g_i    gradient of Σ logits of image i with respect to every kernel of a convolution or linear map
    Θ      b x b: Θ_ij = g_i · g_j, the neural tangent kernel
    score  λ_max(Θ) / λ_min(Θ)          less is better

A network with a small condition number is easy to train. The batch is normalised by its own statistics, which are
constants to g_i, so that each image has a gradient of its own, as the definition has it. In the authors' code the
gradient goes through the statistics: where the last thing before pooling is a normalisation, the features of a batch
sum to zero, and so do the g_i. Then Θ is singular but for rounding, and the score says how a cell ends (DARTS cells:
with or without pooling), not how it trains. It takes b backward passes over the batch.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from nas_train.proxies.contract import kernel_gradients, with_fixed_statistics
from nas_train.scoring import logits_of


def ntk_condition(module: nn.Module, images: Tensor, labels: Tensor, seed: int) -> float:
    """The score; infinite where the kernel is singular, not a number where no convolution has a gradient."""
    copied = with_fixed_statistics(module, images)
    sums = logits_of(copied(images)).sum(1)
    rows = []
    for i in range(len(images)):
        gradients = kernel_gradients(copied, sums[i], retain_graph=i + 1 < len(images))
        if not any(w.dim() == 4 for w, _ in gradients):
            return math.nan
        rows.append(torch.cat([gradient.flatten() for _, gradient in gradients]))
    return condition(_gram(rows))


def condition(kernel: Tensor) -> float:
    """Largest over smallest eigenvalue of a symmetric matrix, b x b."""
    if not bool(torch.isfinite(kernel).all()):
        return math.nan
    values = torch.linalg.eigvalsh(kernel)
    smallest, largest = float(values[0]), float(values[-1])
    # what rounding leaves of a zero
    negligible = abs(largest) * len(kernel) * torch.finfo(kernel.dtype).eps
    return largest / smallest if smallest > negligible else math.inf


def _gram(rows: list[Tensor]) -> Tensor:
    """Inner products of b vectors, b x b, in double precision."""
    gradients = torch.stack(rows).double()
    return gradients @ gradients.T
