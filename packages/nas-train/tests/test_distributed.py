"""Two processes train one network together: the same weights on both, no image twice, files written once."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from nas_core.errors import InvalidOption
from nas_core.testing.fakes import ToySpace
from nas_train.checkpoint import load_network
from nas_train.data import ImageSet
from nas_train.distributed import device_of, joined, main
from nas_train.final import train_final
from nas_train.loop import fit
from nas_train.ranks import Ranks
from nas_train.recipe import Recipe

TEXT = '{"left":"conv3","right":"skip","depth":1,"activation":"relu"}'
RECIPE = {"name": "quick", "epochs": 3, "batch": 12, "learning_rate": 0.1, "ema": 0.5}

TOGETHER = """
import hashlib, json, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from nas_core.network import Network
from nas_train import loop
from nas_train.build import build
from nas_train.data import open_data
from nas_core.testing.fakes import ToySpace
from nas_train.distributed import joined
from nas_train.final import train_final
from nas_train.recipe import Recipe
from nas_train.weight_optimizer import MomentumSGD

network, recipe, data, out, text = json.loads(Path(sys.argv[1]).read_text())
seen, first = [], []
share = loop.Ranks.share
loop.Ranks.share = lambda self, index: seen.append(share(self, index).tolist()) or share(self, index)
step = MomentumSGD.step
def noted(self, rate, overflow=None):
    if not first:
        first.extend(x for p in self._parameters.values() if p.grad is not None for x in p.grad.flatten().tolist())
    step(self, rate, overflow)
MomentumSGD.step = noted
with joined(torch.device("cpu")) as ranks:
    module = build(Network.from_config(network), seed=1)
    result = loop.fit(module, open_data(data), Recipe.from_config(recipe), seed=0, ranks=ranks,
                      checkpoint=Path(out) / "training.safetensors", keep=Path(out) / "kept")
    state = module.state_dict()
    digest = hashlib.blake2b(b"".join(state[n].numpy().tobytes() for n in sorted(state))).hexdigest()
    told = {"digest": digest, "seen": seen, "losses": [e.train_loss for e in result.epochs], "batch": result.batch,
            "validation": result.validation.loss, "kept": result.kept is not None, "first": first}
    (Path(out) / f"{ranks.rank}.json").write_text(json.dumps(told))
    space = ToySpace()
    train_final(space, space.parse(text), data=data, recipe=recipe, network={"channels": 3}, seed=7,
                out=Path(out) / "final", epochs=1, ranks=ranks)
"""


def _torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300, check=False)


@pytest.fixture
def file(images: ImageSet, tmp_path: Path) -> str:
    """The images as a file."""
    import numpy as np

    path = tmp_path / "corners.npz"
    arrays = dict(zip(("x", "y", "x_val", "y_val"), (*images.train, *images.validation), strict=True))
    test = images.split("test")
    np.savez(path, **arrays, x_test=test.images, y_test=test.labels)
    return str(path)


def _network(data: ImageSet) -> Any:
    from nas_core.network import Task

    space = ToySpace()
    return space.network(space.parse(TEXT), Task("classification", data.input_shape, data.classes), channels=3)


def _mean_gradient(network: Any, images: ImageSet, *told: Any) -> list[float]:
    """The mean of the first step's gradients over both halves of the batch, each with its own batch statistics."""
    from nas_train.build import build

    pixels = torch.tensor(images.train.images) / 255
    unit = (pixels - pixels.mean()) / pixels.std(correction=0)
    labels = torch.tensor(images.train.labels)
    gradients = []
    for one in told:
        module = build(network, seed=1)
        half = one["seen"][0]
        torch.nn.functional.cross_entropy(module(unit[half]), labels[half]).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in module.parameters() if p.grad is not None]))
    mean: list[float] = torch.stack(gradients).mean(0).tolist()
    return mean


def _check_final(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"final.safetensors", "final.json"}
    assert json.loads((folder / "final.json").read_text())["processes"] == 2


@pytest.mark.slow  # each process loads torch's compiler for DistributedDataParallel
def test_two_processes_end_with_the_same_weights(images: ImageSet, file: str, tmp_path: Path) -> None:
    from nas_train.build import build
    from nas_train.data import open_data

    (tmp_path / "kept").mkdir()
    script, task = tmp_path / "together.py", tmp_path / "task.json"
    script.write_text(TOGETHER)
    network = _network(images)
    task.write_text(json.dumps([network.to_config(), RECIPE, file, str(tmp_path), TEXT]))
    run = _torchrun(str(script), str(task))
    assert run.returncode == 0, run.stderr
    one, other = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    for same in ("digest", "losses", "validation", "batch"):
        assert one[same] == other[same]
    assert one["batch"] == 12
    # an epoch has five batches of 12 and one of 4; both processes together see each image once
    assert [len(share) for share in one["seen"]] == 3 * [6, 6, 6, 6, 6, 2]
    for epoch in range(3):
        shown = [i for told in (one, other) for share in told["seen"][6 * epoch : 6 * epoch + 6] for i in share]
        assert sorted(shown) == list(range(64))
    assert (one["kept"], other["kept"]) == (True, False)
    assert len(list((tmp_path / "kept").iterdir())) == 1
    assert (
        one["first"] == other["first"] == pytest.approx(_mean_gradient(network, open_data(file), one, other), abs=1e-6)
    )
    assert one["losses"][-1] < one["losses"][0]
    _check_final(tmp_path / "final")
    alone = build(network, seed=1)
    result = fit(alone, open_data(file), Recipe.from_config(RECIPE), seed=0)
    # the same images in the same order; batch statistics are those of six images instead of twelve
    assert one["losses"][0] == pytest.approx(result.epochs[0].train_loss, rel=0.1)


def test_a_network_is_trained_as_a_file_says(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {
        "space": {"name": "nas_core.testing.fakes:ToySpace"},
        "architecture": TEXT,
        "data": file,
        "recipe": RECIPE | {"epochs": 1},
        "network": {"channels": 3},
        "seed": 7,
        "out": str(tmp_path / "final"),
        "device": "cpu",
    }
    task = tmp_path / "final.json"
    task.write_text(json.dumps(config))
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    for name, value in (("RANK", 0), ("WORLD_SIZE", 1), ("MASTER_ADDR", "localhost"), ("MASTER_PORT", port)):
        monkeypatch.setenv(name, str(value))  # as torchrun does
    assert main([str(task)]) == 0
    epoch, metrics = capsys.readouterr().out.splitlines()
    assert epoch.startswith("epoch 1: ")
    card = json.loads((tmp_path / "final" / "final.json").read_text())
    assert card["processes"] == 1
    assert json.loads(metrics)["test_accuracy"] == card["metrics"]["test_accuracy"]
    module, metadata = load_network(tmp_path / "final" / "final.safetensors")
    assert metadata["architecture"] == TEXT
    assert not module.training


def test_shares_are_the_batch_and_nothing_twice() -> None:
    index = torch.randperm(11, generator=torch.Generator().manual_seed(0))
    shares = [Ranks(rank, 3).share(index).tolist() for rank in range(3)]
    assert [len(share) for share in shares] == [4, 4, 3]
    assert sorted(i for share in shares for i in share) == list(range(11))
    assert torch.equal(Ranks().share(index), index)


def test_a_batch_too_small_for_the_processes_is_refused(images: ImageSet, network: Any) -> None:
    from nas_train.build import build

    recipe = Recipe.from_config(RECIPE | {"batch": 2})
    with pytest.raises(InvalidOption, match="too few images in a batch for the processes: 2; expected at least 4"):
        fit(build(network), images, recipe, seed=0, ranks=Ranks(0, 2))


def test_mistakes_are_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "final.json"
    for content, message in (
        (None, "the file cannot be read"),
        ("[]", "holds no options"),
        ('{"space": {}}', "an option is missing: 'architecture'"),
        (
            '{"space": {}, "architecture": "", "data": "", "seed": 0, "out": "", "colour": 1}',
            "no such option: 'colour'",
        ),
    ):
        if content is not None:
            file.write_text(content)
        assert main([str(file)]) == 2
        told = capsys.readouterr().err
        assert told.startswith("error: ")
        assert message in told
        assert len(told.splitlines()) == 1
    assert main([]) == 2


def test_without_torchrun_there_is_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(InvalidOption, match="torchrun"), joined(torch.device("cpu")):
        pass
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert (device_of("cpu"), device_of("cuda")) == ("cpu", "cuda:3")


def test_only_the_first_process_writes(images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nas_train.final.open_data", lambda name: images)
    monkeypatch.setattr(Ranks, "wait", lambda self: None)
    space, options = ToySpace(), {"data": "corners", "recipe": RECIPE, "network": {"channels": 3}, "seed": 7}
    silent = Ranks(1, 1)  # as if it were another
    train_final(space, space.parse(TEXT), out=tmp_path / "other", ranks=silent, **options)  # type: ignore[arg-type]
    assert list((tmp_path / "other").iterdir()) == []
