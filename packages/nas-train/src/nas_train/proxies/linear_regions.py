"""Number of linear regions.

Chen et al. 2021, "Neural architecture search on ImageNet in four GPU hours" (TE-NAS), §3.2, after Xiong et al. 2020; as
AG-Net uses it, §4.3.

Notation
    n      inputs: c x 3 x 3 pixels drawn from N(0, 1), in the corner of an image that is otherwise zero
    c_i    bits of input i: which gating units (ReLUs and their kind) are on
    score  number of distinct c_i, from 1 to n          more is better

A network of ReLUs is linear where no unit switches, so inputs with one pattern share a linear region. Whoever counts
with a wide network on whole images finds a region of its own for each input and learns nothing. Hence TE-NAS counts
with a network of one channel on nine pixels, which `nas_train.proxies.ProxyEvaluator` builds for it.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from nas_core.random import derived_seed
from nas_train.proxies.contract import GATES, watching, working_copy

INPUTS = 1000
"""Inputs in a batch, which are normalised together."""
BATCHES = 3
SIDE = 3


def linear_regions(module: nn.Module, images: Tensor, labels: Tensor, seed: int) -> float:
    """The score for inputs of the shape of an image; not a number where nothing gates."""
    copied = working_copy(module)
    found: set[bytes] = set()
    for batch in range(BATCHES):
        codes: list[Tensor] = []
        with torch.no_grad(), watching(GATES, lambda x, y, codes=codes: codes.append((y > 0).flatten(1))):  # type: ignore[misc]
            copied(inputs(tuple(images.shape[1:]), seed, batch).to(images))
        if not codes:
            return math.nan
        found |= {row.tobytes() for row in np.packbits(torch.cat(codes, 1).cpu().numpy(), axis=1)}
    return float(len(found))


def inputs(shape: tuple[int, ...], seed: int, batch: int) -> Tensor:
    """One batch of random inputs, `INPUTS` x c x h x w."""
    c, h, w = shape
    x = torch.zeros((INPUTS, c, h, w))
    corner = x[:, :, :SIDE, :SIDE]
    generator = torch.Generator().manual_seed(derived_seed(seed, "linear_regions", batch))
    corner.copy_(torch.randn(tuple(corner.shape), generator=generator))
    return x
