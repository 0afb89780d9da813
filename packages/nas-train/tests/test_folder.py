"""Folders of images: what lies where, cut and given splits, and what is wrong with a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.transforms.v2.functional import to_pil_image

from nas_core.errors import InvalidData
from nas_train.data import open_data


def fill(folder: Path, counts: dict[str, int], size: tuple[int, int] = (6, 8), first: int = 0) -> None:
    """Write images of one colour: the number of the image, counted over all classes from `first`."""
    number = first
    for name, count in counts.items():
        (folder / name).mkdir(parents=True)
        for i in range(count):
            image = to_pil_image(torch.full((3, *size), number, dtype=torch.uint8))
            image.save(folder / name / f"{i:03d}.png")
            number += 1


def test_classes_are_subfolders_and_splits_are_cut(tmp_path: Path) -> None:
    fill(tmp_path, {"cat": 10, "dog": 10})
    data = open_data(tmp_path)
    assert (data.classes, data.input_shape, dict(data.sizes)) == (
        2,
        (3, 6, 8),
        {"train": 12, "validation": 4, "test": 4},
    )
    met = []
    for name in ("train", "validation", "test"):
        split = data.split(name)
        for image, label in zip(split.images, split.labels, strict=True):
            assert len(np.unique(image)) == 1
            assert int(image[0, 0, 0]) // 10 == label
            met.append(int(image[0, 0, 0]))
    assert sorted(met) == list(range(20))


def test_given_splits_are_kept_and_the_test_split_is_read_when_asked_for(tmp_path: Path) -> None:
    fill(tmp_path / "train", {"a": 4, "b": 4})
    fill(tmp_path / "val", {"a": 2, "b": 2}, first=100)
    fill(tmp_path / "test", {"a": 1, "b": 1}, first=200)
    (tmp_path / "test" / "a" / "000.png").write_bytes(b"no image")
    data = open_data(str(tmp_path))
    assert dict(data.sizes) == {"train": 8, "validation": 4, "test": 2}
    assert sorted(data.split("validation").images[:, 0, 0, 0].tolist()) == [100, 101, 102, 103]
    with pytest.raises(InvalidData, match="cannot be read"):
        data.split("test")


def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="not a folder of images"):
        open_data(tmp_path)
    fill(tmp_path / "mixed", {"a": 4})
    fill(tmp_path / "mixed", {"b": 4}, size=(5, 5))
    with pytest.raises(InvalidData, match=r"different sizes: \(5, 5\).*6 x 8"):
        open_data(tmp_path / "mixed")
    fill(tmp_path / "split" / "train", {"a": 4, "b": 4})
    fill(tmp_path / "split" / "test", {"a": 4, "c": 4})
    with pytest.raises(InvalidData, match="other classes"):
        open_data(tmp_path / "split")
