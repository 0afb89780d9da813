"""The rules of a space, codes, the generator, its pretraining and the artefact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nas_core.errors import InvalidOption, MissingCapability, StoreError
from nas_core.graph import Graph
from nas_core.random import rng
from nas_core.registry import make
from nas_core.space import Space
from nas_core.testing import ToySpace
from nas_surrogates import generator_pretraining
from nas_surrogates.generator_pretraining import Pretrained, Pretraining, load, pretrain, pretrained, save
from nas_surrogates.graph_generator import numbered
from nas_surrogates.graph_rules import rules_of
from nas_surrogates.latent_codes import LATENTS, codes_of
from nas_surrogates.latent_codes import drawn as latents_drawn

TINY = Pretraining(samples=300, steps=150, batch=64, rate=1e-2, latent=8, width=12)


@pytest.fixture(scope="module")
def toy() -> Pretrained:
    return pretrain(ToySpace(), TINY)


def spaces(name: str) -> Any:
    pytest.importorskip("nas_spaces", reason="the space is one of nas-spaces")
    return make("space", name)


def drawn(made: Pretrained, n: int, seed: int = 0) -> list[Any]:
    stream, g, v = rng(seed, "draw"), len(made.rules.names), made.rules.nodes
    return made.generate(made.network, stream.standard_normal((n, g, 8)), stream.random((n, g, v, 2)))[0]


def test_rules_of_the_toy_space(toy: Pretrained) -> None:
    """Wiring follows from the place: one row a node; the output ends a graph and reads what is left alone."""
    space, rules = ToySpace(), toy.rules
    assert rules.names == ("cell",)
    assert rules.ports == ((),)
    o, number = len(rules.labels), rules.labels.index
    assert rules.kept.tolist()[:5] == [1, 1, 1, 1, 1]
    assert np.flatnonzero(rules.table[3, 0]).tolist() == [1, 2]  # the sum reads both slots
    assert np.flatnonzero(rules.follows[0, 0, o]).tolist() == [number("input")]
    after = {rules.labels[i] for i in np.flatnonzero(rules.follows[0, 4, number("add")])}
    assert after == {"relu", "tanh", "output"}
    assert [label for label, on in zip(rules.labels, rules.closing[0], strict=True) if on] == ["output"]
    assert not rules.read[0, number("output")]
    assert rules.read[0, number("input")]
    assert rules.most_edges.tolist() == [space.most_nodes]  # 4 around the slots, then a chain


def test_graphs_survive_the_way_through_numbers() -> None:
    for name in ("darts", "nasbench101", "nasbench_nlp"):
        space = spaces(name)
        members = space.sample(rng(0), 40)
        rules, arrays = rules_of(space, members)
        for i, a in enumerate(members):
            back = rules.member(space, arrays.labels[i], arrays.edges[i])
            assert back is not None
            assert space.graph_key(back) == space.graph_key(a)


def test_ports_that_no_sample_has_are_read_as_the_commonest() -> None:
    class Ported(Space):
        name, decisions, graph_labels, most_nodes = "ported", (), ("a",), 2

        def graphs(self, a: Any) -> dict[str, Graph]:
            return {"cell": Graph(("a", "a"), ((0, 1),), (int(a),))}

        def to_config(self) -> dict[str, Any]:
            return {"name": self.name}

    space = Ported()
    rules, _ = rules_of(space, [3, 3, 4])  # type: ignore[list-item]
    assert rules.ports == ((3,), (4,))
    assert rules.encode(space, [4, 7]).edges[:, 0, 1, 0].tolist() == [2, 1]  # type: ignore[list-item]


@pytest.mark.parametrize(("columns", "latent"), [(6, 9), (9, 6)])
def test_codes_are_white(columns: int, latent: int) -> None:
    """Covariance I over the samples in the directions that codes fill, with more features than entries and fewer."""
    stream = rng(0)
    features = stream.standard_normal((400, columns)) @ stream.standard_normal((columns, columns))
    codes = codes_of(features, latent, stream)
    found = codes.of(features)
    assert found.mean(axis=0) == pytest.approx(np.zeros(latent), abs=1e-9)
    assert found.T @ found / 400 == pytest.approx(codes.filled, abs=1e-9)
    assert np.trace(codes.filled) == pytest.approx(min(columns, latent))


def test_tied_latents_have_the_variance_of_the_prior() -> None:
    """Over 20,000 draws a variance of 1 is estimated within 0.05, five standard errors: odds of about 1e-6 an entry."""
    stream = rng(1)
    features = stream.standard_normal((20_000, 3))
    codes = codes_of(features, 5, stream)
    own = codes.of(features)
    for tie in (0.0, 0.6, 1.0):
        z = codes.tied(own, tie, stream.standard_normal((20_000, 5)))
        assert np.cov(z.T) == pytest.approx(np.eye(5), abs=0.05)
        assert np.mean(np.sum(z * own, axis=1)) == pytest.approx(3.0 * tie, abs=0.1)


def test_latent_vectors_to_generate_from() -> None:
    """Variances: 1, of the 99 percentiles the mean of their squares, 0.922, of U(-3, 3) 3; l is 16.

    Over 64,000 entries the standard error of a variance is 0.6 % at most: 4 % is more than six of them.
    """
    found = {kind: latents_drawn(kind, (2000, 2, 16), rng(0, kind)) for kind in LATENTS}
    assert {kind: z.var() for kind, z in found.items()} == pytest.approx(
        {"sphere": 1.0, "normal": 1.0, "quantiles": 0.922, "uniform": 3.0}, rel=0.04
    )
    assert np.linalg.norm(found["sphere"], axis=2) == pytest.approx(np.full((2000, 2), 4.0))
    assert len(np.unique(found["quantiles"])) == 99
    assert np.abs(found["uniform"]).max() <= 3.0


def test_losses_are_the_chances_of_drawing_the_graph(toy: Pretrained) -> None:
    """Exponentials of minus v times the loss sum to 1 over all graphs that the rules admit.

    They are those of the space, and tails in which the two activations mix where samples show that one may follow.
    """
    space = ToySpace()
    every = list(space.enumerate())
    arrays = toy.rules.encode(space, every)
    z = torch.from_numpy(np.tile(rng(2).standard_normal((1, 8)).astype(np.float32), (len(every), 1)))
    graph, labels, edges, rows = numbered(arrays, toy.rules.row_numbers(arrays))
    with torch.no_grad():
        losses = toy.network.losses(toy.network.scores(graph, labels, edges, z), labels, rows)
    chances = np.exp(-toy.rules.nodes * losses.numpy().astype(np.float64))
    assert chances.sum() + _mixed_tails(toy, z[:1]) == pytest.approx(1.0, abs=1e-4)


def _mixed_tails(toy: Pretrained, z: torch.Tensor) -> float:
    """The chances of relu then tanh and tanh then relu together."""
    space = ToySpace()
    arrays = toy.rules.encode(space, [a for a in space.enumerate() if a.values[2] == 2])
    o = toy.rules.labels.index
    labels = arrays.labels.copy()
    labels[:, 0, 5] = np.where(labels[:, 0, 4] == o("relu"), o("tanh"), o("relu"))
    graph, kinds, edges, rows = numbered(arrays._replace(labels=labels), toy.rules.row_numbers(arrays))
    with torch.no_grad():
        losses = toy.network.losses(toy.network.scores(graph, kinds, edges, z.expand(len(kinds), -1)), kinds, rows)
    return float(np.exp(-toy.rules.nodes * losses.numpy().astype(np.float64)).sum())


def test_batched_and_single_generation_agree(toy: Pretrained) -> None:
    stream, v = rng(3), toy.rules.nodes
    z, noise = stream.standard_normal((50, 1, 8)), stream.random((50, 1, v, 2))
    together, scores = toy.generate(toy.network, z, noise)
    for i in range(50):
        alone, own = toy.generate(toy.network, z[i : i + 1], noise[i : i + 1])
        assert alone == together[i : i + 1]
        assert own[0] == pytest.approx(scores[i], abs=1e-4)


@pytest.mark.parametrize("name", ["toy", "darts", "nasbench101"])
def test_growing_a_graph_and_reading_a_known_one_give_the_same_scores(name: str, toy: Pretrained) -> None:
    """Two routes: node by node as it is drawn, and the whole graph at once, where only states follow each other."""
    if name == "toy":
        made = toy
    else:
        made = pretrain(spaces(name), Pretraining(samples=200, steps=2, batch=8, latent=8, width=8))
    stream, g, v, n = rng(7), len(made.rules.names), made.rules.nodes, 20
    graph = np.tile(np.arange(g), n)
    z = stream.standard_normal((n * g, 8))
    drawn_one_by_one = made.network.generate(graph, z, stream.random((n * g, v, 2)))
    labels, edges = torch.from_numpy(drawn_one_by_one.labels), torch.from_numpy(drawn_one_by_one.edges)
    with torch.no_grad():
        raw, into = made.network(torch.from_numpy(graph), labels, edges, torch.from_numpy(z.astype(np.float32)))
    found = made.network.raw_features(raw, into).numpy()
    for row in range(n * g):  # what follows the end of a graph is no choice
        size = int((drawn_one_by_one.labels[row] < len(made.rules.labels)).sum())
        few = size * (len(made.rules.labels) + 1)
        assert found[row, :few] == pytest.approx(drawn_one_by_one.scores[row, :few], abs=1e-4)
    whole = (drawn_one_by_one.labels < len(made.rules.labels)).all(axis=1)
    assert found[whole] == pytest.approx(drawn_one_by_one.scores[whole], abs=1e-4)


def test_graphs_that_are_kept_stay_as_they_are() -> None:
    space = spaces("darts")
    made = pretrain(space, Pretraining(samples=200, steps=1, batch=8, latent=8, width=8))
    (partner,) = space.sample(rng(0), 1)
    kept = made.rules.encode(space, [partner])
    stream = rng(1)
    z, noise = stream.standard_normal((30, 2, 8)), stream.random((30, 2, 11, 2))
    every, scores = made.generate(made.network, z, noise)
    members, own = made.generate(made.network, z, noise, kept, (0,))
    d = scores.shape[1] // 2
    assert own[:, :d] == pytest.approx(scores[:, :d], abs=1e-5)
    assert not own[:, d:].any()
    for a, alone in zip(members, every, strict=True):
        if a is not None and alone is not None:
            assert space.graphs(a)["normal"].key() == space.graphs(alone)["normal"].key()
            assert space.graphs(a)["reduction"].key() == space.graphs(partner)["reduction"].key()
    assert sum(a is not None for a in members) >= 20


def test_the_latent_vector_matters(toy: Pretrained) -> None:
    """At one fixed draw of the sampling noise, against permutations of z: p below 0.01.

    Statistic: the squared correlation of what was decoded, as features, with the best linear prediction from z, on the
    half that the prediction was not fitted to. Under the null (z and graph unrelated) it exceeds all of 99 permutations
    with odds of 1 in 100.
    """
    stream, v, n = rng(4), toy.rules.nodes, 300
    z = stream.standard_normal((n, 1, 8))
    noise = np.repeat(stream.random((1, 1, v, 2)), n, axis=0)
    members, _ = toy.generate(toy.network, z, noise)
    kept = [i for i, a in enumerate(members) if a is not None]
    features = toy.rules.one_hot(toy.rules.encode(ToySpace(), [members[i] for i in kept]))[:, 0]  # type: ignore[misc]
    given = z[kept, 0]

    def strength(inputs: np.ndarray[Any, Any]) -> float:
        half = len(inputs) // 2
        centred = features - features[:half].mean(axis=0)
        fit = np.linalg.lstsq(inputs[:half], centred[:half], rcond=None)[0]
        return 1.0 - float(np.sum((centred[half:] - inputs[half:] @ fit) ** 2) / np.sum(centred[half:] ** 2))

    own = strength(given)
    assert own > 0.1
    assert all(strength(given[stream.permutation(len(given))]) < own for _ in range(99))


def test_untied_latent_vectors_would_not(toy: Pretrained) -> None:
    """As published: codes play no part in training at tie 0, and the same measure of dependence is a tenth at most."""
    stream, n = rng(5), 200
    made = pretrain(ToySpace(), Pretraining(samples=300, steps=150, batch=64, rate=1e-2, latent=8, width=12, tie=0.0))
    noise = np.repeat(stream.random((1, 1, made.rules.nodes, 2)), n, axis=0)
    z = stream.standard_normal((n, 1, 8))
    kinds = [len({a for a in one.generate(one.network, z, noise)[0] if a is not None}) for one in (toy, made)]
    assert kinds[1] < kinds[0]


@pytest.mark.parametrize(("name", "least"), [("nasbench201", 1.0), ("nasbench101", 0.9), ("darts", 0.9)])
def test_most_graphs_are_members_before_any_training(name: str, least: float) -> None:
    made = pretrain(spaces(name), Pretraining(samples=2500, steps=1, batch=8, latent=8, width=8))
    members = drawn(made, 100)
    assert sum(a is not None for a in members) >= 100 * least
    assert len(set(members)) > 90


def test_one_latent_vector_for_all_graphs() -> None:
    made = pretrain(spaces("darts"), Pretraining(samples=200, steps=1, batch=8, latent=8, width=8, joint=True))
    assert len(made.codes) == 1
    codes = made.codes_of(made.rules.one_hot(made.rules.encode(made.space, made.space.sample(rng(0), 5))))
    assert np.array_equal(codes[:, 0], codes[:, 1])
    z = made.latents(codes, 0.5, rng(1))
    assert np.array_equal(z[0::2], z[1::2])
    stream = rng(2)
    members, _ = made.generate(made.network, stream.standard_normal((5, 1, 8)), stream.random((5, 2, 11, 2)))
    assert len(members) == 5


def test_pretraining_is_deterministic_and_learns(toy: Pretrained) -> None:
    again = pretrain(ToySpace(), TINY)
    for name, tensor in toy.network.state_dict().items():
        assert torch.equal(tensor, again.network.state_dict()[name])
    untrained = pretrain(ToySpace(), Pretraining(samples=300, steps=1, batch=64, latent=8, width=12))
    assert _loss(toy) < _loss(untrained)


def _loss(made: Pretrained) -> float:
    arrays = made.rules.encode(made.space, made.space.sample(rng(9), 100))
    codes = made.codes_of(made.rules.one_hot(arrays))
    z = torch.from_numpy(made.latents(codes, 0.9, rng(0)).astype(np.float32))
    graph, labels, edges, rows = numbered(arrays, made.rules.row_numbers(arrays))
    with torch.no_grad():
        scores = made.network.scores(graph, labels, edges, z)
        return float(made.network.losses(scores, labels, rows).mean())


def test_chances_of_features_are_the_shares_of_drawn_graphs(toy: Pretrained) -> None:
    """The label after the input: its chances, against 2,000 draws with the same z, within 5 standard errors (0.056)."""
    stream, n = rng(6), 2000
    z = np.repeat(stream.standard_normal((1, 1, 8)), n, axis=0)
    made = toy.network.generate(np.zeros(n, dtype=np.int64), z[:, 0], stream.random((n, toy.rules.nodes, 2)))
    arrays = toy.rules.encode(ToySpace(), ToySpace().sample(rng(0), 1))
    graph, labels, edges, _ = numbered(arrays, toy.rules.row_numbers(arrays))
    with torch.no_grad():
        scores = toy.network.scores(graph, labels, edges, torch.from_numpy(z[:1, 0].astype(np.float32)))
        expected = toy.network.expected(scores, labels)[0]
    o = len(toy.rules.labels) + 1
    shares = np.bincount(made.labels[:, 1], minlength=o) / n
    assert expected[o : 2 * o].numpy() == pytest.approx(shares, abs=0.056)
    assert expected.shape == (toy.rules.one_hot(arrays).shape[2],)


def test_the_artefact_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator_pretraining, "_kept", {})
    first = pretrained(ToySpace(), TINY, tmp_path)
    assert pretrained(ToySpace(), TINY, tmp_path) is first
    monkeypatch.setattr(generator_pretraining, "_kept", {})
    made = []
    monkeypatch.setattr(generator_pretraining, "pretrain", lambda *given: made.append(given))
    again = pretrained(ToySpace(), TINY, tmp_path)
    assert not made
    assert drawn(again, 30) == drawn(first, 30)
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".json", ".safetensors"]


def test_the_folder_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator_pretraining, "_kept", {})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    pretrained(ToySpace(), TINY)
    assert len(list((tmp_path / "nas-generators").glob("toy-*.safetensors"))) == 1


def test_an_artefact_of_something_else_is_refused(tmp_path: Path, toy: Pretrained) -> None:
    place = tmp_path / "toy.safetensors"
    save(place, toy)
    with pytest.raises(StoreError, match="another space"):
        load(place, ToySpace(deepest=1), TINY)
    with pytest.raises(StoreError, match="another options"):
        load(place, ToySpace(), Pretraining())
    values = json.loads(place.with_suffix(".json").read_text())
    place.with_suffix(".json").write_text(json.dumps({**values, "version": {"nas_surrogates": "0.0.1"}}))
    with pytest.raises(StoreError, match="another version"):
        load(place, ToySpace(), TINY)
    place.with_suffix(".json").write_text(json.dumps({**values, "format": 0}))
    with pytest.raises(StoreError, match="another format"):
        load(place, ToySpace(), TINY)
    place.with_suffix(".json").write_text("junk")
    with pytest.raises(StoreError, match="no description"):
        load(place, ToySpace(), TINY)
    place.with_suffix(".json").write_text(json.dumps(values))
    place.write_bytes(place.read_bytes()[:-9])
    with pytest.raises(StoreError, match="belong together"):
        load(place, ToySpace(), TINY)
    with pytest.raises(StoreError, match="cannot be read"):
        load(tmp_path / "nothing.safetensors", ToySpace(), TINY)


def test_a_space_without_graphs_is_refused(tmp_path: Path) -> None:
    class Plain(Space):
        name, decisions = "plain", ()

        def to_config(self) -> dict[str, Any]:
            return {"name": self.name}

    with pytest.raises(MissingCapability, match="graphs"):
        pretrained(Plain(), TINY, tmp_path)


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"tie": 1.5}, {"rate": -1.0}, {"joint": 1}, {"width": 2.5}])
def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        Pretraining(**wrong)
