"""Shared weights across packages: which spaces have one shape a position, and a study of groups end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from typer.testing import CliRunner  # noqa: E402 - after the check for torch

from nas_core.errors import InvalidOption  # noqa: E402 - after the check for torch
from nas_core.evaluator import Evaluation  # noqa: E402
from nas_core.network import Task  # noqa: E402
from nas_core.random import rng  # noqa: E402
from nas_core.trial import Status, units_of  # noqa: E402
from nas_search.cli.app import app  # noqa: E402
from nas_search.config import StudyConfig  # noqa: E402
from nas_search.study import Study  # noqa: E402
from nas_spaces.bonas_open_domain import BonasOpenDomain  # noqa: E402
from nas_spaces.darts import DARTS  # noqa: E402
from nas_spaces.nao_cnn import NAOCNN  # noqa: E402
from nas_spaces.nasbench201 import NASBench201  # noqa: E402
from nas_spaces.nasbench_nlp import NASBenchNLP  # noqa: E402
from nas_spaces.recurrent import Recurrent  # noqa: E402
from nas_train.build import BuiltNetwork, initialise  # noqa: E402
from nas_train.shared_weights.bank import Bank  # noqa: E402
from nas_train.shared_weights.evaluator import SharedWeightsEvaluator  # noqa: E402

IMAGES = Task("classification", (3, 16, 16), 10)
TEXT = Task("language", (8,), 20)
RECIPE = {
    "name": "tiny",
    "epochs": 4,
    "batch": 4,
    "learning_rate": 0.01,
    "truncation": 6,
    "optimizer": "adam",
    "embedding": 8,
}


@pytest.mark.parametrize(
    ("space", "task", "options"),
    [
        (NASBench201(), IMAGES, {}),
        (DARTS(), IMAGES, {}),
        (BonasOpenDomain(), IMAGES, {}),
        (NAOCNN(), IMAGES, {"shared": True}),
        (NAOCNN("enas"), IMAGES, {"shared": True, "auxiliary": True}),
        (Recurrent(), TEXT, {}),
        (NASBenchNLP(), TEXT, {}),
    ],
    ids=lambda one: getattr(one, "name", ""),
)
def test_a_position_has_one_shape_in_all_members(space: Any, task: Task, options: dict[str, Any]) -> None:
    """So that any members can be trained on one bank; and they have positions in common."""
    shapes: dict[str, Any] = {}
    shared = 0
    for a in space.sample(rng(0, "bank"), 12):
        for name, shape in space.network(a, task, **options).parameters():
            shared += name in shapes
            assert shapes.setdefault(name, shape) == shape, name
    assert shared


def children() -> list[Any]:
    """Three of NAO's cells with one, five and two loose nodes."""
    space = NAOCNN("enas")
    chain = "node-2 sep_conv_3x3 node-1 identity" + "".join(f", node{j} identity node-1 identity" for j in range(1, 5))
    wide = ", ".join(["node-2 sep_conv_3x3 node-1 identity"] * 5)
    mixed = ", ".join(["node-2 sep_conv_3x3 node-1 identity"] * 2 + ["node1 identity node2 max_pool_3x3"] * 2)
    mixed += ", node3 sep_conv_5x5 node-1 identity"
    return [space.parse(f"{cell}; {cell}") for cell in (chain, wide, mixed)]


@pytest.fixture
def images_file(tmp_path: Path) -> str:
    stream = rng(0, "images")
    arrays = {
        f"{what}{split}": stream.integers(0, 250, (n, 8, 8, 3), np.uint8) if what == "x" else np.arange(n) % 3
        for split, n in (("", 24), ("_val", 12), ("_test", 12))
        for what in "xy"
    }
    np.savez(tmp_path / "noise.npz", **arrays)
    return str(tmp_path / "noise.npz")


def test_children_of_nao_share_one_bank() -> None:
    """Training one moves what it has in common with the other, and nothing else of it."""
    space, task, bank = NAOCNN("enas"), Task("classification", (3, 8, 8), 3), Bank()
    modules = []
    for a in children():
        module = BuiltNetwork(space.network(a, task, channels=4, cells=1, shared=True))
        bank.adopt(module, lambda module=module: initialise(module, 1))
        modules.append(module)
    owned = [dict(module.named_parameters()) for module in modules]
    common = owned[1].keys() & owned[2].keys()
    assert {"stem.conv.weight", "cell1.input1.conv.node6.weight", "head.linear.node6.weight"} <= common
    assert all(owned[1][name] is owned[2][name] for name in common)
    assert "cell1.input1.conv.node3.weight" in owned[1].keys() - owned[2].keys()
    before = {name: parameter.detach().clone() for name, parameter in owned[2].items()}
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    modules[1](images).square().sum().backward()
    with torch.no_grad():
        for parameter in modules[1].parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad)
    changed = {name for name, parameter in owned[2].items() if not torch.equal(parameter, before[name])}
    assert changed <= common
    assert {"stem.conv.weight", "cell1.input1.conv.node6.weight", "head.linear.node6.weight"} <= changed


def test_a_group_of_nao_is_trained_only_in_the_form_that_is_shared(images_file: str) -> None:
    space, recipe = NAOCNN("enas"), {"name": "tiny", "epochs": 4, "batch": 8, "learning_rate": 0.05, "drop_path": 0.1}
    network = {"channels": 4, "cells": 1, "auxiliary": True}
    with pytest.raises(InvalidOption, match=r'nao_cnn cannot share weights.*Set the network option "shared" to true'):
        SharedWeightsEvaluator(images_file, recipe, network=network).prepare(space)
    evaluator = SharedWeightsEvaluator(images_file, recipe, network={**network, "shared": True})
    evaluator.prepare(space)
    asked = [Evaluation(space, a, seed=3) for a in children()]
    first, bank = evaluator.evaluate_group(asked, None)
    assert bank is not None
    again, _ = evaluator.evaluate_group(asked, None)
    shown = [[one.metrics[name] for name in ("val_accuracy", "val_loss")] for one in (*first, *again)]
    assert shown[:3] == shown[3:]
    _, after = evaluator.evaluate_group(asked[1:2], bank)
    assert after is not None
    changed = {n for n in bank.arrays if n.startswith("bank.") and not np.array_equal(bank.arrays[n], after.arrays[n])}
    own = {
        f"bank.{name}"
        for name, _ in space.network(
            children()[1], Task("classification", (3, 8, 8), 3), **network, shared=True
        ).parameters()
    }
    assert changed
    assert changed <= own


def test_the_best_children_of_nao_are_trained_alone(images_file: str, tmp_path: Path) -> None:
    """A search of two groups of NAO's cells, and the two best of it by `nas train`, in the usual form."""
    surrogate = {"embedding": 4, "width": 8, "at_once": 2, "predictor": [], "heads": 1, "epochs": 2}
    optimizer = {"name": "nao", "group": 4, "initial": 4, "labels": 2, "seeds": 2, "steps": 2, "surrogate": surrogate}
    config = StudyConfig.from_mapping(
        {
            "space": "nao_cnn:operations=enas",
            "optimizer": optimizer,
            "evaluator": {
                "name": "shared_weights",
                "data": images_file,
                "recipe": {"name": "tiny", "epochs": 2, "batch": 8, "learning_rate": 0.05},
                "network": {"channels": 4, "cells": 1, "shared": True},
            },
            "objectives": ["max:val_accuracy"],
            "trials": 8,
        }
    )
    with Study.create(tmp_path / "run", config) as study:
        study.run()
        trials = study.trials()
    first, second = units_of(trials)
    assert [trial.status for trial in trials] == [Status.COMPLETED] * 8
    assert {trial.architecture for trial in second[:2]} <= {trial.architecture for trial in first}
    done = CliRunner().invoke(app, ["train", str(tmp_path / "run"), "--best", "2", "--epochs", "1", "--json"])
    assert done.exit_code == 0, done.output
    trained = json.loads(done.stdout)["trained"]
    assert len({result["architecture"] for result in trained}) == 2
    assert all(result["network"] == {"channels": 4, "cells": 1} for result in trained)
    assert all("test_accuracy" in result["metrics"] for result in trained)


def test_a_study_of_groups_is_the_same_when_it_is_stopped_in_between(tmp_path: Path) -> None:
    """Recurrent cells on one bank: six trials in groups of two, run through, and stopped after each group."""
    words = np.cumsum(rng(0, "text").choice([1, 1, 1, 5], 600)) % 12
    np.savez(tmp_path / "steps.npz", train=words[:400], valid=words[400:500], test=words[500:])
    config = StudyConfig.from_mapping(
        {
            "space": "recurrent:nodes=4",
            "optimizer": {"name": "nas_core.testing.groups:FakeGroupOptimizer", "size": 2},
            "evaluator": {"name": "shared_language", "data": str(tmp_path / "steps.npz"), "recipe": RECIPE},
            "objectives": ["min:val_perplexity"],
            "trials": 6,
        }
    )
    for name, stops in (("whole", [6]), ("stopped", [2, 4, 6])):
        Study.create(tmp_path / name, config).close()
        for finished in stops:
            with Study.open(tmp_path / name) as study:
                study.run(finished)
    found = []
    for name in ("whole", "stopped"):
        with Study.open(tmp_path / name, read_only=True) as study:
            trials = study.trials()
            found.append(([trial.metrics["val_perplexity"] for trial in trials], study.store.evaluator_state()))
            assert [len(unit) for unit in units_of(trials)] == [2, 2, 2]
            assert all(trial.status is Status.COMPLETED for trial in trials)
    assert found[0] == found[1]
    bank = found[0][1]
    assert bank is not None
    assert bank.values == {"epochs": 3}
