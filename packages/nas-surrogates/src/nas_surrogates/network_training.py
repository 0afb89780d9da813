"""Training a predictor: Adam on mini-batches of encoded architectures.

Notation
    n  architectures      b  of them in a batch      d  embedding      m  targets

BONAS 4.1 and the published code: Adam with a rate of 0.001, batches of 128, no decay; 100 epochs, from new parameters
at every training. Everything random comes from a numpy generator: first parameters, then the order of the batches. A
predictor is an embedding and one linear layer on it; where a target is an accuracy its output goes through a sigmoid
(the paper's "single-hidden-layer network" is that one layer in the code).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias, final

import numpy as np
import torch
from torch import Tensor, nn

from nas_core.errors import InvalidOption
from nas_surrogates.adam import Adam
from nas_surrogates.losses import check_loss, loss_weights, weighted_squares
from nas_surrogates.target_scale import check_kind

Inputs: TypeAlias = tuple[Tensor, ...]
"""Encoded architectures: tensors whose first dimension is n."""

DEVIATIONS: Final = ("function", "label")
"""What acquisition functions take for the deviation: that of the function, or that of one label of it."""


class Embedder(Protocol):
    """A module that embeds encoded architectures."""

    width: int
    """d."""

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Embeddings (n x d)."""
        ...


@final
@dataclass(frozen=True)
class Training:
    """How a predictor is trained, and what the regression on its embedding is given.

    Args:
        epochs: passes over the observations.
        rate: Adam's.
        batch: architectures in a batch.
        loss: a name of `nas_surrogates.losses.WEIGHTS`.
        targets: a kind of `nas_surrogates.target_scale.KINDS`.
        prior_labels: how many labels the hyperprior of the regression counts for (`nas_surrogates.blr.fit_blr`).
        intercept: whether the regression has one; without it the function is zero where the embedding is.
        deviation: a name of `DEVIATIONS`: of what the candidates' latent deviation is.

    Raises:
        InvalidOption: a number out of range, or an unknown name.
    """

    epochs: int = 100
    rate: float = 1e-3
    batch: int = 128
    loss: str = "exponential"
    targets: str = "auto"
    prior_labels: float = 1.0
    intercept: bool = True
    deviation: str = "function"

    def __post_init__(self) -> None:
        whole("epochs", self.epochs)
        whole("batch", self.batch)
        for name, least in (("rate", 1e-12), ("prior_labels", 0.0)):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not number or value < least:
                raise InvalidOption(f"{name} cannot be this", value=value, expected=f"a number of at least {least:g}")
        check_loss(self.loss)
        check_kind(self.targets)
        if not isinstance(self.intercept, bool):
            raise InvalidOption("intercept must be true or false", value=self.intercept)
        if self.deviation not in DEVIATIONS:
            raise InvalidOption("no such deviation", value=self.deviation, expected="one of " + ", ".join(DEVIATIONS))


@final
class Predictor(nn.Module):
    """An embedding and a linear layer on it.

    Args:
        embedder: gives n x d.
        bounded: for each of the m targets whether its output goes through a sigmoid.
        rng: draws the layer's parameters.
    """

    def __init__(self, embedder: Any, bounded: Sequence[bool], rng: np.random.Generator) -> None:
        super().__init__()
        self.embedder = embedder
        self.head = Linear(embedder.width, len(bounded), rng)
        self.bounded = tuple(bounded)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Outputs (n x m): shares where bounded, standardised targets elsewhere."""
        raw = self.head(self.embedder(*inputs))
        if all(self.bounded):
            return torch.sigmoid(raw)
        if not any(self.bounded):
            return torch.as_tensor(raw)
        columns = [torch.sigmoid(raw[:, j]) if on else raw[:, j] for j, on in enumerate(self.bounded)]
        return torch.stack(columns, dim=1)


def train(
    predictor: Predictor, inputs: Inputs, trained_to: Tensor, goodness: Tensor, how: Training, rng: np.random.Generator
) -> None:
    """Train in place; the predictor is left in evaluation mode.

    Args:
        predictor: with its first parameters.
        inputs: n encoded architectures.
        trained_to: n x m.
        goodness: n x m, for the weights of the loss.
        how: rate, batches, epochs, loss.
        rng: orders the batches.
    """
    weights = loss_weights(how.loss, goodness)
    predictor.train()
    optimizer = Adam(predictor, how.rate)
    n = len(trained_to)
    with torch.enable_grad():
        for _ in range(how.epochs):
            order = torch.from_numpy(rng.permutation(n))
            for rows in order.split(how.batch):
                predicted = predictor(*(tensor[rows] for tensor in inputs))
                optimizer.step(weighted_squares(predicted, trained_to[rows], weights[rows]))
    predictor.eval()


@final
class Linear(nn.Module):
    """A linear layer whose parameters are drawn uniformly within 1 / sqrt(inputs).

    Args:
        inputs: features.
        outputs: units.
        rng: draws the parameters.
        bias: whether there is one.
    """

    def __init__(self, inputs: int, outputs: int, rng: np.random.Generator, bias: bool = True) -> None:
        super().__init__()
        bound = 1.0 / math.sqrt(inputs)
        self.weight = uniform((outputs, inputs), bound, rng)
        self.bias = uniform((outputs,), bound, rng) if bias else None

    def forward(self, features: Tensor) -> Tensor:
        """… x inputs to … x outputs."""
        return torch.nn.functional.linear(features, self.weight, self.bias)


def uniform(shape: tuple[int, ...], bound: float, rng: np.random.Generator) -> nn.Parameter:
    """A parameter drawn uniformly within a bound."""
    return nn.Parameter(torch.from_numpy(rng.uniform(-bound, bound, size=shape).astype(np.float32)))


def redraw(module: nn.Module, bound: float, rng: np.random.Generator) -> None:
    """Draw every parameter of one of torch's modules anew, uniformly within a bound."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(uniform(tuple(parameter.shape), bound, rng))


def whole(name: str, value: object, least: int = 1) -> int:
    """An option that must be a whole number of at least `least`; raises InvalidOption."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidOption(f"{name} must be a whole number of at least {least}", value=value)
    return value
