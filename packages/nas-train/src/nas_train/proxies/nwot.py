"""NASWOT: overlap of activation patterns.

Mellor et al. 2021, "Neural architecture search without training", §3, eq. 1 and 2.

Notation
    u      units that gate (ReLUs and their kind) in the whole network
    c_i    u bits of image i: which units are on
    K      b x b: K_ij = u - Hamming(c_i, c_j)
    score  log |det K|          more is better

Images that the network tells apart at its start have different codes, which makes K diagonal and its determinant large.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from nas_train.proxies.contract import GATES, watching, working_copy


def nwot(module: nn.Module, images: Tensor, labels: Tensor, seed: int) -> float:
    """The score; minus infinity where two images have one code, or nothing gates."""
    codes: list[Tensor] = []
    with torch.no_grad(), watching(GATES, lambda x, y: codes.append((y > 0).flatten(1))):
        working_copy(module)(images)
    kernel = torch.zeros((len(images), len(images)), dtype=torch.float64, device=images.device)
    for code in codes:
        kernel += agreements(code)
    sign, value = torch.linalg.slogdet(kernel)
    return float(value) if float(sign) != 0 else -math.inf


def agreements(code: Tensor) -> Tensor:
    """In how many of their u bits two images agree, b x b, from their codes, b x u."""
    on = code.to(torch.float32)  # counts below 2²⁴ are exact
    ones = on.sum(1)
    return 2.0 * on @ on.T - ones[:, None] - ones[None, :] + code.shape[1]
