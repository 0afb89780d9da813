"""Recurrent network on the tokens, and the surrogate `lstm` on its last state (BONAS 4.1).

Notation
    n  architectures      t  tokens, padded to the longest met

The paper compares its predictor with an LSTM whose embedding and hidden layer have 100 units and whose last hidden
state feeds a fully connected layer (AlphaX, Wang et al. 2019).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, final

import numpy as np
import torch
from torch import Tensor, nn

from nas_core.architecture import Architecture
from nas_core.space import Space, require
from nas_core.training_set import TrainingSet
from nas_surrogates import neural_linear
from nas_surrogates.kept_encodings import Arrays, KeptEncodings
from nas_surrogates.network_training import Training, redraw, uniform, whole
from nas_surrogates.neural_linear import NeuralLinearPosterior, Pool


@final
class Recurrent:
    """Surrogate `lstm`: Bayesian linear regression on the last state of an LSTM over the tokens.

    Args:
        space: with tokens.
        width: of the tokens' embedding and of the state.
        **training: options of `nas_surrogates.network_training.Training`.

    Raises:
        MissingCapability: the space has no tokens.
        InvalidOption: an option out of range.
    """

    requires = frozenset({"tokens"})

    def __init__(
        self,
        space: Space,
        *,
        width: int = 100,
        epochs: int = 100,
        rate: float = 1e-3,
        batch: int = 128,
        loss: str = "exponential",
        targets: str = "auto",
        prior_labels: float = 1.0,
        intercept: bool = True,
        deviation: str = "function",
    ) -> None:
        require(space, self.requires, "the surrogate lstm")
        self.width = whole("width", width)
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

    def embedder(self, rng: np.random.Generator) -> LastState:
        """The network with new parameters."""
        space: Any = self.space
        return LastState(len(space.vocabulary), self.width, rng)

    def operations(self) -> dict[str, Any]:
        """What another space must have alike for a transfer."""
        space: Any = self.space
        return {"tokens": list(space.vocabulary)}

    def to_config(self) -> dict[str, Any]:
        """Its name and options, as `nas_core.registry.from_config` takes them."""
        return {"name": "lstm", "width": self.width, **asdict(self.training)}

    def _encode(self, architectures: Sequence[Architecture]) -> Arrays:
        """Tokens from 1 on, zeros after the end (n x t)."""
        space: Any = self.space
        sequences = [space.tokens(a) for a in architectures]
        rows = np.zeros((len(sequences), max(map(len, sequences))), np.int64)
        for row, sequence in zip(rows, sequences, strict=True):
            row[: len(sequence)] = np.array(sequence) + 1
        return (rows,)


@final
class LastState(nn.Module):
    """An LSTM's hidden state after the last token.

    Args:
        tokens: size of the vocabulary.
        width: of the tokens' embedding and of the state.
        rng: draws the parameters.
    """

    def __init__(self, tokens: int, width: int, rng: np.random.Generator) -> None:
        super().__init__()
        self.width = width
        self.tokens = uniform((tokens + 1, width), 1.0, rng)
        with torch.random.fork_rng(devices=[]):  # torch draws parameters, which are drawn anew at once
            self.lstm = nn.LSTM(width, width, batch_first=True)
        redraw(self.lstm, 1.0 / math.sqrt(width), rng)

    def forward(self, tokens: Tensor) -> Tensor:
        """States (n x width) of tokens (n x t)."""
        outputs, _ = self.lstm(self.tokens[tokens])
        last = (tokens > 0).sum(dim=1) - 1
        return torch.as_tensor(outputs[torch.arange(len(tokens)), last])
