"""Training sets: what a surrogate fits, made from a history in one place.

`TrainingSet.from_history` alone handles the signs of objectives, failed trials, fidelities and twins.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.errors import InvalidOption
from nas_core.history import History
from nas_core.objective import Objectives, is_functional
from nas_core.trial import Status, Trial


@dataclass(frozen=True)
class TrainingSet:
    """n observations of m targets to be minimised, pooled by sameness.

    Args:
        architectures: n members, each the first that was observed of its kind.
        targets: mean losses (n x m).
        counts: how many labels each row is the mean of (n); the noise of a row shrinks with it.
        violations: total violation of the constraints, mean of the pooled labels (n); 0 where they hold.
        failed: members whose every trial failed.
        functional: of each target, whether it depends on a network's function alone (`objective.is_functional`) (m);
            None where that is not known.
    """

    architectures: tuple[Architecture, ...]
    targets: NDArray[np.float64]
    counts: NDArray[np.int64]
    violations: NDArray[np.float64]
    failed: tuple[Architecture, ...] = ()
    functional: tuple[bool, ...] | None = None

    def __post_init__(self) -> None:
        n = len(self.architectures)
        if (
            self.targets.ndim != 2
            or len(self.targets) != n
            or self.counts.shape != (n,)
            or self.violations.shape != (n,)
        ):
            raise InvalidOption("a training set's rows do not match", value=(n, self.targets.shape, self.counts.shape))
        if not np.isfinite(self.targets).all():
            raise InvalidOption("a training set's targets must be finite numbers")

    def __len__(self) -> int:
        return len(self.architectures)

    @classmethod
    def from_history(
        cls,
        history: History,
        objectives: Objectives,
        *,
        key: Callable[[Architecture], Hashable] | None = None,
        fidelity: float | None = None,
    ) -> TrainingSet:
        """Gather the finished trials of a history.

        Args:
            history: holds the objectives' metrics.
            objectives: which are turned so that less is better.
            key: what pools labels: `space.twin_key` where twins share a function and every objective is functional,
                otherwise the architecture itself.
            fidelity: only trials of this fidelity; None takes the highest that was completed, or tried where none was
                completed (trials without a fidelity count as the highest).

        Raises:
            InvalidOption: `key` pools twins although an objective is not functional.
        """
        if key is not None and not objectives.functional:
            raise InvalidOption(
                "twins may be pooled only where every objective and constraint depends on the function alone",
                value=objectives.metrics,
            )
        same = key if key is not None else lambda architecture: architecture
        at = _highest(history) if fidelity is None else fidelity
        values = history.values
        rows: dict[Hashable, list[int]] = {}
        first: dict[Hashable, Architecture] = {}
        failed: dict[Hashable, Architecture] = {}
        for row, trial in enumerate(history.finished):
            if _fidelity(trial) != at:
                continue
            kind = same(trial.architecture)
            if trial.status is Status.FAILED:
                failed.setdefault(kind, trial.architecture)
                continue
            first.setdefault(kind, trial.architecture)
            rows.setdefault(kind, []).append(row)
        losses, violation = objectives.losses(values), objectives.violation(values)
        m = losses.shape[1]
        return cls(
            architectures=tuple(first.values()),
            targets=np.array([losses[own].mean(axis=0) for own in rows.values()]).reshape(len(rows), m),
            counts=np.array([len(own) for own in rows.values()], dtype=np.int64),
            violations=np.array([violation[own].mean() for own in rows.values()], dtype=np.float64),
            failed=tuple(architecture for kind, architecture in failed.items() if kind not in rows),
            functional=tuple(is_functional(objective.metric) for objective in objectives.objectives),
        )


def _fidelity(trial: Trial) -> float:
    return float("inf") if trial.proposal.fidelity is None else trial.proposal.fidelity


def _highest(history: History) -> float:
    return max((_fidelity(trial) for trial in history.completed or history.finished), default=float("inf"))
