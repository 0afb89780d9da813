"""AG-Net: the contract with the toy space, its state, ranks, candidates, constraints and golden trace."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_core.decisions import Categorical
from nas_core.errors import InvalidData, InvalidOption, MissingCapability
from nas_core.objective import Objectives
from nas_core.optimizer import State
from nas_core.registry import make
from nas_core.space import Space
from nas_core.testing import OptimizerContract, ToySpace
from nas_core.testing.optimizers import Run
from nas_search.optimizers.agnet import AGNet

pytest.importorskip("nas_surrogates", reason="AG-Net needs nas-surrogates, the extra surrogates")

ONE = Objectives.parse(["max:val_accuracy"])
BOUNDED = Objectives.parse(["max:val_accuracy"], ["params<=3000"])
PRETRAINING: dict[str, Any] = {"samples": 200, "steps": 20, "batch": 32, "latent": 6, "width": 8}
QUICK: dict[str, Any] = {
    "initial": 4, "labels": 3, "candidates": 8, "epochs": 1, "fit_steps": 10, "pretraining": PRETRAINING
}  # fmt: skip
GOLDEN = [
    "skip skip 1 relu",
    "pool conv1 0",
    "pool skip 0",
    "pool pool 2 relu",
    "skip skip 1 tanh",
    "conv3 skip 1 tanh",
    "skip pool 1 tanh",
    "pool conv3 2 tanh",
    "conv1 conv1 2 tanh",
]


@pytest.fixture(autouse=True, scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Generators lie in a folder of the tests' own; fresh processes find it, too."""
    patch = pytest.MonkeyPatch()
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    yield
    patch.undo()


class TestContract(OptimizerContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_search.optimizers.agnet:AGNet"

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {**QUICK, "labels": 5}

    @pytest.fixture
    def trials(self) -> int:
        return 10


def run(seed: int = 0, objectives: Objectives = ONE, space: Space | None = None, **options: Any) -> Run:
    space = ToySpace() if space is None else space
    return Run(AGNet(space, objectives, seed, **{**QUICK, **options}), space, objectives)


def test_it_is_registered_with_the_constants_of_the_paper() -> None:
    config = make("optimizer", "agnet", ToySpace(), ONE, 0).to_config()
    wanted = {
        "initial": 16, "labels": 16, "candidates": 100, "latent": "uniform", "epochs": 30, "batch": 16, "rate": 1e-3,
        "alpha": 0.9, "balance": 0.5, "k": 0.01, "weigh": "sampler", "backprop": True, "joint": False,
    }  # fmt: skip
    assert {key: config[key] for key in wanted} == wanted
    assert make("optimizer", "agnet", ToySpace(), ONE, 0, reading="paper").to_config()["weigh"] == "both"


def test_importing_it_loads_no_torch() -> None:
    code = "import nas_search.optimizers.agnet, sys; sys.exit(bool({'torch', 'nas_surrogates'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_rounds_follow_random_members() -> None:
    one = run()
    one.rounds(10, 1)
    infos = [trial.proposal.info for trial in one.history]
    assert [info["by"] for info in infos] == ["chance"] * 4 + ["generator"] * 6
    assert [info["round"] for info in infos[4:]] == [4] * 3 + [7] * 3
    assert [info["labels"] for info in infos[4:]] == [4] * 3 + [7] * 3
    assert all(0.0 < info["valid"] <= 1.0 for info in infos[4:])


def test_golden_trace() -> None:
    one = run(seed=3)
    one.rounds(9, 1)
    proposed = [trial.architecture.values for trial in one.history]
    assert [" ".join(str(value) for value in values if value is not None) for values in proposed] == GOLDEN


def test_asking_for_many_or_for_few_gives_the_same_round() -> None:
    """All picks of a round are made when it begins, so only rounds and not calls decide."""
    few, many = run(), run()
    few.rounds(4, 1)
    many.rounds(4, 1)
    few.rounds(7, 1)
    many.rounds(7, 3)
    assert few.trace() == many.trace()


def test_the_state_is_that_of_generator_and_surrogate() -> None:
    one = run()
    one.rounds(4, 2)
    assert one.optimizer.state() is None
    one.rounds(5, 1)
    state = one.optimizer.state()
    assert state is not None
    assert len(state.values["left"]) == 2
    assert {name.split(".")[0] for name in state.arrays} == {"generator", "surrogate"}
    before = state.arrays["generator.vector"]
    one.rounds(8, 1)
    after = one.optimizer.state()
    assert after is not None
    assert not np.array_equal(before, after.arrays["generator.vector"])
    assert int(after.arrays["generator.steps"]) > int(state.arrays["generator.steps"])


@pytest.mark.parametrize("options", [{"reading": "paper", "joint": True}, {"surrogate": "mlp", "latent": "normal"}])
def test_a_search_goes_on_from_its_state(options: dict[str, Any]) -> None:
    lasting, resumed = run(objectives=BOUNDED, **options), run(objectives=BOUNDED, **options)
    for trials in range(1, 12):
        lasting.rounds(trials, 1)
        resumed.rounds(trials, 1)
        state = resumed.optimizer.state()
        resumed.optimizer = run(objectives=BOUNDED, **options).optimizer
        if state is not None:
            resumed.optimizer.restore(state)
    assert resumed.trace() == lasting.trace()
    assert resumed.optimizer.state() == lasting.optimizer.state()


def test_a_state_of_something_else_is_refused() -> None:
    with pytest.raises(InvalidOption, match="another optimizer"):
        run().optimizer.restore(State({}, {"calls": 1}))
    one, other = run(), run()
    one.rounds(5, 1)
    state = one.optimizer.state()
    assert state is not None
    arrays = {**state.arrays, "surrogate.first": np.zeros(3, dtype=np.float32)}
    other.rounds(4, 1)
    other.optimizer.restore(State(arrays, {"left": [], "learnt": 0}))
    with pytest.raises(InvalidData, match="another generator or surrogate"):
        other.propose(1)


def test_ranks_by_the_rules() -> None:
    """Losses and parameters of four members, of which two keep the limit of 3000.

    What breaks it comes last: the nearest first, or in the paper's reading in the order of the objective. With
    joint=true ranks of parameters are added: in the second case the first two have 3 + 2 and 4 + 1.
    """
    losses = np.array([[-70.0, 3000.0], [-80.0, 1000.0], [-90.0, 12000.0], [-95.0, 5000.0]])
    weights = np.ones(1)

    def ranks(**options: Any) -> list[int]:
        optimizer: Any = run(objectives=BOUNDED, **options).optimizer
        return list(optimizer._ranks(losses, weights))

    assert ranks() == [1, 0, 3, 2]
    assert ranks(reading="paper") == [1, 0, 3, 2]
    assert ranks(joint=True) == [1, 0, 3, 2]
    losses[:, 0] = [-80.0, -70.0, -95.0, -90.0]
    assert ranks() == [0, 1, 3, 2]
    assert ranks(reading="paper") == [0, 1, 2, 3]
    assert ranks(joint=True) == [0, 0, 3, 2]


def test_the_feasible_share_is_recorded() -> None:
    """A round records the share of the labels since the round before that keep the limit."""
    one = run(objectives=BOUNDED, labels=6, initial=8)
    one.rounds(32, 2)
    shares = {t.proposal.info["round"]: t.proposal.info["feasible"] for t in one.history if "round" in t.proposal.info}
    assert list(shares) == [8, 14, 20, 26]
    assert all(0.0 <= share <= 1.0 for share in shares.values())
    found = one.history.values
    assert shares[8] == pytest.approx(float(BOUNDED.feasible(found[:8]).mean()))
    assert shares[20] == pytest.approx(float(BOUNDED.feasible(found[14:20]).mean()))


def test_candidates_are_new_up_to_isomorphism() -> None:
    """With params in play twins are different, but members with swapped slots have one graph: 50 graphs, 80 members."""
    objectives = Objectives.parse(["max:val_accuracy", "min:params"])
    one = run(objectives=objectives)
    one.rounds(30, 3)
    space: Any = one.space
    keys = [space.graph_key(trial.architecture) for trial in one.history]
    assert len(set(keys)) == len(keys)


def test_weights_draw_the_search_to_the_best() -> None:
    """Means over 3 seeds of the labels that rounds give, with and without the weights and the surrogate's choice."""
    means = []
    for options in ({"epochs": 15, "candidates": 30, "fit_steps": 100}, {"initial": 40}):
        found = []
        for seed in range(3):
            one = run(seed=seed, **{"labels": 8, "initial": 8, **options})
            one.rounds(24, 8)
            found.append(one.history.values[8:, 0].mean())
        means.append(np.mean(found))
    assert means[0] > means[1]


@pytest.mark.parametrize("surrogate", ["xgb", "xgb_rank"])
def test_trees_take_the_place_of_the_perceptron(surrogate: str) -> None:
    pytest.importorskip("xgboost", reason="trees need the extra xgboost")
    one = run(surrogate=surrogate)
    one.rounds(10, 3)
    assert one.history[9].proposal.info["by"] == "generator"


def test_without_xgboost_it_says_so_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(InvalidOption, match="not installed"):
        run(surrogate="xgb")


@pytest.mark.parametrize("options", [{"weigh": "none"}, {"backprop": False}, {"reading": "paper", "backprop": False}])
def test_ablations_run(options: dict[str, Any]) -> None:
    one = run(**options)
    one.rounds(8, 2)
    assert len(one.history) >= 8


@pytest.mark.parametrize(
    "options",
    [
        {"initial": 0},
        {"labels": 0},
        {"candidates": 0},
        {"latent": "grid"},
        {"joint": 1},
        {"reading": "published"},
        {"surrogate": "forest"},
        {"weigh": "twice"},
        {"alpha": 1.5},
        {"k": 0.0},
        {"backprop": "no"},
        {"cache": 3},
        {"pretraining": {"layers": 2}},
        {"pretraining": {"tie": 2.0}},
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        run(**options)


def test_a_space_without_graphs_is_refused() -> None:
    class Plain(Space):
        name, decisions = "plain", (Categorical("a", ("x", "y")),)

        def to_config(self) -> dict[str, Any]:
            return {"name": self.name}

    with pytest.raises(MissingCapability, match="graphs"):
        run(space=Plain())


def test_the_generator_is_kept_in_a_named_folder(tmp_path: Path) -> None:
    one = run(cache=str(tmp_path / "here"))
    one.rounds(5, 1)
    assert sorted(path.suffix for path in (tmp_path / "here").iterdir()) == [".json", ".safetensors"]
