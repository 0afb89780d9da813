"""Training language models: it learns, repeats, resumes exactly with every option on, and names what goes wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from nas_core.errors import InvalidData, InvalidNetwork, StoreError, TrialFailed
from nas_core.network import Network
from nas_train.language.files import load_language, save_language
from nas_train.language.loop import (
    LanguageResult,
    chunk_lengths,
    evaluate_language,
    fit_language,
    perplexity,
    rate_at,
    streams_of,
)
from nas_train.language.model import LanguageModel, build_language
from nas_train.language.recipe import LanguageRecipe
from nas_train.language.text import TextSet

WORDS = 11
QUICK = LanguageRecipe(
    "quick", epochs=6, batch=4, learning_rate=0.02, truncation=7, optimizer="adam", schedule="cosine", embedding=6
)
EVERYTHING = LanguageRecipe(
    "everything",
    epochs=6,
    batch=4,
    learning_rate=40.0,
    truncation=7,
    decay=0.8,
    decay_from=2,
    gradient_clip=0.25,
    weight_decay=1e-4,
    embedding=6,
    hidden=5,
    layers=2,
    drop_words=0.1,
    drop_embedding=0.1,
    drop_input=0.1,
    drop_hidden=0.1,
    drop_layers=0.1,
    drop_output=0.1,
    drop_weights=0.1,
    activation=0.1,
    slowness=0.1,
    averaging=1,
    random_lengths=True,
)


@pytest.fixture
def text(make_text: Callable[..., TextSet]) -> TextSet:
    return make_text()


@pytest.fixture
def make(make_cell: Callable[..., Network]) -> Callable[..., LanguageModel]:
    """A model of a recipe's shape."""

    def made(recipe: LanguageRecipe, seed: int = 0) -> LanguageModel:
        cells = [make_cell(width, hidden) for width, hidden in recipe.widths]
        return build_language(cells, WORDS, tied=recipe.tied, state_norm=recipe.state_norm, seed=seed)

    return made


def weights(model: LanguageModel) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_it_learns_to_count(make: Callable[..., LanguageModel], text: TextSet) -> None:
    """A tenth of the steps are 3, nine tenths 1: the entropy is 0.325 nats, ignorance log 11 = 2.4."""
    model = make(QUICK)
    result = fit_language(model, text, replace(QUICK, epochs=20), seed=0)
    assert result.validation < 0.8
    assert perplexity(result.validation) == math.exp(result.validation)
    assert result.epochs[0].train_loss > 1.5
    assert [epoch.number for epoch in result.epochs] == list(range(1, 21))
    assert not model.training


def test_one_step_of_descent_written_out(make: Callable[..., LanguageModel], text: TextSet) -> None:
    """One chunk, no dropout: the clipped gradient of the mean cross-entropy, times the rate."""
    recipe = replace(QUICK, optimizer="sgd", schedule="decay", learning_rate=0.5, epochs=1, gradient_clip=0.1)
    short = TextSet("short", WORDS, text.train[:32], text.validation, lambda: text.validation)
    model, twin = make(recipe), make(recipe)
    fit_language(model, short, recipe, seed=0)
    data = torch.tensor(text.train[:32].astype(np.int64)).reshape(4, 8).T
    outputs = twin(data[:-1], twin.zero_states(4)).outputs
    loss = F.cross_entropy((outputs @ twin.embedding.T + twin.bias).flatten(0, 1), data[1:].flatten())
    torch.autograd.backward(loss)
    norm = math.sqrt(sum(float(p.grad.square().sum()) for p in twin.parameters() if p.grad is not None))
    assert norm > 0.1
    for name, p in twin.named_parameters():
        assert p.grad is not None
        torch.testing.assert_close(model.state_dict()[name], p.detach() - 0.5 * p.grad * 0.1 / norm)


@pytest.mark.parametrize("recipe", [QUICK, EVERYTHING], ids=["adam", "everything"])
def test_an_interrupted_training_ends_as_one_that_ran_through(
    make: Callable[..., LanguageModel], text: TextSet, tmp_path: Path, recipe: LanguageRecipe
) -> None:
    whole = make(recipe)
    result = fit_language(whole, text, recipe, seed=3, validate_every=1)

    class Interrupted(Exception):
        pass

    def interrupt(epoch: Any) -> None:
        raise Interrupted

    place = tmp_path / "training.safetensors"
    resumed: LanguageResult | None = None
    while resumed is None:
        model = make(recipe, seed=9 if place.exists() else 0)  # what it begins with, the checkpoint overrules
        with suppress(Interrupted):
            resumed = fit_language(model, text, recipe, seed=3, validate_every=1, checkpoint=place, on_epoch=interrupt)
    assert resumed.epochs == result.epochs
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, model.state_dict()[name]), name
    if recipe.averaging:
        assert any(epoch.averaging for epoch in result.epochs)
        assert not all(epoch.averaging for epoch in result.epochs)


def test_the_seed_decides(make: Callable[..., LanguageModel], text: TextSet) -> None:
    recipe = replace(EVERYTHING, epochs=1)
    models = [make(recipe) for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        fit_language(model, text, recipe, seed=seed)
    first, same, other = map(weights, models)
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["bias"], other["bias"])


def test_averages_are_means_of_the_weights_after_each_step(make: Callable[..., LanguageModel], text: TextSet) -> None:
    """An epoch is one step here, so that the weights after each step can be looked at; the rate makes the loss rise."""
    recipe = replace(
        QUICK, optimizer="sgd", schedule="decay", learning_rate=40.0, averaging=1, epochs=12, truncation=100
    )
    short = TextSet("short", WORDS, text.train[:40], text.validation, lambda: text.validation)
    model, seen = make(recipe), []
    result = fit_language(model, short, recipe, seed=0, on_epoch=lambda epoch: seen.append(weights(model)))
    averaged = [after for after, epoch in zip(seen, result.epochs, strict=True) if epoch.averaging]
    assert 1 < len(averaged) < 12
    first = next(i for i, epoch in enumerate(result.epochs) if epoch.averaging)
    losses = [epoch.validation or 0.0 for epoch in result.epochs]
    assert losses[first - 1] > min(losses[: first - 2])
    for name, tensor in weights(model).items():
        torch.testing.assert_close(tensor, torch.stack([after[name] for after in averaged]).mean(0))


def test_evaluation_by_hand(make: Callable[..., LanguageModel], text: TextSet) -> None:
    model = make(QUICK)
    words = torch.tensor(text.validation.astype(np.int64))
    rows = words[: len(words) // 3 * 3].reshape(3, -1).T
    with torch.no_grad():
        outputs = model(rows[:-1], model.zero_states(3)).outputs
        expected = F.cross_entropy((outputs @ model.embedding.T + model.bias).flatten(0, 1), rows[1:].flatten())
    for steps in (1, 7, 1000):
        assert evaluate_language(model, text.validation, streams=3, steps=steps) == pytest.approx(
            float(expected), abs=1e-5
        )
    assert model.training
    assert evaluate_language(model, text.validation[:5], streams=10) > 0  # two streams of two words


def test_streams_by_hand() -> None:
    data = streams_of(np.arange(11, dtype=np.int32), 3, torch.device("cpu"))
    assert data.tolist() == [[0, 3, 6], [1, 4, 7], [2, 5, 8]]
    with pytest.raises(InvalidData, match="too short"):
        streams_of(np.arange(11, dtype=np.int32), 6, torch.device("cpu"))


def test_lengths_of_chunks() -> None:
    assert list(chunk_lengths(16, QUICK, 0, 1)) == [7, 7, 2]
    recipe = replace(QUICK, truncation=35, random_lengths=True)
    lengths = list(chunk_lengths(100_000, recipe, 0, 1))
    assert sum(lengths) == 100_000
    assert min(lengths[:-1]) >= 5
    assert max(lengths) <= 55
    # mean 0.95 * 35 + 0.05 * 17.5 = 34.1 less half for rounding down; standard error 6.3 / sqrt(2950) = 0.12
    assert np.mean(lengths[:-1]) == pytest.approx(33.6, abs=0.6)
    assert lengths == list(chunk_lengths(100_000, recipe, 0, 1))
    assert lengths != list(chunk_lengths(100_000, recipe, 0, 2))


def test_rates_by_hand() -> None:
    decayed = replace(QUICK, schedule="decay", learning_rate=10.0, decay=0.5, decay_from=2)
    assert [rate_at(decayed, epoch, 9, 0.5) for epoch in (1, 2, 3, 4)] == [10.0, 10.0, 5.0, 2.5]
    cosine = replace(QUICK, schedule="cosine", learning_rate=10.0)
    assert [rate_at(cosine, epoch, 2, 0.0) for epoch in (1, 2)] == pytest.approx([10.0, 5.0])
    assert rate_at(cosine, 2, 2, 1.0) == pytest.approx(0.0)


def test_divergence_is_a_failed_trial(make: Callable[..., LanguageModel], text: TextSet) -> None:
    recipe = replace(QUICK, optimizer="sgd", learning_rate=1e30, gradient_clip=None)
    with pytest.raises(TrialFailed, match="not finite") as caught:
        fit_language(make(recipe), text, recipe, seed=0)
    assert caught.value.reason == "diverged"
    for nats in (math.nan, math.inf, 701.0):
        with pytest.raises(TrialFailed):
            perplexity(nats)


def test_another_checkpoint_is_refused(make: Callable[..., LanguageModel], text: TextSet, tmp_path: Path) -> None:
    place = tmp_path / "training.safetensors"
    recipe = replace(QUICK, epochs=1)
    fit_language(make(recipe), text, recipe, seed=0, checkpoint=place)
    held = place.read_bytes()
    with pytest.raises(StoreError, match="seed differs"):
        fit_language(make(recipe), text, recipe, seed=1, checkpoint=place)
    wide = replace(recipe, embedding=8)
    with pytest.raises(InvalidNetwork, match="another model"):
        fit_language(make(wide), text, wide, seed=0, checkpoint=place)
    place.write_bytes(held[:-100])
    with pytest.raises(StoreError, match="truncated"):
        fit_language(make(recipe), text, recipe, seed=0, checkpoint=place)


def test_a_text_that_does_not_fit_is_named(
    make: Callable[..., LanguageModel], make_text: Callable[..., TextSet]
) -> None:
    with pytest.raises(InvalidData, match="too short"):
        fit_language(make(QUICK), make_text(), replace(QUICK, batch=400), seed=0)
    with pytest.raises(InvalidNetwork, match="another vocabulary"):
        fit_language(make(QUICK), make_text(words=12), QUICK, seed=0)


def test_models_come_back_from_files(make: Callable[..., LanguageModel], text: TextSet, tmp_path: Path) -> None:
    model = make(replace(EVERYTHING, state_norm=0.5))
    place = save_language(tmp_path, model, {"note": "kept"})
    again, about = load_language(place)
    assert about["note"] == "kept"
    assert evaluate_language(again, text.validation) == evaluate_language(model, text.validation)
    assert again.state_norm == 0.5
    assert not again.training
