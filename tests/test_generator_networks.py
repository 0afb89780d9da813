"""Networks of HNAG, RNAG and ResNet strings in torch: they run, and cost what the cost model says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402 - after the check for torch

from nas_core.cost import cost  # noqa: E402
from nas_core.network import Network, Task  # noqa: E402
from nas_core.random import rng  # noqa: E402
from nas_spaces.hnag import HNAG  # noqa: E402
from nas_spaces.resnet import ResNet  # noqa: E402
from nas_spaces.rnag import RNAG  # noqa: E402
from nas_train.build import build  # noqa: E402

CIFAR10 = Task("classification", (3, 32, 32), 10)
SMALL = {"top": (1, 4), "mid": (1, 3), "bottom": (1, 4)}
BATCH = 4


def hnag(task: Task) -> Iterator[Network]:
    """Generators with every way to merge and every operation, and every option."""
    space = HNAG(full=True, **SMALL)
    for seed, a in enumerate(space.sample(rng(0, "networks"), 8)):
        options: dict[str, Any] = {
            "downscale": ("pool", "stride")[seed % 2],
            "convolution": ("plain", "separable")[seed // 2 % 2],
            "auxiliary": seed % 3 == 0,
            "drop_path": seed % 4 == 0,
        }
        yield space.network(a, task, seed, limit=None, channels=4, **options)


def plain_hnag(task: Task) -> Iterator[Network]:
    """The paper's generators, and one of its optima."""
    space = HNAG()
    yield space.network(space.named("cifar10-mobo"), task, limit=400_000)
    for seed, a in enumerate(space.sample(rng(1, "networks"), 2)):
        yield space.network(a, task, seed, limit=400_000)


def rnag(task: Task) -> Iterator[Network]:
    """The reference generator, and others with plain convolutions."""
    space = RNAG()
    yield space.network(space.named("rnag-d"), task, limit=200_000)
    for seed, a in enumerate(space.sample(rng(2, "networks"), 2)):
        yield space.network(a, task, seed, limit=300_000, convolution="plain")


def resnet(task: Task) -> Iterator[Network]:
    """Both kinds of blocks, all stems."""
    for block in ("bottleneck", "basic"):
        space = ResNet(block=block, most_blocks=3)
        for a, stem in zip(space.sample(rng(3, "networks"), 3), ("strided", "pooled", "small"), strict=True):
            yield space.network(a, task, channels=4, stem=stem)


MAKERS = [hnag, plain_hnag, rnag, resnet]


def images(task: Task, count: int = BATCH) -> Any:
    """Random images (b x c x h x w)."""
    return torch.randn(count, *task.input_shape, generator=torch.Generator().manual_seed(0))


def saved_bytes(module: Any, x: Any) -> int:
    """Bytes of all tensors that the forward pass keeps for backward, each storage once, without parameters."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*module.parameters(), *module.buffers())}
    kept: dict[int, int] = {}
    alive = []  # a storage that is freed could give its address to another

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        module(x)
    return sum(kept.values())


@pytest.mark.parametrize("make", MAKERS)
def test_parameters_equal_those_of_the_module(make: Any) -> None:
    for network in make(CIFAR10):
        module = build(network)
        assert sum(p.numel() for p in module.parameters()) == cost(network).parameters


@pytest.mark.parametrize("make", MAKERS)
def test_multiply_adds_are_half_of_torchs_count(make: Any) -> None:
    for network in make(CIFAR10):
        module = build(network).eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            module(images(CIFAR10, 1))
        assert counter.get_total_flops() == 2 * cost(network).multiply_adds


@pytest.mark.parametrize("make", MAKERS)
def test_kept_bytes_are_within_a_tenth_of_what_torch_keeps(make: Any) -> None:
    for network in make(CIFAR10):
        measured = saved_bytes(build(network), images(CIFAR10)) / BATCH
        assert abs(cost(network).activation_bytes / measured - 1) < 0.1


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize(("channels", "side"), [(1, 8), (3, 28), (1, 64)])
def test_networks_run_and_learn(make: Any, channels: int, side: int) -> None:
    """Logits of the right shape, finite; a gradient reaches every parameter."""
    task = Task("classification", (channels, side, side), 5)
    for network in make(task):
        module = build(network)
        outputs = module(images(task))
        found = outputs.values() if isinstance(outputs, dict) else [outputs]
        for logits in found:
            assert logits.shape == (BATCH, 5)
            assert torch.isfinite(logits).all()
        sum(logits.square().sum() for logits in found).backward()
        assert all(parameter.grad is not None for parameter in module.parameters())


def test_a_large_image_runs() -> None:
    task = Task("classification", (3, 224, 224), 7)
    space = HNAG()
    network = space.network(space.named("mit67-mobo"), task, limit=200_000)
    with torch.no_grad():
        assert build(network).eval()(images(task, 1)).shape == (1, 7)
