"""The evaluator `measure`: latency and memory of a network that is built and not trained."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch

from nas_core.cost import cost
from nas_core.errors import InvalidNetwork, InvalidOption, TrialFailed
from nas_core.evaluator import Evaluation
from nas_core.network import Network
from nas_core.random import derived_seed, rng
from nas_core.space import Space, require
from nas_core.trial import Measurement
from nas_train.build import build
from nas_train.data import ImageSet, open_data
from nas_train.defaults import default_recipes
from nas_train.devices import find_device
from nas_train.evaluator import network_for
from nas_train.failures import named_failures
from nas_train.measure import measure, metric_names, parse_metric
from nas_train.recipe import Recipe

REQUIRES = frozenset({"network"})
_COSTS = ("params", "multiply_adds", "activation_bytes", "depth")


@final
class MeasuringEvaluator:
    """Measures what a network takes to run; its accuracy stays unknown.

    Metrics: those that are asked for (`nas_train.measure.parse_metric`), and those of `Cost.metrics`. Memory on a CPU
    follows from the network alone; latencies differ from run to run, and a search by them should run one trial at a
    time.

    Args:
        data: a named set, an `.npz` file or a folder of images; it gives the shape of an image and the classes.
        metrics: such as "latency_ms", "latency_cpu_b8_ms", "peak_memory_mb", "memory_per_sample_mb".
        network: options of `space.network`; None for those of `nas_train.defaults`.
        device: for metrics that name none: "cpu", "cuda", "cuda:1", or "auto".
        threads: CPU threads.
        repeats: forward passes whose median is a latency.

    Raises:
        InvalidOption: an option that is out of range.
    """

    requires = REQUIRES

    def __init__(
        self,
        data: str = "digits",
        metrics: Sequence[str] = ("latency_ms", "memory_per_sample_mb"),
        network: Mapping[str, Any] | None = None,
        device: str = "cpu",
        threads: int = 1,
        repeats: int = 25,
    ) -> None:
        for name, value in (("threads", threads), ("repeats", repeats)):
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise InvalidOption(f"{name} cannot be set", value=value, expected="a whole number of at least 1")
        if network is not None and not isinstance(network, Mapping):
            raise InvalidOption("network cannot be set", value=network, expected="options by name")
        self.measured = metric_names(metrics)
        if not self.measured:
            raise InvalidOption("nothing to measure", value=list(metrics))
        self.data = str(data)
        self.network = None if network is None else dict(network)
        self.device, self.threads, self.repeats = device, threads, repeats
        self._images: ImageSet | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what it measures."""
        return (*self.measured, *_COSTS)

    def prepare(self, space: Space) -> None:
        """Find the devices, load the data, and build one network.

        Raises:
            NasError: a device, the data, or an option of the network is wrong, or the images do not fit the space.
        """
        require(space, self.requires, "measuring")
        for name in self.measured:
            find_device(parse_metric(name).device or self.device)
        self._network(Evaluation(space, space.sample(rng(0, "prepare"), 1)[0]))

    def evaluate(self, evaluation: Evaluation) -> Measurement:
        """Measure one architecture.

        Raises:
            TrialFailed: "out_of_memory", "device_lost", or "no_network" where the architecture has none for the images.
        """
        start = time.perf_counter()
        try:
            network = self._network(evaluation)
        except InvalidNetwork as error:
            raise TrialFailed("no_network", str(error)) from error
        with named_failures():
            measured = measure(
                build(network, seed=evaluation.seed),
                self._data().input_shape,
                self.measured,
                device=self.device,
                threads=self.threads,
                repeats=self.repeats,
            )
        conditions = {"threads": self.threads, "repeats": self.repeats, "torch": torch.__version__}
        return Measurement({**measured, **cost(network).metrics()}, time.perf_counter() - start, details=conditions)

    def to_config(self) -> dict[str, Any]:
        """The options it runs with."""
        return {
            "name": "measure",
            "data": self.data,
            "metrics": list(self.measured),
            "network": self.network,
            "device": self.device,
            "threads": self.threads,
            "repeats": self.repeats,
        }

    def _network(self, evaluation: Evaluation) -> Network:
        space, architecture = evaluation.space, evaluation.architecture
        draw = derived_seed(evaluation.seed, "draw", space.text(architecture), evaluation.draw)
        recipe = Recipe.from_config(default_recipes(self.data).search)
        return network_for(space, architecture, self._data(), self.network, recipe, draw)

    def _data(self) -> ImageSet:
        if self._images is None:
            self._images = open_data(self.data)
        return self._images
