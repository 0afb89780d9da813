"""Shared weights across packages: which spaces have one shape a position, and a study of groups end to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from nas_core.network import Task  # noqa: E402 - after the check for torch
from nas_core.random import rng  # noqa: E402
from nas_core.trial import Status, units_of  # noqa: E402
from nas_search.config import StudyConfig  # noqa: E402
from nas_search.study import Study  # noqa: E402
from nas_spaces.bonas_open_domain import BonasOpenDomain  # noqa: E402
from nas_spaces.darts import DARTS  # noqa: E402
from nas_spaces.nasbench201 import NASBench201  # noqa: E402
from nas_spaces.nasbench_nlp import NASBenchNLP  # noqa: E402
from nas_spaces.recurrent import Recurrent  # noqa: E402

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
    ("space", "task"),
    [
        (NASBench201(), IMAGES),
        (DARTS(), IMAGES),
        (BonasOpenDomain(), IMAGES),
        (Recurrent(), TEXT),
        (NASBenchNLP(), TEXT),
    ],
    ids=lambda one: getattr(one, "name", ""),
)
def test_a_position_has_one_shape_in_all_members(space: Any, task: Task) -> None:
    """So that any members can be trained on one bank; and they have positions in common."""
    shapes: dict[str, Any] = {}
    shared = 0
    for a in space.sample(rng(0, "bank"), 12):
        for name, shape in space.network(a, task).parameters():
            shared += name in shapes
            assert shapes.setdefault(name, shape) == shape, name
    assert shared


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
