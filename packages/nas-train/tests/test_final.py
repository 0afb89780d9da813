"""The last training: longer, tested once, kept, and gone on with after an interruption."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nas_core.errors import StoreError
from nas_core.testing.fakes import ToySpace
from nas_core.trial import Measurement
from nas_train.checkpoint import load_network
from nas_train.data import ImageSet
from nas_train.final import train_final
from nas_train.loop import Epoch, evaluate

TEXT = '{"left":"conv3","right":"skip","depth":1,"activation":"relu"}'
RECIPE = {"name": "quick", "epochs": 3, "batch": 16, "learning_rate": 0.1, "padding": 1}
COSTS = {"params", "multiply_adds", "activation_bytes", "depth"}
TRAINING = {"train_loss", "train_seconds"}


@pytest.fixture
def opened() -> list[str]:
    """What has been opened by name."""
    return []


@pytest.fixture
def images(make_images: Callable[..., ImageSet], opened: list[str]) -> ImageSet:
    """A set that notes when its test split is opened."""
    return make_images(opened=opened)


@pytest.fixture
def final(images: ImageSet, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Measurement]:
    """A last training on that set."""
    monkeypatch.setattr("nas_train.final.open_data", lambda name: images)
    space = ToySpace()

    def run(out: Path, **options: Any) -> Measurement:
        given = {"data": "corners", "recipe": RECIPE, "network": {"channels": 3}, "seed": 7, "out": out} | options
        return train_final(space, space.parse(TEXT), **given)

    return run


def test_it_tests_once_and_keeps_network_and_card(
    final: Callable[..., Measurement], images: ImageSet, opened: list[str], tmp_path: Path
) -> None:
    out = tmp_path / "run" / "final"
    measured = final(out)
    assert opened == ["test"]
    assert set(measured.metrics) == TRAINING | COSTS | {"val_accuracy", "val_loss", "test_accuracy", "test_loss"}
    assert {path.name for path in out.iterdir()} == {"final.safetensors", "final.json"}
    module, metadata = load_network(out / measured.artefacts["checkpoint"])
    score = evaluate(module, images, "test")
    assert score.accuracy == measured.metrics["test_accuracy"]
    assert score.loss == pytest.approx(measured.metrics["test_loss"], rel=1e-6)
    card = json.loads((out / measured.artefacts["card"]).read_text(encoding="utf-8"))
    assert card["metrics"] == dict(measured.metrics) == metadata["metrics"]
    assert (card["architecture"], card["seed"], card["epochs"]) == (TEXT, 7, 3)
    assert card["data"]["checksum"] == images.checksum
    assert card["test_checksum"] == images.split("test").checksum
    assert json.loads(json.dumps(dict(measured.details))) == measured.details


def test_validation_images_can_be_trained_on(
    final: Callable[..., Measurement], opened: list[str], tmp_path: Path
) -> None:
    measured = final(tmp_path, with_validation=True)
    assert set(measured.metrics) == TRAINING | COSTS | {"test_accuracy", "test_loss"}
    assert opened == ["test"]


class Interrupted(Exception):
    """What stops a training in a test."""


def test_it_goes_on_after_an_interruption(final: Callable[..., Measurement], opened: list[str], tmp_path: Path) -> None:
    def stop(epoch: Epoch) -> None:
        if epoch.number == 2:
            raise Interrupted

    through = final(tmp_path / "through")
    with pytest.raises(Interrupted):
        final(tmp_path / "stopped", on_epoch=stop)
    assert opened == ["test"]  # the interrupted one has not been tested
    epochs: list[int] = []
    resumed = final(tmp_path / "stopped", on_epoch=lambda epoch: epochs.append(epoch.number))
    assert epochs == [3]
    for name, value in through.metrics.items():
        if name != "train_seconds":
            assert resumed.metrics[name] == value, name
    assert {path.name for path in (tmp_path / "stopped").iterdir()} == {"final.safetensors", "final.json"}


def test_defaults_and_epochs(final: Callable[..., Measurement], tmp_path: Path) -> None:
    measured = final(tmp_path, recipe=None, epochs=2)
    assert len(measured.details["curve"]["train_loss"]) == 2
    assert json.loads((tmp_path / "final.json").read_text(encoding="utf-8"))["recipe"]["name"] == "small_final"


def test_a_place_that_cannot_be_written_is_one_clear_error(final: Callable[..., Measurement], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="directory cannot be made"):
        final(tmp_path / "file" / "final")
