"""The cost model of nas-core against what torch counts and keeps."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode

from nas_core import primitives as p
from nas_core.catalogue import same_convolution
from nas_core.cost import cost
from nas_core.network import Network, NetworkBuilder, Task
from nas_core.random import rng
from nas_train.build import build
from nas_train.modules import set_drop_path

BATCH = 8


def kept_bytes(module: nn.Module, x: torch.Tensor) -> int:
    """Bytes of the storages that a forward pass keeps for the backward pass, without parameters and statistics."""
    own = {t.untyped_storage().data_ptr() for t in (*module.parameters(), *module.buffers())}
    storages: dict[int, tuple[torch.Tensor, int]] = {}

    def pack(t: torch.Tensor) -> torch.Tensor:
        storage = t.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = (t, storage.nbytes())  # kept, so that no address is used twice
        return t

    with saved_tensors_hooks(pack, lambda t: t):
        output = module(x)
    assert output.requires_grad
    return sum(size for _, size in storages.values())


def between(primitive: p.Primitive, others: int) -> Network:
    """A primitive that reads convolutions and is read by one."""
    b = NetworkBuilder(Task("classification", (3, 16, 16), 10))
    x = b.input()
    sources = [b.add(f"before{i}", same_convolution(16, 3), x) for i in range(1 + others)]
    return b.network(logits=b.add("after", p.Convolution(16, (1, 1)), b.add("it", primitive, *sources)))


PRIMITIVES = [
    *[(p.Activation(kind), 0) for kind in p.ACTIVATIONS],
    *[(p.Pooling(kind, (3, 3), (stride, stride), (1, 1)), 0) for kind in p.POOLINGS for stride in (1, 2)],
    *[(p.AdaptivePooling((size, size), kind), 0) for kind in ("avg", "max") for size in (1, 4)],
    (p.Convolution(16, (3, 3), padding=(1, 1), groups=16), 0),
    (p.Normalisation(), 0),
    (p.Normalisation(affine=False), 0),
    (p.Crop(1, 1), 0),
    (p.Pad((0, 1, 0, 1)), 0),
    (p.ChannelSlice(0, 8), 0),
    (p.Identity(), 0),
    (p.Add(), 0),
    (p.Add(), 2),
    (p.Mean(), 2),
    (p.Multiply(), 1),
    (p.Complement(), 0),
    (p.WeightedSum(), 0),
    (p.WeightedSum(), 2),
    (p.Attention(), 1),
    (p.Attention(), 2),
    (p.Attention(), 3),
    (p.Concatenation(), 2),
    (p.Dropout(0.5), 0),
    (p.DropPath(), 0),
]


@pytest.mark.parametrize(("primitive", "others"), PRIMITIVES, ids=lambda value: str(value))
def test_a_primitive_keeps_what_the_rule_says(primitive: p.Primitive, others: int) -> None:
    network = between(primitive, others)
    module = build(network)
    set_drop_path(module, 0.3)
    kept = kept_bytes(module, torch.randn(BATCH, 3, 16, 16)) / BATCH
    assert kept == pytest.approx(cost(network).activation_bytes, rel=0.02)


@pytest.mark.parametrize("seed", range(10))
def test_a_network_keeps_what_the_rules_say(make_network: Callable[..., Network], seed: int) -> None:
    network = make_network([int(i) for i in rng(seed, "cell").integers(0, 5, 6)], channels=8, shape=(3, 16, 16))
    kept = kept_bytes(build(network), torch.randn(BATCH, 3, 16, 16)) / BATCH
    assert kept == pytest.approx(cost(network).activation_bytes, rel=0.02)


@pytest.mark.parametrize("seed", range(5))
def test_a_network_without_zeros_multiplies_what_the_rule_says(make_network: Callable[..., Network], seed: int) -> None:
    network = make_network([int(i) for i in rng(seed, "cell").integers(1, 5, 6)], channels=8, shape=(3, 16, 16))
    with FlopCounterMode(display=False) as counter:  # counts what is run, two for one multiplication and addition
        build(network)(torch.randn(BATCH, 3, 16, 16))
    assert counter.get_total_flops() == 2 * BATCH * cost(network).multiply_adds


def test_a_shared_tensor_is_kept_once() -> None:
    b = NetworkBuilder(Task("classification", (3, 8, 8), 2))
    x = b.add("first", same_convolution(4, 3), b.input())
    ends = [b.add(f"conv{i}", same_convolution(4, 3), x) for i in range(3)]
    network = b.network(logits=b.add("sum", p.Add(), *ends))
    assert cost(network).activation_bytes == 4 * (3 * 64 + 4 * 64)  # the image and x, in 32-bit floats
    assert kept_bytes(build(network), torch.randn(BATCH, 3, 8, 8)) == BATCH * cost(network).activation_bytes
