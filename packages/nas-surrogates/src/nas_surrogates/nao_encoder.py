"""NAO's encoder: an LSTM over the tokens whose states, scaled to unit length, are the architecture's embedding.

Notation
    n  architectures      t  tokens      T  steps of the LSTM      d  width      g  tokens that are read at a step

Section 3.2: the states h_1 … h_T of one LSTM layer, each of unit length (the squared norm in the text divides twice).
The text reads one token a step; the published code reads the tokens of a branch at once (g = 3 of 60 tokens, 2 of 40),
which makes T twenty. What is mean pooled for the predictor, and begins the decoder, is scaled to unit length again in
the code; the text has the mean itself (`renormalise`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pad

from nas_core.errors import InvalidData
from nas_surrogates.network_training import redraw, uniform


@final
@dataclass(frozen=True, eq=False)
class Latent:
    """Points of the continuous space: the embeddings of n architectures, or what gradient steps made of them.

    Args:
        states: n x T x d.
        lengths: how many of the T states of each count (n).

    Raises:
        InvalidData: shapes that do not fit, or states that are not finite.
    """

    states: Tensor
    lengths: Tensor

    def __post_init__(self) -> None:
        if self.states.ndim != 3 or self.lengths.shape != self.states.shape[:1]:
            raise InvalidData("latent points of a wrong shape", value=(tuple(self.states.shape), self.lengths.shape))
        if len(self) and not 1 <= int(self.lengths.min()) <= int(self.lengths.max()) <= self.states.shape[1]:
            raise InvalidData("latent points with wrong lengths", value=self.lengths.tolist())
        if not bool(torch.isfinite(self.states).all()):
            raise InvalidData("latent points must be finite numbers")

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def mask(self) -> Tensor:
        """Which states count (n x T)."""
        return torch.arange(self.states.shape[1]) < self.lengths[:, None]

    def rows(self, which: list[int]) -> Latent:
        """Some of the points."""
        return Latent(self.states[which], self.lengths[which])

    def moved(self, direction: Tensor, by: float, renormalise: bool) -> Latent:
        """The points moved along directions (n x T x d); scaled back to unit length where asked for (equation 2)."""
        states = self.states + by * direction
        return Latent(normalize(states, dim=2) if renormalise else states, self.lengths)


def pooled(states: Tensor, mask: Tensor, renormalise: bool) -> Tensor:
    """The mean of the states that count (n x d)."""
    kept = mask[:, :, None].to(states.dtype)
    mean = (states * kept).sum(dim=1) / kept.sum(dim=1)
    return normalize(mean, dim=1) if renormalise else mean


@final
class Encoder(nn.Module):
    """Tokens to unit states.

    Args:
        tokens: size of the vocabulary.
        embedding: width of a token's vector.
        width: d.
        at_once: g.
        drop: share of the vectors' numbers that are dropped while training.
        rng: draws the parameters.
    """

    def __init__(
        self, tokens: int, embedding: int, width: int, at_once: int, drop: float, rng: np.random.Generator
    ) -> None:
        super().__init__()
        self.at_once, self.drop = at_once, drop
        self.tokens = uniform((tokens + 1, embedding), 1.0, rng)
        with torch.random.fork_rng(devices=[]):  # torch draws parameters, which are drawn anew at once
            self.lstm = nn.LSTM(embedding * at_once, width, batch_first=True)
        redraw(self.lstm, 1.0 / math.sqrt(width), rng)

    def forward(self, rows: Tensor, noise: torch.Generator | None = None) -> Tensor:
        """Unit states (n x T x d) of rows of tokens (n x t); what follows the end of a row does not reach back.

        Args:
            rows: tokens from 1 on, zeros after the end.
            noise: draws what is dropped; None drops nothing.
        """
        rows = pad(rows, (0, -rows.shape[1] % self.at_once))
        vectors = self.tokens[rows]
        if noise is not None and self.drop:
            vectors = vectors * (torch.rand(vectors.shape, generator=noise) >= self.drop) / (1.0 - self.drop)
        steps = vectors.reshape(len(rows), rows.shape[1] // self.at_once, -1)
        return normalize(self.lstm(steps)[0], dim=2)

    def lengths(self, rows: Tensor) -> Tensor:
        """How many states each row of tokens has (n)."""
        return -((rows > 0).sum(dim=1) // -self.at_once)
