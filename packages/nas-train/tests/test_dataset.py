"""Image sets check themselves, split fairly and keep the test split shut."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from nas_core.errors import InvalidData, InvalidOption
from nas_train.data import ImageSet, Split, open_data
from nas_train.data.dataset import stratified_order
from nas_train.data.torchvision_sets import data_root, load_cifar


def test_the_test_split_is_opened_by_name_only(make_images: Callable[..., ImageSet]) -> None:
    opened: list[str] = []
    data = make_images(opened=opened)
    assert len(data.train_and_validation().labels) == 96
    assert data.split("train") is data.train
    assert data.split("validation") is data.validation
    assert (data.sizes, data.input_shape, data.classes) == ({"train": 64, "validation": 32, "test": 32}, (1, 8, 8), 4)
    assert len(data.checksum) == 32
    assert len(data.statistics[0]) == 1
    assert opened == []
    assert len(data.split("test").labels) == 32
    assert opened == ["test"]
    with pytest.raises(InvalidOption, match="no such split"):
        data.split("val")


def test_statistics_are_those_of_the_training_pixels(make_images: Callable[..., ImageSet]) -> None:
    data = make_images(channels=3)
    means, deviations = data.statistics
    pixels = data.train.images / 255
    np.testing.assert_allclose(means, pixels.mean((0, 2, 3)))
    np.testing.assert_allclose(deviations, pixels.std((0, 2, 3)))
    flat = replace(data, train=Split(np.full_like(data.train.images, 51), data.train.labels))
    assert flat.statistics[0] == pytest.approx((0.2, 0.2, 0.2))
    assert flat.statistics[1] == (1.0, 1.0, 1.0)


def test_the_checksum_sees_every_byte_of_both_splits(images: ImageSet) -> None:
    found = {images.checksum}
    for part in (images.train, images.validation):
        for change in ("images", "labels"):
            array = getattr(part, change).copy()
            array.flat[-1] ^= 1
            changed = part._replace(**{change: array})
            found.add(replace(images, **{"train" if part is images.train else "validation": changed}).checksum)
    assert len(found) == 5


def test_every_window_of_the_order_is_stratified() -> None:
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    order = stratified_order(labels)
    assert sorted(order) == list(range(1000))
    assert list(order[:20]) != sorted(order[:20])
    for start in range(0, 1000, 100):
        counts = np.bincount(labels[order[start : start + 100]], minlength=3)
        assert np.abs(counts - [60, 30, 10]).max() <= 1
    assert np.array_equal(order, stratified_order(labels))


def split(n: int = 4, labels: Any = None, shape: tuple[int, ...] = (1, 4, 4)) -> Split:
    values = np.arange(n) % 2 if labels is None else np.asarray(labels)
    return Split(np.zeros((n, *shape), np.uint8), values.astype(np.int64))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"train": split(4, [0, 0, 0, 0]), "classes": 1}, "one class"),
        ({"train": split(4, [0, 2, 2, 0]), "classes": 3}, "class has no training image: 1"),
        ({"train": split(4), "classes": 3}, "class has no training image: 2"),
        ({"train": split(1, [0])}, "too few images"),
        ({"train": Split(np.zeros((4, 1, 4, 4), np.uint8), np.array([0, 1], np.int64))}, "not as many labels"),
        ({"train": Split(np.zeros((4, 4, 4), np.uint8), np.array([0, 1, 0, 1]))}, "not images and labels"),
        ({"train": Split(np.zeros((4, 1, 4, 4)), np.array([0, 1, 0, 1]))}, "not images and labels"),  # type: ignore[arg-type]
        ({"validation": split(4, shape=(3, 4, 4))}, "validation split.*as in training"),
        ({"validation": split(4, [0, 1, 2, 1])}, "label out of range: 2"),
        ({"validation": split(4, [0, 1, -1, 1])}, "label out of range: -1"),
        ({"test_size": 1}, "too few images in the test split"),
    ],
)
def test_what_is_no_image_set_is_refused(parts: dict[str, Any], message: str) -> None:
    good: dict[str, Any] = {"train": split(), "validation": split(), "classes": 2, "test_size": 4}
    ImageSet("good", **good, open_test=split)
    with pytest.raises(InvalidData, match=message):
        ImageSet("bad", **(good | parts), open_test=split)


def test_a_test_split_of_another_kind_is_refused(images: ImageSet) -> None:
    data = replace(images, open_test=lambda: split(shape=(1, 9, 9)))
    with pytest.raises(InvalidData, match="test split"):
        data.split("test")


def test_digits_are_the_scans_of_scikit_learn() -> None:
    datasets = pytest.importorskip("sklearn.datasets", reason="the extra 'digits' is not installed")
    data = open_data("digits")
    assert (data.input_shape, data.classes) == ((1, 8, 8), 10)
    assert data.sizes == {"train": 1000, "validation": 397, "test": 400}
    parts = [data.split(name) for name in ("train", "validation", "test")]
    for part in parts:  # every class within one image of its share, 174 to 183 of 1,797
        assert np.abs(np.bincount(part.labels) - len(part.labels) * np.bincount(_digits(datasets)[1]) / 1797).max() <= 1
    ours = np.concatenate([np.column_stack([part.images.reshape(-1, 64), part.labels]) for part in parts])
    pixels, labels = _digits(datasets)
    theirs = np.column_stack([np.rint(pixels * 255 / 16), labels])
    assert sorted(map(tuple, ours.tolist())) == sorted(map(tuple, theirs.tolist()))
    # recorded: a change of the split would change every result
    assert data.checksum == "eb0dae8d1ec37abc3ebb8c5944a3eee3"
    assert data.split("test").checksum == "57a16b63d62de612958ec92f897825c1"


def _digits(datasets: Any) -> tuple[Any, Any]:
    digits = datasets.load_digits()
    return digits.data, digits.target


def test_digits_without_scikit_learn_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InvalidData, match=r"nas-train\[digits\]"):
        open_data("digits")


@pytest.mark.parametrize("name", ["mnist", "missing.npy", "3"])
def test_unknown_data_are_refused_with_what_is_known(name: str) -> None:
    with pytest.raises(InvalidData, match=r"digits, cifar10, cifar100, flowers102, a file\.npz"):
        open_data(name)


class FakeCifar:
    """torchvision's CIFAR10 without the download: 50,000 and 10,000 small images."""

    def __init__(self, root: str, train: bool, download: bool) -> None:
        if root.endswith("offline"):
            raise RuntimeError("URL cannot be reached")
        n = 50_000 if train else 10_000
        self.targets = [i % 10 for i in range(n)]
        self.data = np.zeros((n, 2, 3, 3), np.uint8)
        self.data[:, 1, 0, 2] = np.arange(n) % 10


def test_cifar_is_split_in_halves(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torchvision

    monkeypatch.setattr(torchvision, "datasets", SimpleNamespace(CIFAR10=FakeCifar))
    data = load_cifar("cifar10", tmp_path)
    assert data.sizes == {"train": 25_000, "validation": 25_000, "test": 10_000}
    assert data.input_shape == (3, 2, 3)  # channels first
    for name in ("train", "validation", "test"):
        part = data.split(name)
        assert len(part.labels) == data.sizes[name]
        assert np.array_equal(part.images[:, 2, 1, 0], part.labels)
        assert np.ptp(np.bincount(part.labels)) == 0


def test_cifar_that_cannot_be_downloaded_says_where_to_put_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torchvision

    monkeypatch.setattr(torchvision, "datasets", SimpleNamespace(CIFAR10=FakeCifar))
    monkeypatch.setenv("NAS_DATA", str(tmp_path / "offline"))
    with pytest.raises(InvalidData, match=r"cannot be downloaded.*URL cannot be reached.*NAS_DATA"):
        open_data("cifar10")
    assert data_root("elsewhere") == Path("elsewhere")
