"""A split whose images stay in files, as normalised batches on a device: the streaming counterpart of `Pixels`.

It has the same methods, so a loop iterates over either kind; `pixels_of` chooses. Random parts, mirroring and colours
come from torchvision's transforms while files are read (`nas_train.data.files`); crops that shift an image by a few
pixels, normalisation and the square that is cut out are done on the device, as for images that lie there whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias, final

import torch
from torch import Tensor

from nas_train.augment import EpochDraws, cut_out, windows
from nas_train.data.dataset import LEVELS, ImageSet, Split
from nas_train.data.files import Augmentation, ImageFiles
from nas_train.data.streaming import default_workers, stream_plain, stream_training
from nas_train.pixels import Pixels

AnyPixels: TypeAlias = "Pixels | StreamedPixels"


def pixels_of(
    data: ImageSet, split: Split, padding: int, device: torch.device, layout: torch.memory_format
) -> AnyPixels:
    """A split as batches: on the device whole where it is in memory, read as it is used where it is in files.

    Args:
        data: whose training split says how pixels are normalised.
        split: the images.
        padding: pixels by which a crop may shift an image.
        device: where.
        layout: how batches lie in memory.
    """
    if isinstance(split.images, ImageFiles):
        return StreamedPixels(data, split, padding, device, layout)
    return Pixels(data, split, padding, device, layout)


@final
class StreamedPixels:
    """A split that is read while it is used; arguments as those of `pixels_of`.

    Attributes:
        labels: n, on the device.
    """

    def __init__(
        self, data: ImageSet, split: Split, padding: int, device: torch.device, layout: torch.memory_format
    ) -> None:
        means, deviations = data.statistics
        self.labels = torch.tensor(split.labels, device=device)
        self._split, self._padding, self._device, self._layout = split, padding, device, layout
        self._workers, self._pin = default_workers(device), device.type == "cuda"
        scales = [1.0 / (LEVELS * deviation) for deviation in deviations]
        shifts = [-m / deviation for m, deviation in zip(means, deviations, strict=True)]
        self._scale, self._shift = (torch.tensor(x, device=device)[:, None, None] for x in (scales, shifts))

    def __len__(self) -> int:
        return len(self.labels)

    def batches(self, draws: EpochDraws, indices: Sequence[Tensor], hole: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The images (b x c x h x w) and labels (b) of each batch, as they were drawn for an epoch.

        Args:
            draws: of the epoch; random parts, colours and which images are mirrored follow from its seed.
            indices: of each batch, which images.
            hole: side of the square that is cut out, at the mean of each channel; 0 for none.

        Raises:
            InvalidData: a file is missing or damaged.
        """
        stream = stream_training(
            self._split,
            [index.cpu() for index in indices],
            seed=draws.seed,
            how=Augmentation(draws.resized_crop, draws.mirrored is not None, draws.colour),
            workers=self._workers,
            pin=self._pin,
        )
        for index, (images, labels) in zip(indices, stream, strict=True):
            moved = images.to(self._device, non_blocking=True)
            if draws.corners is not None:
                top, left = draws.corners[index].unbind(1)
                moved = windows(moved, self._padding)[torch.arange(len(index)), :, top, left]
            normalised = self._normalised(moved)
            if draws.holes is not None:
                cut_out(normalised, draws.holes[index], hole)
            yield normalised, labels.to(self._device, non_blocking=True)

    def plain(self, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All images and labels as they are measured, in order, `batch` at a time.

        Raises:
            InvalidData: a file is missing or damaged.
        """
        for images, labels in stream_plain(self._split, batch, workers=self._workers, pin=self._pin):
            yield (
                self._normalised(images.to(self._device, non_blocking=True)),
                labels.to(self._device, non_blocking=True),
            )

    def _normalised(self, images: Tensor) -> Tensor:
        return images.to(torch.float32, memory_format=self._layout).mul_(self._scale).add_(self._shift)
