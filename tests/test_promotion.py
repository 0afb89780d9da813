"""A trial that continues another: from the proposal's number through store and executor to the checkpoint's file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nas_core.evaluator import Evaluation
from nas_core.random import rng
from nas_core.testing.fakes import ToySpace
from nas_core.trial import Measurement, Status
from nas_search.config import StudyConfig
from nas_search.study import Study
from nas_train.evaluator import TrainingEvaluator

OPTIMIZER = '''
from nas_core.errors import Exhausted
from nas_core.trial import Proposal

class Promote:
    """Trains one member for two epochs, then continues it to four, then to six."""

    requires = frozenset()

    def __init__(self, space, objectives, seed):
        self._space = space

    def propose(self, history, n):
        number = len(history)
        if number == 3:
            raise Exhausted("promoted twice")
        if history.running:
            return []
        member = self._space.parse(%r)
        return [Proposal(member, fidelity=2.0 * (number + 1), resume_from=number - 1 if number else None)]

    def state(self):
        return None

    def restore(self, state):
        pass

    def to_config(self):
        return {"name": "promoting.optimizer:Promote"}
'''
TEXT = '{"left":"conv3","right":"conv1","depth":1,"activation":"relu"}'


def _file(folder: Path) -> str:
    labels = np.arange(48) % 4
    images = rng(0, "images").integers(0, 60, (48, 1, 8, 8)) + 40 * labels[:, None, None, None]
    np.savez(folder / "levels.npz", x=images.astype(np.uint8), y=labels)
    return str(folder / "levels.npz")


@pytest.mark.parametrize("stopped", [False, True])
def test_a_study_continues_the_training_of_an_earlier_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    (tmp_path / "promoting").mkdir()
    (tmp_path / "promoting" / "optimizer.py").write_text(OPTIMIZER % TEXT)
    monkeypatch.syspath_prepend(tmp_path)
    recipe = {"name": "quick", "epochs": 6, "batch": 8, "learning_rate": 0.1, "ema": 0.5, "warmup": 1}
    options = {"data": _file(tmp_path), "recipe": recipe, "network": {"channels": 3}, "top_epochs": 6, "threads": 1}
    config = StudyConfig.from_mapping(
        {
            "space": "nas_core.testing.fakes:ToySpace",
            "optimizer": {"name": "promoting.optimizer:Promote"},
            "evaluator": {"name": "train", "keep": "training", **options},
            "objectives": ["max:val_accuracy"],
            "trials": 1 if stopped else 3,
            "seed": 5,
        }
    )
    with Study.create(tmp_path / "run", config) as study:
        study.run()
    if stopped:  # another process knows of the checkpoint by the store alone
        with Study.open(tmp_path / "run") as study:
            study.run(trials=3)
    with Study.open(tmp_path / "run", read_only=True) as study:
        trials = study.store.trials()
    assert [trial.status for trial in trials] == [Status.COMPLETED] * 3
    assert [trial.proposal.resume_from for trial in trials] == [None, 0, 1]
    space = ToySpace()
    at_once = TrainingEvaluator(**options).evaluate(Evaluation(space, space.parse(TEXT), 6.0, seed=5))
    last = trials[2].result
    assert isinstance(last, Measurement)
    for name, value in at_once.metrics.items():
        if name != "train_seconds":
            assert last.metrics[name] == value, name
    assert last.details["curve"]["train_loss"] == at_once.details["curve"]["train_loss"]
    assert len(list((tmp_path / "run").rglob("*.safetensors"))) == 3
