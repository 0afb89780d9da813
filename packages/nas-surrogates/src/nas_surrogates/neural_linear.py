"""Bayesian linear regression on what a network has learnt: the posterior of `gcn`, `mlp` and `lstm` (BONAS 3.2).

Notation
    n  observations      N  candidates of a pool      m  targets
    d  embedding         s  samples                   z  latent targets (`target_scale`)

A network is trained to the targets, its last layer is taken away, and each target is regressed on its embedding (Snoek
et al. 2015). The regression finds its precisions by evidence with a hyperprior (`nas_surrogates.blr`), which holds from
the first observation on; the published fixed point gives NaN below about 64. New labels are taken in exactly, with the
same embedding and precisions, until the network is trained again.

Where this departs from the paper, whose reading is a named option:

    intercept    the regression has one; the paper's has none and is pulled towards an accuracy of one half, or towards
                 zero, where labels are few, and cannot model targets far from zero: intercept=false
    deviation    what is read of candidates (`latent`) is the deviation of the function, since the noise of a label is
                 no improvement; the paper adds 1 / beta (equation 5): deviation="label"
    targets      logits of accuracies, as in the published code; the paper's text has the accuracies: targets="share"

`predict` keeps the two deviations apart whatever the option.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, final

import numpy as np
import torch
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.errors import InvalidData, InvalidOption
from nas_core.surrogate import Prediction
from nas_core.training_set import TrainingSet
from nas_surrogates.blr import BLRPosterior, fit_blr
from nas_surrogates.kept_encodings import KeptEncodings
from nas_surrogates.network_training import Inputs, Predictor, Training, train
from nas_surrogates.target_scale import TargetScale

FloatArray: TypeAlias = NDArray[np.float64]

_CHUNK: Final = 1024
_GREATEST: Final = 1e6


class Kind(Protocol):
    """What a surrogate on a learnt embedding consists of."""

    encode: KeptEncodings
    training: Training

    def embedder(self, rng: np.random.Generator) -> Any:
        """An embedding network with new parameters (`network_training.Embedder`)."""
        ...


def fit(
    kind: Kind, data: TrainingSet, rng: np.random.Generator, start: NeuralLinearPosterior | None = None
) -> NeuralLinearPosterior:
    """Train a network to n observations of m targets and regress on its embedding.

    Args:
        kind: encoding, network and training.
        data: the observations; constraints and failed members are not read.
        rng: draws the first parameters and the order of batches.
        start: begin with the parameters of this one's network; its embedding alone where it has other targets.

    Raises:
        InvalidData: no observations, or targets of which no logit can be taken although it is asked for.
    """
    if len(data) == 0:
        raise InvalidData("a network needs at least one observation")
    how = kind.training
    scales = tuple(TargetScale.of(column, how.targets) for column in data.targets.T)
    predictor = Predictor(kind.embedder(rng), [scale.bounded for scale in scales], rng)
    if start is not None:
        _begin(predictor, start.predictor)
    inputs = kind.encode(data.architectures)
    pairs = list(zip(scales, data.targets.T, strict=True))
    trained_to = np.stack([scale.trained_to(column) for scale, column in pairs], axis=1).astype(np.float32)
    goodness = np.stack([scale.goodness(column) for scale, column in pairs], axis=1).astype(np.float32)
    train(predictor, inputs, torch.from_numpy(trained_to), torch.from_numpy(goodness), how, rng)
    features = embedded(predictor, inputs)
    regressions = tuple(
        fit_blr(features, scale.forward(column), data.counts, intercept=how.intercept, prior_labels=how.prior_labels)
        for scale, column in pairs
    )
    return NeuralLinearPosterior(kind, predictor, scales, regressions)


def embedded(predictor: Predictor, inputs: Inputs) -> FloatArray:
    """Embeddings of n encoded architectures (n x d), in chunks."""
    return _chunked(predictor.embedder, inputs)


class Pool(NamedTuple):
    """Candidates (N) and their encodings."""

    candidates: tuple[Architecture, ...]
    inputs: Inputs


@final
@dataclass(frozen=True, eq=False)
class NeuralLinearPosterior:
    """What `fit` returns.

    Args:
        kind: of whose making it is.
        predictor: the network; it stays as it is.
        scales: of each target.
        regressions: of each latent target on the embedding.
    """

    kind: Kind
    predictor: Predictor
    scales: tuple[TargetScale, ...]
    regressions: tuple[BLRPosterior, ...]

    def predict(self, x: Sequence[Architecture]) -> Prediction:
        """Median, half of the central 68 % interval, and that of the noise, in the targets' units (each n x m)."""
        features = self.features(x)
        columns = []
        for scale, regression in zip(self.scales, self.regressions, strict=True):
            mean, std = regression.predict(features)
            noise = np.full_like(mean, regression.noise_std)
            columns.append([scale.inverse(mean), _half(scale, mean, std), _half(scale, mean, noise)])
        return Prediction(*(np.stack([column[i] for column in columns], axis=1) for i in range(3)))

    def by_network(self, x: Sequence[Architecture]) -> FloatArray:
        """What the network alone predicts, in the targets' units (n x m): the predictors that papers compare."""
        output = _chunked(self.predictor, self.kind.encode(x))
        pairs = zip(self.scales, output.T, strict=True)
        return np.stack([scale.of_network(column) for scale, column in pairs], axis=1)

    def features(self, x: Sequence[Architecture]) -> FloatArray:
        """Embeddings (n x d)."""
        return embedded(self.predictor, self.kind.encode(x))

    def latent(self, x: Sequence[Architecture]) -> tuple[FloatArray, FloatArray]:
        """Mean and deviation of the latent functions, or of labels of them (n x m each)."""
        return self._latent(self.features(x))

    def to_latent(self, y: FloatArray) -> FloatArray:
        """Targets (n x m) in the units of `latent`."""
        return np.stack([scale.forward(column) for scale, column in zip(self.scales, np.asarray(y).T, strict=True)], 1)

    def latent_joint(self, x: Sequence[Architecture]) -> tuple[FloatArray, FloatArray]:
        """Mean (n x m) and covariances (m x n x n) of the latent functions."""
        features = self.features(x)
        covariances = []
        for regression in self.regressions:
            rows = np.column_stack([features - regression.centre, np.ones(len(features))]) @ regression.factor
            covariances.append(rows @ rows.T)
        return self._latent(features)[0], np.stack(covariances)

    def sample(self, x: Sequence[Architecture], s: int, rng: np.random.Generator) -> FloatArray:
        """`s` joint samples of the functions in the targets' units (s x n x m).

        Raises:
            InvalidOption: a negative number of samples.
        """
        if s < 0:
            raise InvalidOption("a negative number of samples", value=s)
        features = self.features(x)
        pairs = zip(self.scales, self.regressions, strict=True)
        return np.stack([scale.inverse(regression.sample(features, s, rng)) for scale, regression in pairs], axis=2)

    def condition(self, x: Sequence[Architecture], y: FloatArray) -> NeuralLinearPosterior:
        """The posterior after one more label a row, `y` (n x m), with the same embedding and precisions.

        Raises:
            InvalidData: `y` has a wrong shape or holds numbers that are not finite.
        """
        y = np.asarray(y, dtype=np.float64)
        if y.shape != (len(x), len(self.scales)):
            raise InvalidData("labels of a wrong shape", value=y.shape, expected=f"({len(x)}, {len(self.scales)})")
        if not np.isfinite(y).all():
            raise InvalidData("labels must be finite numbers")
        features, z = self.features(x), self.to_latent(y)
        pairs = zip(self.regressions, z.T, strict=True)
        return replace(self, regressions=tuple(regression.condition(features, column) for regression, column in pairs))

    def over(self, pool: Pool) -> OverPool:
        """The posterior at the candidates of a pool."""
        return OverPool(self, pool, embedded(self.predictor, pool.inputs))

    def _latent(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        means, stds = zip(*(regression.predict(features) for regression in self.regressions), strict=True)
        deviation = np.stack(stds, axis=1)
        if self.kind.training.deviation == "label":
            deviation = np.hypot(deviation, [regression.noise_std for regression in self.regressions])
        return np.stack(means, axis=1), deviation


@final
@dataclass(frozen=True, eq=False)
class OverPool:
    """A posterior at the candidates of a pool, embedded once (N x d)."""

    posterior: NeuralLinearPosterior
    pool: Pool
    features: FloatArray

    def latent(self) -> tuple[FloatArray, FloatArray]:
        """Mean and deviation of the latent functions at the candidates, or of labels of them (N x m each)."""
        return self.posterior._latent(self.features)

    def condition(self, x: Sequence[Architecture], y: FloatArray) -> OverPool:
        """The same after one more label a row, `y` (n x m)."""
        return replace(self, posterior=self.posterior.condition(x, y))


def pool_of(kind: Kind, candidates: Sequence[Architecture]) -> Pool:
    """Candidates that are encoded once."""
    return Pool(tuple(candidates), kind.encode(candidates))


def _chunked(function: Callable[..., torch.Tensor], inputs: Inputs) -> FloatArray:
    """A network's outputs (n x …) as float64, its inputs taken in chunks; bounded, so that they can be regressed on."""
    with torch.no_grad():
        parts = [function(*chunk) for chunk in zip(*(tensor.split(_CHUNK) for tensor in inputs), strict=True)]
        whole = torch.cat(parts).to(torch.float64).clamp(-_GREATEST, _GREATEST)
    return np.asarray(whole.numpy(), dtype=np.float64)


def _begin(predictor: Predictor, other: Predictor) -> None:
    """Give a predictor the parameters of another: of its last layer only where both have the same targets."""
    state = other.state_dict()
    if other.bounded != predictor.bounded:
        state = {name: tensor for name, tensor in state.items() if not name.startswith("head.")}
    predictor.load_state_dict(state, strict=False)


def _half(scale: TargetScale, mean: FloatArray, std: FloatArray) -> FloatArray:
    """Half the width of mean ± std in the targets' units."""
    return np.maximum(0.5 * (scale.inverse(mean + std) - scale.inverse(mean - std)), 0.0)
