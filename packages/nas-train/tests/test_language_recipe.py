"""Recipes of language models: plain data, checked, and the published numbers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nas_core.errors import InvalidOption
from nas_train.language.recipe import LANGUAGE_RECIPES, LanguageRecipe


@pytest.mark.parametrize("name", LANGUAGE_RECIPES)
def test_named_recipes_are_plain_data_with_a_source(name: str) -> None:
    recipe = LANGUAGE_RECIPES[name]
    assert recipe.name == name
    assert recipe.citation
    assert LanguageRecipe.from_config(name) is recipe or LanguageRecipe.from_config(name) == recipe
    assert LanguageRecipe.from_config(json.loads(json.dumps(recipe.to_config()))) == recipe


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        # NAO, section 4.3
        ("nao_ptb", {"learning_rate": 10.0, "decay": 0.9991, "decay_from": 15, "weight_decay": 5e-7, "epochs": 600}),
        ("nao_ptb_final", {"gradient_clip": 0.25, "tied": True, "epochs": 2000, "learning_rate": 10.0}),
        # NAO, section 4.4
        ("nao_wt2", {"embedding": 700, "weight_decay": 5e-7, "drop_hidden": 0.15, "tied": True}),
        # ENAS, section 3.1; its code keeps 0.79, 0.25, 0.75 and 0.24 of words, inputs, states and outputs
        ("enas_ptb", {"learning_rate": 20.0, "decay": 0.96, "decay_from": 15, "weight_decay": 1e-7, "epochs": 150}),
        ("enas_ptb", {"embedding": 748, "batch": 64, "truncation": 35, "gradient_clip": 0.25, "averaging": None}),
        ("enas_ptb", {"drop_words": 0.21, "drop_input": 0.75, "drop_hidden": 0.25, "drop_output": 0.76}),
        # NAO's code, bank of shared weights
        ("nao_ws_ptb", {"learning_rate": 0.25, "gradient_clip": 10.0, "embedding": 300, "random_lengths": False}),
        # NAS-Bench-NLP's code
        ("nasbench_nlp", {"batch": 20, "truncation": 70, "learning_rate": 1e-3, "weight_decay": 1.2e-6, "layers": 3}),
        # BONAS, appendix A.1
        ("bonas_lstm", {"epochs": 10, "learning_rate": 20.0, "embedding": 748}),
    ],
)
def test_published_numbers(name: str, numbers: dict[str, Any]) -> None:
    config = LanguageRecipe.from_config(name).to_config()
    assert {key: config[key] for key in numbers} == numbers


def test_widths_of_layers() -> None:
    assert LANGUAGE_RECIPES["nasbench_nlp"].widths == ((400, 600), (600, 600), (600, 400))
    assert LANGUAGE_RECIPES["nao_ptb"].widths == ((850, 850),)
    free = LanguageRecipe("free", epochs=1, batch=1, learning_rate=1.0, embedding=3, hidden=5, layers=2, tied=False)
    assert free.widths == ((3, 5), (5, 5))


def test_a_recipe_may_differ_in_single_fields() -> None:
    recipe = LanguageRecipe.from_config({"name": "nao_ptb", "epochs": 3})
    assert (recipe.epochs, recipe.learning_rate) == (3, 10.0)


@pytest.mark.parametrize(
    "config",
    [
        "no_such_recipe",
        {"name": "own", "epochs": 1},
        {"name": "nao_ptb", "colour": 1},
        {"name": "nao_ptb", "epochs": 0},
        {"name": "nao_ptb", "drop_output": 1.0},
        {"name": "nao_ptb", "batch": True},
        {"name": "nao_ptb", "learning_rate": float("nan")},
        {"name": "nao_ptb", "optimizer": "lion"},
        {"name": "nao_ptb", "decay": 0.0},
        {"name": "nao_ptb", "averaging": 0},
        7,
    ],
)
def test_wrong_recipes_are_named(config: Any) -> None:
    with pytest.raises(InvalidOption):
        LanguageRecipe.from_config(config)
