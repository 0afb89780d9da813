"""One-shot training of a group: the members take turns on one bank of weights, then each is measured with it.

As in ENAS and NAO with weight sharing, each step trains one member, drawn uniformly from the group (Luo et al. 2018,
section 3.4 and the authors' code). The bank goes on from group to group; its state holds every position that was ever
used, what the weight optimizer remembers of it, and how many epochs it has been trained. Where an evaluator says so,
every group begins on a fresh bank instead: then what it measures can be compared from group to group, and favours no
member that was trained in a group before.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

from torch import nn

from nas_core.errors import InvalidNetwork, InvalidOption, TrialFailed
from nas_core.evaluator import Evaluation, GroupEvaluator
from nas_core.optimizer import State
from nas_core.random import derived_seed
from nas_core.trial import Failure, Measurement
from nas_train.shared_weights.bank import Bank
from nas_train.weight_optimizer import WeightOptimizer

Results = list[Measurement | Failure]


class OneShot(Protocol):
    """What depends on the kind of data."""

    def member(self, evaluation: Evaluation, bank: Bank, seed: int) -> nn.Module:
        """The network of an architecture on the bank.

        Raises:
            InvalidNetwork: it has none, or it does not fit the bank.
        """
        ...

    def weights(self, bank: Bank) -> WeightOptimizer:
        """What moves the bank's parameters."""
        ...

    def train(self, members: Sequence[Any], weights: WeightOptimizer, seed: int, done: int, epochs: int) -> float:
        """Train for some epochs more than `done`; the mean loss of the last one.

        Raises:
            TrialFailed: "diverged" or "out_of_memory".
        """
        ...

    def measure(self, member: Any) -> dict[str, float]:
        """Metrics of a member on the validation split, with the bank as it is.

        Raises:
            TrialFailed: they are not finite.
        """
        ...


def run_group(
    kind: OneShot, evaluations: Sequence[Evaluation], state: State | None, bank: Bank, epochs: int
) -> tuple[Results, State | None]:
    """Train a bank on a group's members and measure each.

    Args:
        kind: images or text.
        evaluations: the group; it may ask for a fidelity, the epochs that it trains, in common.
        state: of the bank after the group before; None for a fresh one.
        bank: empty.
        epochs: of a group that asks for no fidelity.

    Returns:
        A result for each; a member without a network, or whose metrics are not finite, fails alone. And the state of
        the bank afterwards; as it was where no member has a network.

    Raises:
        TrialFailed: the training failed; the whole group has then.
        InvalidOption: fidelities that differ, or are no numbers of epochs; a training to be continued.
    """
    start = time.perf_counter()
    seed = derived_seed(evaluations[0].seed, "bank")
    epochs = _epochs(evaluations, epochs)
    remembered = bank.restore(state) if state is not None else {}
    done = int(state.values["epochs"]) if state is not None else 0
    members = [_member(kind, evaluation, bank, seed) for evaluation in evaluations]
    alive = [member for member in members if isinstance(member, nn.Module)]
    if not alive:
        return [member for member in members if isinstance(member, Failure)], state
    weights = kind.weights(bank)
    weights.restore(remembered)
    loss = kind.train(alive, weights, seed, done, epochs)
    trained = time.perf_counter() - start
    after = bank.state(weights.state(), {"epochs": done + epochs})
    common = {"train_loss": loss, "train_seconds": trained / len(alive)}
    details = {"bank": {"epochs": done + epochs, "members": len(alive)}}
    results = [_measured(kind, member, common, details) for member in members]
    seconds = (time.perf_counter() - start) / len(members)
    return [replace(result, seconds=seconds) for result in results], after


def _epochs(evaluations: Sequence[Evaluation], usual: int) -> int:
    fidelities = {evaluation.fidelity for evaluation in evaluations}
    if any(evaluation.resume_from is not None for evaluation in evaluations):
        raise InvalidOption("shared weights go on from the bank, not from a checkpoint", expected="no resume_from")
    if len(fidelities) > 1:
        raise InvalidOption("a group is trained as one", value=sorted(map(str, fidelities)), expected="one fidelity")
    fidelity = fidelities.pop()
    if fidelity is None:
        return usual
    if fidelity < 1 or fidelity != int(fidelity):
        raise InvalidOption("a fidelity must be a number of epochs", value=fidelity, expected="a whole number from 1")
    return int(fidelity)


def _member(kind: OneShot, evaluation: Evaluation, bank: Bank, seed: int) -> nn.Module | Failure:
    try:
        return kind.member(evaluation, bank, seed)
    except InvalidNetwork as error:
        return Failure("no_network", str(error))


def _measured(
    kind: OneShot, member: nn.Module | Failure, common: dict[str, float], details: dict[str, Any]
) -> Measurement | Failure:
    if isinstance(member, Failure):
        return member
    try:
        return Measurement({**kind.measure(member), **common}, details=details)
    except TrialFailed as error:
        return Failure(error.reason, str(error))


def evaluate_alone(evaluator: GroupEvaluator, evaluation: Evaluation) -> Measurement:
    """Measure one architecture as a group of its own, on a bank of its own.

    Raises:
        TrialFailed: it cannot be measured.
    """
    ((result,), _) = evaluator.evaluate_group([evaluation], None)
    if isinstance(result, Failure):
        raise TrialFailed(result.reason, result.message)
    return result
