"""Random search, regularized evolution and local search: the contract, and what each of them is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical
from nas_core.errors import InvalidOption
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.space import Space
from nas_core.testing import OptimizerContract
from nas_core.trial import Failure, Measurement, Proposal
from nas_search.candidates import Picks, Seen, sameness
from nas_search.optimizers.evolution import RegularizedEvolution
from nas_search.optimizers.local_search import LocalSearch
from nas_search.optimizers.random_search import RandomSearch

_ONE = Objectives.parse(["max:val_accuracy"])


class Line(Space):
    """Whole numbers 0 … 9; neighbours are next to each other; x and 9 - x are twins where `mirrored`."""

    name = "line"

    def __init__(self, mirrored: bool = False) -> None:
        self.mirrored = mirrored
        self.decisions = (Categorical("x", tuple(range(10))),)

    @property
    def size(self) -> int:
        return 10

    def enumerate(self) -> Any:
        return iter([Architecture("line", (x,)) for x in range(10)])

    def neighbors(self, a: Architecture) -> list[Architecture]:
        return [Architecture("line", (x,)) for x in (_x(a) - 1, _x(a) + 1) if 0 <= x <= 9]

    @property
    def twin_rules(self) -> str:
        return "mirror-1" if self.mirrored else "none-1"

    def twin_key(self, a: Architecture) -> str:
        return str(min(_x(a), 9 - _x(a)) if self.mirrored else _x(a))

    def to_config(self) -> dict[str, Any]:
        return {"name": "line", "mirrored": self.mirrored}


def _x(a: Architecture) -> int:
    return int(str(a.values[0]))


def _run(optimizer: Any, values: Sequence[float], trials: int) -> list[int]:
    """The members proposed one by one when member x measures values[x]."""
    history, found = _ONE.new_history(), []
    for _ in range(trials):
        (proposal,) = optimizer.propose(history, 1)
        found.append(_x(proposal.architecture))
        _finish(history, proposal, values[found[-1]])
    return found


def _finish(history: History, proposal: Proposal, value: float | None) -> None:
    trial = history.begin(proposal)
    result = Failure("error", "told to fail") if value is None else Measurement({"val_accuracy": value})
    history.finish(trial.number, result)


class TestRandomSearchContract(OptimizerContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_search.optimizers.random_search:RandomSearch"


class TestEvolutionContract(OptimizerContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_search.optimizers.evolution:RegularizedEvolution"

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"population": 6, "tournament": 3}


class TestLocalSearchContract(OptimizerContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_search.optimizers.local_search:LocalSearch"


@pytest.mark.parametrize("kind", [RandomSearch, RegularizedEvolution, LocalSearch])
def test_a_small_space_is_used_up_without_repeats(kind: Any) -> None:
    assert sorted(_run(kind(Line(), _ONE, 0), range(10), 10)) == list(range(10))


@pytest.mark.parametrize("kind", [RandomSearch, RegularizedEvolution, LocalSearch])
def test_twins_are_left_out_and_the_switch_lets_them_in(kind: Any) -> None:
    once = _run(kind(Line(mirrored=True), _ONE, 3), [0, 1, 2, 3, 4, 4, 3, 2, 1, 0], 5)
    assert sorted(min(x, 9 - x) for x in once) == [0, 1, 2, 3, 4]
    both = _run(kind(Line(mirrored=True), _ONE, 3, allow_twins=True), [0, 1, 2, 3, 4, 4, 3, 2, 1, 0], 10)
    assert sorted(both) == list(range(10))


def test_twins_count_apart_where_an_objective_is_not_functional() -> None:
    key = sameness(Line(mirrored=True), Objectives.parse(["max:val_accuracy", "min:params"]), allow_twins=False)
    assert key(Architecture("line", (1,))) != key(Architecture("line", (8,)))


def test_random_search_is_uniform() -> None:
    """400 first proposals over ten members: a count is binomial with mean 40 and deviation 6, and all ten lie within
    4.5 deviations, which a uniform draw misses once in 15,000 runs."""
    first = [_x(RandomSearch(Line(), _ONE, seed).propose(_ONE.new_history(), 1)[0].architecture) for seed in range(400)]
    assert np.abs(np.bincount(first, minlength=10) - 40).max() <= 27


def test_local_search_climbs_by_first_improvement_then_starts_anew() -> None:
    """On a slope the walk from any start goes up only one step at a time, and reaches the top before it restarts."""
    for seed in range(10):
        found = _run(LocalSearch(Line(), _ONE, seed), range(10), 10)
        climb = found[: found.index(9) + 1]
        assert all(abs(b - a) <= 2 for a, b in pairwise(climb))
        assert max(climb[:-1], default=0) == 8 or climb == [9]


def test_local_search_moves_to_what_its_own_walk_knows_to_be_better() -> None:
    history = _ONE.new_history()
    for x, base in [(5, 5), (6, 5), (7, 6), (2, 2), (3, 2)]:  # an older walk met 5, 6, 7; the newest came to 3
        info = {"walk": 0 if x >= 5 else 3, "base": [base]}
        _finish(history, Proposal(Architecture("line", (x,)), info=info), float(x))
    (proposal,) = LocalSearch(Line(), _ONE, 0).propose(history, 1)
    assert (_x(proposal.architecture), proposal.info["base"]) == (4, [3])
    _finish(history, proposal, 4.0)
    (proposal,) = LocalSearch(Line(), _ONE, 0).propose(history, 1)
    assert proposal.info["walk"] == 6, "5 is the older walk's, so the newest one ends at 4"
    assert _x(proposal.architecture) in (0, 1, 8, 9)


def test_local_search_passes_through_twins() -> None:
    """Neighbours of 4 are 3 and its twin 5; through 5 lies 6, the twin of 3: so nothing but 3 or 6 is proposed."""
    history = _ONE.new_history()
    _finish(history, Proposal(Architecture("line", (4,)), info={"walk": 0, "base": [4]}), 1.0)
    for seed in range(10):
        (proposal,) = LocalSearch(Line(mirrored=True), _ONE, seed).propose(history, 1)
        assert _x(proposal.architecture) in (3, 6)


def test_local_search_starts_anew_after_a_start_that_failed() -> None:
    history = _ONE.new_history()
    _finish(history, Proposal(Architecture("line", (4,)), info={"walk": 0, "base": [4]}), None)
    (proposal,) = LocalSearch(Line(), _ONE, 0).propose(history, 1)
    assert proposal.info == {"walk": 1, "base": list(proposal.architecture.values)}


def test_local_search_gives_free_workers_neighbours_of_a_start_that_still_runs() -> None:
    history = _ONE.new_history()
    optimizer = LocalSearch(Line(), _ONE, 0)
    history.begin(Proposal(Architecture("line", (4,)), info={"walk": 0, "base": [4]}))
    ahead = optimizer.propose(history, 5)
    assert sorted(_x(p.architecture) for p in ahead) == [3, 5]


def test_evolution_mutates_the_winner_of_the_tournament() -> None:
    """With a tournament of the whole population drawn with replacement from two, the best of ten is the parent unless
    all draws miss it: (1/2)**10 each time."""
    history = _ONE.new_history()
    for x in (2, 7):
        _finish(history, Proposal(Architecture("line", (x,))), float(x))
    for seed in range(5):
        optimizer = RegularizedEvolution(Line(), _ONE, seed, population=2, tournament=2)
        (proposal,) = optimizer.propose(history, 1)
        assert proposal.info["parent"] in (0, 1)
        parent = (2, 7)[proposal.info["parent"]]
        assert abs(_x(proposal.architecture) - parent) == 1
    parents = [
        RegularizedEvolution(Line(), _ONE, s, population=2, tournament=2).propose(history, 1)[0].info["parent"]
        for s in range(200)
    ]
    # the better one is drawn at least once with odds 3/4: 150 of 200 expected, deviation 6.1; five deviations
    assert 119 <= sum(parents) <= 181


def test_evolution_lets_the_oldest_die() -> None:
    history = _ONE.new_history()
    for x in (9, 1, 2, 3):  # the best is the oldest, and the population holds three
        _finish(history, Proposal(Architecture("line", (x,))), float(x))
    parents = {
        RegularizedEvolution(Line(), _ONE, s, population=3, tournament=3).propose(history, 1)[0].info["parent"]
        for s in range(50)
    }
    assert parents <= {1, 2, 3}
    assert 3 in parents


def test_failed_trials_never_enter_the_population() -> None:
    history = _ONE.new_history()
    for x in (0, 1, 2):
        _finish(history, Proposal(Architecture("line", (x,))), None if x == 1 else float(x))
    infos = [
        RegularizedEvolution(Line(), _ONE, s, population=2, tournament=2).propose(history, 1)[0].info["parent"]
        for s in range(50)
    ]
    assert set(infos) == {0, 2}


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"population": 0}, "population"),
        ({"population": 2.5}, "population"),
        ({"tournament": 0}, "tournament"),
        ({"population": 3, "tournament": 4}, "tournament"),
        ({"allow_twins": "yes"}, "allow_twins"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidOption, match=named):
        RegularizedEvolution(Line(), _ONE, 0, **options)


def test_seen_reads_a_history_once_and_another_one_anew() -> None:
    read: list[int] = []

    def key(a: Architecture) -> int:
        read.append(_x(a))
        return _x(a)

    seen, history = Seen(key), _ONE.new_history()
    for x in range(5):
        _finish(history, Proposal(Architecture("line", (x,))), float(x))
        seen.read(history)
    assert len(read) == 10, "each trial once when it begins and once when it ends"
    other = _ONE.new_history()
    _finish(other, Proposal(Architecture("line", (7,))), 7.0)
    seen.read(other)
    assert Architecture("line", (7,)) in seen
    assert Architecture("line", (3,)) not in seen


def test_picks_fall_back_to_the_list_of_what_is_left() -> None:
    history = _ONE.new_history()
    for x in range(9):
        _finish(history, Proposal(Architecture("line", (x,))), float(x))
    seen = Seen(sameness(Line(), _ONE, allow_twins=False))
    seen.read(history)
    picks = Picks(seen)
    assert picks.add_random(Line(), np.random.default_rng(0))
    assert [_x(a) for a in picks.architectures] == [9]
    assert not picks.add_random(Line(), np.random.default_rng(0))
