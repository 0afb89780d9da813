"""What candidates are worth by a surrogate that is fitted to the results at one fidelity."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.random import derived_seed, rng
from nas_core.space import HasTwins, Space
from nas_core.surrogate import Surrogate
from nas_core.training_set import TrainingSet


def utilities(
    surrogate: Surrogate,
    space: Space,
    objectives: Objectives,
    history: History,
    fidelity: float,
    candidates: Sequence[Architecture],
    seed: int,
) -> NDArray[np.float64]:
    """The log of what evaluating each candidate is worth (n), as `nas_surrogates.utility` has it.

    Args:
        surrogate: made for the space.
        space: of the candidates.
        objectives: of the study.
        history: at least one trial of the fidelity has been completed.
        fidelity: whose results are fitted.
        candidates: n members.
        seed: of the study.
    """
    from nas_surrogates.pools import over, pool_of
    from nas_surrogates.utility import columns, log_utility

    modelled = columns(objectives)
    key = space.twin_key if isinstance(space, HasTwins) and objectives.functional else None
    data = TrainingSet.from_history(history, modelled, key=key, fidelity=fidelity)
    posterior = surrogate.fit(data, rng(seed, "fit", history.seq))
    model = over(posterior, pool_of(surrogate, candidates))
    return log_utility(model, data.targets, objectives, derived_seed(seed, "utility", len(history)))
