"""Bayesian neural network by stochastic-gradient Hamiltonian Monte Carlo, homoscedastic or heteroscedastic.

NAGO (Ru et al. 2020), §2.2 and equation 1, after Springenberg et al. 2016 ("Bohamiann"): three layers of ten tanh
units; with `heteroscedastic` a second output is the logarithm of the noise variance at the input. Each target has
networks of its own.

Decisions, where the text says nothing and the published code says something that cannot serve:

* The prior is a proper one in the space of functions: weights are normal with variance s² / (inputs of the layer),
  biases with s². The code divides its log prior by the number of weights, which leaves it almost flat.
* The log noise variance has a normal prior around log 0.1 (targets have variance 1) with deviation 2; the code's, log
  1e-6 with deviation 0.1, never learns the noise of scaled targets. The heteroscedastic output has it at every input:
  its bias has deviation 2, and its weights add what the layer's prior adds.
* Several short chains run side by side instead of one long one, and gradients are those of all data up to `batch` rows.
* A chain that has not come to where the probability is, is left out: one whose mean potential is above the median of
  its target's chains by more than sqrt(p / 2), the deviation of a potential in p dimensions. A network stuck far
  from the data takes what it misses for noise, and a few of them made intervals a third too wide.

Notation
    n  observations (rows), with c labels pooled in each (n)     N  candidates
    d  features of a row, z-scored                               m  targets, z-scored
    b  chains of all targets together (chains * m)               s  samples of a chain
    p  numbers in a chain's network                              h  units of a layer
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas_core.architecture import Architecture
from nas_core.encoding import one_hot
from nas_core.errors import InvalidData, InvalidOption
from nas_core.space import Space
from nas_core.surrogate import Prediction
from nas_core.training_set import TrainingSet
from nas_surrogates.sghmc import SGHMC

FloatArray = NDArray[np.float64]

_LOG_NOISE = float(np.log(0.1))
_LOG_NOISE_STD = 2.0
_LOG_NOISE_BOUNDS = (-14.0, 6.0)
_CHUNK = 4096


class _Layout(NamedTuple):
    """Where a network's numbers stand in a state: layers (inputs, outputs), perhaps the log noise at the end."""

    layers: tuple[tuple[int, int], ...]
    heteroscedastic: bool

    @property
    def size(self) -> int:
        """How many numbers a network has, p."""
        return sum((inputs + 1) * outputs for inputs, outputs in self.layers) + (not self.heteroscedastic)

    def split(self, theta: Tensor) -> tuple[list[tuple[Tensor, Tensor]], Tensor | None]:
        """Weights (b x inputs x outputs) and biases (b x 1 x outputs) of each layer; the log noise (b) if it is one."""
        found, at = [], 0
        for inputs, outputs in self.layers:
            weights = theta[:, at : at + inputs * outputs].view(-1, inputs, outputs)
            at += inputs * outputs
            found.append((weights, theta[:, None, at : at + outputs]))
            at += outputs
        return found, None if self.heteroscedastic else theta[:, -1]


@final
class BayesianNeuralNetwork:
    """A network whose weights are sampled from their posterior.

    Args:
        space: any; features are the decisions.
        heteroscedastic: whether the noise depends on the input.
        layers: units of each hidden layer; () for a linear model.
        prior_std: s, of the prior of the weights.
        chains: that run side by side for each target.
        burn_in: see `SGHMC`, as are samples, thin, epsilon and alpha.
        batch: rows of one gradient; more than so many are drawn at random.

    Raises:
        InvalidOption: an option out of range.
    """

    requires: frozenset[str] = frozenset({"decisions"})

    def __init__(
        self,
        space: Space,
        *,
        heteroscedastic: bool = True,
        layers: Sequence[int] = (10, 10, 10),
        prior_std: float = 2.0,
        chains: int = 16,
        burn_in: int = 1500,
        samples: int = 20,
        thin: int = 50,
        epsilon: float = 0.05,
        alpha: float = 0.02,
        batch: int = 256,
    ) -> None:
        if not isinstance(heteroscedastic, bool):
            raise InvalidOption("heteroscedastic must be true or false", value=heteroscedastic)
        for name, value in (("chains", chains), ("batch", batch), *(("a layer's units", h) for h in layers)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidOption(f"{name} must be a whole number of at least 1", value=value)
        if isinstance(prior_std, bool) or not isinstance(prior_std, int | float) or not 0 < prior_std < np.inf:
            raise InvalidOption("prior_std must be a number above 0", value=prior_std)
        self.space = space
        self.heteroscedastic = heteroscedastic
        self.layers = tuple(layers)
        self.prior_std = float(prior_std)
        self.chains = chains
        self.batch = batch
        self.sampler = SGHMC(burn_in, samples, thin, epsilon, alpha)

    def fit(self, data: TrainingSet, rng: np.random.Generator) -> BNNPosterior:
        """Sample the weights given n observations of m targets.

        Raises:
            InvalidData: no observations.
        """
        if not len(data):
            raise InvalidData("a surrogate cannot be fitted to no observations")
        return self.fit_rows(one_hot(self.space, data.architectures), data.targets, data.counts, rng)

    def fit_rows(
        self, features: FloatArray, targets: FloatArray, counts: NDArray[np.int64], rng: np.random.Generator
    ) -> BNNPosterior:
        """Sample the weights given rows of features (n x d), targets (n x m) and the labels pooled in each (n)."""
        x_scale, y_scale = _Scale.of(features), _Scale.of(targets)
        x, y = torch.from_numpy(x_scale.forward(features)), torch.from_numpy(y_scale.forward(targets))
        m, outputs = y.shape[1], 2 if self.heteroscedastic else 1
        sizes = (x.shape[1], *self.layers, outputs)
        layout = _Layout(tuple(pairwise(sizes)), self.heteroscedastic)
        generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
        repeated = y.T.repeat_interleave(self.chains, dim=0)[:, :, None]  # b x n x 1
        potential = _Potential(layout, self.prior_std, x, repeated, torch.from_numpy(counts.astype(np.float64)))
        theta = potential.initial(generator)
        found = self.sampler.run(
            theta,
            lambda t: potential.gradient(t, self.batch, generator),
            generator,
            curvature=potential.precision,
            alike=self.chains,
        )
        height = torch.stack([potential.value(theta) for theta in found]).mean(dim=0).view(m, self.chains)
        samples = found.view(-1, m, self.chains, layout.size)
        arrived = [_arrived(own, layout.size) for own in height]
        kept = tuple(samples[:, j, chains].reshape(-1, layout.size) for j, chains in enumerate(arrived))
        return BNNPosterior(self.space, layout, kept, x_scale, y_scale)

    def to_config(self) -> dict[str, Any]:
        """The options it runs with."""
        sampler = self.sampler
        return {
            "name": "bnn",
            "heteroscedastic": self.heteroscedastic,
            "layers": list(self.layers),
            "prior_std": self.prior_std,
            "chains": self.chains,
            "burn_in": sampler.burn_in,
            "samples": sampler.samples,
            "thin": sampler.thin,
            "epsilon": sampler.epsilon,
            "alpha": sampler.alpha,
            "batch": self.batch,
        }


@final
@dataclass(frozen=True, eq=False)
class BNNPosterior:
    """Samples of networks and what they say; made by `BayesianNeuralNetwork.fit`."""

    space: Space
    layout: _Layout
    samples: tuple[Tensor, ...]  # of each target S x p, S samples of all chains that were kept
    x_scale: _Scale
    y_scale: _Scale

    def predict(self, x: Sequence[Architecture]) -> Prediction:
        """Mean, deviation of the network's function, and of the noise, at N architectures (NAGO, equation 1)."""
        return self.predict_rows(one_hot(self.space, x))

    def predict_rows(self, features: FloatArray) -> Prediction:
        """The same for rows of features (N x d)."""
        said = [(f.mean(axis=0), f.std(axis=0), np.sqrt(v.mean(axis=0))) for f, v in self._functions(features)]
        mean, std, noise = (np.stack(columns, axis=1) for columns in zip(*said, strict=True))
        scale = self.y_scale.deviation
        return Prediction(self.y_scale.back(mean), std * scale, noise * scale)

    def sample(self, x: Sequence[Architecture], s: int, rng: np.random.Generator) -> FloatArray:
        """`s` of the sampled functions, drawn with replacement, at N architectures (s x N x m)."""
        drawn = [f[rng.integers(len(f), size=s)] for f, _ in self._functions(one_hot(self.space, x))]
        return self.y_scale.back(np.stack(drawn, axis=2))

    def _functions(self, features: FloatArray) -> list[tuple[FloatArray, FloatArray]]:
        """Of each target the functions and their noise variances at rows of features (S x N), in units of z-scores."""
        x = torch.from_numpy(self.x_scale.forward(features))
        found = []
        for theta in self.samples:
            outputs = [forward(self.layout, theta, part) for part in x.split(_CHUNK)] or [
                (torch.empty(len(theta), 0, dtype=theta.dtype),) * 2
            ]
            means, logs = (torch.cat(part, dim=1) for part in zip(*outputs, strict=True))
            found.append((means.numpy(), logs.exp().numpy()))
        return found


def _arrived(height: Tensor, p: int) -> Tensor:
    """Which chains are where the probability is, by the mean of their potentials (b): at least half of them."""
    height = height.nan_to_num(nan=float("inf"))
    near: Tensor = height <= height.median() + (p / 2) ** 0.5
    return near


def forward(layout: _Layout, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Function and log noise variance of b networks at rows (n x d): each b x n."""
    layers, log_noise = layout.split(theta)
    h = x.expand(len(theta), -1, -1)
    for weights, bias in layers[:-1]:
        h = torch.baddbmm(bias, h, weights).tanh_()
    out = torch.baddbmm(layers[-1][1], h, layers[-1][0])
    if log_noise is not None:
        return out[..., 0], log_noise[:, None].expand(-1, len(x)).clamp(*_LOG_NOISE_BOUNDS)
    return out[..., 0], (out[..., 1] + _LOG_NOISE).clamp(*_LOG_NOISE_BOUNDS)


class _Potential:
    """The negative log posterior of b networks, and its gradient by hand: autograd would take most of the time."""

    def __init__(self, layout: _Layout, prior_std: float, x: Tensor, y: Tensor, counts: Tensor) -> None:
        self.layout, self.x, self.y, self.counts = layout, x, y, counts
        self.precision = torch.cat([self._prior(k, prior_std) for k in range(len(layout.layers))])
        self.centre = torch.zeros(layout.size, dtype=x.dtype)
        if not layout.heteroscedastic:
            self.precision = torch.cat([self.precision, torch.full((1,), _LOG_NOISE_STD**-2, dtype=x.dtype)])
            self.centre[-1] = _LOG_NOISE

    def _prior(self, k: int, prior_std: float) -> Tensor:
        """The prior precision of each number of layer k."""
        inputs, outputs = self.layout.layers[k]
        weights = torch.full((inputs, outputs), inputs / prior_std**2, dtype=self.x.dtype)
        bias = torch.full((outputs,), prior_std**-2, dtype=self.x.dtype)
        if k == len(self.layout.layers) - 1 and self.layout.heteroscedastic:
            bias[1] = _LOG_NOISE_STD**-2
        return torch.cat([weights.reshape(-1), bias])

    def initial(self, generator: torch.Generator) -> Tensor:
        """A state for each chain, drawn from a narrower prior (b x p)."""
        drawn = torch.randn(len(self.y), self.layout.size, generator=generator, dtype=self.x.dtype)
        return self.centre + 0.5 * drawn * self.precision.rsqrt()

    def value(self, theta: Tensor) -> Tensor:
        """The potential at a state (b), up to a constant, from all rows."""
        function, log = forward(self.layout, theta, self.x)
        likelihood = self.counts * torch.exp(-log) * (function - self.y[..., 0]) ** 2 + log
        return 0.5 * (likelihood.sum(dim=1) + (self.precision * (theta - self.centre) ** 2).sum(dim=1))

    def gradient(self, theta: Tensor, batch: int, generator: torch.Generator) -> Tensor:
        """Of the potential at a state (b x p), from at most `batch` rows."""
        x, y, counts, share = self.x, self.y, self.counts, 1.0
        if len(x) > batch:
            rows = torch.randperm(len(x), generator=generator)[:batch]
            x, y, counts, share = x[rows], y[:, rows], counts[rows], len(x) / batch
        layers, log_noise = self.layout.split(theta)
        inputs = [x.expand(len(theta), -1, -1)]
        for weights, bias in layers[:-1]:
            inputs.append(torch.baddbmm(bias, inputs[-1], weights).tanh_())
        out = torch.baddbmm(layers[-1][1], inputs[-1], layers[-1][0])
        residual = out[..., :1] - y  # b x n x 1
        log = out[..., 1:] + _LOG_NOISE if log_noise is None else log_noise[:, None, None]
        inside = (log > _LOG_NOISE_BOUNDS[0]) & (log < _LOG_NOISE_BOUNDS[1])
        # a row of c labels has the noise variance exp(log) / c: it weighs c times in the square, and once in the log
        weighed = counts[:, None] * torch.exp(-log.clamp(*_LOG_NOISE_BOUNDS)) * residual
        by_log = share * 0.5 * (1.0 - weighed * residual) * inside
        delta = share * weighed
        found: list[Tensor] = []
        if log_noise is None:
            delta = torch.cat([delta, by_log], dim=-1)
        else:
            found.append(by_log.sum(dim=(1, 2))[:, None])
        for (weights, _), h in zip(reversed(layers), reversed(inputs), strict=True):
            found.append(delta.sum(dim=1))
            found.append(torch.bmm(h.transpose(1, 2), delta).flatten(1))
            delta = torch.bmm(delta, weights.transpose(1, 2)) * (1.0 - h * h)
        return torch.cat(found[::-1], dim=1).add_(self.precision * (theta - self.centre))


@final
@dataclass(frozen=True)
class _Scale:
    """Centre and deviation of columns; one that does not vary keeps its unit."""

    centre: FloatArray
    deviation: FloatArray

    @classmethod
    def of(cls, values: FloatArray) -> _Scale:
        deviation = values.std(axis=0)
        varies = deviation > 1e-12 * np.abs(values).max(axis=0)
        return cls(values.mean(axis=0), np.where(varies, deviation, 1.0))

    def forward(self, values: FloatArray) -> FloatArray:
        """To z-scores."""
        return np.asarray((values - self.centre) / self.deviation, dtype=np.float64)

    def back(self, scores: FloatArray) -> FloatArray:
        """From z-scores."""
        return scores * self.deviation + self.centre
