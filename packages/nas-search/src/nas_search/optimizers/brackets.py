"""Brackets of successive halving: how many members run at which fidelity, and what of it a history has done.

Hyperband: Li et al. 2018, algorithm 1, with the sizes of Falkner et al. 2018's code: a bracket of s promotions starts
floor(L / (s + 1)) · η^s members, L the number of fidelities, and keeps one of η at each rung. The fidelities are given,
so they need not be a geometric series; η stays the share that is kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from nas_core.errors import InvalidOption
from nas_core.trial import Status, Trial


@dataclass(frozen=True)
class Schedule:
    """Which brackets there are.

    Args:
        fidelities: ascending.
        eta: one of so many members is promoted; None for the mean ratio of neighbouring fidelities.

    Raises:
        InvalidOption: fidelities that are not different numbers above 0 in ascending order, or η not above 1.
    """

    fidelities: tuple[float, ...]
    eta: float

    @classmethod
    def of(cls, fidelities: Sequence[float], eta: float | None) -> Schedule:
        """Check, and fill in η."""
        numbers = [x for x in fidelities if isinstance(x, int | float) and not isinstance(x, bool) and x > 0]
        if isinstance(fidelities, str) or not numbers or len(numbers) < len(fidelities):
            raise InvalidOption(
                "fidelities cannot be read", value=fidelities, expected="numbers above 0: [30, 60, 120]"
            )
        if sorted(set(numbers)) != numbers:
            raise InvalidOption("fidelities must ascend", value=fidelities, expected=str(sorted(set(numbers))))
        if eta is None:
            steps = len(numbers) - 1
            eta = float((numbers[-1] / numbers[0]) ** (1 / steps)) if steps else 3.0
        if isinstance(eta, bool) or not isinstance(eta, int | float) or not math.isfinite(eta) or eta <= 1:
            raise InvalidOption("eta must be a number above 1", value=eta)
        return cls(tuple(float(x) for x in numbers), float(eta))

    @property
    def levels(self) -> int:
        """The number of fidelities L."""
        return len(self.fidelities)

    def kind(self, bracket: int) -> int:
        """The number of promotions of a bracket, by its number from 0: the most first, then one fewer, in turn."""
        return self.levels - 1 - bracket % self.levels

    def sizes(self, promotions: int) -> tuple[int, ...]:
        """How many members each rung of a bracket takes."""
        first = max(1, int(self.levels // (promotions + 1) * self.eta**promotions + _ROUNDING))
        return tuple(max(1, int(first / self.eta**rung + _ROUNDING)) for rung in range(promotions + 1))

    def fidelity(self, promotions: int, rung: int) -> float:
        """The fidelity of a rung."""
        return self.fidelities[self.levels - 1 - promotions + rung]


_ROUNDING = 1e-9


@dataclass
class Rung:
    """The trials of one rung: all, and the finished ones in the order in which they finished."""

    begun: list[int] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)
    parents: set[int] = field(default_factory=set)


def rungs(trials: Sequence[Trial], finished: Sequence[Trial]) -> dict[int, dict[int, Rung]]:
    """What a history has of each bracket, by its number, and of each rung.

    Args:
        trials: all, in order of proposal; those that no bracket proposed are left out.
        finished: in order of finishing.
    """
    found: dict[int, dict[int, Rung]] = {}
    for trial in trials:
        rung = _rung(found, trial)
        if rung is not None:
            rung.begun.append(trial.number)
            if "parent" in trial.proposal.info:
                rung.parents.add(int(trial.proposal.info["parent"]))
    for trial in finished:
        rung = _rung(found, trial)
        if rung is not None and trial.status is not Status.RUNNING:
            rung.finished.append(trial.number)
    return found


def _rung(found: dict[int, dict[int, Rung]], trial: Trial) -> Rung | None:
    info = trial.proposal.info
    if "bracket" not in info or "rung" not in info:
        return None
    return found.setdefault(int(info["bracket"]), {}).setdefault(int(info["rung"]), Rung())
