"""`.npz` files: every accepted form gives the same images, everything else one clear error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_core.errors import InvalidData
from nas_core.random import rng
from nas_train.data import open_data

N = 50
LABELS = np.arange(N) % 5
BYTES = rng(0, "npz").integers(0, 256, (N, 3, 6, 7)).astype(np.uint8)
BYTES[:, 0, 0, 0] = np.arange(N)  # which image it is


def saved(folder: Path, **arrays: Any) -> Path:
    path = folder / "set.npz"
    np.savez(path, **arrays)
    return path


def test_images_without_splits_are_cut_by_a_fixed_rule(tmp_path: Path) -> None:
    data = open_data(saved(tmp_path, x=BYTES, y=LABELS))
    assert data.sizes == {"train": 30, "validation": 10, "test": 10}
    assert (data.classes, data.input_shape, data.name) == (5, (3, 6, 7), "set.npz")
    numbers = []
    for name in ("train", "validation", "test"):
        part = data.split(name)
        own = part.images[:, 0, 0, 0].astype(int)
        assert np.array_equal(part.images, BYTES[own])
        assert np.array_equal(part.labels, LABELS[own])
        assert np.ptp(np.bincount(part.labels)) == 0
        numbers += own.tolist()
    assert sorted(numbers) == list(range(N))


@pytest.mark.parametrize(
    "arrays",
    [
        {"images": BYTES, "labels": LABELS},
        {"x_train": BYTES, "y_train": LABELS.astype(np.uint8)},
        {"x": BYTES.transpose(0, 2, 3, 1), "y": LABELS[:, None]},
        {"x": BYTES / 255, "y": LABELS},
        {"x": (BYTES / 255).astype(np.float32).transpose(0, 2, 3, 1), "labels": LABELS.astype(np.int32)},
    ],
    ids=["images", "train", "channels last", "floats", "floats last"],
)
def test_all_forms_are_read_alike(tmp_path: Path, arrays: dict[str, Any]) -> None:
    (tmp_path / "plain").mkdir()
    assert (
        open_data(saved(tmp_path, **arrays)).checksum
        == open_data(saved(tmp_path / "plain", x=BYTES, y=LABELS)).checksum
    )


def test_images_without_channels_have_one(tmp_path: Path) -> None:
    data = open_data(saved(tmp_path, x=BYTES[:, 0], y=LABELS))
    assert data.input_shape == (1, 6, 7)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((N, 3, 3, 1), (1, 3, 3)), ((N, 1, 3, 3), (1, 3, 3)), ((N, 4, 4, 3), (3, 4, 4)), ((N, 3, 9, 2), (3, 9, 2))],
)
def test_where_two_axes_could_be_channels_the_image_is_square(
    tmp_path: Path, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    array = np.resize(BYTES, shape)
    if expected == (3, 9, 2):
        with pytest.raises(InvalidData, match="no axis is that of the channels"):
            open_data(saved(tmp_path, x=array, y=LABELS))
    else:
        assert open_data(saved(tmp_path, x=array, y=LABELS)).input_shape == expected


def test_given_splits_are_taken(tmp_path: Path) -> None:
    arrays = {"x": BYTES[:30], "y": LABELS[:30], "x_val": BYTES[30:40], "y_val": LABELS[30:40]}
    data = open_data(saved(tmp_path, **arrays, x_test=BYTES[40:], y_test=LABELS[40:]))
    assert data.sizes == {"train": 30, "validation": 10, "test": 10}
    for name, numbers in {"train": range(30), "validation": range(30, 40), "test": range(40, 50)}.items():
        assert sorted(data.split(name).images[:, 0, 0, 0]) == list(numbers)


@pytest.mark.parametrize(
    ("given", "sizes"),
    [("val", {"train": 32, "validation": 10, "test": 8}), ("test", {"train": 32, "validation": 8, "test": 10})],
)
def test_a_missing_split_is_cut_from_the_training_images(tmp_path: Path, given: str, sizes: dict[str, int]) -> None:
    arrays = {"x": BYTES[:40], "y": LABELS[:40], f"x_{given}": BYTES[40:], f"y_{given}": LABELS[40:]}
    data = open_data(saved(tmp_path, **arrays))
    assert data.sizes == sizes
    numbers = [int(i) for name in sizes for i in data.split(name).images[:, 0, 0, 0]]
    assert sorted(numbers) == list(range(N))


def test_a_given_test_split_stays_in_the_file_until_it_is_named(tmp_path: Path) -> None:
    bad = np.full((10, 3, 6, 7), np.nan)
    data = open_data(saved(tmp_path, x=BYTES[:40], y=LABELS[:40], x_test=bad, y_test=LABELS[40:]))
    data.train_and_validation()
    with pytest.raises(InvalidData, match=r"array x_test\); expected floats from 0 to 1"):
        data.split("test")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": BYTES}, "x has no counterpart.*expected y or labels"),
        ({"y": LABELS}, "y has no counterpart.*expected x or images"),
        ({"pictures": BYTES}, r"missing: \['pictures'\].*x \(or images\) and y \(or labels\)"),
        ({"x": BYTES, "y": LABELS, "x_test": BYTES}, "x_test has no counterpart"),
        ({"x": BYTES.astype(object), "y": LABELS}, "arrays of objects.*array x"),
        ({"x": BYTES, "y": LABELS.astype(object)}, "arrays of objects.*array y"),
        ({"x": BYTES[0, 0], "y": LABELS}, "not images"),
        ({"x": BYTES[:0], "y": LABELS[:0]}, "not images"),
        ({"x": np.zeros((N, 5, 6, 7), np.uint8), "y": LABELS}, "no axis is that of the channels"),
        ({"x": BYTES.astype(np.int64), "y": LABELS}, "pixels of a wrong type: 'int64'"),
        ({"x": BYTES.astype(float), "y": LABELS}, "pixels out of range.*floats from 0 to 1"),
        ({"x": np.where(BYTES > 9, 0.5, np.nan), "y": LABELS}, "pixels out of range"),
        ({"x": BYTES, "y": LABELS[:-1]}, r"not as many labels as images: \(50, 49\)"),
        ({"x": BYTES, "y": LABELS.astype(float)}, "labels of a wrong type: 'float64'.*whole numbers"),
        ({"x": BYTES, "y": LABELS.astype(bool)}, "labels of a wrong type: 'bool'"),
        ({"x": BYTES, "y": np.eye(5)[LABELS].astype(int)}, r"not labels: \(50, 5\)"),
        ({"x": BYTES, "y": LABELS - 1}, "label out of range: -1"),
        ({"x": BYTES, "y": LABELS + 1}, "class has no training image: 0.*from 0 without gaps"),
        ({"x": BYTES, "y": LABELS + 10**12}, "class has no training image: 0"),
        ({"x": BYTES, "y": LABELS * 0}, "one class"),
        ({"x": BYTES[:4], "y": LABELS[:4]}, "class has no training image: 2.*several images of each"),
        ({"x": BYTES[:3], "y": LABELS[:3] // 2}, "too few images"),
        ({"x": BYTES, "y": LABELS, "x_val": BYTES[:, :1], "y_val": LABELS}, "validation split"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_read_is_one_clear_error(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    path = saved(tmp_path, **arrays)
    with pytest.raises(InvalidData, match=message) as caught:
        open_data(path)
    assert "set.npz" in str(caught.value)


def test_compressed_files_give_the_same_as_mapped_ones(tmp_path: Path) -> None:
    arrays: dict[str, Any] = {
        "x": BYTES.transpose(0, 2, 3, 1),
        "y": LABELS,
        "x_test": BYTES[:10],
        "y_test": LABELS[:10],
    }
    np.savez(tmp_path / "plain.npz", **arrays)
    np.savez_compressed(tmp_path / "small.npz", **arrays)
    np.savez(tmp_path / "columns.npz", **(arrays | {"x": np.asfortranarray(arrays["x"])}))
    plain, *others = (open_data(tmp_path / f"{name}.npz") for name in ("plain", "small", "columns"))
    for other in others:
        assert other.checksum == plain.checksum
        assert other.split("test").checksum == plain.split("test").checksum


def test_images_do_not_depend_on_the_file_once_they_are_open(tmp_path: Path) -> None:
    path = saved(tmp_path, x=BYTES, y=LABELS, x_test=BYTES[:10], y_test=LABELS[:10])
    data = open_data(path)
    parts = (data.train, data.validation, data.split("test"))
    before = [part.checksum for part in parts]
    with path.open("r+b") as stream:  # the same file, overwritten
        stream.write(bytes(path.stat().st_size))
    assert [part.checksum for part in parts] == before


def test_parts_that_are_worked_on_at_once_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path, x=BYTES / 255, y=LABELS)
    whole = open_data(path)
    for module in ("dataset", "cutting", "npz"):
        monkeypatch.setattr(f"nas_train.data.{module}.PART", 7)
    parts = open_data(path)
    assert parts.checksum == whole.checksum
    assert parts.statistics == whole.statistics


@pytest.mark.parametrize("damage", ["missing", "text", "truncated", "npy", "empty", "pickle"])
def test_a_file_that_is_no_archive_is_one_clear_error(tmp_path: Path, damage: str) -> None:
    path = saved(tmp_path, x=BYTES, y=LABELS)
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "npy":
        with path.open("wb") as stream:
            np.save(stream, BYTES)
    else:
        bytes_of = {
            "text": b"no archive",
            "truncated": content[: len(content) // 2],
            "empty": b"",
            "pickle": b"\x80\x04.",
        }
        path.write_bytes(bytes_of[damage])
    with pytest.raises(InvalidData, match=r"set\.npz"):
        open_data(path)


def test_a_damaged_array_is_one_clear_error(tmp_path: Path) -> None:
    path = saved(tmp_path, x=BYTES, y=LABELS)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(InvalidData, match=r"cannot be read.*set\.npz"):
        open_data(path)


def test_a_test_split_that_is_gone_is_one_clear_error(tmp_path: Path) -> None:
    data = open_data(saved(tmp_path, x=BYTES[:40], y=LABELS[:40], x_test=BYTES[40:], y_test=LABELS[40:]))
    saved(tmp_path, x=BYTES, y=LABELS)
    with pytest.raises(InvalidData, match=r"lost an array since.*array x_test"):
        data.split("test")
