"""NAO's three networks and their joint training (section 3.2, equation 1).

Notation
    n  architectures      t  tokens      T  states      d  width
    m  targets            k  heads, predictors of the same target

The loss is λ times the squared error of the predicted scores plus (1 - λ) times the mean cross-entropy of the tokens.
Every epoch each architecture stands for itself or for one of its symmetric twins, drawn uniformly, in encoder, decoder
and target alike (the published TensorFlow code exchanges the target only). Further members without a label can take
part in the second term alone; the paper has none.

Several heads, no part of the paper, tell how far predictions can be trusted: they differ in their first parameters and
in the weights of the architectures, exponential draws of mean 1 (the Bayesian bootstrap, Rubin 1981).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from nas_core.errors import InvalidOption
from nas_surrogates.adam import Adam
from nas_surrogates.nao_decoder import Decoder
from nas_surrogates.nao_encoder import Encoder, pooled
from nas_surrogates.network_training import uniform, whole

_LAST_RATE: Final = 0.05
"""Share of the rate with which a training that cools down ends."""


@final
@dataclass(frozen=True)
class Shape:
    """Sizes of the three networks.

    Args:
        embedding: of a token, in the encoder.
        width: d, of both LSTMs.
        at_once: tokens that the encoder reads at a step.
        predictor: units of the predictor's hidden layers.
        heads: k.
        renormalise: whether the pooled embedding, and states after a step, are scaled to unit length.
        drop: share of the encoder's inputs that is dropped while training.
        places: whether the decoder's attention is told of places; the paper's is not.

    Raises:
        InvalidOption: a number out of range.
    """

    embedding: int = 32
    width: int = 96
    at_once: int = 1
    predictor: tuple[int, ...] = ()
    heads: int = 5
    renormalise: bool = True
    drop: float = 0.1
    places: bool = True

    def __post_init__(self) -> None:
        for name in ("embedding", "width", "at_once", "heads"):
            whole(name, getattr(self, name))
        for units in self.predictor:
            whole("units of the predictor", units)
        for name in ("renormalise", "places"):
            if not isinstance(getattr(self, name), bool):
                raise InvalidOption(f"{name} must be true or false", value=getattr(self, name))
        number("drop", self.drop, 0.0, 0.9)


@final
@dataclass(frozen=True)
class Schedule:
    """How they are trained.

    Args:
        epochs: passes over the architectures.
        rate: Adam's.
        batch: architectures in a batch.
        balance: λ.
        decay: weight decay.
        clip: longest gradient.
        cool: lower the rate to a twentieth along half a cosine; the paper keeps it.

    Raises:
        InvalidOption: a number out of range.
    """

    epochs: int = 1000
    rate: float = 1e-3
    batch: int = 50
    balance: float = 0.9
    decay: float = 1e-4
    clip: float = 5.0
    cool: bool = False

    def __post_init__(self) -> None:
        whole("epochs", self.epochs)
        whole("batch", self.batch)
        number("rate", self.rate, 1e-12, math.inf)
        number("balance", self.balance, 0.0, 1.0)
        number("decay", self.decay, 0.0, math.inf)
        number("clip", self.clip, 1e-12, math.inf)
        if not isinstance(self.cool, bool):
            raise InvalidOption("cool must be true or false", value=self.cool)

    def rate_at(self, done: float) -> float:
        """Adam's rate when a share of the training is done."""
        if not self.cool:
            return self.rate
        return self.rate * (_LAST_RATE + (1.0 - _LAST_RATE) * 0.5 * (1.0 + math.cos(math.pi * done)))


@final
class Heads(nn.Module):
    """k perceptrons for each of m targets, all at once, with a sigmoid at the end.

    Args:
        inputs: d.
        hidden: units of the hidden layers.
        heads: k.
        targets: m.
        rng: draws the parameters.
    """

    def __init__(self, inputs: int, hidden: Sequence[int], heads: int, targets: int, rng: np.random.Generator) -> None:
        super().__init__()
        self.heads, self.targets = heads, targets
        sizes = (inputs, *hidden, 1)
        bounds = [1.0 / math.sqrt(size) for size in sizes]
        groups = heads * targets
        self.weights = nn.ParameterList(
            [uniform((groups, sizes[i], sizes[i + 1]), bounds[i], rng) for i in range(len(sizes) - 1)]
        )
        self.biases = nn.ParameterList(
            [uniform((groups, 1, sizes[i + 1]), bounds[i], rng) for i in range(len(sizes) - 1)]
        )

    def forward(self, mean: Tensor) -> Tensor:
        """Scores (k x n x m) of pooled embeddings (n x d)."""
        x = mean.expand(self.heads * self.targets, -1, -1)
        layers = list(zip(self.weights, self.biases, strict=True))
        for weight, bias in layers[:-1]:
            x = torch.relu(torch.baddbmm(bias, x, weight))
        weight, bias = layers[-1]
        scores = torch.sigmoid(torch.baddbmm(bias, x, weight))
        return torch.as_tensor(scores.reshape(self.heads, self.targets, len(mean)).transpose(1, 2))


@final
class Networks(nn.Module):
    """Encoder, predictor and decoder.

    Args:
        shape: their sizes.
        tokens: size of the vocabulary.
        targets: m.
        rng: draws the parameters.
    """

    def __init__(self, shape: Shape, tokens: int, targets: int, rng: np.random.Generator) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = Encoder(tokens, shape.embedding, shape.width, shape.at_once, shape.drop, rng)
        self.predictor = Heads(shape.width, shape.predictor, shape.heads, targets, rng)
        self.decoder = Decoder(tokens, shape.width, shape.at_once, shape.places, rng)

    def pooled(self, states: Tensor, mask: Tensor) -> Tensor:
        """What the predictor reads and the decoder begins with (n x d)."""
        return pooled(states, mask, self.shape.renormalise)

    def loss(self, rows: Tensor, scores: Tensor, weights: Tensor, balance: float, noise: torch.Generator) -> Tensor:
        """Equation 1 on one batch.

        Args:
            rows: of tokens (n x t).
            scores: n x m.
            weights: of each architecture for each head (k x n); zeros for those without a label.
            balance: λ.
            noise: draws what is dropped.
        """
        states = self.encoder(rows, noise)
        mask = torch.arange(states.shape[1]) < self.encoder.lengths(rows)[:, None]
        mean = self.pooled(states, mask)
        squares = (self.predictor(mean) - scores) ** 2
        error = (weights[:, :, None] * squares).sum() / weights.sum().clamp(min=1e-12)
        logits = self.decoder(states, mask, mean, rows)
        written = cross_entropy(logits.flatten(0, 1), (rows - 1).flatten(), ignore_index=-1)
        return torch.as_tensor(balance * error + (1.0 - balance) * written)


@final
@dataclass(frozen=True, eq=False)
class Examples:
    """What is learnt from: n architectures, each with its own sequence and those of its symmetric twins.

    Args:
        rows: all sequences (at least n rows of t tokens).
        starts: the row with which each architecture's sequences begin (n).
        counts: how many it has (n).
        scores: n x m.
        labelled: which architectures have scores (n).
    """

    rows: Tensor
    starts: np.ndarray
    counts: np.ndarray
    scores: Tensor
    labelled: np.ndarray


def train(networks: Networks, examples: Examples, how: Schedule, rng: np.random.Generator) -> None:
    """Train in place; the networks are left in evaluation mode."""
    n = len(examples.starts)
    weights = _head_weights(networks.shape.heads, examples.labelled, rng)
    noise = torch.Generator().manual_seed(int(rng.integers(2**63 - 1)))
    optimizer = Adam(networks, how.rate, decay=how.decay, clip=how.clip)
    networks.train()
    with torch.enable_grad():
        for epoch in range(how.epochs):
            optimizer.rate = how.rate_at(epoch / how.epochs)
            twins = torch.from_numpy(examples.starts + rng.integers(examples.counts))
            for batch in torch.from_numpy(rng.permutation(n)).split(how.batch):
                rows = examples.rows[twins[batch]]
                loss = networks.loss(rows, examples.scores[batch], weights[:, batch], how.balance, noise)
                optimizer.step(loss)
    networks.eval()


def _head_weights(heads: int, labelled: np.ndarray, rng: np.random.Generator) -> Tensor:
    """Of each architecture for each head (k x n)."""
    drawn = rng.exponential(size=(heads, len(labelled))) if heads > 1 else np.ones((1, len(labelled)))
    return torch.from_numpy((drawn * labelled).astype(np.float32))


def number(name: str, value: object, least: float, most: float) -> float:
    """An option that must be a number within bounds; raises InvalidOption."""
    legal = isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= most
    if not legal or not math.isfinite(value):  # type: ignore[arg-type]
        raise InvalidOption(f"{name} cannot be this", value=value, expected=f"a number from {least:g} to {most:g}")
    return float(value)  # type: ignore[arg-type]
