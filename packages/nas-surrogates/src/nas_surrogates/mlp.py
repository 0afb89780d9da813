"""Multilayer perceptron on the decisions, and the surrogate `mlp` on its last hidden layer (BONAS 4.1).

Notation
    n  architectures      d  features of the one-hot decisions

The paper compares its predictor with one of five fully connected layers of 512, 2048, 2048, 512 and 1 units (AlphaX,
Wang et al. 2019), which reads an architecture as a flat list of numbers: on NAS-Bench-101 the adjacency matrix and the
operations. Here that list is the one-hot decisions, which are just that on NAS-Bench-101 and which every space has.

The rate is 0.0001. With the 0.001 of the other predictors the first steps of layers this wide drive the sigmoid of the
output to where it has no gradient, and nothing is learnt; with this one the ranks of unseen cells of NAS-Bench-201
correlate 0.99 with the true ones (`bonas_predictors_nb201`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from nas_core.architecture import Architecture
from nas_core.encoding import one_hot
from nas_core.errors import InvalidOption
from nas_core.space import Space, require
from nas_core.training_set import TrainingSet
from nas_surrogates import neural_linear
from nas_surrogates.kept_encodings import Arrays, KeptEncodings
from nas_surrogates.network_training import Linear, Training, whole
from nas_surrogates.neural_linear import NeuralLinearPosterior, Pool


@final
class Perceptron:
    """Surrogate `mlp`: Bayesian linear regression on the last hidden layer of a perceptron.

    Args:
        space: any.
        widths: of the hidden layers.
        **training: options of `nas_surrogates.network_training.Training`.

    Raises:
        InvalidOption: an option out of range.
    """

    requires = frozenset({"decisions"})

    def __init__(
        self,
        space: Space,
        *,
        widths: Sequence[int] = (512, 2048, 2048, 512),
        epochs: int = 100,
        rate: float = 1e-4,
        batch: int = 128,
        loss: str = "exponential",
        targets: str = "auto",
        prior_labels: float = 1.0,
        intercept: bool = True,
        deviation: str = "function",
    ) -> None:
        require(space, self.requires, "the surrogate mlp")
        if isinstance(widths, str) or not isinstance(widths, Sequence) or not widths:
            raise InvalidOption("widths must be a list of numbers", value=widths, expected="at least one")
        self.widths = tuple(whole("a width", width) for width in widths)
        self.training = Training(epochs, rate, batch, loss, targets, prior_labels, intercept, deviation)
        self.space = space
        self.encode = KeptEncodings(self._encode)

    def fit(
        self, data: TrainingSet, rng: np.random.Generator, start: NeuralLinearPosterior | None = None
    ) -> NeuralLinearPosterior:
        """Fit to n observations of m targets, from new parameters or from those of `start`.

        Raises:
            InvalidData: no observations, or no accuracies where targets="logit".
        """
        return neural_linear.fit(self, data, rng, start)

    def pool(self, candidates: Sequence[Architecture]) -> Pool:
        """Candidates that are encoded once."""
        return neural_linear.pool_of(self, candidates)

    def embedder(self, rng: np.random.Generator) -> Layers:
        """The network with new parameters."""
        return Layers(one_hot(self.space, self.space.sample(rng, 1)).shape[1], self.widths, rng)

    def operations(self) -> dict[str, Any]:
        """What another space must have alike for a transfer: every decision."""
        return {"decisions": [decision.to_config() for decision in self.space.decisions]}

    def to_config(self) -> dict[str, Any]:
        """Its name and options, as `nas_core.registry.from_config` takes them."""
        return {"name": "mlp", "widths": list(self.widths), **asdict(self.training)}

    def _encode(self, architectures: Sequence[Architecture]) -> Arrays:
        return (one_hot(self.space, architectures).astype(np.float32),)


@final
class Layers(nn.Module):
    """Fully connected layers, each followed by a ReLU.

    Args:
        inputs: features.
        widths: units of each layer.
        rng: draws the parameters.
    """

    def __init__(self, inputs: int, widths: Sequence[int], rng: np.random.Generator) -> None:
        super().__init__()
        sizes = (inputs, *widths)
        self.width = sizes[-1]
        self.layers = nn.ModuleList([Linear(sizes[i], sizes[i + 1], rng) for i in range(len(widths))])

    def forward(self, features: Tensor) -> Tensor:
        """The last layer (n x width) of features (n x d)."""
        for layer in self.layers:
            features = torch.relu(layer(features))
        return features
