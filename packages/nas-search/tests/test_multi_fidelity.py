"""Successive halving, Hyperband and BOHB: the contract, the brackets, who is promoted, where new members come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical, Integer, Real
from nas_core.errors import Exhausted, InvalidOption
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.space import Space
from nas_core.testing import OptimizerContract
from nas_core.testing.fakes import ToySpace
from nas_core.trial import Failure, Measurement, Proposal
from nas_search.optimizers.bohb import BOHB
from nas_search.optimizers.brackets import Schedule
from nas_search.optimizers.densities import Density, encoded
from nas_search.optimizers.hyperband import Hyperband
from nas_search.optimizers.successive_halving import SuccessiveHalving
from nas_search.ranking import ranked

_ONE = Objectives.parse(["max:val_accuracy"])
_TWO = Objectives.parse(["max:val_accuracy", "min:params"])


class _Contract(OptimizerContract):
    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"fidelities": [1, 2, 4]}

    @pytest.fixture
    def repeats(self) -> bool:
        return True


class TestSuccessiveHalvingContract(_Contract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_search.optimizers.successive_halving:SuccessiveHalving"


class TestHyperbandContract(_Contract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_search.optimizers.hyperband:Hyperband"


class TestBOHBContract(_Contract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_search.optimizers.bohb:BOHB"


class TestAsynchronousBOHBContract(_Contract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_search.optimizers.bohb:BOHB"

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"fidelities": [1, 3], "asynchronous": True, "least": 3}


class Plane(Space):
    """Two reals, a whole number and a choice; the choice means nothing where the whole number is 0."""

    name = "plane"
    decisions = (
        Real("x", 0.0, 1.0),
        Real("y", 0.0, 1.0),
        Integer("k", 0, 4),
        Categorical("c", ("a", "b", "d")),
    )

    def active(self, values: Any) -> tuple[bool, ...]:
        return (True, True, True, values[2] != 0)

    def to_config(self) -> dict[str, Any]:
        return {"name": "plane"}


def _peak(a: Architecture) -> float:
    """Best, at 100, where x = 0.8, y = 0.2, k = 3, c = "b"."""
    x, y, k, c = a.values
    far = (float(str(x)) - 0.8) ** 2 + (float(str(y)) - 0.2) ** 2 + ((int(str(k)) - 3) / 4) ** 2
    return 100.0 * (1.0 - far / 2) - (0.0 if c == "b" else 10.0)


def _run(
    optimizer: Any,
    trials: int,
    value: Callable[[Architecture], float | None] = _peak,
    objectives: Objectives = _ONE,
    at_once: int = 1,
) -> History:
    history = objectives.new_history()
    while history.seq < trials:
        for proposal in optimizer.propose(history, at_once):
            _finish(history, proposal, value(proposal.architecture))
    return history


def _finish(history: History, proposal: Proposal, value: float | None) -> None:
    number = history.begin(proposal).number
    metrics = {name: value if name == "val_accuracy" else 1.0 for name in history.metrics}
    if value is None:
        history.finish(number, Failure("diverged", "told to"))
    else:
        history.finish(number, Measurement({name: float(v) for name, v in metrics.items() if v is not None}))


def _places(history: History) -> list[tuple[int, int, float | None]]:
    return [(t.proposal.info["bracket"], t.proposal.info["rung"], t.proposal.fidelity) for t in history]


def test_the_brackets_of_nago() -> None:
    """30 to 120 epochs by 2: 4, 2, 1, then 2, 1, then 3 (details of the published code)."""
    schedule = Schedule.of([30, 60, 120], None)
    assert schedule.eta == pytest.approx(2)
    assert [schedule.sizes(schedule.kind(b)) for b in range(3)] == [(4, 2, 1), (2, 1), (3,)]
    assert [schedule.fidelity(1, rung) for rung in (0, 1)] == [60, 120]
    history = _run(Hyperband(Plane(), _ONE, 0, fidelities=[30, 60, 120]), 13)
    assert _places(history) == (
        [(0, 0, 30)] * 4 + [(0, 1, 60)] * 2 + [(0, 2, 120)]
        + [(1, 0, 60)] * 2 + [(1, 1, 120)]
        + [(2, 0, 120)] * 3
    )  # fmt: skip


def test_successive_halving_begins_every_bracket_at_the_bottom() -> None:
    history = _run(SuccessiveHalving(Plane(), _ONE, 0, fidelities=[1, 3], eta=3), 8)
    assert _places(history) == [(0, 0, 1)] * 3 + [(0, 1, 3)] + [(1, 0, 1)] * 3 + [(1, 1, 3)]


def test_the_best_of_a_rung_go_on() -> None:
    history = _run(Hyperband(Plane(), _ONE, 3, fidelities=[1, 2, 4], eta=2), 7)
    order = sorted(range(4), key=lambda i: -_peak(history[i].architecture))
    assert [history[4].proposal.info["parent"], history[5].proposal.info["parent"]] == order[:2]
    assert history[6].architecture == history[order[0]].architecture


def test_failed_trials_are_not_promoted() -> None:
    def fails(a: Architecture) -> float | None:
        return None if float(str(a.values[0])) > 0.3 else 50.0

    history = _run(SuccessiveHalving(Plane(), _ONE, 1, fidelities=[1, 2], eta=4), 40, fails)
    failed = {t.number for t in history if not t.metrics}
    promoted = {t.proposal.info["parent"] for t in history if "parent" in t.proposal.info}
    assert failed
    assert promoted
    assert not failed & promoted


def test_a_rung_that_fails_altogether_ends_its_bracket() -> None:
    history = _run(SuccessiveHalving(Plane(), _ONE, 1, fidelities=[1, 2], eta=3), 9, lambda a: None)
    assert _places(history) == [(b, 0, 1) for b in (0, 0, 0, 1, 1, 1, 2, 2, 2)]


def test_nobody_waits_for_a_rung_that_is_not_finished() -> None:
    optimizer = Hyperband(Plane(), _ONE, 0, fidelities=[30, 60, 120])
    history = _ONE.new_history()
    for proposal in optimizer.propose(history, 6):
        history.begin(proposal)
    assert [info["bracket"] for info in (t.proposal.info for t in history)] == [0, 0, 0, 0, 1, 1]
    for number in range(3):
        history.finish(number, Measurement({"val_accuracy": float(number)}))
    assert [p.info["bracket"] for p in optimizer.propose(history, 2)] == [2, 2]
    history.finish(3, Measurement({"val_accuracy": 9.0}))
    assert [p.info.get("parent") for p in optimizer.propose(history, 2)] == [3, 2]


def test_asynchronously_one_of_eta_is_promoted_at_once() -> None:
    optimizer = SuccessiveHalving(Plane(), _ONE, 0, fidelities=[1, 3], eta=3, asynchronous=True)
    history = _run(optimizer, 12)
    rungs = [rung for _, rung, _ in _places(history)]
    assert rungs == [0, 0, 0, 1] * 3
    best = [max(range(n), key=lambda i: (_peak(history[i].architecture), -i)) for n in (3,)]
    assert history[3].proposal.info["parent"] == best[0]


def test_what_becomes_of_a_promoted_member() -> None:
    anew = _run(Hyperband(Plane(), _ONE, 0, fidelities=[1, 2]), 3)[2]
    assert (anew.proposal.resume_from, anew.proposal.draw) == (None, 0)
    on = _run(Hyperband(Plane(), _ONE, 0, fidelities=[1, 2], promote="continue"), 3)[2]
    assert on.proposal.resume_from == on.proposal.info["parent"]
    with pytest.raises(InvalidOption, match="cannot be drawn again"):
        Hyperband(Plane(), _ONE, 0, fidelities=[1, 2], promote="resample")


class _Drawn(ToySpace):
    """The toy space as a generator."""

    def wirings(self, a: Architecture, seed: int) -> Any:
        raise AssertionError("optimizers draw nothing")


def test_generators_are_drawn_again() -> None:
    history = _run(Hyperband(_Drawn(), _ONE, 0, fidelities=[1, 2, 4]), 7, lambda a: 1.0)
    assert [t.proposal.draw for t in history] == [0, 0, 0, 0, 1, 1, 2]


class _Single(Space):
    """One member."""

    name = "single"
    decisions = (Categorical("x", ("only",)),)

    def to_config(self) -> dict[str, Any]:
        return {"name": "single"}


@pytest.mark.parametrize("kind", [SuccessiveHalving, Hyperband, BOHB])
def test_a_small_space_is_used_up_and_its_promotions_are_made(kind: Any) -> None:
    optimizer = kind(_Single(), _ONE, 0, fidelities=[1, 2, 4])
    history = _run(optimizer, 3, lambda a: 1.0)
    assert [t.proposal.fidelity for t in history] == [1, 2, 4]
    with pytest.raises(Exhausted):
        optimizer.propose(history, 2)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"fidelities": [60, 30]}, "fidelities must ascend"),
        ({"fidelities": [30, 30]}, "fidelities must ascend"),
        ({"fidelities": []}, "cannot be read"),
        ({"fidelities": ["a"]}, "cannot be read"),
        ({"fidelities": [1, 2], "eta": 1}, "eta must be"),
        ({"fidelities": [1, 2], "promote": "again"}, "anew, continue, resample"),
        ({"fidelities": [1, 2], "asynchronous": 1}, "true or false"),
        ({"fidelities": [1, 2], "top": 2}, "top must be"),
        ({"fidelities": [1, 2], "proposer": "magic"}, "one of kde, gp"),
        ({"fidelities": [1, 2], "least": 1}, "least must be"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidOption, match=told):
        BOHB(Plane(), _ONE, 0, **options)


def test_one_fidelity_is_plain_optimization() -> None:
    history = _run(BOHB(Plane(), _ONE, 0, fidelities=[5]), 30)
    assert {place[2] for place in _places(history)} == {5}
    assert Counter(t.proposal.info["by"] for t in history)["model"] > 10


def test_the_model_takes_over_and_finds_the_peak() -> None:
    """Over twenty seeds the best of 60 members by the model beats that of 60 random ones in at least fifteen; were they
    equal, that would happen once in 48 runs, and the model is far better."""
    wins = 0
    for seed in range(20):
        by_model = _run(BOHB(Plane(), _ONE, seed, fidelities=[1]), 60)
        by_chance = _run(Hyperband(Plane(), _ONE, seed, fidelities=[1]), 60)
        wins += max(by_model.column("val_accuracy")) > max(by_chance.column("val_accuracy"))
    assert wins >= 15


def test_the_model_begins_in_the_first_brackets() -> None:
    """With d = 4 decisions it needs 7 results at one fidelity."""
    history = _run(BOHB(Plane(), _ONE, 0, fidelities=[1, 3], random=0.0), 20)
    first = next(t.number for t in history if t.proposal.info["by"] == "model")
    rung = [t.number for t in history if t.proposal.fidelity == 1][:7]
    assert first > rung[-1] - 1
    assert first <= rung[-1] + 3


def test_several_objectives_keep_a_spread_front() -> None:
    objectives = _TWO
    values = np.array([[90.0, 10.0], [80.0, 1.0], [85.0, 20.0], [np.nan, np.nan], [90.0, 10.0], [89.9, 9.9]])
    order = ranked(objectives, values).tolist()
    assert order[0] == 1  # alone at its end of the front, so it adds most
    assert set(order[1:4]) == {0, 4, 5}
    assert order[4:] == [2, 3]


def test_constraints_come_before_objectives() -> None:
    bounded = Objectives.parse(["max:val_accuracy"], ["params<=5"])
    assert ranked(bounded, np.array([[99.0, 9.0], [50.0, 5.0], [98.0, 6.0], [60.0, 4.0]])).tolist() == [3, 1, 2, 0]


def test_a_density_sums_to_one_over_choices_and_integrates_over_reals() -> None:
    space = Plane()
    members = [space.project(v) for v in ((0.2, 0.9, 1, "a"), (0.25, 0.7, 2, "b"), (0.9, 0.95, 4, "b"))]
    density, point = Density(space, members), encoded(space, members[:1])
    grid = np.linspace(0.0005, 0.9995, 1000)
    for k in (0, 1):
        points = np.tile(point, (1000, 1))
        points[:, k] = grid
        assert np.exp(density.log(points)).mean() == pytest.approx(_without(density, point, k), rel=1e-3)
    units = [space.decisions[3].to_unit(choice) for choice in "abd"]
    total = sum(np.exp(density.log(_with(point, 3, unit))[0]) for unit in units)
    assert total == pytest.approx(_without(density, point, 3))


def _with(points: Any, k: int, unit: float) -> Any:
    changed = points.copy()
    changed[:, k] = unit
    return changed


def _without(density: Density, point: Any, k: int) -> float:
    """The density of the other decisions at a point, by leaving decision k out of the product."""
    logs = np.zeros((1, len(density.points)))
    for j, c in enumerate(density.choices.tolist()):
        if j != k:
            logs += density._kernel(j, c, point[:, j, None], density.points[None, :, j])
    return float(np.exp(logs).mean())


def test_draws_of_a_density_lie_near_its_members_and_are_members() -> None:
    """Equal members have the least bandwidth, 1 / (1 + 3); the kernel is cut off at the borders."""
    space = Plane()
    members = [space.project((0.5, 0.5, 3, "b"))] * 3
    drawn = Density(space, members).sample(np.random.default_rng(0), 200, 0.1)
    assert all(space.canonical(a.values) == a for a in drawn)
    x = np.array([float(str(a.values[0])) for a in drawn])
    assert 0.01 < x.std() < 0.04  # 0.025 expected; 200 draws give 0.025 within 5 %
    # a choice moves with probability (c - 1) / (n + c) = 1/3: 200 draws, 5 deviations of 6.7
    assert abs(sum(a.values[3] != "b" for a in drawn) - 67) <= 34


def test_a_whole_number_moves_however_many_members_agree() -> None:
    """Fifty equal members leave reals a deviation of 1 / 51; 3 of 0 to 4 has a kernel as wide as a step, so that it
    stays with probability 0.4: 200 draws, 5 deviations of 6.9."""
    space = Plane()
    drawn = Density(space, [space.project((0.5, 0.5, 3, "b"))] * 50).sample(np.random.default_rng(0), 200, 1.0)
    assert abs(sum(a.values[2] == 3 for a in drawn) - 80) <= 35


def test_an_inactive_decision_is_unlike_an_active_one() -> None:
    space = Plane()
    off, on = space.project((0.5, 0.5, 0, None)), space.project((0.5, 0.5, 0.0, "a"))
    assert on == off  # the space itself leaves it out
    density = Density(space, [off])
    points = encoded(space, [off])
    other = _with(points, 3, 0.5)
    assert density.log(points)[0] > density.log(other)[0]


def test_the_gaussian_process_as_proposer() -> None:
    pytest.importorskip("nas_surrogates", reason="the proposer gp needs nas-surrogates, the extra surrogates")
    options = {"fidelities": [1, 3], "proposer": "gp", "random": 0.0, "candidates": 20, "least": 4}
    history = _run(BOHB(Plane(), _ONE, 0, **options), 14)
    assert Counter(t.proposal.info["by"] for t in history)["model"] >= 2
    failing = _run(BOHB(Plane(), _ONE, 0, **options), 9, lambda a: None)
    assert {t.proposal.info["by"] for t in failing} == {"chance"}
