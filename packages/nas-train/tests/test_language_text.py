"""Text as numbers: both forms read alike, the test split stays closed, and what is damaged is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_core.errors import InvalidData, InvalidOption
from nas_train.language.text import TextSet, checksum, open_text

TRAIN = " the cat sat \n\n the <unk> sat \n"
VALID = " the dog sat \n"
TEST = " a cat \n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of three texts."""
    for name, text in (("train", TRAIN), ("valid", VALID), ("test", TEST)):
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
    return tmp_path


def test_a_folder_by_hand(folder: Path) -> None:
    text = open_text(folder)
    # the 0, cat 1, sat 2, <eos> 3, <unk> 4; "dog" and "a" are unknown
    assert text.train.tolist() == [0, 1, 2, 3, 3, 0, 4, 2, 3]
    assert text.validation.tolist() == [0, 4, 2, 3]
    assert text.split("test").tolist() == [4, 1, 3]
    assert text.words == 5
    assert text.vocabulary == ("the", "cat", "sat", "<eos>", "<unk>")
    assert text.sizes == {"train": 9, "validation": 4}


@pytest.mark.parametrize("form", ["wiki.{}.tokens", "ptb.{}.txt"])
def test_names_of_published_files(folder: Path, form: str) -> None:
    expected = open_text(folder).checksum
    for name in ("train", "valid", "test"):
        (folder / f"{name}.txt").rename(folder / form.format(name))
    assert open_text(folder).checksum == expected


def test_an_archive_reads_as_the_folder_it_was_made_from(folder: Path, tmp_path: Path) -> None:
    text = open_text(folder)
    path = tmp_path / "same.npz"
    arrays: dict[str, Any] = {
        "train": text.train.astype(np.uint16),
        "valid": text.validation,
        "test": text.split("test"),
    }
    np.savez(path, **arrays, vocab=np.array(["the", "cat", "sat", "<eos>", "<unk>"]))
    again = open_text(path)
    assert (again.words, again.checksum, again.vocabulary) == (text.words, text.checksum, text.vocabulary)
    assert again.split("test").tolist() == [4, 1, 3]
    assert again.train.dtype == np.int32


def test_without_a_vocabulary_the_largest_number_counts(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", train=np.array([0, 3]), validation=np.array([5, 1]), test=np.array([6, 0]))
    text = open_text(tmp_path / "a.npz")
    assert (text.words, text.vocabulary) == (6, None)
    with pytest.raises(InvalidData, match=r"out of range: 6 \(in a, test split"):
        text.split("test")


def test_a_vocabulary_names_every_word(tmp_path: Path) -> None:
    words = np.arange(3, dtype=np.int32)
    numbers = np.array([7, 8, 9])  # no words, but as many
    np.savez(tmp_path / "a.npz", train=words, valid=words, test=words, vocab=numbers)
    assert (open_text(tmp_path / "a.npz").words, open_text(tmp_path / "a.npz").vocabulary) == (3, None)
    with pytest.raises(InvalidData, match=r"in the vocabulary: 2 \(in a\); expected 3"):
        TextSet("a", 3, words, words, lambda: words, ("x", "y"))


def test_the_test_split_is_opened_by_its_name_only(make_text: Callable[..., TextSet]) -> None:
    opened: list[str] = []
    text = make_text(opened=opened)
    assert (len(text.split("train")), len(text.split("validation"))) == tuple(text.sizes.values())
    assert len(text.checksum) == 32
    assert opened == []
    text.split("test")
    assert opened == ["test"]
    with pytest.raises(InvalidOption, match="no such split"):
        text.split("tests")


def test_checksums_differ_where_a_word_does() -> None:
    words = np.arange(5, dtype=np.int32)
    assert checksum(words) == checksum(words.astype(np.int64).astype(np.int32))
    assert len({checksum(words), checksum(words[::-1]), checksum(words[:4])}) == 3


def test_a_missing_split_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / "valid.txt").unlink()
    with pytest.raises(InvalidData, match="the valid split is missing"):
        open_text(folder)
    np.savez(tmp_path / "a.npz", train=np.arange(3), test=np.arange(3))
    with pytest.raises(InvalidData, match="the validation split is missing"):
        open_text(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 2), dtype=np.int64), "not the numbers of words"),
        (np.zeros(4), "not the numbers of words"),
        (np.array([0, -1]), "out of range: -1"),
        (np.array([0]), "too few words"),
        (np.array(["a", None], dtype=object), "cannot be read"),
    ],
)
def test_wrong_arrays_are_named(tmp_path: Path, array: Any, message: str) -> None:
    np.savez(tmp_path / "a.npz", train=array, valid=np.arange(3), test=np.arange(3), vocab=np.arange(4))
    with pytest.raises(InvalidData, match=message):
        open_text(tmp_path / "a.npz")


def test_damaged_and_missing_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(InvalidData, match="cannot be read"):
        open_text(tmp_path / "cut.npz")
    with pytest.raises(InvalidData, match="no such file"):
        open_text(tmp_path / "none.npz")
    with pytest.raises(InvalidData, match="no such text"):
        open_text(tmp_path / "none")
    for name in ("train", "valid", "test"):
        (tmp_path / f"{name}.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(InvalidData, match="cannot be read"):
        open_text(tmp_path)
