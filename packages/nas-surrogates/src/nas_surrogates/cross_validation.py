"""How far a surrogate is from what it has not seen: k-fold cross-validation that holds out whole groups.

Members that the space calls the same, twins or else isomorphic graphs, are one group and are held out together:
otherwise the error would be that of looking a value up.

Notation
    n  architectures        m  targets        k  folds
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.errors import InvalidOption
from nas_core.space import HasGraphs, HasTwins, Space
from nas_core.surrogate import Posterior
from nas_core.training_set import TrainingSet
from nas_surrogates.metrics import kendall_tau, pearson, rmse, spearman

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


class Errors(NamedTuple):
    """Of n held-out predictions of one target; `r2` is 1 - the mean squared error / the variance."""

    rmse: float
    r2: float
    pearson: float
    spearman: float
    kendall: float


def groups(space: Space, architectures: Sequence[Architecture]) -> IntArray:
    """The number of each architecture's group (n), counted from 0 in the order in which they are met."""
    key: Callable[[Architecture], Hashable] = lambda a: a  # noqa: E731 - the last of three
    if isinstance(space, HasTwins):
        key = space.twin_key
    elif isinstance(space, HasGraphs):
        key = space.graph_key
    known: dict[Hashable, int] = {}
    return np.array([known.setdefault(key(a), len(known)) for a in architectures], dtype=np.int64)


def held_out(
    fit: Callable[[TrainingSet], Posterior], data: TrainingSet, group: IntArray, k: int, rng: np.random.Generator
) -> FloatArray:
    """What is predicted of each architecture by a fit to the folds that it is not in (n x m).

    Args:
        fit: a surrogate, ready to be fitted.
        data: n observations.
        group: the group of each (n), from 0.
        k: number of folds.
        rng: draws the order in which groups are dealt to the folds.

    Raises:
        InvalidOption: fewer than two folds, or more than groups.
    """
    count = int(group.max(initial=-1)) + 1
    if not 2 <= k <= count:
        raise InvalidOption("no such number of folds", value=k, expected=f"2 to {count}, the different architectures")
    fold = np.empty(count, dtype=np.int64)
    fold[rng.permutation(count)] = np.arange(count) % k
    predicted = np.empty_like(data.targets)
    for i in range(k):
        out = np.flatnonzero(fold[group] == i)
        posterior = fit(_part(data, np.flatnonzero(fold[group] != i)))
        predicted[out] = posterior.predict([data.architectures[row] for row in out]).mean
    return predicted


def errors(predicted: FloatArray, observed: FloatArray) -> Errors:
    """The errors of one target (n each); the observations are not all the same."""
    error = rmse(predicted, observed)
    return Errors(
        error,
        1.0 - error**2 / float(np.var(observed)),
        pearson(predicted, observed),
        spearman(predicted, observed),
        kendall_tau(predicted, observed),
    )


def _part(data: TrainingSet, rows: NDArray[np.intp]) -> TrainingSet:
    return TrainingSet(
        tuple(data.architectures[row] for row in rows),
        data.targets[rows],
        data.counts[rows],
        data.violations[rows],
        functional=data.functional,
    )
