"""Images that stay in their files until they are used: what a split holds where its images are large.

Shapes: n images, 3 channels, s height and width after cropping.

`ImageFiles` stands where a split otherwise has an array: it has the shape n x 3 x s x s and the type uint8, and is
indexed by slices and arrays of numbers. `numpy.asarray` reads all of it, so take a few images first.

Every image is cropped to one size by torchvision's transforms (version 2). For a measurement: the shorter side is
resized to 8/7 of s (256 for 224) and the middle is cut out. For training, as the recipe says: instead of the middle a
random part of 8 to 100 % of the area with sides of 3:4 to 4:3, resized to s (Szegedy et al. 2015); mirrored; with
another brightness, contrast and saturation. What is random about an image depends on a seed and its number in the split
alone, not on the process that reads it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from nas_core.errors import InvalidData
from nas_core.random import derived_seed

SIZE = 224
"""Height and width of a streamed image where nothing else is asked for."""
MEANS, DEVIATIONS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of the channels of ImageNet's training images; taken for every streamed set, since a measurement reads all files."""
_RESIZED = 8 / 7


class Augmentation(NamedTuple):
    """How images are changed while they are read for training.

    Args:
        resized_crop: whether a random part is taken instead of the middle.
        flip: whether half of them are mirrored.
        colour: strength of the change of brightness, contrast and saturation, from 0 to 1.
    """

    resized_crop: bool
    flip: bool
    colour: float


@final
class ImageFiles:
    """n x 3 x s x s images, uint8, each read from its file when it is used.

    Args:
        root: folder that the paths are relative to.
        paths: of the images.
        size: s.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, root: Path, paths: Sequence[str], size: int = SIZE) -> None:
        self.root, self.paths, self.size = root, tuple(paths), size

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(n, 3, s, s)."""
        return (len(self.paths), 3, self.size, self.size)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: slice | NDArray[np.int64]) -> ImageFiles:
        """Some of the images, still in their files."""
        chosen = self.paths[index] if isinstance(index, slice) else [self.paths[i] for i in index.tolist()]
        return ImageFiles(self.root, chosen, self.size)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All images, read and cropped as for a measurement."""
        pixels = np.empty(self.shape, np.uint8)
        for i in range(len(self)):
            pixels[i] = self.plain(i).numpy()
        return pixels if dtype is None else pixels.astype(dtype)

    def joined(self, other: ImageFiles) -> ImageFiles:
        """These images and then those; both lie below one root."""
        return ImageFiles(self.root, self.paths + other.paths, self.size)

    @property
    def checksum(self) -> str:
        """Digest of the names and the sizes of the files, in order; their contents are not read.

        Raises:
            InvalidData: a file is gone.
        """
        digest = hashlib.blake2b(digest_size=16)
        for path in self.paths:
            try:
                size = (self.root / path).stat().st_size
            except OSError as error:
                raise InvalidData("an image is missing", value=error.strerror, place=str(self.root / path)) from None
            digest.update(f"{path}\0{size}\0".encode())
        return digest.hexdigest()

    def plain(self, i: int) -> Tensor:
        """Image i as it is measured: 3 x s x s, uint8.

        Raises:
            InvalidData: the file is missing or damaged.
        """
        pixels: Tensor = _measuring(self.size)(self._decoded(i))
        return pixels

    def augmented(self, i: int, seed: int, how: Augmentation) -> Tensor:
        """Image i as it is trained on: 3 x s x s, uint8.

        Raises:
            InvalidData: the file is missing or damaged.
        """
        decoded = self._decoded(i)
        with _default_generator(derived_seed(seed, "stream", i)):
            pixels: Tensor = _training(self.size, how)(decoded)
        return pixels

    def _decoded(self, i: int) -> Tensor:
        """Image i as it lies in its file: 3 x h x w, uint8."""
        from torchvision.transforms.v2.functional import pil_to_tensor

        path = self.root / self.paths[i]
        try:
            with Image.open(path) as image:
                pixels: Tensor = pil_to_tensor(image.convert("RGB"))
                return pixels
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise InvalidData(
                "an image cannot be read",
                value=str(error),
                place=str(path),
                remedy="Replace the file or take it out of the folder",
            ) from None


@cache
def _measuring(size: int) -> Any:
    from torchvision.transforms import v2  # takes a second to import, and few sets are streamed

    return v2.Compose([v2.Resize(round(size * _RESIZED), antialias=True), v2.CenterCrop(size)])


@cache
def _training(size: int, how: Augmentation) -> Any:
    from torchvision.transforms import v2

    steps = [v2.RandomResizedCrop(size, antialias=True) if how.resized_crop else _measuring(size)]
    steps += [v2.RandomHorizontalFlip()] if how.flip else []
    steps += [v2.ColorJitter(how.colour, how.colour, how.colour)] if how.colour else []
    return v2.Compose(steps)


@contextmanager
def _default_generator(seed: int) -> Iterator[None]:
    """Seed torch's default generator of the CPU inside, the only one that transforms draw from, and put it back."""
    before = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.default_generator.set_state(before)
