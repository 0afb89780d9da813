"""The evaluator `shared_language`: recurrent cells trained in groups, as language models, on one bank of weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn

from nas_core.errors import InvalidOption, TrialFailed
from nas_core.evaluator import Evaluation
from nas_core.optimizer import State
from nas_core.random import derived_seed, rng
from nas_core.space import Space, require
from nas_core.trial import Failure, Measurement
from nas_train.devices import cpu_threads, find_device
from nas_train.failures import named_failures
from nas_train.language.evaluator import DEFAULT_RECIPE, REQUIRES, checked_network_options, networks_for
from nas_train.language.loop import (
    chunk_lengths,
    chunk_loss,
    clip_and_step,
    evaluate_language,
    perplexity,
    rate_at,
    streams_of,
    weight_optimizer,
)
from nas_train.language.model import LanguageModel, States, initialise_language
from nas_train.language.recipe import LanguageRecipe
from nas_train.language.text import TextSet, open_text
from nas_train.shared_weights.bank import Bank
from nas_train.shared_weights.group import evaluate_alone, run_group
from nas_train.shared_weights.positions import check_sharing
from nas_train.weight_optimizer import WeightOptimizer


@final
class SharedLanguageEvaluator:
    """Trains a group of recurrent cells as language models on one bank of weights, and measures each with it.

    Each chunk of text trains one member of the group, drawn uniformly; it goes on from the states that the one before
    has left, by their names. The recipe's schedule spans the recipe's epochs from the first group on, as in
    `nas_train.shared_weights.evaluator`. A trial without a group is a group of its own on a fresh bank.

    Metrics: val_perplexity, val_loss, train_loss (nats a word, of the whole group), train_seconds (its share of the
    group's), params (of its model, words' vectors included).

    Args:
        data: an `.npz` file of word numbers or a folder of texts (`nas_train.language.text`).
        recipe: a name, or fields (`LanguageRecipe.from_config`); one that does not average weights.
        epochs: that each group trains the bank for.
        network: options of `space.network`; the widths are the recipe's.
        validation: how many words of the validation text are used; None for all.
        device: "cpu", "cuda", "cuda:1", or "auto".
        threads: CPU threads; None for what torch or the executor has set.
        fresh: whether every group begins on a fresh bank, and the schedule with it.

    Raises:
        InvalidOption: an option that is out of range, or a recipe that averages weights.
    """

    requires = REQUIRES

    def __init__(
        self,
        data: str,
        recipe: str | Mapping[str, Any] = DEFAULT_RECIPE,
        epochs: int = 1,
        network: Mapping[str, Any] | None = None,
        validation: int | None = None,
        device: str = "cpu",
        threads: int | None = 1,
        fresh: bool = False,
    ) -> None:
        for name, value, least in (("epochs", epochs, 1), ("validation", validation, 2), ("threads", threads, 1)):
            optional = name != "epochs" and value is None
            if not optional and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise InvalidOption(f"{name} cannot be set", value=value, expected=f"a whole number from {least}")
        if not isinstance(fresh, bool):
            raise InvalidOption("fresh cannot be set", value=fresh, expected="true or false")
        self.data = str(data)
        self.recipe = LanguageRecipe.from_config(recipe)
        if self.recipe.averaging is not None:
            raise InvalidOption(
                "shared weights are not averaged", value=self.recipe.name, expected="a recipe without averaging"
            )
        self.epochs, self.validation = epochs, validation
        self.network = checked_network_options(network)
        self.device = device
        self.fresh = fresh
        self.threads = threads
        self._text: TextSet | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what it measures."""
        return ("val_perplexity", "val_loss", "train_loss", "train_seconds", "params")

    def prepare(self, space: Space) -> None:
        """Find the device, load the text, and describe a few models for it.

        Raises:
            NasError: the device, the text, or an option of the network is wrong, the space has no recurrent cells, or
                they cannot share weights.
        """
        require(space, self.requires, "training")
        find_device(self.device)
        text = self._data()
        check_sharing(space, lambda a: networks_for(space, a, text, self.network, self.recipe))

    def evaluate(self, evaluation: Evaluation) -> Measurement:
        """Train and measure one architecture on a bank of its own.

        Raises:
            TrialFailed: see `evaluate_group`.
        """
        return evaluate_alone(self, evaluation)

    def evaluate_group(
        self, evaluations: Sequence[Evaluation], state: State | None
    ) -> tuple[list[Measurement | Failure], State | None]:
        """Train the bank on a group and measure each member; see `nas_train.shared_weights.group.run_group`.

        Raises:
            TrialFailed: "diverged" or "out_of_memory": the group has no results and the bank stays as it was.
            InvalidOption: fidelities that differ, or are no numbers of epochs.
        """
        device = find_device(self.device)
        with cpu_threads(self.threads), named_failures():
            kind = _Texts(self._data(), self.recipe, self.network, device, self.validation)
            return run_group(kind, evaluations, None if self.fresh else state, Bank(device), self.epochs)

    def to_config(self) -> dict[str, Any]:
        """The options it runs with."""
        return {
            "name": "shared_language",
            "data": self.data,
            "recipe": self.recipe.to_config(),
            "epochs": self.epochs,
            "network": self.network,
            "validation": self.validation,
            "device": self.device,
            "threads": self.threads,
            "fresh": self.fresh,
        }

    def _data(self) -> TextSet:
        if self._text is None:
            self._text = open_text(self.data)
        return self._text


@final
class _Texts:
    """One-shot training of language models; see `nas_train.shared_weights.group.OneShot`."""

    def __init__(
        self,
        text: TextSet,
        recipe: LanguageRecipe,
        network: Mapping[str, Any],
        device: torch.device,
        validation: int | None,
    ) -> None:
        self.text, self.recipe, self.network, self.validation = text, recipe, network, validation
        self.data = streams_of(text.train[: recipe.tokens], recipe.batch, device)

    def member(self, evaluation: Evaluation, bank: Bank, seed: int) -> nn.Module:
        """The model on the bank."""
        space, told = evaluation.space, evaluation.space.text(evaluation.architecture)
        draw = derived_seed(evaluation.seed, "draw", told, evaluation.draw)
        networks = networks_for(space, evaluation.architecture, self.text, self.network, self.recipe, draw)
        recipe = self.recipe
        model = LanguageModel(networks, self.text.words, tied=recipe.tied, state_norm=recipe.state_norm)
        bank.adopt(model, lambda: initialise_language(model, seed))
        return model

    def weights(self, bank: Bank) -> WeightOptimizer:
        """The recipe's."""
        return weight_optimizer(bank, self.recipe)

    def train(
        self, members: Sequence[LanguageModel], weights: WeightOptimizer, seed: int, done: int, epochs: int
    ) -> float:
        """Some epochs more."""
        for member in members:
            member.train()
        loss = math.nan
        for number in range(done + 1, done + epochs + 1):
            loss = self._epoch(members, weights, seed, number)
        return loss

    def _epoch(self, members: Sequence[LanguageModel], weights: WeightOptimizer, seed: int, number: int) -> float:
        recipe, steps = self.recipe, len(self.data) - 1
        lengths = list(chunk_lengths(steps, recipe, seed, number))
        turns = rng(seed, "members", number).integers(len(members), size=len(lengths))
        total = torch.zeros((), dtype=torch.float64, device=self.data.device)
        states: States | None = None
        start = 0
        for i, length in enumerate(lengths):
            model = members[turns[i]]
            noise = torch.Generator(self.data.device).manual_seed(derived_seed(seed, "noise", number, i))
            weights.zero_grad()
            chunk = self.data[start : start + length + 1]
            loss, lost, states = chunk_loss(model, chunk, _handed_on(states, model, chunk.shape[1]), recipe, noise)
            loss.backward()
            rate = rate_at(
                recipe, min(number, recipe.epochs), recipe.epochs, start / steps if number <= recipe.epochs else 1.0
            )
            if recipe.random_lengths:
                rate *= length / recipe.truncation
            clip_and_step(list(model.parameters()), weights, recipe, rate)
            total += lost * length
            start += length
        mean = total.item() / steps
        if not math.isfinite(mean):
            raise TrialFailed("diverged", f"the loss on the shared weights is not finite in epoch {number}", value=mean)
        return mean

    def measure(self, member: LanguageModel) -> dict[str, float]:
        """Perplexity and loss on the validation text, and the model's size."""
        recipe = self.recipe
        words = self.text.validation[: self.validation]
        nats = evaluate_language(member, words, streams=recipe.evaluation_batch, steps=recipe.truncation)
        size = sum(parameter.numel() for parameter in member.parameters())
        return {"val_perplexity": perplexity(nats), "val_loss": nats, "params": float(size)}


def _handed_on(states: States | None, model: LanguageModel, streams: int) -> States:
    """The states that a member begins a chunk with: those of its names that are there, zeros for others."""
    fresh = model.zero_states(streams)
    if states is None:
        return fresh

    def held(before: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: before.get(name, zeros) for name, zeros in wanted.items()}

    return tuple(held(before, wanted) for before, wanted in zip(states, fresh, strict=True))
