"""Folders of images, one subfolder a class, as torchvision's ImageFolder reads them.

Three layouts:

    FOLDER/CLASS/IMAGE
    FOLDER/train/CLASS/IMAGE, with FOLDER/val and FOLDER/test where they are given
    FOLDER/TrainImages.txt and TestImages.txt, which list CLASS/IMAGE below FOLDER or FOLDER/Images, as MIT67 comes

What is not given is cut off (`nas_train.data.cutting`). Images are read as RGB. Where the first has at most `SMALL`
pixels a side and all of them take at most `MOST_BYTES`, they are kept in memory and must have one size; otherwise they
are streamed (`nas_train.data.files`) and may have any size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torchvision.datasets import ImageFolder

from nas_core.errors import InvalidData
from nas_train.data.cutting import cut
from nas_train.data.dataset import ImageSet, Split
from nas_train.data.files import SIZE, ImageFiles

SMALL = 96
"""Most pixels a side of images that are kept in memory."""
MOST_BYTES = 2**30
"""Most bytes of images that are kept in memory."""
LISTS = ("TrainImages.txt", "TestImages.txt")
_VALIDATION = ("val", "valid", "validation")


class Files(NamedTuple):
    """Paths of images relative to a root, and the numbers of their classes."""

    root: Path
    paths: tuple[str, ...]
    labels: NDArray[np.int64]


def load_folder(path: Path, size: int | None = None) -> ImageSet:
    """The image set of a folder.

    Args:
        path: of the folder.
        size: height and width to stream images at; None for 224 where they are large, and for images in memory where
            they are small.

    Raises:
        InvalidData: no classes or images, an image that is missing, cannot be read or has another size, splits with
            other classes.
    """
    train, held, tests = _listed(path) if (path / LISTS[0]).is_file() else _in_folders(path)
    streamed = size is not None or not _fits(train)
    read = _streamed(size or SIZE) if streamed else _in_memory(_shape_of(train.root / train.paths[0]))
    return cut(
        path.name,
        str(path),
        read(train),
        None if held is None else read(held),
        None if tests is None else (len(tests.labels), lambda: read(tests)),
    )


def _streamed(size: int) -> Callable[[Files], Split]:
    """Leaves images in their files."""
    return lambda files: Split(ImageFiles(files.root, files.paths, size), files.labels)


def _in_memory(shape: tuple[int, int]) -> Callable[[Files], Split]:
    """Reads images, all of one height and width."""

    def read(files: Files) -> Split:
        images = np.empty((len(files.paths), 3, *shape), np.uint8)
        for i, name in enumerate(files.paths):
            pixels = _decoded(files.root / name)
            if pixels.shape[:2] != shape:
                raise InvalidData(
                    "images of different sizes",
                    value=pixels.shape[:2],
                    place=str(files.root / name),
                    expected=f"{shape[0]} x {shape[1]} pixels, as the first image",
                    remedy="Resize the images of the folder to one size, or stream them: FOLDER@SIZE",
                )
            images[i] = pixels.transpose(2, 0, 1)
        return Split(images, files.labels)

    return read


def _fits(files: Files) -> bool:
    h, w = _shape_of(files.root / files.paths[0])
    return max(h, w) <= SMALL and len(files.paths) * 3 * h * w <= MOST_BYTES


def _shape_of(path: Path) -> tuple[int, int]:
    """Height and width, from the beginning of a file."""
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InvalidData("an image cannot be read", value=str(error), place=str(path)) from None


def _decoded(path: Path) -> NDArray[np.uint8]:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"), dtype=np.uint8)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InvalidData("an image cannot be read", value=str(error), place=str(path)) from None


def _in_folders(path: Path) -> tuple[Files, Files | None, Files | None]:
    """Training, validation and test images by the folders they lie in."""
    split_up = (path / "train").is_dir()
    whole = _below(path / "train" if split_up else path)
    held = next((path / name for name in _VALIDATION if split_up and (path / name).is_dir()), None)
    tests = path / "test" if split_up and (path / "test").is_dir() else None
    validation, test = (
        None if part is None else _relative(_same_classes(_below(part), whole), path) for part in (held, tests)
    )
    return _relative(whole, path), validation, test


def _relative(found: ImageFolder, root: Path) -> Files:
    """Paths relative to the folder of the whole set, so that its splits can be joined."""
    paths = tuple(Path(name).relative_to(root).as_posix() for name, _ in found.samples)
    return Files(root, paths, np.array([label for _, label in found.samples], dtype=np.int64))


def _below(path: Path) -> ImageFolder:
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


def _listed(path: Path) -> tuple[Files, Files | None, Files | None]:
    """Training and test images by the lists beside them."""
    root = path / "Images" if (path / "Images").is_dir() else path
    names = _lines(path / LISTS[0])
    if not names:
        raise InvalidData("a list without images", place=str(path / LISTS[0]), expected="a line CLASS/IMAGE for each")
    classes = sorted({name.partition("/")[0] for name in names})
    test = _numbered(root, _lines(path / LISTS[1]), classes, path) if (path / LISTS[1]).is_file() else None
    return _numbered(root, names, classes, path), None, test


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidData("a list of images cannot be read", value=str(error), place=str(path)) from None


def _numbered(root: Path, names: Sequence[str], classes: Sequence[str], path: Path) -> Files:
    numbers = {name: i for i, name in enumerate(classes)}
    labels = []
    for name in names:
        kind, slash, _ = name.partition("/")
        if not slash or kind not in numbers:
            raise InvalidData("not a listed image", value=name, place=str(path), expected="CLASS/IMAGE, as in training")
        if not (root / name).is_file():
            raise InvalidData("an image is missing", value=name, place=str(root))
        labels.append(numbers[kind])
    return Files(root, tuple(names), np.array(labels, dtype=np.int64))
