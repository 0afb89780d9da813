"""The evaluator `shared_weights`: image classifiers trained in groups on one bank of weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch
from torch import nn

from nas_core.cost import cost
from nas_core.errors import InvalidOption, TrialFailed
from nas_core.evaluator import Evaluation
from nas_core.optimizer import State
from nas_core.random import derived_seed, rng
from nas_core.space import Space, require
from nas_core.trial import Failure, Measurement
from nas_train.augment import draw_epoch
from nas_train.batch_size import rate_at
from nas_train.build import BuiltNetwork, initialise
from nas_train.data import ImageSet, open_data
from nas_train.defaults import default_recipes, default_threads
from nas_train.devices import cpu_threads, find_device
from nas_train.evaluator import REQUIRES, network_for, score_metrics
from nas_train.failures import named_failures
from nas_train.modules import set_drop_path, set_noise
from nas_train.pixels import layout_of
from nas_train.recipe import Recipe
from nas_train.scoring import evaluate
from nas_train.shared_weights.bank import Bank, recompute_statistics
from nas_train.shared_weights.group import evaluate_alone, run_group
from nas_train.shared_weights.positions import check_sharing
from nas_train.step import EagerStep
from nas_train.streamed_pixels import pixels_of
from nas_train.weight_optimizer import WeightOptimizer, weight_optimizer

_SMALLEST_BATCH = 2
"""One image has no variance to normalise by."""


@final
class SharedWeightsEvaluator:
    """Trains a group of image classifiers on one bank of weights, and measures each with it.

    Each step trains one member of the group, drawn uniformly. The recipe's schedule spans the recipe's epochs from the
    first group on; after them the learning rate stays what it was at their end. A trial without a group is a group of
    its own on a fresh bank. Before a member is measured its batch statistics are recomputed from `calibration` batches
    of training images, in their fixed order and without augmentation.

    Metrics: val_accuracy (per cent), val_loss, train_loss (nats, of the whole group), train_seconds (its share of the
    group's), and those of `Cost.metrics`.

    Args:
        data: a named set, an `.npz` file or a folder of images (`nas_train.data.open_data`).
        recipe: a name, or fields (`Recipe.from_config`); None for the one that fits the data (`nas_train.defaults`).
        epochs: that each group trains the bank for.
        network: options of `space.network`; None for those of `nas_train.defaults`.
        calibration: batches for the batch statistics.
        validation: how many validation images are used; None for as many as the recipe uses.
        device: "cpu", "cuda", "cuda:1", or "auto".
        threads: CPU threads; None for those of `nas_train.defaults`.
        fresh: whether every group begins on a fresh bank, and the schedule with it.

    Raises:
        InvalidOption: an option that is out of range, or a recipe that averages weights or trains in float16.
    """

    requires = REQUIRES

    def __init__(
        self,
        data: str = "digits",
        recipe: str | Mapping[str, Any] | None = None,
        epochs: int = 1,
        network: Mapping[str, Any] | None = None,
        calibration: int = 4,
        validation: int | None = None,
        device: str = "cpu",
        threads: int | None = None,
        fresh: bool = False,
    ) -> None:
        whole = (("epochs", epochs), ("calibration", calibration), ("validation", validation), ("threads", threads))
        for name, value in whole:
            optional = name in ("validation", "threads") and value is None
            if not optional and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise InvalidOption(f"{name} cannot be set", value=value, expected="a whole number of at least 1")
        if network is not None and not isinstance(network, Mapping):
            raise InvalidOption("network cannot be set", value=network, expected="options by name")
        if not isinstance(fresh, bool):
            raise InvalidOption("fresh cannot be set", value=fresh, expected="true or false")
        self.data = str(data)
        self.recipe = Recipe.from_config(default_recipes(self.data).search if recipe is None else recipe)
        if self.recipe.ema or self.recipe.dtype == "float16":
            raise InvalidOption(
                "shared weights are neither averaged nor trained in float16",
                value=self.recipe.name,
                expected="a recipe with ema = 0 and dtype float32 or bfloat16",
            )
        self.epochs, self.calibration, self.validation = epochs, calibration, validation
        self.network = None if network is None else dict(network)
        self.device = device
        self.fresh = fresh
        self.threads = default_threads(self.recipe.name) if threads is None else threads
        self._images: ImageSet | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what it measures."""
        training = ("val_accuracy", "val_loss", "train_loss", "train_seconds")
        return (*training, "params", "multiply_adds", "activation_bytes", "depth")

    def prepare(self, space: Space) -> None:
        """Find the device, load the images, and describe a few networks for them.

        Raises:
            NasError: the device, the data, or an option of the network is wrong, the images do not fit the space, or
                its members cannot share weights.
        """
        require(space, self.requires, "training")
        find_device(self.device)
        images = self._data()
        check_sharing(space, lambda a: [network_for(space, a, images, self.network, self.recipe)])

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
            kind = _Images(self._data(), self.recipe, self.network, device, self.calibration, self.validation)
            return run_group(kind, evaluations, None if self.fresh else state, Bank(device), self.epochs)

    def to_config(self) -> dict[str, Any]:
        """The options it runs with."""
        return {
            "name": "shared_weights",
            "data": self.data,
            "recipe": self.recipe.to_config(),
            "epochs": self.epochs,
            "network": self.network,
            "calibration": self.calibration,
            "validation": self.validation,
            "device": self.device,
            "threads": self.threads,
            "fresh": self.fresh,
        }

    def _data(self) -> ImageSet:
        if self._images is None:
            self._images = open_data(self.data)
        return self._images


@final
class _Images:
    """One-shot training of image classifiers; see `nas_train.shared_weights.group.OneShot`."""

    def __init__(
        self,
        data: ImageSet,
        recipe: Recipe,
        network: Mapping[str, Any] | None,
        device: torch.device,
        calibration: int,
        validation: int | None,
    ) -> None:
        self.data, self.recipe, self.network, self.device = data, recipe, network, device
        self.layout = layout_of(device, recipe.dtype)
        self.pixels = pixels_of(data, data.train.first(recipe.images), recipe.padding, device, self.layout)
        self.plain = pixels_of(data, data.train.first(calibration * recipe.batch), 0, device, self.layout)
        self.validation = recipe.images if validation is None else validation

    def member(self, evaluation: Evaluation, bank: Bank, seed: int) -> nn.Module:
        """The network on the bank, in the device's layout."""
        space, text = evaluation.space, evaluation.space.text(evaluation.architecture)
        draw = derived_seed(evaluation.seed, "draw", text, evaluation.draw)
        network = network_for(space, evaluation.architecture, self.data, self.network, self.recipe, draw)
        module = BuiltNetwork(network)
        bank.adopt(module, lambda: initialise(module, seed))
        return module.to(memory_format=self.layout)

    def weights(self, bank: Bank) -> WeightOptimizer:
        """The recipe's."""
        return weight_optimizer(bank, self.recipe)

    def train(
        self, members: Sequence[BuiltNetwork], weights: WeightOptimizer, seed: int, done: int, epochs: int
    ) -> float:
        """Some epochs more."""
        loss = math.nan
        steps = [EagerStep(member.train(), weights, self.recipe, self.device, None) for member in members]
        for number in range(done + 1, done + epochs + 1):
            noise = self._generator(seed, "noise", number)
            for member in members:
                set_drop_path(member, self.recipe.drop_path * min(1.0, number / self.recipe.epochs))
                set_noise(member, noise)
            loss = self._epoch(steps, seed, number)
        for member in members:
            set_noise(member, None)
        return loss

    def _epoch(self, steps: Sequence[EagerStep], seed: int, number: int) -> float:
        recipe, n = self.recipe, len(self.pixels)
        size = self.data.input_shape[1:] if recipe.cutout else None
        draws = draw_epoch(n, recipe.padding, recipe.flip, self._generator(seed, "images", number), size=size)
        batches = [index for index in draws.order.split(recipe.batch) if len(index) >= _SMALLEST_BATCH]
        turns = rng(seed, "members", number).integers(len(steps), size=len(batches))
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        steps_in_all, first = recipe.epochs * len(batches), (number - 1) * len(batches)
        for i, (images, labels) in enumerate(self.pixels.batches(draws, batches, recipe.cutout)):
            rate = rate_at(recipe, recipe.batch, min(first + i, steps_in_all - 1), steps_in_all)
            total += steps[turns[i]](images, labels, rate) * len(labels)
        loss = total.item() / sum(map(len, batches))
        if not math.isfinite(loss):
            raise TrialFailed("diverged", f"the loss on the shared weights is not finite in epoch {number}", value=loss)
        return loss

    def _generator(self, seed: int, purpose: str, number: int) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(derived_seed(seed, purpose, number))

    def measure(self, member: BuiltNetwork) -> dict[str, float]:
        """Accuracy and loss on the validation images, and the network's cost."""
        recompute_statistics(
            member, (images for images, labels in self.plain.plain(self.recipe.batch) if len(labels) > 1)
        )
        score = evaluate(member, self.data, "validation", images=self.validation, dtype=self.recipe.dtype)
        if not math.isfinite(score.loss):
            raise TrialFailed("diverged", "the validation loss is not finite", value=score.loss)
        metrics = score_metrics("val", score)
        return {name: metrics[name] for name in ("val_accuracy", "val_loss")} | cost(member.network).metrics()
