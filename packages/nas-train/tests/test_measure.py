"""Latency by a clock of our own, memory worked out by hand, and the evaluator that measures without training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nas_core.cost import cost
from nas_core.errors import InvalidOption
from nas_core.evaluator import Evaluation
from nas_core.network import Network
from nas_core.testing.evaluators import EvaluatorContract
from nas_core.testing.fakes import ToySpace
from nas_train.build import build
from nas_train.data import ImageSet
from nas_train.evaluator import TrainingEvaluator
from nas_train.measure import MEGABYTE, Quantity, latency, measure, memory_per_sample, parse_metric, peak_memory
from nas_train.measuring import MeasuringEvaluator
from nas_train.modules import Dropout


class Counting(nn.Module):
    """A map that notes how it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(10, 20, bias=False)
        self.calls: list[tuple[tuple[int, ...], bool, bool, int]] = []

    def forward(self, x: Tensor) -> Tensor:
        state = (tuple(x.shape), self.training, torch.is_inference_mode_enabled(), torch.get_num_threads())
        self.calls.append(state)
        result: Tensor = self.linear(x)
        return result


def test_latency_is_the_median_of_passes_after_a_warm_up() -> None:
    module = Counting().train()
    readings: Iterator[float] = iter([0.0, 3.0, 10.0, 11.0, 20.0, 22.0, 30.0, 100.0])
    found = latency(module, (10,), 4, warmup=2, repeats=4, threads=1, clock=lambda: next(readings))
    assert found.seconds == (3.0, 1.0, 2.0, 70.0)
    assert (found.median_ms, found.batch) == (2500.0, 4)
    assert module.calls == [((4, 10), False, True, 1)] * 6
    assert module.training


def test_memory_of_a_linear_map() -> None:
    module = nn.Linear(10, 20, bias=False)
    # bytes an image at the peak, when logits get their gradient: the image 40, logits, log-probabilities and the
    # gradients of both 80 each, the label 8; besides the weights 800, and three scalars at most
    per_image = 40 + 4 * 80 + 8
    assert memory_per_sample(module, (10,), 32) == per_image
    rest = peak_memory(module, (10,), 32) - 32 * per_image
    assert 800 <= rest <= 800 + 3 * 4


def test_memory_follows_from_the_network_and_leaves_it_alone(network: Network) -> None:
    module = build(network, seed=0).eval()
    before = {name: t.clone() for name, t in module.state_dict().items()}
    first = peak_memory(module, (1, 8, 8), 16)
    assert first == peak_memory(build(network, seed=1), (1, 8, 8), 16)
    assert not module.training
    assert all(p.grad is None for p in module.parameters())
    assert all(torch.equal(t, before[name]) for name, t in module.state_dict().items())
    # what is kept for the backward pass (by rule) lives at the peak; besides that only a few tensors do
    by_rule = cost(network).activation_bytes
    assert by_rule <= memory_per_sample(module, (1, 8, 8), 16) <= 1.5 * by_rule


def test_dropout_draws_from_no_global_generator() -> None:
    module = nn.Sequential(nn.Linear(10, 20), Dropout(0.5))
    before = torch.default_generator.get_state()
    assert peak_memory(module, (10,), 8) > 0
    assert torch.equal(torch.default_generator.get_state(), before)
    assert module[1].generator is None


def test_gradients_that_were_there_stay() -> None:
    module = nn.Linear(10, 20, bias=False)
    module.weight.grad = torch.ones_like(module.weight)
    assert memory_per_sample(module, (10,), 8) == 368
    assert torch.equal(module.weight.grad, torch.ones_like(module.weight))


@pytest.mark.parametrize(
    ("name", "quantity"),
    [
        ("latency_ms", Quantity("latency", None, 1)),
        ("latency_cpu_b8_ms", Quantity("latency", "cpu", 8)),
        ("latency_b256_ms", Quantity("latency", None, 256)),
        ("peak_memory_mb", Quantity("peak_memory", None, 32)),
        ("memory_per_sample_cuda_mb", Quantity("memory_per_sample", "cuda", 32)),
    ],
)
def test_names_say_what_is_measured(name: str, quantity: Quantity) -> None:
    assert parse_metric(name) == quantity


@pytest.mark.parametrize("name", ["latency", "latency_mb", "peak_memory_ms", "latency_b0_ms", "latency_tpu_ms", "", 3])
def test_other_names_are_refused(name: Any) -> None:
    with pytest.raises(InvalidOption, match=r"nothing of this name can be measured.*latency_ms"):
        parse_metric(name)


def test_metrics_are_measured_by_name() -> None:
    module = Counting()
    found = measure(module, (10,), ("latency_b2_ms", "memory_per_sample_mb"), warmup=1, repeats=3)
    assert set(found) == {"latency_b2_ms", "memory_per_sample_mb"}
    assert found["memory_per_sample_mb"] == 368 / MEGABYTE
    assert found["latency_b2_ms"] > 0
    assert [shape for shape, *_ in module.calls] == [(2, 10)] * 4 + [(32, 10), (64, 10)]
    with pytest.raises(InvalidOption, match="no such GPU"):
        measure(module, (10,), ["latency_ms"], device=f"cuda:{torch.cuda.device_count()}")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_is_measured(network: Network) -> None:
    names = ("latency_cuda_ms", "peak_memory_cuda_mb", "memory_per_sample_cuda_mb")
    found = measure(build(network), (1, 8, 8), names)
    assert all(found[name] > 0 for name in names)


@pytest.fixture
def file(images: ImageSet, tmp_path: Path) -> str:
    """The images as a file of the kind that users have."""
    path = tmp_path / "corners.npz"
    np.savez(path, x=images.train.images, y=images.train.labels)
    return str(path)


class TestContract(EvaluatorContract):
    @pytest.fixture
    def factory(self) -> str:
        return "nas_train.measuring:MeasuringEvaluator"

    @pytest.fixture
    def options(self, file: str) -> dict[str, Any]:
        metrics = ["latency_ms", "latency_cpu_b4_ms", "peak_memory_mb", "memory_per_sample_mb"]
        return {"data": file, "metrics": metrics, "network": {"channels": 3}, "repeats": 3}

    @pytest.fixture
    def timed(self) -> frozenset[str]:
        return frozenset({"latency_ms", "latency_cpu_b4_ms"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": []}, "nothing to measure"),
        ({"metrics": ["speed"]}, "nothing of this name"),
        ({"metrics": ["latency_ms", "latency_ms"]}, "named twice"),
        ({"repeats": 0}, "repeats cannot be set"),
        ({"threads": 1.0}, "threads cannot be set"),
        ({"network": "wide"}, "network cannot be set"),
        ({"device": "tpu"}, "no such device"),
    ],
)
def test_wrong_options_are_refused(file: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        MeasuringEvaluator(file, **options).prepare(ToySpace())


def test_a_training_measures_what_it_is_asked_for(file: str) -> None:
    recipe = {"name": "quick", "epochs": 1, "batch": 16, "learning_rate": 0.1}
    space, wanted = ToySpace(), ["memory_per_sample_mb", "latency_ms"]
    a = space.canonical(("conv3", "skip", 1, "relu"))
    evaluator = TrainingEvaluator(file, recipe, network={"channels": 3}, measure=wanted)
    evaluator.prepare(space)
    assert evaluator.to_config()["measure"] == wanted
    found = evaluator.evaluate(Evaluation(space, a)).metrics
    assert set(found) == set(evaluator.metrics)
    measuring = MeasuringEvaluator(file, wanted, network={"channels": 3})
    measuring.prepare(space)
    assert measuring.evaluate(Evaluation(space, a)).metrics["memory_per_sample_mb"] == found["memory_per_sample_mb"]
    with pytest.raises(InvalidOption, match="nothing of this name"):
        TrainingEvaluator(file, recipe, measure=["speed"])


def test_a_single_name_is_a_list_of_one() -> None:
    assert MeasuringEvaluator(metrics="latency_ms").to_config()["metrics"] == ["latency_ms"]
