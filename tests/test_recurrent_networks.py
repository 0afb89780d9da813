"""Steps of recurrent cells in torch: they run with states, cost what the cost model says, and learn through time."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402 - after the check for torch

from nas_core.cost import cost  # noqa: E402
from nas_core.network import Network, Task  # noqa: E402
from nas_core.primitives import StateIn  # noqa: E402
from nas_core.random import rng  # noqa: E402
from nas_spaces.nasbench_nlp import NAMED, NASBenchNLP  # noqa: E402
from nas_spaces.recurrent import Recurrent  # noqa: E402
from nas_train.build import build  # noqa: E402

TASK = Task("language", (6,), 50)
HIDDEN = 9
BATCH = 4


def recipes() -> Iterator[Network]:
    space = NASBenchNLP()
    members = [*map(space.named, NAMED), *space.sample(rng(0, "networks"), 12)]
    for hidden in (HIDDEN, None):
        for a in members:
            yield space.network(a, TASK, hidden=hidden)


def published_recipes() -> Iterator[Network]:
    """Every recipe of the published table; none where it is not there."""
    default = Path(__file__).resolve().parents[2] / "shared" / "tables"
    path = Path(os.environ.get("NAS_TABLES", default)) / "nasbench_nlp_wikitext2.json.gz"
    if not path.is_file():
        pytest.skip(f"no {path.name} in {path.parent}; NAS_TABLES names its folder")
    space = NASBenchNLP()
    for text in dict.fromkeys(json.dumps(row["recepie"]) for row in json.loads(gzip.decompress(path.read_bytes()))):
        yield space.network(space.parse(text), TASK, hidden=HIDDEN)


def cells() -> Iterator[Network]:
    for space in (Recurrent(), Recurrent(8, variable=True, first=True), Recurrent(9, output="all")):
        for highway in (True, False):
            for a in space.sample(rng(1, "networks"), 4):
                yield space.network(a, TASK, hidden=HIDDEN, highway=highway)
    yield Recurrent().network(Recurrent().named("enas"), TASK)


MAKERS = [recipes, published_recipes, cells]


def states_of(network: Network) -> dict[str, Any]:
    """Random old states (b x d) through which gradients flow, as they do at every step but the first."""
    entrances = [node.primitive for node in network.nodes if isinstance(node.primitive, StateIn)]
    generator = torch.Generator().manual_seed(1)
    return {p.state: torch.randn(BATCH, *p.size, generator=generator).requires_grad_() for p in entrances}


def vectors() -> Any:
    """Random vectors of one time step (b x d)."""
    return torch.randn(BATCH, *TASK.input_shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("make", MAKERS)
def test_parameters_equal_those_of_the_module(make: Any) -> None:
    for network in make():
        module = build(network)
        assert sum(p.numel() for p in module.parameters()) == cost(network).parameters


@pytest.mark.parametrize("make", MAKERS)
def test_multiply_adds_are_half_of_torchs_count(make: Any) -> None:
    for network in make():
        module = build(network)
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            module(vectors()[:1])
        assert counter.get_total_flops() == 2 * cost(network).multiply_adds


@pytest.mark.parametrize("make", MAKERS)
def test_a_step_runs_with_states_and_learns_through_time(make: Any) -> None:
    """Outputs and new states of the right shapes; after two steps a gradient reaches every parameter and old state."""
    for network in make():
        module = build(network)
        states = states_of(network)
        outputs, new = module(vectors(), states)
        assert set(new) == set(states)
        assert {name: value.shape for name, value in new.items()} == {n: v.shape for n, v in states.items()}
        assert torch.equal(outputs["hidden"], new["h_0"])
        later, last = module(-vectors(), new)
        assert torch.isfinite(later["hidden"]).all()
        sum(value.square().sum() for value in last.values()).backward()
        assert all(parameter.grad is not None for parameter in module.parameters())
        assert all(state.grad is not None for state in states.values())


@pytest.mark.parametrize("make", MAKERS)
def test_no_states_are_zeros(make: Any) -> None:
    for network in make():
        module = build(network)
        zeros = {name: torch.zeros_like(value) for name, value in states_of(network).items()}
        assert torch.equal(module(vectors())[0]["hidden"], module(vectors(), zeros)[0]["hidden"])


@pytest.mark.parametrize("make", MAKERS)
def test_kept_bytes_are_within_a_tenth_of_what_torch_keeps(make: Any) -> None:
    for network in make():
        module = build(network)
        own = {p.untyped_storage().data_ptr() for p in module.parameters()}
        kept: dict[int, int] = {}
        alive = []  # a storage that is freed could give its address to another

        def pack(tensor: Any, own: Any = own, kept: Any = kept, alive: Any = alive) -> Any:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                kept[storage.data_ptr()] = storage.nbytes()
                alive.append(tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            module(vectors(), states_of(network))
        measured = sum(kept.values()) / BATCH
        assert abs(cost(network).activation_bytes / measured - 1) < 0.1


def test_a_gated_recurrent_unit_by_hand() -> None:
    """The recipe `gru`, written out with its own weights."""
    space = NASBenchNLP()
    network = space.network(space.named("gru"), TASK, hidden=HIDDEN)
    module = build(network)
    x, h = vectors(), states_of(network)["h_0"]
    parts = dict(module.named_parameters())

    def affine(node: str, first: Any, second: Any, names: tuple[str, str]) -> Any:
        weights = [parts[f"{node}.linear.{name}.weight"] for name in names]
        return first @ weights[0].T + second @ weights[1].T + parts[f"{node}.linear.{names[0]}.bias"]

    r = torch.sigmoid(affine("node_0", x, h, ("x", "h_prev_0")))
    z = torch.sigmoid(affine("node_2", x, h, ("x", "h_prev_0")))
    t = torch.tanh(affine("node_5", x, r * h, ("x", "node_4")))
    torch.testing.assert_close(module(x, {"h_0": h})[0]["hidden"], z * h + (1 - z) * t)
