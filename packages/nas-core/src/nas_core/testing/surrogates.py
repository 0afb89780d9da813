"""What every surrogate must keep to: it fits any training set, predicts finite numbers, and repeats itself exactly.

Targets are the fake evaluator's accuracies and parameters of a small space, turned to be minimised.
"""

# ruff: noqa: D102 - the name of a test says what it tests
from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from nas_core.architecture import Architecture
from nas_core.evaluator import Evaluation
from nas_core.objective import Objectives
from nas_core.random import rng
from nas_core.space import CAPABILITIES, Space, require
from nas_core.surrogate import Conditions, Posterior, Prediction, Samples, Surrogate
from nas_core.testing.fakes import FakeEvaluator
from nas_core.testing.processes import in_fresh_process, load_object
from nas_core.training_set import TrainingSet
from nas_core.trial import Proposal

_OBJECTIVES = (Objectives.parse(["max:val_accuracy"]), Objectives.parse(["max:val_accuracy", "min:params"]))


class SurrogateContract:
    """Tests that a surrogate inherits.

    Fixtures to give: `factory`, "module:Class" of the surrogate. To change: `options` of its constructor;
    `space_factory` and `space_options`; `n`, how many observations it fits; `order_tolerance`, relative to the targets'
    spread, by how much predictions may change with the order of rows, None where they may change at will;
    `least_correlation` of predictions with what was fitted, None where nothing is learnt; `several_targets`.
    """

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        """Options of the surrogate's constructor."""
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
    def n(self) -> int:
        """How many observations most tests fit; at least 8."""
        return 16

    @pytest.fixture
    def order_tolerance(self) -> float | None:
        """By how much predictions may differ when rows come in another order, in standard deviations of the targets."""
        return 1e-3

    @pytest.fixture
    def least_correlation(self) -> float | None:
        """Least correlation of the predicted means with the fitted targets."""
        return 0.3

    @pytest.fixture
    def several_targets(self) -> bool:
        """Whether it fits more than one target."""
        return True

    @pytest.fixture
    def space(self, space_factory: str, space_options: dict[str, Any]) -> Any:
        """The space of the observations."""
        return load_object(space_factory)(**space_options)

    @pytest.fixture
    def surrogate(self, factory: str, options: dict[str, Any], space: Any) -> Any:
        """The surrogate, made for the space."""
        return load_object(factory)(space, **options)

    @pytest.fixture
    def data(self, space: Any, n: int) -> TrainingSet:
        """Observations of one target."""
        return training_set(space, n)

    @pytest.fixture
    def elsewhere(self, space: Any) -> list[Architecture]:
        """Seven members to predict at."""
        return sample_distinct(space, 7, seed=1)

    def test_it_requires_what_spaces_can_have(self, surrogate: Surrogate, space: Space) -> None:
        assert isinstance(surrogate, Surrogate)
        assert surrogate.requires <= {"decisions", *CAPABILITIES}
        require(space, surrogate.requires, type(surrogate).__name__)

    def test_its_config_is_json_and_makes_an_equal_one(self, surrogate: Any, space: Space) -> None:
        config = surrogate.to_config()
        assert json.loads(json.dumps(config)) == config
        options = {key: value for key, value in config.items() if key != "name"}
        assert type(surrogate)(space, **options).to_config() == config

    @pytest.mark.parametrize("m", [1, 2])
    def test_predictions_have_the_shape_of_the_targets(
        self, surrogate: Surrogate, space: Space, n: int, elsewhere: list[Architecture], m: int, several_targets: bool
    ) -> None:
        if m > 1 and not several_targets:
            pytest.skip("the surrogate does not claim several targets")
        posterior = surrogate.fit(training_set(space, n, m), rng(0))
        assert isinstance(posterior, Posterior)
        _check(posterior.predict(elsewhere), len(elsewhere), m)
        _check(posterior.predict(elsewhere[:1]), 1, m)

    def test_it_repeats_itself(self, surrogate: Surrogate, data: TrainingSet, elsewhere: list[Architecture]) -> None:
        first = surrogate.fit(data, rng(0)).predict(elsewhere)
        again = surrogate.fit(data, rng(0)).predict(elsewhere)
        assert_array_equal(first.mean, again.mean)
        assert_array_equal(first.std, again.std)

    def test_a_fresh_process_predicts_the_same(
        self, factory: str, options: dict[str, Any], space_factory: str, space_options: dict[str, Any], n: int
    ) -> None:
        """Within rounding: a library may add up in another order."""
        arguments = (factory, options, space_factory, space_options, n)
        here = np.array(predicted(*arguments))
        there = np.array(in_fresh_process("nas_core.testing.surrogates:predicted", *arguments))
        assert_allclose(there, here, rtol=1e-6, atol=1e-9)

    def test_it_fits_one_observation(
        self, surrogate: Surrogate, data: TrainingSet, elsewhere: list[Architecture]
    ) -> None:
        _check(surrogate.fit(_rows(data, [0]), rng(0)).predict(elsewhere), len(elsewhere), 1)

    def test_it_fits_constant_targets(
        self, surrogate: Surrogate, data: TrainingSet, elsewhere: list[Architecture]
    ) -> None:
        constant = TrainingSet(data.architectures, np.full_like(data.targets, -50.0), data.counts, data.violations)
        _check(surrogate.fit(constant, rng(0)).predict(elsewhere), len(elsewhere), 1)

    def test_it_fits_pooled_and_repeated_rows(
        self, surrogate: Surrogate, data: TrainingSet, elsewhere: list[Architecture]
    ) -> None:
        twice = _rows(data, [*range(len(data)), *range(len(data))])
        counts = np.arange(1, len(twice) + 1, dtype=np.int64)
        twice = TrainingSet(twice.architectures, twice.targets + 0.1 * (counts % 2)[:, None], counts, twice.violations)
        _check(surrogate.fit(twice, rng(0)).predict(elsewhere), len(elsewhere), 1)

    def test_it_takes_targets_of_any_scale(
        self, surrogate: Surrogate, data: TrainingSet, elsewhere: list[Architecture]
    ) -> None:
        for scale, shift in ((1e-6, 0.0), (1e6, -1e9)):
            targets = data.targets * scale + shift
            scaled = TrainingSet(data.architectures, targets, data.counts, data.violations)
            mean = surrogate.fit(scaled, rng(0)).predict(elsewhere).mean
            spread = np.ptp(targets)
            assert (mean > targets.min() - 10 * spread).all()
            assert (mean < targets.max() + 10 * spread).all()

    def test_it_learns_what_it_fitted(
        self, surrogate: Surrogate, data: TrainingSet, least_correlation: float | None
    ) -> None:
        if least_correlation is None:
            pytest.skip("the surrogate does not claim to learn from so few observations")
        mean = surrogate.fit(data, rng(0)).predict(data.architectures).mean
        assert np.corrcoef(mean[:, 0], data.targets[:, 0])[0, 1] >= least_correlation

    def test_the_order_of_rows_does_not_matter(
        self, surrogate: Surrogate, data: TrainingSet, elsewhere: list[Architecture], order_tolerance: float | None
    ) -> None:
        if order_tolerance is None:
            pytest.skip("the surrogate does not claim to be independent of the order of rows")
        first = surrogate.fit(data, rng(0)).predict(elsewhere)
        turned = surrogate.fit(_rows(data, list(range(len(data)))[::-1]), rng(0)).predict(elsewhere)
        tolerance = order_tolerance * float(data.targets.std())
        assert_allclose(turned.mean, first.mean, rtol=0, atol=tolerance)
        assert_allclose(turned.std, first.std, rtol=0, atol=tolerance)

    def test_predictions_do_not_depend_on_their_company(
        self, surrogate: Surrogate, data: TrainingSet, elsewhere: list[Architecture]
    ) -> None:
        posterior = surrogate.fit(data, rng(0))
        together = posterior.predict(elsewhere)
        alone = [posterior.predict([a]) for a in elsewhere]
        tolerance = 1e-4 * float(data.targets.std())
        assert_allclose(np.concatenate([p.mean for p in alone]), together.mean, rtol=1e-5, atol=tolerance)
        assert_allclose(np.concatenate([p.std for p in alone]), together.std, rtol=1e-3, atol=tolerance)

    def test_it_leaves_its_inputs_alone(
        self, surrogate: Surrogate, data: TrainingSet, elsewhere: list[Architecture]
    ) -> None:
        before = (data.architectures, data.targets.copy(), data.counts.copy(), data.violations.copy(), list(elsewhere))
        surrogate.fit(data, rng(0)).predict(elsewhere)
        assert (data.architectures, elsewhere) == (before[0], before[4])
        assert_array_equal(data.targets, before[1])
        assert_array_equal(data.counts, before[2])
        assert_array_equal(data.violations, before[3])

    def test_samples_have_their_shape_and_follow_the_generator(
        self, surrogate: Surrogate, data: TrainingSet, elsewhere: list[Architecture]
    ) -> None:
        posterior = surrogate.fit(data, rng(0))
        if not isinstance(posterior, Samples):
            pytest.skip("the posterior does not claim joint samples")
        samples = posterior.sample(elsewhere, 5, rng(1))
        assert samples.shape == (5, len(elsewhere), 1)
        assert np.isfinite(samples).all()
        assert_array_equal(posterior.sample(elsewhere, 5, rng(1)), samples)

    def test_conditioning_gives_another_posterior_and_leaves_the_first(
        self, surrogate: Surrogate, data: TrainingSet, elsewhere: list[Architecture]
    ) -> None:
        posterior = surrogate.fit(data, rng(0))
        if not isinstance(posterior, Conditions):
            pytest.skip("the posterior does not claim to take in further observations")
        before = posterior.predict(elsewhere)
        observed = np.full((2, 1), float(data.targets.mean()))
        after = posterior.condition(elsewhere[:2], observed)
        assert isinstance(after, Posterior)
        _check(after.predict(elsewhere), len(elsewhere), 1)
        assert_array_equal(posterior.predict(elsewhere).mean, before.mean)
        assert_array_equal(observed, np.full((2, 1), float(data.targets.mean())))


def predicted(
    factory: str, options: dict[str, Any], space_factory: str, space_options: dict[str, Any], n: int
) -> list[list[list[float]]]:
    """Means and deviations of a fitted surrogate, as JSON."""
    space = load_object(space_factory)(**space_options)
    posterior = load_object(factory)(space, **options).fit(training_set(space, n), rng(0))
    prediction: Prediction = posterior.predict(sample_distinct(space, 7, seed=1))
    return [prediction.mean.tolist(), prediction.std.tolist()]


def training_set(space: Space, n: int, m: int = 1) -> TrainingSet:
    """The fake evaluator's measurements of n distinct members, m (1 or 2) targets."""
    objectives = _OBJECTIVES[m - 1]
    history = objectives.new_history()
    for a in sample_distinct(space, n, seed=0):
        trial = history.begin(Proposal(a))
        history.finish(trial.number, FakeEvaluator().evaluate(Evaluation(space, a)))
    return TrainingSet.from_history(history, objectives)


def sample_distinct(space: Space, n: int, seed: int) -> list[Architecture]:
    """`n` different members; the space must have many more."""
    return list(dict.fromkeys(space.sample(rng(seed, "distinct"), 20 * n)))[:n]


def _rows(data: TrainingSet, rows: list[int]) -> TrainingSet:
    return TrainingSet(
        tuple(data.architectures[i] for i in rows), data.targets[rows], data.counts[rows], data.violations[rows]
    )


def _check(prediction: Prediction, n: int, m: int) -> None:
    """Shapes; that numbers are finite and deviations not negative a prediction checks itself."""
    assert isinstance(prediction, Prediction)
    assert prediction.mean.shape == (n, m)
    assert prediction.std.shape == (n, m)
