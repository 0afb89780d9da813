"""Image sets in `.npz` files: arrays of images and labels under the names that people use.

Accepted names: `x` or `images` and `y` or `labels`, optionally `x_train`, `y_train` instead, and `x_val`/`y_val`,
`x_test`/`y_test` (or `images_…`/`labels_…`) where splits are given. Images: n x h x w, n x h x w x c or n x c x h x w,
uint8 from 0 to 255 or floats from 0 to 1. Labels: n whole numbers from 0. What is not given is cut from the images by
`stratified_order`: 60 % train, 20 % validation, 20 % test, or 20 % for a single split that is missing.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nas_core.errors import InvalidData
from nas_train.data.cutting import cut
from nas_train.data.dataset import LEVELS, ImageSet, Split

CHANNELS = (1, 2, 3, 4)
_IMAGES = ("x", "images")
_LABELS = ("y", "labels")
T = TypeVar("T")


def load_npz(path: Path) -> ImageSet:
    """The image set of a file.

    Raises:
        InvalidData: the file cannot be read, or its arrays are not images and labels; the message names the array.
    """
    arrays = _Archive(path)
    train = arrays.split("", "_train")
    if train is None:
        raise InvalidData(
            "images or labels are missing",
            value=sorted(arrays.names),
            place=str(path),
            expected="arrays x (or images) and y (or labels)",
        )
    validation = arrays.split("_val", "_validation", "_valid")

    def open_test() -> Split:
        return arrays.split("_test") or train  # it is there: `has` says so

    test = (arrays.length("_test"), open_test) if arrays.has("_test") else None
    return cut(path.name, str(path), train, validation, test)


class _Archive:
    """The arrays of one file, read when asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names = self._open(lambda file: frozenset(file.files))

    def has(self, suffix: str) -> bool:
        """Whether the file has a split."""
        return self._pair(suffix) is not None

    def split(self, *suffixes: str) -> Split | None:
        """The images and labels whose names end in one of the suffixes; None where there are neither."""
        pair = next(filter(None, map(self._pair, suffixes)), None)
        if pair is None:
            return None
        x, y = pair
        images = _images(self._read(x), f"{self.path}, array {x}")
        labels = _labels(self._read(y), f"{self.path}, array {y}")
        if len(images) != len(labels):
            raise InvalidData("not as many labels as images", value=(len(images), len(labels)), place=str(self.path))
        return Split(images, labels)

    def length(self, suffix: str) -> int:
        """How many labels a split has, without reading its images."""
        pair = self._pair(suffix)
        return 0 if pair is None else self._read(pair[1]).size

    def _pair(self, suffix: str) -> tuple[str, str] | None:
        """Names of the images and of the labels of a split."""
        x, y = self._name(_IMAGES, suffix), self._name(_LABELS, suffix)
        if x is None and y is None:
            return None
        if x is None or y is None:
            raise InvalidData(
                f"{x or y} has no counterpart",
                value=sorted(self.names),
                place=str(self.path),
                expected=" or ".join(f"{base}{suffix}" for base in (_LABELS if y is None else _IMAGES)),
            )
        return x, y

    def _name(self, bases: Iterable[str], suffix: str) -> str | None:
        return next((f"{base}{suffix}" for base in bases if f"{base}{suffix}" in self.names), None)

    def _read(self, name: str) -> NDArray[Any]:
        return self._open(lambda file: np.asarray(file[name]), f", array {name}")

    def _open(self, use: Callable[[Any], T], where: str = "") -> T:
        place = f"{self.path}{where}"
        try:
            with self.path.open("rb") as stream:
                file = np.load(stream, allow_pickle=False)
                if isinstance(file, np.ndarray):
                    raise InvalidData("a single array", place=place, expected="an .npz archive of images and labels")
                with file:
                    return use(file)
        except FileNotFoundError:
            raise InvalidData("no such file", value=str(self.path)) from None
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise InvalidData(
                "the file cannot be read", value=str(error), place=place, expected="an .npz archive"
            ) from None
        except ValueError as error:  # what numpy says to objects, which only a pickle could hold
            raise InvalidData(
                "arrays of objects, or no .npz archive",
                value=str(error),
                place=place,
                expected="plain numbers",
                remedy="Save images and labels as numeric arrays with numpy.savez",
            ) from None


def _images(array: NDArray[Any], place: str) -> NDArray[np.uint8]:
    """As n x c x h x w, uint8."""
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise InvalidData(
            "not images", value=array.shape, place=place, expected="a shape n x h x w, n x h x w x c or n x c x h x w"
        )
    if array.ndim == 3:
        array = array[:, None]
    elif _channels_last(array.shape, place):
        array = array.transpose(0, 3, 1, 2)
    if np.issubdtype(array.dtype, np.floating):
        low, high = float(array.min()), float(array.max())
        if not (low >= 0.0 and high <= 1.0):  # not-a-number fails here too
            raise InvalidData("pixels out of range", value=(low, high), place=place, expected="floats from 0 to 1")
        array = np.rint(array * LEVELS).astype(np.uint8)
    if array.dtype != np.uint8:
        raise InvalidData(
            "pixels of a wrong type", value=str(array.dtype), place=place, expected="uint8, or floats from 0 to 1"
        )
    return np.ascontiguousarray(array)


def _channels_last(shape: tuple[int, ...], place: str) -> bool:
    """Whether the last of four axes is that of the channels; where both could be, the image is taken to be square."""
    _, first, middle, last = shape
    could_be_first, could_be_last = first in CHANNELS, last in CHANNELS
    if could_be_first and could_be_last:
        could_be_first, could_be_last = middle == last, first == middle
    if could_be_first == could_be_last:
        if could_be_first:
            return False
        raise InvalidData("no axis is that of the channels", value=shape, place=place, expected="1 to 4 channels")
    return could_be_last


def _labels(array: NDArray[Any], place: str) -> NDArray[np.int64]:
    """As n numbers, int64."""
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise InvalidData("not labels", value=array.shape, place=place, expected="one number an image")
    if not np.issubdtype(array.dtype, np.integer):
        raise InvalidData("labels of a wrong type", value=str(array.dtype), place=place, expected="whole numbers")
    if len(array) and array.min() < 0:
        raise InvalidData("a label out of range", value=int(array.min()), place=place, expected="whole numbers from 0")
    return array.astype(np.int64)
