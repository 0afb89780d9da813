"""Starting a search with what was learnt in another space: from a study's directory, or from a file (BONAS 4.4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas_core.errors import InvalidOption, StoreError
from nas_core.objective import Objectives
from nas_core.random import rng
from nas_core.registry import from_config
from nas_core.space import HasTwins
from nas_core.surrogate import Posterior, Surrogate
from nas_core.training_set import TrainingSet


def started(
    start: str, surrogate: Surrogate, config: Mapping[str, Any], objectives: Objectives, seed: int
) -> Posterior:
    """The posterior that a search begins with.

    Args:
        start: a directory with a study, to whose results a surrogate of the same options is fitted in the study's
            space; or a file written by `nas_surrogates.saved_fit.save`.
        surrogate: that takes it over.
        config: its name and options.
        objectives: of the search; a study must have the same metrics in the same directions.
        seed: names the random numbers of the fit.

    Raises:
        InvalidOption: other operations, options or metrics; or no completed trial.
        StoreError: what `start` names cannot be read.
    """
    from nas_surrogates import saved_fit
    from nas_surrogates.utility import columns

    path = Path(start)
    if path.is_dir():
        return _of_study(path, surrogate, config, objectives, seed)
    if not path.exists():
        raise StoreError(
            "there is nothing to start from", value=start, expected="a run directory, or the file of a fitted surrogate"
        )
    posterior = saved_fit.load(path, surrogate)
    wanted = len(columns(objectives).objectives)
    if len(posterior.scales) != wanted:
        raise InvalidOption(
            "the surrogate was fitted to another number of metrics",
            value=len(posterior.scales),
            place=start,
            expected=str(wanted),
        )
    return posterior


def _of_study(
    path: Path, surrogate: Surrogate, config: Mapping[str, Any], objectives: Objectives, seed: int
) -> Posterior:
    from nas_search.study import Study  # a study makes optimizers, so that this would go in a circle
    from nas_surrogates import saved_fit
    from nas_surrogates.neural_linear import NeuralLinearPosterior
    from nas_surrogates.utility import columns

    with Study.open(path, read_only=True) as study:
        own, history, space = study.objectives, study.history(), study.space
    if columns(own) != columns(objectives):
        raise InvalidOption(
            "the study to start from has other metrics",
            value=own.to_config(),
            place=str(path),
            expected=str(objectives.to_config()),
        )
    key = space.twin_key if isinstance(space, HasTwins) and objectives.functional else None
    data = TrainingSet.from_history(history, columns(objectives), key=key)
    if len(data) == 0:
        raise InvalidOption("the study to start from has no completed trial", value=str(path))
    posterior = from_config("surrogate", config, space).fit(data, rng(seed, "start"))
    if not isinstance(posterior, NeuralLinearPosterior):
        raise InvalidOption("this surrogate cannot begin elsewhere", value=config["name"], expected="gcn, mlp or lstm")
    return saved_fit.taken_over(posterior, surrogate, str(path))
