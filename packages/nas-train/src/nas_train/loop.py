"""The only training loop.

A split lies on the device whole, as bytes; batches are cropped, mirrored and normalised there. Everything random about
epoch e comes from generators seeded by (seed, e) alone, so a training that goes on after epoch e needs no generator's
state, and repeats bit for bit on a CPU with the same number of threads. The loop waits for the device once an epoch.

Where memory runs out before the first epoch is done, the training begins anew with half the batch and the learning rate
that belongs to it, exactly as one that was asked for that batch; later it fails, since no training would give the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn

from nas_core.errors import InvalidNetwork, InvalidOption, StoreError, TrialFailed
from nas_core.random import derived_seed
from nas_train import checkpoint as checkpoints
from nas_train.augment import draw_epoch
from nas_train.averaging import WeightAverage
from nas_train.batch_size import first_batch, rate_at
from nas_train.build import BuiltNetwork
from nas_train.data.dataset import ImageSet
from nas_train.devices import cpu_threads, fastest_kernels
from nas_train.failures import named_failures
from nas_train.loss_scale import LossScale
from nas_train.modules import set_drop_path, set_noise
from nas_train.pixels import layout_of
from nas_train.ranks import Ranks
from nas_train.recipe import Recipe
from nas_train.scoring import Score as Score
from nas_train.scoring import evaluate as evaluate
from nas_train.step import STEPS, EagerStep, make_step
from nas_train.streamed_pixels import pixels_of
from nas_train.weight_optimizer import weight_optimizer

ALONE = Ranks()
SMALLEST_BATCH = 2
"""One image has no variance to normalise by."""
_MOMENTUM, _TRAINED, _SCALE = "momentum.", "trained.", "scale."


class Epoch(NamedTuple):
    """What one epoch gave.

    Args:
        number: from 1.
        train_loss: mean of the loss that was minimised, over the epoch's images as they were shown.
        validation: None where it was not measured.
    """

    number: int
    train_loss: float
    validation: Score | None


@dataclass(frozen=True)
class FitResult:
    """What a training gave.

    Args:
        epochs: one entry an epoch, those before a resumption included.
        seconds: spent in this call.
        batch: images in a step, of all processes together.
        step: how steps were launched, "eager" or "graph".
        kept: the file in which the state of the training was left, where that was asked for.
    """

    epochs: tuple[Epoch, ...]
    seconds: float
    batch: int = 0
    step: str = "eager"
    kept: Path | None = None

    @property
    def train_loss(self) -> float:
        """That of the last epoch."""
        return self.epochs[-1].train_loss

    @property
    def validation(self) -> Score | None:
        """That of the last epoch; None where validation images were trained on."""
        return self.epochs[-1].validation


def fit(
    module: nn.Module,
    data: ImageSet,
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    threads: int | None = None,
    epochs: int | None = None,
    stop: int | None = None,
    with_validation: bool = False,
    validate_every: int | None = None,
    checkpoint: Path | None = None,
    resume_from: Path | None = None,
    keep: Path | None = None,
    about: Mapping[str, Any] | None = None,
    time_limit: float | None = None,
    step_limit: int | None = None,
    memory: int | None = None,
    step: str = "auto",
    ranks: Ranks = ALONE,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> FitResult:
    """Train a module, in place.

    Args:
        module: gives logits, b x k, or a mapping with "logits" and perhaps "auxiliary"; it ends on the device, in
            evaluation mode, with the averaged weights where the recipe averages them.
        data: what to train on.
        recipe: how.
        seed: of the order of images, their augmentation and dropout; not of the initial weights.
        device: where.
        threads: CPU threads; None leaves torch's choice.
        epochs: instead of the recipe's; the schedule, warm-up included, is stretched to them.
        stop: the epoch to stop after, while the schedule spans `epochs`; None for all of them.
        with_validation: train on the validation images too; then nothing is validated.
        validate_every: epochs between validations; None for one after the last epoch.
        checkpoint: a file that is written after each epoch, and gone on from where it is there.
        resume_from: a file to go on from, which is left as it is; `checkpoint` comes first where it is there.
        keep: a directory in which the state of the training is left at the end, in a file named by its content.
        about: what else to say in that file: JSON.
        time_limit: seconds that this call may take.
        step_limit: steps that the training may have from its beginning to `stop`.
        memory: bytes to choose the batch by, where the recipe leaves it open; None for all of the device's.
        step: "graph" or "auto" to capture steps on a GPU where that is possible, "eager" never to.
        ranks: which of several processes this is; each takes its share of every batch, and that of rank 0 writes.
        on_epoch: called after each epoch.

    Raises:
        TrialFailed: "diverged" where the loss is no longer finite; "out_of_memory"; "device_lost"; "time_limit" and
            "step_limit".
        StoreError: the checkpoint cannot be read or written, or is of another training.
        InvalidNetwork: the checkpoint is of another network.
        InvalidOption: a step of no such kind, or fewer images in a batch than the processes need.
    """
    start = time.perf_counter()
    if step not in STEPS:
        raise InvalidOption("no such step", value=step, expected="one of " + ", ".join(STEPS))
    where, total = torch.device(device), epochs or recipe.epochs
    source = checkpoint if checkpoint is not None and checkpoint.exists() else resume_from
    found = None if source is None else checkpoints.load(source)
    limits = _Limits(None if time_limit is None else start + time_limit, step_limit)
    batch = first_batch(recipe, module, where, memory) if found is None else _batch_of(found, recipe)
    initial = {name: t.detach().cpu().clone() for name, t in module.state_dict().items()}
    with cpu_threads(threads), fastest_kernels(where):
        while True:
            training: _Training | None = None  # lets go of what has filled the memory
            module.load_state_dict(initial)
            try:
                with named_failures():
                    training = _Training(module, data, recipe, seed, where, total, with_validation, batch, step, ranks)
                    if source is not None and found is not None:
                        training.resume(source, found)
                    kept = training.run(stop or total, limits, validate_every, checkpoint, keep, about, on_epoch)
                break
            except TrialFailed as failure:
                begun, halved = found is not None or bool(training and training.done), batch // 2
                if failure.reason != "out_of_memory" or begun or halved < SMALLEST_BATCH or ranks.size > 1:
                    raise
            batch = halved
    return FitResult(tuple(training.done), time.perf_counter() - start, batch, training.kind, kept)


def _batch_of(checkpoint: checkpoints.Checkpoint, recipe: Recipe) -> int:
    batch = checkpoint.metadata.get("batch", recipe.batch)
    return batch if isinstance(batch, int) else recipe.batch


class _Limits(NamedTuple):
    """When a training has to end: at a reading of the clock, and after so many steps."""

    clock: float | None
    steps: int | None

    def check_clock(self) -> None:
        if self.clock is not None and time.perf_counter() > self.clock:
            raise TrialFailed("time_limit", "the training takes longer than it may")

    def check_steps(self, steps: int) -> None:
        if self.steps is not None and steps > self.steps:
            raise TrialFailed("step_limit", "the training has more steps than it may", value=steps, expected=self.steps)


@final
class _Training:
    """One training between epochs."""

    def __init__(
        self,
        module: nn.Module,
        data: ImageSet,
        recipe: Recipe,
        seed: int,
        device: torch.device,
        epochs: int,
        with_validation: bool,
        batch: int,
        step: str,
        ranks: Ranks,
    ) -> None:
        if batch < SMALLEST_BATCH * ranks.size:
            raise InvalidOption(
                "too few images in a batch for the processes",
                value=batch,
                expected=f"at least {SMALLEST_BATCH * ranks.size}",
            )
        layout = layout_of(device, recipe.dtype)
        self.module: nn.Module = module.to(device).to(memory_format=layout)
        self.data, self.recipe, self.seed, self.device = data, recipe, seed, device
        self.epochs, self.with_validation, self.batch, self.ranks = epochs, with_validation, batch, ranks
        split = data.train_and_validation() if with_validation else data.train
        self.pixels = pixels_of(data, split.first(recipe.images), recipe.padding, device, layout)
        self.weights = weight_optimizer(module, recipe)
        self.average = WeightAverage(module, recipe.ema) if recipe.ema else None
        self.scale = LossScale(device) if recipe.dtype == "float16" else None
        eager = EagerStep(ranks.parallel(module), self.weights, recipe, device, self.scale)
        self.step = make_step(step, eager, module, recipe, device, ranks.size)
        self.done: list[Epoch] = []

    @property
    def kind(self) -> str:
        """How steps are launched."""
        return self.step.kind

    def run(
        self,
        stop: int,
        limits: _Limits,
        validate_every: int | None,
        checkpoint: Path | None,
        keep: Path | None,
        about: Mapping[str, Any] | None,
        on_epoch: Callable[[Epoch], None] | None,
    ) -> Path | None:
        """Train to an epoch; the file that was kept."""
        if len(self.done) > stop:
            raise InvalidOption("the checkpoint is further already", value=len(self.done), expected=f"at most {stop}")
        limits.check_steps(stop * len(self._batches(torch.arange(len(self.pixels)))))
        while len(self.done) < stop:
            number = len(self.done) + 1
            due = validate_every is not None and number % validate_every == 0
            self.epoch((number == stop or due) and not self.with_validation, limits)
            if checkpoint is not None and self.ranks.writes:
                self.save(checkpoint)
            self.ranks.wait()
            if on_epoch is not None:
                on_epoch(self.done[-1])
        if self.done[-1].validation is None and not self.with_validation:  # stopped where it once went through
            self.done[-1] = self.done[-1]._replace(validation=self._validated())
        kept = self.save(keep, about) if keep is not None and self.ranks.writes else None
        if self.average is not None:
            self.average.swap()
        set_noise(self.module.eval(), None)
        return kept

    def epoch(self, validate: bool, limits: _Limits) -> None:
        """Train for one epoch more.

        Raises:
            TrialFailed: the loss is no longer finite, or time is up.
        """
        number = len(self.done) + 1
        loss = self._train(number, limits)
        validation = self._validated() if validate else None
        if not math.isfinite(loss) or (validation and not math.isfinite(validation.loss)):
            raise TrialFailed("diverged", f"the loss is not finite in epoch {number} of {self.epochs}", value=loss)
        self.done.append(Epoch(number, loss, validation))

    def _validated(self) -> Score:
        if self.average is not None:
            self.average.swap()
        try:
            return evaluate(self.module, self.data, "validation", images=self.recipe.images, dtype=self.recipe.dtype)
        finally:
            if self.average is not None:
                self.average.swap()

    def _train(self, number: int, limits: _Limits) -> float:
        """One pass over the images; the mean loss."""
        recipe = self.recipe
        self.module.train()
        set_drop_path(self.module, recipe.drop_path * number / self.epochs)
        set_noise(self.module, self._generator("noise", number, self.ranks.rank))
        size = self.data.input_shape[1:] if recipe.cutout else None
        draws = draw_epoch(len(self.pixels), recipe.padding, recipe.flip, self._generator("images", number), size=size)
        draws = draws._replace(resized_crop=recipe.resized_crop, colour=recipe.colour)
        batches = self._batches(draws.order)
        shares = [self.ranks.share(index) for index in batches]
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        first = (number - 1) * len(batches)
        for i, (images, labels) in enumerate(self.pixels.batches(draws, shares, recipe.cutout)):
            limits.check_clock()
            share = len(labels) * self.ranks.size / len(batches[i])
            rate = rate_at(recipe, self.batch, first + i, self.epochs * len(batches))
            total += self.step(images, labels, rate, share) * len(labels)
            if self.average is not None:
                self.average.update(first + i + 1)
        if self.average is not None:
            self.ranks.average(list(self.average.state().values()))
        self.ranks.average([t for t in self.module.buffers() if t.is_floating_point()])
        return self.ranks.total(total).item() / sum(map(len, batches))

    def _batches(self, order: Tensor) -> Sequence[Tensor]:
        """The images of each step; too few that are left over wait for the next epoch, as batch statistics need two."""
        return [index for index in order.split(self.batch) if len(index) >= SMALLEST_BATCH * self.ranks.size]

    def _generator(self, purpose: str, number: int, rank: int = 0) -> torch.Generator:
        path = (purpose, number) if rank == 0 else (purpose, number, rank)
        return torch.Generator(self.device).manual_seed(derived_seed(self.seed, *path))

    def _identity(self) -> dict[str, Any]:
        """What must be the same for a training to go on from a checkpoint."""
        return {
            "network": self.module.network.to_config() if isinstance(self.module, BuiltNetwork) else None,
            "recipe": self.recipe.to_config(),
            "epochs": self.epochs,
            "data": {"name": self.data.name, "checksum": self.data.checksum, "with_validation": self.with_validation},
            "seed": self.seed,
            "ranks": self.ranks.size,
        }

    def save(self, place: Path, about: Mapping[str, Any] | None = None) -> Path:
        """Write a checkpoint from which `resume` goes on exactly; the module in it is the one that is measured."""
        tensors = {_MOMENTUM + name: tensor for name, tensor in self.weights.state().items()}
        if self.scale is not None:
            tensors |= {_SCALE + name: tensor for name, tensor in self.scale.state().items()}
        if self.average is None:
            tensors |= checkpoints.module_tensors(self.module)
        else:
            tensors |= checkpoints.module_tensors(self.module, _TRAINED)
            self.average.swap()
            tensors |= checkpoints.module_tensors(self.module)
            self.average.swap()
        metadata = {**(about or {}), **self._identity(), "batch": self.batch, "done": self.done}
        return checkpoints.save(place, tensors, metadata)

    def resume(self, path: Path, found: checkpoints.Checkpoint) -> None:
        """Take up a training where a checkpoint left it."""
        if "done" not in found.metadata:
            raise StoreError(
                "the checkpoint holds a network and no training to go on from",
                place=str(path),
                remedy="Keep the training of the lower fidelity",
            )
        for key, value in self._identity().items():
            if found.metadata.get(key, 1 if key == "ranks" else None) == value:
                continue
            if key == "network":
                raise InvalidNetwork("the checkpoint of another network", place=str(path))
            raise StoreError(
                f"the checkpoint of another training: {key} differs",
                value=found.metadata.get(key),
                place=str(path),
                expected=str(value),
                remedy="Delete it, or train with the options it was made with",
            )
        if self.average is None:
            checkpoints.restore(self.module, found)
        else:
            self.average.swap()
            checkpoints.restore(self.module, found)
            self.average.swap()
            checkpoints.restore(self.module, found, _TRAINED)
        self.weights.restore(checkpoints.tensors_of(found, _MOMENTUM))
        if self.scale is not None:
            self.scale.restore(checkpoints.tensors_of(found, _SCALE))
        self.done = [Epoch(n, loss, score and Score(*score)) for n, loss, score in found.metadata["done"]]
