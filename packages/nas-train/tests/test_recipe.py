"""Recipes are checked plain data; schedules are functions of the step."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest

from nas_core.errors import InvalidOption
from nas_train.defaults import default_network, default_recipes
from nas_train.recipe import RECIPES, Recipe
from nas_train.schedule import SCHEDULES, learning_rate


@pytest.mark.parametrize("name", RECIPES)
def test_named_recipes_round_trip_and_cite(name: str) -> None:
    recipe = Recipe.from_config(name)
    assert recipe.name == name
    assert recipe.citation
    assert Recipe.from_config(json.loads(json.dumps(recipe.to_config()))) == recipe


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
    "schedule": ["step", 1],
    "warmup": [-1, 5],
    "label_smoothing": [1.0],
    "padding": [-1, 0.5],
    "flip": ["yes"],
    "drop_path": [1.0],
    "gradient_clip": [0],
    "auxiliary_weight": [-1],
    "images": [1, 100.0],
    "dtype": ["float16"],
    "citation": [None],
}


def test_every_field_is_checked() -> None:
    assert set(WRONG) == {field.name for field in fields(Recipe)}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in WRONG.items() for value in values])
def test_wrong_values_are_refused(field: str, value: Any) -> None:
    with pytest.raises(InvalidOption, match=field.replace("warmup", "warm")):
        Recipe(**({"name": "mine", "epochs": 5, "batch": 8, "learning_rate": 0.1} | {field: value}))


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


def test_warm_up_climbs_to_the_peak() -> None:
    for schedule in SCHEDULES:
        rates = [learning_rate(0.8, schedule, step, 13, 3) for step in range(13)]
        assert rates[:4] == pytest.approx([0.2, 0.4, 0.6, 0.8])
        assert max(rates) == 0.8
    assert rates[3:] == [0.8] * 10  # constant
    assert learning_rate(0.8, "cosine", 8, 13, 3) == pytest.approx(0.4)
