"""Fakes: a small space, and an evaluator, a surrogate and an optimizer that do simple arithmetic."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any, TypeAlias, final

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.catalogue import classifier, conv_norm, same_pooling
from nas_core.decisions import Categorical, Decision, Integer, Real, Value
from nas_core.encoding import one_hot
from nas_core.errors import Exhausted, InvalidArchitecture, InvalidData, InvalidNetwork, InvalidOption, TrialFailed
from nas_core.evaluator import Evaluation
from nas_core.graph import Graph
from nas_core.history import History
from nas_core.network import Network, NetworkBuilder, Task
from nas_core.objective import Objectives
from nas_core.optimizer import State
from nas_core.primitives import Activation, Add, Dropout, Identity
from nas_core.random import rng as stream
from nas_core.space import Space
from nas_core.surrogate import Prediction
from nas_core.training_set import TrainingSet
from nas_core.trial import Measurement, Proposal

FloatArray: TypeAlias = NDArray[np.float64]

OPERATIONS = ("conv3", "conv1", "pool", "skip")
ACTIVATIONS = ("relu", "tanh")


def _decisions(operations: int, deepest: int) -> tuple[Decision, ...]:
    for name, value, most in (("operations", operations, len(OPERATIONS)), ("deepest", deepest, 9)):
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
            raise InvalidOption(f"{name} cannot be set", value=value, expected=f"a whole number from 1 to {most}")
    return (
        Categorical("left", OPERATIONS[:operations]),
        Categorical("right", OPERATIONS[:operations]),
        Integer("depth", 0, deepest),
        Categorical("activation", ACTIVATIONS),
    )


def _active(values: Sequence[Value | None]) -> tuple[bool, ...]:
    """The activation means something only where it is applied at all; all other decisions always do."""
    return (True, True, True, values[2] != 0, *(True for _ in values[4:]))


def _network(values: Sequence[Any], rate: float | None, task: Task, channels: int) -> Network:
    if task.kind != "classification":
        raise InvalidNetwork("a toy network classifies images", value=task.kind, expected="classification")
    left, right, depth, activation = values
    b = NetworkBuilder(task)
    x = b.input()
    with b.scope("stem"):
        x = conv_norm(b, x, channels, 3)
    ends = []
    for slot, operation in (("left", left), ("right", right)):
        with b.scope(slot):
            ends.append(_operation(b, operation, x, channels))
    x = b.add("join", Add(), *ends)
    for i in range(depth):
        x = b.add(f"{activation}{i}", Activation(activation), x)
    if rate is not None:
        x = b.add("dropout", Dropout(rate), x)
    with b.scope("head"):
        return b.network(logits=classifier(b, x))


def _operation(b: NetworkBuilder, operation: str, x: int, channels: int) -> int:
    if operation == "pool":
        return b.add("pool", same_pooling("avg", 3), x)
    if operation == "skip":
        return b.add("skip", Identity(), x)
    with b.scope(operation):
        return conv_norm(b, x, channels, 3 if operation == "conv3" else 1)


@final
class ToySpace(Space):
    """A small space that can do everything: two slots side by side, joined by addition, then activations in a row.

    Decisions: the operations `left` and `right`, how many activations follow (`depth`, from 0), and which `activation`,
    inactive at depth 0. The defaults give 80 members, 50 graphs and 40 classes of twins; see `size` for others.

    Twins (rules "toy-1"): the slots may be swapped, and all but the first of several relu in a row may be dropped.

    Args:
        operations: how many of conv3, conv1, pool and skip there are to choose from.
        deepest: largest depth.

    Raises:
        InvalidOption: an option out of range.
    """

    name = "toy"

    def __init__(self, operations: int = 4, deepest: int = 2) -> None:
        self.decisions = _decisions(operations, deepest)
        self.operations = operations
        self.deepest = deepest

    def active(self, values: Sequence[Value | None]) -> tuple[bool, ...]:
        """All but the activation of depth 0."""
        return _active(values)

    def to_config(self) -> dict[str, Any]:
        """The options."""
        return {"name": "toy", "operations": self.operations, "deepest": self.deepest}

    @property
    def size(self) -> int:
        """Pairs of operations times tails: none, or an activation repeated up to `deepest` times."""
        return self.operations**2 * (1 + len(ACTIVATIONS) * self.deepest)

    def enumerate(self) -> Iterator[Architecture]:
        """Every member, the last decision running fastest."""
        names = OPERATIONS[: self.operations]
        for left, right, depth in product(names, names, range(self.deepest + 1)):
            for activation in ACTIVATIONS if depth else (None,):
                yield Architecture(self.name, (left, right, depth, activation))

    def graphs(self, a: Architecture) -> Mapping[str, Graph]:
        """Input -> both operations -> add -> activations -> output."""
        left, right, depth, activation = a.values
        tail = [str(activation)] * int(depth or 0)
        labels = ("input", str(left), str(right), "add", *tail, "output")
        chain = tuple((i, i + 1) for i in range(3, len(labels) - 1))
        return {"cell": Graph(labels, ((0, 1), (0, 2), (1, 3), (2, 3), *chain))}

    def from_graphs(self, graphs: Mapping[str, Graph]) -> Architecture:
        """Reads the labels and checks by the key that the edges are those of the member with such labels."""
        if set(graphs) != {"cell"}:
            raise InvalidArchitecture("toy members have one graph", value=sorted(graphs), expected="cell")
        labels = graphs["cell"].labels
        slots = [label for label in labels if label in OPERATIONS]
        tail = [label for label in labels if label in ACTIVATIONS]
        if len(slots) != 2:
            raise InvalidArchitecture("a toy graph has two operations", value=slots)
        member = self.canonical([*slots, len(tail), tail[0] if tail else None])
        if self.graphs(member)["cell"].key() != graphs["cell"].key():
            raise InvalidArchitecture("not the graph of a toy member", value=graphs["cell"])
        return member

    @property
    def graph_labels(self) -> tuple[str, ...]:
        """Ends, operations, the sum and the activations."""
        return ("input", *OPERATIONS[: self.operations], "add", *ACTIVATIONS, "output")

    @property
    def most_nodes(self) -> int:
        """Input, two operations, sum, activations, output."""
        return 5 + self.deepest

    def graph_key(self, a: Architecture) -> str:
        """The graph's own key."""
        return self.graphs(a)["cell"].key()

    @property
    def vocabulary(self) -> tuple[str, ...]:
        """Operations, depths, activations."""
        return (*OPERATIONS[: self.operations], *map(str, range(self.deepest + 1)), *ACTIVATIONS)

    def tokens(self, a: Architecture) -> tuple[int, ...]:
        """The active values in order, so three or four tokens."""
        return tuple(self.vocabulary.index(str(value)) for value in a.values if value is not None)

    def from_tokens(self, tokens: Sequence[int]) -> Architecture:
        """Walks along the tokens; each must be legal after those before it, and none missing."""
        for i, token in enumerate(tokens):
            if token not in self.legal_tokens(tokens[:i]):
                raise InvalidArchitecture("an illegal token", value=token, place=f"position {i}")
        if self.legal_tokens(tokens):
            raise InvalidArchitecture("a sequence of tokens that breaks off", value=tuple(tokens))
        words = [self.vocabulary[token] for token in tokens]
        return self.canonical([*words[:2], int(words[2]), words[3] if len(words) > 3 else None])

    def legal_tokens(self, prefix: Sequence[int]) -> tuple[int, ...]:
        """Operation, operation, depth and, unless that is 0, an activation."""
        first_depth, first_activation = self.operations, self.operations + self.deepest + 1
        if len(prefix) < 2:
            return tuple(range(first_depth))
        if len(prefix) == 2:
            return tuple(range(first_depth, first_activation))
        if len(prefix) == 3 and prefix[2] != first_depth:
            return tuple(range(first_activation, first_activation + len(ACTIVATIONS)))
        return ()

    @property
    def twin_rules(self) -> str:
        """Name and version of the rules."""
        return "toy-1"

    def representative(self, a: Architecture) -> Architecture:
        """The member that the rules make of it: slots in the order of the choices, one relu for several."""
        left, right, depth, activation = a.values
        left, right = sorted((str(left), str(right)), key=OPERATIONS.index)
        return Architecture(self.name, (left, right, 1 if activation == "relu" else depth, activation))

    def twin_key(self, a: Architecture) -> str:
        """The text of the representative."""
        return self.text(self.representative(a))

    def network(self, a: Architecture, task: Task, seed: int = 0, *, channels: int = 4) -> Network:
        """Stem, the cell once, classifier.

        Args:
            a: the member.
            task: images to classify.
            seed: not read.
            channels: width.
        """
        return _network(a.values, None, task, channels)


@final
class ContinuousToySpace(Space):
    """The toy space with one more decision, the real dropout `rate`; it can be neither listed nor written as tokens."""

    name = "continuous_toy"

    def __init__(self, operations: int = 4, deepest: int = 2) -> None:
        self.decisions = (*_decisions(operations, deepest), Real("rate", 0.0, 0.5))
        self.operations = operations
        self.deepest = deepest

    def active(self, values: Sequence[Value | None]) -> tuple[bool, ...]:
        """All but the activation of depth 0."""
        return _active(values)

    def to_config(self) -> dict[str, Any]:
        """The options."""
        return {"name": "continuous_toy", "operations": self.operations, "deepest": self.deepest}

    def network(self, a: Architecture, task: Task, seed: int = 0, *, channels: int = 4) -> Network:
        """As the toy space's, with dropout before the classifier."""
        return _network(a.values[:4], float(a.values[4] or 0.0), task, channels)


@final
class FakeEvaluator:
    """Measures any space by fixed arithmetic, without randomness.

    With u the positions in [0, 1] of the active decisions (`Decision.to_unit`):

    * val_accuracy = 100 · (1 - mean((u - 0.7)²)), at a fidelity f less 10 / (1 + f); twins of the toy space agree;
    * test_accuracy = val_accuracy - 1;
    * params = 1000 · (1 + sum(u)), rounded.

    It costs as many seconds as the fidelity, 1 without one. `details` hold the draw, replicate and seed that it was
    told.

    Args:
        constant: every architecture measures the same, val_accuracy 50.
        fail_on: values by decision's name that raise TrialFailed with the reason "diverged".
        crash_on: values at which it stumbles over a fault of its own (ZeroDivisionError).
        exit_on: values at which it ends the process it runs in.
        hold: a file; evaluations wait until it exists (TrialFailed "timeout" after a minute).
        broken: `prepare` raises InvalidData.
    """

    requires: frozenset[str] = frozenset()

    def __init__(
        self,
        *,
        constant: bool = False,
        fail_on: Mapping[str, Sequence[Value]] | None = None,
        crash_on: Mapping[str, Sequence[Value]] | None = None,
        exit_on: Mapping[str, Sequence[Value]] | None = None,
        hold: str | None = None,
        broken: bool = False,
    ) -> None:
        self.constant = constant
        self.fail_on = {name: list(values) for name, values in (fail_on or {}).items()}
        self.crash_on = {name: list(values) for name, values in (crash_on or {}).items()}
        self.exit_on = {name: list(values) for name, values in (exit_on or {}).items()}
        self.hold = hold
        self.broken = broken

    @property
    def metrics(self) -> tuple[str, ...]:
        """What it measures."""
        return ("val_accuracy", "test_accuracy", "params")

    def prepare(self, space: Space) -> None:
        """Nothing is needed; raises InvalidData where it is told to."""
        if self.broken:
            raise InvalidData("the fake evaluator is broken", remedy="Leave out the option broken.")

    def evaluate(self, evaluation: Evaluation) -> Measurement:
        """Measure one architecture; see the class.

        Raises:
            TrialFailed: at values that it shall fail on.
        """
        self._stumble(evaluation)
        accuracy, params = (50.0, 1000) if self.constant else _measured(evaluation.space, evaluation.architecture)
        if evaluation.fidelity is not None and not self.constant:
            accuracy -= 10.0 / (1.0 + evaluation.fidelity)
        told = {"draw": evaluation.draw, "replicate": evaluation.replicate, "seed": evaluation.seed}
        return Measurement(
            {"val_accuracy": accuracy, "test_accuracy": accuracy - 1.0, "params": float(params)},
            seconds=1.0 if evaluation.fidelity is None else float(evaluation.fidelity),
            details=told,
        )

    def to_config(self) -> dict[str, Any]:
        """The options it runs with."""
        return {
            "name": "fake",
            "constant": self.constant,
            "fail_on": self.fail_on,
            "crash_on": self.crash_on,
            "exit_on": self.exit_on,
            "hold": self.hold,
            "broken": self.broken,
        }

    def _stumble(self, evaluation: Evaluation) -> None:
        values = dict(zip((d.name for d in evaluation.space.decisions), evaluation.architecture.values, strict=True))
        if self.hold is not None:
            _wait_for(Path(self.hold))
        if _meets(values, self.exit_on):
            os._exit(1)
        if _meets(values, self.crash_on):
            raise ZeroDivisionError("a fault of the evaluator")
        if _meets(values, self.fail_on):
            raise TrialFailed("diverged", "the fake evaluator fails on this architecture")


def _meets(values: Mapping[str, Value | None], listed: Mapping[str, Sequence[Value]]) -> bool:
    return any(values.get(name) in wanted for name, wanted in listed.items())


def _wait_for(file: Path) -> None:
    deadline = time.monotonic() + 60.0
    while not file.exists():
        if time.monotonic() > deadline:
            raise TrialFailed("timeout", "nobody released the fake evaluator", value=str(file))
        time.sleep(0.005)


def _measured(space: Space, a: Architecture) -> tuple[float, int]:
    function = space.representative(a) if isinstance(space, ToySpace) else a
    squares = [(unit - 0.7) ** 2 for unit in _units(space, function)]
    return 100.0 * (1.0 - sum(squares) / max(len(squares), 1)), round(1000 * (1.0 + sum(_units(space, a))))


def _units(space: Space, a: Architecture) -> list[float]:
    return [d.to_unit(v) for d, v in zip(space.decisions, a.values, strict=True) if v is not None]


@final
class FakePosterior:
    """A posterior whose numbers the test sets.

    Args:
        mean: gives the m means of an architecture (a dict's `__getitem__` will do).
        std: gives its m standard deviations, or one number for all.
        draws: the standard normal numbers that samples are made of (s x n x m), for tests that fix the samples; without
            it they come from the `rng` that `sample` is given.
    """

    def __init__(
        self,
        mean: Callable[[Architecture], Sequence[float]],
        std: Callable[[Architecture], Sequence[float]] | float = 1.0,
        draws: FloatArray | None = None,
    ) -> None:
        self._mean = mean
        self._std = std
        self._draws = draws

    def predict(self, x: Sequence[Architecture]) -> Prediction:
        """The numbers that were set (n x m)."""
        mean = np.array([self._mean(a) for a in x], dtype=np.float64)
        if callable(self._std):
            return Prediction(mean, np.array([self._std(a) for a in x], dtype=np.float64))
        return Prediction(mean, np.full_like(mean, self._std))

    def sample(self, x: Sequence[Architecture], s: int, rng: np.random.Generator) -> FloatArray:
        """Mean + std · draws (s x n x m); architectures are independent of each other."""
        predicted = self.predict(x)
        draws = rng.standard_normal((s, *predicted.mean.shape)) if self._draws is None else self._draws
        return predicted.mean + predicted.std * draws

    def condition(self, x: Sequence[Architecture], y: FloatArray) -> FakePosterior:
        """Knows `y` (n x m) at `x` exactly and is the same elsewhere."""
        known = dict(zip(x, y.tolist(), strict=True))

        def mean(a: Architecture) -> Sequence[float]:
            return known[a] if a in known else self._mean(a)

        def std(a: Architecture) -> Sequence[float]:
            predicted = self.predict([a]).std[0]
            return [0.0] * len(predicted) if a in known else predicted.tolist()

        return FakePosterior(mean, std, self._draws)


@final
class FakeSurrogate:
    """Predicts by similarity: the mean of the targets, weighted by counts and by 2^(-6 · distance).

    The distance is that of the one-hot decisions; the deviation is `std` times the distance to the nearest
    observation, at most `std`.

    Args:
        space: any space.
        std: deviation far from every observation.
    """

    requires: frozenset[str] = frozenset()

    def __init__(self, space: Space, *, std: float = 1.0) -> None:
        self.space = space
        self.std = std

    def fit(self, data: TrainingSet, rng: np.random.Generator) -> FakePosterior:
        """The weighted means; nothing is random."""
        seen = one_hot(self.space, data.architectures)

        def distances(a: Architecture) -> FloatArray:
            return np.asarray(np.linalg.norm(seen - one_hot(self.space, [a]), axis=1))

        def mean(a: Architecture) -> Sequence[float]:
            weights = data.counts * np.exp2(-6.0 * distances(a))
            return (weights @ data.targets / weights.sum()).tolist()  # type: ignore[no-any-return]

        def std(a: Architecture) -> Sequence[float]:
            return [self.std * min(float(distances(a).min()), 1.0)] * data.targets.shape[1]

        return FakePosterior(mean, std)

    def to_config(self) -> dict[str, Any]:
        """The options it runs with."""
        return {"name": "fake", "std": self.std}


@final
class FakeOptimizer:
    """Proposes every member once in an order that the seed shuffles, whatever was measured.

    Args:
        space: one that can list its members.
        objectives: not read.
        seed: names the order.
        carries: carry a count of the calls of `propose` as state; it decides which end of the order comes next.
    """

    requires: frozenset[str] = frozenset({"enumerate"})

    def __init__(self, space: Any, objectives: Objectives, seed: int, *, carries: bool = False) -> None:
        members = list(space.enumerate())
        self._order = [members[i] for i in stream(seed, "order").permutation(len(members))]
        self._space = space
        self._carries = carries
        self._calls = 0

    def propose(self, history: History, n: int) -> list[Proposal]:
        """The next `n` of the order, from its end at every other call where state is carried."""
        left = [a for a in self._order if a not in history]
        if not left and not history.running:
            raise Exhausted(f"all {len(self._order)} members of {self._space.name} have been proposed")
        if self._carries:
            self._calls += 1
            left = left[::-1] if self._calls % 2 else left
        return [Proposal(a, info={"left": len(left)}) for a in left[:n]]

    def state(self) -> State | None:
        """The count of calls where it is carried."""
        return State(arrays={"calls": np.array(self._calls)}) if self._carries else None

    def restore(self, state: State) -> None:
        """Take up a count."""
        self._calls = int(state.arrays["calls"])

    def to_config(self) -> dict[str, Any]:
        """The options it runs with."""
        return {"name": "fake", "carries": self._carries}
