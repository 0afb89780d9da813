"""The evaluator `proxies`: zero-cost scores of a network on a batch of training images."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas_core.architecture import Architecture
from nas_core.cost import cost
from nas_core.errors import InvalidNetwork, InvalidOption, TrialFailed
from nas_core.evaluator import Evaluation
from nas_core.network import Network, Task
from nas_core.random import derived_seed, rng
from nas_core.registry import check_options
from nas_core.space import Space, require
from nas_core.trial import Measurement
from nas_train.build import build
from nas_train.data import ImageSet, open_data
from nas_train.data.dataset import LEVELS
from nas_train.defaults import default_recipes
from nas_train.devices import cpu_threads, find_device
from nas_train.evaluator import network_for
from nas_train.failures import named_failures
from nas_train.proxies.linear_regions import CROPS, SIDE, crops
from nas_train.proxies.scoring import find_proxy, score_network
from nas_train.recipe import Recipe

REQUIRES = frozenset({"network"})
THIN_SHAPE = (1, SIDE + 1, SIDE + 1)
"""Images that linear regions are counted on: crops with a border of zeros, so that they can be halved twice."""
_DECODED = 100
"""Images that are decoded at a time to be cropped."""
_COSTS = ("params", "multiply_adds", "activation_bytes", "depth")
_THINNEST: Mapping[str, Any] = MappingProxyType({"channels": 1, "cells": 1, "limit": None})
_THINNEST_OF: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {"nasbench101": {"channels": 8}, "darts": {"cells": 3}}
)
"""Of spaces whose cells divide their channels among branches; and where a network of fewer cells has no normal one."""


@final
class ProxyEvaluator:
    """Scores networks as they are before training; a search may maximise nwot, say.

    Metrics: the chosen scores, and those of `Cost.metrics`. What is measured depends on the study's seed, the
    architecture, the draw and the replicate, never on the order of trials. Every network sees the same images: repeat r
    takes the r-th batch of the training split, and weights of its own.

    Args:
        data: a named set, an `.npz` file or a folder of images (`nas_train.data.open_data`).
        scores: names among `nas_train.proxies.PROXIES`.
        images: in a batch.
        repeats: over how many batches and initial weights each score is averaged.
        network: options of `space.network`; None for those of `nas_train.defaults`.
        thin: options of the network whose linear regions are counted; None for the fewest channels and cells where
            the space's network has such options.
        device: "cpu", "cuda", "cuda:1", or "auto".
        threads: CPU threads.

    Raises:
        InvalidOption: an option that is out of range.
    """

    requires = REQUIRES

    def __init__(
        self,
        data: str = "digits",
        scores: Sequence[str] = ("nwot", "synflow"),
        images: int = 32,
        repeats: int = 1,
        network: Mapping[str, Any] | None = None,
        thin: Mapping[str, Any] | None = None,
        device: str = "cpu",
        threads: int = 1,
    ) -> None:
        for name, value, least in (("images", images, 2), ("repeats", repeats, 1), ("threads", threads, 1)):
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise InvalidOption(
                    f"{name} cannot be set", value=value, expected=f"a whole number of at least {least}"
                )
        for name, options in (("network", network), ("thin", thin)):
            if options is not None and not isinstance(options, Mapping):
                raise InvalidOption(f"{name} cannot be set", value=options, expected="options by name")
        chosen = (scores,) if isinstance(scores, str) else tuple(scores)
        if not chosen or len(set(chosen)) < len(chosen):
            raise InvalidOption("scores cannot be set", value=list(chosen), expected="different names of scores")
        self.scores = tuple(find_proxy(name).name for name in chosen)
        self.data, self.images, self.repeats = str(data), images, repeats
        self.network = None if network is None else dict(network)
        self.thin = None if thin is None else dict(thin)
        self.device, self.threads = device, threads
        self._images: ImageSet | None = None
        self._kept: list[tuple[Tensor, Tensor]] | None = None
        self._cropped: list[Tensor] | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what it measures."""
        return (*self.scores, *_COSTS)

    def prepare(self, space: Space) -> None:
        """Find the device, load the images, and build one network for them.

        Raises:
            NasError: the device, the data, or an option of the network is wrong, or the images do not fit the space.
        """
        require(space, self.requires, "scoring")
        find_device(self.device)
        architecture = space.sample(rng(0, "prepare"), 1)[0]
        for thin in {find_proxy(name).thin for name in self.scores}:
            self._network(Evaluation(space, architecture), thin)
        self._batches()

    def evaluate(self, evaluation: Evaluation) -> Measurement:
        """Score one architecture.

        Raises:
            TrialFailed: "score_not_finite", "out_of_memory", "device_lost", or "no_network" where the architecture has
                none for the images.
        """
        start = time.perf_counter()
        text = evaluation.space.text(evaluation.architecture)
        seed = derived_seed(evaluation.seed, "evaluate", text, evaluation.draw, evaluation.replicate)
        with cpu_threads(self.threads), named_failures():
            network = self._network_or_failure(evaluation, thin=False)
            values = {name: self._score(name, evaluation, network, seed) for name in self.scores}
        metrics = {**values, **cost(network).metrics()}
        return Measurement(metrics, time.perf_counter() - start, details=self._conditions())

    def to_config(self) -> dict[str, Any]:
        """The options it runs with."""
        return {
            "name": "proxies",
            "data": self.data,
            "scores": list(self.scores),
            "images": self.images,
            "repeats": self.repeats,
            "network": self.network,
            "thin": self.thin,
            "device": self.device,
            "threads": self.threads,
        }

    def _score(self, name: str, evaluation: Evaluation, network: Network, seed: int) -> float:
        batches = self._batches()
        if find_proxy(name).thin:
            network = self._network_or_failure(evaluation, thin=True)
            batches = [(inputs, labels) for inputs, (_, labels) in zip(self._crops(), batches, strict=True)]
        module = build(network, seed=seed).to(find_device(self.device))
        return score_network(name, module, batches, seed=seed, reinitialise=True)

    def _network_or_failure(self, evaluation: Evaluation, thin: bool) -> Network:
        try:
            return self._network(evaluation, thin)
        except InvalidNetwork as error:
            raise TrialFailed("no_network", str(error)) from error

    def _network(self, evaluation: Evaluation, thin: bool) -> Network:
        """The network to be scored, or the thin one."""
        space, architecture = evaluation.space, evaluation.architecture
        draw = derived_seed(evaluation.seed, "draw", space.text(architecture), evaluation.draw)
        if not thin:
            recipe = Recipe.from_config(default_recipes(self.data).search)
            return network_for(space, architecture, self._data(), self.network, recipe, draw)
        return thin_network(space, architecture, self._data().classes, self.thin, draw)

    def _data(self) -> ImageSet:
        if self._images is None:
            self._images = open_data(self.data)
        return self._images

    def _batches(self) -> list[tuple[Tensor, Tensor]]:
        """One batch a repeat, normalised, on the device; the first images again after the last of the split."""
        if self._kept is None:
            data, device = self._data(), find_device(self.device)
            train = data.train
            if self.images > len(train.labels):  # an image twice in a batch would make scores singular
                raise InvalidOption(
                    "images cannot be set",
                    value=self.images,
                    expected=f"at most {len(train.labels)}, the training split",
                )
            numbers = np.arange(self.images * self.repeats) % len(train.labels)
            pixels = torch.from_numpy(np.asarray(train.images[numbers])).to(torch.float32) / LEVELS
            mean, deviation = (torch.tensor(x)[:, None, None] for x in data.statistics)
            images = ((pixels - mean) / deviation).to(device)
            labels = torch.from_numpy(train.labels[numbers]).to(device)
            self._kept = list(zip(images.split(self.images), labels.split(self.images), strict=True))
        return self._kept

    def _crops(self) -> list[Tensor]:
        """Inputs of `THIN_SHAPE` to count linear regions on, those of each repeat, normalised, on the device.

        Raises:
            InvalidOption: the images are smaller.
        """
        if self._cropped is None:
            if min(self._data().input_shape[1:]) < SIDE:
                raise InvalidOption(
                    "linear regions are counted on crops, which these images are too small for",
                    value=self._data().input_shape,
                    expected=f"{SIDE} pixels a side",
                )
            mean, deviation = (np.array(x, dtype=np.float32) for x in self._data().statistics)
            self._cropped = []
            for repeat in range(self.repeats):
                found, channels = self._crops_of(rng(0, "crops", repeat))
                inputs = torch.zeros((CROPS, *THIN_SHAPE))
                normal = (found / LEVELS - mean[channels, None, None]) / deviation[channels, None, None]
                inputs[:, 0, :SIDE, :SIDE] = torch.from_numpy(normal.astype(np.float32))
                self._cropped.append(inputs.to(find_device(self.device)))
        return self._cropped

    def _crops_of(self, stream: np.random.Generator) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Crops of random training images, and of which channels they are."""
        train = self._data().train
        numbers = stream.integers(len(train.labels), size=CROPS)
        parts = [
            crops(np.asarray(train.images[numbers[start : start + _DECODED]]), stream)
            for start in range(0, CROPS, _DECODED)
        ]
        found, channels = zip(*parts, strict=True)
        return np.concatenate(found), np.concatenate(channels)

    def _conditions(self) -> dict[str, Any]:
        """Under what conditions networks were scored, as JSON."""
        return {
            "data": {"name": self._data().name, "checksum": self._data().checksum},
            "images": self.images,
            "repeats": self.repeats,
            "torch": torch.__version__,
        }


def thin_network(
    space: Space, architecture: Architecture, classes: int, options: Mapping[str, Any] | None, seed: int = 0
) -> Network:
    """A member's network for images of `THIN_SHAPE`, as small as its space makes it.

    Args:
        space: the space of the architecture.
        architecture: the member.
        classes: of the data.
        options: of `space.network`; None for the fewest channels and cells and no limit of parameters, where it takes
            these.
        seed: which network a generator space draws.

    Raises:
        InvalidNetwork: the space has no network of this size; other options may have one.
        InvalidOption: an option that the space's network does not take.
        MissingCapability: the space has no networks.
    """
    require(space, REQUIRES, "counting linear regions")
    make: Any = getattr(space, "network")  # noqa: B009 - `require` has seen it
    if options is None:
        taken = inspect.signature(make).parameters
        thinnest = {**_THINNEST, **_THINNEST_OF.get(space.name, {})}
        options = {name: value for name, value in thinnest.items() if name in taken}
    check_options(make, f"the network of {space.name}", options, positional=3)
    made: Network = make(architecture, Task("classification", THIN_SHAPE, classes), seed, **options)
    return made
