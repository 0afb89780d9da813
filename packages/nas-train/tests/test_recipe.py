"""Recipes are checked plain data; schedules are functions of the step."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest

from nas_core.errors import InvalidOption
from nas_train.defaults import default_network, default_recipes
from nas_train.recipe import Recipe
from nas_train.recipes import FIDELITIES, RECIPES
from nas_train.schedule import SCHEDULES, learning_rate


@pytest.mark.parametrize("name", RECIPES)
def test_named_recipes_round_trip_and_cite(name: str) -> None:
    recipe = Recipe.from_config(name)
    assert recipe.name == name
    assert recipe.citation
    assert Recipe.from_config(json.loads(json.dumps(recipe.to_config()))) == recipe


def test_every_recipe_round_trips_as_json_and_names_itself() -> None:
    assert set(FIDELITIES) <= set(RECIPES)
    for name, epochs in FIDELITIES.items():
        assert list(epochs) == sorted(epochs)
        assert epochs[-1] == RECIPES[name].epochs


PUBLISHED: dict[str, dict[str, Any]] = {
    # NAGO §4.1: 0.025 at 96 to 0.1 at 512; §4: 600 epochs, cutout 16 or 112, no drop path
    "nago_search": {"batch": 96, "learning_rate": 0.025, "largest_batch": 512, "largest_rate": 0.1, "cutout": 16},
    "nago_search_large": {"epochs": 120, "largest_batch": 512, "cutout": 112},
    "nago_search_sport8": {"epochs": 400, "cutout": 112},
    "nago_search_imagenet": {"epochs": 60},
    "nago_complete": {"epochs": 600, "batch": 96, "learning_rate": 0.025, "cutout": 16, "drop_path": 0.0},
    "nago_complete_large": {"epochs": 600, "batch": 96, "cutout": 112},
    "nago_imagenet": {"epochs": 250, "learning_rate": 0.1, "batch": 256, "cutout": 112, "weight_decay": 5e-5},
    # NAO §4.1: 25 epochs, momentum 0.9, cosine from 0.024, decay 5e-4, batch 128; final: 600 epochs; its code clips
    "nao_search": {
        "epochs": 25,
        "learning_rate": 0.024,
        "weight_decay": 5e-4,
        "batch": 128,
        "drop_path": 0.3,
        "period": 100.0,
        "gradient_clip": 5.0,
    },
    "nao_final": {"epochs": 600, "learning_rate": 0.024, "weight_decay": 5e-4, "cutout": 16, "gradient_clip": 5.0},
    # NAO's code: penalties of 1e-4 and 2e-4 on the squares of the weights, whose gradient is twice as much
    "nao_weight_sharing": {
        "batch": 160,
        "learning_rate": 0.05,
        "floor": 5e-4,
        "period": 10.0,
        "growth": 2.0,
        "weight_decay": 2e-4,
        "drop_path": 0.4,
        "nesterov": True,
    },
    "nao_weight_sharing_final": {"epochs": 630, "batch": 144, "weight_decay": 4e-4, "floor": 1e-4, "drop_path": 0.4},
    # BONAS §4.3 and appendix D
    "bonas_search": {"epochs": 120},
    "bonas_resnet": {"epochs": 40},
    # DARTS §3.2
    "darts_final": {
        "epochs": 600,
        "batch": 96,
        "learning_rate": 0.025,
        "weight_decay": 3e-4,
        "cutout": 16,
        "drop_path": 0.2,
        "auxiliary_weight": 0.4,
        "gradient_clip": 5.0,
    },
    "imagenet_mobile": {"epochs": 250, "batch": 128, "label_smoothing": 0.1, "weight_decay": 3e-5, "decay": 0.97},
    "imagenet_mobile_linear": {"epochs": 250, "schedule": "linear", "warmup": 5.0, "batch": 1024},
    # NAS-Bench-101, supplement S2; its code
    "nasbench101": {
        "epochs": 108,
        "batch": 256,
        "learning_rate": 0.2,
        "weight_decay": 1e-4,
        "weight_optimizer": "rmsprop",
        "momentum": 0.9,
        "second_momentum": 0.9,
        "epsilon": 1.0,
        "schedule": "cosine",
    },
    # what results on disk were made with
    "digits": {"epochs": 12, "batch": 64, "learning_rate": 0.03, "warmup": 1.0, "padding": 1, "flip": False},
    "digits_final": {"epochs": 60, "batch": 64, "learning_rate": 0.2},
    "small": {"epochs": 10, "batch": 64, "learning_rate": 0.1, "warmup": 1.0, "padding": 4, "images": 5000},
    "small_final": {"epochs": 30, "batch": 64, "learning_rate": 0.1, "images": None},
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_named_recipes_have_their_sources_numbers(name: str) -> None:
    config = RECIPES[name].to_config()
    assert {field: config[field] for field in PUBLISHED[name]} == PUBLISHED[name]


def test_the_published_recipe_has_the_published_numbers() -> None:
    recipe = RECIPES["nasbench201"]
    assert (recipe.epochs, recipe.batch, recipe.learning_rate, recipe.momentum) == (200, 256, 0.1, 0.9)
    assert (recipe.weight_decay, recipe.nesterov, recipe.schedule, recipe.padding) == (5e-4, True, "cosine", 4)
    assert recipe.flip
    assert recipe.warmup == 0
    assert replace(RECIPES["nasbench201_12"], name=recipe.name, epochs=200, citation=recipe.citation) == recipe


def test_a_named_recipe_can_be_changed() -> None:
    changed = Recipe.from_config({"name": "digits", "epochs": 3})
    assert changed == replace(RECIPES["digits"], epochs=3)
    own = Recipe.from_config({"name": "mine", "epochs": 3, "batch": 8, "learning_rate": 0.1})
    assert own == Recipe("mine", 3, 8, 0.1)
    with pytest.raises(FrozenInstanceError):
        changed.epochs = 4  # type: ignore[misc]


WRONG: dict[str, list[Any]] = {
    "name": ["", 3],
    "epochs": [0, 1.5, "3", True, None],
    "batch": [1, 2.0],
    "learning_rate": [0, -0.1, math.nan, math.inf, "0.1"],
    "momentum": [1, -0.1],
    "nesterov": [1],
    "weight_decay": [-1e-4],
    "schedule": ["triangle", 1],
    "warmup": [-1, 5],
    "label_smoothing": [1.0],
    "padding": [-1, 0.5],
    "flip": ["yes"],
    "drop_path": [1.0],
    "gradient_clip": [0],
    "auxiliary_weight": [-1],
    "images": [1, 100.0],
    "dtype": ["float64"],
    "citation": [None],
    "floor": [-0.1, 0.2],  # above the rate of 0.1
    "period": [0],
    "growth": [0.5],
    "decay": [0, 1.1],
    "milestones": [(3, 2), (1, 1), ("1",), 3, (1, 2)],  # the last: without the schedule that has them
    "cutout": [-1, 1.5],
    "resized_crop": [1],
    "colour": [-0.1, 1.1],
    "ema": [1.0],
    "weight_optimizer": ["lars"],
    "second_momentum": [1],
    "epsilon": [0],
    "largest_batch": [1, 4],  # below the batch of 8
    "largest_rate": [0, 0.3],  # the second: without a largest batch
}


def test_every_field_is_checked() -> None:
    assert set(WRONG) == {field.name for field in fields(Recipe)}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in WRONG.items() for value in values])
def test_wrong_values_are_refused(field: str, value: Any) -> None:
    with pytest.raises(InvalidOption, match=field.replace("warmup", "warm")):
        Recipe(**({"name": "mine", "epochs": 5, "batch": 8, "learning_rate": 0.1} | {field: value}))


def test_contradictions_are_refused() -> None:
    given = {"name": "mine", "epochs": 5, "batch": 8, "learning_rate": 0.1}
    for wrong in (
        {"schedule": "step", "decay": 0.5},
        {"schedule": "step", "decay": 0.5, "period": 1, "milestones": [2]},
        {"dtype": "float16", "weight_optimizer": "rmsprop"},
        {"largest_batch": 16},
    ):
        with pytest.raises(InvalidOption, match="recipe 'mine'"):
            Recipe(**given, **wrong)  # type: ignore[arg-type]
    assert Recipe(**given, schedule="step", decay=0.5, milestones=[2, 4]).milestones == (2, 4)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("digit", "no such recipe: 'digit'.*digits"),
        ({"name": "mine", "epochs": 3}, "without: batch, learning_rate"),
        ({"name": "digits", "epoch": 3}, "no such field: 'epoch'.*epochs"),
        (3, "not a recipe"),
    ],
)
def test_what_is_no_recipe_is_refused(config: Any, message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        Recipe.from_config(config)


def test_defaults_fit_the_data_and_the_space() -> None:
    for data in ("digits", "cifar10", "mine.npz"):
        assert set(default_recipes(data)) <= set(RECIPES)
    assert default_recipes("digits").search == "digits"
    assert default_network("nasbench201", "digits") == default_network("nasbench201", "digits_final") != {}
    assert default_network("nasbench201", "nasbench201") == default_network("another", "digits") == {}


def test_a_cosine_worked_out_by_hand() -> None:
    rates = [learning_rate(0.8, "cosine", step, 4, 0) for step in range(4)]
    assert rates == pytest.approx([0.8, 0.4 + 0.4 * math.sqrt(0.5), 0.4, 0.4 - 0.4 * math.sqrt(0.5)])


def test_lines_steps_and_restarts_worked_out_by_hand() -> None:
    rates = [learning_rate(0.8, "linear", step, 6, 2, floor=0.2) for step in range(6)]
    assert rates[2:] == pytest.approx([0.8, 0.65, 0.5, 0.35])
    rates = [learning_rate(0.8, "step", step, 6, 0, decay=0.5, milestones=[2, 5]) for step in range(6)]
    assert rates == pytest.approx([0.8, 0.8, 0.4, 0.4, 0.4, 0.2])
    rates = [learning_rate(0.8, "step", step, 6, 0, decay=0.5, period=2.0) for step in range(6)]
    assert rates == pytest.approx([0.8, 0.8, 0.4, 0.4, 0.2, 0.2])
    # a period of 2 steps, then one of 4: 0.8 and the middle, then again in quarters
    rates = [learning_rate(0.8, "cosine", step, 6, 0, floor=0.2, period=2.0, growth=2.0) for step in range(6)]
    quarter = 0.3 * math.sqrt(0.5)
    assert rates == pytest.approx([0.8, 0.5, 0.8, 0.5 + quarter, 0.5, 0.5 - quarter])


def test_a_period_longer_than_the_training_is_part_of_a_cosine() -> None:
    recipe = RECIPES["nao_search"]
    assert recipe.period is not None
    rates = [learning_rate(0.024, "cosine", step, 25, 0, period=recipe.period) for step in range(25)]
    assert rates == pytest.approx([0.012 * (1 + math.cos(math.pi * step / 100)) for step in range(25)])


def test_warm_up_climbs_to_the_peak() -> None:
    for schedule in SCHEDULES:
        rates = [learning_rate(0.8, schedule, step, 13, 3) for step in range(13)]
        assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
        assert max(rates) == 0.8
    assert rates[3:] == [0.8] * 10  # constant, the last of them
    assert learning_rate(0.8, "cosine", 8, 13, 3) == pytest.approx(0.4)
