"""The batch that memory allows, and the learning rate that goes with a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from nas_core.cost import cost
from nas_core.network import Network
from nas_train.batch_size import device_memory, first_batch, rate_at, rate_of_batch
from nas_train.build import build
from nas_train.data import ImageSet
from nas_train.loop import fit
from nas_train.recipe import Recipe
from nas_train.recipes import RECIPES

CPU = torch.device("cpu")
GROWING = Recipe("growing", epochs=1, batch=8, learning_rate=0.1, largest_batch=96, largest_rate=0.5)


def test_nagos_rates_lie_on_a_line() -> None:
    recipe = RECIPES["nago_search"]
    assert rate_of_batch(recipe, 96) == 0.025
    assert rate_of_batch(recipe, 512) == pytest.approx(0.1)
    assert rate_of_batch(recipe, 304) == pytest.approx(0.0625)  # in the middle
    assert rate_of_batch(recipe, 48) == pytest.approx(0.025 - 48 * 0.075 / 416)


def test_other_rates_are_in_proportion() -> None:
    recipe = replace(GROWING, largest_batch=None, largest_rate=None)
    assert [rate_of_batch(recipe, batch) for batch in (8, 4, 2)] == pytest.approx([0.1, 0.05, 0.025])


def test_a_training_of_other_length_stretches_its_recipe() -> None:
    recipe = Recipe("steps", 4, 8, 0.8, schedule="step", decay=0.5, milestones=(2, 3), warmup=1.0)
    # eight epochs of three steps: warm-up over 2 epochs, decays after 4 and 6
    rates = [rate_at(recipe, 8, step, 24) for step in range(24)]
    assert rates[:6] == pytest.approx([0.8 * (step + 1) / 7 for step in range(6)])
    assert rates[6:] == pytest.approx([0.8] * 6 + [0.4] * 6 + [0.2] * 6)
    assert rate_at(recipe, 4, 7, 24) == pytest.approx(0.4)


def test_the_batch_is_the_largest_that_fits(network: Network) -> None:
    module, costs = build(network), cost(network)

    def bytes_for(images: int) -> int:
        # two copies of the activations, five of each parameter, in four fifths of the memory
        return int((2 * costs.activation_bytes * images + 20 * costs.parameters) / 0.8) + 1

    found = [first_batch(GROWING, module, CPU, bytes_for(n)) for n in (1, 40, 63, 64, 95, 96, 1000)]
    assert found == [8, 32, 32, 64, 64, 96, 96]
    assert first_batch(GROWING, module, CPU) == 96  # a machine has more than some kilobytes
    assert device_memory(CPU) > 2**28


def test_what_is_not_known_keeps_the_recipes_batch(network: Network) -> None:
    assert first_batch(GROWING, nn.Linear(2, 2), CPU) == 8
    assert first_batch(replace(GROWING, largest_batch=None, largest_rate=None), build(network), CPU) == 8


def test_a_training_takes_the_batch_and_its_rate(images: ImageSet, make_network: Callable[..., Network]) -> None:
    grown, plain = build(make_network(), seed=1), build(make_network(), seed=1)
    result = fit(grown, images, GROWING, seed=0)
    assert result.batch == 96
    other = replace(GROWING, batch=96, learning_rate=0.5, largest_batch=None, largest_rate=None)
    fit(plain, images, other, seed=0)
    for a, b in zip(grown.parameters(), plain.parameters(), strict=True):
        assert torch.equal(a, b)
    assert fit(build(make_network()), images, GROWING, seed=0, memory=1).batch == 8
