"""Learnt embeddings: the contract for gcn, mlp and lstm, the network against a loop by hand, bad input, transfer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical
from nas_core.errors import InvalidData, InvalidOption, MissingCapability, StoreError
from nas_core.random import rng
from nas_core.registry import make
from nas_core.space import Space
from nas_core.testing import SurrogateContract, ToySpace
from nas_core.testing.surrogates import sample_distinct, training_set
from nas_core.training_set import TrainingSet
from nas_surrogates.blr import BayesianLinearRegression, blr_posterior
from nas_surrogates.gcn import GraphConvolution
from nas_surrogates.saved_fit import load, save, taken_over


class LearntContract(SurrogateContract):
    @pytest.fixture
    def order_tolerance(self) -> float | None:
        return None  # batches are drawn by row


class TestGraphConvolution(LearntContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_surrogates.gcn:GraphConvolution"


class TestPublishedCode(LearntContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_surrogates.gcn:GraphConvolution"

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"normalise": "none", "batch_norm": True, "loss": "exponential_code", "epochs": 20}


class TestPerceptron(LearntContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_surrogates.mlp:Perceptron"

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"widths": [32, 16], "epochs": 40}


class TestRecurrent(LearntContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_surrogates.lstm:Recurrent"

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {"width": 20, "epochs": 40}


class AlwaysOne(ToySpace):
    """Every member has one activation, and so the same edges."""

    def sample(self, rng: np.random.Generator, n: int) -> list[Architecture]:
        return [self.canonical((*a.values[:2], 1, "relu")) for a in super().sample(rng, n)]


def fitted(space: ToySpace, n: int = 16, m: int = 1, **options: Any) -> Any:
    return GraphConvolution(space, epochs=5, **options).fit(training_set(space, n, m), rng(0))


@pytest.mark.parametrize("normalise", ["symmetric", "none"])
def test_the_network_is_the_formula_node_by_node(normalise: str) -> None:
    space = ToySpace()
    surrogate = GraphConvolution(space, layers=2, width=3, normalise=normalise)
    a = space.canonical(("conv3", "skip", 1, "relu"))
    network = surrogate.embedder(rng(1))
    graph = space.graphs(a)["cell"]
    v = len(graph.labels)
    reads = [[*graph.sources(node), node] for node in range(v)] + [[*range(v), v]]
    o = len(space.graph_labels)
    hidden = [np.eye(o + 1)[space.graph_labels.index(label)] for label in graph.labels] + [np.eye(o + 1)[o]]
    for layer in range(2):
        weight = network.convolutions[layer].weight.detach().numpy()
        bias = network.biases[layer].detach().numpy()
        new = []
        for node, sources in enumerate(reads):
            total = np.zeros(len(bias))
            for source in sources:
                scale = 1.0 if normalise == "none" else (len(reads[node]) * len(reads[source])) ** -0.5
                total += scale * weight @ hidden[source]
            new.append(np.maximum(total + bias, 0.0))
        hidden = new
    assert_allclose(network(*surrogate.encode([a])).detach().numpy()[0], hidden[-1], rtol=1e-5, atol=1e-6)


def test_edges_are_summed_where_members_differ_in_them() -> None:
    assert GraphConvolution(ToySpace(deepest=2)).normalisation == "none"
    assert GraphConvolution(AlwaysOne()).normalisation == "symmetric"
    assert GraphConvolution(AlwaysOne(), normalise="none").normalisation == "none"
    with pytest.raises(InvalidOption, match="other normalisation"):
        taken_over(fitted(ToySpace()), GraphConvolution(AlwaysOne()))


@pytest.mark.parametrize("batch_norm", [False, True])
def test_padding_changes_nothing(batch_norm: bool) -> None:
    narrow, wide = ToySpace(deepest=2), ToySpace(deepest=6)
    members = list(narrow.enumerate())[:20]
    embeddings = []
    for space in (narrow, wide):
        surrogate = GraphConvolution(space, batch_norm=batch_norm)
        network = surrogate.embedder(rng(2)).train()
        embeddings.append(network(*surrogate.encode(members)).detach().numpy())
    assert_allclose(embeddings[0], embeddings[1], rtol=1e-4, atol=1e-6)


def test_encodings_are_kept_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    space = ToySpace()
    members = list(space.enumerate())
    surrogate = GraphConvolution(space)
    first = [tensor.numpy().copy() for tensor in surrogate.encode(members)]
    monkeypatch.setattr("nas_surrogates.kept_encodings.MOST_KEPT", 30)
    small = GraphConvolution(space)
    for start in range(0, 80, 20):
        for whole, part in zip(first, small.encode(members[start : start + 20]), strict=True):
            assert_array_equal(part.numpy(), whole[start : start + 20])


def test_a_label_is_taken_in_exactly() -> None:
    """The posterior given all labels at the same precisions, computed at once."""
    space = ToySpace()
    data = training_set(space, 20)
    first = TrainingSet(data.architectures[:14], data.targets[:14], data.counts[:14], data.violations[:14])
    posterior = GraphConvolution(space, epochs=5).fit(first, rng(0))
    after = posterior.condition(data.architectures[14:17], data.targets[14:17])
    after = after.condition(data.architectures[17:], data.targets[17:])
    before, scale = posterior.regressions[0], posterior.scales[0]
    whole = blr_posterior(
        posterior.features(data.architectures), scale.forward(data.targets[:, 0]), alpha=before.alpha, beta=before.beta
    )
    elsewhere = sample_distinct(space, 7, seed=1)
    mean, std = whole.predict(posterior.features(elsewhere))
    found = after.latent(elsewhere)
    assert_allclose(found[0][:, 0], mean, rtol=1e-6)
    assert_allclose(found[1][:, 0], std, rtol=1e-4)


def test_a_pool_says_the_same_as_its_members() -> None:
    space = ToySpace()
    surrogate = GraphConvolution(space, epochs=5)
    posterior = surrogate.fit(training_set(space, 12, 2), rng(0))
    members = sample_distinct(space, 9, seed=3)
    over = posterior.over(surrogate.pool(members))
    assert_allclose(over.latent()[0], posterior.latent(members)[0])
    y = training_set(space, 12, 2).targets[:1]
    assert_allclose(over.condition(members[:1], y).latent()[1], posterior.condition(members[:1], y).latent(members)[1])
    mean, covariance = posterior.latent_joint(members)
    assert mean.shape == (9, 2)
    assert covariance.shape == (2, 9, 9)
    assert_allclose(np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)).T, posterior.latent(members)[1], rtol=1e-6)


def made(name: str, **options: Any) -> Any:
    small: dict[str, dict[str, Any]] = {"mlp": {"widths": [16, 8]}, "lstm": {"width": 8}}
    return make("surrogate", name, ToySpace(), epochs=5, **small.get(name, {}), **options)


@pytest.mark.parametrize("name", ["gcn", "mlp", "lstm"])
@pytest.mark.parametrize("value", [0.0, -100.0])
def test_accuracies_of_nought_and_one_have_finite_logits(name: str, value: float) -> None:
    """Among those that are fitted, and among those that are taken in later."""
    data = training_set(ToySpace(), 10)
    data.targets[0] = value
    posterior = made(name, targets="logit").fit(data, rng(0))
    for one in (posterior, posterior.condition(data.architectures[1:2], np.array([[-100.0 - value]]))):
        prediction = one.predict(data.architectures)
        assert np.isfinite([prediction.mean, prediction.std]).all()
        assert ((prediction.mean >= -100.0) & (prediction.mean <= 0.0)).all()


@pytest.mark.parametrize("name", ["gcn", "mlp", "lstm"])
@pytest.mark.parametrize("targets", ["auto", "standard", "regret", "share"])
@pytest.mark.parametrize("value", [0.0, -1.0, -100.0, 7e8])
def test_constant_targets_are_predicted(name: str, targets: str, value: float) -> None:
    """Their own value, but for the one error in ten thousand that a logit leaves."""
    data = training_set(ToySpace(), 5)
    data.targets[:] = value
    prediction = made(name, targets=targets).fit(data, rng(0)).predict(sample_distinct(ToySpace(), 7, seed=1))
    assert_allclose(prediction.mean, value, rtol=2e-4, atol=1e-9)
    assert np.isfinite(prediction.std).all()


def test_one_diverged_perplexity_among_others() -> None:
    data = training_set(ToySpace(), 10)
    data.targets[:, 0] = [80.0, 90.0, 85.0, 120.0, 95.0, 81.0, 100.0, 84.0, 99.0, 1e12]
    for targets in ("auto", "regret"):
        prediction = made("gcn", targets=targets).fit(data, rng(0)).predict(data.architectures)
        assert np.isfinite([prediction.mean, prediction.std]).all()


def test_deviations_of_labels_hold_the_noise() -> None:
    """Equation 5: the square is that of the function and 1 / beta."""
    data, members = training_set(ToySpace(), 12, 2), sample_distinct(ToySpace(), 7, seed=1)
    function, label = (made("gcn", deviation=name).fit(data, rng(0)) for name in ("function", "label"))
    noise = [regression.beta**-1 for regression in label.regressions]
    assert_allclose(label.latent(members)[1] ** 2, function.latent(members)[1] ** 2 + noise)
    over = label.over(label.kind.pool(members))
    assert_allclose(over.latent()[1], label.latent(members)[1])
    assert_allclose(label.predict(members).std, function.predict(members).std)


def test_without_an_intercept_the_function_is_nought_where_the_embedding_is() -> None:
    posterior = made("gcn", intercept=False).fit(training_set(ToySpace(), 12), rng(0))
    mean, std = posterior.regressions[0].predict(np.zeros((1, 64)))
    assert_array_equal([*mean, *std], [0.0, 0.0])


def test_what_is_no_accuracy_has_no_logit() -> None:
    space = ToySpace()
    data = training_set(space, 10, 2)
    with pytest.raises(InvalidData, match="logit"):
        GraphConvolution(space, epochs=5, targets="logit").fit(data, rng(0))


def test_a_space_without_graphs_is_refused() -> None:
    class Plain(Space):
        name = "plain"
        decisions = (Categorical("a", ("x", "y")),)

        def to_config(self) -> dict[str, Any]:
            return {"name": self.name}

    with pytest.raises(MissingCapability, match="graphs"):
        GraphConvolution(Plain())


@pytest.mark.parametrize(
    "options",
    [
        {"layers": 0},
        {"width": 1.5},
        {"normalise": "row"},
        {"batch_norm": 1},
        {"epochs": 0},
        {"rate": 0},
        {"rate": float("nan")},
        {"loss": "huber"},
        {"targets": "rank"},
        {"prior_labels": -1},
        {"intercept": 1},
        {"deviation": "both"},
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        GraphConvolution(ToySpace(), **options)


def test_a_saved_fit_predicts_the_same_and_in_a_larger_space(tmp_path: Path) -> None:
    narrow, wide = ToySpace(deepest=2), ToySpace(deepest=4)
    posterior = fitted(narrow, m=2)
    save(tmp_path / "fit.safetensors", posterior)
    members = list(narrow.enumerate())[:9]
    for space in (narrow, wide):
        again = load(tmp_path / "fit.safetensors", GraphConvolution(space))
        assert_allclose(again.predict(members).mean, posterior.predict(members).mean, rtol=1e-4)
        assert_allclose(again.predict(members).std, posterior.predict(members).std, rtol=1e-3)
    assert_allclose(
        taken_over(posterior, GraphConvolution(wide)).predict(members).mean, posterior.predict(members).mean, rtol=1e-4
    )


def test_a_fit_goes_to_equal_operations_and_options_only(tmp_path: Path) -> None:
    path = tmp_path / "fit.safetensors"
    save(path, fitted(ToySpace()))
    with pytest.raises(InvalidOption, match="other operations"):
        load(path, GraphConvolution(ToySpace(operations=3)))
    with pytest.raises(InvalidOption, match="other options"):
        load(path, GraphConvolution(ToySpace(), width=32))
    with pytest.raises(InvalidOption, match="cannot begin elsewhere"):
        load(path, BayesianLinearRegression(ToySpace()))


def test_what_is_no_saved_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fit.safetensors"
    save(path, fitted(ToySpace()))
    data = path.read_bytes()
    for wrong in (b"", data[: len(data) // 2], data[:100], b"\x80\x04K\x01."):
        path.write_bytes(wrong)
        with pytest.raises(StoreError, match="no fitted surrogate"):
            load(path, GraphConvolution(ToySpace()))
    with pytest.raises(StoreError, match="cannot be read"):
        load(tmp_path / "nothing", GraphConvolution(ToySpace()))


def test_training_can_go_on_from_other_parameters() -> None:
    """After one step of training the parameters are near those that it began with: within one rate of Adam."""
    space = ToySpace()
    data = training_set(space, 10)
    surrogate = GraphConvolution(space, epochs=1)
    source = surrogate.fit(data, rng(0))
    near = surrogate.fit(data, rng(5), start=source).predictor.state_dict()
    for name, tensor in source.predictor.state_dict().items():
        assert_allclose(near[name].numpy(), tensor.numpy(), atol=1.1e-3)


@pytest.mark.parametrize("options", [{"targets": "regret"}, {"targets": "share", "intercept": False}])
def test_a_fit_is_saved_with_its_scale(tmp_path: Path, options: dict[str, Any]) -> None:
    space = ToySpace()
    posterior = fitted(space, **options)
    save(tmp_path / "fit.safetensors", posterior)
    again = load(tmp_path / "fit.safetensors", GraphConvolution(space, **options))
    members = list(space.enumerate())[:9]
    assert again.scales == posterior.scales
    assert_allclose(again.predict(members).mean, posterior.predict(members).mean, rtol=1e-6)
