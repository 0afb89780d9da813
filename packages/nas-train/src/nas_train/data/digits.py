"""The digits of scikit-learn: 1,797 scanned digits of 8 x 8 pixels (Alpaydin & Kaynak 1998), in three splits.

They ship inside scikit-learn (the extra `digits`), so they are there without a download. Split: 1,000 to train on, 397
to compare networks on, 400 to test, by `stratified_order`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nas_core.errors import InvalidData
from nas_train.data.dataset import LEVELS, ImageSet, Split, stratified_order

TRAIN, VALIDATION, TEST = 1000, 397, 400
_DARKEST = 16
_SIDE = 8


def load_digits() -> ImageSet:
    """The set.

    Raises:
        InvalidData: scikit-learn is not installed.
    """
    table = _table()
    labels = table[:, -1].astype(np.int64)
    images = np.rint(table[:, :-1] * (LEVELS / _DARKEST)).astype(np.uint8).reshape(-1, 1, _SIDE, _SIDE)
    order = stratified_order(labels)
    parts = np.split(order, [TRAIN, TRAIN + VALIDATION])
    train, validation, test = (Split(images[part], labels[part]) for part in parts)
    return ImageSet("digits", 10, train, validation, TEST, lambda: test)


def _table() -> NDArray[np.float64]:
    """One row an image: 64 pixels from 0 to 16, then the digit."""
    found = importlib.util.find_spec("sklearn")
    if found is None or not found.submodule_search_locations:
        raise InvalidData(
            "the digits come with scikit-learn, which is not installed",
            remedy='Install the extra: pip install "nas-train[digits]"',
        )
    file = Path(found.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"
    if file.is_file():  # read directly: importing sklearn.datasets takes two seconds, in every worker
        return np.loadtxt(file, delimiter=",")
    from sklearn import datasets

    digits = datasets.load_digits()
    return np.column_stack([digits.data, digits.target])
