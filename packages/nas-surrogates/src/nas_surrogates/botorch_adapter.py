"""Any surrogate's posterior as a botorch model, for botorch's acquisition functions.

Notation
    N  candidates      q  points that are considered together
    m  targets         b  batch shape

A point of the model is the position of a candidate, one number, so that X is b x q x 1. Outcomes are the negative
latent functions of the posterior: botorch maximises, this toolkit minimises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, final, runtime_checkable

import numpy as np
import torch
from botorch.models.model import Model
from botorch.posteriors.gpytorch import GPyTorchPosterior
from gpytorch.distributions import MultitaskMultivariateNormal, MultivariateNormal

from nas_core.architecture import Architecture
from nas_core.errors import InvalidOption
from nas_core.random import rng
from nas_core.surrogate import Posterior, Samples
from nas_surrogates.pools import FloatArray, over

_DRAWN = 4096


@runtime_checkable
class Joint(Protocol):
    """A posterior that knows the covariances of its latent functions."""

    def latent_joint(self, x: Sequence[Architecture]) -> tuple[FloatArray, FloatArray]:
        """Mean (n x m) and covariances (m x n x n)."""
        ...


@final
class PoolModel(Model):
    """A botorch model over the positions of candidates.

    Args:
        mean: of the latent functions at the candidates (N x m).
        std: their deviations (N x m).
        joint: the covariances of the candidates at some positions (m x q x q), for q > 1.
    """

    def __init__(
        self, mean: FloatArray, std: FloatArray, joint: Callable[[Sequence[int]], FloatArray] | None = None
    ) -> None:
        super().__init__()
        self._mean, self._variance = torch.from_numpy(-mean), torch.from_numpy(std**2)
        self._joint = joint

    @classmethod
    def of(cls, posterior: Posterior, candidates: Sequence[Architecture]) -> PoolModel:
        """The model of any surrogate's posterior.

        For q > 1 the posterior must know its covariances (`latent_joint`) or draw joint samples, whose covariance then
        is that of 4,096 draws.
        """
        kept = tuple(candidates)
        mean, std = over(posterior, kept).latent()
        return cls(mean, std, lambda positions: _covariances(posterior, [kept[i] for i in positions]))

    @property
    def num_outputs(self) -> int:
        """The m targets."""
        return int(self._mean.shape[1])

    @property
    def batch_shape(self) -> torch.Size:
        """One model, no batch of models."""
        return torch.Size([])

    def posterior(
        self,
        X: torch.Tensor,
        output_indices: list[int] | None = None,
        observation_noise: bool | torch.Tensor = False,
        posterior_transform: Callable[[Any], Any] | None = None,
    ) -> Any:
        """The joint distribution of the outcomes at X (b x q x 1).

        Raises:
            InvalidOption: noise is asked for, X are no positions, or q > 1 and the surrogate knows no covariances.
        """
        if observation_noise is not False:
            raise InvalidOption("the adapter gives the function alone, without noise")
        positions = X[..., 0].round().long()
        if X.shape[-1] != 1 or (positions < 0).any() or (positions >= len(self._mean)).any():
            raise InvalidOption("points must be positions of candidates", value=tuple(X.shape), expected="b x q x 1")
        outputs = range(self.num_outputs) if output_indices is None else output_indices
        mean = self._mean[positions]
        covariance = self._covariance(positions)
        normals = [MultivariateNormal(mean[..., j], covariance[j]) for j in outputs]
        joint = normals[0] if len(normals) == 1 else MultitaskMultivariateNormal.from_independent_mvns(normals)
        result = GPyTorchPosterior(joint)
        return result if posterior_transform is None else posterior_transform(result)

    def _covariance(self, positions: torch.Tensor) -> list[Any]:
        """One covariance a target (b x q x q)."""
        if positions.shape[-1] == 1:
            return [self._variance[positions][..., j, None] for j in range(self.num_outputs)]
        if self._joint is None:
            raise InvalidOption("the model does not know how candidates vary together", expected="q = 1")
        shape = positions.shape
        blocks = np.stack([self._joint(row) for row in positions.reshape(-1, shape[-1]).tolist()], axis=1)
        blocks += 1e-9 * np.eye(shape[-1])
        matrices = torch.from_numpy(blocks).reshape(self.num_outputs, *shape, shape[-1])
        return [matrices[j] for j in range(self.num_outputs)]


def _covariances(posterior: Posterior, x: Sequence[Architecture]) -> FloatArray:
    """Covariances of the latent functions at q candidates (m x q x q)."""
    if isinstance(posterior, Joint):
        return posterior.latent_joint(x)[1]
    if isinstance(posterior, Samples):
        samples = posterior.sample(x, _DRAWN, rng(0, "botorch"))
        return np.stack([np.atleast_2d(np.cov(column.T)) for column in np.moveaxis(samples, 2, 0)])
    raise InvalidOption("the surrogate does not know how candidates vary together", expected="q = 1")
