"""What a surrogate is told of members whose every trial failed: the worst value known of each target."""

from __future__ import annotations

import numpy as np

from nas_core.training_set import TrainingSet


def with_failures(data: TrainingSet) -> TrainingSet:
    """A training set with its failed members as rows; as it is where none failed or nothing else is known."""
    k = len(data.failed)
    if k == 0 or len(data) == 0:
        return data
    return TrainingSet(
        (*data.architectures, *data.failed),
        np.concatenate([data.targets, np.tile(data.targets.max(axis=0), (k, 1))]),
        np.concatenate([data.counts, np.ones(k, dtype=np.int64)]),
        np.concatenate([data.violations, np.zeros(k)]),
        functional=data.functional,
    )
