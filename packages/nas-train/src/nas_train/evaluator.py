"""The evaluator that trains: a network is built, trained on the training split and measured on the validation split."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, final

import torch

from nas_core.architecture import Architecture
from nas_core.cost import cost
from nas_core.errors import InvalidNetwork, InvalidOption, StoreError, TrialFailed
from nas_core.evaluator import Evaluation
from nas_core.network import Network, Task
from nas_core.random import derived_seed, rng
from nas_core.registry import check_options
from nas_core.space import HasNetwork, Space, require
from nas_core.trial import Measurement
from nas_train.build import BuiltNetwork, build
from nas_train.checkpoint import save_network
from nas_train.data import ImageSet, open_data
from nas_train.defaults import default_network, default_recipes, default_threads
from nas_train.devices import find_device
from nas_train.failures import named_failures
from nas_train.loop import FitResult, fit
from nas_train.measure import measure, metric_names
from nas_train.recipe import Recipe
from nas_train.scoring import BEST, Score, evaluate
from nas_train.step import STEPS

REQUIRES = frozenset({"network"})
COSTS = ("params", "multiply_adds", "activation_bytes", "depth")
TRAINING = "training"
"""Value of `keep` for the whole state of a training."""


@final
class TrainingEvaluator:
    """Trains networks. The fidelity of a trial is its number of epochs, over which the whole schedule is spanned.

    Metrics: val_accuracy (per cent), val_top5_accuracy where the images have more than five classes, val_loss and
    train_loss (nats), train_seconds, and those of `Cost.metrics`. What is measured depends on the study's seed, the
    architecture, the draw and the replicate, never on the order of trials.

    With `top_epochs` the schedule is spanned over so many epochs whatever the fidelity, which says where to stop; a
    trial that is to continue another (`Evaluation.resume_from`) then ends exactly as one that was trained at once, and
    its seconds are those of the epochs it adds. The other one must have been kept with `keep="training"`.

    Args:
        data: a named set, an `.npz` file or a folder of images (`nas_train.data.open_data`).
        recipe: a name, or fields (`Recipe.from_config`); None for the one that fits the data (`nas_train.defaults`).
        epochs: of a trial that asks for no fidelity; None for the recipe's.
        network: options of `space.network`; None for those of `nas_train.defaults`.
        device: "cpu", "cuda", "cuda:1", or "auto".
        keep: whether each trained network is kept, as the artefact "checkpoint"; "training" for its training too,
            which a trial of higher fidelity can continue.
        threads: CPU threads; None for those of `nas_train.defaults`: one for small networks, for others what torch or
            the executor has set.
        test: also measure test_accuracy and test_loss, for tables; no search should see them.
        top_epochs: epochs that the schedule spans; None for those of each trial.
        time_limit: seconds of one training, after which its trial fails; None for no limit.
        step_limit: steps of one training; a trial that would have more fails at once; None for no limit.
        step: "auto" and "graph" capture steps on a GPU where that is possible, "eager" never does (`nas_train.step`).
        measure: also measure these of the trained network: "latency_ms", "latency_cpu_b8_ms", "peak_memory_mb",
            "memory_per_sample_mb" and the like (`nas_train.measure`).
        limits: the most that a network may cost, by the metrics of `Cost`: {"multiply_adds": 6e8}. One that costs more
            is not trained.

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
        keep: bool | str = False,
        threads: int | None = None,
        test: bool = False,
        top_epochs: int | None = None,
        time_limit: float | None = None,
        step_limit: int | None = None,
        step: str = "auto",
        measure: Sequence[str] = (),
        limits: Mapping[str, float] | None = None,
    ) -> None:
        whole = (("epochs", epochs), ("threads", threads), ("top_epochs", top_epochs), ("step_limit", step_limit))
        for name, value in whole:
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise InvalidOption(f"{name} cannot be set", value=value, expected="a whole number of at least 1")
        if time_limit is not None and (isinstance(time_limit, bool | str) or not time_limit > 0):
            raise InvalidOption("time_limit cannot be set", value=time_limit, expected="a number of seconds above 0")
        if not isinstance(keep, bool) and keep != TRAINING:
            raise InvalidOption("keep cannot be set", value=keep, expected=f'true, false or "{TRAINING}"')
        if not isinstance(test, bool):
            raise InvalidOption("test cannot be set", value=test, expected="true or false")
        if step not in STEPS:
            raise InvalidOption("step cannot be set", value=step, expected="one of " + ", ".join(STEPS))
        if network is not None and not isinstance(network, Mapping):
            raise InvalidOption("network cannot be set", value=network, expected="options by name")
        self.data = str(data)
        self.recipe = Recipe.from_config(default_recipes(self.data).search if recipe is None else recipe)
        self.epochs = epochs or top_epochs or self.recipe.epochs
        if top_epochs is not None and self.epochs > top_epochs:
            raise InvalidOption("epochs cannot be set", value=epochs, expected=f"at most {top_epochs}, the top_epochs")
        self.network = None if network is None else dict(network)
        self.device = device
        self.keep = keep
        self.test = test
        self.top_epochs, self.time_limit, self.step_limit, self.step = top_epochs, time_limit, step_limit, step
        self.threads = default_threads(self.recipe.name) if threads is None else threads
        self.measure = metric_names(measure)
        self.limits = _checked_limits(limits)
        self._images: ImageSet | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what it measures; top-5 accuracy once the images are known (`prepare`) to have so many classes."""
        scores: tuple[str, ...] = ("accuracy", "loss")
        if self._images is not None and self._images.classes > BEST:
            scores += ("top5_accuracy",)
        splits = ("val", "test") if self.test else ("val",)
        measured = (f"{split}_{score}" for split in splits for score in scores)
        return (*measured, "train_loss", "train_seconds", *COSTS, *self.measure)

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
            TrialFailed: "no_network" where the architecture has none for the images; "too_costly" beyond `limits`;
                "diverged", "out_of_memory", "device_lost", "time_limit", "step_limit"; "checkpoint" where the one to be
                continued is missing or not of this training, or the new one cannot be written.
            InvalidOption: a fidelity that is no number of epochs or above `top_epochs`, or a training to be continued
                without `top_epochs`.
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
        costs = cost(network).metrics()
        for name, most in self.limits.items():
            if costs[name] > most:
                raise TrialFailed("too_costly", f"too many {name}", value=costs[name], expected=f"at most {most:g}")
        module = build(network, seed=seed)
        folder = evaluation.artefacts if self.keep else None
        about = {"architecture": text, "space": space.to_config(), "seed": seed, "epochs": epochs}
        device = find_device(self.device)
        artefacts = {}
        try:
            fitted = fit(
                module,
                self._data(),
                self.recipe,
                seed=seed,
                device=device,
                threads=self.threads,
                epochs=self.top_epochs or epochs,
                stop=epochs,
                resume_from=evaluation.resume_from,
                keep=folder if self.keep == TRAINING else None,
                about=about,
                time_limit=self.time_limit,
                step_limit=self.step_limit,
                step=self.step,
            )
            if folder is not None:
                artefacts["checkpoint"] = (fitted.kept or save_network(folder, module, about)).name
        except (StoreError, InvalidNetwork) as error:
            raise TrialFailed("checkpoint", str(error)) from error
        metrics = {**training_metrics(fitted), **self._tested(module), **costs}
        metrics |= self._measured(module)
        details = {
            **conditions(self._data(), self.recipe, epochs, device, self.threads),
            **how(fitted),
            "curve": curve(fitted),
        }
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
            "test": self.test,
            "top_epochs": self.top_epochs,
            "time_limit": self.time_limit,
            "step_limit": self.step_limit,
            "step": self.step,
            "measure": list(self.measure),
            "limits": dict(self.limits),
        }

    def _tested(self, module: BuiltNetwork) -> dict[str, float]:
        if not self.test:
            return {}
        return score_metrics("test", evaluate(module, self._data(), "test", dtype=self.recipe.dtype))

    def _measured(self, module: BuiltNetwork) -> dict[str, float]:
        threads = self.threads or torch.get_num_threads()
        with named_failures():
            return measure(module, self._data().input_shape, self.measure, device=self.device, threads=threads)

    def _data(self) -> ImageSet:
        if self._images is None:
            self._images = open_data(self.data)
        return self._images

    def _epochs(self, evaluation: Evaluation) -> int:
        if evaluation.resume_from is not None and self.top_epochs is None:
            raise InvalidOption(
                "without top_epochs every trial is trained anew",
                value=str(evaluation.resume_from),
                expected="no training to be continued",
                remedy="Set top_epochs to the epochs of the highest fidelity",
            )
        if evaluation.fidelity is None:
            return self.epochs
        if evaluation.fidelity < 1 or evaluation.fidelity != int(evaluation.fidelity):
            raise InvalidOption(
                "a fidelity must be a number of epochs", value=evaluation.fidelity, expected="a whole number from 1"
            )
        if self.top_epochs is not None and evaluation.fidelity > self.top_epochs:
            raise InvalidOption(
                "a fidelity above the schedule's end", value=evaluation.fidelity, expected=f"at most {self.top_epochs}"
            )
        return int(evaluation.fidelity)


def _checked_limits(limits: Mapping[str, float] | None) -> dict[str, float]:
    """Limits by the metrics of a network's cost.

    Raises:
        InvalidOption: another metric, or no number above 0.
    """
    if limits is not None and not isinstance(limits, Mapping):
        raise InvalidOption("limits cannot be set", value=limits, expected="numbers by the names of costs")
    for name, most in (limits or {}).items():
        if name not in COSTS:
            raise InvalidOption("no such cost to limit", value=name, expected="one of " + ", ".join(COSTS))
        if isinstance(most, bool) or not isinstance(most, int | float) or not most > 0:
            raise InvalidOption(f"the limit of {name} cannot be set", value=most, expected="a number above 0")
    return dict(limits or {})


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
        metrics |= score_metrics("val", fitted.validation)
    return metrics


def score_metrics(split: str, score: Score) -> dict[str, float]:
    """The metrics of a score on a split: its accuracy and loss, and top-5 accuracy where it was measured."""
    metrics = {f"{split}_accuracy": score.accuracy, f"{split}_loss": score.loss}
    if score.top5 is not None:
        metrics[f"{split}_top5_accuracy"] = score.top5
    return metrics


def how(fitted: FitResult) -> dict[str, Any]:
    """What a training found out by itself: its batch, and how steps were launched; as JSON."""
    return {"batch": fitted.batch, "step": fitted.step}


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
