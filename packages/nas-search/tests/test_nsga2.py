"""NSGA-II: the contract, and what evolution does to members of spaces of every kind of decision."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical, Integer, Real
from nas_core.objective import Objectives
from nas_core.random import rng
from nas_core.registry import make
from nas_core.space import Space
from nas_core.testing import OptimizerContract
from nas_core.testing.fakes import ContinuousToySpace, ToySpace
from nas_core.testing.optimizers import Run
from nas_search.nsga2 import children, evolved, merit_order
from nas_search.optimizers.nsga2 import NSGA2

TWO = Objectives.parse(["max:val_accuracy", "min:params"])
GOLDEN_NSGA2 = [
    "skip skip 1 relu 0.336",
    "conv3 conv3 1 tanh 0.126",
    "pool skip 0 None 0.053",
    "conv3 conv1 1 relu 0.396",
    "conv3 conv1 1 tanh 0.126",
    "conv3 skip 0 None 0.396",
    "skip skip 1 tanh 0.336",
    "skip skip 1 relu 0.146",
]


class TestNSGA2Contract(OptimizerContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_search.optimizers.nsga2:NSGA2"

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"population": 6}


class Mixed(Space):
    """One decision of each kind; the choice means nothing where the whole number is 0."""

    name = "mixed"
    decisions = (Real("x", 0.0, 1.0), Integer("k", 0, 4), Categorical("c", ("a", "b", "d")))

    def active(self, values: Sequence[Any]) -> tuple[bool, ...]:
        return (True, True, values[1] != 0)

    def to_config(self) -> dict[str, Any]:
        return {"name": "mixed"}


def _shape(members: Sequence[Architecture]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Two losses: x against 1 - x, each worse by the distance from k = 3 and c = b."""
    x, k = (np.array([float(str(a.values[i])) for a in members]) for i in (0, 1))
    off = np.abs(k - 3.0) + np.array([a.values[2] != "b" for a in members])
    return np.stack([x + off, 1.0 - x + off], axis=1), np.zeros(len(members))


def test_evolution_finds_a_front_of_every_kind_of_decision() -> None:
    space = Mixed()
    found = evolved(space, space.sample(rng(0, "start"), 20), _shape, rng(0, "go"), population=20, generations=25)
    assert {a.values[1:] for a in found.members} == {(3, "b")}
    x = np.sort([float(str(a.values[0])) for a in found.members])
    assert x[0] < 0.2
    assert x[-1] > 0.8
    assert np.diff(x).max() < 0.2
    assert len(set(found.members)) == len(found) == 20


def test_the_first_of_the_order_are_allowed_and_not_dominated() -> None:
    losses = np.array([[0.0, 0.0], [2.0, 2.0], [1.0, 3.0], [3.0, 1.0], [4.0, 4.0]])
    violations = np.array([1.0, 0.0, 0.0, 0.0, 0.0])
    assert merit_order(losses, violations).tolist() == [2, 3, 1, 4, 0]  # the ends of the first front before its middle


def test_children_are_members_and_take_after_their_parents() -> None:
    """Of 2 equal parents a child differs in a decision with probability 1/3 each: unlike in 19 of 27."""
    space = Mixed()
    parent = space.canonical((0.25, 2, "a"))
    born = children(space, [parent, parent], 300, rng(0, "children"))
    assert len(born) == 300
    assert all(space.canonical(a.values) == a for a in born)
    alike = np.mean([[v == w for v, w in zip(a.values, parent.values, strict=True)] for a in born], axis=0)
    assert (np.abs(alike - 2 / 3) < 0.15).all()  # five standard errors; k = 0 takes c along in 1 of 12


def test_it_is_registered() -> None:
    assert make("optimizer", "nsga2", ToySpace(), TWO, 0).to_config()["population"] == 20


def test_golden_trace() -> None:
    space = ContinuousToySpace()
    run = Run(NSGA2(space, TWO, 3, population=4), space, TWO)
    run.rounds(8, 2)

    def short(value: Any) -> str:
        return f"{value:.3f}" if isinstance(value, float) else str(value)

    assert [" ".join(map(short, trial.architecture.values)) for trial in run.history] == GOLDEN_NSGA2
