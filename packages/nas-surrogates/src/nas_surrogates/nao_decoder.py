"""NAO's decoder: an LSTM with attention over the embedding that writes an architecture, one legal token after another.

Notation
    n  architectures      t  tokens      T  states      d  width      V  size of the vocabulary

Section 3.2. Where the text is silent it is the published PyTorch code: state and cell begin with the pooled embedding;
the query is linear in the state, scores are inner products with the embedding's states; the hyperbolic tangent of a
linear layer on context and state gives the logits; there is no input feeding, so that training takes one pass. Training
always gives the true tokens. Decoding is greedy over the tokens that the space allows after what is written, where the
published masks let through a node that reads itself and sizes that an operation does not have.

`places` is no part of the paper: attention is told how far the sequence is and of which tokens each state tells. It
then need not learn to count before it can look at the right state: exact decoding takes a small part of the training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias, final

import numpy as np
import torch
from torch import Tensor, nn

from nas_core.errors import InvalidSpace
from nas_surrogates.network_training import Linear, redraw, uniform

Legal: TypeAlias = Callable[[tuple[int, ...]], Sequence[int]]

_WAVES: Final = 16
MOST_TOKENS: Final = 4096
"""Longest sequence that is written; a space whose rule never ends one is at fault."""


@final
class Decoder(nn.Module):
    """States to tokens.

    Args:
        tokens: V.
        width: d.
        at_once: tokens of which a state tells.
        places: whether attention is told how far the sequence is, and of which place a state tells.
        rng: draws the parameters.
    """

    def __init__(self, tokens: int, width: int, at_once: int, places: bool, rng: np.random.Generator) -> None:
        super().__init__()
        self.tokens = uniform((tokens + 1, width), 1.0, rng)  # row 0 begins a sequence
        with torch.random.fork_rng(devices=[]):  # torch draws parameters, which are drawn anew at once
            self.lstm = nn.LSTM(width, width, batch_first=True)
        redraw(self.lstm, 1.0 / math.sqrt(width), rng)
        self.query = Linear(width, width, rng, bias=False)
        self.merge = Linear(2 * width, width, rng, bias=False)
        self.output = Linear(width, tokens, rng)
        self.at_once = at_once
        self.places = _Places(width, rng) if places else None

    def forward(self, states: Tensor, mask: Tensor, first: Tensor, rows: Tensor) -> Tensor:
        """Logits (n x t x V) of each token of rows (n x t), given those before it.

        Args:
            states: n x T x d.
            mask: which of them count (n x T).
            first: pooled embedding (n x d).
            rows: tokens from 1 on, zeros after the end.
        """
        before = torch.nn.functional.pad(rows[:, :-1], (1, 0))
        outputs, _ = self.lstm(self.tokens[before], (first[None].contiguous(), first[None].contiguous()))
        return self._logits(outputs, 0, states, mask)

    def written(self, states: Tensor, mask: Tensor, first: Tensor, legal: Legal) -> list[tuple[int, ...]]:
        """The sequences that greedy decoding writes.

        Args:
            states: n x T x d.
            mask: n x T.
            first: n x d.
            legal: the numbers that may follow a prefix; none where it is complete.

        Raises:
            InvalidSpace: a sequence does not end.
        """
        done: list[tuple[int, ...]] = [()] * len(states)
        memory = (first[None].contiguous(), first[None].contiguous())
        last = torch.zeros(len(states), dtype=torch.int64)
        for place in range(MOST_TOKENS):
            allowed = [legal(prefix) for prefix in done]
            if not any(allowed):
                return done
            outputs, memory = self.lstm(self.tokens[last][:, None], memory)
            logits = self._logits(outputs, place, states, mask)[:, 0]
            chosen = _best(logits.numpy(), allowed)
            done = [(*prefix, token) if token >= 0 else prefix for prefix, token in zip(done, chosen, strict=True)]
            last = torch.tensor(chosen) + 1
        raise InvalidSpace("the rule of the next token never ends a sequence", value=done[0][:8])

    def _logits(self, outputs: Tensor, first: int, states: Tensor, mask: Tensor) -> Tensor:
        queries, keys = self.query(outputs), states
        if self.places is not None:
            queries = queries + self.places.asking(torch.arange(first, first + outputs.shape[1]))
            keys = keys + self.places.telling(self.at_once * torch.arange(states.shape[1]) + self.at_once // 2)
        weights = queries @ keys.transpose(1, 2)
        weights = torch.softmax(weights.masked_fill(~mask[:, None], -math.inf), dim=2)
        merged = torch.tanh(self.merge(torch.cat([weights @ states, outputs], dim=2)))
        return torch.as_tensor(self.output(merged))


@final
class _Places(nn.Module):
    """What attention is told of the places of tokens: linear in sines and cosines of them (Vaswani et al. 2017)."""

    def __init__(self, width: int, rng: np.random.Generator) -> None:
        super().__init__()
        self.ask = Linear(2 * _WAVES, width, rng, bias=False)
        self.tell = Linear(2 * _WAVES, width, rng, bias=False)

    def asking(self, places: Tensor) -> Tensor:
        """To be added to the queries (t x d)."""
        return torch.as_tensor(self.ask(_waves(places)))

    def telling(self, places: Tensor) -> Tensor:
        """To be added to the keys (T x d)."""
        return torch.as_tensor(self.tell(_waves(places)))


def _waves(places: Tensor) -> Tensor:
    """Sines and cosines of places (p) at wavelengths from about 2 to 200 tokens (p x 2 _WAVES)."""
    angles = places[:, None] * math.pi * torch.logspace(0.0, -2.0, _WAVES)
    return torch.cat([torch.sin(angles), torch.cos(angles)], dim=1)


def _best(logits: np.ndarray, allowed: Sequence[Sequence[int]]) -> list[int]:
    """The allowed token of the greatest logit for each row, the first of several; -1 where none is allowed."""
    open_ = np.full(logits.shape, -np.inf)
    for row, tokens in enumerate(allowed):
        open_[row, list(tokens)] = logits[row, list(tokens)]
    best = open_.argmax(axis=1)
    return [int(token) if tokens else -1 for token, tokens in zip(best, allowed, strict=True)]
