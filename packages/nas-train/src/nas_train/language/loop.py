"""The training loop of language models: truncated backpropagation along streams of text, perplexity, exact resumption.

The text is cut into b streams that are read side by side, a chunk of t steps at a time; states are carried on from
chunk to chunk, gradients are not. Everything random about chunk i of epoch e comes from generators seeded by (seed, e,
i), so that a training which goes on after an epoch repeats bit for bit on a CPU with the same number of threads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn

from nas_core.errors import InvalidData, InvalidNetwork, StoreError, TrialFailed
from nas_core.random import derived_seed, rng
from nas_train import checkpoint as checkpoints
from nas_train.devices import cpu_threads
from nas_train.failures import named_failures
from nas_train.language.model import LanguageModel
from nas_train.language.recipe import LanguageRecipe
from nas_train.language.text import TextSet, Tokens
from nas_train.language.word_loss import word_loss
from nas_train.weight_optimizer import Adam, MomentumSGD, WeightOptimizer

MOST_NATS = 700.0
"""A loss from here on has no perplexity that a float can hold."""

_WEIGHTS, _AVERAGE = "weights.", "average."
_SHORTEST, _SPREAD, _LONGER, _HALVED = 5, 5.0, 20, 0.05  # of chunks of random length (Merity et al. 2018, section 4.1)


class LanguageEpoch(NamedTuple):
    """What one epoch gave.

    Args:
        number: from 1.
        train_loss: mean -log p of the training text's words in nats, with dropout, without penalties.
        validation: that of the validation text without dropout; None where it was not measured.
        averaging: whether weights were averaged in it.
    """

    number: int
    train_loss: float
    validation: float | None
    averaging: bool = False


@dataclass(frozen=True)
class LanguageResult:
    """What a training gave.

    Args:
        epochs: one entry an epoch, those before a resumption included.
        seconds: spent in this call.
    """

    epochs: tuple[LanguageEpoch, ...]
    seconds: float

    @property
    def train_loss(self) -> float:
        """That of the last epoch, in nats."""
        return self.epochs[-1].train_loss

    @property
    def validation(self) -> float:
        """That of the last epoch, in nats."""
        last = self.epochs[-1].validation
        return math.nan if last is None else last


def perplexity(nats: float) -> float:
    """exp(nats).

    Raises:
        TrialFailed: "diverged" where that is no finite number.
    """
    if not nats < MOST_NATS:  # not-a-number too
        raise TrialFailed("diverged", "the perplexity is not finite", value=nats)
    return math.exp(nats)


def fit_language(
    model: LanguageModel,
    text: TextSet,
    recipe: LanguageRecipe,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    threads: int | None = None,
    epochs: int | None = None,
    validate_every: int | None = None,
    checkpoint: Path | None = None,
    on_epoch: Callable[[LanguageEpoch], None] | None = None,
) -> LanguageResult:
    """Train a model, in place.

    Args:
        model: what to train; it ends on the device, in evaluation mode, with averaged weights where they are averaged.
        text: what to train on.
        recipe: how.
        seed: of dropout and of the chunks' lengths; not of the initial weights.
        device: where.
        threads: CPU threads; None leaves torch's choice.
        epochs: instead of the recipe's; a cosine is stretched to them.
        validate_every: epochs between validations; None for one after the last epoch. Averaging validates each.
        checkpoint: a file that is written after each epoch, and gone on from where it is there.
        on_epoch: called after each epoch.

    Raises:
        TrialFailed: "diverged" where the perplexity is no longer finite; "out_of_memory".
        InvalidData: the text is too short for the recipe.
        StoreError: the checkpoint cannot be read or written, or is of another training.
        InvalidNetwork: the checkpoint is of another model.
    """
    start = time.perf_counter()
    with cpu_threads(threads), named_failures():
        training = _Training(model, text, recipe, seed, torch.device(device), epochs or recipe.epochs)
        if checkpoint is not None and checkpoint.exists():
            training.resume(checkpoint)
        while len(training.done) < training.epochs:
            number = len(training.done) + 1
            due = validate_every is not None and number % validate_every == 0
            training.epoch(number, due or number == training.epochs or recipe.averaging is not None)
            if checkpoint is not None:
                training.save(checkpoint)
            if on_epoch is not None:
                on_epoch(training.done[-1])
        training.finish()
    return LanguageResult(tuple(training.done), time.perf_counter() - start)


def evaluate_language(model: LanguageModel, words: Tokens, *, streams: int = 10, steps: int = 35) -> float:
    """Mean -log p of the words of a text in nats, without dropout, in float32; on the model's device.

    Args:
        model: the model; its mode is as before afterwards.
        words: the text. What is left at its end when it is cut into streams does not count.
        streams: read side by side, each from a state of zeros on; fewer where the text is short.
        steps: time steps at once; it makes no difference.
    """
    data = streams_of(words, max(1, min(streams, len(words) // 2)), model.bias.device)
    mode = model.training
    model.eval()
    try:
        with torch.inference_mode():
            total = torch.zeros((), dtype=torch.float64, device=data.device)
            states = model.zero_states(data.shape[1])
            for start in range(0, len(data) - 1, steps):
                chunk = data[start : start + steps + 1]
                unrolled = model(chunk[:-1], states)
                states = unrolled.states
                total += words_lost(model, unrolled.outputs, chunk[1:], "float32") * chunk[1:].numel()
            return float(total) / data[1:].numel()
    finally:
        model.train(mode)


def streams_of(words: Tokens, streams: int, device: torch.device) -> Tensor:
    """A text as so many streams side by side (steps x streams, int64); what is left at the end is left out.

    Raises:
        InvalidData: the text is too short.
    """
    steps = len(words) // streams
    if steps < 2:
        raise InvalidData(
            "the text is too short for so many streams side by side", value=len(words), expected=f"{2 * streams} words"
        )
    cut = torch.from_numpy(words[: steps * streams].reshape(streams, steps).T.astype("int64"))
    return cut.contiguous().to(device)


def words_lost(model: LanguageModel, outputs: Tensor, targets: Tensor, dtype: str) -> Tensor:
    """Mean -log p of the targets (t x b) given the outputs (t x b x d)."""
    width = torch.bfloat16 if dtype == "bfloat16" else torch.float32
    return word_loss(outputs.flatten(0, 1), model.output_weight, model.bias, targets.flatten(), width)


def chunk_lengths(steps: int, recipe: LanguageRecipe, seed: int, epoch: int) -> Iterator[int]:
    """Lengths of an epoch's chunks, which add up to `steps`."""
    generator = rng(seed, "lengths", epoch)
    usual = recipe.truncation
    while steps > 0:
        length = usual
        if recipe.random_lengths:
            centre = usual if generator.random() >= _HALVED else usual / 2
            length = max(min(_SHORTEST, usual), min(int(generator.normal(centre, _SPREAD)), usual + _LONGER))
        yield min(length, steps)
        steps -= length


def chunk_loss(
    model: LanguageModel, chunk: Tensor, states: Any, recipe: LanguageRecipe, noise: torch.Generator
) -> tuple[Tensor, Tensor, Any]:
    """The loss of a chunk (t + 1 x b words) that is minimised, the part that is the words', and the states after it."""
    unrolled = model(chunk[:-1], states, recipe, noise)
    lost = words_lost(model, unrolled.dropped, chunk[1:], recipe.dtype)
    loss = lost
    if recipe.activation:
        loss = loss + recipe.activation * unrolled.dropped.square().mean()
    if recipe.slowness and len(chunk) > 2:
        loss = loss + recipe.slowness * unrolled.outputs.diff(dim=0).square().mean()
    return loss, lost.detach(), unrolled.states


def clip_and_step(
    parameters: list[nn.Parameter], weights: WeightOptimizer, recipe: LanguageRecipe, rate: float
) -> None:
    """Clip the gradient and move the weights."""
    if recipe.gradient_clip is not None:
        nn.utils.clip_grad_norm_(parameters, recipe.gradient_clip)
    weights.step(rate)


def weight_optimizer(model: nn.Module, recipe: LanguageRecipe) -> WeightOptimizer:
    """The recipe's weight optimizer."""
    if recipe.optimizer == "adam":
        return Adam(model, momentum=0.9, second_momentum=0.999, epsilon=1e-8, weight_decay=recipe.weight_decay)
    return MomentumSGD(model, momentum=0.0, nesterov=False, weight_decay=recipe.weight_decay)


def rate_at(recipe: LanguageRecipe, epoch: int, epochs: int, place: float) -> float:
    """The learning rate in an epoch, from 1, at a place of it from 0 to 1."""
    if recipe.schedule == "cosine":
        share = (epoch - 1 + place) / epochs
        return recipe.learning_rate * 0.5 * (1.0 + math.cos(math.pi * share))
    return recipe.learning_rate * recipe.decay ** max(0, epoch - recipe.decay_from)


@final
class _Training:
    """One training between epochs."""

    def __init__(
        self,
        model: LanguageModel,
        text: TextSet,
        recipe: LanguageRecipe,
        seed: int,
        device: torch.device,
        epochs: int,
    ) -> None:
        if model.words != text.words:
            raise InvalidNetwork("a model of another vocabulary", value=model.words, expected=f"{text.words} words")
        self.model = model.to(device)
        self.text, self.recipe, self.seed, self.epochs = text, recipe, seed, epochs
        self.data = streams_of(text.train[: recipe.tokens], recipe.batch, device)
        self.weights = weight_optimizer(model, recipe)
        self.parameters = list(model.parameters())
        self.average: dict[str, Tensor] = {}
        self.averaged = 0
        self.done: list[LanguageEpoch] = []

    def epoch(self, number: int, validate: bool) -> None:
        """Train for one epoch more.

        Raises:
            TrialFailed: the perplexity is no longer finite.
        """
        averaging = self._averaging()
        loss = self._train(number, averaging)
        nats = None
        if validate and loss < MOST_NATS:
            with self._averaged_weights():
                streams, steps = self.recipe.evaluation_batch, self.recipe.truncation
                nats = evaluate_language(self.model, self.text.validation, streams=streams, steps=steps)
        if not (loss < MOST_NATS and (nats is None or nats < MOST_NATS)):  # not-a-number fails here too
            raise TrialFailed(
                "diverged", f"the perplexity is not finite in epoch {number} of {self.epochs}", value=loss
            )
        self.done.append(LanguageEpoch(number, loss, nats, averaging))

    def _averaging(self) -> bool:
        """Whether weights are averaged from now on."""
        patience = self.recipe.averaging
        if patience is None or self.averaged:
            return patience is not None
        known = [epoch.validation for epoch in self.done if epoch.validation is not None]
        return len(known) > patience + 1 and known[-1] > min(known[: -patience - 1])

    def _train(self, number: int, averaging: bool) -> float:
        """One pass over the text; the mean loss of its words, not-a-number as soon as it is that."""
        self.model.train()
        steps, streams = len(self.data) - 1, self.data.shape[1]
        states: Any = self.model.zero_states(streams)
        total = torch.zeros((), dtype=torch.float64, device=self.data.device)
        start = 0
        for i, length in enumerate(chunk_lengths(steps, self.recipe, self.seed, number)):
            noise = torch.Generator(self.data.device).manual_seed(derived_seed(self.seed, "noise", number, i))
            self.weights.zero_grad()
            chunk = self.data[start : start + length + 1]
            loss, lost, states = chunk_loss(self.model, chunk, states, self.recipe, noise)
            loss.backward()
            rate = rate_at(self.recipe, number, self.epochs, start / steps)
            if self.recipe.random_lengths:
                rate *= length / self.recipe.truncation
            clip_and_step(self.parameters, self.weights, self.recipe, rate)
            if averaging:
                self._add_to_average()
            total += lost * length
            start += length
            if total.device.type == "cpu" and not math.isfinite(float(total)):
                return math.nan  # seen at once where looking costs nothing
        return float(total) / steps

    @torch.no_grad()
    def _add_to_average(self) -> None:
        self.averaged += 1
        for name, parameter in self.model.named_parameters():
            if name in self.average:
                self.average[name].lerp_(parameter, 1.0 / self.averaged)
            else:
                self.average[name] = parameter.detach().clone()

    @contextmanager
    def _averaged_weights(self) -> Iterator[None]:
        """Inside, the model has the averaged weights, where there are any."""
        own = {name: parameter.data for name, parameter in self.model.named_parameters()}
        self._take(self.average)
        try:
            yield
        finally:
            self._take(own)

    def _take(self, weights: Mapping[str, Tensor]) -> None:
        for name, parameter in self.model.named_parameters():
            parameter.data = weights.get(name, parameter.data)

    def finish(self) -> None:
        """Leave the averaged weights in the model, where there are any, and evaluation mode."""
        self._take(self.average)
        self.model.eval()

    def _identity(self) -> dict[str, Any]:
        """What must be the same for a training to go on from a checkpoint."""
        return {
            "networks": [network.to_config() for network in self.model.networks],
            "language": self.recipe.to_config(),
            "epochs": self.epochs,
            "data": {"name": self.text.name, "checksum": self.text.checksum},
            "seed": self.seed,
        }

    def save(self, path: Path) -> None:
        """Write a checkpoint from which `resume` goes on exactly."""
        tensors = {
            **checkpoints.module_tensors(self.model),
            **{_WEIGHTS + name: tensor for name, tensor in self.weights.state().items()},
            **{_AVERAGE + name: tensor for name, tensor in self.average.items()},
        }
        checkpoints.save(path, tensors, {**self._identity(), "done": self.done, "averaged": self.averaged})

    def resume(self, path: Path) -> None:
        """Take up a training where a checkpoint left it."""
        found = checkpoints.load(path)
        for key, value in self._identity().items():
            if found.metadata.get(key) == value:
                continue
            if key == "networks":
                raise InvalidNetwork("the checkpoint of another model", place=str(path))
            raise StoreError(
                f"the checkpoint of another training: {key} differs",
                value=found.metadata.get(key),
                place=str(path),
                expected=str(value),
                remedy="Delete it, or train with the options it was made with",
            )
        checkpoints.restore(self.model, found)
        self.weights.restore(_without(_WEIGHTS, found.tensors))
        device = self.data.device
        self.average = {name: tensor.to(device) for name, tensor in _without(_AVERAGE, found.tensors).items()}
        self.averaged = int(found.metadata["averaged"])
        self.done = [LanguageEpoch(*epoch) for epoch in found.metadata["done"]]


def _without(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
