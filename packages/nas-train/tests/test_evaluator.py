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


def test_the_fidelity_is_the_number_of_epochs(make: Callable[..., TrainingEvaluator]) -> None:
    evaluator = make()
    assert len(measured(evaluator).details["curve"]["train_loss"]) == 2
    assert len(measured(evaluator, fidelity=3.0).details["curve"]["train_loss"]) == 3
    assert len(measured(make(epochs=1)).details["curve"]["train_loss"]) == 1
    for wrong in (0.0, 1.5):
        with pytest.raises(InvalidOption, match="number of epochs"):
            measured(evaluator, fidelity=wrong)
    with pytest.raises(InvalidOption, match="anew"):
        measured(evaluator, resume_from=Path("some"))


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
        ({"keep": "no"}, InvalidOption, "keep"),
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
