"""Modules have the parameters that networks describe, compute what primitives say, and run only what is needed."""

from __future__ import annotations

import copy
import math
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from nas_core import primitives as p
from nas_core.cost import cost
from nas_core.errors import InvalidNetwork
from nas_core.network import Network, NetworkBuilder, Task
from nas_core.random import rng
from nas_train.build import build, initialise
from nas_train.modules import set_drop_path, set_noise

CELLS = [[int(i) for i in rng(seed, "cell").integers(0, 5, 6)] for seed in range(12)]


def single(primitive: p.Primitive, inputs: int = 1, shape: tuple[int, ...] = (4, 6, 6)) -> Network:
    """A primitive that reads the input, and the input again in other guises."""
    kind = "classification" if len(shape) == 3 else "language"
    b = NetworkBuilder(Task(kind, shape, 2))
    x = b.input()
    others = [b.add(f"other{i}", p.Activation("tanh" if i % 2 else "sigmoid"), x) for i in range(inputs - 1)]
    return b.network(logits=b.add("last", primitive, x, *others))


EVERY_PRIMITIVE: list[tuple[p.Primitive, int]] = [
    (p.Convolution(6, (3, 1), (2, 1), (1, 0), (1, 1), 2, True), 1),
    (p.Convolution(4, (3, 3), dilation=(2, 2), padding=(2, 2)), 1),
    (p.Linear(3), 1),
    (p.Normalisation(), 1),
    (p.Normalisation(affine=False), 1),
    *[(p.Activation(kind), 1) for kind in p.ACTIVATIONS],
    *[(p.Pooling(kind, (3, 3), (2, 2), (1, 1)), 1) for kind in p.POOLINGS],
    (p.AdaptivePooling((1, 1)), 1),
    (p.AdaptivePooling((2, 3), "max"), 1),
    (p.Crop(1, 2), 1),
    (p.Pad((0, 1, 2, 3)), 1),
    (p.ChannelSlice(1, 3), 1),
    (p.Zero(), 1),
    (p.Zero(4), 1),
    (p.Identity(), 1),
    (p.Add(), 3),
    (p.Mean(), 3),
    (p.Multiply(), 2),
    (p.Complement(), 1),
    (p.WeightedSum(), 3),
    (p.Attention(), 3),
    (p.Concatenation(), 3),
    (p.Flatten(), 1),
    (p.Dropout(0.5), 1),
    (p.DropPath(), 1),
]


def test_the_list_of_primitives_is_complete() -> None:
    entrances = {p.Input, p.StateIn, p.StateOut}  # tested below
    assert {type(primitive) for primitive, _ in EVERY_PRIMITIVE} | entrances == set(p.PRIMITIVES.values())


@pytest.mark.parametrize(("primitive", "inputs"), EVERY_PRIMITIVE, ids=lambda value: str(value))
def test_a_primitive_gives_the_shape_and_has_the_parameters_that_it_says(primitive: p.Primitive, inputs: int) -> None:
    network = single(primitive, inputs)
    module = build(network)
    assert module(torch.randn(5, 4, 6, 6)).shape == (5, *network.shapes[-1])
    assert {name: tuple(t.shape) for name, t in module.named_parameters()} == dict(network.parameters())


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_network_has_the_parameters_that_the_cost_model_counts(
    make_network: Callable[..., Network], cell: list[int]
) -> None:
    network = make_network(cell, shape=(3, 16, 16))
    module = build(network)
    assert sum(parameter.numel() for parameter in module.parameters()) == cost(network).parameters
    assert [(name, tuple(t.shape)) for name, t in module.named_parameters()] == list(network.parameters())
    buffers = {name for name in module.state_dict() if name.rpartition(".")[2] in ("running_mean", "running_var")}
    assert set(module.state_dict()) == {name for name, _ in network.parameters()} | buffers
    assert module(torch.randn(2, 3, 16, 16)).shape == (2, 4)


def as_written(network: Network, state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """The network as a second reader understands it, node by node, on running statistics."""
    values: list[torch.Tensor] = []
    for name, primitive, inputs in network.nodes:
        xs = [values[i] for i in inputs]
        own = {key.removeprefix(f"{name}."): t for key, t in state.items() if key.startswith(f"{name}.")}
        if isinstance(primitive, p.Input):
            values.append(x)
        elif isinstance(primitive, p.Convolution):
            values.append(F.conv2d(xs[0], own["weight"], None, primitive.stride, primitive.padding))
        elif isinstance(primitive, p.Normalisation):
            mean, var = own["running_mean"][:, None, None], own["running_var"][:, None, None]
            unit = (xs[0] - mean) / (var + primitive.epsilon).sqrt()
            values.append(unit * own["weight"][:, None, None] + own["bias"][:, None, None])
        elif isinstance(primitive, p.Activation):
            values.append(xs[0].clamp(min=0))
        elif isinstance(primitive, p.Pooling):
            counts = F.avg_pool2d(torch.ones_like(xs[0]), primitive.kernel, primitive.stride, primitive.padding)
            values.append(F.avg_pool2d(xs[0], primitive.kernel, primitive.stride, primitive.padding) / counts)
        elif isinstance(primitive, p.AdaptivePooling):
            values.append(xs[0].mean((2, 3), keepdim=True))
        elif isinstance(primitive, p.Flatten):
            values.append(xs[0].reshape(len(x), -1))
        elif isinstance(primitive, p.Linear):
            values.append(xs[0] @ own["weight"].T + own["bias"])
        elif isinstance(primitive, p.Zero):
            values.append(xs[0] * 0)
        elif isinstance(primitive, p.Identity):
            values.append(xs[0])
        else:
            assert isinstance(primitive, p.Add)
            values.append(torch.stack(xs).sum(0))
    return values[network.outputs[0][1]]


@pytest.mark.parametrize("cell", CELLS[:6], ids=str)
def test_a_network_computes_what_its_nodes_say(make_network: Callable[..., Network], cell: list[int]) -> None:
    network = make_network(cell)
    module = build(network, dtype=torch.float64).eval()
    for name, buffer in module.named_buffers():  # running statistics that are not the initial ones
        buffer.copy_(torch.linspace(0.5, 1.5, buffer.numel()) + (0.1 if name.endswith("mean") else 0.0))
    x = torch.randn(3, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(module(x), as_written(network, module.state_dict(), x))


def test_padding_never_counts_in_pooling() -> None:
    x = torch.full((1, 1, 2, 2), -3.0)  # zeros from padding would win a maximum, or dilute the mean
    for kind in p.POOLINGS:
        network = single(p.Pooling(kind, (3, 3), padding=(1, 1)), shape=(1, 2, 2))
        torch.testing.assert_close(build(network)(x if kind != "min" else -x).abs(), torch.full((1, 1, 2, 2), 3.0))


def test_windows_of_pooling_worked_out_by_hand() -> None:
    x = torch.arange(9.0).reshape(1, 1, 3, 3)
    expected = {"max": [[4.0, 5.0], [7.0, 8.0]], "min": [[0.0, 1.0], [3.0, 4.0]], "avg": [[2.0, 3.0], [5.0, 6.0]]}
    for kind, values in expected.items():
        assert build(single(p.Pooling(kind, (2, 2)), shape=(1, 3, 3)))(x)[0, 0].tolist() == values


def test_crop_pad_and_slice_worked_out_by_hand() -> None:
    x = torch.arange(12.0).reshape(1, 3, 2, 2)
    shape = (3, 2, 2)
    assert build(single(p.Crop(1, 0), shape=shape))(x)[0, 0].tolist() == [[2.0, 3.0]]
    padded = build(single(p.Pad((1, 0, 0, 2)), shape=shape))(x)[0, 0].tolist()
    assert padded == [[0.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [2.0, 3.0, 0.0, 0.0]]
    assert build(single(p.ChannelSlice(1, 2), shape=shape))(x)[0].tolist() == [[[4.0, 5.0], [6.0, 7.0]]]


def merged(primitive: p.Primitive, *xs: np.ndarray, **parameters: float | list[float]) -> np.ndarray:
    """What a merging primitive makes of vectors that are slices of one input."""
    d = len(xs[0])
    b = NetworkBuilder(Task("language", (d * len(xs),), 2))
    x = b.input()
    parts = [b.add(f"part{i}", p.ChannelSlice(i * d, i * d + d), x) for i in range(len(xs))]
    module = build(b.network(logits=b.add("last", primitive, *parts)))
    for name, value in parameters.items():
        module.last.get_parameter(name).data = torch.tensor(value)
    with torch.no_grad():
        return np.asarray(module(torch.tensor(np.concatenate(xs)[None], dtype=torch.float32))[0])


def test_merging_worked_out_by_hand() -> None:
    a, b, c = np.array([1.0, 2.0, 5.0]), np.array([10.0, 20.0, 30.0]), np.array([0.0, 1.0, -1.0])
    sigmoid = lambda t: 1 / (1 + math.exp(-t))  # noqa: E731
    np.testing.assert_allclose(merged(p.Add(), a, b, c), a + b + c)
    np.testing.assert_allclose(merged(p.Mean(), a, b, c), (a + b + c) / 3, rtol=1e-6)
    np.testing.assert_allclose(merged(p.Multiply(), a, b), a * b)
    np.testing.assert_allclose(merged(p.Complement(), a), [0.0, -1.0, -4.0])
    np.testing.assert_allclose(merged(p.Concatenation(), a, b), np.concatenate([a, b]))
    expected = sigmoid(0.5) * a + sigmoid(-1.0) * b + sigmoid(2.0) * c
    np.testing.assert_allclose(merged(p.WeightedSum(), a, b, c, weight=[0.5, -1.0, 2.0]), expected, rtol=1e-6)
    mask = np.array([1.0, 0.75, 0.0])  # the gate is negative: 1, 2, 5 become -2, -4, -10, stretched to [0, 1]
    expected = sigmoid(0.3) * (b + c) + mask * (b + c)
    np.testing.assert_allclose(merged(p.Attention(), a, b, c, gate=-2.0, scale=0.3), expected, rtol=1e-6)


def test_attention_to_a_flat_image_is_finite() -> None:
    found = merged(p.Attention(), np.full(3, 2.0), np.array([1.0, 2.0, 3.0]), gate=1.0, scale=0.0)
    np.testing.assert_allclose(found, [0.5, 1.0, 1.5])


def test_nodes_that_nothing_reads_keep_their_parameters_and_are_not_run(make_network: Callable[..., Network]) -> None:
    network = make_network([3, 0, 0, 1, 0, 0])  # edge 1 <- 0 is a convolution; nothing reads node 1
    module = build(network)
    assert "stage0.cell0.edge1_0.conv3.conv.weight" in module.state_dict()
    assert "edge1_0" not in module.code
    module(torch.randn(4, 1, 8, 8)).sum().backward()
    assert module.get_parameter("stage0.cell0.edge1_0.conv3.conv.weight").grad is None
    assert module.get_parameter("stem.conv.weight").grad is not None
    assert sum(x.numel() for x in module.parameters()) == cost(network).parameters
    assert build(network.pruned()).code == module.code


def test_a_sum_of_zeros_is_zero_and_carries_no_gradient() -> None:
    b = NetworkBuilder(Task("classification", (2, 4, 4), 2))
    x = b.add("conv", p.Convolution(2, (1, 1)), b.input())
    zeros = [b.add(f"zero{i}", p.Zero(), x) for i in range(2)]
    module = build(b.network(logits=b.add("sum", p.Add(), *zeros)))
    output = module(torch.randn(3, 2, 4, 4))
    assert output.shape == (3, 2, 4, 4)
    assert not output.any()
    assert not output.requires_grad


def test_tensors_are_let_go_after_their_last_reader() -> None:
    b = NetworkBuilder(Task("classification", (2, 4, 4), 2))
    x = b.input()
    for i in range(4):
        x = b.add(f"conv{i}", p.Convolution(2, (1, 1)), x)
    module = build(b.network(logits=x))
    outputs: list[weakref.ref[torch.Tensor]] = []
    alive: list[int] = []

    def note(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        alive.append(sum(reference() is not None for reference in outputs))
        outputs.append(weakref.ref(output))

    for i in range(4):
        module.get_submodule(f"conv{i}").register_forward_hook(note)
    with torch.no_grad():
        module(torch.randn(1, 2, 4, 4))
    assert alive == [0, 1, 1, 1]  # at most the tensor that is being read


def test_several_outputs_come_by_name() -> None:
    b = NetworkBuilder(Task("classification", (2, 4, 4), 2))
    x = b.add("linear", p.Linear(2), b.add("flatten", p.Flatten(), b.input()))
    module = build(b.network(logits=x, auxiliary=b.add("relu", p.Activation("relu"), x)))
    outputs = module(torch.randn(3, 2, 4, 4))
    assert list(outputs) == ["logits", "auxiliary"]
    assert torch.equal(outputs["auxiliary"], outputs["logits"].relu())


def test_one_step_of_a_recurrent_network() -> None:
    b = NetworkBuilder(Task("language", (3,), 5))
    joined = b.add("join", p.Concatenation(), b.input(), b.add("h", p.StateIn("h", (2,))))
    new = b.add("tanh", p.Activation("tanh"), b.add("map", p.Linear(2), joined))
    b.add("keep", p.StateOut("h"), new)
    module = build(b.network(logits=b.add("decode", p.Linear(5), new)))
    x, h = torch.randn(4, 3), torch.randn(4, 2)
    weight, bias = module.get_parameter("map.weight"), module.get_parameter("map.bias")
    logits, states = module(x, {"h": h})
    expected = torch.tanh(torch.cat([x, h], 1) @ weight.T + bias)
    torch.testing.assert_close(states, {"h": expected})
    assert logits.shape == (4, 5)
    first = module(x)
    torch.testing.assert_close(first[1], module(x, {"h": torch.zeros(4, 2)})[1])


def test_two_new_values_of_one_state_are_refused() -> None:
    b = NetworkBuilder(Task("language", (3,), 5))
    x = b.input()
    b.add("one", p.StateOut("h"), x)
    b.add("two", p.StateOut("h"), x)
    with pytest.raises(InvalidNetwork, match="'h'"):
        build(b.network(logits=b.add("decode", p.Linear(5), x)))


@pytest.mark.parametrize(
    "names",
    [
        ("training", "b"),
        ("forward.conv", "b"),
        ("a..b", "b"),
        ("a.b", "a"),
        ("", "b"),
        ("code", "b"),
        ("network.conv", "b"),
    ],
)
def test_names_that_cannot_be_attributes_are_refused(names: tuple[str, str]) -> None:
    b = NetworkBuilder(Task("classification", (2, 4, 4), 2))
    x = b.input("x")
    for name in names:
        x = b.add(name, p.Convolution(2, (1, 1)), x)
    with pytest.raises(InvalidNetwork, match="attribute of a module"):
        build(b.network(logits=x))


def test_the_same_seed_gives_the_same_weights_and_touches_no_global_stream(network: Network) -> None:
    before = torch.get_rng_state()
    one, same, other = build(network, seed=3), build(network, seed=3), build(network, seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.get_parameter("stem.conv.weight"), other.get_parameter("stem.conv.weight"))
    initialise(other, 3)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_networks_start_alike_where_they_are_alike(make_network: Callable[..., Network]) -> None:
    one, other = build(make_network([3, 1, 3, 2, 4, 3])), build(make_network([3, 0, 0, 0, 0, 3]))
    shared = set(one.state_dict()) & set(other.state_dict())
    assert "stage1.cell0.edge3_2.conv3.conv.weight" in shared
    assert all(torch.equal(one.state_dict()[name], other.state_dict()[name]) for name in shared)


def test_initial_values() -> None:
    b = NetworkBuilder(Task("classification", (8, 8, 8), 2))
    x = b.add("conv", p.Convolution(128, (3, 3), groups=4), b.input())
    x = b.add("sum", p.WeightedSum(initial=0.7), b.add("norm", p.Normalisation(), x))
    module = build(b.network(logits=b.add("linear", p.Linear(1000), x)))
    kernel = module.get_parameter("conv.weight")
    # fan-out 128 / 4 * 9 = 288; of 2,304 normal numbers the deviation is within 10 % except once in 10^11
    assert kernel.std().item() == pytest.approx(math.sqrt(2 / 288), rel=0.1)
    assert kernel.mean().abs().item() < 0.01
    assert module.get_parameter("norm.weight").eq(1).all()
    assert module.get_parameter("norm.bias").eq(0).all()
    assert module.get_parameter("sum.weight").tolist() == [pytest.approx(0.7)]
    bound = 1 / math.sqrt(6)  # the last axis is 6 wide
    for name in ("weight", "bias"):
        values = module.get_parameter(f"linear.{name}")
        assert values.abs().max().item() <= bound
        assert values.abs().max().item() > 0.95 * bound  # of 1,000 numbers, except once in 10^22


def test_a_copy_has_weights_of_its_own(network: Network) -> None:
    module = build(network).eval()
    other = copy.deepcopy(module)
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(module(x), other(x))
    initialise(other, 9)
    assert not torch.equal(module(x), other(x))
    assert torch.equal(module(x), build(network).eval()(x))


def test_noise_scales_up_what_it_keeps_and_rests_in_evaluation() -> None:
    x = torch.ones(4000, 2, 3, 3)
    dropout = build(single(p.Dropout(0.25), shape=(2, 3, 3)))
    set_noise(dropout, torch.Generator().manual_seed(0))
    values = dropout(x)
    assert values.unique().tolist() == [0.0, pytest.approx(4 / 3)]
    # 72,000 elements kept with 3/4: six standard errors are 0.0097
    assert (values > 0).float().mean().item() == pytest.approx(0.75, abs=0.0097)
    assert torch.equal(dropout.eval()(x), x)
    path = build(single(p.DropPath(depth=0.5), shape=(2, 3, 3)))
    assert torch.equal(path(x), x)  # no rate has been set
    set_drop_path(path, 0.4)  # at depth 1/2 that is 0.2
    set_noise(path, torch.Generator().manual_seed(0))
    kept = path(x).flatten(1)
    assert all(len(row.unique()) == 1 for row in kept[:50])  # an image is kept whole or dropped whole
    # 4,000 images kept with 0.8: six standard errors are 0.038
    assert (kept[:, 0] > 0).float().mean().item() == pytest.approx(0.8, abs=0.038)
    assert kept.max().item() == pytest.approx(1.25)
    set_noise(path, torch.Generator().manual_seed(0))
    assert torch.equal(path(x).flatten(1), kept)
    assert torch.equal(path.eval()(x), x)
