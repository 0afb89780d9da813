"""A split of an image set as normalised batches on a device.

Small images lie there whole, as bytes, and are cropped and mirrored there in batches. Images that are streamed come as
bytes, already cropped; they are moved, normalised and cut out here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from nas_train.augment import EpochDraws, batch_images, cut_out, windows
from nas_train.data.dataset import LEVELS, ImageSet, Split


class Pixels:
    """A split that lies on a device whole.

    Args:
        data: whose training split says how pixels are normalised.
        split: the images.
        padding: pixels by which a crop may shift an image.
        device: where.
        layout: how batches lie in memory.
    """

    def __init__(
        self, data: ImageSet, split: Split, padding: int, device: torch.device, layout: torch.memory_format
    ) -> None:
        means, deviations = data.statistics
        self.layout = layout
        self.crops = windows(torch.tensor(split.images, device=device), padding)
        self.labels = torch.tensor(split.labels, device=device)
        scales = [1.0 / (LEVELS * deviation) for deviation in deviations]
        shifts = [-m / deviation for m, deviation in zip(means, deviations, strict=True)]
        self.scale, self.shift = (torch.tensor(x, device=device)[:, None, None] for x in (scales, shifts))

    def __len__(self) -> int:
        return len(self.labels)

    def normalised(self, images: Tensor) -> Tensor:
        """Bytes to floats with mean 0 and deviation 1 a channel over the training split."""
        return images.to(torch.float32, memory_format=self.layout).mul_(self.scale).add_(self.shift)

    def batches(self, draws: EpochDraws, indices: Sequence[Tensor], hole: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The images (b x c x h x w) and labels (b) of each batch, as they were drawn for an epoch.

        Args:
            draws: of the epoch.
            indices: of each batch, which images.
            hole: side of the square that is cut out, at the mean of each channel; 0 for none.
        """
        for index in indices:
            images = self.normalised(batch_images(self.crops, draws, index))
            if draws.holes is not None:
                cut_out(images, draws.holes[index], hole)
            yield images, self.labels[index]

    def plain(self, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All images and labels as they are, in order, `batch` at a time."""
        for start in range(0, len(self), batch):
            part = slice(start, start + batch)
            yield self.normalised(self.crops[part, :, 0, 0]), self.labels[part]


def layout_of(device: torch.device, dtype: str) -> torch.memory_format:
    """How images and kernels lie in memory.

    Channels last on a CPU, where narrow networks then train faster, and on a GPU in half precision, whose products take
    that layout without a copy; as torch's default for 32-bit floats on a GPU.
    """
    last = device.type == "cpu" or dtype != "float32"
    return torch.channels_last if last else torch.contiguous_format
