"""Text as numbers of words, in three fixed splits, of which the test split is opened by name only.

Two forms are read. An `.npz` file holds the arrays `train`, `valid` (or `validation`) and `test` of word numbers, and
perhaps `vocab`, the words. A folder holds `train.txt`, `valid.txt` and `test.txt` (or `wiki.train.tokens`, … or
`ptb.train.txt`, …): words between spaces, and `<eos>` at the end of each line, as Penn Treebank and WikiText-2 are
counted. There the vocabulary is that of the training text, in the order of first use; any other word is `<unk>`.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nas_core.errors import InvalidData, InvalidOption

Tokens = NDArray[np.int32]
SPLITS = ("train", "validation", "test")
UNKNOWN = "<unk>"
END = "<eos>"
FEWEST = 2
"""A split needs a word to begin with and one to predict."""

_ARRAYS: Mapping[str, tuple[str, ...]] = {"train": ("train",), "validation": ("valid", "validation"), "test": ("test",)}
_FILES = ("{}.txt", "wiki.{}.tokens", "ptb.{}.txt")


@dataclass(frozen=True, eq=False)
class TextSet:
    """A text for language models.

    Args:
        name: what it is called in reports.
        words: number k of different words.
        train: numbers from 0 to k - 1, in the order of the text.
        validation: the text to compare models on.
        open_test: loads the test split; called by `split("test")` and nowhere else.
        vocabulary: the k words by their numbers, where they are known.

    Raises:
        InvalidData: a split that is too short, a number out of range, or another number of words in the vocabulary.
    """

    name: str
    words: int
    train: Tokens
    validation: Tokens
    open_test: Callable[[], Tokens] = field(repr=False)
    vocabulary: tuple[str, ...] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.words < 2:
            raise InvalidData("a text needs at least two different words", value=self.words, place=self.name)
        if self.vocabulary is not None and len(self.vocabulary) != self.words:
            raise InvalidData(
                "another number of words in the vocabulary",
                value=len(self.vocabulary),
                place=self.name,
                expected=str(self.words),
            )
        self._check("train", self.train)
        self._check("validation", self.validation)

    @property
    def sizes(self) -> Mapping[str, int]:
        """Number of words by split; the test split is not looked at."""
        return {"train": len(self.train), "validation": len(self.validation)}

    @cached_property
    def checksum(self) -> str:
        """Digest of the vocabulary's size, the training and the validation split; the test split has its own."""
        parts = f"{self.words} {checksum(self.train)} {checksum(self.validation)}"
        return hashlib.blake2b(parts.encode(), digest_size=16).hexdigest()

    def split(self, name: str) -> Tokens:
        """A split by name; the only way to the test split.

        Raises:
            InvalidOption: no such split.
            InvalidData: the test split is missing or damaged.
        """
        if name == "test":
            test = self.open_test()
            self._check("test", test)
            return test
        if name not in SPLITS:
            raise InvalidOption("no such split", value=name, expected="one of " + ", ".join(SPLITS))
        return self.train if name == "train" else self.validation

    def _check(self, name: str, tokens: Tokens) -> None:
        place = f"{self.name}, {name} split"
        if tokens.ndim != 1 or len(tokens) < FEWEST:
            raise InvalidData("too few words", value=tokens.shape, place=place, expected=f"at least {FEWEST} in a row")
        lowest, highest = int(tokens.min()), int(tokens.max())
        if lowest < 0 or highest >= self.words:
            wrong = lowest if lowest < 0 else highest
            raise InvalidData(
                "the number of a word out of range", value=wrong, place=place, expected=f"0 to {self.words - 1}"
            )


def checksum(tokens: Tokens) -> str:
    """BLAKE2b digest of the number of words and of the words, as 32 hexadecimal digits."""
    digest = hashlib.blake2b(str(len(tokens)).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(tokens, dtype="<i4").data)
    return digest.hexdigest()


def open_text(path: str | Path) -> TextSet:
    """The text of an `.npz` file or of a folder.

    Raises:
        InvalidData: there is none, or it cannot be read; the message names the array or the file.
    """
    place = Path(path)
    if place.suffix == ".npz":
        return _from_npz(place)
    if place.is_dir():
        return _from_folder(place)
    expected = "a file.npz with arrays train, valid and test, or a folder with train.txt, valid.txt and test.txt"
    raise InvalidData("no such text", value=str(path), expected=expected)


def _from_npz(path: Path) -> TextSet:
    names = _in_archive(path, lambda file: tuple(file.files))
    found = {}
    for split, accepted in _ARRAYS.items():
        name = next((name for name in accepted if name in names), None)
        if name is None:
            raise InvalidData(
                f"the {split} split is missing",
                value=sorted(names),
                place=str(path),
                expected=f"an array {accepted[0]}",
            )
        found[split] = name
    train, validation = _numbers(path, found["train"]), _numbers(path, found["validation"])
    words, vocabulary = int(max(train.max(initial=0), validation.max(initial=0))) + 1, None
    if "vocab" in names:
        words, vocabulary = _in_archive(path, _vocabulary, ", array vocab")
    return TextSet(path.stem, words, train, validation, lambda: _numbers(path, found["test"]), vocabulary)


def _vocabulary(file: Mapping[str, NDArray[Any]]) -> tuple[int, tuple[str, ...] | None]:
    """The number of words, and the words where they are text."""
    listed = file["vocab"]
    return int(listed.shape[0]), tuple(listed.tolist()) if listed.dtype.kind == "U" and listed.ndim == 1 else None


def _numbers(path: Path, name: str) -> Tokens:
    array: NDArray[Any] = _in_archive(path, lambda file: np.asarray(file[name]), f", array {name}")
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise InvalidData(
            "not the numbers of words",
            value=f"{array.dtype} {array.shape}",
            place=f"{path}, array {name}",
            expected="whole numbers in a row",
        )
    return array.astype(np.int32)


def _in_archive(path: Path, use: Callable[[Any], Any], where: str = "") -> Any:
    place = f"{path}{where}"
    try:
        with path.open("rb") as stream:
            file = np.load(stream, allow_pickle=False)
            if isinstance(file, np.ndarray):
                raise InvalidData("a single array", place=place, expected="an .npz archive of three splits")
            with file:
                return use(file)
    except FileNotFoundError:
        raise InvalidData("no such file", value=str(path)) from None
    except (OSError, EOFError, ValueError, IndexError, zipfile.BadZipFile, zlib.error) as error:
        raise InvalidData(
            "the file cannot be read", value=str(error), place=place, expected="an .npz archive of numbers"
        ) from None


def _from_folder(folder: Path) -> TextSet:
    train = _words(folder, "train")
    numbers: dict[str, int] = {}
    for word in train:
        numbers.setdefault(word, len(numbers))
    unknown = numbers.setdefault(UNKNOWN, len(numbers))

    def numbered(words: list[str]) -> Tokens:
        return np.fromiter((numbers.get(word, unknown) for word in words), dtype=np.int32, count=len(words))

    validation = numbered(_words(folder, "valid"))
    return TextSet(
        folder.name, len(numbers), numbered(train), validation, lambda: numbered(_words(folder, "test")), tuple(numbers)
    )


def _words(folder: Path, split: str) -> list[str]:
    candidates = [folder / form.format(split) for form in _FILES]
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        expected = " or ".join(path.name for path in candidates)
        raise InvalidData(f"the {split} split is missing", place=str(folder), expected=f"a file {expected}")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidData("the text cannot be read", value=str(error), place=str(path), expected="UTF-8") from None
    return [word for line in lines for word in (*line.split(), END)]
