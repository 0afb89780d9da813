"""NAS-Bench-201 networks as torch modules: parameters, work and kept memory are what the cost model says."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from nas_core.architecture import Architecture
from nas_core.cost import cost
from nas_core.network import Task
from nas_core.random import rng
from nas_spaces.nasbench201 import NASBench201
from nas_train.build import build

SPACE = NASBench201()
TASK = Task("classification", (3, 16, 16), 10)
SMALL = {"channels": 4, "cells": 2}
BATCH = 4
DISCONNECTED = SPACE.parse("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|none~2|")
MEMBERS = [*SPACE.sample(rng(0, "members"), 12), DISCONNECTED]


def text(a: object) -> str:
    return SPACE.text(a) if isinstance(a, Architecture) else str(a)


def images(seed: int = 0) -> torch.Tensor:
    return torch.randn(BATCH, *TASK.input_shape, generator=torch.Generator().manual_seed(seed))


def kept_bytes(module: nn.Module) -> int:
    """Bytes of the storages that a forward pass keeps for the backward pass, without parameters and statistics."""
    own = {t.untyped_storage().data_ptr() for t in (*module.parameters(), *module.buffers())}
    storages: dict[int, tuple[torch.Tensor, int]] = {}

    def pack(t: torch.Tensor) -> torch.Tensor:
        if t.untyped_storage().data_ptr() not in own:  # the tensor is held, so that no address is used twice
            storages[t.untyped_storage().data_ptr()] = (t, t.untyped_storage().nbytes())
        return t

    with saved_tensors_hooks(pack, lambda t: t):
        module(images())
    return sum(size for _, size in storages.values())


@pytest.mark.parametrize("pruned", [False, True])
@pytest.mark.parametrize("a", MEMBERS, ids=text)
def test_modules_are_as_large_as_the_cost_model_says(a: Architecture, pruned: bool) -> None:
    network = SPACE.network(a, TASK, pruned=pruned, **SMALL)
    module, expected = build(network), cost(network)
    assert [(name, tuple(t.shape)) for name, t in module.named_parameters()] == list(network.parameters())
    assert sum(parameter.numel() for parameter in module.parameters()) == expected.parameters
    assert module(images()).shape == (BATCH, 10)
    assert kept_bytes(module) / BATCH == pytest.approx(expected.activation_bytes, rel=0.1)


@pytest.mark.parametrize("a", MEMBERS, ids=text)
def test_what_is_run_is_counted(a: Architecture) -> None:
    network = SPACE.network(a, TASK, pruned=True, **SMALL)
    with FlopCounterMode(display=False) as counter:  # two for a multiplication and addition
        build(network)(images())
    assert counter.get_total_flops() == 2 * BATCH * cost(network).multiply_adds
    whole = SPACE.network(a, TASK, **SMALL)
    if "none" not in a.values:  # then everything is run
        with FlopCounterMode(display=False) as counter:
            build(whole)(images())
        assert counter.get_total_flops() == 2 * BATCH * cost(whole).multiply_adds


@pytest.mark.parametrize("a", MEMBERS, ids=text)
def test_a_pruned_network_computes_the_same(a: Architecture) -> None:
    whole = build(SPACE.network(a, TASK, **SMALL), dtype=torch.float64)
    pruned = build(SPACE.network(a, TASK, pruned=True, **SMALL), dtype=torch.float64)
    x = images().double()
    for training in (True, False):  # in training it moves the running statistics too
        torch.testing.assert_close(pruned.train(training)(x), whole.train(training)(x))
    whole_grad, pruned_grad = (
        {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
        for module in (whole, pruned)
        if module.train()(x).square().sum().backward() is None
    )
    for name, gradient in pruned_grad.items():
        torch.testing.assert_close(gradient, whole_grad[name])
    assert all(not whole_grad[name].abs().max() > 1e-9 for name in whole_grad.keys() - pruned_grad.keys())


def test_parameters_are_those_of_the_benchmark() -> None:
    folder = Path(os.environ.get("NAS_TABLES", Path(__file__).resolve().parents[2] / "shared" / "tables"))
    if not (folder / "nb201_c10.npz").is_file():
        pytest.skip(f"no nb201_c10.npz in {folder}; NAS_TABLES names its folder")
    with np.load(folder / "nb201_c10.npz", allow_pickle=False) as table:
        names = [str(name) for name in table["op_names"]]
        for row in rng(0, "rows").integers(0, 15_625, 4):
            a = SPACE.canonical([names[number] for number in table["ops"][row]])
            module = build(SPACE.network(a, Task("classification", (3, 32, 32), 10)))
            millions = sum(parameter.numel() for parameter in module.parameters()) / 1e6
            assert millions == pytest.approx(float(table["c10_params_M"][row]), abs=1e-6)
