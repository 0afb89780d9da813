"""Checkpoints come back whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from nas_core.errors import InvalidNetwork, StoreError
from nas_core.network import Network
from nas_train import checkpoint as checkpoints
from nas_train.build import build

TENSORS = {
    "module.a": torch.arange(6.0).reshape(2, 3),
    "module.scalar": torch.tensor(3),
    "half": torch.ones(5, dtype=torch.bfloat16),
    "empty": torch.empty(0),
    "last": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
}


def test_what_is_saved_comes_back(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    checkpoints.save(file, TENSORS, {"epoch": 3, "curve": [1.5, None], "name": "ä"})
    tensors, metadata = checkpoints.load(file)
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)
    assert (metadata["epoch"], metadata["curve"], metadata["name"]) == (3, [1.5, None], "ä")
    assert os.listdir(tmp_path) == ["a.safetensors"]


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "a", tmp_path / "b"
    checkpoints.save(one, TENSORS, {"a": 1, "b": 2})
    checkpoints.save(two, dict(reversed(TENSORS.items())), {"b": 2, "a": 1})
    assert one.read_bytes() == two.read_bytes()


@pytest.mark.parametrize("damage", ["empty", "short", "header", "truncated", "flipped", "foreign", "format", "missing"])
def test_damage_is_one_clear_error(tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import safetensors.torch

    file = tmp_path / "a.safetensors"
    if damage == "format":
        monkeypatch.setattr(checkpoints, "FORMAT", 0)
    checkpoints.save(file, TENSORS, {})
    monkeypatch.undo()
    content = file.read_bytes()
    flipped = content[:-1] + bytes([content[-1] ^ 1])
    changed = {
        "empty": b"",
        "short": content[:5],
        "header": content[:40],
        "truncated": content[:-1],
        "flipped": flipped,
        "foreign": safetensors.torch.save({"a": torch.ones(2)}),
    }
    if damage == "missing":
        file.unlink()
    elif damage in changed:
        file.write_bytes(changed[damage])
    words = {"flipped": "damaged", "format": "another format", "missing": "cannot be read"}
    with pytest.raises(StoreError, match=words.get(damage, "truncated")) as caught:
        checkpoints.load(file)
    assert "a.safetensors" in str(caught.value)


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.safetensors"
    checkpoints.save(file, TENSORS, {"epoch": 1})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"cannot be written: 'No space left on device'.*room on the disk"):
        checkpoints.save(file, TENSORS, {"epoch": 2})
    monkeypatch.undo()
    assert checkpoints.load(file).metadata["epoch"] == 1
    assert os.listdir(tmp_path) == ["a.safetensors"]
    with pytest.raises(StoreError, match="cannot be written"):
        checkpoints.save(tmp_path / "nowhere" / "a", TENSORS, {})


def test_a_network_comes_back_as_it_was(network: Network, tmp_path: Path) -> None:
    module = build(network, seed=5)
    module(torch.randn(4, 1, 8, 8))  # moves the running statistics
    file = checkpoints.save_network(tmp_path / "net.safetensors", module, {"accuracy": 97.5})
    loaded, metadata = checkpoints.load_network(file)
    assert metadata["accuracy"] == 97.5
    assert loaded.network == network
    assert not loaded.training
    x = torch.randn(3, 1, 8, 8)
    assert torch.equal(loaded(x), module.eval()(x))


def test_a_network_in_a_directory_is_named_by_its_content(network: Network, tmp_path: Path) -> None:
    one = checkpoints.save_network(tmp_path, build(network, seed=5), {})
    same = checkpoints.save_network(tmp_path, build(network, seed=5), {})
    other = checkpoints.save_network(tmp_path, build(network, seed=6), {})
    assert one == same != other
    assert one.parent == tmp_path
    assert checkpoints.load_network(one)[0].network == network


def test_parameters_of_another_network_are_refused(make_network: Callable[..., Network], tmp_path: Path) -> None:
    module = build(make_network(channels=4))
    file = tmp_path / "a.safetensors"
    checkpoints.save(file, checkpoints.module_tensors(module), {})
    checkpoint = checkpoints.load(file)
    others: list[tuple[Any, str]] = [
        (make_network(channels=6), r"head\.linear\.weight \(4, 8\).*head\.linear\.weight \(4, 12\)"),
        (make_network([1, 1, 1, 1, 1, 1]), "missing"),
    ]
    for network, message in others:
        other = build(network)
        before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
        with pytest.raises(InvalidNetwork, match=f"another network.*{message}"):
            checkpoints.restore(other, checkpoint)
        assert all(torch.equal(before[name], tensor) for name, tensor in other.state_dict().items())
    with pytest.raises(StoreError, match="without a network's description"):
        checkpoints.load_network(file)
