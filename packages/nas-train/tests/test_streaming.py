"""Images that stay in files: what is read, in what order, and what is wrong with a file."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.transforms.v2.functional import to_pil_image

from nas_core.catalogue import classifier, conv_norm, norm_relu
from nas_core.errors import InvalidData, InvalidOption
from nas_core.network import Network, NetworkBuilder, Task
from nas_core.random import rng
from nas_train.augment import draw_epoch
from nas_train.build import build
from nas_train.data import ImageFiles, ImageSet, Split, flowers, folder, open_data
from nas_train.data.files import Augmentation
from nas_train.data.streaming import default_workers, stream_plain, stream_training
from nas_train.loop import fit
from nas_train.recipe import Recipe
from nas_train.scoring import evaluate
from nas_train.streamed_pixels import pixels_of

S = 16
ALL = Augmentation(resized_crop=True, flip=True, colour=0.4)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """24 noisy images of many sizes in two classes; the mean of each class is far from the other's."""
    draw = rng(0, "pictures")
    for i in range(24):
        h, w = (int(n) for n in draw.integers(100, 140, 2))
        noise = draw.integers(0, 60, (3, h, w)).astype(np.uint8) + np.uint8(150 * (i % 2))
        file = tmp_path / "set" / ("dark", "light")[i % 2] / f"{i:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        to_pil_image(torch.from_numpy(noise)).save(file)
    return tmp_path / "set"


def opened(pictures: Path) -> ImageSet:
    return open_data(f"{pictures}@{S}")


def test_large_images_of_many_sizes_are_streamed_at_one_size(pictures: Path) -> None:
    assert open_data(pictures).input_shape == (3, 224, 224)
    data = opened(pictures)
    assert (data.input_shape, data.classes) == ((3, S, S), 2)
    assert dict(data.sizes) == {"train": 14, "validation": 5, "test": 5}
    assert isinstance(data.train.images, ImageFiles)
    met = [path for name in data.sizes for path in _files(data.split(name)).paths]
    assert sorted(met) == sorted(p.relative_to(pictures).as_posix() for p in pictures.rglob("*.png"))
    for name in data.sizes:
        split = data.split(name)
        assert np.array_equal(split.labels, [int(path.startswith("light")) for path in _files(split).paths])
        pixels = np.asarray(split.images)
        assert pixels.shape == (len(split.labels), 3, S, S)
        assert pixels.dtype == np.uint8
        assert np.array_equal(pixels.mean((1, 2, 3)) > 100, split.labels == 1)
    both = data.train_and_validation()
    assert _files(both).paths == _files(data.train).paths + _files(data.validation).paths
    assert data.statistics[0] == (0.485, 0.456, 0.406)


def _files(split: Split) -> ImageFiles:
    assert isinstance(split.images, ImageFiles)
    return split.images


def test_an_image_is_measured_by_its_middle(tmp_path: Path) -> None:
    pixels = torch.zeros((3, 80, 120), dtype=torch.uint8)
    pixels[0] = torch.arange(120).to(torch.uint8)[None, :] * 2
    to_pil_image(pixels).save(tmp_path / "ramp.png")
    found = ImageFiles(tmp_path, ["ramp.png"], 70).plain(0)
    # 80 x 120 keeps its size (the shorter side is resized to 70 · 8/7 = 80); the middle 70 x 70 begins at 5, 25
    assert torch.equal(found, pixels[:, 5:75, 25:95])


def test_streams_do_not_depend_on_workers_and_repeat(pictures: Path) -> None:
    split = opened(pictures).train
    order = torch.arange(14).flip(0)
    batches = [order[:5], order[5:10], order[10:]]

    def read(seed: int, workers: int, how: Augmentation = ALL) -> tuple[list[torch.Tensor], list[int]]:
        found = list(stream_training(split, batches, seed=seed, how=how, workers=workers))
        return [images for images, _ in found], [int(n) for _, labels in found for n in labels]

    before = torch.default_generator.get_state()
    images, labels = read(3, 0)
    assert torch.equal(torch.default_generator.get_state(), before)
    assert [tuple(b.shape) for b in images] == [(5, 3, S, S), (5, 3, S, S), (4, 3, S, S)]
    assert labels == split.labels[::-1].tolist()
    for workers in (0, 2):
        again, same = read(3, workers)
        assert same == labels
        assert all(torch.equal(a, b) for a, b in zip(images, again, strict=True))
    other, _ = read(4, 0)
    assert not any(torch.equal(a, b) for a, b in zip(images, other, strict=True))
    for part in ALL._fields:  # each of them changes something; 14 images that are not mirrored have odds of 2⁻¹⁴
        less, _ = read(3, 0, ALL._replace(**{part: 0}))
        assert not all(torch.equal(a, b) for a, b in zip(images, less, strict=True))
    plain, _ = read(3, 0, Augmentation(False, False, 0.0))
    assert np.array_equal(torch.cat(plain).flip(0).numpy(), np.asarray(split.images))
    # what is random about an image does not depend on its batch
    alone = next(stream_training(split, [torch.tensor([7])], seed=3, how=ALL))[0]
    assert torch.equal(alone[0], images[1][1])


def test_batches_on_the_device_are_those_of_the_stream(pictures: Path) -> None:
    data, cpu = opened(pictures), torch.device("cpu")
    draws = draw_epoch(14, 2, True, torch.Generator().manual_seed(8), size=(S, S))
    draws = draws._replace(resized_crop=True, colour=0.2)
    pixels = pixels_of(data, data.train, 2, cpu, torch.channels_last)
    assert len(pixels) == 14
    means, deviations = (torch.tensor(values)[:, None, None] for values in data.statistics)
    indices = [draws.order[:9], draws.order[9:]]
    found = list(pixels.batches(draws, indices, 5))
    raw = stream_training(data.train, indices, seed=8, how=Augmentation(True, True, 0.2))
    assert draws.corners is not None
    assert draws.holes is not None
    for index, (images, labels), (read, same) in zip(indices, found, raw, strict=True):
        assert torch.equal(labels, same)
        padded = torch.nn.functional.pad(read, (2, 2, 2, 2))
        for i, number in enumerate(index.tolist()):
            top, left = draws.corners[number].tolist()
            expected = (padded[i, :, top : top + S, left : left + S] / 255 - means) / deviations
            row, column = draws.holes[number].tolist()
            expected[:, max(0, row - 2) : row + 3, max(0, column - 2) : column + 3] = 0.0
            torch.testing.assert_close(images[i], expected, atol=1e-5, rtol=1e-5)
    plain = torch.cat([images for images, _ in pixels.plain(4)])
    torch.testing.assert_close(
        plain, (torch.from_numpy(np.asarray(data.train.images)) / 255 - means) / deviations, atol=1e-5, rtol=1e-5
    )


def test_a_network_trains_on_streamed_images_and_goes_on_exactly(pictures: Path, tmp_path: Path) -> None:
    data = opened(pictures)
    recipe = Recipe(
        "stream", epochs=3, batch=4, learning_rate=0.05, flip=True, padding=1, resized_crop=True, colour=0.1, cutout=3
    )
    whole, parts = (build(small_network(), seed=0) for _ in range(2))
    result = fit(whole, data, recipe, seed=1, threads=1)
    assert result.validation is not None
    assert result.validation == evaluate(whole, data, "validation")
    fit(parts, data, recipe, seed=1, threads=1, stop=2, checkpoint=tmp_path / "state.safetensors")
    fit(parts, data, recipe, seed=1, threads=1, checkpoint=tmp_path / "state.safetensors")
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, parts.state_dict()[name])
    # dark and light images: mean brightness tells them apart
    assert evaluate(whole, data, "test").accuracy >= 80.0


def small_network() -> Network:
    b = NetworkBuilder(Task("classification", (3, S, S), 2))
    with b.scope("stem"):
        x = conv_norm(b, b.input(), 4, 3)
    with b.scope("head"):
        return b.network(logits=classifier(b, norm_relu(b, x)))


def test_a_plain_stream_is_the_whole_split_in_order(pictures: Path) -> None:
    split = opened(pictures).validation
    found = list(stream_plain(split, 2))
    assert [len(labels) for _, labels in found] == [2, 2, 1]
    assert np.array_equal(torch.cat([images for images, _ in found]).numpy(), np.asarray(split.images))
    assert np.array_equal(torch.cat([labels for _, labels in found]).numpy(), split.labels)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_file_is_named(pictures: Path, workers: int) -> None:
    data = opened(pictures)
    broken = pictures / _files(data.train).paths[3]
    broken.write_bytes(broken.read_bytes()[:200])
    for stream in (
        stream_plain(data.train, 4, workers=workers),
        stream_training(data.train, [torch.arange(14)], seed=0, how=ALL, workers=workers),
    ):
        with pytest.raises(InvalidData, match=rf"an image cannot be read.*{broken.name}"):
            list(stream)
    broken.unlink()
    with pytest.raises(InvalidData, match=rf"No such file.*{broken.name}"):
        np.asarray(data.train.images)
    with pytest.raises(InvalidData, match=rf"missing.*{broken.name}"):
        data.train.checksum  # noqa: B018


def test_the_checksum_sees_names_sizes_and_labels(pictures: Path) -> None:
    first = opened(pictures).checksum
    assert first == opened(pictures).checksum
    assert open_data(f"{pictures}@32").checksum != first
    file = pictures / _files(opened(pictures).train).paths[0]
    file.write_bytes(file.read_bytes() + b" ")
    changed = opened(pictures).checksum
    assert changed != first
    file.rename(file.with_name("renamed.png"))
    assert opened(pictures).checksum not in (first, changed)


def test_lists_of_images_say_what_is_trained_on(pictures: Path) -> None:
    names = [p.relative_to(pictures).as_posix() for p in sorted(pictures.rglob("*.png"))]
    root = pictures.parent / "listed"
    root.mkdir()
    pictures.rename(root / "Images")
    shuffled = random.Random(0).sample(names, len(names))
    (root / "TrainImages.txt").write_text("\n".join(shuffled[:20]) + "\n\n")
    (root / "TestImages.txt").write_text("\n".join(shuffled[20:]) + "\n")
    data = open_data(f"{root}@{S}")
    assert dict(data.sizes) == {"train": 16, "validation": 4, "test": 4}
    assert sorted(_files(data.train_and_validation()).paths) == sorted(shuffled[:20])
    assert sorted(_files(data.split("test")).paths) == sorted(shuffled[20:])
    assert np.array_equal(data.train.labels, [int(p.startswith("light")) for p in _files(data.train).paths])
    (root / "TestImages.txt").write_text("grey/1.png\n")
    with pytest.raises(InvalidData, match=r"not a listed image: 'grey/1\.png'"):
        open_data(root)
    (root / "TestImages.txt").write_text("dark/none.png\n")
    with pytest.raises(InvalidData, match=r"an image is missing: 'dark/none\.png'"):
        open_data(root)
    (root / "TrainImages.txt").write_text("\n")
    with pytest.raises(InvalidData, match=r"a list without images.*TrainImages\.txt"):
        open_data(root)


def test_small_images_stream_where_they_would_take_too_much_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(10):
        file = tmp_path / str(i % 2) / f"{i}.png"
        file.parent.mkdir(exist_ok=True)
        to_pil_image(torch.full((3, 8, 8), 20 * i, dtype=torch.uint8)).save(file)
    assert isinstance(open_data(tmp_path).train.images, np.ndarray)
    monkeypatch.setattr(folder, "MOST_BYTES", 10 * 3 * 8 * 8 - 1)
    assert isinstance(open_data(tmp_path).train.images, ImageFiles)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("digits@32", "only folders of images and flowers102 take a size"),
        ("file.npz@32", "only folders of images and flowers102 take a size"),
        ("flowers102@4", "too small a size"),
        ("nowhere@big", "no such data"),
    ],
)
def test_sizes_are_for_streams(name: str, message: str) -> None:
    with pytest.raises(InvalidData, match=message):
        open_data(name)


class FakeFlowers:
    """torchvision's Flowers102 without the download."""

    def __init__(self, root: str, split: str, download: bool) -> None:
        n = {"train": 1020, "val": 1020, "test": 6149}[split]
        self._labels = [i % 102 for i in range(n)]
        self._image_files = [Path(root) / "flowers-102" / "jpg" / f"{split}{i % 102:03d}_{i:05d}.jpg" for i in range(n)]


def fake(monkeypatch: pytest.MonkeyPatch, kind: Callable[..., object]) -> None:
    import torchvision

    class Datasets:
        Flowers102 = staticmethod(kind)

    monkeypatch.setattr(torchvision, "datasets", Datasets)


def test_flowers_keep_their_own_splits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake(monkeypatch, FakeFlowers)
    data = open_data("flowers102@64", tmp_path)
    assert (data.sizes, data.classes) == ({"train": 1020, "validation": 1020, "test": 6149}, 102)
    assert data.input_shape == (3, 64, 64)
    for name, source in (("train", "train"), ("validation", "val"), ("test", "test")):
        split = data.split(name)
        kinds = [Path(path).name.partition("_")[0] for path in _files(split).paths]
        assert kinds == [f"{source}{label:03d}" for label in split.labels]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("URL cannot be reached"), r"cannot be downloaded.*flowers-102.*NAS_DATA"),
        (ImportError("scipy"), "needs scipy"),
    ],
)
def test_flowers_that_are_not_there_say_where_to_put_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception, message: str
) -> None:
    def kind(*arguments: object, **options: object) -> None:
        raise error

    fake(monkeypatch, kind)
    with pytest.raises(InvalidData, match=message):
        flowers.load_flowers(tmp_path)


def test_the_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NAS_WORKERS", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    assert (default_workers(torch.device("cpu")), default_workers(torch.device("cuda"))) == (0, 3)
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    assert default_workers(torch.device("cuda")) == 8
    monkeypatch.setenv("NAS_WORKERS", "5")
    assert default_workers(torch.device("cpu")) == 5
    monkeypatch.setenv("NAS_WORKERS", "many")
    with pytest.raises(InvalidOption, match=r"many.*NAS_WORKERS"):
        default_workers(torch.device("cpu"))
    monkeypatch.setattr("multiprocessing.current_process", lambda: type("Daemon", (), {"daemon": True}))
    assert default_workers(torch.device("cuda")) == 0
