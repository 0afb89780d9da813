"""HpBandSter's BOHB as a searcher of our spaces: its densities and its brackets, without name server and workers.

Falkner, Klein, Hutter 2018, by their own package (hpbandster 0.7.4). It is no dependency of ours and needs libraries
of its time, so it has an environment of its own, in which nas-core, nas-spaces and nas-search are on PYTHONPATH:

    uv venv --python 3.11 hpb
    uv pip install --python hpb "setuptools<81" wheel
    uv pip install --python hpb --no-build-isolation hpbandster==0.7.4 ConfigSpace==0.7.1 "numpy<2" "pandas<2.3" \
        "scipy<1.14" "statsmodels<0.15" networkx

The brackets are those of its optimizer (`hpbandster/optimizers/bohb.py`), over the fidelities that are given; every
option of its model has its default. It draws from numpy's global stream, which is seeded here for each search. Where a
choice is missing among its good or bad members its densities are not numbers, which it reports and passes over
(HpBandSter's issue 100); the reports are not shown.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical, Integer
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.random import derived_seed
from nas_core.space import Space
from nas_core.trial import Proposal


class HpBandSter:
    """One search by one worker, with one objective.

    Args:
        space: any; each decision is one of its hyperparameters, on the decision's own scale.
        objectives: one.
        seed: of the search.
        fidelities: ascending; its budgets.
        eta: one of so many is promoted.

    Raises:
        ImportError: hpbandster or ConfigSpace is not installed.
    """

    def __init__(
        self, space: Space, objectives: Objectives, seed: int, *, fidelities: Sequence[float], eta: float
    ) -> None:
        from hpbandster.optimizers.config_generators.bohb import BOHB

        logging.getLogger("hpbandster").setLevel(logging.CRITICAL)
        own = derived_seed(seed, "hpbandster") % 2**32
        np.random.seed(own)  # noqa: NPY002 (it knows no other stream)
        self._space, self._objectives, self._fidelities, self._eta = space, objectives, tuple(fidelities), eta
        self._model = BOHB(_configuration_space(space, own))
        self._bracket, self._opened = self._next(0), 1
        self._job: Any = None

    def propose(self, history: History, n: int) -> list[Proposal]:
        """The next trial; `history` must have the result of the one before, and n is not read."""
        if self._job is not None:
            self._tell(float(self._objectives.losses(history.values[-1:])[0, 0]))
        run = self._bracket.get_next_run()
        while run is None:  # by one worker: the bracket has ended
            self._bracket = self._next(self._opened)
            self._opened += 1
            run = self._bracket.get_next_run()
        from hpbandster.core.dispatcher import Job

        number, values, fidelity = run
        self._job = Job(number, config=values, budget=fidelity, working_directory=".")
        picked = self._bracket.data[number].config_info["model_based_pick"]
        info = {"rung": self._bracket.stage, "by": "model" if picked else "chance"}
        return [Proposal(self._member(values), fidelity=fidelity, info=info)]

    def _tell(self, loss: float) -> None:
        self._job.result = {"loss": loss, "info": {}}
        self._bracket.register_result(self._job)
        self._model.new_result(self._job)

    def _next(self, number: int) -> Any:
        """A bracket, by its number from 0; sizes as in the package's optimizer."""
        from hpbandster.optimizers.iterations import SuccessiveHalving

        levels = len(self._fidelities)
        promotions = levels - 1 - number % levels
        first = math.ceil(levels // (promotions + 1) * self._eta**promotions)
        return SuccessiveHalving(
            HPB_iter=number,
            num_configs=[max(int(first * self._eta**-rung), 1) for rung in range(promotions + 1)],
            budgets=list(self._fidelities[levels - 1 - promotions :]),
            config_sampler=self._model.get_config,
        )

    def _member(self, values: dict[str, Any]) -> Architecture:
        decisions = self._space.decisions
        return self._space.project(
            [values[d.name] if isinstance(d, Categorical | Integer) else d.from_unit(values[d.name]) for d in decisions]
        )


def _configuration_space(space: Space, seed: int) -> Any:
    from ConfigSpace import ConfigurationSpace
    from ConfigSpace.hyperparameters import (
        CategoricalHyperparameter,
        UniformFloatHyperparameter,
        UniformIntegerHyperparameter,
    )

    found = ConfigurationSpace(seed=seed)
    for decision in space.decisions:
        if isinstance(decision, Categorical):
            found.add_hyperparameter(CategoricalHyperparameter(decision.name, list(decision.choices)))
        elif isinstance(decision, Integer):
            found.add_hyperparameter(UniformIntegerHyperparameter(decision.name, decision.low, decision.high))
        else:
            found.add_hyperparameter(UniformFloatHyperparameter(decision.name, 0.0, 1.0))
    return found
