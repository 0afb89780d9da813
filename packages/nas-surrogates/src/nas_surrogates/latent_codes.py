"""Latent vectors that belong to graphs: whitened features, turned at random.

The published generator pairs every graph with a latent vector drawn anew, so nothing ties the two and the trained
network ignores z. Here a graph has a code, and training pairs it with

    z = t code + sqrt(1 - t^2) noise,      t the tie, from 0 (unrelated, as published) to 1

The code is linear in the graph's features: whitened over samples of the space, so that codes of the space have mean 0
and covariance I, then turned at random, so that each entry is a sum of many features and close to normal. So vectors
drawn from the prior N(0, I) look like those of training, without an encoder to be trained or a divergence to be weighed
(a variational encoder gains nothing here: a node-by-node decoder describes a uniform space without z, and its posterior
collapses). Where features have fewer directions than z, the other entries of z are noise.

Notation
    n  graphs     d  features     l  entries of z
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]

_LEAST: Final = 1e-4


class LatentCodes(NamedTuple):
    """A map from features to codes: mean (d), projection (d x l), and the directions that codes fill (l x l)."""

    mean: FloatArray
    projection: FloatArray
    filled: FloatArray

    def of(self, features: NDArray[np.floating]) -> FloatArray:
        """Codes (n x l) of features (n x d)."""
        return np.asarray((features - self.mean) @ self.projection)

    def tied(self, codes: FloatArray, tie: FloatArray | float, noise: FloatArray) -> FloatArray:
        """Latent vectors tied to codes (n x l).

        Args:
            codes: n x l.
            tie: from 0 to 1, one number or n.
            noise: standard normal numbers (n x l).
        """
        strength = np.broadcast_to(np.asarray(tie, dtype=np.float64), (len(codes),))[:, None]
        along = noise @ self.filled
        return np.asarray(strength * codes + np.sqrt(1.0 - strength**2) * along + (noise - along))


def codes_of(features: NDArray[np.floating], latent: int, rng: np.random.Generator) -> LatentCodes:
    """Codes whitened over n samples.

    Args:
        features: n x d.
        latent: l.
        rng: draws the turn.
    """
    mean = features.mean(axis=0, dtype=np.float64)
    centred = features.astype(np.float64) - mean
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    strong = values > _LEAST * max(float(values.max(initial=0.0)), _LEAST)
    white = vectors[:, strong] / np.sqrt(values[strong])
    k = white.shape[1]
    turn = np.linalg.qr(rng.standard_normal((max(k, latent), max(k, latent))))[0][:k, :latent]
    return LatentCodes(mean, white @ turn, turn.T @ turn if k < latent else np.eye(latent))
