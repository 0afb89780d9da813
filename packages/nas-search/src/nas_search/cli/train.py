"""`nas train`: the best architecture trained longer and tested once. Served by the extra `train`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from nas_core.errors import InvalidOption, RegistryError
from nas_core.trial import Measurement
from nas_search.cli.draw import chosen_trial
from nas_search.cli.final import RESULT, read_final, write_final
from nas_search.cli.options import data_source, options_of
from nas_search.cli.output import print_json, say
from nas_search.report.numbers import device_time, shown, shown_metrics, tested_first
from nas_search.study import Study

if TYPE_CHECKING:
    from nas_train.loop import Epoch


@dataclass(frozen=True)
class FinalOptions:
    """The options of `nas train` as they were typed; None where one was not given."""

    data: str | None = None
    recipe: str | None = None
    epochs: int | None = None
    network: str | None = None


def train(directory: Path, number: int | None, options: FinalOptions, out: Path | None, json: bool) -> None:
    """Train the architecture of a trial anew, test it, and keep the result.

    Raises:
        NasError: it has been tested already, nothing says on which data, or nas-train is not installed.
        typer.Exit: with 130 where Ctrl-C ended it.
    """
    place = directory / "final" if out is None else out
    with Study.open(directory, read_only=True) as study:
        _check_untested(place)
        trial, space = chosen_trial(study, number), study.space
        settings = _settings(study.config.evaluator, options)
        more = {"seed": study.config.seed, "draw": trial.proposal.draw, "threads": study.config.threads}
    text, train_final = space.text(trial.architecture), _train_final()
    say(f"training trial {trial.number} anew: {text}")
    try:
        measured = train_final(space, trial.architecture, out=place, on_epoch=_say_epoch, **settings, **more)
    except KeyboardInterrupt:
        say("stopped before the test; the same command goes on from the last epoch")
        raise typer.Exit(130) from None
    result = _result(trial.number, text, measured, settings)
    write_final(place, result)
    if json:
        print_json({"directory": str(place), **result})
    else:
        print(f"trial {trial.number}: {shown_metrics(measured.metrics, tested_first(measured.metrics))}")
        print(f"cost: {device_time(measured.seconds)}; kept in {place}")


def _check_untested(place: Path) -> None:
    found = read_final(place)
    if found is not None:
        raise InvalidOption(
            f"trial {found['trial']} has been trained and tested already",
            place=str(place / RESULT),
            remedy="Testing until it looks well would make the test worthless; --out keeps another result elsewhere.",
        )


def _settings(evaluator: Mapping[str, Any], options: FinalOptions) -> dict[str, Any]:
    """On what and how to train: what was typed, else what the search trained with; never its short recipe."""
    search = evaluator if evaluator["name"] == "train" else {}
    data = search.get("data") if options.data is None else data_source(options.data)
    if data is None:
        raise InvalidOption("the search trained nothing, so nothing says on which images to train", expected="--data")
    network = search.get("network") if options.network is None else options_of("network", options.network)
    settings = {"data": data, "network": network, "device": search.get("device", "cpu")}
    typed = {"recipe": options.recipe, "epochs": options.epochs}
    return settings | {name: value for name, value in typed.items() if value is not None}


def _train_final() -> Callable[..., Measurement]:
    try:
        from nas_train.final import train_final
    except ImportError as error:
        raise RegistryError(
            f"training needs nas-train, which does not import ({error})",
            remedy="Install the extra `train` of nas-search.",
        ) from error
    return train_final


def _say_epoch(epoch: Epoch) -> None:
    score = epoch.validation
    validated = "" if score is None else f", val_accuracy {shown(score.accuracy)}, val_loss {shown(score.loss)}"
    say(f"epoch {epoch.number}: train_loss {shown(epoch.train_loss)}{validated}")


def _result(trial: int, text: str, measured: Measurement, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "trial": trial,
        "architecture": text,
        "metrics": dict(measured.metrics),
        "seconds": measured.seconds,
        "artefacts": dict(measured.artefacts),
        **settings,
    }
