"""Image sets in `.npz` files: arrays of images and labels under the names that people use.

Accepted names: `x` or `images` and `y` or `labels`, optionally `x_train`, `y_train` instead, and `x_val`/`y_val`,
`x_test`/`y_test` (or `images_…`/`labels_…`) where splits are given. Images: n x h x w, n x h x w x c or n x c x h x w,
uint8 from 0 to 255 or floats from 0 to 1. Labels: n whole numbers from 0. What is not given is cut from the images by
`stratified_order`: 60 % train, 20 % validation, 20 % test, or 20 % for a single split that is missing.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from nas_core.errors import InvalidData
from nas_train.data.cutting import cut, taken
from nas_train.data.dataset import LEVELS, PART, ImageSet, Split

CHANNELS = (1, 2, 3, 4)
_IMAGES = ("x", "images")
_LABELS = ("y", "labels")
_LOCAL_HEADER, _NAME_LENGTHS = 30, 26
"""Size of what precedes a member of a zip archive, and where in it the lengths of its two names stand."""
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

    names = arrays.pair("_test")
    test = None if names is None else (arrays.length(names), partial(_copied, arrays, names))
    return cut(path.name, str(path), train, validation, test)


def _copied(arrays: _Archive, names: tuple[str, str]) -> Split:
    """A split in memory."""
    split = arrays.read(*names)
    return taken(split, np.arange(len(split.labels)))


class _Archive:
    """The arrays of one file, read when asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names = self._open(lambda file: frozenset(file.files))

    def split(self, *suffixes: str) -> Split | None:
        """The images and labels whose names end in one of the suffixes; None where there are neither."""
        pair = next(filter(None, map(self.pair, suffixes)), None)
        return None if pair is None else self.read(*pair)

    def read(self, x: str, y: str) -> Split:
        """The images and labels of these names; a view of the file as far as it can be."""
        images = _images(self._read(x), f"{self.path}, array {x}")
        labels = _labels(self._read(y), f"{self.path}, array {y}")
        if len(images) != len(labels):
            raise InvalidData("not as many labels as images", value=(len(images), len(labels)), place=str(self.path))
        return Split(images, labels)

    def length(self, names: tuple[str, str]) -> int:
        """How many labels a split has, without reading its images."""
        return self._read(names[1]).size

    def pair(self, suffix: str) -> tuple[str, str] | None:
        """Names of the images and of the labels of a split; None where it has neither.

        Raises:
            InvalidData: there is one without the other.
        """
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
        return self._open(lambda file: _mapped(self.path, file, name), f", array {name}")

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
        except KeyError as error:
            raise InvalidData("the file has lost an array since it was opened", value=str(error), place=place) from None
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


def _mapped(path: Path, file: Any, name: str) -> NDArray[Any]:
    """An array of an open archive: where its bytes lie in the file as they are, mapped; otherwise read.

    A mapped array takes no memory of its own until it is copied. Its bytes are checked as those of a read one are.
    """
    member = file.zip.getinfo(f"{name}.npy") if f"{name}.npy" in file.zip.namelist() else None
    if member is None or member.compress_type != zipfile.ZIP_STORED:
        return np.asarray(file[name])
    with path.open("rb") as stream:
        stream.seek(member.header_offset + _NAME_LENGTHS)
        begin = member.header_offset + _LOCAL_HEADER + sum(struct.unpack("<HH", stream.read(4)))
        stream.seek(begin)
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            return np.asarray(file[name])
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(stream)
        if dtype.hasobject or by_columns or 0 in shape:
            return np.asarray(file[name])
        data = stream.tell()
    whole = np.memmap(path, np.uint8, "r", begin, (member.file_size,))
    if zlib.crc32(whole.data) != member.CRC:
        raise zipfile.BadZipFile(f"Bad CRC-32 for file {member.filename!r}")
    return whole[data - begin :].view(dtype).reshape(shape)


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
        levels = np.empty(array.shape, np.uint8)
        for start in range(0, len(array), PART):
            levels[start : start + PART] = np.rint(array[start : start + PART] * LEVELS)
        array = levels
    if array.dtype != np.uint8:
        raise InvalidData(
            "pixels of a wrong type", value=str(array.dtype), place=place, expected="uint8, or floats from 0 to 1"
        )
    return array


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
