"""What every evaluator must keep to: it measures what it names, and the same again from the same configuration."""

# ruff: noqa: D102 - the name of a test says what it tests
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nas_core.architecture import Architecture
from nas_core.evaluator import Evaluation, Evaluator
from nas_core.random import rng
from nas_core.space import CAPABILITIES, Space, require
from nas_core.testing.processes import load_object
from nas_core.trial import Measurement, check_metric_name


class EvaluatorContract:
    """Tests that an evaluator inherits.

    Fixtures to give: `factory`, "module:Class" of the evaluator. To change: `options` of its constructor;
    `space_factory` and `space_options`; `architectures` that it can measure; `fidelity`; `timed`, the metrics that
    depend on the clock and so differ from run to run.
    """

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        """Options of the evaluator's constructor."""
        return {}

    @pytest.fixture
    def space_factory(self) -> str:
        """Where the space comes from."""
        return "nas_core.testing.fakes:ToySpace"

    @pytest.fixture
    def space_options(self) -> dict[str, Any]:
        """Options of the space."""
        return {}

    @pytest.fixture
    def fidelity(self) -> float | None:
        """What an evaluation may spend."""
        return None

    @pytest.fixture
    def timed(self) -> frozenset[str]:
        """Metrics that depend on the clock."""
        return frozenset()

    @pytest.fixture
    def space(self, space_factory: str, space_options: dict[str, Any]) -> Any:
        """The space of the architectures."""
        return load_object(space_factory)(**space_options)

    @pytest.fixture
    def architectures(self, space: Any) -> list[Architecture]:
        """What is measured."""
        members: list[Architecture] = space.sample(rng(0, "evaluated"), 3)
        return members

    @pytest.fixture
    def evaluator(self, factory: str, options: dict[str, Any], space: Any) -> Any:
        """The evaluator, prepared."""
        made = load_object(factory)(**options)
        made.prepare(space)
        return made

    def test_it_requires_what_spaces_can_have(self, evaluator: Evaluator, space: Space) -> None:
        assert isinstance(evaluator, Evaluator)
        assert evaluator.requires <= {"decisions", *CAPABILITIES}
        require(space, evaluator.requires, type(evaluator).__name__)

    def test_its_metrics_have_names(self, evaluator: Evaluator) -> None:
        assert evaluator.metrics
        assert len(set(evaluator.metrics)) == len(evaluator.metrics)
        for name in evaluator.metrics:
            assert check_metric_name(name) == name

    def test_it_measures_what_it_names(
        self, evaluator: Evaluator, space: Space, architectures: list[Architecture], fidelity: float | None
    ) -> None:
        for a in architectures:
            measured = evaluator.evaluate(Evaluation(space, a, fidelity))
            assert isinstance(measured, Measurement)  # which holds finite numbers only
            assert set(measured.metrics) == set(evaluator.metrics)
            assert measured.seconds >= 0
            assert json.loads(json.dumps(dict(measured.details))) == measured.details

    def test_it_measures_the_same_again(
        self,
        evaluator: Evaluator,
        space: Space,
        architectures: list[Architecture],
        fidelity: float | None,
        timed: frozenset[str],
    ) -> None:
        again = _rebuilt(evaluator, space)
        for a in architectures:
            first = _lasting(evaluator.evaluate(Evaluation(space, a, fidelity, seed=3)), timed)
            assert _lasting(evaluator.evaluate(Evaluation(space, a, fidelity, seed=3)), timed) == first
            assert _lasting(again.evaluate(Evaluation(space, a, fidelity, seed=3)), timed) == first

    def test_its_config_is_json_and_makes_an_equal_one(self, evaluator: Evaluator, space: Space) -> None:
        config = evaluator.to_config()
        assert json.loads(json.dumps(config)) == config
        again = _rebuilt(evaluator, space)
        assert again.to_config() == config
        assert again.metrics == evaluator.metrics

    def test_the_files_that_it_names_are_there(
        self,
        evaluator: Evaluator,
        space: Space,
        architectures: list[Architecture],
        fidelity: float | None,
        tmp_path: Path,
    ) -> None:
        measured = evaluator.evaluate(Evaluation(space, architectures[0], fidelity, artefacts=tmp_path))
        for file in measured.artefacts.values():
            assert (tmp_path / file).is_file()
            assert (tmp_path / file).resolve().is_relative_to(tmp_path.resolve())


def _rebuilt(evaluator: Evaluator, space: Space) -> Evaluator:
    config = json.loads(json.dumps(evaluator.to_config()))
    made: Evaluator = type(evaluator)(**{key: value for key, value in config.items() if key != "name"})
    made.prepare(space)
    return made


def _lasting(measured: Measurement, timed: frozenset[str]) -> dict[str, float]:
    return {name: value for name, value in measured.metrics.items() if name not in timed}
