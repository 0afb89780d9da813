"""The Gaussian process against dense algebra, finite differences, and the contract."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical, Integer
from nas_core.errors import InvalidData, InvalidOption
from nas_core.random import rng
from nas_core.registry import from_config
from nas_core.space import Space
from nas_core.surrogate import Conditions, Samples
from nas_core.testing import SurrogateContract, ToySpace
from nas_core.testing.surrogates import training_set
from nas_core.training_set import TrainingSet
from nas_surrogates import gp
from nas_surrogates.gp import GaussianProcess, GPPosterior
from nas_surrogates.warp import Warp


class TestContract(SurrogateContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_surrogates.gp:GaussianProcess"


class One(Space):
    """A space with one member."""

    name = "one"
    decisions = (Categorical("only", ("x",)),)

    def to_config(self) -> dict[str, Any]:
        return {"name": self.name}


class Line(Space):
    """A whole number, and a choice that does nothing."""

    name = "line"
    decisions = (Integer("k", 0, 100), Categorical("c", ("x", "y")))

    def to_config(self) -> dict[str, Any]:
        return {"name": self.name}


@pytest.fixture(scope="module")
def space() -> ToySpace:
    return ToySpace()


@pytest.fixture(scope="module")
def data(space: ToySpace) -> TrainingSet:
    return training_set(space, 14, 2)


@pytest.fixture(scope="module")
def posterior(space: ToySpace, data: TrainingSet) -> GPPosterior:
    return GaussianProcess(space).fit(data, rng(0))


def dense(posterior: GPPosterior, x: list[Architecture], counts: Any) -> tuple[Any, Any]:
    """Mean and covariance of the latent functions by the textbook formula, target by target."""
    kernel = posterior.model.kernel
    old, new = kernel.points(posterior.architectures), kernel.points(x)
    means, covariances = [], []
    for j, (theta, warp) in enumerate(zip(posterior.thetas, posterior.warps, strict=True)):
        own = kernel.value(theta, kernel.distances(old, old)) + np.diag(np.exp(theta[-1]) / counts + gp.JITTER)
        cross = kernel.value(theta, kernel.distances(old, new))
        means.append(cross.T @ np.linalg.solve(own, warp.forward(posterior.targets[:, j])))
        prior = kernel.value(theta, kernel.distances(new, new))
        covariances.append(prior - cross.T @ np.linalg.solve(own, cross))
    return np.stack(means, axis=1), np.stack(covariances)


def test_it_is_registered(space: ToySpace) -> None:
    assert isinstance(from_config("surrogate", {"name": "gp", "warp": "none"}, space), GaussianProcess)


def test_predictions_are_those_of_dense_algebra(space: ToySpace, data: TrainingSet, posterior: GPPosterior) -> None:
    x = list(space.enumerate())
    mean, covariance = dense(posterior, x, data.counts)
    found_mean, found_std = posterior.latent(x)
    assert_allclose(found_mean, mean, atol=1e-8)
    assert_allclose(found_std**2, np.stack([np.diag(c) for c in covariance], axis=1), atol=1e-6)
    assert_allclose(posterior.latent_joint(x)[1], covariance, atol=1e-8)


def test_conditioning_is_exact_and_the_same_over_a_pool(
    space: ToySpace, data: TrainingSet, posterior: GPPosterior
) -> None:
    assert isinstance(posterior, Conditions)
    members = list(space.enumerate())
    new, y = [members[5], members[70], members[5]], np.array([[-60.0, 900.0], [-95.0, 10.0], [-61.0, 905.0]])
    after = posterior.condition(new, y)
    mean, covariance = dense(after, members, np.append(data.counts, [1, 1, 1]))
    found = posterior.over(posterior.model.pool(members)).condition(new, y).latent()
    for latent in (after.latent(members), found):
        assert_allclose(latent[0], mean, atol=1e-7)
        assert_allclose(latent[1] ** 2, np.stack([np.diag(c) for c in covariance], axis=1), atol=1e-6)


def test_a_count_is_as_good_as_so_many_labels(space: ToySpace, data: TrainingSet, posterior: GPPosterior) -> None:
    """Three labels of one member, pooled or in a row, give one posterior; the warp's spread may not differ."""
    model = GaussianProcess(space, warp="none")
    fitted = model.fit(data, rng(0))
    rows = [*range(len(data)), 0, 0]
    kernel = model.kernel
    points = kernel.points(data.architectures)
    distances = kernel.distances(points, points)
    counts = data.counts.copy()
    counts[0] = 3
    apart = kernel.points([data.architectures[i] for i in rows])
    theta, z = fitted.thetas[0], fitted.warps[0].forward(data.targets[:, 0])
    new = kernel.points(list(space.enumerate()))
    results = []
    for own, ds, c, t in (
        (points, distances, counts, z),
        (apart, kernel.distances(apart, apart), np.ones(len(rows)), z[rows]),
    ):
        factor = gp._factor(kernel, theta, ds, c)
        cross = np.linalg.solve(factor, kernel.value(theta, kernel.distances(own, new)))
        results.append((np.linalg.solve(factor, t) @ cross, (cross**2).sum(axis=0)))
    assert_allclose(results[0][0], results[1][0], atol=1e-4)  # the jitter is not divided by the count
    assert_allclose(results[0][1], results[1][1], atol=1e-4)


@pytest.mark.parametrize("functional", [True, False])
def test_the_gradient_is_that_of_finite_differences(space: ToySpace, data: TrainingSet, functional: bool) -> None:
    model = GaussianProcess(space)
    points = model.kernel.points(data.architectures)
    distances = model.kernel.distances(points, points)
    z = Warp.fitted(data.targets[:, 0]).forward(data.targets[:, 0])
    mean, deviation = gp._prior(model.kernel, functional)
    theta = mean + 0.3 * np.arange(len(mean)) - 0.5

    def loss(at: Any) -> tuple[float, Any]:
        return gp._loss(at, model.kernel, distances, z, data.counts, mean, deviation)

    steps = 1e-5 * np.eye(len(theta))
    numerical = [(loss(theta + step)[0] - loss(theta - step)[0]) / 2e-5 for step in steps]
    assert_allclose(loss(theta)[1], numerical, rtol=1e-5, atol=1e-6)


def test_samples_follow_the_joint_distribution(space: ToySpace, posterior: GPPosterior) -> None:
    """Six standard errors of 4,000 samples: a false alarm in 1 of 10^8 numbers, 30 of them here."""
    assert isinstance(posterior, Samples)
    x = list(space.enumerate())[::16]
    mean, covariance = posterior.latent_joint(x)
    samples = posterior.latent_sample(x, 4000, rng(3))
    for j in range(2):
        scale = np.sqrt(np.outer(np.diag(covariance[j]), np.diag(covariance[j])))
        error = 6 * np.sqrt(2.0 / 4000) * scale + 1e-6
        assert (np.abs(np.cov(samples[:, :, j].T) - covariance[j]) < error).all()
        assert (np.abs(samples[:, :, j].mean(axis=0) - mean[:, j]) < 6 * np.sqrt(np.diag(covariance[j]) / 4000)).all()


def test_several_targets_are_fitted_independently(space: ToySpace, data: TrainingSet, posterior: GPPosterior) -> None:
    x = list(space.enumerate())
    functional = None if data.functional is None else data.functional[1:]
    alone = TrainingSet(data.architectures, data.targets[:, 1:], data.counts, data.violations, functional=functional)
    assert_allclose(GaussianProcess(space).fit(alone, rng(0)).latent(x)[0][:, 0], posterior.latent(x)[0][:, 1])


def test_a_thousand_observations_are_fitted_to_a_part_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    space = ToySpace(operations=4, deepest=9)
    members = list(space.enumerate())
    monkeypatch.setattr(gp, "MOST_FITTED", 40)
    y = np.array([[float(i % 17)] for i in range(len(members))])
    counts = np.ones(len(members), dtype=np.int64)
    posterior = GaussianProcess(space).fit(TrainingSet(tuple(members), y, counts, np.zeros(len(members))), rng(0))
    assert posterior.factors[0].shape == (len(members), len(members))
    assert np.isfinite(posterior.predict(members).mean).all()


def test_the_representative_rows_are_the_best_and_a_spread_of_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gp, "MOST_FITTED", 4)
    assert gp._representative(np.array([9.0, 1.0, 5.0, 0.0, 7.0, 6.0, 8.0])).tolist() == [0, 1, 2, 3]


def test_a_space_with_one_member() -> None:
    space = One()
    a = space.canonical(["x"])
    data = TrainingSet((a,), np.array([[3.0]]), np.array([1]), np.zeros(1))
    prediction = GaussianProcess(space).fit(data, rng(0)).predict([a])
    assert_allclose(prediction.mean, 3.0)


@pytest.mark.parametrize(("target", "quantile"), [("accuracy", 0.25), ("cost", 1.0)])
def test_the_likelihood_chooses_the_scale_of_the_warp(space: ToySpace, target: str, quantile: float) -> None:
    """A cost that adds up is best fitted on a straight scale, a regret of powers of ten on that of its logarithm."""
    members = list(space.enumerate())[::2]
    depth = np.array([float(str(a.values[2])) for a in members])
    wide = np.array([1.0 if a.values[0] == "conv3" else 0.0 for a in members])
    y = 5.0 * depth + 20.0 * wide if target == "cost" else 10.0 ** (depth + 2.0 * wide)
    counts = np.ones(len(members), dtype=np.int64)
    data = TrainingSet(tuple(members), y[:, None], counts, np.zeros(len(members)))
    posterior = GaussianProcess(space).fit(data, rng(0))
    assert posterior.warps[0].quantile == quantile
    after = posterior.condition(members[:1], y[:1, None])
    assert after.warps[0] == Warp.fitted(np.append(y, y[0]), quantile)


def test_a_trend_reaches_beyond_what_was_observed() -> None:
    """Decisions alone: a target linear in a number is told at its ends from labels of its middle."""
    space = Line()
    members = [space.canonical([value, "x"]) for value in (40, 45, 50, 55, 60)]
    y = np.array([[float(str(a.values[0]))] for a in members])
    data = TrainingSet(tuple(members), y, np.ones(5, dtype=np.int64), np.zeros(5))
    mean, std = (
        GaussianProcess(space, warp="none")
        .fit(data, rng(0))
        .latent([space.canonical([value, "x"]) for value in (0, 50, 100)])
    )
    assert mean[0, 0] < mean[1, 0] - 2.0 < mean[2, 0] - 4.0
    assert std[1, 0] < std[0, 0]


def test_constant_targets_and_one_observation(space: ToySpace) -> None:
    members = list(space.enumerate())
    for n in (1, 6):
        data = TrainingSet(tuple(members[:n]), np.full((n, 1), 7.0), np.ones(n, dtype=np.int64), np.zeros(n))
        prediction = GaussianProcess(space).fit(data, rng(0)).predict(members)
        assert_allclose(prediction.mean, 7.0, atol=1e-6)
        assert (prediction.std > 0).all()


def test_bad_input(space: ToySpace, posterior: GPPosterior) -> None:
    empty = TrainingSet((), np.zeros((0, 1)), np.zeros(0, dtype=np.int64), np.zeros(0))
    with pytest.raises(InvalidData, match="at least one"):
        GaussianProcess(space).fit(empty, rng(0))
    with pytest.raises(InvalidOption, match="warp"):
        GaussianProcess(space, warp="rank")
    a = next(space.enumerate())
    with pytest.raises(InvalidData, match="shape"):
        posterior.condition([a], np.zeros((1, 3)))
    with pytest.raises(InvalidData, match="finite"):
        posterior.condition([a], np.array([[np.nan, 1.0]]))
    with pytest.raises(InvalidOption, match="samples"):
        posterior.sample([a], -1, rng(0))


def test_what_was_fitted_is_predicted_in_its_units(space: ToySpace, data: TrainingSet, posterior: GPPosterior) -> None:
    prediction = posterior.predict(data.architectures)
    spread = data.targets.std(axis=0)
    assert (np.abs(prediction.mean - data.targets) < 1.5 * spread).all()
    assert prediction.noise_std is not None
    assert_array_equal(posterior.to_latent(data.targets).argmin(axis=0), data.targets.argmin(axis=0))
