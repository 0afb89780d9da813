"""AG-Net: the contract with the toy space, its state, ranks, candidates, constraints and golden trace."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_core.decisions import Categorical
from nas_core.errors import InvalidData, InvalidOption, MissingCapability, StoreError
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
    "initial": 4, "labels": 3, "candidates": 8, "random": 0.0, "epochs": 1, "fit_steps": 10,
    "pretraining": PRETRAINING,
}  # fmt: skip
GOLDEN = [
    "skip skip 1 relu",
    "pool conv1 0",
    "pool skip 0",
    "pool pool 2 relu",
    "skip skip 2 tanh",
    "skip skip 1 tanh",
    "conv3 skip 1 tanh",
    "skip pool 2 relu",
    "skip conv1 2 tanh",
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
        "initial": 16, "labels": 16, "candidates": 100, "latent": "sphere", "epochs": 30, "batch": 16, "rate": 1e-3,
        "alpha": 0.9, "balance": 0.5, "k": 0.01, "weigh": "sampler", "backprop": True, "joint": False,
        "weighting": "random", "cells": "together", "phase": 152,
    }  # fmt: skip
    assert {key: config[key] for key in wanted} == wanted
    assert (config["begin"], config["random"]) == ("pretrained", 0.125)
    of_paper = make("optimizer", "agnet", ToySpace(), ONE, 0, reading="paper").to_config()
    assert (of_paper["weigh"], of_paper["begin"], of_paper["random"]) == ("both", "last", 0.0)


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


def test_a_share_of_a_round_is_random() -> None:
    """Half of four, and of three either one or two; rounds are the same however many are asked for."""
    one = run(labels=4, random=0.5)
    one.rounds(12, 1)
    assert [trial.proposal.info["by"] for trial in one.history] == ["chance"] * 4 + 2 * (
        ["generator"] * 2 + ["chance"] * 2
    )
    few, many = run(seed=1, random=0.5), run(seed=1, random=0.5)
    for other, at_once in ((few, 1), (many, 3)):
        other.rounds(4, 1)
        other.rounds(16, at_once)
    assert few.trace() == many.trace()
    random = [trial.proposal.info for trial in few.history][4:16]
    counts = [sum(info["by"] == "chance" for info in random[k : k + 3]) for k in range(0, 12, 3)]
    assert set(counts) == {1, 2}  # equal in all four rounds once in eight runs


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


def test_the_state_is_that_of_the_surrogate_and_of_a_generator_that_goes_on() -> None:
    alone = run()
    alone.rounds(5, 1)
    carried = alone.optimizer.state()
    assert carried is not None
    assert {name.split(".")[0] for name in carried.arrays} == {"surrogate"}
    one = run(begin="last")
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


@pytest.mark.parametrize("options", [{"reading": "paper", "joint": True}, {"begin": "last"}, {"latent": "normal"}])
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
        return list(optimizer._ranks(losses, weights, losses))

    assert ranks() == [1, 0, 3, 2]
    assert ranks(reading="paper") == [1, 0, 3, 2]
    assert ranks(joint=True) == [1, 0, 3, 2]
    losses[:, 0] = [-80.0, -70.0, -95.0, -90.0]
    assert ranks() == [0, 1, 3, 2]
    assert ranks(reading="paper") == [0, 1, 2, 3]
    assert ranks(joint=True) == [0, 0, 3, 2]


def test_limits_are_judged_by_regressions_in_the_informed_reading_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of three rounds fits them to the labels it learns from; the paper's reading and a search without a limit
    fit none."""
    from nas_surrogates.limited_metrics import LimitedMetrics

    fitted: list[int] = []
    real = LimitedMetrics.of

    def of(objectives: Objectives, features: Any, losses: Any) -> LimitedMetrics:
        fitted.append(len(losses))
        return real(objectives, features, losses)

    monkeypatch.setattr(LimitedMetrics, "of", of)
    run(objectives=BOUNDED, labels=6, initial=8).rounds(26, 2)
    assert fitted == [8, 14, 20]
    run(objectives=BOUNDED, labels=6, initial=8, reading="paper").rounds(20, 2)
    run(labels=6, initial=8).rounds(20, 2)
    assert fitted == [8, 14, 20]


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
        {"weighting": "paper"},
        {"cells": "one"},
        {"cells": "phases", "phase": 0},
        {"cells": "phases"},
        {"cells": "alternating"},
        {"reading": "published"},
        {"surrogate": "forest"},
        {"weigh": "twice"},
        {"begin": "first"},
        {"random": 1.5},
        {"random": True},
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


def darts() -> Any:
    pytest.importorskip("nas_spaces", reason="the space is one of nas-spaces")
    return make("space", "darts")


def test_phases_search_one_cell_after_the_other() -> None:
    """Until 10 labels normal cells beside one reduction cell; then reduction cells beside the best normal cell."""
    space = darts()
    one = Run(AGNet(space, ONE, 0, **{**QUICK, "cells": "phases", "phase": 10}), space, ONE)
    one.rounds(16, 1)
    rounds = [t for t in one.history if t.proposal.info["by"] == "generator"]
    assert [t.proposal.info["cell"] for t in rounds] == ["normal"] * 6 + ["reduction"] * 6
    cells = [[graph.key() for graph in space.graphs(t.architecture).values()] for t in rounds]
    assert len({reduction for _, reduction in cells[:6]}) == 1
    assert len({normal for normal, _ in cells[:6]}) == 6
    first = one.history.values[:10, 0]
    best = space.graphs(one.history.finished[int(np.argmax(first))].architecture)["normal"].key()
    assert {normal for normal, _ in cells[6:9]} == {best}
    assert len({reduction for _, reduction in cells[6:]}) == 6


def test_cells_take_turns() -> None:
    """Every round begins with the other cell, and keeps the cell of the best known so far."""
    space = darts()
    one = Run(AGNet(space, ONE, 1, **{**QUICK, "cells": "alternating"}), space, ONE)
    one.rounds(13, 1)
    for start, cell in ((4, 0), (7, 1), (10, 0)):
        best = one.history.finished[int(np.argmax(one.history.values[:start, 0]))].architecture
        for number in range(start, start + 3):
            trial = one.history[number]
            assert trial.proposal.info["cell"] == ("normal", "reduction")[cell]
            kept = ("reduction", "normal")[cell]
            # read back from a graph, a cell may have its nodes in another order
            assert space.graphs(trial.architecture)[kept].key() == space.graphs(best)[kept].key()


def test_both_cells_together_is_the_default() -> None:
    space = darts()
    one = Run(AGNet(space, ONE, 0, **QUICK), space, ONE)
    one.rounds(7, 3)
    cells = [space.cells_of(t.architecture) for t in one.history[4:]]
    assert len({normal for normal, _ in cells}) == len({reduction for _, reduction in cells}) == len(cells)
    assert all("cell" not in t.proposal.info for t in one.history)


def test_equal_weights_sum_ranks() -> None:
    """Ranks in the columns 0 1 2 3 and 3 0 1 2, so that sums are 3 1 3 5."""
    two = Objectives.parse(["min:a", "max:b"])
    space = ToySpace()
    optimizer: Any = AGNet(space, two, 0, **{**QUICK, "weighting": "equal"})
    weights = optimizer._objective_weights(5)
    assert weights.tolist() == [0.5, 0.5]
    losses = np.array([[1.0, -5.0], [2.0, -8.0], [3.0, -7.0], [4.0, -6.0]])
    assert optimizer._ranks(losses, weights, losses).tolist() == [1, 0, 1, 3]
    drawn: Any = AGNet(space, two, 0, **QUICK)
    assert drawn._objective_weights(5).sum() == pytest.approx(1.0)
    assert not np.array_equal(drawn._objective_weights(5), drawn._objective_weights(8))


def test_an_unreachable_limit_draws_the_search_to_the_nearest() -> None:
    """Nothing has at most 10 parameters: nothing is best, and rounds come nearer to the limit than chance does."""
    unreachable = Objectives.parse(["max:val_accuracy"], ["params<=10"])
    found = []
    for seed in range(3):
        one = run(seed=seed, objectives=unreachable, initial=8, labels=8, epochs=15, candidates=30, fit_steps=100)
        one.rounds(24, 8)
        assert unreachable.best(one.history) == []
        shares = [t.proposal.info["feasible"] for t in one.history if "feasible" in t.proposal.info]
        assert shares
        assert not any(shares)
        violation = unreachable.violation(one.history.values)
        found.append((violation[:8].mean(), violation[8:].mean()))
    chance, rounds = np.mean(found, axis=0)
    assert rounds < chance


def test_an_artefact_of_something_else_in_its_place_is_refused(tmp_path: Path) -> None:
    """The file that the optimizer looks for holds another generator: an error, and not a wrong search."""
    one = run(cache=str(tmp_path))
    one.rounds(5, 1)
    (description,) = tmp_path.glob("*.json")
    description.write_text(description.read_text().replace('"name": "toy"', '"name": "other"'))
    # a fresh process would read it; this one remembers what it has read
    from nas_surrogates import generator_pretraining

    generator_pretraining._kept.clear()
    other = run(cache=str(tmp_path))
    with pytest.raises(StoreError, match="another space"):
        other.rounds(5, 1)


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
