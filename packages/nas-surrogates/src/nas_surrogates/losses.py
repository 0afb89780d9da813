"""Losses of predictors, weighted by how good an architecture is (BONAS 3.4, equation 6, and 4.5).

Notation
    b  architectures in a batch      m  targets
    y  goodness: the measured accuracy as a share, from 0 to 1

Each is the mean over the architectures of w(y) (predicted - measured)^2, summed over the targets:

    mse                1
    exponential        (exp(y) - 1) / (e - 1)
    logarithmic        log(y + 1) / log 2
    linear             y
    exponential_code   exp(y - 1)

The first four are the paper's. The published code runs the fifth in place of the second: its weights fall to 0.37 at an
accuracy of zero instead of to zero. All are 1 at y = 1. A target that is no accuracy takes part by its place between
the worst and the best measured (`target_scale`), where the code weighs perplexities by exp(200 / perplexity) - 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor

from nas_core.errors import InvalidOption

WEIGHTS: Final[Mapping[str, Callable[[Tensor], Tensor]]] = {
    "mse": torch.ones_like,
    "exponential": lambda y: torch.expm1(y) / math.expm1(1.0),
    "logarithmic": lambda y: torch.log1p(y) / math.log(2.0),
    "linear": lambda y: y,
    "exponential_code": lambda y: torch.exp(y - 1.0),
}
"""Weight of an architecture by its goodness, for each loss."""


def loss_weights(loss: str, goodness: Tensor) -> Tensor:
    """The weights of a loss, of the shape of `goodness`.

    Raises:
        InvalidOption: there is no such loss.
    """
    return WEIGHTS[check_loss(loss)](goodness)


def weighted_squares(predicted: Tensor, measured: Tensor, weights: Tensor) -> Tensor:
    """The loss of a batch: a scalar of b x m predictions, measurements and weights."""
    return (weights * (predicted - measured) ** 2).mean(dim=0).sum()


def check_loss(loss: object) -> str:
    """The name of a loss; raises InvalidOption where there is none such."""
    if not isinstance(loss, str) or loss not in WEIGHTS:
        raise InvalidOption("no such loss", value=loss, expected="one of " + ", ".join(WEIGHTS))
    return loss
