"""Oxford Flowers 102 (Nilsback & Zisserman 2008) through torchvision, downloaded where it is not there yet.

Splits: the set's own, 1,020 images to train on (ten a class), 1,020 to compare networks on, 6,149 to test. The images
are large and of many sizes, so they are streamed (`nas_train.data.files`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nas_core.errors import InvalidData
from nas_train.data.dataset import ImageSet, Split, stratified_order
from nas_train.data.files import SIZE, ImageFiles
from nas_train.data.torchvision_sets import ROOT_VARIABLE, data_root

NAME, CLASSES, TEST = "flowers102", 102, 6149


def load_flowers(root: str | Path | None = None, size: int = SIZE) -> ImageSet:
    """The set.

    Args:
        root: folder of downloaded sets (`data_root`).
        size: height and width of an image after cropping.

    Raises:
        InvalidData: it is not there and cannot be downloaded, its files are damaged, or scipy, which torchvision reads
            its labels with, is not installed.
    """
    folder = data_root(root)
    train, validation = (_load(folder, split, size) for split in ("train", "val"))
    return ImageSet(NAME, CLASSES, train, validation, TEST, lambda: _load(folder, "test", size))


def _load(folder: Path, split: str, size: int) -> Split:
    from torchvision import datasets

    try:
        found: Any = datasets.Flowers102(str(folder), split=split, download=True)
    except ImportError:
        raise InvalidData(f"{NAME} needs scipy to read its labels", remedy="Install it: pip install scipy") from None
    except (OSError, RuntimeError, EOFError) as error:
        raise InvalidData(
            f"{NAME} cannot be downloaded or is damaged",
            value=str(error),
            place=str(folder),
            remedy=f"Put 102flowers.tgz (unpacked as jpg/), imagelabels.mat and setid.mat into flowers-102 there, or "
            f"name the folder that holds flowers-102 in {ROOT_VARIABLE}",
        ) from error
    return _split(found._image_files, found._labels, folder, size)


def _split(files: Sequence[Path], labels: Sequence[int], folder: Path, size: int) -> Split:
    numbers = np.asarray(labels, dtype=np.int64)
    order = stratified_order(numbers)
    paths = [Path(file).relative_to(folder).as_posix() for file in files]
    return Split(ImageFiles(folder, paths, size)[order], numbers[order])
