"""Every study under experiments/ is sound: its components are there and take their options, and one tiny trial runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nas_core import registry
from nas_search.cli.options import SearchOptions, study_config
from nas_search.components import make_objectives, make_optimizer, make_space
from nas_search.config import StudyConfig
from nas_search.study import Study

EXPERIMENTS = sorted((Path(__file__).resolve().parents[1] / "experiments").rglob("*.toml"))
SMALL_SPACES: dict[str, dict[str, Any]] = {
    "hnag": {"top": [3, 3], "mid": [1, 1], "bottom": [3, 3]},
    "recurrent": {"nodes": 3},
}
SMALL_NETWORKS = {"limit": 100_000, "channels": 4, "cells": 1, "auxiliary": False}
OF_A_START = ("start", "start_fidelity", "start_trials")
WORDS = "a b c d e f g h"

each = pytest.mark.parametrize("file", EXPERIMENTS, ids=lambda path: f"{path.parent.name}/{path.stem}")


def config_of(file: Path) -> StudyConfig:
    return study_config(SearchOptions(), file)


def without_start(optimizer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in optimizer.items() if name not in OF_A_START}


def test_there_are_experiments() -> None:
    assert EXPERIMENTS


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
    if config.evaluator["name"] not in ("train", "language"):
        pytest.skip(f"only trainings are made tiny, not the evaluator {config.evaluator['name']!r}")
    mapping = config.to_config() | {"trials": 1, "executor": "serial", "threads": 1, "seconds": None}
    mapping["space"] |= SMALL_SPACES.get(mapping["space"]["name"], {})
    mapping["optimizer"] = without_start(mapping["optimizer"]) | _small_fidelities(mapping["optimizer"])
    mapping["evaluator"] = _small_evaluator(mapping["evaluator"], tmp_path)
    with Study.create(tmp_path / "run", StudyConfig.from_mapping(mapping)) as study:
        study.run()
        (trial,) = study.trials()
    assert {objective.partition(":")[2] for objective in config.objectives} <= trial.metrics.keys(), trial.result


def _small_fidelities(optimizer: dict[str, Any]) -> dict[str, Any]:
    small: dict[str, Any] = {}
    if "fidelities" in optimizer:
        small["fidelities"] = list(range(1, len(optimizer["fidelities"]) + 1))
    if optimizer.get("fidelity") is not None:
        small["fidelity"] = 1
    return small


def _small_evaluator(evaluator: dict[str, Any], folder: Path) -> dict[str, Any]:
    network = {name: SMALL_NETWORKS.get(name, value) for name, value in (evaluator.get("network") or {}).items()}
    small = evaluator | {"device": "cpu", "epochs": 1, "network": network or None}
    if evaluator["name"] == "train":
        return small | {"data": "digits", "recipe": {"name": "digits", "images": 64}}
    texts = folder / "texts"
    texts.mkdir()
    for split in ("train", "valid", "test"):
        (texts / f"ptb.{split}.txt").write_text(f" {WORDS} \n" * 40)
    return small | {
        "data": str(texts),
        "recipe": {"name": evaluator["recipe"], "embedding": 8, "hidden": None, "batch": 2, "evaluation_batch": 2},
    }
