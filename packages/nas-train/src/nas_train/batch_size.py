"""How many images a step takes, by the recipe and the device's memory, and the learning rate that goes with it."""

from __future__ import annotations

import os

import torch
from torch import nn

from nas_core.cost import cost
from nas_train.build import BuiltNetwork
from nas_train.recipe import Recipe
from nas_train.schedule import learning_rate

_SHARE = 0.8
"""Of the memory, for the training; the rest is for libraries and their working space."""
_COPIES = 5
"""Of each parameter: itself, its gradient, a momentum, an average and a spare."""
_FLOAT_BYTES = 4


def rate_of_batch(recipe: Recipe, batch: int) -> float:
    """The largest learning rate at a batch.

    Between (and beyond) the recipe's two batches it goes along a line (Ru et al. 2020, §4.1); where a recipe has only
    one it is in proportion to the batch (Goyal et al. 2017).
    """
    if batch == recipe.batch:
        return recipe.learning_rate
    if recipe.largest_batch is None or recipe.largest_rate is None or recipe.largest_batch == recipe.batch:
        return recipe.learning_rate * batch / recipe.batch
    slope = (recipe.largest_rate - recipe.learning_rate) / (recipe.largest_batch - recipe.batch)
    return recipe.learning_rate + slope * (batch - recipe.batch)


def rate_at(recipe: Recipe, batch: int, step: int, steps: int) -> float:
    """The learning rate of one step of a training, by its recipe.

    Args:
        recipe: its warm-up, period and milestones are stretched with it from the recipe's epochs to all steps.
        batch: images in a step.
        step: from 0 up to, not including, `steps`.
        steps: of the whole training.
    """
    epoch = steps / recipe.epochs
    return learning_rate(
        rate_of_batch(recipe, batch),
        recipe.schedule,
        step,
        steps,
        round(recipe.warmup / recipe.epochs * steps),
        floor=recipe.floor,
        period=None if recipe.period is None else recipe.period * epoch,
        growth=recipe.growth,
        decay=recipe.decay,
        milestones=[milestone * epoch for milestone in recipe.milestones],
    )


def first_batch(recipe: Recipe, module: nn.Module, device: torch.device, memory: int | None = None) -> int:
    """The batch that a training begins with.

    It is the recipe's, or, where the recipe names a largest one and the module is a `BuiltNetwork`, the largest
    multiple of 32 between the two whose kept activations and their gradients fit into the memory, by the rules of
    `nas_core.cost`.

    Args:
        recipe: names the two batches.
        module: what is trained.
        device: where.
        memory: bytes; None for the whole of the device's.
    """
    if recipe.largest_batch is None or not isinstance(module, BuiltNetwork):
        return recipe.batch
    costs = cost(module.network)
    room = _SHARE * (device_memory(device) if memory is None else memory) - _COPIES * _FLOAT_BYTES * costs.parameters
    fitting = int(max(room, 0.0) / max(2 * costs.activation_bytes, 1))
    return max(recipe.batch, min(recipe.largest_batch, fitting // 32 * 32))


def device_memory(device: torch.device) -> int:
    """Bytes of memory of a device, free or not, so that the same machine gives the same answer every time."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
