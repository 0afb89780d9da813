"""Random crops and mirroring of whole batches, on the device the images lie on.

Notation
    images   n x c x h x w, uint8, a whole split
    windows  n x c x (2p + 1) x (2p + 1) x h x w: every crop, as a view of the images padded with p pixels of 0
    corners  n x 2, where each image's crop begins
    mirrored n, whether an image is flipped left to right

Padding before normalisation, as torchvision's RandomCrop does on images, makes the border black. Everything random
comes from an explicit generator, once an epoch, so that a batch costs no draw and no wait.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class EpochDraws(NamedTuple):
    """What is random about the images of one epoch, in the order of the split."""

    order: Tensor
    corners: Tensor | None
    mirrored: Tensor | None


def draw_epoch(n: int, padding: int, flip: bool, generator: torch.Generator) -> EpochDraws:
    """The order in which n images come, and how each is cropped and mirrored; on the generator's device."""
    device = generator.device
    order = torch.randperm(n, generator=generator, device=device)
    corners = torch.randint(0, 2 * padding + 1, (n, 2), generator=generator, device=device) if padding else None
    mirrored = torch.randint(0, 2, (n,), generator=generator, device=device) > 0 if flip else None
    return EpochDraws(order, corners, mirrored)


def windows(images: Tensor, padding: int) -> Tensor:
    """Every crop of every image, as a view of one padded copy."""
    h, w = images.shape[2:]
    return F.pad(images, (padding,) * 4).unfold(2, h, 1).unfold(3, w, 1)


def batch_images(crops: Tensor, draws: EpochDraws, index: Tensor) -> Tensor:
    """The images of one batch, b x c x h x w, uint8.

    Args:
        crops: the windows of the split.
        draws: what was drawn for the epoch.
        index: b, which images.
    """
    if draws.corners is None:
        images = crops[index, :, 0, 0]
    else:
        corner = draws.corners[index]
        images = crops[index, :, corner[:, 0], corner[:, 1]]
    if draws.mirrored is not None:
        images = torch.where(draws.mirrored[index, None, None, None], images.flip(3), images)
    return images
