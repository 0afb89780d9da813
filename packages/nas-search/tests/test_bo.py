"""Bayesian optimization: the contract with the toy space, lists and grown candidates, failures, and what it finds."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from nas_core.decisions import Categorical, Integer, Real
from nas_core.errors import Exhausted, InvalidOption, RegistryError
from nas_core.objective import Objectives
from nas_core.random import rng
from nas_core.registry import make
from nas_core.space import Space
from nas_core.testing import OptimizerContract, ToySpace
from nas_core.testing.optimizers import Run
from nas_core.trial import Failure, Measurement, Proposal
from nas_search.optimizers.bo import BayesianOptimization

pytest.importorskip("nas_surrogates", reason="Bayesian optimization needs nas-surrogates, the extra surrogates")

ONE = Objectives.parse(["max:val_accuracy"])


class TestContract(OptimizerContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_search.optimizers.bo:BayesianOptimization"

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"initial": 4}

    @pytest.fixture
    def trials(self) -> int:
        return 10


def run(seed: int = 0, objectives: Objectives = ONE, **options: Any) -> Run:
    space = ToySpace()
    return Run(BayesianOptimization(space, objectives, seed, **options), space, objectives)


def test_it_is_registered() -> None:
    optimizer = make("optimizer", "bo", ToySpace(), ONE, 0, initial=3, surrogate={"name": "blr", "prior_labels": 2.0})
    assert optimizer.to_config()["surrogate"] == {"name": "blr", "prior_labels": 2.0}


def test_importing_it_loads_no_torch() -> None:
    code = "import nas_search.optimizers.bo, sys; sys.exit(bool({'torch', 'nas_surrogates'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_it_begins_at_random_and_goes_on_by_utility() -> None:
    one = run(initial=5)
    one.rounds(9, 1)
    assert [trial.proposal.info["by"] for trial in one.history] == ["chance"] * 5 + ["utility"] * 4


@pytest.mark.parametrize(
    ("options", "n"), [({}, 1), ({}, 4), ({"largest": 0, "pool": 20}, 2), ({"surrogate": "blr"}, 3)]
)
def test_a_kept_posterior_equals_a_new_one(options: dict[str, Any], n: int) -> None:
    """Every proposal is that of an optimizer that has only just been made."""
    one = run(initial=4, **options)
    while len(one.history) < 16:
        fresh = BayesianOptimization(one.space, ONE, 0, initial=4, **options)
        expected = fresh.propose(one.history, n)
        assert one.propose(n) == expected
        one.finish_all()


def test_a_history_of_another_study_is_read_anew() -> None:
    one, other = run(initial=3), run(seed=1, initial=3)
    one.rounds(6, 1)
    other.rounds(6, 1)
    fresh = BayesianOptimization(one.space, ONE, 0, initial=3).propose(other.history, 1)
    assert one.optimizer.propose(other.history, 1) == fresh


@pytest.mark.parametrize("options", [{}, {"surrogate": "blr"}, {"largest": 0, "pool": 40}])
def test_it_finds_the_optimum_sooner_than_chance(options: dict[str, Any]) -> None:
    """Of 40 classes of twins chance needs 20.5 labels on average; ten searches together need far fewer than 205."""
    space = ToySpace()
    values = {space.twin_key(a): _value(a.values) for a in space.enumerate()}
    best = max(values.values())
    needed = 0
    for seed in range(10):
        optimizer = BayesianOptimization(space, ONE, seed, initial=4, **options)
        history = ONE.new_history()
        while not len(history) or history.values.max() < best:
            (proposal,) = optimizer.propose(history, 1)
            value = values[space.twin_key(proposal.architecture)]
            history.finish(history.begin(proposal).number, Measurement({"val_accuracy": value}))
        needed += len(history)
    assert needed <= 140


def _value(values: Any) -> float:
    left, right, depth, activation = values
    worth = {"conv3": 6.0, "conv1": 4.0, "pool": 1.0, "skip": 0.0}
    deep = min(int(depth), 1) if activation == "relu" else int(depth)  # a second relu changes nothing
    return 60.0 + worth[left] + worth[right] + (3.0 if left != right else 0.0) + 2.0 * deep


def test_a_member_that_failed_counts_as_the_worst() -> None:
    one = run(initial=4)
    one.rounds(4, 1)
    (proposal,) = one.propose(1)
    one.history.finish(4, Failure("diverged", "NaN"))
    (following,) = one.propose(1)
    assert following.architecture != proposal.architecture
    worst = one.history.values[:4].min()
    model = one.optimizer._kept.model.posterior  # type: ignore[attr-defined]
    assert -worst in model.targets[:, 0].tolist()
    assert len(model.targets) == 5


def test_nothing_is_modelled_while_everything_fails() -> None:
    one = run(initial=2)
    one.fails = lambda number: True
    one.rounds(6, 1)
    assert {trial.proposal.info["by"] for trial in one.history} == {"chance"}


def test_twins_that_are_allowed_are_pooled() -> None:
    one = run(initial=6, allow_twins=True)
    one.rounds(30, 3)
    kinds = {one.space.twin_key(trial.architecture) for trial in one.history}  # type: ignore[attr-defined]
    assert len(one.history) == 30
    assert len({trial.architecture for trial in one.history}) == 30
    assert len(kinds) <= 30


def test_a_space_with_one_kind_of_member() -> None:
    space = ToySpace(operations=1, deepest=1)
    one = Run(BayesianOptimization(space, ONE, 0, initial=1), space, ONE)
    for _ in range(space.size):
        try:
            one.propose(1)
        except Exhausted:
            break
        one.finish_all()
    with pytest.raises(Exhausted):
        one.propose(1)


def test_several_objectives_with_a_constraint_approach_the_front() -> None:
    objectives = Objectives.parse(["max:val_accuracy", "min:params"], ["params<=6000"])
    one = run(objectives=objectives, initial=6)
    one.rounds(14, 2)
    assert sum(trial.proposal.info["by"] == "utility" for trial in one.history) == 8
    assert np.isfinite(one.history.values).all()


@pytest.mark.parametrize(
    "options", [{"initial": 0}, {"refit": 2.0}, {"refit": True}, {"largest": -1}, {"pool": 1}, {"initial": 2.5}]
)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        BayesianOptimization(ToySpace(), ONE, 0, **options)


def test_a_surrogate_that_nobody_registered() -> None:
    with pytest.raises(RegistryError):
        BayesianOptimization(ToySpace(), ONE, 0, surrogate="crystal_ball")


def _finish(one: Run, values: dict[str, float] | Failure) -> None:
    """Propose one member and give it a result."""
    (proposal,) = one.optimizer.propose(one.history, 1)
    result = values if isinstance(values, Failure) else Measurement(values)
    one.history.finish(one.history.begin(proposal).number, result)


@pytest.mark.parametrize("largest", [50_000, 0])
def test_constant_targets(largest: int) -> None:
    one = run(initial=3, largest=largest, pool=20)
    for _ in range(12):
        _finish(one, {"val_accuracy": 50.0})
    assert len({trial.architecture for trial in one.history}) == 12


def test_one_observation_is_enough_for_the_surrogate() -> None:
    one = run(initial=1)
    _finish(one, {"val_accuracy": 50.0})
    (proposal,) = one.optimizer.propose(one.history, 1)
    assert proposal.info["by"] == "utility"


def test_failures_among_several_objectives_with_a_constraint() -> None:
    """Two of three trials fail; none of the others keeps the constraint at first."""
    objectives = Objectives.parse(["max:val_accuracy", "min:latency", "min:params"], ["energy<=5"])
    one = run(objectives=objectives, initial=4)
    for i in range(15):
        values = {"val_accuracy": 60.0 + i, "latency": 20.0 - i, "params": 100.0 + i % 3, "energy": 12.0 - i}
        _finish(one, Failure("diverged", "NaN") if i % 3 else values)
    assert [trial.proposal.info["by"] for trial in one.history][-1] == "utility"
    assert len({trial.architecture for trial in one.history}) == 15


def test_by_default_each_objective_has_ten_labels_by_chance() -> None:
    assert run().optimizer.to_config()["initial"] == 10
    assert run(objectives=Objectives.parse(["max:val_accuracy", "min:params"])).optimizer.to_config()["initial"] == 20


def test_the_same_member_measured_again_and_again() -> None:
    """A history may hold repeats that other hands have put there: rows of a noisy evaluation."""
    one = run(initial=2)
    members = list(one.space.enumerate())[:2]  # type: ignore[attr-defined]
    for i in range(20):
        number = one.history.begin(Proposal(members[i % 2])).number
        one.history.finish(number, Measurement({"val_accuracy": 50.0 + i % 3}))
    (proposal,) = one.optimizer.propose(one.history, 1)
    assert proposal.architecture not in members


class Mixed(Space):
    """A number, a whole number and a choice; no graphs, no list."""

    name = "mixed"
    decisions = (Real("rate", 1e-4, 1.0, log=True), Integer("width", 1, 40), Categorical("kind", ("a", "b")))

    def to_config(self) -> dict[str, Any]:
        return {"name": self.name}


def test_a_thousand_observations() -> None:
    space = Mixed()
    history = ONE.new_history()
    for i, a in enumerate(space.sample(rng(1), 1000)):
        history.finish(history.begin(Proposal(a)).number, Measurement({"val_accuracy": float(i % 37)}))
    (proposal,) = BayesianOptimization(space, ONE, 0, pool=50).propose(history, 1)
    assert proposal.info["by"] == "utility"


def test_decisions_of_every_kind_are_searched_better_than_by_chance() -> None:
    """The best of 30 labels, mean of three seeds; of 30 draws by chance the best has a mean loss of 0.51."""
    space = Mixed()
    losses = []
    for seed in range(3):
        optimizer, history = BayesianOptimization(space, ONE, seed, pool=300), ONE.new_history()
        for _ in range(30):
            (proposal,) = optimizer.propose(history, 1)
            rate, width, kind = proposal.architecture.values
            loss = (np.log10(float(rate)) + 2.5) ** 2 + (float(width) - 24.0) ** 2 / 36.0 + (kind == "a")
            history.finish(history.begin(proposal).number, Measurement({"val_accuracy": -float(loss)}))
        losses.append(-history.values.max())
    assert np.mean(losses) < 0.15
