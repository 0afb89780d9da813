"""Batches of images that are read from files while they are used.

The counterpart of a split that lies in memory whole, in two functions that iterate over (images, labels): uint8
b x 3 x s x s and int64 b, both on the CPU; pinned where they go to a GPU. What comes in which order is given by the
caller; what is random about an image depends on the seed of the epoch and the image's number alone. So a batch is the
same whatever the number of worker processes, and the same again when a training is resumed.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from typing import Any, final

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from nas_core.errors import InvalidData, InvalidOption
from nas_train.data.dataset import Split
from nas_train.data.files import Augmentation, ImageFiles

WORKERS_VARIABLE = "NAS_WORKERS"
"""Environment variable with the number of processes that read images."""
_MOST = 8


def stream_training(
    split: Split, batches: Sequence[Tensor], *, seed: int, how: Augmentation, workers: int = 0, pin: bool = False
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of an epoch, augmented.

    Args:
        split: its images are `ImageFiles`.
        batches: of each batch, which images of the split.
        seed: of the epoch.
        how: what is random about an image.
        workers: processes that read ahead; 0 to read in this one.
        pin: whether to put batches into pinned memory.

    Raises:
        InvalidData: a file is missing or damaged.
    """
    return _stream(_Reader(_files(split), split, (seed, how)), batches, workers, pin)


def stream_plain(split: Split, batch: int, *, workers: int = 0, pin: bool = False) -> Iterator[tuple[Tensor, Tensor]]:
    """All images in order, as they are measured, `batch` at a time.

    Raises:
        InvalidData: a file is missing or damaged.
    """
    batches = torch.arange(len(split.labels)).split(batch)
    return _stream(_Reader(_files(split), split, None), batches, workers, pin)


def default_workers(device: torch.device) -> int:
    """How many processes read images for a training on a device.

    What NAS_WORKERS says; else none for a CPU, which they would only take time from, and for a GPU one less than there
    are cores, at most eight. A process that is a daemon may not start any.

    Raises:
        InvalidOption: NAS_WORKERS is no number.
    """
    if multiprocessing.current_process().daemon:
        return 0
    asked = os.environ.get(WORKERS_VARIABLE)
    if asked is None:
        return 0 if device.type == "cpu" else min(_MOST, (os.cpu_count() or 1) - 1)
    if not asked.isdecimal():
        raise InvalidOption("not a number of processes", value=asked, place=WORKERS_VARIABLE, expected="0 or more")
    return int(asked)


def _files(split: Split) -> ImageFiles:
    if not isinstance(split.images, ImageFiles):
        raise TypeError("the images of this split are in memory")
    return split.images


@final
class _Reader(Dataset[Any]):
    """Image and label by number; in place of them, for what cannot be read, the words of the error."""

    def __init__(self, files: ImageFiles, split: Split, training: tuple[int, Augmentation] | None) -> None:
        self.files, self.labels, self.training = files, torch.from_numpy(split.labels), training

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor] | dict[str, str]:
        try:
            image = self.files.plain(i) if self.training is None else self.files.augmented(i, *self.training)
        except InvalidData as error:  # a process cannot send it: it would arrive as a traceback in words
            return {"problem": error.problem, "value": str(error.value), "place": str(error.place)}
        return image, self.labels[i]


def _stream(reader: _Reader, batches: Sequence[Tensor], workers: int, pin: bool) -> Iterator[tuple[Tensor, Tensor]]:
    loader: DataLoader[Any] = DataLoader(
        reader,
        batch_sampler=[index.tolist() for index in batches],
        num_workers=workers,
        collate_fn=_collated,
        pin_memory=pin,
        generator=torch.Generator(),  # of the workers' own seeds, which nothing reads; else torch's default one
    )
    for found in loader:
        if isinstance(found, dict):
            remedy = "Replace the file or take it out of the folder"
            raise InvalidData(found["problem"], value=found["value"], place=found["place"], remedy=remedy)
        images, labels = found
        yield images, labels


def _collated(read: list[Any]) -> tuple[Tensor, Tensor] | dict[str, str]:
    """One batch, or the first error in it."""
    for one in read:
        if isinstance(one, dict):
            return one
    images, labels = zip(*read, strict=True)
    return torch.stack(images), torch.stack(labels)
