"""Image sets: images and labels in three fixed splits, of which the test split is opened by name only.

Shapes: n images in a split, c channels, h height, w width, k classes.

Which image belongs to which split follows from the set alone, never from a seed of a search: `stratified_order` puts
the images into one fixed order, any window of which holds the classes in nearly their shares; the training split is its
beginning, validation comes next, the test split last. Hence the first m images of a split are a fair sample of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nas_core.errors import InvalidData, InvalidOption
from nas_core.random import rng
from nas_train.data.files import DEVIATIONS, MEANS, ImageFiles

SPLITS = ("train", "validation", "test")
LEVELS = 255
"""Largest value of a pixel."""
FEWEST = 2
"""A split needs at least this many images."""
PART = 1000
"""Images that are worked on at once where a whole split would take several times its memory."""


class Split(NamedTuple):
    """Part of an image set.

    Args:
        images: n x c x h x w, uint8; `ImageFiles` where they are streamed, which numpy.asarray reads.
        labels: n, int64, from 0 to k - 1.
    """

    images: NDArray[np.uint8] | ImageFiles
    labels: NDArray[np.int64]

    @property
    def checksum(self) -> str:
        """BLAKE2b digest of the shape, the images' bytes and the labels' bytes, as 32 hexadecimal digits.

        Of images that are streamed, the names and sizes of the files stand for the bytes.
        """
        digest = hashlib.blake2b(repr(self.images.shape).encode(), digest_size=16)
        if isinstance(self.images, ImageFiles):
            digest.update(self.images.checksum.encode())
        else:
            digest.update(np.ascontiguousarray(self.images).data)
        digest.update(np.ascontiguousarray(self.labels, dtype="<i8").data)
        return digest.hexdigest()

    def first(self, n: int | None) -> Split:
        """The first n images; all of them where n is None or larger than their number."""
        return Split(self.images[:n], self.labels[:n])


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Images for classification.

    Args:
        name: what it is called in reports.
        classes: number k of classes.
        train: the images to train on.
        validation: the images to compare networks on.
        test_size: number of images in the test split.
        open_test: loads the test split; called by `split("test")` and nowhere else.

    Raises:
        InvalidData: a split that is too small or has wrong types, shapes or labels, or a class without training images.
    """

    name: str
    classes: int
    train: Split
    validation: Split
    test_size: int
    open_test: Callable[[], Split] = field(repr=False)

    def __post_init__(self) -> None:
        self._check("train", self.train)
        present = np.unique(self.train.labels)
        if len(present) < 2:
            raise InvalidData(
                "all images have one class", value=int(present[0]), place=self.name, expected="at least two"
            )
        if len(present) < self.classes:
            gaps = np.flatnonzero(present != np.arange(len(present)))
            raise InvalidData(
                "a class has no training image",
                value=int(gaps[0]) if len(gaps) else len(present),
                place=self.name,
                expected=f"labels from 0 to {self.classes - 1}, each in the training split",
                remedy="Number the classes from 0 without gaps, and give several images of each",
            )
        self._check("validation", self.validation)
        if self.test_size < FEWEST:
            raise InvalidData(
                "too few images in the test split", value=self.test_size, place=self.name, expected=f"at least {FEWEST}"
            )

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(c, h, w)."""
        _, c, h, w = self.train.images.shape
        return c, h, w

    @property
    def sizes(self) -> Mapping[str, int]:
        """Number of images by split."""
        return {"train": len(self.train.labels), "validation": len(self.validation.labels), "test": self.test_size}

    @cached_property
    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Mean and standard deviation of each channel over the training split, for pixels from 0 to 1.

        Of images that are streamed, those of ImageNet.
        """
        images = self.train.images
        if isinstance(images, ImageFiles):
            return MEANS, DEVIATIONS
        counts = np.zeros((self.input_shape[0], LEVELS + 1))
        for start in range(0, len(images), PART):
            for c, count in enumerate(counts):
                count += np.bincount(images[start : start + PART, c].ravel(), minlength=LEVELS + 1)
        levels = np.arange(LEVELS + 1) / LEVELS
        means = [float(count @ levels / count.sum()) for count in counts]
        variances = [float(count @ (levels - m) ** 2 / count.sum()) for count, m in zip(counts, means, strict=True)]
        # a channel that never varies is left unscaled
        return tuple(means), tuple(v**0.5 if v > 0 else 1.0 for v in variances)

    @cached_property
    def checksum(self) -> str:
        """Digest of the training and validation splits; the test split has its own (`Split.checksum`)."""
        return hashlib.blake2b(f"{self.train.checksum}{self.validation.checksum}".encode(), digest_size=16).hexdigest()

    def split(self, name: str) -> Split:
        """A split by name; the only way to the test split.

        Raises:
            InvalidOption: no such split.
            InvalidData: the test split is missing or damaged.
        """
        if name == "test":
            test = self.open_test()
            self._check("test", test)
            return test
        if name not in SPLITS:
            raise InvalidOption("no such split", value=name, expected="one of " + ", ".join(SPLITS))
        return self.train if name == "train" else self.validation

    def train_and_validation(self) -> Split:
        """Both splits as one, for the last training of a network that has been chosen."""
        (images, labels), (more_images, more_labels) = self.train, self.validation
        whole: NDArray[np.uint8] | ImageFiles
        if isinstance(images, ImageFiles) and isinstance(more_images, ImageFiles):
            whole = images.joined(more_images)
        else:
            whole = np.concatenate([np.asarray(images), np.asarray(more_images)])
        return Split(whole, np.concatenate([labels, more_labels]))

    def _check(self, name: str, split: Split) -> None:
        place = f"{self.name}, {name} split"
        images, labels = split
        if images.dtype != np.uint8 or images.ndim != 4 or labels.dtype != np.int64 or labels.ndim != 1:
            raise InvalidData(
                "not images and labels",
                value=(images.shape, labels.shape),
                place=place,
                expected="uint8 n x c x h x w and int64 n",
            )
        if len(images) != len(labels):
            raise InvalidData("not as many labels as images", value=(len(images), len(labels)), place=place)
        if len(labels) < FEWEST:
            raise InvalidData("too few images", value=len(labels), place=place, expected=f"at least {FEWEST}")
        if images.shape[1:] != self.train.images.shape[1:] or min(images.shape) < 1:
            raise InvalidData(
                "images of another shape",
                value=images.shape[1:],
                place=place,
                expected=f"{self.input_shape} as in training",
            )
        if labels.min() < 0 or labels.max() >= self.classes:
            wrong = labels.min() if labels.min() < 0 else labels.max()
            raise InvalidData(
                "a label out of range",
                value=int(wrong),
                place=place,
                expected=f"0 to {self.classes - 1}, as in training",
            )


def stratified_order(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """A fixed order of n images in which every window holds the classes in nearly their shares.

    In a fixed random order (the same for every set of n images) an image that is the j-th of the m of its class is put
    at (j + 1/2) / m of the way.
    """
    shuffled = rng(0, "split", len(labels)).permutation(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        mine = shuffled[labels[shuffled] == label]
        place[mine] = (np.arange(len(mine)) + 0.5) / len(mine)
    return shuffled[np.argsort(place[shuffled], kind="stable")].astype(np.int64)
