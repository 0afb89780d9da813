"""Utilities of a pool, the botorch adapter and the hypervolume gained, against closed forms and counting."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from botorch.acquisition.analytic import LogExpectedImprovement
from numpy.testing import assert_allclose
from scipy.stats import norm

from nas_core.errors import InvalidData, InvalidOption
from nas_core.objective import Objectives
from nas_core.pareto import hypervolume
from nas_core.random import rng
from nas_core.testing import ToySpace
from nas_core.testing.surrogates import training_set
from nas_surrogates.acquisition import log_expected_improvement
from nas_surrogates.blr import BayesianLinearRegression
from nas_surrogates.botorch_adapter import PoolModel
from nas_surrogates.gp import GaussianProcess
from nas_surrogates.multi_objective import NARROWED, _log_expected_gain, log_hypervolume_improvement, reference_point
from nas_surrogates.pools import PlainPool, over, pool_of, to_latent
from nas_surrogates.utility import columns, log_utility

SPACE = ToySpace()
MEMBERS = list(SPACE.enumerate())
ONE = Objectives.parse(["max:val_accuracy"])


@pytest.mark.parametrize("kind", [GaussianProcess, BayesianLinearRegression])
def test_one_objective_is_log_expected_improvement(kind: type) -> None:
    surrogate = kind(SPACE)
    data = training_set(SPACE, 12)
    posterior = surrogate.fit(data, rng(0))
    view = over(posterior, pool_of(surrogate, MEMBERS))
    mean, std = view.latent()
    best = float(to_latent(posterior, data.targets).min())
    expected = log_expected_improvement(mean[:, 0], std[:, 0], best)
    assert_allclose(log_utility(view, data.targets, ONE), expected)


@pytest.mark.parametrize("kind", [GaussianProcess, BayesianLinearRegression])
def test_the_adapter_gives_botorch_the_same_improvement(kind: type) -> None:
    surrogate = kind(SPACE)
    data = training_set(SPACE, 12)
    posterior = surrogate.fit(data, rng(0))
    mean, std = over(posterior, pool_of(surrogate, MEMBERS)).latent()
    best = float(to_latent(posterior, data.targets).min())
    acquisition = LogExpectedImprovement(PoolModel.of(posterior, MEMBERS), best_f=-best)
    with torch.no_grad():
        found = acquisition(torch.arange(len(MEMBERS), dtype=torch.float64)[:, None, None]).numpy()
    expected = log_expected_improvement(mean[:, 0], std[:, 0], best)
    assert_allclose(found[expected > -30], expected[expected > -30], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("kind", "tolerance"), [(GaussianProcess, 1e-6), (BayesianLinearRegression, 0.15)])
def test_points_together_have_their_covariance(kind: type, tolerance: float) -> None:
    """Of a surrogate that only draws: 4,096 draws, right to 1.1 % in deviation; 0.15 is beyond six of that."""
    posterior = kind(SPACE).fit(training_set(SPACE, 12, 2), rng(0))
    model = PoolModel.of(posterior, MEMBERS)
    joint = model.posterior(torch.tensor([[[0.0], [7.0]], [[7.0], [30.0]]], dtype=torch.float64))
    assert joint.mean.shape == (2, 2, 2)
    alone = model.posterior(torch.tensor([[[7.0]]], dtype=torch.float64))
    assert_allclose(joint.variance[0, 1], alone.variance[0, 0], rtol=tolerance, atol=1e-6)
    assert_allclose(joint.mean[1, 0], alone.mean[0, 0])


def test_the_adapter_says_what_it_cannot() -> None:
    model = PoolModel(np.zeros((3, 1)), np.ones((3, 1)))
    with pytest.raises(InvalidOption, match="positions"):
        model.posterior(torch.tensor([[[3.0]]], dtype=torch.float64))
    with pytest.raises(InvalidOption, match="together"):
        model.posterior(torch.tensor([[[0.0], [1.0]]], dtype=torch.float64))
    with pytest.raises(InvalidOption, match="noise"):
        model.posterior(torch.tensor([[[0.0]]], dtype=torch.float64), observation_noise=True)


def test_the_hypervolume_gained_is_that_of_sampling() -> None:
    """2,000 samples of each candidate against 512 quasi-random ones, within a tenth, and against the closed form."""
    known = np.array([[0.0, 1.0], [1.0, 0.0], [1.5, 1.5]])
    reference = reference_point(known)
    assert_allclose(reference, [1.515, 1.515])
    mean = np.array([[0.5, 0.5], [0.2, 0.2], [0.9, 0.9], [2.0, -1.0]])
    std = np.array([[0.3, 0.2], [0.1, 0.1], [0.4, 0.1], [0.1, 0.1]])
    found = log_hypervolume_improvement(mean, std, known, [], np.zeros(4), seed=1)
    before = hypervolume(known, reference)
    draws = rng(0).standard_normal((2000, 2))
    for i in range(3):
        gains = [hypervolume(np.vstack([known, mean[i] + std[i] * draw]), reference) - before for draw in draws]
        assert_allclose(np.exp(found[i]), np.mean(gains), rtol=0.1)
    assert_allclose(_log_expected_gain(mean, std, known[:2], reference)[:3], found[:3], atol=0.02)
    assert found[3] < found[:3].min() - 5


def test_three_objectives_in_closed_form_are_those_of_sampling() -> None:
    """2,000 samples: 0.3 is over six standard errors of a gain whose deviation is twice its mean."""
    known = np.array([[0.0, 1.0, 1.0], [1.0, 0.0, 0.5], [0.5, 0.5, 0.0], [1.2, 1.2, 1.2]])
    reference = reference_point(known)
    mean, std = np.array([[0.4, 0.4, 0.4], [0.1, 0.9, 0.2]]), np.array([[0.3, 0.2, 0.2], [0.2, 0.1, 0.3]])
    found = _log_expected_gain(mean, std, known[:3], reference)
    before = hypervolume(known, reference)
    draws = rng(0).standard_normal((2000, 3))
    for i in range(2):
        gains = [hypervolume(np.vstack([known, mean[i] + std[i] * draw]), reference) - before for draw in draws]
        assert_allclose(np.exp(found[i]), np.mean(gains), rtol=0.3)


def test_the_rest_of_a_pool_stays_below_those_that_are_ranked_by_botorch() -> None:
    stream = rng(1)
    mean, std = stream.standard_normal((200, 2)), np.full((200, 2), 0.3)
    known = np.array([[0.0, 0.5], [0.5, 0.0], [1.0, 1.0]])
    scores = log_hypervolume_improvement(mean, std, known, [], np.zeros(200), seed=0)
    order = np.argsort(-scores)
    rough = _log_expected_gain(mean, std, known[:2], reference_point(known))
    assert set(order[:NARROWED]) == set(np.argsort(-rough)[:NARROWED])
    assert_allclose(np.diff(scores[order[NARROWED:]]), np.diff(rough[order[NARROWED:]]), atol=1e-9)


def test_a_constraint_weighs_by_its_probability() -> None:
    """Parameters at most 3000, modelled beside the accuracy: log EI plus log P."""
    objectives = Objectives.parse(["max:val_accuracy"], ["params<=3000"])
    assert [str(o) for o in columns(objectives).objectives] == ["max:val_accuracy", "min:params"]
    data = training_set(SPACE, 16, 2)
    posterior = GaussianProcess(SPACE).fit(data, rng(0))
    view = PlainPool(posterior, tuple(MEMBERS))
    mean, std = view.latent()
    latent = posterior.to_latent(np.vstack([data.targets, [[0.0, 3000.0]]]))
    log_feasible = norm.logcdf((latent[-1, 1] - mean[:, 1]) / std[:, 1])
    kept = data.targets[:, 1] <= 3000
    expected = log_feasible
    if kept.any():
        expected = expected + log_expected_improvement(mean[:, 0], std[:, 0], latent[:-1][kept, 0].min())
    assert_allclose(log_utility(view, data.targets, objectives), expected)


def test_a_lower_bound_on_what_is_maximised_is_turned_twice() -> None:
    objectives = Objectives.parse(["max:val_accuracy", "min:params"], ["val_accuracy>=60"])
    data = training_set(SPACE, 16, 2)
    view = PlainPool(GaussianProcess(SPACE).fit(data, rng(0)), tuple(MEMBERS))
    from nas_surrogates.utility import latent_bounds

    ((column, sign, bound),) = latent_bounds(view, objectives)
    assert (column, sign) == (0, 1.0)  # losses are negative accuracies: the loss must be at most -60
    assert_allclose(bound, to_latent(view.posterior, np.array([[-60.0, 0.0]]))[0, 0])
    assert np.isfinite(log_utility(view, data.targets, objectives)).all()


def test_observations_must_fit_the_columns() -> None:
    view = PlainPool(GaussianProcess(SPACE).fit(training_set(SPACE, 8), rng(0)), tuple(MEMBERS))
    with pytest.raises(InvalidData, match="shape"):
        log_utility(view, np.zeros((3, 2)), ONE)
    with pytest.raises(InvalidData, match="shape"):
        log_utility(view, np.zeros((0, 1)), ONE)
