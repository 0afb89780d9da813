"""The network of NAS-Bench-201: its skeleton by hand, its costs against the published table, pruning by numbers."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations_with_replacement
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_core.architecture import Architecture
from nas_core.cost import cost
from nas_core.errors import InvalidNetwork
from nas_core.network import Network, Task
from nas_core.primitives import Convolution, Normalisation, Pooling
from nas_core.random import rng
from nas_spaces.nasbench201 import CIFAR10, OPERATIONS, NASBench201
from nas_spaces.nasbench201_flops import counted_flops

SPACE = NASBench201()
SMALL = Task("classification", (3, 8, 8), 4)
SHORT = {"0": "none", "s": "skip_connect", "1": "nor_conv_1x1", "3": "nor_conv_3x3", "p": "avg_pool_3x3"}


def member(short: str) -> Architecture:
    """The edges 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2, one letter each."""
    return SPACE.canonical([SHORT[letter] for letter in short])


def small(a: Architecture, **options: Any) -> Network:
    return SPACE.network(a, SMALL, channels=2, cells=1, **options)


def names(network: Network) -> list[str]:
    return [node.name for node in network.nodes]


def test_parameters_by_hand() -> None:
    stem = 3 * 16 * 9 + 2 * 16
    first = (16 * 32 * 9 + 2 * 32) + (32 * 32 * 9 + 2 * 32) + 16 * 32
    second = (32 * 64 * 9 + 2 * 64) + (64 * 64 * 9 + 2 * 64) + 32 * 64
    head = 2 * 64 + 64 * 10 + 10
    bare = stem + first + second + head
    assert cost(SPACE.network(member("000000"), CIFAR10)).parameters == bare == 73_306
    of_a_convolution = 5 * sum(9 * c * c + 2 * c for c in (16, 32, 64))
    assert cost(SPACE.network(member("003000"), CIFAR10)).parameters == bare + of_a_convolution


def test_flops_by_hand() -> None:
    per_channel = [16 * 32 * 32, 32 * 16 * 16, 64 * 8 * 8]  # elements at each stage
    stem = 27 * per_channel[0] + 2 * per_channel[0]
    blocks = 0
    for wide, narrow, c in ((per_channel[0], per_channel[1], 16), (per_channel[1], per_channel[2], 32)):
        blocks += wide + 9 * c * narrow + 2 * narrow  # ReLU, convolution, normalisation
        blocks += narrow + 9 * 2 * c * narrow + 2 * narrow
        blocks += 4 * narrow // 2 + c * narrow  # 2x2 mean of the narrower image's half as many channels, convolution
    head = 2 * per_channel[2] + per_channel[2] + 64 * 9 * 9 + 64 * 10
    assert SPACE.benchmark_flops(member("000000")) == stem + blocks + head == 7_943_872
    assert SPACE.benchmark_flops(member("s00000")) == 7_943_872
    assert SPACE.benchmark_flops(member("pppppp")) - 7_943_872 == 6 * 5 * 9 * sum(per_channel)
    macs = cost(SPACE.network(member("000000"), CIFAR10)).multiply_adds
    assert macs == 27 * per_channel[0] + 2 * (9 * 16 + 9 * 32 + 16) * per_channel[1] + 640


def test_positions_and_shapes() -> None:
    network = SPACE.network(member("3s0p10"), CIFAR10, cells=2)
    shape = dict(zip(names(network), network.shapes, strict=True))
    assert shape["stem.norm"] == shape["stage0.cell0.edge1_0.nor_conv_3x3.conv"] == (16, 32, 32)
    assert shape["stage0.cell1.edge3_1.nor_conv_1x1.norm"] == shape["stage0.cell1.node3"] == (16, 32, 32)
    assert shape["reduction1.sum"] == shape["stage1.cell0.edge2_0.skip_connect"] == (32, 16, 16)
    assert shape["reduction2.shortcut.pool"] == (32, 8, 8)
    assert shape["stage2.cell1.edge3_0.avg_pool_3x3"] == shape["head.norm"] == (64, 8, 8)
    assert shape["head.linear"] == (10,)
    assert network.outputs == (("logits", len(network.nodes) - 1),)
    parameters = dict(network.parameters())
    assert parameters["stage2.cell0.edge1_0.nor_conv_3x3.conv.weight"] == (64, 64, 3, 3)
    assert parameters["head.linear.bias"] == (10,)
    assert "reduction1.shortcut.conv.bias" not in parameters


def test_the_primitives_are_those_of_the_benchmark() -> None:
    primitive = {node.name: node.primitive for node in SPACE.network(member("p30000"), CIFAR10, cells=1).nodes}
    assert primitive["stem.conv"] == Convolution(16, (3, 3), (1, 1), (1, 1))
    assert primitive["reduction1.first.conv"] == Convolution(32, (3, 3), (2, 2), (1, 1))
    assert primitive["reduction1.second.conv"] == Convolution(32, (3, 3), (1, 1), (1, 1))
    assert primitive["reduction1.shortcut.pool"] == Pooling("avg", (2, 2), (2, 2))
    assert primitive["reduction1.shortcut.conv"] == Convolution(32, (1, 1))
    assert primitive["stage0.cell0.edge1_0.avg_pool_3x3"] == Pooling("avg", (3, 3), (1, 1), (1, 1))
    assert primitive["stage0.cell0.edge2_0.nor_conv_3x3.norm"] == Normalisation()


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        (Task("language", (16,), 100), {}, "classifies images: 'language'"),
        (Task("classification", (1, 14, 14), 10), {}, "multiples of 4. Pad the images"),
        (CIFAR10, {"channels": 0}, "channels cannot be set: 0"),
        (CIFAR10, {"cells": 2.0}, "cells cannot be set: 2.0"),
        (CIFAR10, {"cells": True}, "cells cannot be set: True"),
    ],
)
def test_what_does_not_fit_is_refused(task: Task, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidNetwork, match=message):
        SPACE.network(member("000000"), task, **options)


# --- against the published table -------------------------------------------------------------------------------------


def published_costs(published: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    with np.load(published / "nb201_c10.npz", allow_pickle=False) as arrays:
        assert tuple(arrays["op_names"]) == OPERATIONS
        return arrays["ops"], arrays["c10_params_M"], arrays["c10_flops_M"]


def disagreements(rows: list[int], published: Path) -> list[int]:
    """The rows whose parameters or FLOPs are not the published ones, to the 32-bit numbers of the table."""
    ops, params, flops = published_costs(published)
    wrong = []
    for row in rows:
        network = SPACE.network(SPACE.from_tokens(ops[row].tolist()), CIFAR10)
        ours = cost(network).parameters, counted_flops(network)
        if np.float32(ours[0] / 1e6) != params[row] or np.float32(ours[1] / 1e6) != flops[row]:
            wrong.append(row)
    return wrong


def test_costs_are_the_published_ones_for_random_rows(published: Path) -> None:
    rows = rng(0, "rows").choice(15_625, size=500, replace=False).tolist()
    assert disagreements(rows, published) == []


def test_costs_are_the_published_ones_for_every_count_of_operations(published: Path) -> None:
    # parameters and FLOPs of a network that is not pruned depend on how often each operation occurs alone; the test of
    # all rows is benchmarks/nb201_costs.py
    ops = published_costs(published)[0]
    first = {tuple(sorted(row)): i for i, row in reversed(list(enumerate(ops.tolist())))}
    assert set(first) == set(combinations_with_replacement(range(5), 6))
    assert disagreements(sorted(first.values()), published) == []


# --- pruning ---------------------------------------------------------------------------------------------------------


def test_pruning_by_hand() -> None:
    # node 1 is read by nothing but a zero; edge 3<-0 carries the input
    kept = [name for name in names(small(member("300s00"), pruned=True)) if "cell" in name]
    assert kept == [f"stage{i}.cell0.edge3_0.skip_connect" for i in range(3)]
    # node 1 is zero: of the convolution that reads it, its normalisation is left; the pooling of zeros is dropped
    network = small(member("00sp30"), pruned=True)
    kept = [name for name in names(network) if name.startswith("stage0")]
    assert kept == [
        "stage0.cell0.edge3_0.avg_pool_3x3",
        "stage0.cell0.edge3_1.nor_conv_3x3.zero",
        "stage0.cell0.edge3_1.nor_conv_3x3.norm",
        "stage0.cell0.node3",
    ]
    # the output does not depend on the input: the head is left, on zeros
    network = small(member("333000"), pruned=True)
    assert names(network) == [
        "input", "zero", "zeros", "width", "stage2.cell0.node3",
        "head.norm", "head.relu", "head.pool", "head.flatten", "head.linear",
    ]  # fmt: skip
    assert cost(network).parameters == 2 * 8 + 8 * 4 + 4
    # the same with a learnt constant in the last cell
    network = small(member("033030"), pruned=True)
    assert "stage2.cell0.edge3_1.nor_conv_3x3.norm" in names(network)
    assert cost(network).parameters == 2 * 8 + 2 * 8 + 8 * 4 + 4


def test_pruned_networks_compute_the_same(logits: Callable[..., np.ndarray[Any, Any]]) -> None:
    images = rng(0, "images").normal(size=(3, *SMALL.input_shape))
    members = SPACE.sample(rng(1, "pruned"), 150)
    members += [
        member(short) for short in ("000000", "333000", "033030", "001003", "00sp30", "00100p", "ppps00", "033003")
    ]
    smaller = 0
    for a in members:
        whole, pruned = small(a), small(a, pruned=True)
        expected, found = logits(whole, images), logits(pruned, images)
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9, err_msg=SPACE.text(a))
        assert pruned.pruned() == pruned  # nothing is left that no output depends on
        assert dict(pruned.parameters()).items() <= dict(whole.parameters()).items()
        smaller += len(pruned.nodes) < len(whole.nodes)
    assert smaller > 50


def test_the_benchmark_counts_what_pruning_drops() -> None:
    a = member("330000")
    whole, pruned = cost(SPACE.network(a, CIFAR10)), cost(SPACE.network(a, CIFAR10, pruned=True))
    assert whole.parameters == 73_306 + 2 * 243_040
    assert pruned.parameters == 2 * 64 + 650
