"""The kernel of cells: a sum of Gaussian kernels on paths, surroundings, graph statistics and decisions.

Notation
    n, k     architectures
    B        blocks of features (`nas_surrogates.features`)
    D_b      squared distances in block b (n x k)
    theta    for each block log variance and log length, log variance of the linear term, log noise variance (2 B + 2)
    u        the decisions, centred, of mean square 1 over the space (n x d)

    k(x, y) = c + sum over b of variance_b exp(-D_b(x, y) / length_b) + variance u(x) u(y)

The constant c is the prior variance of the mean. In paths D is that of unit vectors of indicators, 2 - 2 cosine; in
surroundings the same of counts; in statistics that of standardised numbers over their number; in decisions the number
of different choices (squared differences of numerical ones). Each term can be all there is or nothing, so that the
labels say what matters. The linear term carries what each choice is worth to members unlike any observed, where the
others fall back to the mean. It has a part where decisions are all there is, and in targets that do not depend on what
is computed alone (`nas_surrogates.gp`): a network costs what its decisions cost, dead parts included. For accuracies
beside graphs it was no help.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_surrogates.counts import Counts
from nas_surrogates.features import COUNTED, Block, SpaceFeatures

FloatArray: TypeAlias = NDArray[np.float64]

CONSTANT: Final = 1.0
"""Prior variance of the mean, in units of the targets' variance."""


@dataclass(frozen=True, eq=False)
class Points:
    """Architectures as the kernel reads them: for each block what it holds and the norms or squares of its rows.

    Blocks of counts come first; the last of the matrices (n x d) is u.
    """

    counts: tuple[Counts, ...]
    matrices: tuple[FloatArray, ...]
    sizes: tuple[FloatArray, ...]

    def __len__(self) -> int:
        return len(self.sizes[0])

    def __getitem__(self, rows: slice | NDArray[np.int64]) -> Points:
        return Points(
            tuple(c[rows] for c in self.counts),
            tuple(m[rows] for m in self.matrices),
            tuple(s[rows] for s in self.sizes),
        )

    def joined(self, other: Points) -> Points:
        """These and others, one after the other."""
        counts = (x.joined(y) for x, y in zip(self.counts, other.counts, strict=True))
        matrices = (np.concatenate(pair) for pair in zip(self.matrices, other.matrices, strict=True))
        sizes = (np.concatenate(pair) for pair in zip(self.sizes, other.sizes, strict=True))
        return Points(tuple(counts), tuple(matrices), tuple(sizes))


@final
class CellKernel:
    """The kernel on the members of a space.

    Args:
        features: of the space.
    """

    def __init__(self, features: SpaceFeatures) -> None:
        self.features = features
        raw = self._trended(features.rows(features.drawn))
        self._centre = raw.mean(axis=0)
        self._scale = float(np.sqrt(np.mean(np.sum((raw - self._centre) ** 2, axis=1)))) or 1.0
        drawn = self.points(features.drawn)
        off = ~np.eye(len(drawn), dtype=bool)
        distances = self.distances(drawn, drawn)[: len(self.blocks)]
        typical = [float(d[off].mean()) if off.any() else 0.0 for d in distances]
        self.typical = np.array([d if d > 1e-9 else 1.0 for d in typical])
        """Mean distance of two members in each block (B)."""

    @property
    def blocks(self) -> tuple[Block, ...]:
        """What the terms read."""
        return self.features.blocks

    def points(self, architectures: Sequence[Architecture]) -> Points:
        """Read n architectures."""
        rows = self.features.rows(architectures)
        counts: list[Counts] = []
        matrices: list[FloatArray] = []
        for block in self.blocks:
            if block.kind in COUNTED:
                own = self.features.counts(block, rows)
                counts.append(own.indicators() if block.kind == "paths" else own)
            else:
                raw = self.features.block(block, rows)
                matrices.append(raw / np.sqrt(raw.shape[1]) if block.kind == "statistics" else raw)
        matrices.append((self._trended(rows) - self._centre) / self._scale)
        sizes = [own.norms() for own in counts] + [np.sum(matrix**2, axis=1) for matrix in matrices]
        return Points(tuple(counts), tuple(matrices), tuple(sizes))

    def _trended(self, rows: NDArray[np.int64]) -> FloatArray:
        """What u is made of (n x d)."""
        decisions = next(block for block in self.blocks if block.graph is None)
        return self.features.block(decisions, rows)

    def distances(self, a: Points, b: Points) -> list[FloatArray]:
        """Squared distances of n and k points in each block, and last u(x) u(y) (B + 1 matrices n x k)."""
        angular = [_angular(x, y, p, q) for x, y, p, q in zip(a.counts, b.counts, a.sizes, b.sizes, strict=False)]
        c = len(angular)
        euclidean = [
            _euclidean(x, y, p, q)
            for x, y, p, q in zip(a.matrices[:-1], b.matrices[:-1], a.sizes[c:-1], b.sizes[c:-1], strict=True)
        ]
        return [*angular, *euclidean, np.asarray(a.matrices[-1] @ b.matrices[-1].T, dtype=np.float64)]

    def value(self, theta: FloatArray, distances: Sequence[FloatArray]) -> FloatArray:
        """Covariances (n x k), noise not included."""
        total: FloatArray = CONSTANT + np.exp(theta[-2]) * distances[-1]
        for b, distance in enumerate(distances[:-1]):
            term = distance * -np.exp(-theta[2 * b + 1])
            np.exp(term, out=term)
            term *= np.exp(theta[2 * b])
            total += term
        return total

    def terms(self, theta: FloatArray, distances: Sequence[FloatArray]) -> list[tuple[FloatArray, ...]]:
        """Each term and its derivative by the log of its length; that by the log of its variance is the term itself."""
        result: list[tuple[FloatArray, ...]] = []
        for b, distance in enumerate(distances[:-1]):
            scaled = distance * np.exp(-theta[2 * b + 1])
            term = np.exp(theta[2 * b] - scaled)
            result.append((term, term * scaled))
        return [*result, (np.exp(theta[-2]) * distances[-1],)]

    def variance(self, theta: FloatArray, points: Points) -> FloatArray:
        """Prior variances of n members (n)."""
        same = CONSTANT + float(np.sum(np.exp(theta[: 2 * len(self.blocks) : 2])))
        return np.asarray(same + np.exp(theta[-2]) * points.sizes[-1])


def _angular(x: Counts, y: Counts, p: FloatArray, q: FloatArray) -> FloatArray:
    """2 - 2 cosine of counts; 0 between two without any, 2 between one without and one with."""
    inner = x.inner(y)
    inner /= np.maximum(p, 1.0)[:, None]
    inner /= np.maximum(q, 1.0)[None, :]
    inner[np.ix_(p == 0, q == 0)] = 1.0
    return np.maximum(2.0 - 2.0 * inner, 0.0)


def _euclidean(x: FloatArray, y: FloatArray, p: FloatArray, q: FloatArray) -> FloatArray:
    squares = np.asarray(x @ y.T, dtype=np.float64)
    squares *= -2.0
    squares += p[:, None]
    squares += q[None, :]
    return np.maximum(squares, 0.0, out=squares)
