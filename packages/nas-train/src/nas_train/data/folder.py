"""Folders of images, one subfolder a class, as torchvision's ImageFolder reads them.

Either FOLDER/CLASS/IMAGE, or FOLDER/train/CLASS/IMAGE with FOLDER/val and FOLDER/test where they are given; what is not
given is cut off (`nas_train.data.cutting`). Images are read as RGB and kept in memory, so they must have one size.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torchvision.datasets import ImageFolder

from nas_core.errors import InvalidData
from nas_train.data.cutting import cut
from nas_train.data.dataset import ImageSet, Split

_VALIDATION = ("val", "valid", "validation")


def load_folder(path: Path) -> ImageSet:
    """The image set of a folder.

    Raises:
        InvalidData: no classes or images, an image that cannot be read or has another size, splits with other classes.
    """
    whole = _files(path / "train" if (path / "train").is_dir() else path)
    split_up = (path / "train").is_dir()
    held = next((path / name for name in _VALIDATION if split_up and (path / name).is_dir()), None)
    validation = None if held is None else _same_classes(_files(held), whole)
    tests = _same_classes(_files(path / "test"), whole) if split_up and (path / "test").is_dir() else None
    images = _read(whole)
    size = images.images.shape[2:]
    return cut(
        path.name,
        str(path),
        images,
        None if validation is None else _read(validation, size),
        None if tests is None else (len(tests.samples), lambda: _read(tests, size)),
    )


def _files(path: Path) -> ImageFolder:
    try:
        return ImageFolder(str(path))
    except FileNotFoundError as error:
        raise InvalidData(
            "not a folder of images",
            value=str(error),
            place=str(path),
            expected="a subfolder with images for each class",
        ) from None


def _same_classes(files: ImageFolder, train: ImageFolder) -> ImageFolder:
    if files.classes != train.classes:
        raise InvalidData(
            "a split with other classes", value=files.classes, place=files.root, expected=str(train.classes)
        )
    return files


def _read(files: ImageFolder, size: tuple[int, ...] | None = None) -> Split:
    """All images (n x 3 x h x w) and the numbers of their classes, in the order of the paths."""
    images = []
    for name, _ in files.samples:
        try:
            pixels = np.asarray(files.loader(name), dtype=np.uint8)
        except OSError as error:
            raise InvalidData("an image cannot be read", value=str(error), place=name) from None
        size = pixels.shape[:2] if size is None else size
        if pixels.shape[:2] != size:
            raise InvalidData(
                "images of different sizes",
                value=pixels.shape[:2],
                place=name,
                expected=f"{size[0]} x {size[1]} pixels, as the first image",
                remedy="Resize the images of the folder to one size",
            )
        images.append(pixels.transpose(2, 0, 1))
    return Split(np.stack(images), np.array([label for _, label in files.samples], dtype=np.int64))
