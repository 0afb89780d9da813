"""Optimizers of other projects on the same tables with the same accounting: Optuna's TPE and GP, pymoo's NSGA-II.

They see a space as its decisions: each is one of their variables (choices by number), and `Space.project` makes a
member of whatever they ask for, so inactive decisions are theirs to waste. They do not know twins, and where they ask
for what they have asked for before, that is a label like any other. Everything they are told is minimised. Constraints
are told as each library takes them: what exceeds a bound, positive where it is broken.

Served by the extra `peers`; nothing of it is imported before a peer is made.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final, final

import numpy as np

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical, Decision, Integer, Value
from nas_core.errors import Exhausted, RegistryError
from nas_core.objective import Objectives
from nas_core.random import derived_seed
from nas_core.space import Space
from nas_core.trial import Failure, Measurement, Proposal
from nas_search.optimizers.base import whole

_LIBRARY_SEED_BITS = 32


@final
class OptunaPeer:
    """An Optuna study with one of its samplers.

    Args:
        kind: "tpe" or "gp".
        space: any space.
        objectives: what is told to it.
        seed: of its sampler.
        startup: random trials before its model; Optuna's default.
    """

    def __init__(self, kind: str, space: Space, objectives: Objectives, seed: int, *, startup: int = 10) -> None:
        whole("startup", startup, least=1)
        self._optuna = _imported("optuna")
        self._space, self._objectives = space, objectives
        self._bounds: list[float] = []
        self._optuna.logging.set_verbosity(self._optuna.logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some of its options are called experimental
            sampler = self._sampler(kind, _seed(seed, f"optuna_{kind}"), startup)
            directions = ["minimize"] * len(objectives.objectives)
            self._study = self._optuna.create_study(sampler=sampler, directions=directions)
        self._variables = {f"{i}": self._variable(d) for i, d in enumerate(space.decisions)}
        self._trial: Any = None

    def _sampler(self, kind: str, seed: int, startup: int) -> Any:
        makers = {"tpe": self._optuna.samplers.TPESampler, "gp": self._optuna.samplers.GPSampler}
        constrained = {"constraints_func": _told_bounds} if self._objectives.constraints else {}
        return makers[kind](seed=seed, n_startup_trials=startup, **constrained)

    def _variable(self, decision: Decision) -> Any:
        kinds = self._optuna.distributions
        if isinstance(decision, Categorical):
            return kinds.CategoricalDistribution(range(len(decision.choices)))
        if isinstance(decision, Integer):
            return kinds.IntDistribution(decision.low, decision.high)
        return kinds.FloatDistribution(0.0, 1.0)  # the decision's own scale

    def ask(self) -> Proposal:
        """See `nas_search.compare.searchers.Searcher`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._trial = self._study.ask(self._variables)
        values = [self._trial.params[f"{i}"] for i in range(len(self._space.decisions))]
        return Proposal(_member(self._space, values))

    def tell(self, result: Measurement | Failure) -> None:
        """See `nas_search.compare.searchers.Searcher`."""
        losses, excess = _told(self._objectives, result)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if losses is None:
                self._study.tell(self._trial, state=self._optuna.trial.TrialState.FAIL)
                return
            self._trial.set_user_attr(_BOUNDS, excess)
            self._study.tell(self._trial, losses)


@final
class PymooPeer:
    """pymoo's NSGA-II on mixed variables, asked for one member of a generation after the other.

    Args:
        space: any space.
        objectives: what is told to it. A failed label breaks a constraint of its own.
        seed: of its random numbers.
        population: members of a generation (pymoo's default of 100 leaves a small budget one generation).
    """

    def __init__(self, space: Space, objectives: Objectives, seed: int, *, population: int = 20) -> None:
        whole("population", population, least=2)
        self._space, self._objectives = space, objectives
        self._algorithm = _nsga2(space, objectives, population, _seed(seed, "pymoo_nsga2"))
        self._offspring: Any = None
        self._generation: list[Any] = []
        self._asked = 0

    def ask(self) -> Proposal:
        """See `nas_search.compare.searchers.Searcher`.

        Raises:
            Exhausted: pymoo breeds nothing that is new to its population.
        """
        if self._asked == len(self._generation):
            self._offspring = self._algorithm.ask()
            self._generation, self._asked = list(self._offspring) if self._offspring is not None else [], 0
            if not self._generation:
                raise Exhausted("pymoo breeds nothing new")
        variables = self._generation[self._asked].X
        self._asked += 1
        return Proposal(_member(self._space, [variables[f"{i}"] for i in range(len(self._space.decisions))]))

    def tell(self, result: Measurement | Failure) -> None:
        """See `nas_search.compare.searchers.Searcher`."""
        losses, excess = _told(self._objectives, result)
        if losses is None:
            values, bounds = [0.0] * len(self._objectives.objectives), [_FAILED] * (len(excess) + 1)
        else:
            values, bounds = losses, [*excess, -1.0]
        member = self._generation[self._asked - 1]
        member.set("F", np.array(values))
        member.set("G", np.array(bounds))
        member.evaluated.update({"F", "G", "H"})
        if self._asked == len(self._generation):
            self._algorithm.tell(infills=self._offspring)


_BOUNDS: Final = "bounds"
_FAILED: Final = 1e9


def _tpe(space: Space, objectives: Objectives, seed: int, *, startup: int = 10) -> OptunaPeer:
    return OptunaPeer("tpe", space, objectives, seed, startup=startup)


def _gp(space: Space, objectives: Objectives, seed: int, *, startup: int = 10) -> OptunaPeer:
    return OptunaPeer("gp", space, objectives, seed, startup=startup)


PEERS: Final[Mapping[str, Callable[..., OptunaPeer | PymooPeer]]] = {
    "optuna_tpe": _tpe,
    "optuna_gp": _gp,
    "pymoo_nsga2": PymooPeer,
}
"""Peers by the names that a comparison knows them by."""


def _nsga2(space: Space, objectives: Objectives, population: int, seed: int) -> Any:
    _imported("pymoo")
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.mixed import MixedVariableDuplicateElimination, MixedVariableMating, MixedVariableSampling
    from pymoo.core.problem import Problem
    from pymoo.core.termination import NoTermination

    problem = Problem(
        vars={f"{i}": _pymoo_variable(decision) for i, decision in enumerate(space.decisions)},
        n_obj=len(objectives.objectives),
        n_ieq_constr=len(objectives.constraints) + 1,
    )
    algorithm = NSGA2(
        pop_size=population,
        sampling=MixedVariableSampling(),
        mating=MixedVariableMating(eliminate_duplicates=MixedVariableDuplicateElimination()),
        eliminate_duplicates=MixedVariableDuplicateElimination(),
    )
    algorithm.setup(problem, termination=NoTermination(), seed=seed, verbose=False)
    return algorithm


def _pymoo_variable(decision: Decision) -> Any:
    from pymoo.core import variable

    if isinstance(decision, Categorical):
        return variable.Choice(options=list(range(len(decision.choices))))
    if isinstance(decision, Integer):
        return variable.Integer(bounds=(decision.low, decision.high))
    return variable.Real(bounds=(0.0, 1.0))  # the decision's own scale


def _member(space: Space, numbers: list[Any]) -> Architecture:
    """The member of a library's numbers: those of choices, whole numbers, and places on a real decision's scale."""
    return space.project([_value(decision, number) for decision, number in zip(space.decisions, numbers, strict=True)])


def _value(decision: Decision, number: Any) -> Value:
    if isinstance(decision, Categorical):
        return decision.choices[int(number)]
    return decision.nearest(number) if isinstance(decision, Integer) else decision.from_unit(number)


def _told(objectives: Objectives, result: Measurement | Failure) -> tuple[list[float] | None, list[float]]:
    """Losses (m), None where failed, and by how much each bound is exceeded, relative to its size."""
    if isinstance(result, Failure):
        return None, [0.0] * len(objectives.constraints)
    values = np.array([[result.metrics[name] for name in objectives.metrics]])
    excess = []
    for constraint in objectives.constraints:
        beyond = result.metrics[constraint.metric] - constraint.bound
        excess.append((beyond if constraint.at_most else -beyond) / max(abs(constraint.bound), 1e-12))
    losses: list[float] = objectives.losses(values)[0].tolist()
    return losses, excess


def _told_bounds(trial: Any) -> list[float]:
    bounds: list[float] = trial.user_attrs[_BOUNDS]
    return bounds


def _seed(seed: int, name: str) -> int:
    return derived_seed(seed, name) % (1 << _LIBRARY_SEED_BITS)


def _imported(library: str) -> ModuleType:
    import importlib

    try:
        return importlib.import_module(library)
    except ImportError as error:
        raise RegistryError(
            f"this peer needs {library}, which does not import ({error})",
            remedy="Install the extra `peers` of nas-search.",
        ) from error
