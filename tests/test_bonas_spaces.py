"""The graph network and its mutations on every space with graphs: two cells, one, strings, recurrent cells, ports."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nas_core.random import rng
from nas_core.space import Space
from nas_core.training_set import TrainingSet
from nas_search.graph_mutations import KINDS, GraphMutations
from nas_spaces.bonas_open_domain import BonasOpenDomain
from nas_spaces.darts import DARTS
from nas_spaces.nao_cnn import NAOCNN
from nas_spaces.nasbench101 import NASBench101
from nas_spaces.nasbench201 import NASBench201
from nas_spaces.nasbench_nlp import NASBenchNLP
from nas_spaces.recurrent import Recurrent
from nas_spaces.resnet import ResNet
from nas_spaces.restricted import RestrictedSpace
from nas_surrogates.gcn import GraphConvolution
from nas_surrogates.saved_fit import taken_over

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
