"""From a configuration to the components that it names, checked against each other before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nas_core import registry
from nas_core.errors import InvalidObjective, InvalidOption
from nas_core.evaluator import Evaluator, GroupEvaluator
from nas_core.objective import Objectives
from nas_core.optimizer import Optimizer
from nas_core.space import Space, require
from nas_search.config import StudyConfig
from nas_search.executors import make_executor


def make_space(config: StudyConfig) -> Space:
    """The space of a study; raises NasError."""
    space: Space = registry.from_config("space", config.space)
    return space


def make_objectives(config: StudyConfig) -> Objectives:
    """What a study wants; raises InvalidObjective."""
    return Objectives.parse(config.objectives, config.constraints)


def make_optimizer(config: StudyConfig, space: Space, objectives: Objectives) -> Optimizer:
    """The optimizer of a study.

    Raises:
        NasError: there is none such, an option is wrong, or the space lacks what it reads.
    """
    name = config.optimizer["name"]
    kind = registry.load("optimizer", name)
    require(space, getattr(kind, "requires", frozenset()), f"the optimizer {name!r}")
    optimizer: Optimizer = registry.from_config("optimizer", config.optimizer, space, objectives, config.seed)
    require(space, optimizer.requires, f"the optimizer {name!r}")
    return optimizer


def completed(config: StudyConfig) -> StudyConfig:
    """Make every component once, check that they fit together, and write out the options that were left open.

    Raises:
        NasError: whatever would keep the study from running: a component that nobody registered, a wrong option, a
            view that the space does not have, an objective that the evaluator does not measure, data that is missing.
    """
    space, objectives = make_space(config), make_objectives(config)
    optimizer = make_optimizer(config, space, objectives)
    make_executor(config.executor)
    evaluator: Evaluator = registry.from_config("evaluator", config.evaluator)
    require(space, evaluator.requires, f"the evaluator {config.evaluator['name']!r}")
    evaluator.prepare(space)
    _check_measured(objectives, evaluator)
    _check_groups(optimizer, evaluator, config)
    return replace(
        config,
        space=_written_out(config.space, space),
        optimizer=_written_out(config.optimizer, optimizer),
        evaluator=_written_out(config.evaluator, evaluator),
    )


def _check_measured(objectives: Objectives, evaluator: Evaluator) -> None:
    for metric in objectives.metrics:
        if metric not in evaluator.metrics:
            raise InvalidObjective(
                "the evaluator does not measure this", value=metric, expected="one of " + ", ".join(evaluator.metrics)
            )


def _check_groups(optimizer: Optimizer, evaluator: Evaluator, config: StudyConfig) -> None:
    group = getattr(optimizer, "group", None)
    if group is not None and not isinstance(evaluator, GroupEvaluator):
        raise InvalidOption(
            f"the evaluator {config.evaluator['name']!r} shares no weights, so it cannot evaluate groups",
            value=group,
            place="option group of the optimizer",
            remedy="Choose an evaluator with shared weights, or leave the groups out.",
        )


def _written_out(given: Mapping[str, Any], component: Space | Optimizer | Evaluator) -> dict[str, Any]:
    """All options; the name stays the one that it was found by."""
    return {**component.to_config(), "name": given["name"]}
