"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009) through torchvision, downloaded where they are not there yet.

Splits: the 50,000 training images in two halves, 25,000 to train on and 25,000 to compare networks on, as many as in
NAS-Bench-201 (Dong & Yang 2020, §2.2; not the same images: these follow `stratified_order`), and the 10,000 of the test
set.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from nas_core.errors import InvalidData
from nas_train.data.dataset import ImageSet, Split, stratified_order

KINDS = {"cifar10": ("CIFAR10", 10), "cifar100": ("CIFAR100", 100)}
TRAIN, VALIDATION, TEST = 25_000, 25_000, 10_000
ROOT_VARIABLE = "NAS_DATA"
"""Environment variable that names the folder of downloaded sets."""


def data_root(root: str | Path | None = None) -> Path:
    """The folder of downloaded sets: what is given, else what NAS_DATA says, else .cache/nas in the home directory."""
    return Path(root or os.environ.get(ROOT_VARIABLE) or Path.home() / ".cache" / "nas")


def load_cifar(name: str, root: str | Path | None = None) -> ImageSet:
    """One of `KINDS`.

    Args:
        name: "cifar10" or "cifar100".
        root: folder of downloaded sets (`data_root`).

    Raises:
        InvalidData: it is not there and cannot be downloaded, or its files are damaged.
    """
    folder = data_root(root)
    whole = _load(name, folder, train=True)
    parts = np.split(stratified_order(whole.labels), [TRAIN])
    train, validation = (Split(whole.images[part], whole.labels[part]) for part in parts)
    return ImageSet(name, KINDS[name][1], train, validation, TEST, lambda: _load(name, folder, train=False))


def _load(name: str, folder: Path, train: bool) -> Split:
    from torchvision import datasets

    kind: Any = getattr(datasets, KINDS[name][0])
    try:
        files = kind(str(folder), train=train, download=True)
    except (OSError, RuntimeError, EOFError) as error:
        raise InvalidData(
            f"{name} cannot be downloaded or is damaged",
            value=str(error),
            place=str(folder),
            remedy=f"Put torchvision's files of {name} there, or name their folder in {ROOT_VARIABLE}",
        ) from error
    return Split(np.ascontiguousarray(files.data.transpose(0, 3, 1, 2)), np.asarray(files.targets, dtype=np.int64))
