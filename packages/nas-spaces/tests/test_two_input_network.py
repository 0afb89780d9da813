"""Networks of cells with two inputs: published sizes, shapes, names."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nas_core.cost import cost
from nas_core.errors import InvalidNetwork
from nas_core.network import Network, Task
from nas_core.primitives import Activation, AdaptivePooling, DropPath, Normalisation, Pooling
from nas_core.random import rng
from nas_spaces.bonas_open_domain import BonasOpenDomain
from nas_spaces.darts import DARTS
from nas_spaces.nao_cnn import NAOCNN
from nas_spaces.two_input_space import TwoInputSpace

SPACE = DARTS()
NAMED = SPACE.named
CIFAR = Task("classification", (3, 32, 32), 10)
IMAGENET = Task("classification", (3, 224, 224), 1000)
SPACES: tuple[TwoInputSpace, ...] = (SPACE, DARTS(none=True), BonasOpenDomain(), NAOCNN(), NAOCNN("enas"))


def built(space: Any, member: Any, task: Task, **options: Any) -> Network:
    network: Network = space.network(member, task, **options)
    return network


def parameters(name: str, **options: Any) -> int:
    return cost(built(SPACE, NAMED[name], CIFAR, **options)).parameters


@pytest.mark.parametrize(("name", "millions"), [("darts_v2", 3.3), ("pdarts", 3.4), ("pcdarts", 3.6)])
def test_published_cells_have_their_published_sizes(name: str, millions: float) -> None:
    assert abs(parameters(name) / 1e6 - millions) < 0.1


def test_one_size_is_known_to_the_last_digit() -> None:
    """Counted by a user of the published code of P-DARTS: issue 7 of chenxin061/pdarts."""
    assert parameters("pdarts") == 3_433_798
    assert parameters("pdarts", auxiliary=True) == 3_910_224


def counted(network: Network) -> int:
    """Operations in the convention of the counters that published numbers come from.

    Multiply-adds, two for each number that a normalisation gives, one for each that an activation gives, and one for
    each that a pooling reads.
    """
    total = cost(network).multiply_adds
    for i, node in enumerate(network.nodes):
        if isinstance(node.primitive, Normalisation):
            total += 2 * prod(network.shapes[i])
        elif isinstance(node.primitive, Activation):
            total += prod(network.shapes[i])
        elif isinstance(node.primitive, Pooling | AdaptivePooling):
            total += prod(network.shapes[node.inputs[0]])
    return total


@pytest.mark.parametrize(
    ("name", "millions", "digits"),
    [
        ("pdarts", 557, 0),  # Chen et al. 2019, table 2
        ("pcdarts_imagenet", 597, 0),  # Xu et al. 2020, table 2
        ("darts_v2", 544.59, 2),  # counted by a user of the published code: issue 46 of quark0/darts
    ],
)
def test_the_mobile_network_has_its_published_cost(name: str, millions: float, digits: int) -> None:
    """Liu et al. 2019 give 574 M for DARTS, which nobody who counted it in that issue could reproduce."""
    network = built(SPACE, NAMED[name], IMAGENET, channels=48, cells=14)
    assert round(counted(network) / 1e6, digits) == millions
    assert 500e6 < cost(network).multiply_adds < 600e6


def test_mobile_networks_have_their_published_sizes() -> None:
    for name, millions in (("darts_v2", 4.7), ("pdarts", 4.9), ("pcdarts_imagenet", 5.3), ("pcdarts", 5.3)):
        network = built(SPACE, NAMED[name], IMAGENET, channels=48, cells=14)
        assert abs(cost(network).parameters / 1e6 - millions) < 0.05


def test_sizes_of_725_members_of_nas_bench_301(published: Path) -> None:
    """8 cells of 32 channels, counted by another library, whose normalisations in branches have no scale and shift."""
    path = published / "zero_cost.npz"
    if not path.is_file():
        pytest.skip(f"no zero_cost.npz in {published}")
    with np.load(path, allow_pickle=False) as arrays:
        given = arrays["nasbench301__cifar10__params"]
        rows = np.flatnonzero(~np.isnan(given))
        genotypes = arrays["nasbench301__cifar10__arch"][rows].tolist()
    assert len(rows) == 725
    for millions, (normal, reduction) in zip(given[rows], genotypes, strict=True):
        cells = []
        for kind in (normal, reduction):
            branches = [(source, SPACE.operations[operation]) for source, operation in kind]
            cells.append(tuple((branches[i], branches[i + 1]) for i in range(0, 8, 2)))
        network = built(SPACE, SPACE.from_cells(cells), CIFAR, channels=32, cells=8)
        own = [
            2 * network.shapes[i][0]
            for i, node in enumerate(network.nodes)
            if isinstance(node.primitive, Normalisation) and ".node" in node.name
        ]
        assert cost(network).parameters - sum(own) == round(float(millions) * 1e6)


def test_a_network_counted_by_hand() -> None:
    """Two identities in each node, three cells of one channel: only stem, preprocessing and head have parameters.

    The cells have 1, 2 and 4 channels, hence outputs of 4, 8 and 16. The second and third are reductions, in which all
    8 branches read an input and are factorized reductions.
    """
    both = (((0, "skip_connect"), (1, "skip_connect")),) * 4
    network = built(SPACE, SPACE.from_cells((both, both)), CIFAR, channels=1, cells=3)
    stem = 27 * 3 + 2 * 3
    preprocessing = (3 * 1 + 2) + (3 * 1 + 2)  # both inputs are the stem's
    preprocessing += (3 * 2 + 4) + (4 * 2 + 4)
    preprocessing += (4 * 4 + 8) + (8 * 4 + 8)
    reductions = 8 * (2 * 2 + 4) + 8 * (4 * 4 + 8)
    head = 16 * 10 + 10
    assert cost(network).parameters == stem + preprocessing + reductions + head
    sizes = {node.name: shape for node, shape in zip(network.nodes, network.shapes, strict=True)}
    assert [sizes[f"cell{i}.concat"] for i in range(3)] == [(4, 32, 32), (8, 16, 16), (16, 8, 8)]


@pytest.mark.parametrize("space", SPACES, ids=lambda space: f"{space.name}-{len(space.operations)}")
def test_shapes_fit_for_all_images(space: TwoInputSpace) -> None:
    [member, *others] = space.sample(rng(0, "shapes", space.name), 6)
    for channels in (1, 3):
        for size in (8, 28, 32, 64, 224):
            task = Task("classification", (channels, size, size), 7)
            network = built(space, member, task, channels=4, cells=3, auxiliary=True)
            assert [network.shapes[i] for _, i in network.outputs] == [(7,), (7,)]
            assert [name for name, _ in network.outputs] == ["logits", "auxiliary"]
    for other in others:
        for shape in ((3, 33, 33), (1, 7, 12), (2, 1, 1), (3, 97, 101)):
            for stem in ("cifar", "imagenet"):
                network = built(space, other, Task("classification", shape, 3), channels=3, cells=2, stem=stem)
                assert network.shapes[network.outputs[0][1]] == (3,)


def test_the_stem_goes_by_the_size_of_the_image() -> None:
    names = {}
    for size in (95, 96):
        network = built(SPACE, NAMED["darts_v1"], Task("classification", (3, size, size), 10), channels=4, cells=3)
        names[size] = {node.name for node in network.nodes}
    assert "stem.conv" in names[95] - names[96]
    assert "stem.third.conv" in names[96] - names[95]
    small = built(SPACE, NAMED["darts_v1"], CIFAR, channels=4, cells=3, stem="imagenet")
    sizes = {node.name: shape for node, shape in zip(small.nodes, small.shapes, strict=True)}
    assert [sizes[f"stem.{which}.conv"] for which in ("first", "second", "third")] == [
        (2, 16, 16),
        (4, 8, 8),
        (4, 4, 4),
    ]
    assert "cell0.input0.even" in sizes  # the older input of the first cell is the larger one, and is halved


def test_reductions_halve_and_double_at_one_and_two_thirds() -> None:
    network = built(SPACE, NAMED["darts_v2"], CIFAR, channels=4, cells=20)
    sizes = {node.name: shape for node, shape in zip(network.nodes, network.shapes, strict=True)}
    assert [sizes[f"cell{i}.concat"] for i in range(20)] == ([(16, 32, 32)] * 6 + [(32, 16, 16)] * 7 + [(64, 8, 8)] * 7)
    for i in range(20):
        assert (f"cell{i}.input0.even" in sizes) == (i in (7, 14))
        assert (f"cell{i}.node2.from0.max_pool_3x3.pool" in sizes) == (i in (6, 13))


def test_branches_of_reductions_that_read_inputs_have_stride_2() -> None:
    network = built(SPACE, NAMED["darts_v2"], CIFAR, channels=4, cells=20)
    names = {node.name for node in network.nodes}
    assert "cell0.node4.from0.skip_connect.identity" in names
    assert "cell6.node3.from2.skip_connect.identity" in names  # reads a node: stride 1
    all_skips = (((0, "skip_connect"), (1, "skip_connect")),) * 4
    member = SPACE.from_cells((all_skips, all_skips))
    names = {node.name for node in built(SPACE, member, CIFAR, channels=4, cells=3).nodes}
    assert "cell1.node2.from0.skip_connect.even" in names


def test_paths_are_dropped_behind_all_branches_but_identities() -> None:
    network = built(SPACE, NAMED["darts_v2"], CIFAR, channels=4, cells=20)
    dropped = [node.name for node in network.nodes if isinstance(node.primitive, DropPath)]
    assert sum(name.startswith("cell0.") for name in dropped) == 6  # eight branches, two of them identities
    assert sum(name.startswith("cell6.") for name in dropped) == 5
    assert {node.primitive for node in network.nodes if isinstance(node.primitive, DropPath)} == {DropPath(1.0)}
    none = DARTS(none=True)
    nothing = (((0, "none"), (1, "none")),) * 4
    network = built(none, none.from_cells((nothing, nothing)), CIFAR, channels=4, cells=3)
    assert not [node for node in network.nodes if isinstance(node.primitive, DropPath)]


def test_later_cells_of_nao_drop_more_paths() -> None:
    [member] = NAOCNN("enas").sample(rng(1), 1)
    network = built(NAOCNN("enas"), member, CIFAR, channels=4, cells=1)
    depths = {
        node.name.split(".")[0]: node.primitive.depth for node in network.nodes if isinstance(node.primitive, DropPath)
    }
    assert depths == {f"cell{i}": (i + 1) / 5 for i in range(5)}


def test_nao_stacks_normal_cells_with_reductions_between() -> None:
    space = NAOCNN("enas")
    chain = "node-2 identity node-1 identity" + "".join(f", node{j} identity node-1 identity" for j in range(1, 5))
    network = built(space, space.parse(f"{chain}; {chain}"), CIFAR, channels=8, cells=2)
    sizes = {node.name: shape for node, shape in zip(network.nodes, network.shapes, strict=True)}
    assert [sizes[f"cell{i}.node6.sum"] for i in range(8)] == (
        [(8, 32, 32)] * 2 + [(16, 16, 16)] * 3 + [(32, 8, 8)] * 3
    )
    assert "cell0.concat" not in sizes  # one loose node
    wide = ", ".join(["node-2 identity node-1 identity"] * 5)
    network = built(space, space.parse(f"{wide}; {chain}"), CIFAR, channels=8, cells=2)
    sizes = {node.name: shape for node, shape in zip(network.nodes, network.shapes, strict=True)}
    assert sizes["cell0.concat"] == (40, 32, 32)
    assert sizes["cell3.input0.norm"] == sizes["cell3.input1.norm"] == (16, 16, 16)


def test_branches_of_nao_have_places_of_their_own() -> None:
    space = NAOCNN("enas")
    cell = ", ".join(["node-2 sep_conv_3x3 node-2 sep_conv_3x3"] + ["node-1 max_pool_3x3 node1 identity"] * 4)
    names = {node.name for node in built(space, space.parse(f"{cell}; {cell}"), CIFAR, channels=4, cells=1).nodes}
    assert "cell0.node2.branch0.from0.sep_conv_3x3.first.conv" not in names
    assert {f"cell0.node2.branch{slot}.from0.sep_conv_3x3.first.depthwise" for slot in (0, 1)} <= names


def test_what_nothing_depends_on_is_left_out_of_nao() -> None:
    """Normal cells 0, 2 and 4 never read c_{k-1}, so that reduction cells 1 and 3 have no readers."""
    space = NAOCNN("enas")
    blind = ", ".join(["node-2 sep_conv_3x3 node-2 identity"] * 5)
    seeing = ", ".join(["node-2 sep_conv_3x3 node-1 identity"] * 5)
    network = built(space, space.parse(f"{blind}; {seeing}"), CIFAR, channels=4, cells=1)
    cells = {node.name.split(".")[0] for node in network.nodes}
    assert cells == {"input", "stem", "cell0", "cell2", "cell4", "head"}
    assert not [node.name for node in network.nodes if node.name.startswith("cell4.input1")]
    assert network.pruned() == network


def test_networks_agree_on_the_names_of_what_they_have_in_common() -> None:
    """One bank of weights: members that apply one operation between two nodes share its parameters."""
    first, second = NAMED["darts_v1"], NAMED["darts_v2"]
    owned = [dict(built(SPACE, member, CIFAR, channels=4, cells=4).parameters()) for member in (first, second)]
    shared = owned[0].keys() & owned[1].keys()
    assert "cell0.node2.from0.sep_conv_3x3.first.depthwise.weight" in shared
    assert "cell0.input1.conv.weight" in shared
    assert not [name for name in shared if ".dil_conv" in name]
    assert all(owned[0][name] == owned[1][name] for name in shared)


@pytest.mark.parametrize("size", [5, 6, 7, 8, 9, 14])
def test_the_auxiliary_head_reads_two_by_two_means(size: int) -> None:
    task = Task("classification", (3, 4 * size, 4 * size), 10)
    network = built(SPACE, NAMED["darts_v2"], task, channels=4, cells=3, stem="cifar", auxiliary=True)
    sizes = {node.name: shape for node, shape in zip(network.nodes, network.shapes, strict=True)}
    assert sizes["cell2.concat"] == (64, size, size)
    assert sizes["auxiliary.pool"] == (64, 2, 2)
    assert sizes["auxiliary.second.conv"] == (768, 1, 1)
    [pool] = [node.primitive for node in network.nodes if node.name == "auxiliary.pool"]
    assert pool == (Pooling("avg", (5, 5), (size - 5,) * 2) if 6 <= size <= 8 else AdaptivePooling((2, 2)))
    own = 64 * 128 + 2 * 128 + 128 * 768 * 4 + 2 * 768 + 768 * 10 + 10
    plain = built(SPACE, NAMED["darts_v2"], task, channels=4, cells=3, stem="cifar")
    assert cost(network).parameters == cost(plain).parameters + own


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        (Task("language", (32,), 100), {}, "classifies images: 'language'"),
        (CIFAR, {"channels": 0}, "channels cannot be set: 0"),
        (CIFAR, {"channels": 2.0}, "channels cannot be set: 2.0"),
        (CIFAR, {"cells": True}, "cells cannot be set: True"),
        (CIFAR, {"stem": "large"}, "no such stem: 'large'; expected one of auto, cifar, imagenet"),
        (CIFAR, {"stem": "imagenet", "channels": 1}, "needs at least 2 channels"),
        (CIFAR, {"auxiliary": 1}, "auxiliary cannot be set: 1"),
    ],
)
@pytest.mark.parametrize("space", SPACES[1:4], ids=lambda space: space.name)
def test_what_does_not_fit_is_told(space: TwoInputSpace, task: Task, options: dict[str, Any], message: str) -> None:
    [member] = space.sample(rng(0), 1)
    with pytest.raises(InvalidNetwork, match=message):
        built(space, member, task, **options)
