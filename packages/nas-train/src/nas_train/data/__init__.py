"""Image data by name or file."""

from __future__ import annotations

from pathlib import Path

from nas_core.errors import InvalidData
from nas_train.data.dataset import SPLITS as SPLITS
from nas_train.data.dataset import ImageSet as ImageSet
from nas_train.data.dataset import Split as Split
from nas_train.data.digits import load_digits
from nas_train.data.files import SIZE
from nas_train.data.files import ImageFiles as ImageFiles
from nas_train.data.flowers import NAME as FLOWERS
from nas_train.data.flowers import load_flowers
from nas_train.data.folder import load_folder
from nas_train.data.npz import load_npz
from nas_train.data.torchvision_sets import KINDS, load_cifar

NAMES = ("digits", *KINDS, FLOWERS)
"""Sets that have a name."""
SMALLEST = 8
"""Least height and width that images are streamed at."""


def open_data(name_or_path: str | Path, root: str | Path | None = None) -> ImageSet:
    """An image set.

    Args:
        name_or_path: one of `NAMES`, or the path of an `.npz` file or of a folder of images (`nas_train.data.npz` and
            `nas_train.data.folder` say what they must hold). Large images are streamed from their files at 224 x 224
            pixels, at others with the size behind an "@": "flowers102@128", "pictures@64".
        root: folder of downloaded sets; None for the environment variable NAS_DATA.

    Raises:
        InvalidData: no such set, it cannot be read, or a size for images that are not streamed.
    """
    name, size = _sized(str(name_or_path))
    path = Path(name)
    if name == FLOWERS:
        return load_flowers(root, size or SIZE)
    if name not in NAMES and path.suffix != ".npz" and path.is_dir():
        return load_folder(path, size)
    if size is not None:
        raise InvalidData("only folders of images and flowers102 take a size", value=str(name_or_path))
    if name == "digits":
        return load_digits()
    if name in KINDS:
        return load_cifar(name, root)
    if path.suffix == ".npz":
        return load_npz(path)
    expected = ", ".join(NAMES) + ", a file.npz with arrays x (images) and y (labels), or a folder of images"
    raise InvalidData("no such data", value=str(name_or_path), expected=expected)


def _sized(text: str) -> tuple[str, int | None]:
    """Name and size; a path that is there is taken as it is."""
    name, at, size = text.rpartition("@")
    if not at or Path(text).exists() or not size.isdecimal():
        return text, None
    if int(size) < SMALLEST:
        raise InvalidData("too small a size for images", value=text, expected=f"at least {SMALLEST}")
    return name, int(size)
