"""The evaluator `language`: a recurrent cell is trained as a language model and measured on the validation text."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, final

import torch

from nas_core.architecture import Architecture
from nas_core.errors import InvalidNetwork, InvalidOption, TrialFailed
from nas_core.evaluator import Evaluation
from nas_core.network import Network, Task
from nas_core.random import derived_seed, rng
from nas_core.registry import check_options
from nas_core.space import HasNetwork, Space, require
from nas_core.trial import Measurement
from nas_train.devices import find_device
from nas_train.language.files import save_language
from nas_train.language.loop import LanguageResult, fit_language, perplexity
from nas_train.language.model import LanguageModel, build_language
from nas_train.language.recipe import LanguageRecipe
from nas_train.language.text import TextSet, open_text

REQUIRES = frozenset({"network"})
DEFAULT_RECIPE = "small_text"


@final
class LanguageEvaluator:
    """Trains language models. The fidelity of a trial is its number of epochs.

    Metrics: val_perplexity, val_loss and train_loss (nats a word), train_seconds, params (of the whole model, words'
    vectors included). What is measured depends on the study's seed, the architecture, the draw and the replicate.

    Args:
        data: an `.npz` file of word numbers or a folder of texts (`nas_train.language.text`).
        recipe: a name, or fields (`LanguageRecipe.from_config`).
        epochs: of a trial that asks for no fidelity; None for the recipe's.
        network: options of `space.network`; the widths are the recipe's.
        device: "cpu", "cuda", "cuda:1", or "auto".
        keep: whether each trained model is kept, as the artefact "checkpoint".
        threads: CPU threads; None for what torch or the executor has set.

    Raises:
        InvalidOption: an option that is out of range.
    """

    requires = REQUIRES

    def __init__(
        self,
        data: str,
        recipe: str | Mapping[str, Any] = DEFAULT_RECIPE,
        epochs: int | None = None,
        network: Mapping[str, Any] | None = None,
        device: str = "cpu",
        keep: bool = False,
        threads: int | None = 1,
    ) -> None:
        for name, value in (("epochs", epochs), ("threads", threads)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise InvalidOption(f"{name} cannot be set", value=value, expected="a whole number of at least 1")
        if not isinstance(keep, bool):
            raise InvalidOption("keep cannot be set", value=keep, expected="true or false")
        self.data = str(data)
        self.recipe = LanguageRecipe.from_config(recipe)
        self.epochs = self.recipe.epochs if epochs is None else epochs
        self.network = checked_network_options(network)
        self.device = device
        self.keep = keep
        self.threads = threads
        self._text: TextSet | None = None

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of what it measures."""
        return ("val_perplexity", "val_loss", "train_loss", "train_seconds", "params")

    def prepare(self, space: Space) -> None:
        """Find the device, load the text, and describe one model for it.

        Raises:
            NasError: the device, the text, or an option of the network is wrong, or the space has no recurrent cells.
        """
        require(space, self.requires, "training")
        find_device(self.device)
        networks_for(space, space.sample(rng(0, "prepare"), 1)[0], self._data(), self.network, self.recipe)

    def evaluate(self, evaluation: Evaluation) -> Measurement:
        """Train and measure one architecture.

        Raises:
            TrialFailed: "diverged", "out_of_memory", or "no_network" where the architecture has none.
            InvalidOption: a fidelity that is no number of epochs, or a training to be continued.
        """
        start = time.perf_counter()
        space, text = evaluation.space, evaluation.space.text(evaluation.architecture)
        seed = derived_seed(evaluation.seed, "evaluate", text, evaluation.draw, evaluation.replicate)
        draw = derived_seed(evaluation.seed, "draw", text, evaluation.draw)
        epochs = self._epochs(evaluation)
        try:
            networks = networks_for(space, evaluation.architecture, self._data(), self.network, self.recipe, draw)
        except InvalidNetwork as error:
            raise TrialFailed("no_network", str(error)) from error
        recipe, words = self.recipe, self._data().words
        model = build_language(networks, words, tied=recipe.tied, state_norm=recipe.state_norm, seed=seed)
        device = find_device(self.device)
        fitted = fit_language(
            model, self._data(), self.recipe, seed=seed, device=device, threads=self.threads, epochs=epochs
        )
        artefacts = {}
        if self.keep and evaluation.artefacts is not None:
            about = {"architecture": text, "space": space.to_config(), "seed": seed, "epochs": epochs}
            artefacts["checkpoint"] = save_language(evaluation.artefacts, model, about).name
        details = {
            **language_conditions(self._data(), self.recipe, epochs, device, self.threads),
            "curve": language_curve(fitted),
        }
        return Measurement(language_metrics(model, fitted), time.perf_counter() - start, artefacts, details)

    def to_config(self) -> dict[str, Any]:
        """The options it runs with."""
        return {
            "name": "language",
            "data": self.data,
            "recipe": self.recipe.to_config(),
            "epochs": self.epochs,
            "network": self.network,
            "device": self.device,
            "keep": self.keep,
            "threads": self.threads,
        }

    def _data(self) -> TextSet:
        if self._text is None:
            self._text = open_text(self.data)
        return self._text

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


def checked_network_options(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Options of `space.network` but for the widths.

    Raises:
        InvalidOption: no options, or a width.
    """
    if options is not None and not isinstance(options, Mapping):
        raise InvalidOption("network cannot be set", value=options, expected="options by name")
    if options is not None and "hidden" in options:
        raise InvalidOption(
            "the width of the states is the recipe's", value=options["hidden"], remedy="Set recipe.hidden"
        )
    return dict(options or {})


def networks_for(
    space: Space,
    architecture: Architecture,
    text: TextSet,
    options: Mapping[str, Any],
    recipe: LanguageRecipe,
    seed: int = 0,
) -> list[Network]:
    """One time step of an architecture's cell for each layer of a recipe's model.

    Args:
        space: the space of the architecture; it has recurrent cells.
        architecture: the member.
        text: says the number of words.
        options: of `space.network` but for `hidden`.
        recipe: says the widths.
        seed: which network a generator space draws.

    Raises:
        InvalidNetwork: the space has none for language.
        InvalidOption: an option that the space's network does not take.
        MissingCapability: the space has no networks.
    """
    if not isinstance(space, HasNetwork):
        require(space, REQUIRES, "training")
        raise InvalidOption("the space has no networks", value=space.name)
    check_options(space.network, f"the network of {space.name}", {**options, "hidden": 1}, positional=3)
    network: Any = space.network
    return [
        network(architecture, Task("language", (width,), text.words), seed, hidden=hidden, **options)
        for width, hidden in recipe.widths
    ]


def language_metrics(model: LanguageModel, fitted: LanguageResult) -> dict[str, float]:
    """The metrics of a training.

    Raises:
        TrialFailed: "diverged" where the perplexity is not finite.
    """
    return {
        "val_perplexity": perplexity(fitted.validation),
        "val_loss": fitted.validation,
        "train_loss": fitted.train_loss,
        "train_seconds": fitted.seconds,
        "params": float(sum(parameter.numel() for parameter in model.parameters())),
    }


def language_curve(fitted: LanguageResult) -> dict[str, list[Any]]:
    """The training loss of each epoch, and (epoch, loss) of each validation, as JSON."""
    validated = [[epoch.number, epoch.validation] for epoch in fitted.epochs if epoch.validation is not None]
    return {"train_loss": [epoch.train_loss for epoch in fitted.epochs], "validated": validated}


def language_conditions(
    text: TextSet, recipe: LanguageRecipe, epochs: int, device: torch.device, threads: int | None
) -> dict[str, Any]:
    """Under what conditions a model was trained, as JSON."""
    return {
        "data": {"name": text.name, "checksum": text.checksum, "sizes": dict(text.sizes), "words": text.words},
        "recipe": recipe.name,
        "epochs": epochs,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "threads": torch.get_num_threads() if threads is None else threads,
        "torch": torch.__version__,
    }
