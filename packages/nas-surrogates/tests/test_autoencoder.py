"""The autoencoder: the contract, its networks and loss against loops by hand, scales, steps, decoding, bad input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical
from nas_core.errors import InvalidArchitecture, InvalidData, InvalidOption, InvalidSpace, MissingCapability
from nas_core.random import rng
from nas_core.registry import make
from nas_core.space import Space
from nas_core.testing import SurrogateContract, ToySpace
from nas_core.testing.surrogates import sample_distinct, training_set
from nas_core.training_set import TrainingSet
from nas_surrogates import nao_decoder
from nas_surrogates.adam import Adam
from nas_surrogates.autoencoder import Autoencoder, AutoencoderPosterior
from nas_surrogates.nao_encoder import Latent, pooled
from nas_surrogates.nao_network import Heads, Networks, Schedule, Shape
from nas_surrogates.nao_scores import ScoreScale
from nas_surrogates.nao_steps import PENALTY, Aim, Limit
from nas_surrogates.nao_tokens import TokenRows, padded

TINY: dict[str, Any] = {"embedding": 4, "width": 8, "heads": 2, "epochs": 30, "rate": 0.02, "batch": 8}


class TestContract(SurrogateContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_surrogates.autoencoder:Autoencoder"

    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {**TINY, "epochs": 60, "at_once": 2, "unlabelled": 4}

    @pytest.fixture
    def order_tolerance(self) -> float | None:
        return None  # batches are drawn by row


class TestRanks(TestContract):
    @pytest.fixture
    def options(self) -> dict[str, Any]:
        return {**TINY, "epochs": 60, "scale": "rank", "predictor": [6], "renormalise": False, "cool": True}


def fitted(m: int = 1, n: int = 16, space: Space | None = None, **options: Any) -> AutoencoderPosterior:
    space = ToySpace() if space is None else space
    return Autoencoder(space, **{**TINY, **options}).fit(training_set(space, n, m), rng(0))


def networks(**shape: Any) -> Networks:
    given = {"embedding": 3, "width": 4, "heads": 1, **shape}
    return Networks(Shape(**given), 5, 1, rng(3)).eval()


def test_it_is_registered_with_the_constants_of_the_paper() -> None:
    config = make("surrogate", "nao", ToySpace()).to_config()
    wanted = {"embedding": 32, "width": 96, "predictor": [], "epochs": 1000, "rate": 1e-3, "balance": 0.9}
    assert {key: config[key] for key in wanted} == wanted


# --- tokens ---


class Swaps(Space):
    """Pairs whose two tokens may be exchanged."""

    name = "swaps"
    decisions = (Categorical("a", (0, 1, 2)), Categorical("b", (0, 1, 2)))
    vocabulary = ("x", "y", "z")

    def tokens(self, a: Architecture) -> tuple[int, ...]:
        return tuple(int(value) for value in a.values if value is not None)

    def from_tokens(self, tokens: Sequence[int]) -> Architecture:
        return self.canonical(list(tokens))

    def legal_tokens(self, prefix: Sequence[int]) -> tuple[int, ...]:
        return (0, 1, 2) if len(prefix) < 2 else ()

    def symmetric_tokens(self, a: Architecture) -> list[tuple[int, ...]]:
        own = self.tokens(a)
        return [own[::-1]] if own != own[::-1] else []

    def to_config(self) -> dict[str, Any]:
        return {"name": self.name}


def test_rows_are_padded_after_the_end() -> None:
    space = ToySpace()
    short, long = space.canonical(("pool", "skip", 0, None)), space.canonical(("conv3", "conv1", 2, "tanh"))
    words = [[space.vocabulary[token] for token in space.tokens(a)] for a in (short, long)]
    rows = TokenRows(space).own([short, long])
    assert [[space.vocabulary[token - 1] for token in row if token] for row in rows.tolist()] == words
    assert rows[0, -1] == 0
    assert TokenRows(space).own([short]).shape == (1, 3)


def test_twins_stand_for_an_architecture_when_it_is_augmented() -> None:
    space = Swaps()
    a, same = space.canonical((0, 2)), space.canonical((1, 1))
    data = TrainingSet((a, same), np.array([[1.0], [2.0]]), np.ones(2, np.int64), np.zeros(2))
    seen: dict[bool, list[list[int]]] = {}
    for augment in (True, False):
        surrogate = Autoencoder(space, **{**TINY, "augment": augment})
        examples = surrogate._examples(data.architectures, np.zeros((2, 1)), rng(0))
        seen[augment] = examples.rows.tolist()
    assert seen == {True: [[1, 3], [3, 1], [2, 2]], False: [[1, 3], [2, 2]]}


def test_augmentation_teaches_that_twins_are_worth_the_same() -> None:
    """The exchange of tokens changes predictions less than where only one order has been met."""
    space = Swaps()
    members = tuple(space.canonical(pair) for pair in ((0, 1), (0, 2), (1, 2), (0, 0), (1, 1), (2, 2)))
    data = TrainingSet(members, np.arange(6.0)[:, None], np.ones(6, np.int64), np.zeros(6))
    gaps = {}
    for augment in (True, False):
        surrogate = Autoencoder(space, **{**TINY, "epochs": 150, "augment": augment})
        posterior = surrogate.fit(data, rng(0))
        there = posterior.scores(posterior.encode_tokens([(0, 1), (0, 2), (1, 2)]))
        back = posterior.scores(posterior.encode_tokens([(1, 0), (2, 0), (2, 1)]))
        gaps[augment] = float(np.abs(there - back).mean())
    assert gaps[True] < 0.5 * gaps[False]


# --- networks ---


def test_states_are_those_of_an_lstm_scaled_to_unit_length() -> None:
    own = networks(at_once=2)
    rows = torch.tensor([[1, 2, 5, 0]])
    vectors = own.encoder.tokens[rows[0]].reshape(2, 6)
    hidden, cell = np.zeros(4), np.zeros(4)
    lstm = {name: part.detach().numpy().astype(float) for name, part in own.encoder.lstm.named_parameters()}
    for step, vector in enumerate(vectors.detach().numpy()):
        gates = lstm["weight_ih_l0"] @ vector + lstm["bias_ih_l0"] + lstm["weight_hh_l0"] @ hidden + lstm["bias_hh_l0"]
        i, f, g, o = np.split(gates, 4)
        cell = _sigmoid(f) * cell + _sigmoid(i) * np.tanh(g)
        hidden = _sigmoid(o) * np.tanh(cell)
        with torch.no_grad():
            state = own.encoder(rows)[0, step].numpy()
        assert_allclose(state, hidden / np.linalg.norm(hidden), rtol=1e-4, atol=1e-6)
    assert own.encoder.lengths(rows).tolist() == [2]


def test_what_is_pooled_is_the_mean_of_the_states_that_count() -> None:
    states = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]]])
    mask = torch.tensor([[True, True, False]])
    assert pooled(states, mask, renormalise=False).tolist() == [[0.5, 0.5]]
    assert_allclose(pooled(states, mask, renormalise=True), [[2**-0.5, 2**-0.5]], rtol=1e-6)


def test_heads_are_perceptrons_side_by_side() -> None:
    heads = Heads(3, (4,), 2, 3, rng(1))
    mean = torch.from_numpy(rng(2).normal(size=(5, 3)).astype(np.float32))
    with torch.no_grad():
        scores = heads(mean).numpy()
    assert scores.shape == (2, 5, 3)
    x = mean.numpy().astype(float)
    for k in range(2):
        for j in range(3):
            (w, u), (b, c) = (
                [part[3 * k + j].detach().numpy().astype(float) for part in parts]
                for parts in (heads.weights, heads.biases)
            )
            expected = _sigmoid(np.maximum(x @ w + b, 0.0) @ u + c)[:, 0]
            assert_allclose(scores[k, :, j], expected, rtol=1e-5)


def test_the_decoder_in_one_pass_gives_what_it_gives_token_by_token() -> None:
    """Teacher forcing with the sequence that greedy decoding wrote has that sequence as its most likely one."""
    own = networks()
    with torch.no_grad():
        own.decoder.output.bias.zero_()  # type: ignore[union-attr]  # so that what is written depends on the point
        own.decoder.merge.weight.mul_(10.0)
    points = Latent(torch.nn.functional.normalize(torch.from_numpy(_normal(6, 3, 4)), dim=2), torch.full((6,), 3))
    with torch.no_grad():
        first = own.pooled(points.states, points.mask)
        written = own.decoder.written(points.states, points.mask, first, lambda done: (0, 1, 2, 3, 4)[: 5 - len(done)])
        logits = own.decoder(points.states, points.mask, first, padded(written)).numpy()
    assert len(set(written)) > 1
    for row, tokens in enumerate(written):
        allowed = [logits[row, at, : 5 - at] for at in range(5)]
        assert [int(each.argmax()) for each in allowed] == list(tokens)


def test_attention_can_be_told_of_places() -> None:
    """Of a state's place where g tokens make up a state; without, only the states' content and the mask matter."""
    states = torch.nn.functional.normalize(torch.from_numpy(_normal(1, 4, 4)), dim=2)
    mask, rows = torch.ones(1, 4, dtype=torch.bool), torch.tensor([[1, 2, 3, 4, 5, 1, 2, 3]])
    changes = {}
    for places in (True, False):
        own = networks(at_once=2, places=places)
        with torch.no_grad():
            first = own.pooled(states, mask)
            logits = own.decoder(states, mask, first, rows)
            changes[places] = float((own.decoder(states.flip(1), mask, first, rows) - logits).abs().max())
    assert changes[True] > 1e-3
    assert changes[False] < 1e-5


def test_the_loss_is_equation_1() -> None:
    own = networks(drop=0.0)
    rows = torch.tensor([[1, 2, 3], [4, 5, 0]])
    scores, weights = torch.tensor([[0.2], [0.9]]), torch.tensor([[1.0, 3.0]])
    with torch.no_grad():
        loss = float(own.loss(rows, scores, weights, 0.7, torch.Generator()))
        states = own.encoder(rows)
        mask = torch.tensor([[True, True, True], [True, True, False]])
        mean = own.pooled(states, mask)
        logits = own.decoder(states, mask, mean, rows).log_softmax(dim=2).numpy()
        f = own.predictor(mean)[0, :, 0].numpy()
    entropy = -np.mean([logits[0, 0, 0], logits[0, 1, 1], logits[0, 2, 2], logits[1, 0, 3], logits[1, 1, 4]])
    squares = (1.0 * (f[0] - 0.2) ** 2 + 3.0 * (f[1] - 0.9) ** 2) / 4.0
    assert loss == pytest.approx(0.7 * squares + 0.3 * entropy, rel=1e-5)


def test_adam_shortens_long_gradients_and_lets_parameters_decay() -> None:
    """Adam's first step has the length of the rate whatever the gradient; its memory shows what was taken in."""
    layer = torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        layer.weight.fill_(2.0)
    optimizer = Adam(layer, 0.1, decay=0.5, clip=3.0)
    optimizer.step(layer.weight.sum() * 10.0)  # gradient 10 and half of 2
    assert optimizer.first.tolist() == pytest.approx([0.3])
    optimizer = Adam(layer, 0.1, decay=0.5, clip=30.0)
    optimizer.step(layer.weight.sum() * 10.0)  # the weight is 1.9 by now
    assert optimizer.first.tolist() == pytest.approx([1.095])


def test_a_training_that_cools_down_ends_at_a_twentieth() -> None:
    how = Schedule(rate=0.2, cool=True)
    assert [how.rate_at(done) for done in (0.0, 0.5, 1.0)] == pytest.approx([0.2, 0.105, 0.01])
    assert Schedule(rate=0.2).rate_at(0.9) == 0.2


# --- scores ---


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("minmax", [1.0, 0.9, 0.9, 0.0]), ("rank", [1.0, 0.5, 0.5, 0.0])],  # ties share ranks 1 and 2
)
def test_scores_are_by_range_or_by_rank(kind: str, expected: list[float]) -> None:
    t = np.array([-10.0, -9.0, -9.0, 0.0])
    scale = ScoreScale.of(t, kind)
    assert_allclose(scale.forward(t), expected)
    assert_allclose(scale.inverse(scale.forward(t)), t)
    assert_allclose(scale.forward(np.array([-99.0, 99.0])), [1.0, 0.0])


def test_constant_targets_are_scored_one_half() -> None:
    for kind in ("minmax", "rank"):
        scale = ScoreScale.of(np.full(3, 7.0), kind)
        assert scale.forward(np.array([7.0, 8.0])).tolist() == [0.5, 0.5]
        assert scale.inverse(np.array([0.0, 1.0])).tolist() == [7.0, 7.0]


# --- steps ---


def test_predictions_improve_along_a_small_step_and_worsen_against_it() -> None:
    posterior = fitted(space=ToySpace())
    latent = posterior.encode(sample_distinct(ToySpace(), 12, seed=1))
    aim = Aim(np.ones((12, 1)))
    for unit in (False, True):
        direction = posterior.direction(latent, aim, unit)
        before = posterior.scores(latent)
        by = 0.02 if unit else 0.02 / float(direction.norm(dim=2).max())
        assert (posterior.scores(posterior.moved(latent, direction, by)) > before).all()
        assert (posterior.scores(posterior.moved(latent, direction, -by)) < before).all()


def test_unit_directions_have_unit_length_and_states_stay_on_the_sphere() -> None:
    posterior = fitted()
    latent = posterior.encode(sample_distinct(ToySpace(), 4, seed=1))
    direction = posterior.direction(latent, Aim(np.ones((4, 1))), unit=True)
    lengths = direction.norm(dim=2)[latent.mask]
    assert_allclose(lengths, np.ones(len(lengths)), rtol=1e-5)
    assert not direction[~latent.mask].any()
    moved = posterior.moved(latent, direction, 0.7).states.norm(dim=2)[latent.mask]
    assert_allclose(moved, np.ones(len(moved)), rtol=1e-5)


def test_the_worth_is_weighted_scores_less_penalties() -> None:
    scales = [ScoreScale.of(np.array([0.0, 10.0])), ScoreScale.of(np.array([100.0, 200.0]))]
    scores = torch.tensor([[0.5, 0.9], [0.6, 0.3]])
    aim = Aim(np.array([[1.0, 0.0], [0.5, 0.5]]), (Limit(1, 140.0),))  # the bound's score is 0.6
    assert aim.worth(scores, scales).tolist() == pytest.approx([0.5, 0.45 - 0.3 * PENALTY])
    least = Aim(np.array([[1.0, 0.0], [0.5, 0.5]]), (Limit(1, 140.0, at_most=False),))
    assert least.worth(scores, scales).tolist() == pytest.approx([0.5 - 0.3 * PENALTY, 0.45])
    assert least.rows([1, 1]).worth(scores, scales).tolist() == pytest.approx([0.7 - 0.3 * PENALTY, 0.45])


def test_each_point_trusts_the_heads_in_shares_of_its_own() -> None:
    scores = torch.tensor([[[0.2], [0.4]], [[0.6], [0.8]]])  # two heads, two points
    assert Aim(np.ones((2, 1))).mixed(scores)[:, 0].tolist() == pytest.approx([0.4, 0.6])
    aim = Aim(np.ones((2, 1)), trust=np.array([[1.0, 0.0], [0.25, 0.75]]))
    assert aim.mixed(scores)[:, 0].tolist() == pytest.approx([0.2, 0.7])
    assert aim.rows([1, 0]).mixed(scores.flip(1))[:, 0].tolist() == pytest.approx([0.7, 0.2])


def test_a_limit_turns_the_step_towards_what_keeps_it() -> None:
    """Without a limit accuracy rises; with one on parameters that no member keeps, parameters' scores rise instead."""
    posterior = fitted(m=2)
    x = sample_distinct(ToySpace(), 8, seed=1)
    latent = posterior.encode(x)
    weights = np.tile([1.0, 0.0], (8, 1))
    least = float(posterior.scales[1].targets[0])
    free, limited = Aim(weights), Aim(weights, (Limit(1, least - 1.0),))
    after = [
        posterior.scores(posterior.moved(latent, posterior.direction(latent, aim, unit=True), 0.05))
        for aim in (free, limited)
    ]
    assert (after[0][:, 0] > posterior.scores(latent)[:, 0]).all()
    assert (after[1][:, 1] > posterior.scores(latent)[:, 1]).all()


# --- decoding ---


def test_random_latent_points_are_decoded_to_members() -> None:
    space = ToySpace()
    posterior = fitted()
    points = Latent(torch.from_numpy(_normal(300, 4, 8)), torch.from_numpy(rng(1).integers(1, 5, size=300)))
    for a in posterior.decode(points):
        assert space.canonical(a.values) == a


def test_what_was_fitted_is_decoded_from_its_embedding() -> None:
    """After a long training on 16 members nearly all are; chance would find one in 80."""
    data = training_set(ToySpace(), 16)
    posterior = Autoencoder(ToySpace(), **{**TINY, "width": 16, "epochs": 300, "balance": 0.3, "drop": 0.0}).fit(
        data, rng(0)
    )
    decoded = posterior.decode(posterior.encode(data.architectures))
    assert sum(a == b for a, b in zip(decoded, data.architectures, strict=True)) >= 12


def test_a_fit_can_go_on_from_another() -> None:
    data = training_set(ToySpace(), 16)
    surrogate = Autoencoder(ToySpace(), **{**TINY, "epochs": 1, "rate": 1e-9, "decay": 0.0})
    first = surrogate.fit(data, rng(0))
    onwards = surrogate.fit(data, rng(1), start=first)
    assert_allclose(onwards.predict(data.architectures).mean, first.predict(data.architectures).mean, rtol=1e-4)
    with pytest.raises(InvalidData, match="other sizes"):
        Autoencoder(ToySpace(), **{**TINY, "width": 9}).fit(data, rng(0), start=first)


# --- bad input ---


@pytest.mark.parametrize(
    "options",
    [
        {"width": 0}, {"heads": 0}, {"at_once": 0}, {"predictor": "64"}, {"predictor": [0]}, {"drop": 1.0},
        {"renormalise": 1}, {"places": 1}, {"epochs": 0}, {"rate": 0.0}, {"balance": 1.1}, {"decay": -1.0},
        {"clip": 0.0}, {"cool": "yes"}, {"scale": "log"}, {"augment": 1}, {"unlabelled": -1}, {"rate": float("nan")},
    ],
)  # fmt: skip
def test_wrong_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        Autoencoder(ToySpace(), **options)


class Plain(Space):
    name = "plain"
    decisions = (Categorical("a", ("x", "y")),)

    def to_config(self) -> dict[str, Any]:
        return {"name": self.name}


def test_a_space_without_tokens_is_refused() -> None:
    with pytest.raises(MissingCapability, match="tokens"):
        Autoencoder(Plain())


class Strange(Swaps):
    """Gives tokens outside its vocabulary, or none."""

    name = "swaps"

    def __init__(self, tokens: tuple[int, ...]) -> None:
        self._tokens = tokens

    def tokens(self, a: Architecture) -> tuple[int, ...]:
        return self._tokens


@pytest.mark.parametrize(("tokens", "said"), [((0, 3), "outside the vocabulary"), ((), "without tokens")])
def test_tokens_that_do_not_match_the_vocabulary_are_refused(tokens: tuple[int, ...], said: str) -> None:
    space = Strange(tokens)
    data = TrainingSet((space.canonical((0, 1)),), np.zeros((1, 1)), np.ones(1, np.int64), np.zeros(1))
    with pytest.raises(InvalidData, match=said):
        Autoencoder(space, **TINY).fit(data, rng(0))


def test_sequences_that_are_no_members_are_refused() -> None:
    posterior = fitted()
    with pytest.raises(InvalidArchitecture):  # it breaks off
        posterior.encode_tokens([(0, 1)])
    with pytest.raises(InvalidData, match="outside the vocabulary"):
        posterior.encode_tokens([(0, 99)])
    with pytest.raises(InvalidArchitecture, match="no member of toy"):
        posterior.predict([Swaps().canonical((0, 1))])
    with pytest.raises(InvalidData, match="no architectures"):
        posterior.encode([])
    with pytest.raises(InvalidData, match="no architectures"):
        posterior.predict([])


def test_latent_points_of_wrong_shapes_are_refused() -> None:
    posterior = fitted()
    with pytest.raises(InvalidData, match="another width"):
        posterior.decode(Latent(torch.zeros(2, 3, 5), torch.tensor([3, 3])))
    with pytest.raises(InvalidData, match="wrong shape"):
        Latent(torch.zeros(2, 3), torch.tensor([3, 3]))
    with pytest.raises(InvalidData, match="wrong lengths"):
        Latent(torch.zeros(2, 3, 5), torch.tensor([3, 4]))
    with pytest.raises(InvalidData, match="finite"):
        Latent(torch.full((1, 3, 5), torch.nan), torch.tensor([3]))


class Endless(Swaps):
    def legal_tokens(self, prefix: Sequence[int]) -> tuple[int, ...]:
        return (0, 1)


def test_a_rule_that_never_ends_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nao_decoder, "MOST_TOKENS", 20)
    space = Endless()
    data = TrainingSet((space.canonical((0, 1)),), np.zeros((1, 1)), np.ones(1, np.int64), np.zeros(1))
    posterior = Autoencoder(space, **{**TINY, "epochs": 1}).fit(data, rng(0))
    with pytest.raises(InvalidSpace, match="never ends"):
        posterior.decode(posterior.encode(data.architectures))


def test_no_observations() -> None:
    data = TrainingSet((), np.zeros((0, 1)), np.zeros(0, np.int64), np.zeros(0))
    with pytest.raises(InvalidData, match="at least one"):
        Autoencoder(ToySpace(), **TINY).fit(data, rng(0))


def test_constant_scores_are_predicted_and_decoded() -> None:
    data = training_set(ToySpace(), 8)
    constant = TrainingSet(data.architectures, np.full_like(data.targets, 3.0), data.counts, data.violations)
    posterior = Autoencoder(ToySpace(), **TINY).fit(constant, rng(0))
    assert_array_equal(posterior.predict(data.architectures).mean, np.full((8, 1), 3.0))
    latent = posterior.encode(data.architectures)
    moved = posterior.moved(latent, posterior.direction(latent, Aim(np.ones((8, 1)))), 10.0)
    assert len(posterior.decode(moved)) == 8


def _sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-x))


def _normal(*shape: int) -> Any:
    return rng(0, "normal").normal(size=shape).astype(np.float32)
