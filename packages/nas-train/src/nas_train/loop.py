"""The only training loop.

A split lies on the device whole, as bytes; batches are cropped, mirrored and normalised there. Everything random about
epoch e comes from generators seeded by (seed, e) alone, so a training that goes on after epoch e needs no generator's
state, and repeats bit for bit on a CPU with the same number of threads. The loop waits for the device once an epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas_core.errors import InvalidNetwork, StoreError, TrialFailed
from nas_core.random import derived_seed
from nas_train import checkpoint as checkpoints
from nas_train.augment import batch_images, draw_epoch, windows
from nas_train.build import BuiltNetwork
from nas_train.data.dataset import LEVELS, ImageSet, Split
from nas_train.devices import cpu_threads
from nas_train.modules import set_drop_path, set_noise
from nas_train.recipe import Recipe
from nas_train.schedule import learning_rate
from nas_train.weight_optimizer import MomentumSGD

EVALUATION_BATCH = 500
_MOMENTUM = "momentum."


class Score(NamedTuple):
    """How well a network does on a split: mean cross-entropy in nats, and top-1 accuracy in per cent."""

    loss: float
    accuracy: float


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
    """

    epochs: tuple[Epoch, ...]
    seconds: float

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
    with_validation: bool = False,
    validate_every: int | None = None,
    checkpoint: Path | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> FitResult:
    """Train a module, in place.

    Args:
        module: gives logits, b x k, or a mapping with "logits" and perhaps "auxiliary"; it ends on the device, in
            evaluation mode.
        data: what to train on.
        recipe: how.
        seed: of the order of images, their augmentation and dropout; not of the initial weights.
        device: where.
        threads: CPU threads; None leaves torch's choice.
        epochs: instead of the recipe's; the schedule, warm-up included, is stretched to them.
        with_validation: train on the validation images too; then nothing is validated.
        validate_every: epochs between validations; None for one after the last epoch.
        checkpoint: a file that is written after each epoch, and gone on from where it is there.
        on_epoch: called after each epoch.

    Raises:
        TrialFailed: "diverged" where the loss is no longer finite; "out_of_memory".
        StoreError: the checkpoint cannot be read or written, or is of another training.
        InvalidNetwork: the checkpoint is of another network.
    """
    start = time.perf_counter()
    with cpu_threads(threads), _memory_errors():
        where = torch.device(device)
        training = _Training(module, data, recipe, seed, where, epochs or recipe.epochs, with_validation)
        if checkpoint is not None and checkpoint.exists():
            training.resume(checkpoint)
        while len(training.done) < training.epochs:
            last = len(training.done) + 1 == training.epochs
            due = validate_every is not None and (len(training.done) + 1) % validate_every == 0
            training.epoch(validate=(last or due) and not with_validation)
            if checkpoint is not None:
                training.save(checkpoint)
            if on_epoch is not None:
                on_epoch(training.done[-1])
    set_noise(module.eval(), None)
    return FitResult(tuple(training.done), time.perf_counter() - start)


def evaluate(
    module: nn.Module, data: ImageSet, split: str | Split, *, images: int | None = None, dtype: str = "float32"
) -> Score:
    """Loss and accuracy on a split, with running statistics; on the module's device, in its mode as before afterwards.

    Args:
        module: gives logits, b x k.
        data: the set.
        split: "train", "validation" or "test"; or images of the same kind.
        images: use the first so many of the split only.
        dtype: "float32" or "bfloat16".

    Raises:
        InvalidOption: no such split.
    """
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    part = (data.split(split) if isinstance(split, str) else split).first(images)
    mode = module.training
    module.eval()
    try:
        with torch.inference_mode():
            return _score(module, _Pixels(data, part, 0, device), _autocast(device, dtype))
    finally:
        module.train(mode)


class _Pixels:
    """A split on a device, as normalised batches."""

    def __init__(self, data: ImageSet, split: Split, padding: int, device: torch.device) -> None:
        means, deviations = data.statistics
        self.layout = _layout(device)
        self.crops = windows(torch.tensor(split.images, device=device), padding)
        self.labels = torch.tensor(split.labels, device=device)
        scales = [1.0 / (LEVELS * deviation) for deviation in deviations]
        shifts = [-m / deviation for m, deviation in zip(means, deviations, strict=True)]
        self.scale, self.shift = (torch.tensor(x, device=device)[:, None, None] for x in (scales, shifts))

    def normalised(self, images: Tensor) -> Tensor:
        """Bytes to floats with mean 0 and deviation 1 a channel over the training split."""
        return images.to(torch.float32, memory_format=self.layout).mul_(self.scale).add_(self.shift)

    def plain(self, start: int) -> Tensor:
        """The batch that begins at an image, as it is."""
        return self.normalised(self.crops[start : start + EVALUATION_BATCH, :, 0, 0])


def _layout(device: torch.device) -> torch.memory_format:
    """How images and kernels lie in memory: channels last on a CPU, where narrow networks then train faster."""
    return torch.channels_last if device.type == "cpu" else torch.contiguous_format


def _autocast(device: torch.device, dtype: str) -> Any:
    return torch.autocast(device.type, torch.bfloat16) if dtype == "bfloat16" else nullcontext()


def _logits(output: Any) -> Tensor:
    result: Tensor = output["logits"] if isinstance(output, Mapping) else output
    return result


def _score(module: nn.Module, pixels: _Pixels, autocast: Any) -> Score:
    n = len(pixels.labels)
    sums = torch.zeros(2, dtype=torch.float64, device=pixels.labels.device)
    for start in range(0, n, EVALUATION_BATCH):
        labels = pixels.labels[start : start + EVALUATION_BATCH]
        with autocast:
            logits = _logits(module(pixels.plain(start))).float()
        sums[0] += F.cross_entropy(logits, labels, reduction="sum")
        sums[1] += (logits.argmax(1) == labels).sum()
    loss, right = sums.tolist()
    return Score(loss / n, 100.0 * right / n)


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Name it when memory runs out; on the CPU torch says so in words only."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        named = isinstance(error, MemoryError | torch.OutOfMemoryError)
        if not named and "can't allocate memory" not in str(error) and "not enough memory" not in str(error):
            raise
        raise TrialFailed("out_of_memory", "the training does not fit into memory", value=str(error)[:200]) from None


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
    ) -> None:
        self.module: nn.Module = module.to(device).to(memory_format=_layout(device))
        self.data, self.recipe, self.seed, self.device = data, recipe, seed, device
        self.epochs, self.with_validation = epochs, with_validation
        split = data.train_and_validation() if with_validation else data.train
        self.pixels = _Pixels(data, split.first(recipe.images), recipe.padding, device)
        self.weights = MomentumSGD(
            module, momentum=recipe.momentum, nesterov=recipe.nesterov, weight_decay=recipe.weight_decay
        )
        self.done: list[Epoch] = []

    def epoch(self, validate: bool) -> None:
        """Train for one epoch more.

        Raises:
            TrialFailed: the loss is no longer finite.
        """
        number = len(self.done) + 1
        loss = self._train(number)
        validation = None
        if validate:
            validation = evaluate(
                self.module, self.data, "validation", images=self.recipe.images, dtype=self.recipe.dtype
            )
        if not math.isfinite(loss) or (validation and not math.isfinite(validation.loss)):
            raise TrialFailed("diverged", f"the loss is not finite in epoch {number} of {self.epochs}", value=loss)
        self.done.append(Epoch(number, loss, validation))

    def _train(self, number: int) -> float:
        """One pass over the images; the mean loss."""
        recipe, n = self.recipe, len(self.pixels.labels)
        self.module.train()
        set_drop_path(self.module, recipe.drop_path * number / self.epochs)
        set_noise(self.module, self._generator("noise", number))
        draws = draw_epoch(n, recipe.padding, recipe.flip, self._generator("images", number))
        # an image that is left over alone waits for the next epoch: one image has no variance to normalise by
        batches = [index for index in draws.order.split(recipe.batch) if len(index) > 1]
        steps = self.epochs * len(batches)
        warmup = round(recipe.warmup / recipe.epochs * steps)
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        for i, index in enumerate(batches, start=(number - 1) * len(batches)):
            rate = learning_rate(recipe.learning_rate, recipe.schedule, i, steps, warmup)
            images = self.pixels.normalised(batch_images(self.pixels.crops, draws, index))
            total += self._step(images, self.pixels.labels[index], rate) * len(index)
        return total.item() / sum(map(len, batches))

    def _step(self, images: Tensor, labels: Tensor, rate: float) -> Tensor:
        """One update of the weights; the loss before it, without waiting for it."""
        self.weights.zero_grad()
        with _autocast(self.device, self.recipe.dtype):
            output = self.module(images)
            loss = self._loss(_logits(output), labels)
            if isinstance(output, Mapping) and "auxiliary" in output:
                loss = loss + self.recipe.auxiliary_weight * self._loss(output["auxiliary"], labels)
        loss.backward()
        if self.recipe.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.module.parameters(), self.recipe.gradient_clip)
        self.weights.step(rate)
        return loss.detach()

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits.float(), labels, label_smoothing=self.recipe.label_smoothing)

    def _generator(self, purpose: str, number: int) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(derived_seed(self.seed, purpose, number))

    def _identity(self) -> dict[str, Any]:
        """What must be the same for a training to go on from a checkpoint."""
        return {
            "network": self.module.network.to_config() if isinstance(self.module, BuiltNetwork) else None,
            "recipe": self.recipe.to_config(),
            "epochs": self.epochs,
            "data": {"name": self.data.name, "checksum": self.data.checksum, "with_validation": self.with_validation},
            "seed": self.seed,
        }

    def save(self, path: Path) -> None:
        """Write a checkpoint from which `resume` goes on exactly."""
        momentum = {_MOMENTUM + name: tensor for name, tensor in self.weights.state().items()}
        tensors = {**checkpoints.module_tensors(self.module), **momentum}
        checkpoints.save(path, tensors, {**self._identity(), "done": self.done})

    def resume(self, path: Path) -> None:
        """Take up a training where a checkpoint left it."""
        found = checkpoints.load(path)
        for key, value in self._identity().items():
            if found.metadata.get(key) == value:
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
        checkpoints.restore(self.module, found)
        prefix = len(_MOMENTUM)
        self.weights.restore({name[prefix:]: t for name, t in found.tensors.items() if name.startswith(_MOMENTUM)})
        self.done = [Epoch(n, loss, score and Score(*score)) for n, loss, score in found.metadata["done"]]
