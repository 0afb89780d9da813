"""MOBO: the contract, what is chosen and why, warm start, and histories that say little."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical, Integer, Real
from nas_core.errors import InvalidOption, StoreError
from nas_core.objective import Objectives
from nas_core.registry import make
from nas_core.space import Space
from nas_core.testing import OptimizerContract
from nas_core.testing.fakes import ContinuousToySpace, FakeEvaluator, ToySpace
from nas_core.testing.optimizers import Run
from nas_core.training_set import TrainingSet
from nas_search.config import StudyConfig
from nas_search.optimizers.mobo import MOBO, _fenced
from nas_search.study import Study

pytest.importorskip("nas_surrogates", reason="MOBO needs nas-surrogates, the extra surrogates")

ONE = Objectives.parse(["max:val_accuracy"])
TWO = Objectives.parse(["max:val_accuracy", "min:params"])
THREE = Objectives.parse(["max:val_accuracy", "min:params", "max:test_accuracy"])
BNN = {"name": "bnn", "layers": [4], "chains": 2, "burn_in": 30, "samples": 5, "thin": 4}
QUICK: dict[str, Any] = {"initial": 4, "surrogate": BNN, "population": 8, "generations": 3, "largest": 0}
GOLDEN_MOBO = [
    "skip skip 1 relu 0.336",
    "conv3 conv3 1 tanh 0.126",
    "pool skip 0 None 0.053",
    "conv3 conv1 1 relu 0.396",
    "skip conv1 2 relu 0.398",
    "pool conv3 0 None 0.417",
    "conv1 pool 2 relu 0.309",
    "conv1 conv3 0 None 0.480",
]


class TestMOBOContract(OptimizerContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_search.optimizers.mobo:MOBO"

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return QUICK

    @pytest.fixture
    def trials(self) -> int:
        return 10


class TestMOBOContractWithAListAndAGaussianProcess(TestMOBOContract):
    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"initial": 4, "surrogate": "gp", "acquisition": "lcb", "fidelity": 3.0}


class Mixed(Space):
    """One decision of each kind; the choice means nothing where the whole number is 0."""

    name = "mixed"
    decisions = (Real("x", 0.0, 1.0), Integer("k", 0, 4), Categorical("c", ("a", "b", "d")))

    def active(self, values: Sequence[Any]) -> tuple[bool, ...]:
        return (True, True, values[1] != 0)

    def to_config(self) -> dict[str, Any]:
        return {"name": "mixed"}


def _run(objectives: Objectives = TWO, space: Space | None = None, seed: int = 0, **more: Any) -> Run:
    space = ToySpace() if space is None else space
    evaluator, fails = more.pop("evaluator", None), more.pop("fails", lambda number: False)
    return Run(MOBO(space, objectives, seed, **{**QUICK, **more}), space, objectives, evaluator, fails)


def test_it_is_registered() -> None:
    made = make("optimizer", "mobo", ToySpace(), TWO, 0)
    assert made.to_config()["surrogate"] == {"name": "gp", "warp": "none"}


def test_the_network_of_the_paper_learns_the_noise() -> None:
    made = make("optimizer", "mobo", ToySpace(), TWO, 0, surrogate="bnn")
    assert made.to_config()["surrogate"]["heteroscedastic"] is True


def test_importing_it_loads_no_torch() -> None:
    code = "import nas_search.optimizers.mobo, sys; sys.exit(bool({'torch', 'nas_surrogates'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_it_begins_at_random_and_goes_on_by_uncertainty() -> None:
    one = _run(initial=5)
    one.rounds(8, 2)
    assert [trial.proposal.info["by"] for trial in one.history] == ["chance"] * 5 + ["uncertainty"] * 3


@pytest.mark.parametrize("objectives", [ONE, TWO, THREE])
@pytest.mark.parametrize("space", [ToySpace(), ContinuousToySpace()])
def test_a_batch_has_different_members(space: Space, objectives: Objectives) -> None:
    one = _run(objectives, space, initial=6)
    one.rounds(6, 6)
    batch = one.propose(6)
    assert len({proposal.architecture for proposal in batch}) == 6
    assert len({proposal.architecture for proposal in one.propose(4)} | {p.architecture for p in batch}) == 10


def test_running_trials_push_the_next_one_away() -> None:
    """On a line where everything is in the Pareto set, the second of a batch is far from the first."""
    space = Line()
    objectives = Objectives.parse(["min:a", "min:b"])
    optimizer = MOBO(space, objectives, 0, initial=3, surrogate="gp", acquisition="lcb", population=40, generations=5)
    history = objectives.new_history()
    for x in (0.0, 0.5, 1.0):
        _finish(history, space.canonical((x,)))
    first, second = (float(str(p.architecture.values[0])) for p in optimizer.propose(history, 2))
    assert abs(first - second) > 0.2


class Line(Space):
    name = "line"
    decisions = (Real("x", 0.0, 1.0),)

    def active(self, values: Sequence[Any]) -> tuple[bool, ...]:
        return (True,)

    def to_config(self) -> dict[str, Any]:
        return {"name": "line"}


def test_how_far_out_a_loss_is_does_not_matter() -> None:
    """Beyond the fence all is one: 1e3 and 1e6, which without it would leave the others no differences."""
    proposed = []
    for far in (1e3, 1e6):
        objectives = Objectives.parse(["min:a", "min:b"])
        history = objectives.new_history()
        for x in (0.05, 0.2, 0.4, 0.6, 0.8, 0.9):
            _finish(history, Line().canonical((x,)))
        _finish(history, Line().canonical((1.0,)), added=far)
        proposed.append(
            [p.architecture for p in MOBO(Line(), objectives, 0, initial=3, surrogate="gp").propose(history, 3)]
        )
    assert proposed[0] == proposed[1]


def test_a_fence_of_losses_that_hardly_vary_is_no_fence() -> None:
    targets = np.array([[1.0, 5.0]] * 7 + [[2.0, 4.0]])
    data = TrainingSet((Line().canonical((0.5,)),) * 8, targets, np.ones(8, dtype=np.int64), np.zeros(8))
    assert _fenced(data, 2).targets.tolist() == targets.tolist()


def test_a_fence_is_three_ranges_of_the_quartiles_above_the_upper_one() -> None:
    """Quartiles 1 and 3 of 0, 1, 2, 3, 100: the fence is 9; the second target, a limit's, has none."""
    column = np.array([0.0, 1.0, 2.0, 3.0, 100.0])
    data = TrainingSet(
        (Line().canonical((0.5,)),) * 5, np.stack([column, column], 1), np.ones(5, dtype=np.int64), np.zeros(5)
    )
    fenced = _fenced(data, 1).targets
    assert fenced[:, 0].tolist() == [0.0, 1.0, 2.0, 3.0, 9.0]
    assert fenced[:, 1].tolist() == column.tolist()


def _finish(history: Any, a: Architecture, added: float = 0.0) -> None:
    from nas_core.trial import Measurement, Proposal

    x = float(str(a.values[0]))
    history.finish(history.begin(Proposal(a)).number, Measurement({"a": x**2 + added, "b": (1 - x) ** 2}))


def test_trials_have_the_fixed_fidelity() -> None:
    one = _run(fidelity=4.0)
    one.rounds(7, 2)
    assert {trial.proposal.fidelity for trial in one.history} == {4.0}


def test_a_constraint_that_nothing_meets_leads_to_where_it_is_missed_least() -> None:
    """Of the toy space's members none has as few as 500 parameters; the search goes where there are few."""
    objectives = Objectives.parse(["max:val_accuracy"], ["params<=500"])
    one = _run(objectives, surrogate="gp", largest=100)
    one.rounds(14, 2)
    params = one.history.column("params")
    assert params[4:].mean() < params[:4].mean()
    assert params.min() == min(one.evaluator.evaluate(_asked(a)).metrics["params"] for a in ToySpace().enumerate())


def _asked(a: Architecture) -> Any:
    from nas_core.evaluator import Evaluation

    return Evaluation(ToySpace(), a, None, 0, 0)


def test_objectives_that_never_vary_are_no_obstacle() -> None:
    one = _run(evaluator=FakeEvaluator(constant=True))
    one.rounds(10, 3)
    assert len(set(one.history.values[:, 0].tolist())) == 1


def test_while_everything_fails_members_are_random() -> None:
    one = _run(fails=lambda number: number < 7)
    one.rounds(7, 1)
    assert {trial.proposal.info["by"] for trial in one.history} == {"chance"}
    one.rounds(12, 1)
    assert one.history[11].proposal.info["by"] == "uncertainty"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"acquisition": "pi"}, "acquisition function"),
        ({"initial": 0}, "initial must be"),
        ({"kappa": -1.0}, "kappa must be"),
        ({"fidelity": 0.0}, "fidelity must be"),
        ({"start_trials": 3}, "something about a start"),
    ],
)
def test_options_out_of_range(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidOption, match=told):
        _run(**options)


def test_golden_trace() -> None:
    mobo = _run(seed=3, space=ContinuousToySpace())
    mobo.rounds(7, 2)
    assert _texts(mobo) == GOLDEN_MOBO


def _texts(run: Run) -> list[str]:
    def short(value: Any) -> str:
        return f"{value:.3f}" if isinstance(value, float) else str(value)

    return [" ".join(map(short, trial.architecture.values)) for trial in run.history]


@pytest.fixture(scope="module")
def bohb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of one objective by BOHB at fidelities 1 and 2, whose evaluator measures parameters as well."""
    directory = tmp_path_factory.mktemp("bohb") / "run"
    config = StudyConfig.from_mapping(
        {
            "space": "nas_core.testing.fakes:ToySpace",
            "optimizer": "bohb:fidelities=[1,2]",
            "evaluator": "nas_core.testing.fakes:FakeEvaluator",
            "objectives": "max:val_accuracy",
            "trials": 12,
        }
    )
    with Study.create(directory, config) as study:
        study.run()
    return directory


def test_it_starts_from_the_trials_of_bohb_at_one_fidelity(bohb: Path) -> None:
    with Study.open(bohb, read_only=True) as study:
        of_two = [trial for trial in study.trials() if trial.proposal.fidelity == 2.0]
    one = _run(initial=len(of_two), fidelity=2.0, start=str(bohb))
    proposals = one.propose(3)
    assert [proposal.info["by"] for proposal in proposals] == ["uncertainty"] * 3
    assert not {proposal.architecture for proposal in proposals} & {trial.architecture for trial in of_two}
    assert one.optimizer.to_config()["start_trials"] == 12


def test_a_start_may_be_of_another_fidelity_and_a_part(bohb: Path) -> None:
    one = _run(initial=3, fidelity=8.0, start=str(bohb), start_fidelity=1, start_trials=5)
    assert {p.fidelity for p in one.propose(2)} == {8.0}
    again = _run(initial=3, start=str(bohb))  # the highest fidelity of the study
    again.rounds(3, 1)
    assert {trial.proposal.fidelity for trial in again.history} == {None}


@pytest.mark.parametrize(
    ("space", "objectives", "options", "told"),
    [
        (ToySpace(operations=2), TWO, {}, "another space"),
        (ToySpace(), Objectives.parse(["min:latency_pixel3"]), {}, "latency_pixel3"),
        (ToySpace(), TWO, {"fidelity": 7.0}, "no completed trial at this fidelity"),
    ],
)
def test_what_is_no_start(bohb: Path, space: Space, objectives: Objectives, options: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidOption, match=told):
        _run(objectives, space, start=str(bohb), **options)


def test_a_start_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such directory"):
        _run(start=str(tmp_path / "none"))
