"""Number of linear regions.

Chen et al. 2021, "Neural architecture search on ImageNet in four GPU hours" (TE-NAS), §3.2, after Xiong et al. 2020; as
AG-Net uses it, §4.3. What it is counted on is left to the authors' code, VITA-Group/TENAS, prune_tenas.py and
lib/procedures/linear_region_counter.py: 3,000 crops of real images, 3 x 3 pixels of one channel.

Notation
    n      inputs
    c_i    bits of input i: which gating units (ReLUs and their kind) are on
    score  number of distinct c_i, from 1 to n          more is better

A network of ReLUs is linear where no unit switches, so inputs with one pattern share a linear region. Whoever counts
with a wide network on whole images finds a region of its own for each input and learns nothing. Hence TE-NAS counts
with a network of one channel, which `nas_train.proxies.ProxyEvaluator` builds for it, on few pixels that are nearly
alike, as neighbours in a photograph are: noise in nine dimensions would again give nearly each a region of its own.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nas_train.proxies.contract import GATES, watching, working_copy

INPUTS = 1000
"""Inputs that are normalised together."""
CROPS = 3000
SIDE = 3


def linear_regions(module: nn.Module, images: Tensor, labels: Tensor, seed: int) -> float:
    """The score for inputs (n x c x h x w); not a number where nothing gates."""
    copied = working_copy(module)
    found: set[bytes] = set()
    for batch in images.split(INPUTS):
        codes: list[Tensor] = []
        with torch.no_grad(), watching(GATES, lambda x, y, codes=codes: codes.append((y > 0).flatten(1))):  # type: ignore[misc]
            copied(batch)
        if not codes:
            return math.nan
        found |= {row.tobytes() for row in np.packbits(torch.cat(codes, 1).cpu().numpy(), axis=1)}
    return float(len(found))


def crops(images: NDArray[Any], stream: np.random.Generator) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """A random crop of each image: `SIDE` x `SIDE` pixels of one channel.

    Args:
        images: n x c x h x w, at least `SIDE` pixels high and wide.
        stream: draws.

    Returns:
        The crops (n x SIDE x SIDE) and the channels that they are of (n).
    """
    n, c, h, w = images.shape
    channel = np.asarray(stream.integers(c, size=n), dtype=np.int64)
    top, left = stream.integers(h - SIDE + 1, size=n), stream.integers(w - SIDE + 1, size=n)
    rows, columns = (np.add.outer(start, np.arange(SIDE)) for start in (top, left))
    of_image, of_channel = np.arange(n)[:, None, None], channel[:, None, None]
    return images[of_image, of_channel, rows[:, :, None], columns[:, None, :]], channel
