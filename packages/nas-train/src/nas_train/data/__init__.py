"""Image data by name or file."""

from __future__ import annotations

from pathlib import Path

from nas_core.errors import InvalidData
from nas_train.data.dataset import SPLITS as SPLITS
from nas_train.data.dataset import ImageSet as ImageSet
from nas_train.data.dataset import Split as Split
from nas_train.data.digits import load_digits
from nas_train.data.folder import load_folder
from nas_train.data.npz import load_npz
from nas_train.data.torchvision_sets import KINDS, load_cifar

NAMES = ("digits", *KINDS)
"""Sets that have a name."""


def open_data(name_or_path: str | Path, root: str | Path | None = None) -> ImageSet:
    """An image set.

    Args:
        name_or_path: one of `NAMES`, or the path of an `.npz` file or of a folder of images (`nas_train.data.npz` and
            `nas_train.data.folder` say what they must hold).
        root: folder of downloaded sets; None for the environment variable NAS_DATA.

    Raises:
        InvalidData: no such set, or it cannot be read.
    """
    if name_or_path == "digits":
        return load_digits()
    if name_or_path in KINDS:
        return load_cifar(str(name_or_path), root)
    path = Path(name_or_path)
    if path.suffix == ".npz":
        return load_npz(path)
    if path.is_dir():
        return load_folder(path)
    expected = ", ".join(NAMES) + ", a file.npz with arrays x (images) and y (labels), or a folder of images"
    raise InvalidData("no such data", value=str(name_or_path), expected=expected)
