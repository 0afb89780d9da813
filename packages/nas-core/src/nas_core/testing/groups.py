"""Fakes that work in groups: an optimizer that proposes them, and an evaluator whose bank is a few numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, final

import numpy as np

from nas_core.decisions import Value
from nas_core.errors import Exhausted, TrialFailed
from nas_core.evaluator import Evaluation
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.optimizer import State
from nas_core.random import rng as stream
from nas_core.space import Space
from nas_core.testing.fakes import FakeEvaluator
from nas_core.trial import Failure, Measurement, Proposal


@final
class FakeGroupEvaluator:
    """Measures as `FakeEvaluator` does, plus what the bank holds: one number a value of the first decision.

    A group adds the mean val_accuracy of its members to the number of each member's first value, and 1 to the count of
    groups; a member's val_accuracy is that of `FakeEvaluator` plus a thousandth of its number then. So results depend
    on the bank, on the members of the group and on the order of groups.

    Args:
        fail_on: values by decision's name at which a member fails alone, with the reason "diverged".
        exit_on: values at which the process ends.
        fail_after: groups after which every other one fails whole, with the reason "diverged"; None for never.
    """

    requires: frozenset[str] = frozenset()

    def __init__(
        self,
        *,
        fail_on: Mapping[str, Sequence[Value]] | None = None,
        exit_on: Mapping[str, Sequence[Value]] | None = None,
        fail_after: int | None = None,
    ) -> None:
        self.alone = FakeEvaluator(fail_on=fail_on, exit_on=exit_on)
        self.fail_after = fail_after

    @property
    def metrics(self) -> tuple[str, ...]:
        """Those of `FakeEvaluator`."""
        return self.alone.metrics

    def prepare(self, space: Space) -> None:
        """Nothing is needed."""

    def evaluate(self, evaluation: Evaluation) -> Measurement:
        """Measure a group of one on a fresh bank.

        Raises:
            TrialFailed: at values that it shall fail on.
        """
        ((result,), _) = self.evaluate_group([evaluation], None)
        if isinstance(result, Failure):
            raise TrialFailed(result.reason, result.message)
        return result

    def evaluate_group(
        self, evaluations: Sequence[Evaluation], state: State | None
    ) -> tuple[list[Measurement | Failure], State | None]:
        """Measure a group; see the class.

        Raises:
            TrialFailed: after `fail_after` groups.
        """
        groups = int(state.values["groups"]) if state is not None else 0
        if self.fail_after is not None and groups >= self.fail_after:
            raise TrialFailed("diverged", "the fake evaluator fails on this group")
        bank = {name: float(array) for name, array in state.arrays.items()} if state is not None else {}
        measured = [self._alone(evaluation) for evaluation in evaluations]
        found = [one.metrics["val_accuracy"] for one in measured if isinstance(one, Measurement)]
        for evaluation in evaluations:
            name = str(evaluation.architecture.values[0])
            bank[name] = bank.get(name, 0.0) + sum(found) / max(len(found), 1)
        results = [self._shared(one, bank, e) for one, e in zip(measured, evaluations, strict=True)]
        return results, State({name: np.array(number) for name, number in bank.items()}, {"groups": groups + 1})

    def _alone(self, evaluation: Evaluation) -> Measurement | Failure:
        try:
            return self.alone.evaluate(evaluation)
        except TrialFailed as error:
            return Failure(error.reason, str(error))

    def _shared(
        self, one: Measurement | Failure, bank: Mapping[str, float], evaluation: Evaluation
    ) -> Measurement | Failure:
        if isinstance(one, Failure):
            return one
        number = bank[str(evaluation.architecture.values[0])]
        accuracy = one.metrics["val_accuracy"] + number / 1000.0
        return replace(one, metrics={**one.metrics, "val_accuracy": accuracy})

    def to_config(self) -> dict[str, Any]:
        """The options it runs with."""
        alone = self.alone.to_config()
        return {
            "name": "fake_group",
            "fail_on": alone["fail_on"],
            "exit_on": alone["exit_on"],
            "fail_after": self.fail_after,
        }


@final
class FakeGroupOptimizer:
    """Proposes members at random in groups, the best of the history among them; every other call may be one alone.

    Args:
        space: any space.
        objectives: says what is better.
        seed: of the random numbers.
        size: members of a group.
        alone: propose single trials, without a group, at every third number of trials there are.
    """

    requires: frozenset[str] = frozenset()

    def __init__(self, space: Space, objectives: Objectives, seed: int, *, size: int = 3, alone: bool = False) -> None:
        self._space, self._objectives, self._seed = space, objectives, seed
        self.size, self.alone = size, alone

    def propose(self, history: History, n: int) -> list[Proposal]:
        """A group, or where they are wanted a trial alone; nothing while a group is running.

        Raises:
            Exhausted: never, as members may come again.
        """
        if any(trial.proposal.group is not None for trial in history.running):
            return []
        if n < 1:
            raise Exhausted("nothing was asked for")
        rng = stream(self._seed, "propose", len(history))
        if self.alone and len(history) % 3 == 0:
            return [Proposal(self._space.sample(rng, 1)[0])]
        kept = [trial.architecture for trial in self._objectives.best(history)[:1]]
        members = [*kept, *self._space.sample(rng, self.size - len(kept))]
        return [Proposal(a, group=f"group {len(history)}") for a in members]

    def state(self) -> State | None:
        """Nothing is carried."""
        return None

    def restore(self, state: State) -> None:
        """Nothing is carried."""

    def to_config(self) -> dict[str, Any]:
        """The options it runs with."""
        return {"name": "fake_group", "size": self.size, "alone": self.alone}
