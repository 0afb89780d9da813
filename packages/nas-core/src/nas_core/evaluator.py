"""What an evaluator is: it turns a trial into measurements.

Evaluators run in worker processes that are sent plain JSON, so they are made from their configuration and know a trial
by an `Evaluation`. They never see an optimizer, the history or the store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from nas_core.architecture import Architecture
from nas_core.optimizer import State
from nas_core.space import Space
from nas_core.trial import Failure, Measurement


@dataclass(frozen=True)
class Evaluation:
    """One trial as an evaluator sees it.

    Args:
        space: the space of the architecture.
        architecture: what to measure.
        fidelity: how much to spend; None for the evaluator's only or highest.
        draw: which network a generator space draws.
        replicate: which repetition.
        seed: the study's seed; streams are `rng(seed, "evaluate", …)`, the same for the same architecture, draw and
            replicate wherever they are evaluated.
        artefacts: existing directory for files worth keeping; None where nothing may be kept.
        resume_from: checkpoint file of the trial whose training is continued.
    """

    space: Space
    architecture: Architecture
    fidelity: float | None = None
    draw: int = 0
    replicate: int = 0
    seed: int = 0
    artefacts: Path | None = None
    resume_from: Path | None = None


@runtime_checkable
class Evaluator(Protocol):
    """Measures architectures. Made as `kind(**options)` from plain data."""

    requires: frozenset[str]
    """Capabilities of a space that it reads."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of every metric that it measures."""
        ...

    def prepare(self, space: Space) -> None:
        """Check once, before the first trial, that everything it needs is there and fits; may load data.

        Raises:
            NasError: whatever is missing or wrong.
        """
        ...

    def evaluate(self, evaluation: Evaluation) -> Measurement:
        """Measure one architecture.

        Raises:
            TrialFailed: it cannot be measured; the study goes on.
        """
        ...

    def to_config(self) -> dict[str, Any]:
        """The options from which an equal evaluator is made, as plain data."""
        ...


@runtime_checkable
class GroupEvaluator(Protocol):
    """An evaluator that trains several architectures on one bank of weights."""

    def evaluate_group(
        self, evaluations: Sequence[Evaluation], state: State | None
    ) -> tuple[list[Measurement | Failure], State | None]:
        """Measure the architectures of one group, going on from the bank `state`.

        The bank is the evaluator's only memory: the same group on the same state gives the same results and the same
        next state, in whatever process.

        Args:
            evaluations: the group, in the order in which it was proposed; at least one.
            state: what the group before has left; None for the first.

        Returns:
            A result for each, in that order; and the bank afterwards, None to keep what there was.

        Raises:
            TrialFailed: none of them can be measured; the bank stays as it was.
        """
        ...
