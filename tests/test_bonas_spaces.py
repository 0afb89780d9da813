"""BONAS on every space with graphs: two cells, one, strings, recurrent cells, ports; and from one space to another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.errors import InvalidOption, MissingCapability
from nas_core.evaluator import Evaluation
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.random import rng
from nas_core.registry import make
from nas_core.space import Space
from nas_core.testing.fakes import FakeEvaluator
from nas_core.training_set import TrainingSet
from nas_core.trial import Measurement
from nas_search.candidates import Picks, Seen
from nas_search.graph_mutations import KINDS, GraphMutations
from nas_search.optimizers.bonas import Bonas
from nas_search.samplers.learnt import LearntSampler
from nas_search.samplers.uniform import UniformSampler
from nas_spaces.bonas_open_domain import BonasOpenDomain
from nas_spaces.darts import DARTS
from nas_spaces.hnag import HNAG
from nas_spaces.nao_cnn import NAOCNN
from nas_spaces.nasbench101 import NASBench101
from nas_spaces.nasbench201 import NASBench201
from nas_spaces.nasbench_nlp import NASBenchNLP
from nas_spaces.recurrent import Recurrent
from nas_spaces.resnet import ResNet
from nas_spaces.restricted import RestrictedSpace
from nas_surrogates.gcn import GraphConvolution
from nas_surrogates.pools import over, pool_of
from nas_surrogates.saved_fit import save, taken_over
from nas_surrogates.utility import log_utility

SPACES = {
    "nasbench101": NASBench101(),
    "nasbench201": NASBench201(),
    "darts": DARTS(),
    "bonas_open_domain": BonasOpenDomain(),
    "nao_cnn": NAOCNN(),
    "resnet": ResNet(),
    "recurrent": Recurrent(nodes=8, variable=True),
    "nasbench_nlp": NASBenchNLP(),
}
LANGUAGE = ("recurrent", "nasbench_nlp")
SMALL: dict[str, dict[str, Any]] = {"gcn": {}, "mlp": {"widths": [16, 8]}, "lstm": {"width": 8}}


def labelled(space: Space, n: int = 6) -> TrainingSet:
    members = tuple(space.sample(rng(0, "labelled"), n))
    return TrainingSet(members, 80.0 + np.arange(n)[:, None] % 3, np.ones(n, np.int64), np.zeros(n))


@pytest.mark.parametrize("name", SPACES)
def test_it_is_fitted_and_predicts(name: str) -> None:
    space: Any = SPACES[name]
    surrogate = GraphConvolution(space, epochs=2)
    assert surrogate.graphs == tuple(space.graphs(space.sample(rng(1), 1)[0]))
    posterior = surrogate.fit(labelled(space), rng(0))
    prediction = posterior.predict(space.sample(rng(2), 5))
    assert prediction.mean.shape == (5, 1)
    assert posterior.features(space.sample(rng(2), 5)).shape == (5, 64 * len(surrogate.graphs))


def measured(space: Space, a: Architecture) -> dict[str, float]:
    """The fake metrics, and a perplexity that falls from 148 to 55 as the accuracy rises from 0 to 100."""
    metrics = dict(FakeEvaluator().evaluate(Evaluation(space, a)).metrics)
    return {**metrics, "val_perplexity": float(np.exp(5.0 - metrics["val_accuracy"] / 100.0))}


def searched(space: Space, objectives: Objectives, trials: int = 8, **options: Any) -> History:
    """A short search; what is proposed by chance comes first."""
    options = {"initial": 3, "retrain": 2, "pool": 12, "samples": 20, **options}
    surrogate = {"name": "gcn", "epochs": 2, **options.pop("surrogate", {})}
    optimizer, history = Bonas(space, objectives, 0, surrogate=surrogate, **options), objectives.new_history()
    while len(history) < trials:
        for proposal in optimizer.propose(history, 2):
            number = history.begin(proposal).number
            metrics = measured(space, proposal.architecture)
            history.finish(number, Measurement({name: metrics[name] for name in objectives.metrics}))
    by = [trial.proposal.info["by"] for trial in history]
    assert by == ["chance"] * options["initial"] + ["utility"] * (trials - options["initial"])
    return history


@pytest.mark.parametrize("sampler", ["evolution", "random", "reinforce"])
@pytest.mark.parametrize("name", SPACES)
def test_it_is_searched(name: str, sampler: str) -> None:
    space = SPACES[name]
    objectives = Objectives.parse(["min:val_perplexity" if name in LANGUAGE else "max:val_accuracy"])
    history = searched(space, objectives, initial=4, sampler=sampler)
    proposed = [trial.architecture for trial in history]
    assert len(set(proposed)) == len(proposed)
    assert all(space.canonical(a.values) == a for a in proposed)


@pytest.mark.parametrize("surrogate", SMALL)
@pytest.mark.parametrize("name", ["darts", "recurrent"])
@pytest.mark.parametrize("wanted", [("{0}", "min:params"), ("{0}",)], ids=["two", "one"])
def test_several_objectives_and_a_constraint(name: str, surrogate: str, wanted: tuple[str, ...]) -> None:
    """The constraint's metric is an objective too, or not; about half of the members keep it."""
    space = SPACES[name]
    most = {"darts": 17_000, "recurrent": 7_000}[name]
    first = "min:val_perplexity" if name == "recurrent" else "max:val_accuracy"
    objectives = Objectives.parse([one.format(first) for one in wanted], [f"params<={most}"])
    history = searched(space, objectives, surrogate={"name": surrogate, **SMALL[surrogate]}, initial=4)
    assert history.values.shape == (8, 2)


def test_the_controller_learns_to_draw_what_promises_improvement() -> None:
    """A pool of 200 after 1,000 draws against a random pool of 200, by the expected improvement of one posterior.

    The random pool's mean has a relative error of some 20 %, so that twice as much is no accident.
    """
    space = SPACES["nasbench201"]
    objectives = Objectives.parse(["max:val_accuracy"])
    surrogate = GraphConvolution(space, epochs=30)
    members = tuple(space.sample(rng(1, "labelled"), 30))
    loss = np.array([[-measured(space, a)["val_accuracy"]] for a in members])
    data = TrainingSet(members, loss, np.ones(30, np.int64), np.zeros(30))
    posterior = surrogate.fit(data, rng(0))

    def log_worth(x: Sequence[Architecture]) -> NDArray[np.float64]:
        return log_utility(over(posterior, pool_of(surrogate, x)), loss, objectives)

    worth = []
    for sampler in (UniformSampler(space), LearntSampler(space, 0, 1000)):
        pool = Picks(Seen(lambda a: a))
        sampler.fill(pool, 200, objectives.new_history(), log_worth, rng(2))
        worth.append(float(np.exp(log_worth(pool.architectures)).mean()))
    assert worth[1] > 2.0 * worth[0] > 0.0


def test_a_space_without_a_graph_view_is_refused() -> None:
    with pytest.raises(MissingCapability, match="graphs"):
        Bonas(HNAG(), Objectives.parse(["max:val_accuracy"]), 0)


@pytest.mark.parametrize("name", SPACES)
def test_mutations_are_members(name: str) -> None:
    space: Any = SPACES[name]
    mutations = GraphMutations(space)
    a = space.sample(rng(3), 1)[0]
    found = {kind: mutations.of(a, kind) for kind in KINDS}
    for kind in KINDS:
        for other in found[kind]:
            assert space.canonical(other.values) == other != a
    assert found["operations"]
    assert bool(found["wiring"]) == (name != "nasbench201")


def test_one_mutation_of_nasbench201_changes_one_operation() -> None:
    space = NASBench201()
    a = space.sample(rng(3), 1)[0]
    found = GraphMutations(space).of(a, "operations")
    assert len(found) == 24
    assert all(sum(x != y for x, y in zip(a.values, other.values, strict=True)) == 1 for other in found)


def test_edges_that_only_move_towards_the_input() -> None:
    space = NASBench101()
    a = space.sample(rng(5), 1)[0]
    anywhere, earlier = GraphMutations(space), GraphMutations(space, "earlier")
    assert set(earlier.of(a, "wiring")) <= set(anywhere.of(a, "wiring"))


def test_mutations_of_a_listed_domain_are_listed() -> None:
    whole = NASBench201()
    members = list(whole.enumerate())[::3]
    space = RestrictedSpace(whole, members)
    for other in GraphMutations(space).of(members[7], "operations"):
        assert other in set(members)


def test_the_order_of_a_blends_inputs_shows() -> None:
    """A blend of (x, h, x) is not that of (h, x, x): its graph has the same edges with other ports."""
    space = NASBenchNLP()
    gru: Any = space.graphs(space.named("gru"))["cell"]
    blend = gru.labels.index("blend")
    at = [i for i, (_, target) in enumerate(gru.edges) if target == blend]
    assert len(at) == 3
    ports = list(gru.ports)
    ports[at[0]], ports[at[1]] = ports[at[1]], ports[at[0]]
    swapped = space.from_graphs({"cell": type(gru)(gru.labels, gru.edges, tuple(ports))})
    assert swapped != space.named("gru")
    surrogate = GraphConvolution(space, epochs=1)
    assert surrogate.relations > 1
    features = surrogate.fit(labelled(space), rng(0)).features([space.named("gru"), swapped])
    assert not np.allclose(features[0], features[1], atol=1e-6)


def test_a_fit_on_cells_of_six_vertices_predicts_cells_of_seven() -> None:
    six, seven = NASBench101(nodes=6), NASBench101(nodes=7)
    posterior = GraphConvolution(six, epochs=2).fit(labelled(six), rng(0))
    there = taken_over(posterior, GraphConvolution(seven, epochs=2))
    assert there.predict(seven.sample(rng(1), 3)).mean.shape == (3, 1)


def test_a_search_of_cells_of_seven_vertices_starts_from_six(tmp_path: Path) -> None:
    six, seven = NASBench101(nodes=6), NASBench101(nodes=7)
    path = tmp_path / "six.safetensors"
    save(path, GraphConvolution(six, epochs=2).fit(labelled(six), rng(0)))
    history = searched(seven, Objectives.parse(["max:val_accuracy"]), start=str(path), initial=2, trials=6)
    assert len(history) == 6


@pytest.mark.parametrize(
    ("there", "here", "surrogate", "differ"),
    [
        ("nasbench101", "nasbench201", "gcn", "operations"),
        ("recurrent", "nasbench101", "gcn", "operations"),
        ("nasbench101", "nasbench201", "mlp", "decisions"),
        ("resnet", "nasbench201", "lstm", "tokens"),
    ],
)
def test_a_start_with_other_operations_is_refused(
    tmp_path: Path, there: str, here: str, surrogate: str, differ: str
) -> None:
    space, options = SPACES[there], {"epochs": 1, **SMALL[surrogate]}
    path = tmp_path / "fit.safetensors"
    save(path, make("surrogate", surrogate, space, **options).fit(labelled(space), rng(0)))
    with pytest.raises(InvalidOption, match=f"other {differ}"):
        Bonas(
            SPACES[here],
            Objectives.parse(["max:val_accuracy"]),
            0,
            surrogate={"name": surrogate, **options},
            start=str(path),
        )


def test_one_cell_and_two_cells_are_not_transferred() -> None:
    """Equal operations, but a network that embeds two graphs is wider."""
    one, two = GraphConvolution(SPACES["bonas_open_domain"], epochs=1), GraphConvolution(SPACES["darts"], epochs=1)
    with pytest.raises(InvalidOption, match=r"other (operations|graphs)"):
        taken_over(one.fit(labelled(one.space), rng(0)), two)
