"""What every optimizer must keep to: a function of the history, repeatable everywhere, that copes with what happens.

The suite drives an optimizer with the fake evaluator on a small space. A trace is the list of everything proposed.
"""

# ruff: noqa: D102 - the name of a test says what it tests
from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count as counted
from typing import Any

import numpy as np
import pytest

from nas_core.errors import Exhausted, NasError
from nas_core.evaluator import Evaluation
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.optimizer import Optimizer, State
from nas_core.space import CAPABILITIES, Space, require
from nas_core.testing.fakes import FakeEvaluator, ToySpace
from nas_core.testing.processes import in_fresh_process, load_object
from nas_core.trial import Failure, Measurement, Proposal, units_of

Make = Callable[..., Optimizer]
"""make(space, objectives, seed, **options)"""

_ONE = Objectives.parse(["max:val_accuracy"])
_SEVERAL = Objectives.parse(["max:val_accuracy", "min:params"])
_BOUNDED = Objectives.parse(["max:val_accuracy"], ["params<=3000"])


class OptimizerContract:
    """Tests that an optimizer inherits.

    Fixtures to give: `factory`, "module:Class" of the optimizer. To change: `options` of its constructor;
    `space_factory` and `space_options`, where the toy space does not suit; `trials`, how many a test proposes (fewer
    for slow ones); and what the optimizer does not claim: `several_objectives`, `constraints`, `repeats` (may propose
    again what has been evaluated), `seeded` (another seed gives other proposals), `exhausts` (proposes every kind of
    member of a small space in the end).
    """

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        """Options of the optimizer's constructor."""
        return {}

    @pytest.fixture
    def space_factory(self) -> str:
        """Where the space comes from."""
        return "nas_core.testing.fakes:ToySpace"

    @pytest.fixture
    def space_options(self) -> dict[str, Any]:
        """Options of the space."""
        return {}

    @pytest.fixture
    def trials(self) -> int:
        """How many trials a test proposes; at least 8."""
        return 24

    @pytest.fixture
    def several_objectives(self) -> bool:
        """Whether it optimizes several objectives."""
        return True

    @pytest.fixture
    def constraints(self) -> bool:
        """Whether it takes account of constraints."""
        return True

    @pytest.fixture
    def repeats(self) -> bool:
        """Whether it may propose again what it has proposed before."""
        return False

    @pytest.fixture
    def seeded(self) -> bool:
        """Whether its proposals depend on the seed."""
        return True

    @pytest.fixture
    def exhausts(self) -> bool:
        """Whether it proposes every kind of member of a small space before it gives up."""
        return True

    @pytest.fixture
    def space(self, space_factory: str, space_options: dict[str, Any]) -> Any:
        """The space that most tests search."""
        return load_object(space_factory)(**space_options)

    @pytest.fixture
    def make_optimizer(self, factory: str, options: dict[str, Any]) -> Make:
        """Builds the optimizer for a space, objectives and a seed."""
        return lambda space, objectives, seed: load_object(factory)(space, objectives, seed, **options)

    def test_it_requires_what_spaces_can_have(self, make_optimizer: Make, space: Any) -> None:
        optimizer = make_optimizer(space, _ONE, 0)
        assert isinstance(optimizer, Optimizer)
        assert optimizer.requires <= {"decisions", *CAPABILITIES}
        require(space, optimizer.requires, type(optimizer).__name__)

    def test_its_config_is_json_and_makes_an_equal_one(self, make_optimizer: Make, space: Any) -> None:
        optimizer = make_optimizer(space, _ONE, 0)
        config = optimizer.to_config()
        assert json.loads(json.dumps(config)) == config
        assert _rebuilt(optimizer, space, _ONE, 0).to_config() == config

    @pytest.mark.parametrize("n", [1, 4])
    def test_it_proposes_members_and_not_too_many(self, make_optimizer: Make, space: Any, trials: int, n: int) -> None:
        run = Run(make_optimizer(space, _ONE, 0), space, _ONE)
        while len(run.history) < trials:
            proposals = run.propose(n)
            assert 1 <= len(units_of(proposals)) <= n, "nothing is running, so waiting is no answer"
            for proposal in proposals:
                assert space.canonical(proposal.architecture.values) == proposal.architecture
                assert json.loads(json.dumps(dict(proposal.info))) == proposal.info
            run.finish_all()

    @pytest.mark.parametrize("n", [1, 4])
    def test_it_does_not_repeat_itself(
        self, make_optimizer: Make, space: Any, trials: int, repeats: bool, n: int
    ) -> None:
        if repeats:
            pytest.skip("the optimizer does not claim to avoid repeats")
        run = Run(make_optimizer(space, _ONE, 1), space, _ONE)
        run.rounds(trials, n)
        asked = [_label(trial.proposal) for trial in run.history]
        assert len(set(asked)) == len(asked)

    def test_it_leaves_the_history_alone(self, make_optimizer: Make, space: Any) -> None:
        run = Run(make_optimizer(space, _ONE, 2), space, _ONE)
        for _ in range(4):
            before = (list(run.history), run.history.finished, run.history.values.tolist(), run.history.metrics)
            proposals = run.optimizer.propose(run.history, 2)
            assert before == (
                list(run.history), run.history.finished, run.history.values.tolist(), run.history.metrics
            )  # fmt: skip
            run.begin(proposals)
            run.finish_all()

    def test_without_carried_state_asking_twice_gives_the_same(self, make_optimizer: Make, space: Any) -> None:
        run = Run(make_optimizer(space, _ONE, 3), space, _ONE)
        run.rounds(6, 2)
        first = run.optimizer.propose(run.history, 2)
        if run.optimizer.state() is not None:
            pytest.skip("the optimizer carries state, which every call takes further")
        assert run.optimizer.propose(run.history, 2) == first

    @pytest.mark.parametrize(("n", "waiting"), [(1, 0), (3, 2)])
    def test_the_same_seed_gives_the_same_anywhere(
        self,
        factory: str,
        options: dict[str, Any],
        space_factory: str,
        space_options: dict[str, Any],
        trials: int,
        n: int,
        waiting: int,
    ) -> None:
        arguments = (factory, options, space_factory, space_options, 5, trials, n, waiting)
        here = trace(*arguments)
        assert trace(*arguments) == here
        assert in_fresh_process("nas_core.testing.optimizers:trace", *arguments) == here

    def test_another_seed_gives_another_trace(self, make_optimizer: Make, space: Any, seeded: bool) -> None:
        """Uniform choices of 8 among 80 without repeats agree in order with odds of about 1 in 10^15."""
        if not seeded:
            pytest.skip("the optimizer does not claim to depend on the seed")
        traces = []
        for seed in (0, 1):
            run = Run(make_optimizer(space, _ONE, seed), space, _ONE)
            run.rounds(8, 1)
            traces.append(run.trace())
        assert traces[0] != traces[1]

    @pytest.mark.parametrize(("n", "waiting"), [(1, 0), (3, 2)])
    def test_it_can_be_taken_up_anywhere(
        self, make_optimizer: Make, space: Any, trials: int, n: int, waiting: int
    ) -> None:
        """A new instance at every step, with a history read back, goes on exactly as the one that lives on."""
        lasting = Run(make_optimizer(space, _ONE, 7), space, _ONE)
        resumed = Run(make_optimizer(space, _ONE, 7), space, _ONE)
        while len(lasting.history) < trials:
            assert resumed.step(n, waiting) == lasting.step(n, waiting)
            state = resumed.optimizer.state()
            assert state == lasting.optimizer.state()
            resumed.history = _read_back(resumed.history)
            resumed.optimizer = _rebuilt(resumed.optimizer, space, _ONE, 7)
            if state is not None:
                resumed.optimizer.restore(_copied(state))
        assert resumed.trace() == lasting.trace()

    def test_trials_may_run_on_and_finish_in_any_order(
        self, make_optimizer: Make, space: Any, trials: int, repeats: bool
    ) -> None:
        run = Run(make_optimizer(space, _ONE, 8), space, _ONE)
        while len(run.history) < trials:
            proposals = run.propose(4 - len(run.history.running)) if len(run.history.running) < 4 else []
            assert proposals or run.history.running
            run.finish(run.history.running[-1].number)  # the newest first; the oldest stays out longest
        if not repeats:
            asked = [_label(trial.proposal) for trial in run.history]
            assert len(set(asked)) == len(asked)

    @pytest.mark.parametrize("every", [1, 3])
    def test_it_copes_with_failures(self, make_optimizer: Make, space: Any, trials: int, every: int) -> None:
        run = Run(make_optimizer(space, _ONE, 9), space, _ONE, fails=lambda number: number % every == 0)
        run.rounds(trials, 2)
        assert any(isinstance(trial.result, Failure) for trial in run.history)
        assert len(run.history) >= trials

    def test_it_copes_with_a_constant_objective(self, make_optimizer: Make, space: Any, trials: int) -> None:
        run = Run(make_optimizer(space, _ONE, 10), space, _ONE, evaluator=FakeEvaluator(constant=True))
        run.rounds(trials, 2)
        assert len(run.history) >= trials

    def test_it_optimizes_several_objectives(
        self, make_optimizer: Make, space: Any, trials: int, several_objectives: bool
    ) -> None:
        self._runs_or_refuses(make_optimizer, space, _SEVERAL, trials, several_objectives)

    def test_it_takes_constraints(self, make_optimizer: Make, space: Any, trials: int, constraints: bool) -> None:
        self._runs_or_refuses(make_optimizer, space, _BOUNDED, trials, constraints)

    def _runs_or_refuses(
        self, make_optimizer: Make, space: Any, objectives: Objectives, trials: int, claimed: bool
    ) -> None:
        if not claimed:  # then it must say so before anything runs
            with pytest.raises(NasError):
                make_optimizer(space, objectives, 11)
            return
        run = Run(make_optimizer(space, objectives, 11), space, objectives)
        run.rounds(trials, 2)
        assert len(run.history) >= trials
        assert run.history.metrics == objectives.metrics

    @pytest.mark.parametrize("n", [1, 4])
    def test_it_says_when_nothing_is_left(self, make_optimizer: Make, exhausts: bool, n: int) -> None:
        """Of 12 members in 9 classes of twins every class is proposed; Exhausted never comes while a trial runs."""
        if not exhausts:
            pytest.skip("the optimizer does not claim to use a space up")
        space = ToySpace(operations=2, deepest=1)
        run = Run(make_optimizer(space, _ONE, 12), space, _ONE)
        for _ in range(20 * space.size):
            try:
                proposals = run.propose(n)
            except Exhausted:
                break
            assert proposals or run.history.running, "waiting with nothing to wait for"
            if not proposals or len(run.history.running) >= n:
                run.finish(run.history.running[0].number)
        else:
            pytest.fail("the optimizer goes on after every member has been proposed")
        assert not run.history.running
        proposed = {trial.architecture for trial in run.history}
        assert {space.twin_key(a) for a in proposed} == {space.twin_key(a) for a in space.enumerate()}
        with pytest.raises(Exhausted):
            run.propose(n)


class Run:
    """An optimizer driven by hand: proposes, begins, evaluates, finishes.

    Args:
        optimizer: what is driven.
        space: where it searches.
        objectives: what it is told.
        evaluator: measures; the fake one by default.
        fails: says by its number whether a trial fails.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        space: Space,
        objectives: Objectives,
        evaluator: FakeEvaluator | None = None,
        fails: Callable[[int], bool] = lambda number: False,
    ) -> None:
        self.optimizer = optimizer
        self.space = space
        self.history = objectives.new_history()
        self.evaluator = evaluator if evaluator is not None else FakeEvaluator()
        self.fails = fails
        self._turns = counted()

    def propose(self, n: int) -> list[Proposal]:
        """Ask for proposals and begin them."""
        proposals = self.optimizer.propose(self.history, n)
        self.begin(proposals)
        return proposals

    def begin(self, proposals: Sequence[Proposal]) -> None:
        """Append proposals as running trials."""
        for proposal in proposals:
            self.history.begin(proposal)

    def finish(self, number: int) -> None:
        """Evaluate a running trial."""
        result: Measurement | Failure = Failure("diverged", "it was told to fail")
        if not self.fails(number):
            asked = self.history[number].proposal
            result = self.evaluator.evaluate(
                Evaluation(self.space, asked.architecture, asked.fidelity, asked.draw, asked.replicate)
            )
        self.history.finish(number, result)

    def finish_all(self) -> None:
        """Evaluate everything that runs, in order."""
        for trial in self.history.running:
            self.finish(trial.number)

    def step(self, n: int, waiting: int) -> list[Proposal]:
        """Propose, then finish from the front and the back in turn until `waiting` trials are left running."""
        proposals = self.propose(n)
        assert proposals or self.history.running, "nothing is running, so waiting is no answer"
        most = waiting if proposals else max(len(self.history.running) - 1, 0)
        while len(self.history.running) > most:
            self.finish(self.history.running[-1 if next(self._turns) % 2 else 0].number)
        return proposals

    def rounds(self, trials: int, n: int) -> None:
        """Propose `n` at a time and finish them until there are that many trials."""
        while len(self.history) < trials:
            assert self.propose(n), "nothing is running, so waiting is no answer"
            self.finish_all()

    def trace(self) -> list[list[Any]]:
        """Everything proposed, as JSON."""
        return [_row(self.space, trial.proposal) for trial in self.history]


def trace(
    factory: str,
    options: Mapping[str, Any],
    space_factory: str,
    space_options: Mapping[str, Any],
    seed: int,
    trials: int,
    n: int,
    waiting: int,
) -> list[list[Any]]:
    """What an optimizer proposes with one objective: the same in every process."""
    space = load_object(space_factory)(**space_options)
    run = Run(load_object(factory)(space, _ONE, seed, **options), space, _ONE)
    while len(run.history) < trials:
        run.step(n, waiting)
    result: list[list[Any]] = json.loads(json.dumps(run.trace()))
    return result


def _row(space: Space, asked: Proposal) -> list[Any]:
    return [space.text(asked.architecture), *_label(asked)[1:], asked.resume_from, asked.group, dict(asked.info)]


def _label(asked: Proposal) -> tuple[Any, ...]:
    """What makes a trial a repeat of another."""
    return (asked.architecture, asked.fidelity, asked.draw, asked.replicate)


def _rebuilt(optimizer: Optimizer, space: Space, objectives: Objectives, seed: int) -> Optimizer:
    make: Make = type(optimizer)
    options = {key: value for key, value in optimizer.to_config().items() if key != "name"}
    return make(space, objectives, seed, **json.loads(json.dumps(options)))


def _copied(state: State) -> State:
    """A state as a store gives it back."""
    return State({name: np.array(array) for name, array in state.arrays.items()}, json.loads(json.dumps(state.values)))


def _read_back(history: History) -> History:
    """An equal history, built from its trials alone."""
    again = History(history.metrics)
    for trial in history:
        again.begin(trial.proposal)
    for number, result in _results(history):
        again.finish(number, result)
    return again


def _results(history: History) -> Iterator[tuple[int, Measurement | Failure]]:
    for trial in history.finished:
        if trial.result is not None:
            yield trial.number, trial.result
