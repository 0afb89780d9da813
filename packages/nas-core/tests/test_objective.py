"""Objectives and constraints: reading them, signs, violations, the order of fitness and the best trials."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas_core.architecture import Architecture
from nas_core.errors import InvalidObjective
from nas_core.history import History
from nas_core.objective import Constraint, Objective, Objectives, is_functional
from nas_core.trial import Failure, Measurement, Proposal

NAN = math.nan


@pytest.mark.parametrize(
    ("text", "metric", "maximise"),
    [
        ("max:val_accuracy", "val_accuracy", True),
        ("min:params", "params", False),
        ("min: val_loss@200 ", "val_loss@200", False),
    ],
)
def test_objectives_are_read(text: str, metric: str, maximise: bool) -> None:
    objective = Objective.parse(text)
    assert objective == Objective(metric, maximise)
    assert Objective.parse(str(objective)) == objective


@pytest.mark.parametrize("text", ["", "val_accuracy", "maximise:val_accuracy", "max", "max val_accuracy", ":params"])
def test_what_is_no_objective_is_refused(text: str) -> None:
    with pytest.raises(InvalidObjective, match=r"not an objective: .*; expected min:METRIC or max:METRIC"):
        Objective.parse(text)


@pytest.mark.parametrize("text", ["max:", "max:accuracy", "max:Val", "min:a:b"])
def test_objectives_name_metrics(text: str) -> None:
    with pytest.raises(InvalidObjective, match="metric's name"):
        Objective.parse(text)


@pytest.mark.parametrize(
    ("text", "constraint"),
    [
        ("params<=1.0e6", Constraint("params", 1e6, at_most=True)),
        ("val_accuracy >= 90", Constraint("val_accuracy", 90.0, at_most=False)),
        (" latency_pixel3<= -.5 ", Constraint("latency_pixel3", -0.5, at_most=True)),
    ],
)
def test_constraints_are_read(text: str, constraint: Constraint) -> None:
    assert Constraint.parse(text) == constraint


@pytest.mark.parametrize(
    "text",
    ["", "params", "params<1e6", "params=1e6", "params<=", "<=1e6", "params<=many", "params<=nan", "params<=inf",
     "params<=1 000", "1<=params<=2", "params<==2", "params>=<=2"],
)  # fmt: skip
def test_what_is_no_constraint_is_refused(text: str) -> None:
    with pytest.raises(InvalidObjective):
        Constraint.parse(text)


@given(st.floats(allow_nan=False, allow_infinity=False), st.booleans())
def test_constraints_keep_their_bound_exactly(bound: float, at_most: bool) -> None:
    constraint = Constraint("params", bound, at_most)
    assert Constraint.parse(str(constraint)) == constraint


def test_short_bounds_stay_short() -> None:
    assert str(Constraint.parse("params<=1e6")) == "params<=1e+06"
    assert str(Constraint.parse("params<=1234567")) == "params<=1234567.0"
    assert str(Constraint.parse("val_accuracy>=90")) == "val_accuracy>=90"


def test_violations_are_relative_to_the_bound() -> None:
    values = np.array([50.0, 100.0, 150.0, NAN])
    np.testing.assert_array_equal(Constraint("params", 100.0).violation(values), [0.0, 0.0, 0.5, NAN])
    np.testing.assert_array_equal(Constraint("params", 100.0, at_most=False).violation(values), [0.5, 0.0, 0.0, NAN])
    np.testing.assert_array_equal(Constraint("params", -100.0).violation(values), [1.5, 2.0, 2.5, NAN])
    assert np.isfinite(Constraint("params", 0.0).violation(values[:3])).all()


@pytest.mark.parametrize(
    ("metric", "functional"),
    [
        ("val_accuracy", True), ("test_error@12", True), ("train_loss", True), ("val_perplexity", True),
        ("val_top5", True), ("val_accuracy_digits", True), ("params", False), ("train_seconds", False),
        ("latency_pixel3", False), ("depth", False), ("multiply_adds", False), ("activation_bytes", False),
    ],
)  # fmt: skip
def test_functional_metrics(metric: str, functional: bool) -> None:
    assert is_functional(metric) == functional


TWO = Objectives.parse(["max:val_accuracy", "min:params"], ["params<=100", "latency<=2"])


def test_metrics_are_those_of_objectives_then_of_constraints() -> None:
    assert TWO.metrics == ("val_accuracy", "params", "latency")
    assert TWO.new_history().metrics == TWO.metrics
    assert not TWO.functional
    assert Objectives.parse(["max:val_accuracy"], ["val_top5>=90"]).functional
    assert not Objectives.parse(["max:val_accuracy"], ["params<=1"]).functional


def test_objectives_round_trip() -> None:
    config = TWO.to_config()
    assert config == {
        "objectives": ["max:val_accuracy", "min:params"],
        "constraints": ["params<=100", "latency<=2"],
    }
    assert Objectives.parse(**config) == TWO


def test_contradictory_objectives_are_refused() -> None:
    with pytest.raises(InvalidObjective, match="at least one objective"):
        Objectives.parse([])
    with pytest.raises(InvalidObjective, match="an objective is named twice"):
        Objectives.parse(["max:val_accuracy", "min:val_accuracy"])


def test_signs_are_turned_there_and_back() -> None:
    values = np.array([[90.0, 50.0, 1.0], [80.0, 20.0, 9.0]])
    losses = TWO.losses(values)
    np.testing.assert_array_equal(losses, [[-90.0, 50.0], [-80.0, 20.0]])
    np.testing.assert_array_equal(TWO.measured(losses), values[:, :2])
    samples = np.arange(12.0).reshape(3, 2, 2)
    np.testing.assert_array_equal(TWO.losses(TWO.measured(samples)[0]), samples[0])
    assert TWO.measured(samples).shape == (3, 2, 2)


def test_total_violation_and_feasibility() -> None:
    values = np.array([[90.0, 100.0, 2.0], [90.0, 150.0, 3.0], [90.0, 50.0, 4.0], [NAN, NAN, NAN]])
    np.testing.assert_array_equal(TWO.violation(values), [0.0, 0.5 + 0.5, 1.0, NAN])
    np.testing.assert_array_equal(TWO.feasible(values), [True, False, False, False])
    assert TWO.violation(values[:0]).shape == TWO.feasible(values[:0]).shape == (0,)


def test_fitness_of_one_objective_is_its_loss() -> None:
    one = Objectives.parse(["max:val_accuracy"])
    np.testing.assert_array_equal(one.fitness(np.array([[90.0], [95.0], [NAN]])), [-90.0, -95.0, math.inf])
    assert one.fitness(np.empty((0, 1))).shape == (0,)
    np.testing.assert_array_equal(one.fitness(np.array([[NAN], [NAN]])), [math.inf, math.inf])


@pytest.mark.parametrize("direction", ["max", "min"])
def test_fitness_puts_what_breaks_a_constraint_after_all_that_keep_it(direction: str) -> None:
    objectives = Objectives.parse([f"{direction}:val_loss"], ["params<=100"])
    values = np.array([[1e9, 50.0], [-1e9, 100.0], [0.0, 100.001], [-1e9, 300.0], [1e9, 300.0], [NAN, NAN]])
    order = np.argsort(objectives.fitness(values), kind="stable")
    kept = [0, 1] if direction == "max" else [1, 0]
    assert order.tolist() == [*kept, 2, 3, 4, 5]
    fitness = objectives.fitness(values)
    assert fitness[3] == fitness[4] < math.inf


def test_a_broken_constraint_outweighs_the_best_loss() -> None:
    objectives = Objectives.parse(["min:val_loss"], ["params<=100"])
    fitness = objectives.fitness(np.array([[5.0, 50.0], [7.0, 50.0], [0.0, 101.0]]))
    assert fitness.tolist() == pytest.approx([5.0, 7.0, 7.01])


def test_fitness_where_nothing_keeps_the_constraints_orders_by_violation() -> None:
    objectives = Objectives.parse(["max:val_loss"], ["params<=100"])
    fitness = objectives.fitness(np.array([[5.0, 400.0], [9.0, 300.0], [7.0, 101.0]]))
    assert np.argsort(fitness).tolist() == [2, 1, 0]


def test_fitness_of_two_objectives_orders_by_front_then_by_room() -> None:
    """Losses (0, 4), (1, 2), (2, 1.5), (4, 0) are the first front; (2, 1.5) has less room than (1, 2).

    Room of (1, 2): (2 - 0) / 4 + (4 - 1.5) / 4 = 1.125; of (2, 1.5): (4 - 1) / 4 + (2 - 0) / 4 = 1.25.
    """
    objectives = Objectives.parse(["min:params", "min:depth"])
    values = np.array([[0, 4], [1, 2], [2, 1.5], [4, 0], [3, 3], [NAN, NAN], [5, 5]], dtype=float)
    fitness = objectives.fitness(values)
    assert fitness.tolist() == pytest.approx([0, 1 / 3.125, 1 / 3.25, 0, 1, math.inf, 2])


def test_fitness_of_two_objectives_with_constraints() -> None:
    objectives = Objectives.parse(["min:params", "min:depth"], ["depth<=10"])
    values = np.array([[0, 20], [9, 9], [0, 11], [8, 8]], dtype=float)
    assert np.argsort(objectives.fitness(values)).tolist() == [3, 1, 2, 0]


def history(objectives: Objectives, rows: list[list[float] | None], order: list[int] | None = None) -> History:
    """Trials with these metrics (None: failed), finished in the given order."""
    made = objectives.new_history()
    for i in range(len(rows)):
        made.begin(Proposal(Architecture("line", (i,))))
    for number in order if order is not None else range(len(rows)):
        row = rows[number]
        if row is None:
            made.finish(number, Failure("diverged", "NaN"))
        else:
            made.finish(number, Measurement(dict(zip(objectives.metrics, row, strict=True))))
    return made


def best(objectives: Objectives, rows: list[list[float] | None], order: list[int] | None = None) -> list[int]:
    return [trial.number for trial in objectives.best(history(objectives, rows, order))]


def test_the_best_of_one_objective_is_the_earliest_proposed() -> None:
    one = Objectives.parse(["max:val_accuracy"])
    assert best(one, [[80.0], None, [90.0], [90.0], [85.0]], order=[3, 0, 1, 4, 2]) == [2]
    assert best(one, []) == []
    assert best(one, [None, None]) == []


def test_the_best_is_one_of_the_highest_fidelity() -> None:
    one = Objectives.parse(["max:val_accuracy"], ["params<=100"])
    made = one.new_history()
    for number, (fidelity, *row) in enumerate([(2, 99.0, 1.0), (8, 70.0, 1.0), (8, 80.0, 1.0), (16, 95.0, 101.0)]):
        made.begin(Proposal(Architecture("toy", (0,)), fidelity=fidelity))
        made.finish(number, Measurement(dict(zip(one.metrics, row, strict=True))))
    assert [trial.number for trial in one.best(made)] == [2]
    made.begin(Proposal(Architecture("toy", (0,))))
    made.finish(4, Measurement({"val_accuracy": 60.0, "params": 1.0}))
    assert [trial.number for trial in one.best(made)] == [4]


def test_the_best_keeps_the_constraints() -> None:
    bounded = Objectives.parse(["max:val_accuracy"], ["params<=100"])
    assert best(bounded, [[95.0, 101.0], [90.0, 100.0], [80.0, 10.0]]) == [1]
    assert best(bounded, [[95.0, 101.0], None]) == []


def test_the_best_of_two_objectives_is_the_front() -> None:
    two = Objectives.parse(["max:val_accuracy", "min:params"])
    rows: list[list[float] | None] = [[90.0, 50.0], [80.0, 60.0], [95.0, 70.0], None, [70.0, 10.0], [90.0, 50.0]]
    assert best(two, rows, order=[5, 4, 3, 2, 1, 0]) == [0, 2, 4, 5]
    assert best(TWO, [[90.0, 50.0, 9.0], [80.0, 60.0, 1.0]]) == [1]
