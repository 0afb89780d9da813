"""The evaluator that trains: a network is built, trained on the training split and measured on the validation split."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, final

import torch

from nas_core.architecture import Architecture
from nas_core.cost import cost
from nas_core.errors import InvalidNetwork, InvalidOption, TrialFailed
from nas_core.evaluator import Evaluation
from nas_core.network import Network, Task
from nas_core.random import derived_seed, rng
from nas_core.registry import check_options
from nas_core.space import HasNetwork, Space, require
from nas_core.trial import Measurement
from nas_train.build import build
from nas_train.checkpoint import save_network
from nas_train.data import ImageSet, open_data
from nas_train.defaults import default_network, default_recipes, default_threads
from nas_train.devices import find_device
from nas_train.loop import FitResult, fit
from nas_train.recipe import Recipe

REQUIRES = frozenset({"network"})


@final
class TrainingEvaluator:
    """Trains networks. The fidelity of a trial is its number of epochs, over which the whole schedule is spanned.

    Metrics: val_accuracy (per cent), val_loss and train_loss (nats), train_seconds, and those of `Cost.metrics`. What
    is measured depends on the study's seed, the architecture, the draw and the replicate, never on the order of trials.

    Args:
        data: a named set, an `.npz` file or a folder of images (`nas_train.data.open_data`).
        recipe: a name, or fields (`Recipe.from_config`); None for the one that fits the data (`nas_train.defaults`).
        epochs: of a trial that asks for no fidelity; None for the recipe's.
        network: options of `space.network`; None for those of `nas_train.defaults`.
        device: "cpu", "cuda", "cuda:1", or "auto".
        keep: whether each trained network is kept, as the artefact "checkpoint".
        threads: CPU threads; None for those of `nas_train.defaults`: one for small networks, for others what torch or
            the executor has set.

    Raises:
        InvalidOption: an option that is out of range.
    """

    requires = REQUIRES

    def __init__(
        self,
        data: str = "digits",
        recipe: str | Mapping[str, Any] | None = None,
        epochs: int | None = None,
        network: Mapping[str, Any] | None = None,
        device: str = "cpu",
        keep: bool = False,
        threads: int | None = None,
    ) -> None:
        for name, value in (("epochs", epochs), ("threads", threads)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise InvalidOption(f"{name} cannot be set", value=value, expected="a whole number of at least 1")
        if not isinstance(keep, bool):
            raise InvalidOption("keep cannot be set", value=keep, expected="true or false")
        if network is not None and not isinstance(network, Mapping):
            raise InvalidOption("network cannot be set", value=network, expected="options by name")
        self.data = str(data)
        self.recipe = Recipe.from_config(default_recipes(self.data).search if recipe is None else recipe)
        self.epochs = self.recipe.epochs if epochs is None else epochs
        self.network = None if network is None else dict(network)
        self.device = device
        self.keep = keep
        self.threads = default_threads(self.recipe.name) if threads is None else threads
        self._images: ImageSet | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what it measures."""
        training = ("val_accuracy", "val_loss", "train_loss", "train_seconds")
        return (*training, "params", "multiply_adds", "activation_bytes", "depth")

    def prepare(self, space: Space) -> None:
        """Find the device, load the images, and build one network for them.

        Raises:
            NasError: the device, the data, or an option of the network is wrong, or the images do not fit the space.
        """
        require(space, self.requires, "training")
        find_device(self.device)
        network_for(space, space.sample(rng(0, "prepare"), 1)[0], self._data(), self.network, self.recipe)

    def evaluate(self, evaluation: Evaluation) -> Measurement:
        """Train and measure one architecture.

        Raises:
            TrialFailed: "diverged", "out_of_memory", or "no_network" where the architecture has none for the images.
            InvalidOption: a fidelity that is no number of epochs, or a training to be continued.
        """
        start = time.perf_counter()
        space, architecture = evaluation.space, evaluation.architecture
        text = space.text(architecture)
        seed = derived_seed(evaluation.seed, "evaluate", text, evaluation.draw, evaluation.replicate)
        draw = derived_seed(evaluation.seed, "draw", text, evaluation.draw)
        epochs = self._epochs(evaluation)
        try:
            network = network_for(space, architecture, self._data(), self.network, self.recipe, draw)
        except InvalidNetwork as error:
            raise TrialFailed("no_network", str(error)) from error
        module = build(network, seed=seed)
        device = find_device(self.device)
        fitted = fit(module, self._data(), self.recipe, seed=seed, device=device, threads=self.threads, epochs=epochs)
        metrics = {**training_metrics(fitted), **cost(network).metrics()}
        artefacts = {}
        if self.keep and evaluation.artefacts is not None:
            about = {"architecture": text, "space": space.to_config(), "seed": seed, "epochs": epochs}
            artefacts["checkpoint"] = save_network(evaluation.artefacts, module, about).name
        details = {**conditions(self._data(), self.recipe, epochs, device, self.threads), "curve": curve(fitted)}
        return Measurement(metrics, time.perf_counter() - start, artefacts, details)

    def to_config(self) -> dict[str, Any]:
        """The options it runs with."""
        return {
            "name": "train",
            "data": self.data,
            "recipe": self.recipe.to_config(),
            "epochs": self.epochs,
            "network": self.network,
            "device": self.device,
            "keep": self.keep,
            "threads": self.threads,
        }

    def _data(self) -> ImageSet:
        if self._images is None:
            self._images = open_data(self.data)
        return self._images

    def _epochs(self, evaluation: Evaluation) -> int:
        if evaluation.resume_from is not None:
            raise InvalidOption(
                "this evaluator trains every trial anew", value=str(evaluation.resume_from), expected="no resume_from"
            )
        if evaluation.fidelity is None:
            return self.epochs
        if evaluation.fidelity < 1 or evaluation.fidelity != int(evaluation.fidelity):
            raise InvalidOption(
                "a fidelity must be a number of epochs", value=evaluation.fidelity, expected="a whole number from 1"
            )
        return int(evaluation.fidelity)


def network_for(
    space: Space,
    architecture: Architecture,
    data: ImageSet,
    options: Mapping[str, Any] | None,
    recipe: Recipe,
    seed: int = 0,
) -> Network:
    """The network of an architecture for classifying the images of a set.

    Args:
        space: the space of the architecture; it has networks.
        architecture: the member.
        data: says the shape of an image and the number of classes.
        options: of `space.network`; None for those of `nas_train.defaults`.
        recipe: which decides on those.
        seed: which network a generator space draws.

    Raises:
        InvalidNetwork: the images do not fit.
        InvalidOption: an option that the space's network does not take.
        MissingCapability: the space has no networks.
    """
    if not isinstance(space, HasNetwork):
        require(space, REQUIRES, "training")
        raise InvalidOption("the space has no networks", value=space.name)
    if options is None:
        options = default_network(space.name, recipe.name)
    check_options(space.network, f"the network of {space.name}", options, positional=3)
    task = Task("classification", data.input_shape, data.classes)
    return space.network(architecture, task, seed, **options)


def training_metrics(fitted: FitResult) -> dict[str, float]:
    """The metrics of a training; those of validation where there was one."""
    metrics = {"train_loss": fitted.train_loss, "train_seconds": fitted.seconds}
    if fitted.validation is not None:
        metrics |= {"val_accuracy": fitted.validation.accuracy, "val_loss": fitted.validation.loss}
    return metrics


def curve(fitted: FitResult) -> dict[str, list[Any]]:
    """The training loss of each epoch, and (epoch, loss, accuracy) of each validation, as JSON."""
    validated = [
        [e.number, e.validation.loss, e.validation.accuracy] for e in fitted.epochs if e.validation is not None
    ]
    return {"train_loss": [e.train_loss for e in fitted.epochs], "validated": validated}


def conditions(
    data: ImageSet, recipe: Recipe, epochs: int, device: torch.device, threads: int | None
) -> dict[str, Any]:
    """Under what conditions a network was trained, as JSON."""
    return {
        "data": {"name": data.name, "checksum": data.checksum, "sizes": dict(data.sizes)},
        "recipe": recipe.name,
        "epochs": epochs,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads() if threads is None else threads,
        "torch": torch.__version__,
    }
