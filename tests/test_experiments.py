"""Every study under experiments/ is sound: its components are there and take their options, and one tiny trial runs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer

from nas_core import registry
from nas_core.random import rng
from nas_search.cli.app import app
from nas_search.cli.options import SearchOptions, recipe_of, study_config
from nas_search.components import make_objectives, make_optimizer, make_space
from nas_search.config import StudyConfig
from nas_search.study import Study
from nas_spaces.tables import Table
from nas_train.language.recipe import LANGUAGE_RECIPES, LanguageRecipe
from nas_train.recipe import Recipe
from nas_train.recipes import RECIPES

FOLDER = Path(__file__).resolve().parents[1] / "experiments"
EXPERIMENTS = sorted(FOLDER.rglob("*.toml"))
SMALL_SPACES: dict[str, dict[str, Any]] = {
    "hnag": {"top": [3, 3], "mid": [1, 1], "bottom": [3, 3]},
    "recurrent": {"nodes": 3},
    "resnet": {"most_blocks": 1, "most_doublings": 1},
}
SMALL_NETWORKS = {"limit": 100_000, "channels": 4, "cells": 1, "auxiliary": False}
SMALL_SCORES = {"data": "digits", "images": 4, "repeats": 1, "device": "cpu"}
OF_A_START = ("start", "start_fidelity", "start_trials")
MEMBERS = 24  # of a table; a surrogate is fitted to 10 at least
WORDS = "a b c d e f g h"

each = pytest.mark.parametrize("file", EXPERIMENTS, ids=lambda path: f"{path.parent.name}/{path.stem}")


def config_of(file: Path) -> StudyConfig:
    return study_config(SearchOptions(), file)


def without_start(optimizer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in optimizer.items() if name not in OF_A_START}


def test_there_are_experiments_of_all_four_papers() -> None:
    assert {file.parent.name for file in EXPERIMENTS} == {"agnet", "bonas", "nago", "nao"}


def test_the_index_lists_them_all() -> None:
    index = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert [file.name for file in EXPERIMENTS if f"({file.relative_to(FOLDER).as_posix()})" not in index] == []


@each
def test_its_components_are_there_and_take_their_options(file: Path) -> None:
    config = config_of(file)
    space, objectives = make_space(config), make_objectives(config)
    mapping = config.to_config()
    optimizer = StudyConfig.from_mapping(mapping | {"optimizer": without_start(mapping["optimizer"])})
    assert make_optimizer(optimizer, space, objectives).to_config()["name"]
    assert registry.load("evaluator", config.evaluator["name"])
    if "file" not in config.evaluator:  # one of a table reads it at once
        evaluator = registry.from_config("evaluator", config.evaluator)
        assert set(objectives.metrics) <= set(evaluator.metrics)


@each
def test_one_tiny_trial_of_it_runs(file: Path, tmp_path: Path) -> None:
    config = config_of(file)
    mapping = config.to_config() | {"trials": 1, "executor": "serial", "threads": 1, "seconds": None}
    mapping["space"] |= SMALL_SPACES.get(mapping["space"]["name"], {})
    mapping["optimizer"] = without_start(mapping["optimizer"]) | _small_optimizer(mapping["optimizer"])
    mapping |= _small_measuring(StudyConfig.from_mapping(mapping), tmp_path)
    with Study.create(tmp_path / "run", StudyConfig.from_mapping(mapping)) as study:
        study.run()
        (trial,) = study.trials()
    assert {objective.partition(":")[2] for objective in config.objectives} <= trial.metrics.keys(), trial.result


@each
def test_the_commands_that_it_shows_exist(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    for words in commands(file.read_text(encoding="utf-8")):
        given = parsed(words[1:])
        if words[1] == "search":
            names = set(SearchOptions.__dataclass_fields__) & set(given)
            options = {name: given[name] for name in names} | {"constraints": given["constraint"] or None}
            assert given["config"].exists(), words
            make_space_unless_of_a_table(study_config(SearchOptions(**options), given["config"]))
        if words[1] == "train":
            check_recipe(recipe_of(given["recipe"]))


def make_space_unless_of_a_table(config: StudyConfig) -> None:
    if config.space["name"] != "restricted":
        make_space(config)
    assert registry.load("optimizer", config.optimizer["name"])


def check_recipe(given: str | dict[str, Any]) -> None:
    name = given if isinstance(given, str) else given["name"]
    assert name in RECIPES or name in LANGUAGE_RECIPES, name
    assert (Recipe if name in RECIPES else LanguageRecipe).from_config(given).name == name


def commands(text: str) -> Iterator[list[str]]:
    """The words of each `nas …` that stands on an indented comment line of its own."""
    for line in text.splitlines():
        if line.startswith("#   nas "):
            yield shlex.split(line.removeprefix("#"))


def parsed(words: list[str]) -> dict[str, Any]:
    """The options of a command, as `nas` reads them without running it."""
    command: Any = typer.main.get_command(app)
    context = command.make_context("nas", [])
    while hasattr(command, "commands"):
        assert words[0] in command.commands, words
        command, words = command.commands[words[0]], words[1:]
    found: dict[str, Any] = command.make_context("nas", words, parent=context).params
    return found


def _small_optimizer(optimizer: dict[str, Any]) -> dict[str, Any]:
    small: dict[str, Any] = {}
    if "fidelities" in optimizer:
        small["fidelities"] = list(range(1, len(optimizer["fidelities"]) + 1))
    if optimizer.get("fidelity") is not None:
        small["fidelity"] = 1
    if str(optimizer.get("preset", "")).startswith("shared"):
        small["initial"] = 1  # of a group, which is evaluated whole
    return small


def _small_measuring(config: StudyConfig, folder: Path) -> dict[str, Any]:
    """The evaluator on little, and the space that it can measure."""
    evaluator = dict(config.evaluator)
    name = evaluator["name"]
    if name in ("table", "surrogate_table"):
        file = str(_table(config, folder))
        if name == "surrogate_table":
            return {"evaluator": evaluator | {"file": file, "folds": 2}}
        return {"space": {"name": "restricted", "table": file}, "evaluator": evaluator | {"file": file}}
    network = {key: SMALL_NETWORKS.get(key, value) for key, value in (evaluator.get("network") or {}).items()}
    small = evaluator | {"device": "cpu", "network": network or None}
    if name == "proxies":
        return {"evaluator": small | SMALL_SCORES}
    small["epochs"] = 1
    if name in ("language", "shared_language"):
        recipe = {"name": evaluator["recipe"], "embedding": 8, "hidden": None, "batch": 2, "evaluation_batch": 2}
        return {"evaluator": small | {"data": str(_texts(folder)), "recipe": recipe}}
    assert name in ("train", "shared_weights"), f"nothing makes trials of the evaluator {name!r} tiny"
    return {"evaluator": small | {"data": "digits", "recipe": {"name": "digits", "images": 64}}}


def _table(config: StudyConfig, folder: Path) -> Path:
    """A table of some members of the study's space, with every metric that the study wants."""
    space, stream = make_space(config), rng(0, "tiny", "table")
    members = list(dict.fromkeys(space.sample(stream, 2 * MEMBERS)))[:MEMBERS]
    metrics = make_objectives(config).metrics
    meta = {
        "name": "tiny",
        "space": space.to_config(),
        "source": "made up",
        "licence": "MIT",
        "units": dict.fromkeys(metrics, "1"),
        "objective": list(config.objectives),
    }
    columns = {name: stream.uniform(1.0, 2.0, len(members)) for name in metrics}
    path = folder / "tiny.npz"
    Table(meta, {"architecture": np.array([space.text(a) for a in members]), **columns}).save(path)
    return path


def _texts(folder: Path) -> Path:
    texts = folder / "texts"
    texts.mkdir()
    for split in ("train", "valid", "test"):
        (texts / f"ptb.{split}.txt").write_text(f" {WORDS} \n" * 40)
    return texts
