"""The training evaluator keeps to the contract of evaluators, and its results follow from the seed alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_core import registry
from nas_core.cost import cost
from nas_core.errors import InvalidData, InvalidNetwork, InvalidOption, MissingCapability, NasError, TrialFailed
from nas_core.evaluator import Evaluation
from nas_core.network import Task
from nas_core.random import rng
from nas_core.space import Space
from nas_core.testing.evaluators import EvaluatorContract
from nas_core.testing.fakes import ToySpace
from nas_core.trial import Measurement
from nas_train.checkpoint import load_network
from nas_train.data import ImageSet
from nas_train.evaluator import TrainingEvaluator
from nas_train.loop import evaluate

RECIPE = {"name": "quick", "epochs": 2, "batch": 16, "learning_rate": 0.1, "padding": 1}


@pytest.fixture
def file(images: ImageSet, tmp_path: Path) -> str:
    """The images as a file of the kind that users have."""
    path = tmp_path / "corners.npz"
    arrays = dict(zip(("x", "y", "x_val", "y_val"), (*images.train, *images.validation), strict=True))
    test = images.split("test")
    np.savez(path, **arrays, x_test=test.images, y_test=test.labels)
    return str(path)


@pytest.fixture
def make(file: str) -> Callable[..., TrainingEvaluator]:
    """An evaluator on these images."""

    def made(**options: Any) -> TrainingEvaluator:
        evaluator = TrainingEvaluator(**({"data": file, "recipe": RECIPE, "network": {"channels": 3}} | options))
        evaluator.prepare(ToySpace())
        return evaluator

    return made


class TestContract(EvaluatorContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_train.evaluator:TrainingEvaluator"

    @pytest.fixture
    def options(self, file: str) -> dict[str, Any]:
        return {"data": file, "recipe": RECIPE, "network": {"channels": 3}, "keep": True}

    @pytest.fixture
    def fidelity(self) -> float:
        return 1.0

    @pytest.fixture
    def timed(self) -> frozenset[str]:
        return frozenset({"train_seconds"})


def measured(evaluator: TrainingEvaluator, text: str = "", **options: Any) -> Measurement:
    space = ToySpace()
    a = space.parse(text) if text else space.sample(rng(0, "a"), 1)[0]
    return evaluator.evaluate(Evaluation(space, a, **options))


def lasting(measurement: Measurement) -> dict[str, float]:
    return {name: value for name, value in measurement.metrics.items() if name != "train_seconds"}


CONV = '{"left":"conv3","right":"conv1","depth":1,"activation":"relu"}'
POOL = '{"left":"pool","right":"skip","depth":0}'


def test_it_is_registered() -> None:
    assert registry.load("evaluator", "train") is TrainingEvaluator


def test_results_do_not_depend_on_the_order_of_trials(make: Callable[..., TrainingEvaluator]) -> None:
    one, other = make(), make()
    first = [lasting(measured(one, text, seed=4)) for text in (CONV, POOL)]
    second = [lasting(measured(other, text, seed=4)) for text in (POOL, CONV)]
    assert first == second[::-1]
    assert lasting(measured(one, CONV, seed=5)) != first[0]
    assert lasting(measured(one, CONV, seed=4, replicate=1)) != first[0]
    assert lasting(measured(one, CONV, seed=4)) == first[0]


def test_it_measures_costs_by_rule(make: Callable[..., TrainingEvaluator], images: ImageSet) -> None:
    space = ToySpace()
    a = space.parse(CONV)
    expected = cost(space.network(a, Task("classification", (1, 8, 8), 4), channels=3)).metrics()
    found = measured(make(), CONV).metrics
    assert {name: found[name] for name in expected} == expected
    assert 0 <= found["val_accuracy"] <= 100


def test_a_network_beyond_a_limit_is_not_trained(make: Callable[..., TrainingEvaluator]) -> None:
    spent = measured(make(), CONV).metrics["multiply_adds"]
    assert measured(make(limits={"multiply_adds": spent}), CONV).metrics["multiply_adds"] == spent
    with pytest.raises(TrialFailed, match=r"too many multiply_adds.*at most") as failed:
        measured(make(limits={"params": 1e9, "multiply_adds": spent - 1}), CONV)
    assert failed.value.reason == "too_costly"
    for wrong in ({"val_loss": 1}, {"params": 0}, {"params": "7"}, [1]):
        with pytest.raises(InvalidOption, match="limit"):
            make(limits=wrong)


def test_the_fidelity_is_the_number_of_epochs(make: Callable[..., TrainingEvaluator]) -> None:
    evaluator = make()
    assert len(measured(evaluator).details["curve"]["train_loss"]) == 2
    assert len(measured(evaluator, fidelity=3.0).details["curve"]["train_loss"]) == 3
    assert len(measured(make(epochs=1)).details["curve"]["train_loss"]) == 1
    for wrong in (0.0, 1.5):
        with pytest.raises(InvalidOption, match="number of epochs"):
            measured(evaluator, fidelity=wrong)
    with pytest.raises(InvalidOption, match=r"anew.*Set top_epochs"):
        measured(evaluator, resume_from=Path("some"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where checkpoints are left."""
    path = tmp_path / "artefacts"
    path.mkdir()
    return path


@pytest.mark.parametrize("ema", [0.0, 0.5])
def test_a_promoted_trial_ends_as_one_that_was_trained_at_once(
    make: Callable[..., TrainingEvaluator], images: ImageSet, folder: Path, ema: float
) -> None:
    evaluator = make(recipe=RECIPE | {"ema": ema, "warmup": 1}, top_epochs=8, keep="training")
    low = measured(evaluator, CONV, fidelity=4, artefacts=folder, seed=3)
    assert len(low.details["curve"]["train_loss"]) == 4
    first = folder / low.artefacts["checkpoint"]
    module, about = load_network(first)
    assert about["architecture"] == CONV
    assert evaluate(module, images, "validation").accuracy == low.metrics["val_accuracy"]
    high = measured(evaluator, CONV, fidelity=8, artefacts=folder, seed=3, resume_from=first)
    at_once = measured(evaluator, CONV, seed=3)
    assert lasting(high) == lasting(at_once) != lasting(low)
    assert high.details["curve"]["train_loss"] == at_once.details["curve"]["train_loss"]
    assert high.metrics["train_seconds"] <= high.seconds
    assert {path.name for path in folder.iterdir()} == {first.name, high.artefacts["checkpoint"]}
    # the schedule of four epochs of eight is another than that of four
    assert lasting(measured(make(recipe=RECIPE | {"ema": ema, "warmup": 1}), CONV, fidelity=4, seed=3)) != lasting(low)


def test_only_the_training_of_the_same_trial_is_continued(make: Callable[..., TrainingEvaluator], folder: Path) -> None:
    evaluator = make(top_epochs=3, keep="training")
    kept = folder / measured(evaluator, CONV, fidelity=1, artefacts=folder).artefacts["checkpoint"]
    network = folder / measured(make(keep=True), CONV, artefacts=folder).artefacts["checkpoint"]
    for change in (
        {"resume_from": kept, "seed": 1},
        {"resume_from": kept, "replicate": 1},
        {"resume_from": kept, "text": POOL},
        {"resume_from": network},
        {"resume_from": folder / "missing"},
    ):
        with pytest.raises(TrialFailed) as caught:
            measured(evaluator, **({"text": CONV} | change))  # type: ignore[arg-type]
        assert caught.value.reason == "checkpoint"
    with pytest.raises(InvalidOption, match="above the schedule's end"):
        measured(evaluator, CONV, fidelity=4)


def test_a_checkpoint_that_cannot_be_written_fails_its_trial(
    make: Callable[..., TrainingEvaluator], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    for keep in (True, "training"):
        with pytest.raises(TrialFailed, match="No space left") as caught:
            measured(make(keep=keep, epochs=1), CONV, artefacts=folder)
        assert caught.value.reason == "checkpoint"
    assert list(folder.iterdir()) == []


def test_limits_fail_a_trial_by_name(make: Callable[..., TrainingEvaluator]) -> None:
    for options, reason in (({"step_limit": 7}, "step_limit"), ({"time_limit": 1e-9}, "time_limit")):
        with pytest.raises(TrialFailed) as caught:
            measured(make(**options))  # two epochs of four steps
        assert caught.value.reason == reason
    assert measured(make(step_limit=8, time_limit=1e9)).details["batch"] == 16


def test_top5_accuracy_is_measured_on_more_than_five_classes() -> None:
    pytest.importorskip("sklearn", reason="the extra 'digits' is not installed")
    recipe = {"name": "quick", "epochs": 1, "batch": 500, "learning_rate": 0.1}
    evaluator = TrainingEvaluator("digits", recipe, network={"channels": 2}, test=True)
    evaluator.prepare(ToySpace())
    found = measured(evaluator, CONV).metrics
    assert set(found) == set(evaluator.metrics)
    assert {"val_top5_accuracy", "test_top5_accuracy"} <= set(found)
    assert found["val_accuracy"] <= found["val_top5_accuracy"] <= 100


def test_a_kept_network_measures_the_same_again(
    make: Callable[..., TrainingEvaluator], images: ImageSet, tmp_path: Path
) -> None:
    folder = tmp_path / "artefacts"
    folder.mkdir()
    found = measured(make(keep=True), CONV, artefacts=folder)
    module, metadata = load_network(folder / found.artefacts["checkpoint"])
    score = evaluate(module, images, "validation")
    assert score.accuracy == found.metrics["val_accuracy"]
    assert score.loss == pytest.approx(found.metrics["val_loss"], rel=1e-6)
    assert metadata["architecture"] == CONV
    assert measured(make(keep=True), CONV).artefacts == {}  # nowhere to keep it
    assert measured(make(), CONV, artefacts=folder).artefacts == {}
    assert len(list(folder.iterdir())) == 1


def test_its_config_names_every_option(make: Callable[..., TrainingEvaluator]) -> None:
    evaluator = make(epochs=5, keep=True, threads=1)
    config = json.loads(json.dumps(evaluator.to_config()))
    again = registry.from_config("evaluator", config)
    assert again.to_config() == config == evaluator.to_config()
    assert (again.recipe, again.epochs, again.threads) == (evaluator.recipe, 5, 1)
    given = {"keep": "training", "top_epochs": 9, "time_limit": 60.0, "step_limit": 100, "step": "eager"}
    limited = json.loads(json.dumps(make(**given).to_config()))
    assert {name: limited[name] for name in given} == given
    assert limited["epochs"] == 9
    assert registry.from_config("evaluator", limited).to_config() == limited
    assert TrainingEvaluator().to_config()["recipe"]["name"] == "digits"
    assert TrainingEvaluator().threads == 1
    assert TrainingEvaluator(recipe="nasbench201").threads is None
    assert TrainingEvaluator("other.npz").to_config()["recipe"]["name"] == "small"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epochs": 0}, InvalidOption, "epochs"),
        ({"epochs": True}, InvalidOption, "epochs"),
        ({"threads": 1.5}, InvalidOption, "threads"),
        ({"keep": "no"}, InvalidOption, "keep.*training"),
        ({"top_epochs": 0}, InvalidOption, "top_epochs"),
        ({"top_epochs": 2, "epochs": 3}, InvalidOption, "epochs.*at most 2"),
        ({"step_limit": 0}, InvalidOption, "step_limit"),
        ({"time_limit": 0}, InvalidOption, "time_limit"),
        ({"time_limit": "1h"}, InvalidOption, "time_limit"),
        ({"step": "fast"}, InvalidOption, "step cannot be set.*eager"),
        ({"network": "channels=3"}, InvalidOption, "network"),
        ({"recipe": "fast"}, InvalidOption, "no such recipe"),
        ({"device": "tpu"}, InvalidOption, "no such device"),
        ({"data": "missing.npz"}, InvalidData, "no such file"),
        ({"network": {"width": 3}}, InvalidOption, "no such option: 'width'.*channels"),
    ],
)
def test_wrong_options_are_refused_before_the_first_trial(
    make: Callable[..., TrainingEvaluator], options: dict[str, Any], error: type[NasError], message: str
) -> None:
    with pytest.raises(error, match=message):
        make(**options)


class Bare(Space):
    """A space without networks."""

    name = "bare"
    decisions = ToySpace().decisions

    def to_config(self) -> dict[str, Any]:
        return {"name": "bare"}


class Picky(ToySpace):  # type: ignore[misc]
    """A space whose networks need larger images, or that has none for some members."""

    def network(self, a: Any, task: Task, seed: int = 0, channels: int = 3) -> Any:
        if a.values[0] == "pool" or task.input_shape[1] < 8:
            raise InvalidNetwork("too small an image", value=task.input_shape)
        return ToySpace.network(self, a, task, seed, channels=channels)


def test_a_space_without_networks_is_refused(file: str) -> None:
    with pytest.raises(MissingCapability, match="network"):
        TrainingEvaluator(file, RECIPE).prepare(Bare())


def test_images_that_do_not_fit_the_space_are_refused(
    make_images: Callable[..., ImageSet], file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator = TrainingEvaluator(file, RECIPE)
    monkeypatch.setattr("nas_train.evaluator.open_data", lambda name: make_images(size=4))
    with pytest.raises(InvalidNetwork, match="too small an image"):
        evaluator.prepare(Picky())


def test_a_member_without_a_network_fails_its_trial(make: Callable[..., TrainingEvaluator]) -> None:
    space = Picky()
    with pytest.raises(TrialFailed, match="too small") as caught:
        make().evaluate(Evaluation(space, space.parse(POOL)))
    assert caught.value.reason == "no_network"


def test_a_training_that_diverges_fails_its_trial(make: Callable[..., TrainingEvaluator]) -> None:
    with pytest.raises(TrialFailed) as caught:
        measured(make(recipe=RECIPE | {"learning_rate": 1e30}))
    assert caught.value.reason == "diverged"


def test_the_draw_reaches_the_network_and_the_replicate_does_not(
    make: Callable[..., TrainingEvaluator], monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []
    original = ToySpace.network

    def network(self: Any, a: Any, task: Task, seed: int = 0, channels: int = 3) -> Any:
        seeds.append(seed)
        return original(self, a, task, seed, channels=channels)

    evaluator = make()
    monkeypatch.setattr(ToySpace, "network", network)
    for options in ({}, {"replicate": 1}, {"draw": 1}, {"seed": 1}):
        measured(evaluator, CONV, fidelity=1, **options)
    assert seeds[0] == seeds[1]
    assert len(set(seeds)) == 3


def test_data_are_loaded_once(make: Callable[..., TrainingEvaluator], monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator = make()
    monkeypatch.setattr("nas_train.evaluator.open_data", lambda name: pytest.fail("loaded again"))
    evaluator.prepare(ToySpace())
    measured(evaluator)


def test_recipes_by_image_limit(make: Callable[..., TrainingEvaluator]) -> None:
    found = make(recipe=RECIPE | {"images": 8})
    assert measured(found).details["data"]["sizes"]["train"] == 64  # the set is whole, the recipe takes its beginning
    assert replace(found.recipe, images=None) == make().recipe
    assert lasting(measured(found)) != lasting(measured(make()))
