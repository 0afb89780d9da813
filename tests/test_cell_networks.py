"""Networks of cells with two inputs: costs by rule against built torch modules, and operations spelled out in torch."""

from __future__ import annotations

import math
from typing import Any

import pytest

torch = pytest.importorskip("torch")
nas_train_build = pytest.importorskip("nas_train.build")

from torch.nn import functional as F  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from nas_core.cost import cost  # noqa: E402
from nas_core.network import Network, NetworkBuilder, Task  # noqa: E402
from nas_core.random import rng  # noqa: E402
from nas_spaces import darts_operations, nao_operations  # noqa: E402
from nas_spaces.bonas_open_domain import BonasOpenDomain  # noqa: E402
from nas_spaces.darts import DARTS  # noqa: E402
from nas_spaces.nao_cnn import NAOCNN  # noqa: E402

SPACES = (DARTS(), DARTS(none=True), BonasOpenDomain(), NAOCNN(), NAOCNN("enas"))
IMAGES = 2


def members() -> list[Any]:
    """Two random members of every space, each with its own size and channels of images."""
    shapes = [(3, 8, 8), (1, 28, 28), (3, 32, 32), (1, 64, 64), (3, 33, 17)]
    found = []
    for i, space in enumerate(SPACES):
        for j, member in enumerate(space.sample(rng(0, "torch", i), 2)):
            shape = shapes[(2 * i + j) % len(shapes)]
            found.append(pytest.param(space, member, shape, id=f"{space.name}{i}-{j}-{'x'.join(map(str, shape))}"))
    found.append(pytest.param(SPACES[0], SPACES[0].named["pdarts"], (3, 224, 224), id="pdarts-224"))
    return found


def network_of(space: Any, member: Any, shape: tuple[int, int, int], **options: Any) -> Network:
    network: Network = space.network(member, Task("classification", shape, 10), channels=6, cells=3, **options)
    return network


def kept_bytes(module: Any, images: Any) -> int:
    """What a forward pass keeps for the backward pass, parameters left out, each tensor once."""
    parameters = {p.untyped_storage().data_ptr() for p in [*module.parameters(), *module.buffers()]}
    kept: dict[int, int] = {}

    def pack(tensor: Any) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        logits = module(images)
    assert logits.shape == (len(images), 10)
    return sum(kept.values())


@pytest.mark.parametrize(("space", "member", "shape"), members())
def test_costs_are_those_of_the_built_module(space: Any, member: Any, shape: tuple[int, int, int]) -> None:
    network = network_of(space, member, shape)
    told = cost(network)
    module = nas_train_build.build(network, seed=0)
    assert sum(p.numel() for p in module.parameters() if p.requires_grad) == told.parameters

    images = torch.randn(IMAGES, *shape, generator=torch.Generator().manual_seed(0))
    module.eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(images)
    assert counter.get_total_flops() == 2 * IMAGES * told.multiply_adds

    module.train()
    assert kept_bytes(module, images) / IMAGES == pytest.approx(told.activation_bytes, rel=0.1)


def test_auxiliary_logits_come_with_the_others() -> None:
    network = network_of(SPACES[0], SPACES[0].named["darts_v2"], (3, 32, 32), auxiliary=True)
    module = nas_train_build.build(network, seed=0)
    outputs = module(torch.zeros(IMAGES, 3, 32, 32))
    assert {name: tuple(logits.shape) for name, logits in outputs.items()} == {
        "logits": (IMAGES, 10),
        "auxiliary": (IMAGES, 10),
    }
    assert sum(p.numel() for p in module.parameters()) == cost(network).parameters


@pytest.mark.parametrize("operations", ["nao", "enas"])
def test_networks_of_nao_compute_the_same_in_the_form_that_is_shared(operations: str) -> None:
    """Kernels over a concatenation are those of its parts side by side; biases are summed."""
    space, task = NAOCNN(operations), Task("classification", (3, 9, 8), 10)
    images = torch.randn(3, 3, 9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for member in space.sample(rng(0, "apart", operations), 3):
        alone, shared = (
            nas_train_build.build(network, seed=0, dtype=torch.float64)
            for network in (
                space.network(member, task, channels=4, cells=1, auxiliary=True, shared=form) for form in (False, True)
            )
        )
        given = dict(shared.named_parameters())
        with torch.no_grad():
            for name, parameter in alone.named_parameters():
                place, _, last = name.rpartition(".")
                parts = [given.pop(f"{place}.node{j}.{last}", None) for j in range(2, 7)]
                own = [part for part in (given.pop(name, None), *parts) if part is not None]
                parameter.copy_(torch.cat(own, 1) if len(own) > 1 and last == "weight" else sum(own))
        assert not given
        for training in (True, False):
            expected, found = alone.train(training)(images), shared.train(training)(images)
            for output in ("logits", "auxiliary"):
                torch.testing.assert_close(found[output], expected[output])


def applied(operation: Any, name: str, x: Any, stride: int) -> Any:
    """An operation alone, applied to images (b x c x h x w), with the parameters that it was built with."""
    b = NetworkBuilder(Task("classification", tuple(x.shape[1:]), 10))
    y = operation(b, name, b.input(), x.shape[1], stride)
    module = nas_train_build.build(b.network(logits=y), seed=1)
    module.train()
    return module(x), dict(module.named_parameters())


def windows(x: Any, kernel: int, stride: int, before: tuple[int, int]) -> Any:
    """Windows of images, NaN beyond the border, as b x c x h' x w' x kernel²; the first begins `before` the image."""
    (top, left), (h, w) = before, (math.ceil(size / stride) for size in x.shape[2:])
    padded = F.pad(x, (left, kernel, top, kernel), value=float("nan"))
    shifted = [padded[:, :, i::stride, j::stride][:, :, :h, :w] for i in range(kernel) for j in range(kernel)]
    return torch.stack(shifted, dim=-1)


@pytest.mark.parametrize("size", [(8, 8), (7, 6), (1, 1)])
@pytest.mark.parametrize(
    ("name", "stride"),
    [(f"{kind}_pool_{kernel}x{kernel}", stride) for kind in ("max", "avg") for kernel in (2, 3) for stride in (1, 2)],
)
def test_poolings_look_at_their_windows_and_at_nothing_beyond_the_border(
    name: str, stride: int, size: tuple[int, int]
) -> None:
    """Values are negative, so that a border that counted would show in maxima too."""
    x = -torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0)) - 1.0
    kernel = int(name[-1])
    y, owned = applied(nao_operations.operation, name, x, stride)
    assert not owned
    # of 2x2 windows with stride 2, the first begins outside where the image is odd
    before = [1 if kernel == 3 else pixels % 2 if stride == 2 else 0 for pixels in size]
    seen = windows(x, kernel, stride, (before[0], before[1]))
    if name.startswith("max"):
        expected = torch.where(seen.isnan(), torch.full_like(seen, -math.inf), seen).amax(-1)
    else:
        expected = seen.nanmean(-1)
    torch.testing.assert_close(y, expected)
    if name in darts_operations.POOLINGS:
        torch.testing.assert_close(applied(darts_operations.operation, name, x, stride)[0], expected)


def normalised(x: Any) -> Any:
    return F.batch_norm(x, None, None, training=True)


@pytest.mark.parametrize("size", [(8, 8), (7, 6)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_convolutions_of_nao(kernel: int, stride: int, size: tuple[int, int]) -> None:
    """Zeros beyond the border; a 2x2 window begins at its pixel and ends one below and to the right of it."""
    x = torch.randn(4, 3, *size, generator=torch.Generator().manual_seed(0))
    before = (kernel - 1) // 2
    grown = F.pad(x.relu(), (before, kernel, before, kernel))

    def convolved(image: Any, weight: Any, stride: int, groups: int) -> Any:
        y = F.conv2d(image, weight, stride=stride, groups=groups)
        return y[:, :, : math.ceil(size[0] / stride), : math.ceil(size[1] / stride)]

    y, owned = applied(nao_operations.operation, f"conv_{kernel}x{kernel}", x, stride)
    torch.testing.assert_close(y, normalised(convolved(grown, owned["conv.weight"], stride, 1)))

    y, owned = applied(nao_operations.operation, f"sep_conv_{kernel}x{kernel}", x, stride)
    half = convolved(grown, owned["first.depthwise.weight"], stride, 3)
    half = normalised(F.conv2d(half, owned["first.pointwise.weight"]))
    h, w = half.shape[2:]
    again = F.pad(half.relu(), (before, kernel, before, kernel))
    again = F.conv2d(again, owned["second.depthwise.weight"], groups=3)[:, :, :h, :w]
    torch.testing.assert_close(y, normalised(F.conv2d(again, owned["second.pointwise.weight"])))


@pytest.mark.parametrize("size", [(8, 8), (7, 6)])
@pytest.mark.parametrize("operation", [darts_operations.operation, nao_operations.operation])
def test_identities_hand_on_or_halve(operation: Any, size: tuple[int, int]) -> None:
    name = "skip_connect" if operation is darts_operations.operation else "identity"
    x = torch.randn(4, 4, *size, generator=torch.Generator().manual_seed(0))
    assert torch.equal(applied(operation, name, x, 1)[0], x)
    y, owned = applied(operation, name, x, 2)
    shifted = F.pad(x.relu(), (0, size[1] % 2, 0, size[0] % 2))[:, :, 1:, 1:]
    halves = F.conv2d(x.relu(), owned["even.weight"], stride=2), F.conv2d(shifted, owned["odd.weight"], stride=2)
    torch.testing.assert_close(y, normalised(torch.cat(halves, 1)))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
def test_convolutions_of_darts(kernel: int, stride: int) -> None:
    x = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    y, owned = applied(darts_operations.operation, f"dil_conv_{kernel}x{kernel}", x, stride)
    wide = F.conv2d(x.relu(), owned["depthwise.weight"], None, stride, kernel - 1, 2, 4)
    torch.testing.assert_close(y, normalised(F.conv2d(wide, owned["pointwise.weight"])))
    y, owned = applied(darts_operations.operation, f"sep_conv_{kernel}x{kernel}", x, stride)
    half = x
    for scope, step in (("first", stride), ("second", 1)):
        half = F.conv2d(half.relu(), owned[f"{scope}.depthwise.weight"], None, step, kernel // 2, 1, 4)
        half = normalised(F.conv2d(half, owned[f"{scope}.pointwise.weight"]))
    torch.testing.assert_close(y, half)


def test_none_gives_zeros() -> None:
    x = torch.ones(2, 3, 7, 8)
    for stride, shape in ((1, (2, 3, 7, 8)), (2, (2, 3, 4, 4))):
        assert torch.equal(applied(darts_operations.operation, "none", x, stride)[0], torch.zeros(shape))
