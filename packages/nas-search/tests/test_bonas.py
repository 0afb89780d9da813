"""BONAS: the contract with the toy space and every sampler, its mutations, pools, transfer and golden traces."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical
from nas_core.errors import InvalidOption, MissingCapability, StoreError
from nas_core.objective import Objectives
from nas_core.random import rng
from nas_core.registry import make
from nas_core.space import Space
from nas_core.testing import OptimizerContract, ToySpace
from nas_core.testing.fakes import ACTIVATIONS
from nas_core.testing.optimizers import Run
from nas_core.testing.registered import register_fakes
from nas_core.testing.surrogates import training_set
from nas_core.trial import Measurement
from nas_search.candidates import Picks, Seen
from nas_search.config import StudyConfig
from nas_search.graph_mutations import KINDS, GraphMutations
from nas_search.optimizers.bo import BayesianOptimization
from nas_search.optimizers.bonas import Bonas
from nas_search.samplers.aging import AgingSampler
from nas_search.samplers.learnt import LearntSampler
from nas_search.samplers.uniform import UniformSampler
from nas_search.study import Study

pytest.importorskip("nas_surrogates", reason="BONAS needs nas-surrogates, the extra surrogates")

ONE = Objectives.parse(["max:val_accuracy"])
_FIRST = ["skip skip 1 relu", "pool conv1 0", "pool skip 0", "pool pool 2 relu"]
GOLDEN = [
    ("evolution", [*_FIRST, "conv3 skip 2 relu", "skip pool 2 tanh", "pool pool 2 tanh", "skip skip 2 tanh"]),
    ("random", [*_FIRST, "conv3 conv3 2 relu", "pool pool 2 tanh", "skip pool 2 tanh", "skip skip 2 tanh"]),
    ("reinforce", [*_FIRST, "conv3 conv3 2 relu", "pool pool 2 tanh", "conv3 pool 2 tanh", "conv1 conv1 2 tanh"]),
]


class Plain(Space):
    name = "plain"
    decisions = (Categorical("a", ("x", "y", "z")), Categorical("b", ("x", "y", "z")))

    def to_config(self) -> dict[str, Any]:
        return {"name": self.name}


QUICK: dict[str, Any] = {"name": "gcn", "epochs": 5}


class TestContract(OptimizerContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_search.optimizers.bonas:Bonas"

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"initial": 4, "retrain": 3, "pool": 30, "surrogate": QUICK}

    @pytest.fixture
    def trials(self) -> int:
        return 10


class TestLearntSampler(TestContract):
    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {
            "initial": 4, "retrain": 3, "pool": 30, "surrogate": QUICK, "sampler": "reinforce", "samples": 60
        }  # fmt: skip


def run(seed: int = 0, objectives: Objectives = ONE, space: Space | None = None, **options: Any) -> Run:
    space = ToySpace() if space is None else space
    options = {"initial": 4, "retrain": 3, "pool": 30, "surrogate": QUICK, **options}
    return Run(Bonas(space, objectives, seed, **options), space, objectives)


def test_it_is_registered_with_the_constants_of_the_paper() -> None:
    config = make("optimizer", "bonas", ToySpace(), ONE, 0).to_config()
    wanted = {"initial": 10, "pool": 1000, "retrain": 10, "sampler": "evolution", "samples": 1000}
    assert {key: config[key] for key in wanted} == wanted
    surrogate = {"name": "gcn", "layers": 4, "width": 64, "loss": "exponential", "rate": 1e-3, "batch": 128}
    assert {key: config["surrogate"][key] for key in surrogate} == surrogate


def test_importing_it_loads_no_torch() -> None:
    code = "import nas_search.optimizers.bonas, sys; sys.exit(bool({'torch', 'nas_surrogates'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_it_begins_at_random_and_goes_on_by_utility() -> None:
    one = run(initial=5)
    one.rounds(9, 1)
    assert [trial.proposal.info["by"] for trial in one.history] == ["chance"] * 5 + ["utility"] * 4


@pytest.mark.parametrize(("sampler", "golden"), GOLDEN)
def test_golden_trace(sampler: str, golden: list[str]) -> None:
    one = run(seed=3, sampler=sampler, samples=60)
    one.rounds(8, 1)
    proposed = [trial.architecture.values for trial in one.history]
    assert [" ".join(str(value) for value in values if value is not None) for values in proposed] == golden


def test_the_network_is_trained_at_every_kth_label(monkeypatch: pytest.MonkeyPatch) -> None:
    one = run(initial=4, retrain=3)
    trained: list[int] = []
    fit = one.optimizer.surrogate.fit  # type: ignore[attr-defined]
    monkeypatch.setattr(
        one.optimizer.surrogate,  # type: ignore[attr-defined]
        "fit",
        lambda data, rng: trained.append(int(data.counts.sum())) or fit(data, rng),
    )
    one.rounds(12, 1)
    assert trained == [4, 7, 10]


def test_a_label_between_trainings_is_taken_in(monkeypatch: pytest.MonkeyPatch) -> None:
    one = run(retrain=10)
    one.rounds(7, 1)
    posterior = one.optimizer._kept.posterior  # type: ignore[attr-defined]
    one.rounds(8, 1)
    x = [trial.architecture for trial in one.history]
    assert (one.optimizer._kept.posterior.latent(x)[1] < posterior.latent(x)[1]).any()  # type: ignore[attr-defined]


def test_an_improvement_is_one_on_the_best_label_or_on_the_best_prediction() -> None:
    for incumbent in ("observed", "predicted"):
        one = run(incumbent=incumbent)
        one.rounds(9, 1)
        posterior = one.optimizer._posterior(one.history)  # type: ignore[attr-defined]
        found = one.optimizer._incumbents(posterior, one.history)[:, 0]  # type: ignore[attr-defined]
        labels = -np.array(one.history.column("val_accuracy"))
        predictions = posterior.predict([trial.architecture for trial in one.history.finished]).mean[:, 0]
        np.testing.assert_allclose(found, labels if incumbent == "observed" else predictions)
        assert not np.allclose(labels, predictions)


@pytest.mark.parametrize(
    "options",
    [
        {"initial": 0},
        {"pool": 0},
        {"retrain": 0},
        {"sampler": "grid"},
        {"population": 0},
        {"tournament": 0},
        {"samples": 1},
        {"sources": "later"},
        {"incumbent": "best"},
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        run(**options)


def test_a_space_without_graphs_is_refused() -> None:
    with pytest.raises(MissingCapability, match="graphs"):
        Bonas(Plain(), ONE, 0)


def test_a_space_without_graphs_can_be_searched_with_other_parts() -> None:
    one = run(space=Plain(), surrogate={"name": "mlp", "widths": [8], "epochs": 5}, sampler="reinforce", samples=20)
    assert one.optimizer.propose(one.history, 4)


@pytest.mark.parametrize("values", [(0.0, 100.0, 50.0), (0.0, 1.0, 0.5), (0.0,), (100.0,), (0.0,) * 6 + (90.0,)])
def test_accuracies_of_nothing_and_everything(values: tuple[float, ...]) -> None:
    """In per cent, as shares, all equal, and nothing for long: the search goes on by utility."""
    space = ToySpace()
    optimizer = Bonas(space, ONE, 0, initial=4, retrain=3, pool=30, surrogate=QUICK)
    history = ONE.new_history()
    for number in range(12):
        (proposal,) = optimizer.propose(history, 1)
        assert proposal.info["by"] == ("chance" if number < 4 else "utility")
        history.begin(proposal)
        history.finish(number, Measurement({"val_accuracy": values[number % len(values)]}))


def test_bo_takes_the_surrogate_by_name() -> None:
    space = ToySpace()
    one = Run(BayesianOptimization(space, ONE, 0, initial=4, surrogate=QUICK), space, ONE)
    one.rounds(9, 2)
    assert [trial.proposal.info["by"] for trial in one.history][4:] == ["utility"] * 6


def test_mutations_of_the_toy_cell() -> None:
    """input -> conv3, skip -> add -> relu -> output has 2 x 3 other operations in its slots and one other activation.

    Its wiring follows from the depth alone, so that mutations of edges are the steps to another depth: 0 and 2.
    """
    space = ToySpace()
    mutations = GraphMutations(space)
    a = space.canonical(("conv3", "skip", 1, "relu"))
    operations = {tuple(other.values) for other in mutations.of(a, "operations")}
    slots = {(one, "skip", 1, "relu") for one in ("conv1", "pool", "skip")}
    slots |= {("conv3", one, 1, "relu") for one in ("conv3", "conv1", "pool")}
    assert operations == slots | {("conv3", "skip", 1, other) for other in ACTIVATIONS if other != "relu"}
    assert {other.values[2] for other in mutations.of(a, "wiring")} == {0, 2}


def test_mutations_are_legal_and_never_the_same() -> None:
    space = ToySpace()
    for kind in KINDS:
        for a in space.enumerate():
            found = GraphMutations(space).of(a, kind)
            assert a not in found
            assert len(set(found)) == len(found)
            assert all(space.canonical(other.values) == other for other in found)


def test_an_evolutionary_pool_is_new_and_mutated() -> None:
    """Of 40 classes of twins 12 are labelled; the pool holds others, and those near the best come first."""
    one = run(initial=12)
    one.rounds(12, 1)
    seen = Seen(one.space.twin_key)  # type: ignore[attr-defined]
    seen.read(one.history)
    sampler = AgingSampler(one.space, ONE, population=3, tournament=3)
    pool = Picks(seen)
    sampler.fill(pool, 6, one.history, lambda x: np.zeros(len(x)), rng(0))
    keys = [one.space.twin_key(a) for a in pool.architectures]  # type: ignore[attr-defined]
    assert len(set(keys)) == len(keys) == 6
    assert not any(a in seen for a in pool.architectures)
    living = [trial.architecture for trial in one.history.finished[-3:]]
    best = living[int(np.argmin(ONE.fitness(one.history.values[-3:])))]
    children = {child for kind in KINDS for child in sampler.mutations.of(best, kind)}
    assert pool.architectures[0] in children


def test_the_learnt_pool_beats_a_random_one() -> None:
    """Mean worth of a pool in a space of some hundred members, where its logarithm is linear in the decisions.

    A random pool of 50 has the mean of the space within 4 standard errors with odds above 0.9999.
    """
    space = ToySpace(deepest=9)
    history = ONE.new_history()

    def log_worth(x: Sequence[Architecture]) -> np.ndarray[Any, Any]:
        return np.array([3.0 * (a.values[0] == "skip") + 3.0 * (a.values[1] == "pool") + 0.1 * a.values[2] for a in x])

    means = []
    for sampler in (UniformSampler(space), LearntSampler(space, 0, 1000)):
        pool = Picks(Seen(lambda a: a))
        sampler.fill(pool, 50, history, log_worth, rng(1))
        assert len(pool) == 50
        means.append(float(np.exp(log_worth(pool.architectures)).mean()))
    members = np.exp(log_worth(list(space.enumerate())))
    assert abs(means[0] - members.mean()) < 4 * members.std() / 50**0.5
    assert means[1] > members.mean() + 4 * members.std() / 50**0.5


def study(path: Path, space: dict[str, Any], objective: str = "max:val_accuracy") -> str:
    config = StudyConfig.from_mapping(
        {
            "space": space,
            "optimizer": "random",
            "evaluator": "fake",
            "objectives": [objective],
            "trials": 12,
        }
    )
    with Study.create(path, config) as made:
        made.run()
    return str(path)


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register_fakes(tmp_path / "fakes", monkeypatch)


@pytest.mark.usefixtures("fakes")
def test_it_starts_from_a_study_in_another_space(tmp_path: Path) -> None:
    start = study(tmp_path / "small", {"name": "toy", "deepest": 1})
    one = run(space=ToySpace(deepest=3), start=start, initial=None)
    assert one.optimizer.to_config()["initial"] == 1
    one.rounds(7, 1)
    assert [trial.proposal.info["by"] for trial in one.history] == ["chance"] + ["utility"] * 6
    again = run(space=ToySpace(deepest=3), start=start, initial=None)
    again.rounds(7, 1)
    assert again.trace() == one.trace()


@pytest.mark.usefixtures("fakes")
def test_it_starts_from_a_file(tmp_path: Path) -> None:
    from nas_surrogates.gcn import GraphConvolution
    from nas_surrogates.saved_fit import save

    space = ToySpace(deepest=1)
    path = tmp_path / "fit.safetensors"
    save(path, GraphConvolution(space, epochs=5).fit(training_set(space, 12), rng(0)))
    one = run(space=ToySpace(deepest=3), start=str(path))
    one.rounds(6, 1)
    with pytest.raises(InvalidOption, match="number of metrics"):
        run(objectives=Objectives.parse(["max:val_accuracy", "min:params"]), start=str(path))


@pytest.mark.usefixtures("fakes")
def test_what_it_cannot_start_from(tmp_path: Path) -> None:
    start = study(tmp_path / "other", {"name": "toy", "operations": 3})
    with pytest.raises(InvalidOption, match="other operations"):
        run(start=start)
    start = study(tmp_path / "params", {"name": "toy"}, "min:params")
    with pytest.raises(InvalidOption, match="other metrics"):
        run(start=start)
    with pytest.raises(StoreError, match="nothing to start from"):
        run(start=str(tmp_path / "nowhere"))
    with pytest.raises(InvalidOption, match="cannot begin elsewhere"):
        run(start=study(tmp_path / "same", {"name": "toy"}), surrogate="blr")
