"""The Bayesian neural network: the contract, exact answers where there are any, noise that depends on the input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from nas_core.errors import InvalidData, InvalidOption
from nas_core.testing import SurrogateContract
from nas_core.testing.fakes import ToySpace
from nas_core.training_set import TrainingSet
from nas_surrogates.bnn import BayesianNeuralNetwork, _arrived, _Layout, _Potential, forward
from nas_surrogates.sghmc import SGHMC

_SHORT: dict[str, Any] = {"chains": 8, "burn_in": 400, "samples": 10, "thin": 20}


class _Contract(SurrogateContract):
    @pytest.fixture
    def order_tolerance(self) -> float | None:
        return None  # a chain of floats forgets nothing


class TestHeteroscedasticContract(_Contract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_surrogates.bnn:BayesianNeuralNetwork"

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return _SHORT


class TestHomoscedasticContract(_Contract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_surrogates.bnn:BayesianNeuralNetwork"

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {**_SHORT, "heteroscedastic": False, "layers": [6], "batch": 8}


def test_sghmc_samples_a_gaussian_of_any_scale() -> None:
    """Deviations from 0.01 to 100; 32 chains of 40 samples a hundred steps apart: over 1,000 independent draws, whose
    deviation is known within 2.3 %; 12 % are over five of those."""
    deviation = torch.tensor([0.01, 1.0, 100.0], dtype=torch.float64)
    centre = torch.tensor([3.0, -1.0, 0.0], dtype=torch.float64)
    sampler = SGHMC(burn_in=1500, samples=40, thin=100, epsilon=0.05)
    start = centre + 3 * deviation * torch.randn(32, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    found = sampler.run(
        start,
        lambda theta: (theta - centre) / deviation**2,
        torch.Generator().manual_seed(0),
        curvature=0.01 / deviation**2,
        alike=32,
    ).reshape(-1, 3)
    assert ((found.mean(0) - centre).abs() / deviation).max() < 0.2
    assert (found.std(0) / deviation - 1).abs().max() < 0.12


def test_the_gradient_is_that_of_the_potential() -> None:
    """By hand and by automatic differentiation of the log posterior written out."""
    rng = np.random.default_rng(0)
    for heteroscedastic in (True, False):
        layout = _Layout(((3, 4), (4, 2 if heteroscedastic else 1)), heteroscedastic)
        x, y = torch.from_numpy(rng.normal(size=(7, 3))), torch.from_numpy(rng.normal(size=(2, 7, 1)))
        counts = torch.tensor([1.0, 2, 1, 3, 1, 1, 5], dtype=torch.float64)
        potential = _Potential(layout, 1.3, x, y, counts)
        theta = potential.initial(torch.Generator().manual_seed(1)).requires_grad_()
        function, log = _plain_forward(layout, theta, x)
        square = counts * torch.exp(-log) * (function - y[..., 0]) ** 2
        prior = (potential.precision * (theta - potential.centre) ** 2).sum()
        (0.5 * (square + log).sum() + 0.5 * prior).backward()
        by_hand = potential.gradient(theta.detach(), 100, torch.Generator())
        torch.testing.assert_close(by_hand, theta.grad)
        (of_value,) = torch.autograd.grad(potential.value(theta).sum(), theta)
        torch.testing.assert_close(of_value, theta.grad)


def _plain_forward(layout: _Layout, theta: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    layers, log_noise = layout.split(theta)
    (w1, b1), (w2, b2) = layers
    out = torch.tanh(x @ w1 + b1) @ w2 + b2
    if log_noise is None:
        return out[..., 0], out[..., 1] + np.log(0.1)
    return out[..., 0], log_noise[:, None].expand(-1, len(x))


def test_a_linear_model_agrees_with_the_closed_form() -> None:
    """Bayesian linear regression with the sampled noise variance, averaged in: means within a tenth of a deviation,
    deviations within a tenth."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(30, 3))
    targets = (features @ np.array([1.0, -0.5, 0.2]) + 0.3 * rng.normal(size=30))[:, None]
    model = BayesianNeuralNetwork(
        ToySpace(), heteroscedastic=False, layers=(), prior_std=1.0, chains=32, samples=60, thin=50, epsilon=0.1
    )
    posterior = model.fit_rows(features, targets, np.ones(30, dtype=np.int64), np.random.default_rng(1))
    elsewhere = 1.5 * rng.normal(size=(50, 3))
    found = posterior.predict_rows(elsewhere)
    noise = float(np.exp(posterior.samples[0][:, -1].numpy()).mean())
    scale, centre = targets.std(), targets.mean()
    design, queries = (
        np.c_[(rows - features.mean(0)) / features.std(0), np.ones(len(rows))] for rows in (features, elsewhere)
    )
    covariance = np.linalg.inv(design.T @ design / noise + np.diag([3.0, 3.0, 3.0, 1.0]))
    mean = queries @ covariance @ design.T @ (targets[:, 0] - centre) / scale / noise
    deviation = np.sqrt(np.einsum("ij,jk,ik->i", queries, covariance, queries)) * scale
    assert (np.abs(found.mean[:, 0] - (mean * scale + centre)) / deviation).max() < 0.1
    assert np.abs(found.std[:, 0] / deviation - 1).max() < 0.1


def test_the_noise_follows_the_input() -> None:
    rng = np.random.default_rng(0)

    def noise(x: Any) -> Any:
        return 0.05 + 0.35 / (1 + np.exp(-2 * x))

    x = rng.uniform(-3, 3, size=(200, 1))
    y = 0.5 * x + noise(x) * rng.normal(size=x.shape)
    model = BayesianNeuralNetwork(ToySpace(), layers=(10, 10), chains=8, burn_in=800, samples=10)
    posterior = model.fit_rows(x, y, np.ones(200, dtype=np.int64), np.random.default_rng(1))
    grid = np.linspace(-3, 3, 50)[:, None]
    found = posterior.predict_rows(grid)
    assert found.noise_std is not None
    assert np.corrcoef(found.noise_std[:, 0], noise(grid)[:, 0])[0, 1] > 0.9
    held_out = rng.uniform(-3, 3, size=(1000, 1))
    seen = 0.5 * held_out + noise(held_out) * rng.normal(size=held_out.shape)
    said = posterior.predict_rows(held_out)
    assert said.noise_std is not None
    far = np.abs(seen - said.mean) / np.sqrt(said.std**2 + said.noise_std**2)
    assert 0.85 < (far < 1.645).mean() < 0.97


def test_chains_that_are_far_from_the_others_are_left_out() -> None:
    """In 8 dimensions a potential has deviation 2: 12.5 is more than that above the median of 10, 11.5 is not."""
    height = torch.tensor([10.0, 9.0, 12.5, 10.0, 11.5, float("nan"), 10.0])
    assert _arrived(height, 8).tolist() == [True, True, False, True, True, False, True]


def test_a_batch_of_rows_gives_the_gradient_without_bias() -> None:
    """The mean over 4,000 batches of half the rows; each entry within six of its standard errors."""
    rng = np.random.default_rng(0)
    layout = _Layout(((2, 3), (3, 2)), True)
    x, y = torch.from_numpy(rng.normal(size=(8, 2))), torch.from_numpy(rng.normal(size=(1, 8, 1)))
    potential = _Potential(layout, 1.0, x, y, torch.ones(8, dtype=torch.float64))
    generator = torch.Generator().manual_seed(0)
    theta = potential.initial(generator)
    exact = potential.gradient(theta, 8, generator)
    drawn = torch.stack([potential.gradient(theta, 4, generator) for _ in range(4000)])
    error = drawn.std(0) / 4000**0.5
    assert ((drawn.mean(0) - exact).abs() <= 6 * error + 1e-12).all()


def test_the_log_noise_has_bounds() -> None:
    layout = _Layout(((1, 2),), True)
    theta = torch.tensor([[0.0, 1e9, 0.0, 0.0]], dtype=torch.float64)
    _, log = forward(layout, theta, torch.tensor([[1.0], [-1.0]], dtype=torch.float64))
    assert log.tolist() == [[6.0, -14.0]]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"chains": 0}, "chains must be"),
        ({"layers": [0]}, "a layer's units"),
        ({"heteroscedastic": 1}, "true or false"),
        ({"prior_std": -1.0}, "prior_std must be"),
        ({"burn_in": 0}, "burn_in must be"),
        ({"epsilon": 2.0}, "epsilon and alpha"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidOption, match=told):
        BayesianNeuralNetwork(ToySpace(), **options)


def test_no_observations() -> None:
    nothing = TrainingSet((), np.empty((0, 1)), np.empty(0, dtype=np.int64), np.empty(0))
    with pytest.raises(InvalidData, match="no observations"):
        BayesianNeuralNetwork(ToySpace()).fit(nothing, np.random.default_rng(0))
