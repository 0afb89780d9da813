"""Zero-cost scores: values worked out by hand or by a second route, what they leave alone, and the evaluator."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas_core.architecture import Architecture
from nas_core.errors import InvalidNetwork, InvalidOption, TrialFailed
from nas_core.evaluator import Evaluation
from nas_core.network import Network
from nas_core.random import derived_seed, rng
from nas_core.testing.evaluators import EvaluatorContract
from nas_core.testing.fakes import ToySpace
from nas_train.build import build
from nas_train.data import ImageSet
from nas_train.modules import BatchNorm
from nas_train.proxies import PROXIES, ProxyEvaluator, find_proxy, score_network
from nas_train.proxies.contract import GATES, watching, working_copy
from nas_train.proxies.grad_norm import grad_norm
from nas_train.proxies.jacov import K, jacov, of_jacobian
from nas_train.proxies.linear_regions import crops, linear_regions
from nas_train.proxies.ntk_condition import ntk_condition
from nas_train.proxies.nwot import agreements, nwot
from nas_train.proxies.snip import snip
from nas_train.proxies.synflow import synflow
from nas_train.proxies.zen import zen

MEMBERS = (("conv3", "skip", 2, "relu"), ("conv1", "conv3", 1, "relu"))
"""Members of the toy space that gate."""
LABELS = torch.tensor([0, 2, 1, 2])


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def pixel_classifier(c: int = 5, k: int = 3) -> nn.Module:
    """Logits of images of one pixel, as a convolution: softmax regression."""
    convolution = nn.Conv2d(c, k, 1, bias=False)
    with torch.no_grad():
        convolution.weight.copy_(normal(k, c, 1, 1, seed=9))
    return nn.Sequential(convolution, nn.Flatten())


def regression_gradient(module: Any, images: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The weights of `pixel_classifier` and the gradient of its loss: (p - y)ᵀ x / b."""
    x, w = images.flatten(1).double().numpy(), module[0].weight.detach().flatten(1).double().numpy()
    exponentials = np.exp(x @ w.T)
    p = exponentials / exponentials.sum(1, keepdims=True)
    return w, (p - np.eye(3)[LABELS.numpy()]).T @ x / len(x)


def test_snip_and_grad_norm_of_softmax_regression() -> None:
    module, images = pixel_classifier(), normal(4, 5, 1, 1)
    w, gradient = regression_gradient(module, images)
    assert snip(module, images, LABELS, 0) == pytest.approx(np.abs(w * gradient).sum(), rel=1e-5)
    assert grad_norm(module, images, LABELS, 0) == pytest.approx(np.linalg.norm(gradient), rel=1e-5)


def test_ntk_of_a_linear_map_is_that_of_its_inputs() -> None:
    module, images = pixel_classifier(), normal(4, 5, 1, 1)
    # the gradient of the sum of k logits is the image in each of k rows, so the kernel is k X Xᵀ
    values = np.linalg.eigvalsh(images.flatten(1).double().numpy() @ images.flatten(1).double().numpy().T)
    assert ntk_condition(module, images, LABELS, 0) == pytest.approx(values[-1] / values[0], rel=1e-5)
    twice = torch.cat([images[:3], images[:1]])
    assert ntk_condition(module, twice, LABELS, 0) == math.inf


def test_ntk_takes_the_statistics_of_a_batch_as_constants() -> None:
    images = normal(4, 5, 1, 1)
    norm: Any = BatchNorm(3, False, 0.1, 1e-5)
    normed = nn.Sequential(pixel_classifier()[0], norm, nn.Flatten())
    # each logit is a linear one, scaled: the kernel is a multiple of X Xᵀ. Through the statistics it would be singular,
    # as normalised logits sum to zero over the batch
    values = np.linalg.eigvalsh(images.flatten(1).double().numpy() @ images.flatten(1).double().numpy().T)
    assert ntk_condition(normed, images, LABELS, 0) == pytest.approx(values[-1] / values[0], rel=1e-4)
    assert norm.running_mean.eq(0).all()


def test_synflow_of_linear_maps_is_the_flow_through_each() -> None:
    first, second = nn.Linear(6, 4), nn.Linear(4, 3)
    with torch.no_grad():
        for part in (first, second):
            part.weight.copy_(normal(*part.weight.shape, seed=part.in_features))
            part.bias.fill_(-7.0)
    bare = nn.Sequential(nn.Flatten(), first, nn.ReLU(), second)
    w1, w2 = (part.weight.detach().double().abs().numpy() for part in (first, second))
    # the first map's weights see the flow of the ones alone, the second's that of the first's biases too
    expected = (w2 @ w1).sum() + (w2 @ (w1.sum(1) + 7.0)).sum()
    images = torch.full((4, 1, 2, 3), math.nan)  # only their shape is read
    assert synflow(bare, images, LABELS, 0) == pytest.approx(math.log(expected))
    norm: Any = BatchNorm(4, True, 0.1, 1e-5)
    nn.init.constant_(norm.weight, 3.0)
    normed = nn.Sequential(nn.Flatten(), first, norm, nn.ReLU(), second)
    assert synflow(normed, images, LABELS, 0) == pytest.approx(math.log(expected))


def test_synflow_does_not_overflow() -> None:
    maps = [nn.Linear(4, 4, bias=False) for _ in range(60)]
    for part in maps:
        nn.init.constant_(part.weight, 100.0)
    deep = nn.Sequential(nn.Flatten(), *maps)
    # each map multiplies the flow by 400: 60 maps, each sees 4 · 400⁶⁰, far beyond single precision
    assert synflow(deep, torch.ones(1, 1, 2, 2), LABELS, 0) == pytest.approx(math.log(60 * 4) + 60 * math.log(400))


def test_jacov_of_known_correlations() -> None:
    b = 4
    apart = np.array([[1, -1, 0, 0, 0, 0, 0, 0]]).repeat(b, 0)
    apart = np.stack([np.roll(row, 2 * i) for i, row in enumerate(apart)])
    assert of_jacobian(apart.astype(float)) == pytest.approx(-b * (math.log(1 + K) + 1 / (1 + K)))
    alike = np.array([[1.0, 2.0, 4.0]]) * np.arange(1, b + 1)[:, None]  # one eigenvalue is b, the others are 0
    expected = -(math.log(b + K) + 1 / (b + K) + (b - 1) * (math.log(K) + 1 / K))
    assert of_jacobian(alike) == pytest.approx(expected, rel=1e-4)
    assert math.isnan(of_jacobian(np.ones((b, 3))))
    # an image's gradient of a linear map does not depend on the image
    assert jacov(pixel_classifier(), normal(b, 5, 1, 1), LABELS, 0) == pytest.approx(expected, rel=1e-4)
    assert math.isnan(jacov(nn.Flatten(), torch.zeros(b, 1, 1, 1), LABELS, 0))


def test_nwot_counts_agreeing_units() -> None:
    codes = torch.from_numpy(rng(0, "codes").integers(0, 2, (5, 12))).bool()
    expected = [[int((a == b).sum()) for b in codes] for a in codes]
    assert agreements(codes).tolist() == expected
    module = nn.Sequential(nn.Flatten(), nn.ReLU())
    images = torch.tensor([[1.0, -1.0, 2.0, -2.0], [1.0, 1.0, -2.0, 0.0]])[:, None, None]
    # 4 units; the two codes agree in the first and the last
    assert nwot(module, images, LABELS[:2], 0) == pytest.approx(math.log(4 * 4 - 2 * 2))
    assert nwot(module, images[:1].repeat(2, 1, 1, 1), LABELS[:2], 0) == -math.inf
    assert nwot(nn.Flatten(), images, LABELS[:2], 0) == -math.inf


@pytest.mark.parametrize(
    "kind", [nn.ReLU(), nn.ReLU(inplace=True), nn.LeakyReLU(), nn.Hardswish(), nn.SiLU(), nn.GELU()]
)
def test_gates_are_seen_by_their_sign(kind: nn.Module) -> None:
    seen: list[Tensor] = []
    x = torch.tensor([-5.0, -1.0, 1.0, 5.0])
    with watching(GATES, lambda before, after: seen.append(after > 0)):
        kind(x.clone())
    assert [s.tolist() for s in seen] == [[False, False, True, True]]


def test_linear_regions_of_units_on_a_line() -> None:
    units = nn.Linear(1, 3)
    with torch.no_grad():
        units.weight.fill_(1.0)
        units.bias.copy_(torch.tensor([-0.5, 0.0, 0.5]))
    module, images = nn.Sequential(nn.Flatten(), units, nn.ReLU()), normal(3000, 1, 1, 1)
    # three breakpoints cut the line into four; each part has at least 19 % of the mass of N(0, 1), so that
    # 3,000 inputs miss one with odds below 10⁻²⁷⁰
    assert linear_regions(module, images, LABELS, 0) == 4.0
    assert linear_regions(module, images[:1].repeat(7, 1, 1, 1), LABELS, 0) == 1.0
    assert math.isnan(linear_regions(nn.Flatten(), images, LABELS, 0))


def test_crops_are_pieces_of_one_channel() -> None:
    """Each pixel tells its image, channel, row and column."""
    n, c, h, w = 400, 3, 5, 4
    grid = np.indices((n, c, h, w))
    images = grid[0] * 1000 + grid[1] * 100 + grid[2] * 10 + grid[3]
    found, channels = crops(images, rng(0, "crops"))
    corner = images[0, 0, :3, :3]
    assert np.array_equal(found - found[:, :1, :1], np.broadcast_to(corner, (n, 3, 3)))
    first = found[:, 0, 0]
    assert np.array_equal(first // 1000, np.arange(n))
    assert np.array_equal(first // 100 % 10, channels)
    # 18 places for 400 crops: one is missed with odds of 2 in 10^9
    assert set((first % 1000).tolist()) == set(images[0, :, :3, :2].flatten().tolist())


def test_zen_of_the_identity_and_of_a_normalised_map() -> None:
    images = torch.zeros(4, 2, 3, 3)
    x, noise = (
        torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(derived_seed(5, "zen", "image", i)))
        for i in range(2)
    )
    apart = math.log(0.01 * float(noise.abs().flatten(1).sum(1).double().mean()))
    assert zen(nn.Flatten(), images, LABELS, 5) == pytest.approx(apart, rel=1e-4)
    # a normalisation without a map: what it divides by comes back, up to the channels' differences
    convolution, norm = nn.Conv2d(2, 2, 1, groups=2, bias=False), BatchNorm(2, False, 0.1, 1e-12)
    module = nn.Sequential(convolution, norm, nn.AdaptiveAvgPool2d(1))
    kernel = torch.randn(
        convolution.weight.shape, generator=torch.Generator().manual_seed(derived_seed(5, "zen", "weight", "0"))
    ).double()
    first, second = (kernel.view(1, 2, 1, 1) * t.double() for t in (x, x + 0.01 * noise))
    deviations = [t.std((0, 2, 3), correction=0, keepdim=True) for t in (first, second)]
    means = [t.mean((0, 2, 3), keepdim=True) for t in (first, second)]
    difference = (first - means[0]) / deviations[0] - (second - means[1]) / deviations[1]
    expected = math.log(float(difference.abs().flatten(1).sum(1).mean()))
    expected += 0.5 * math.log(float((deviations[0] ** 2).mean()))
    assert zen(module, images, LABELS, 5) == pytest.approx(expected, rel=1e-3)
    nn.init.constant_(convolution.weight, 17.0)  # the weights that are given do not matter
    assert zen(module, images, LABELS, 5) == pytest.approx(expected, rel=1e-3)
    assert zen(module, images, LABELS, 6) != pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("name", PROXIES)
def test_scores_of_a_built_network_repeat_and_leave_it_alone(name: str, network: Network) -> None:
    module = build(network, seed=1).eval()
    before = {key: t.clone() for key, t in module.state_dict().items()}
    images, labels = normal(6, 1, 8, 8), torch.arange(6) % 4
    value = find_proxy(name).score(module, images, labels, 3)
    assert math.isfinite(value)
    random_state = torch.default_generator.get_state()
    assert find_proxy(name).score(module, images, labels, 3) == value
    assert torch.equal(torch.default_generator.get_state(), random_state)
    assert not module.training
    assert all(p.grad is None for p in module.parameters())
    assert all(torch.equal(t, before[key]) for key, t in module.state_dict().items())
    again = find_proxy(name).score(build(network, seed=1), images, labels, 3)
    assert again == value


@pytest.mark.parametrize("name", [n for n, p in PROXIES.items() if not p.thin])
def test_a_network_that_lets_nothing_through_fails_by_name(name: str, make_network: Callable[..., Network]) -> None:
    module = build(make_network((0, 0, 0, 0, 0, 0)))
    with pytest.raises(TrialFailed, match=f"score {name} is not a finite number") as caught:
        score_network(name, module, [(normal(6, 1, 8, 8), torch.arange(6) % 4)], seed=0)
    assert caught.value.reason == "score_not_finite"


def test_repeats_take_batches_and_new_weights(network: Network) -> None:
    labels = torch.arange(6) % 4
    batches = [(normal(6, 1, 8, 8, seed=i), labels) for i in range(2)]
    single = [score_network("snip", build(network, seed=4), [batch], seed=0) for batch in batches]
    assert score_network("snip", build(network, seed=4), batches, seed=0) == pytest.approx(sum(single) / 2)
    anew = score_network("snip", build(network, seed=4), batches, seed=0, reinitialise=True)
    assert anew != pytest.approx(sum(single) / 2, rel=1e-3)
    assert score_network("snip", build(network, seed=5), batches, seed=0, reinitialise=True) == anew


def test_dropout_is_off_in_a_working_copy() -> None:
    module = nn.Sequential(nn.Dropout(0.9)).eval()
    assert torch.equal(working_copy(module)(torch.ones(100)), torch.ones(100))
    assert module[0].p == 0.9


def test_scores_have_known_names() -> None:
    assert set(PROXIES) == {"synflow", "snip", "grad_norm", "jacov", "nwot", "zen", "ntk_condition", "linear_regions"}
    assert [name for name, p in PROXIES.items() if p.direction == "min"] == ["ntk_condition"]
    with pytest.raises(InvalidOption, match=r"no such score: 'params'.*nwot"):
        find_proxy("params")


@pytest.fixture
def file(images: ImageSet, tmp_path: Path) -> str:
    """The images as a file of the kind that users have."""
    path = tmp_path / "corners.npz"
    np.savez(path, x=images.train.images, y=images.train.labels)
    return str(path)


class TestContract(EvaluatorContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_train.proxies.evaluator:ProxyEvaluator"

    @pytest.fixture
    def options(self, file: str) -> dict[str, Any]:
        return {"data": file, "scores": list(PROXIES), "images": 6, "repeats": 2, "network": {"channels": 3}}

    @pytest.fixture
    def architectures(self, space: Any) -> list[Architecture]:
        return [space.canonical(values) for values in MEMBERS]


def test_the_evaluator_scores_the_training_images(file: str) -> None:
    space = ToySpace()
    a = space.canonical(MEMBERS[0])
    evaluator = ProxyEvaluator(file, "nwot", images=8, network={"channels": 3})
    evaluator.prepare(space)
    assert evaluator.metrics == ("nwot", "params", "multiply_adds", "activation_bytes", "depth")
    first = evaluator.evaluate(Evaluation(space, a, seed=1)).metrics
    assert first["nwot"] != evaluator.evaluate(Evaluation(space, a, seed=2)).metrics["nwot"]
    assert first["nwot"] != evaluator.evaluate(Evaluation(space, a, seed=1, replicate=1)).metrics["nwot"]
    many = ProxyEvaluator(file, "nwot", images=30, repeats=3, network={"channels": 3})  # more than there are: 38
    many.prepare(space)
    assert many.evaluate(Evaluation(space, a)).metrics["nwot"] > first["nwot"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"images": 1}, "images cannot be set: 1"),
        ({"images": 39}, "images cannot be set: 39.*at most 38"),
        ({"repeats": 0}, "repeats cannot be set"),
        ({"threads": True}, "threads cannot be set"),
        ({"scores": []}, "scores cannot be set"),
        ({"scores": ["nwot", "nwot"]}, "different names"),
        ({"scores": ["naswot"]}, "no such score: 'naswot'"),
        ({"network": 3}, "network cannot be set"),
        ({"thin": "channels=1"}, "thin cannot be set"),
        ({"scores": ["linear_regions"], "thin": {"width": 1}}, "no such option: 'width'"),
        ({"device": "tpu"}, "no such device"),
    ],
)
def test_wrong_options_are_refused(file: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        ProxyEvaluator(file, **options).prepare(ToySpace())


class Picky(ToySpace):  # type: ignore[misc]
    """A space that has no network for some members."""

    def network(self, a: Any, task: Any, seed: int = 0, channels: int = 3) -> Any:
        raise InvalidNetwork("too small an image", value=task.input_shape)


def test_an_architecture_without_a_network_fails_by_name(file: str) -> None:
    evaluator = ProxyEvaluator(file, network={"channels": 3})
    evaluator.prepare(ToySpace())
    with pytest.raises(TrialFailed, match="too small an image") as caught:
        evaluator.evaluate(Evaluation(Picky(), ToySpace().sample(rng(0, "a"), 1)[0]))
    assert caught.value.reason == "no_network"
