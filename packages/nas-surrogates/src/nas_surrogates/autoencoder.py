"""The autoencoder of architectures: surrogate `nao`, and the continuous space in which NAO steps (Luo et al. 2018).

Notation
    n  architectures      T  states      d  width      m  targets

As a surrogate it predicts with its k heads: the mean over the heads, and their standard deviation as that of the
function. Its continuous space is open: `encode`, `scores`, `direction` (the gradient of what is aimed at) and `decode`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, TypeAlias, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas_core.architecture import Architecture
from nas_core.errors import InvalidData, InvalidOption
from nas_core.space import Space, require
from nas_core.surrogate import Prediction
from nas_core.training_set import TrainingSet
from nas_surrogates.nao_encoder import Latent
from nas_surrogates.nao_network import Examples, Networks, Schedule, Shape, train
from nas_surrogates.nao_scores import ScoreScale, check_kind
from nas_surrogates.nao_steps import Aim
from nas_surrogates.nao_tokens import TokenRows, padded
from nas_surrogates.network_training import whole

FloatArray: TypeAlias = NDArray[np.float64]

_CHUNK: Final = 512


@final
class Autoencoder:
    """Surrogate `nao`: encoder, predictor and decoder of token sequences, trained together.

    The defaults are those of the paper's search of convolutional cells, but for five heads in place of one and an
    attention that is told of places.

    Args:
        space: with tokens.
        scale: of scores, a kind of `nas_surrogates.nao_scores.KINDS`.
        augment: whether symmetric twins stand in for architectures, where the space knows any.
        unlabelled: random members that encoder and decoder learn from beside the labelled ones.
        **options: those of `nas_surrogates.nao_network.Shape` and `Schedule`.

    Raises:
        MissingCapability: the space has no tokens.
        InvalidOption: an option out of range.
    """

    requires = frozenset({"tokens"})

    def __init__(
        self,
        space: Space,
        *,
        embedding: int = 32,
        width: int = 96,
        at_once: int = 1,
        predictor: Sequence[int] = (),
        heads: int = 5,
        renormalise: bool = True,
        drop: float = 0.1,
        places: bool = True,
        epochs: int = 1000,
        rate: float = 1e-3,
        batch: int = 50,
        balance: float = 0.9,
        decay: float = 1e-4,
        clip: float = 5.0,
        cool: bool = False,
        scale: str = "minmax",
        augment: bool = True,
        unlabelled: int = 0,
    ) -> None:
        require(space, self.requires, "the surrogate nao")
        if isinstance(predictor, str) or not isinstance(predictor, Sequence):
            raise InvalidOption("predictor must be a list of hidden layers' units", value=predictor)
        if not isinstance(augment, bool):
            raise InvalidOption("augment must be true or false", value=augment)
        self.shape = Shape(embedding, width, at_once, tuple(predictor), heads, renormalise, drop, places)
        self.schedule = Schedule(epochs, rate, batch, balance, decay, clip, cool)
        self.scale = check_kind(scale)
        self.augment = augment
        self.unlabelled = whole("unlabelled", unlabelled, least=0)
        self.space = space
        self.tokens = TokenRows(space)

    def fit(
        self, data: TrainingSet, rng: np.random.Generator, start: AutoencoderPosterior | None = None
    ) -> AutoencoderPosterior:
        """Fit to n observations of m targets, from new parameters or from those of `start`.

        Raises:
            InvalidData: no observations; or `start` has other sizes, another vocabulary or other targets.
        """
        if len(data) == 0:
            raise InvalidData("an autoencoder needs at least one observation")
        scales = tuple(ScoreScale.of(column, self.scale) for column in data.targets.T)
        networks = Networks(self.shape, self.tokens.size, len(scales), rng)
        if start is not None:
            _begin(networks, start.networks)
        pairs = zip(scales, data.targets.T, strict=True)
        scores = np.stack([scale.forward(column) for scale, column in pairs], axis=1)
        train(networks, self._examples(data.architectures, scores, rng), self.schedule, rng)
        return AutoencoderPosterior(self, networks, scales)

    def to_config(self) -> dict[str, Any]:
        """Its name and options, as `nas_core.registry.from_config` takes them."""
        options = {**asdict(self.shape), "predictor": list(self.shape.predictor), **asdict(self.schedule)}
        own = {"scale": self.scale, "augment": self.augment, "unlabelled": self.unlabelled}
        return {"name": "nao", **options, **own}

    def _examples(self, known: Sequence[Architecture], scores: FloatArray, rng: np.random.Generator) -> Examples:
        others = self.space.sample(rng, self.unlabelled) if self.unlabelled else []
        read = self.tokens.with_twins if self.augment else lambda a: [self.tokens.sequence(a)]
        sequences = [read(a) for a in (*known, *others)]
        counts = np.array([len(own) for own in sequences])
        everywhere = np.concatenate([scores, np.zeros((len(others), scores.shape[1]))])
        return Examples(
            rows=padded([tokens for own in sequences for tokens in own]),
            starts=np.cumsum(counts) - counts,
            counts=counts,
            scores=torch.from_numpy(everywhere.astype(np.float32)),
            labelled=np.arange(len(sequences)) < len(known),
        )


@final
@dataclass(frozen=True, eq=False)
class AutoencoderPosterior:
    """What fitting returns.

    Args:
        kind: the surrogate that was fitted.
        networks: the trained ones; they stay as they are.
        scales: of each target's scores.
    """

    kind: Autoencoder
    networks: Networks
    scales: tuple[ScoreScale, ...]

    def predict(self, x: Sequence[Architecture]) -> Prediction:
        """Mean and deviation over the heads, in the targets' units (n x m)."""
        with torch.no_grad():
            chunks = [x[i : i + _CHUNK] for i in range(0, len(x), _CHUNK)] or [x]
            scores = torch.cat([self._heads(self.encode(chunk)) for chunk in chunks], dim=1)
        heads = scores.to(torch.float64).numpy()
        targets = np.stack([scale.inverse(heads[:, :, j]) for j, scale in enumerate(self.scales)], axis=2)
        return Prediction(targets.mean(axis=0), targets.std(axis=0))

    def encode(self, x: Sequence[Architecture]) -> Latent:
        """The embeddings of n architectures.

        Raises:
            InvalidArchitecture: one is no member of the space.
            InvalidData: the space gives tokens outside its vocabulary, or none.
        """
        return self._encoded(self.kind.tokens.own(x))

    def encode_tokens(self, sequences: Sequence[Sequence[int]]) -> Latent:
        """The embeddings of n sequences, symmetric ones included.

        Raises:
            InvalidArchitecture: one is no member's.
            InvalidData: one has numbers outside the vocabulary, or is empty.
        """
        checked = [self.kind.tokens.checked(tuple(tokens)) for tokens in sequences]
        for tokens in checked:
            self.kind.tokens.member(tokens)
        return self._encoded(padded(checked))

    def scores(self, latent: Latent) -> FloatArray:
        """The predicted scores of latent points, more is better (n x m): the mean over the heads."""
        with torch.no_grad():
            return np.asarray(self._heads(self._checked(latent)).mean(dim=0).to(torch.float64).numpy())

    def worth(self, latent: Latent, aim: Aim) -> FloatArray:
        """What latent points are worth for an aim (n)."""
        with torch.no_grad():
            scores = aim.mixed(self._heads(self._checked(latent)))
            return np.asarray(aim.worth(scores, self.scales).to(torch.float64).numpy())

    def direction(self, latent: Latent, aim: Aim, unit: bool = False) -> Tensor:
        """The gradient of what latent points are worth (n x T x d).

        Args:
            latent: n points.
            aim: what they climb.
            unit: scale the gradient of each state to unit length; where it is zero it stays zero.
        """
        states = self._checked(latent).states.detach().clone().requires_grad_()
        with torch.enable_grad():
            scores = aim.mixed(self._heads(Latent(states, latent.lengths)))
            (gradient,) = torch.autograd.grad(aim.worth(scores, self.scales).sum(), [states])
        if not unit:
            return gradient
        length = gradient.norm(dim=2, keepdim=True)
        return torch.where(length > 0, gradient / length.clamp(min=1e-30), gradient)

    def moved(self, latent: Latent, direction: Tensor, by: float) -> Latent:
        """Latent points after a step along a direction (equation 2)."""
        return latent.moved(direction, by, self.kind.shape.renormalise)

    def decode(self, latent: Latent) -> list[Architecture]:
        """The members that latent points are decoded to; always legal."""
        with torch.no_grad():
            states, mask = self._checked(latent).states, latent.mask
            first = self.networks.pooled(states, mask)
            written = self.networks.decoder.written(states, mask, first, self.kind.tokens.legal)
        return [self.kind.tokens.member(tokens) for tokens in written]

    def _encoded(self, rows: Tensor) -> Latent:
        with torch.no_grad():
            return Latent(self.networks.encoder(rows), self.networks.encoder.lengths(rows))

    def _heads(self, latent: Latent) -> Tensor:
        return torch.as_tensor(self.networks.predictor(self.networks.pooled(latent.states, latent.mask)))

    def _checked(self, latent: Latent) -> Latent:
        if latent.states.shape[2] != self.kind.shape.width:
            raise InvalidData(
                "latent points of another width", value=latent.states.shape[2], expected=str(self.kind.shape.width)
            )
        return latent


def _begin(networks: Networks, other: Networks) -> None:
    """Give networks the parameters of others."""
    state = networks.state_dict()
    given = other.state_dict()
    if {name: part.shape for name, part in state.items()} != {name: part.shape for name, part in given.items()}:
        raise InvalidData("networks of other sizes, another vocabulary or other targets to begin with")
    networks.load_state_dict(given)
