"""Gradient norm (Abdelfattah et al. 2021, "Zero-cost proxies for lightweight NAS", §3.1).

Notation
    L     mean cross-entropy of one batch, in nats
    w     every kernel of a convolution or linear map
    score Σ_w ‖∂L/∂w‖₂          more is better
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from nas_train.proxies.contract import kernel_gradients, working_copy
from nas_train.scoring import logits_of


def grad_norm(module: nn.Module, images: Tensor, labels: Tensor, seed: int) -> float:
    """The score; not a number where the loss depends on no kernel of a convolution."""
    copied = working_copy(module)
    loss = F.cross_entropy(logits_of(copied(images)), labels)
    gradients = kernel_gradients(copied, loss)
    if not any(w.dim() == 4 for w, _ in gradients):
        return math.nan
    return sum(float(gradient.norm()) for _, gradient in gradients)
