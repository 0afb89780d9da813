"""The unrolled model: equal to the mathematics written out, dropout locked over time, loss and gradients by torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from nas_core.errors import InvalidNetwork
from nas_core.network import Network
from nas_train.language.model import EMBEDDING_RANGE, LanguageModel, build_language
from nas_train.language.recipe import LanguageRecipe
from nas_train.language.word_loss import word_loss

PLAIN = LanguageRecipe("plain", epochs=1, batch=3, learning_rate=1.0)
STEPS, STREAMS, WORDS, WIDTH = 5, 3, 11, 6


@pytest.fixture
def words() -> torch.Tensor:
    return torch.randint(0, WORDS, (STEPS, STREAMS), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def model(make_cell: Callable[..., Network]) -> LanguageModel:
    return build_language([make_cell()], WORDS, seed=1)


def cells_of(model: LanguageModel) -> list[Any]:
    """The layers, whose submodules the type of a module does not know."""
    return list(model.layers)


def noise(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_two_layers_written_out(make_cell: Callable[..., Network], words: torch.Tensor) -> None:
    model = build_language([make_cell(WIDTH, 4), make_cell(4, WIDTH)], WORDS, seed=1)
    first, second = (layer.linear for layer in cells_of(model))
    h, g = torch.zeros(STREAMS, 4), torch.zeros(STREAMS, WIDTH)
    expected = []
    for step in model.embedding[words]:
        h = torch.tanh(torch.cat([step, h], 1) @ first.weight.T + first.bias)
        g = torch.tanh(torch.cat([h, g], 1) @ second.weight.T + second.bias)
        expected.append(g)
    unrolled = model(words, model.zero_states(STREAMS))
    torch.testing.assert_close(unrolled.outputs, torch.stack(expected))
    torch.testing.assert_close(unrolled.states[0]["h"], h)
    torch.testing.assert_close(unrolled.states[1]["h"], g)
    assert not unrolled.states[0]["h"].requires_grad


def test_what_is_longer_than_the_norm_is_shortened(make_cell: Callable[..., Network]) -> None:
    model = build_language([make_cell()], WORDS, state_norm=0.02, seed=1)
    linear = cells_of(model)[0].linear
    with torch.no_grad():
        model.embedding[0] *= 1e-3  # one text's states stay short
        linear.weight.mul_(torch.tensor([1.0] * WIDTH + [0.1] * WIDTH))
        linear.bias.zero_()
    words = torch.tensor([[0, 1], [0, 2]])
    h = torch.zeros(2, WIDTH)
    expected = []
    for step in model.embedding[words]:
        h = torch.tanh(torch.cat([step, h], 1) @ linear.weight.T)
        h = torch.stack([row * 0.02 / row.norm() if row.norm() > 0.02 else row for row in h])
        expected.append(h)
    unrolled = model(words, model.zero_states(2))
    torch.testing.assert_close(unrolled.outputs, torch.stack(expected))
    torch.testing.assert_close(unrolled.states[0]["h"], h)
    short, full = unrolled.states[0]["h"].norm(dim=1).tolist()
    assert short < 0.01
    assert full == pytest.approx(0.02)


def test_carried_states_make_two_chunks_one(model: LanguageModel, words: torch.Tensor) -> None:
    whole = model(words, model.zero_states(STREAMS)).outputs
    first = model(words[:2], model.zero_states(STREAMS))
    second = model(words[2:], first.states)
    torch.testing.assert_close(torch.cat([first.outputs, second.outputs]), whole)
    assert not any(value.requires_grad for value in first.states[0].values())


def test_weights_are_tied_and_begin_as_the_seed_says(make_cell: Callable[..., Network]) -> None:
    tied, again, other = (build_language([make_cell()], WORDS, seed=seed) for seed in (1, 1, 2))
    assert tied.output_weight is tied.embedding
    names = ["embedding", "bias", "layers.0.linear.weight", "layers.0.linear.bias"]
    assert [name for name, _ in tied.named_parameters()] == names
    for name, parameter in tied.named_parameters():
        assert torch.equal(parameter, again.state_dict()[name])
        assert name == "bias" or not torch.equal(parameter, other.state_dict()[name])
    assert float(tied.embedding.detach().abs().max()) <= EMBEDDING_RANGE
    free = build_language([make_cell(WIDTH, 4)], WORDS, tied=False)
    assert free.output_weight.shape == (WORDS, 4)


def test_dropped_outputs_are_the_same_at_every_step(model: LanguageModel, words: torch.Tensor) -> None:
    states = model.zero_states(STREAMS)
    unrolled = model(words, states, replace(PLAIN, drop_output=0.5), noise())
    mask = unrolled.dropped / unrolled.outputs
    assert torch.equal(unrolled.outputs, model(words, states).outputs)
    assert set(mask.round(decimals=5).unique().tolist()) == {0.0, 2.0}
    assert torch.equal(mask.round(decimals=4), mask[:1].round(decimals=4).expand_as(mask))


def test_a_dropped_word_is_dropped_wherever_it_stands(model: LanguageModel) -> None:
    """With only the word's vector to go by, equal words in equal states give equal outputs, dropped or not."""
    words = torch.arange(WORDS).repeat(2, 1)
    with torch.no_grad():
        cells_of(model)[0].linear.weight[:, WIDTH:] = 0.0  # the old state is not read
    dropped = model(words, model.zero_states(WORDS), replace(PLAIN, drop_words=0.5), noise()).outputs
    assert torch.equal(dropped[0], dropped[1])
    zero = torch.tanh(cells_of(model)[0].linear.bias)
    blank = [bool(torch.allclose(row, zero)) for row in dropped[0]]
    assert 0 < sum(blank) < WORDS  # all 11 alike has probability 2^-10 and is not so for this seed


def test_input_and_state_masks_fall_on_what_the_linear_map_reads(
    make_cell: Callable[..., Network], words: torch.Tensor
) -> None:
    """The cell h + tanh(W [m x, n h] + b), with masks m and n that are found by switching the other part off."""
    model = build_language([make_cell(carries=True)], WORDS, seed=1)
    linear = cells_of(model)[0].linear
    recipe = replace(PLAIN, drop_input=0.5, drop_hidden=0.25)
    generator = noise(3)
    m = torch.empty(STREAMS, WIDTH).bernoulli_(0.5, generator=generator) / 0.5
    n = torch.empty(STREAMS, WIDTH).bernoulli_(0.75, generator=generator) / 0.75
    h, expected = torch.zeros(STREAMS, WIDTH), []
    for step in model.embedding[words]:
        h = h + torch.tanh(torch.cat([m * step, n * h], 1) @ linear.weight.T + linear.bias)
        expected.append(h)
    unrolled = model(words, model.zero_states(STREAMS), recipe, noise(3))
    torch.testing.assert_close(unrolled.outputs, torch.stack(expected))
    assert not linear._forward_pre_hooks


def test_dropped_weights_are_those_that_read_states(make_cell: Callable[..., Network], words: torch.Tensor) -> None:
    model = build_language([make_cell()], WORDS, seed=1)
    linear, before = cells_of(model)[0].linear, list(model.state_dict())
    weight = linear.weight
    recipe = replace(PLAIN, drop_weights=0.5)
    mask = torch.empty(weight.shape).bernoulli_(0.5, generator=noise(3)) / 0.5
    h = torch.zeros(STREAMS, WIDTH)
    for step in model.embedding[words]:
        h = torch.tanh(torch.cat([step, h], 1) @ (weight * mask).T + linear.bias)
    unrolled = model(words, model.zero_states(STREAMS), recipe, noise(3))
    torch.testing.assert_close(unrolled.outputs[-1], h)
    unrolled.outputs.sum().backward()
    assert weight.grad is not None
    assert torch.equal(weight.grad == 0.0, mask == 0.0)
    assert linear.weight is weight
    assert list(model.state_dict()) == before


def test_masks_follow_from_the_generator(model: LanguageModel, words: torch.Tensor) -> None:
    recipe = replace(PLAIN, drop_words=0.1, drop_embedding=0.2, drop_hidden=0.3, drop_output=0.4, drop_weights=0.5)
    states = model.zero_states(STREAMS)
    first = model(words, states, recipe, noise(5)).dropped
    assert torch.equal(first, model(words, states, recipe, noise(5)).dropped)
    assert not torch.equal(first, model(words, states, recipe, noise(6)).dropped)


@pytest.mark.parametrize("rows", [1, 255, 600])
def test_loss_and_gradients_are_torchs(rows: int) -> None:
    generator = noise(1)
    hidden = torch.randn(rows, 7, generator=generator).requires_grad_()
    weight = torch.randn(13, 7, generator=generator).requires_grad_()
    bias = torch.randn(13, generator=generator).requires_grad_()
    targets = torch.randint(0, 13, (rows,), generator=generator)
    expected = F.cross_entropy(hidden @ weight.T + bias, targets)
    wanted = torch.autograd.grad(3.0 * expected, (hidden, weight, bias))
    loss = word_loss(hidden, weight, bias, targets)
    torch.testing.assert_close(loss, expected)
    for got, want in zip(torch.autograd.grad(3.0 * loss, (hidden, weight, bias)), wanted, strict=True):
        torch.testing.assert_close(got, want)
    with torch.no_grad():
        torch.testing.assert_close(word_loss(hidden, weight, bias, targets), expected)


def test_products_in_bfloat16_are_near() -> None:
    """Products of 7 terms with 8 bits of mantissa: relative error of a logit below 2^-8 of the sum of magnitudes."""
    generator = noise(1)
    hidden = torch.randn(300, 7, generator=generator).requires_grad_()
    weight, bias = torch.randn(13, 7, generator=generator), torch.zeros(13)
    targets = torch.randint(0, 13, (300,), generator=generator)
    exact, near = (word_loss(hidden, weight, bias, targets, dtype) for dtype in (torch.float32, torch.bfloat16))
    assert near.dtype == torch.float32
    assert exact != near
    assert abs(float((exact - near).detach())) < 0.03
    (gradient,) = torch.autograd.grad(near, hidden)
    (wanted,) = torch.autograd.grad(exact, hidden)
    assert gradient.dtype == torch.float32
    assert float((gradient - wanted).norm() / wanted.norm()) < 0.03


def test_what_is_no_language_model_is_named(make_cell: Callable[..., Network], network: Network) -> None:
    with pytest.raises(InvalidNetwork, match="not one time step"):
        LanguageModel([network], WORDS)
    with pytest.raises(InvalidNetwork, match="another width"):
        LanguageModel([make_cell(WIDTH, 4), make_cell()], WORDS)
    with pytest.raises(InvalidNetwork, match="tied weights"):
        LanguageModel([make_cell(WIDTH, 4)], WORDS)
    with pytest.raises(InvalidNetwork, match="needs a layer"):
        LanguageModel([], WORDS)
