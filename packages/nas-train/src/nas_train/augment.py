"""Random crops and mirroring of whole batches, on the device the images lie on.

Notation
    images   n x c x h x w, uint8, a whole split
    windows  n x c x (2p + 1) x (2p + 1) x h x w: every crop, as a view of the images padded with p pixels of 0
    corners  n x 2, where each image's crop begins
    mirrored n, whether an image is flipped left to right
    holes    n x 2, row and column of the middle of the square that is cut out of an image

Padding before normalisation, as torchvision's RandomCrop does on images, makes the border black. Everything random
comes from an explicit generator, once an epoch, so that a batch costs no draw and no wait.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class EpochDraws(NamedTuple):
    """What is random about the images of one epoch, in the order of the split.

    The rest concerns images that are streamed: what is random about them follows from `seed`, and the recipe says
    whether they are cut out at a random place and scale, and how strongly their colours change.
    """

    order: Tensor
    corners: Tensor | None
    mirrored: Tensor | None
    holes: Tensor | None = None
    seed: int = 0
    resized_crop: bool = False
    colour: float = 0.0


def draw_epoch(
    n: int, padding: int, flip: bool, generator: torch.Generator, *, size: tuple[int, int] | None = None
) -> EpochDraws:
    """The order in which n images come, and how each is cropped, mirrored and cut out; on the generator's device.

    Args:
        n: number of images.
        padding: pixels by which a crop may shift an image.
        flip: whether images are mirrored.
        generator: source of the numbers.
        size: h and w where a square is cut out of each image; None for none.
    """
    device = generator.device
    order = torch.randperm(n, generator=generator, device=device)
    corners = torch.randint(0, 2 * padding + 1, (n, 2), generator=generator, device=device) if padding else None
    mirrored = torch.randint(0, 2, (n,), generator=generator, device=device) > 0 if flip else None
    holes = None
    if size is not None:
        places = torch.rand((n, 2), generator=generator, device=device)
        holes = (places * torch.tensor(size, device=device)).long()
    return EpochDraws(order, corners, mirrored, holes, generator.initial_seed())


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


def cut_out(images: Tensor, holes: Tensor, size: int) -> Tensor:
    """Set a square of each image to 0, in place (DeVries & Taylor 2017): where its middle is near a border, a part.

    Args:
        images: b x c x h x w, normalised, so that 0 is the mean of a channel.
        holes: b x 2, row and column of each square's middle.
        size: side of the squares; from size // 2 before the middle on.
    """
    inside = []
    for axis, length in enumerate(images.shape[2:]):
        offset = torch.arange(length, device=images.device) - holes[:, axis, None] + size // 2
        inside.append((offset >= 0) & (offset < size))
    rows, columns = inside
    return images.masked_fill_((rows[:, :, None] & columns[:, None, :])[:, None], 0.0)
