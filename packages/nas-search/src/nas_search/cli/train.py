"""`nas train`: the best architecture, or several, trained longer and tested once. Served by the extra `train`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import exp
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from nas_core.errors import InvalidOption, NasError, RegistryError, TrialFailed
from nas_core.space import HasWirings, Space
from nas_core.trial import Measurement, Trial
from nas_search.cli.draw import chosen_trial
from nas_search.cli.final import RESULT, finals, place_of, read_final, write_final
from nas_search.cli.inspect import best_trials
from nas_search.cli.options import OF_TEXTS, data_source, options_of, recipe_of
from nas_search.cli.output import print_json, say
from nas_search.report.numbers import device_time, shown, shown_metrics, tested_first
from nas_search.study import Study

if TYPE_CHECKING:
    from nas_train.language.loop import LanguageEpoch
    from nas_train.loop import Epoch

_COMPARED = ("data", "network", "recipe", "epochs")
"""What makes a training another one."""


@dataclass(frozen=True)
class FinalOptions:
    """The options of `nas train` as they were typed; None where one was not given."""

    data: str | None = None
    recipe: str | None = None
    epochs: int | None = None
    network: str | None = None


@dataclass(frozen=True)
class Which:
    """Which architectures to train; the best one where nothing is said.

    Args:
        trial: that of one trial.
        best: the so many best ones.
        pareto: all of the Pareto front.
        draws: of each, so many networks that it draws, instead of the one of its trial.
    """

    trial: int | None = None
    best: int | None = None
    pareto: bool = False
    draws: int | None = None

    @property
    def several(self) -> bool:
        """Whether each one gets a folder of its own."""
        return self.best is not None or self.pareto or self.draws is not None


class Member(NamedTuple):
    """One network to train: the trial that found its architecture, the text, the folder for its files, and its draw."""

    trial: Trial
    text: str
    place: Path
    draw: int

    @property
    def name(self) -> str:
        """The trial, and the draw where it is another."""
        own = self.draw == self.trial.proposal.draw
        return f"trial {self.trial.number}" if own else f"trial {self.trial.number}, draw {self.draw}"


def train(directory: Path, which: Which, options: FinalOptions, out: Path | None, json: bool) -> None:
    """Train architectures anew, test each, and keep the results.

    Of several, those that have been trained and tested so already are left alone: the same command goes on after an
    interruption.

    Raises:
        NasError: one has been tested already, nothing says on which data, a training fails, or nas-train is not
            installed.
        typer.Exit: with 130 where Ctrl-C ended it.
    """
    folder = directory / "final" if out is None else out
    with Study.open(directory, read_only=True) as study:
        members, several = _members(study, which, folder), which.several
        if not several:
            _check_untested(folder, members[0].trial.number)
        settings = _settings(study.config.evaluator, options)
        done = _done(folder, members, settings) if several else {}
        threads = {} if study.config.threads is None else {"threads": study.config.threads}
        more = {"seed": study.config.seed, **threads}
        space, language = study.space, study.config.evaluator["name"] in OF_TEXTS
    run = partial(_trained, _train_final(language), space, settings=settings, more=more, json=json)
    results, failed = [], []
    for member in members:
        if member.place in done:
            say(f"{member.name} has been trained and tested already")
            results.append(done[member.place])
            continue
        try:
            results.append(run(member))
        except TrialFailed as error:
            if not several:
                raise
            failed.append(member.name)
            say(f"{member.name} failed: {error}")
    over_draws = {} if which.draws is None else {"over_draws": summaries(results)}
    if json:
        print_json({"directory": str(folder), **over_draws, **({"trained": results} if several else results[0])})
    else:
        for summary in over_draws.get("over_draws", ()):
            print(_shown_summary(summary))
    if failed:
        raise NasError(f"{len(failed)} of {len(members)} trainings failed", value=failed, place=str(folder))


def _members(study: Study, which: Which, folder: Path) -> list[Member]:
    """What is to be trained, and where; of several, each architecture and draw once."""
    if [which.trial is not None, which.best is not None, which.pareto].count(True) > 1:
        raise InvalidOption("several ways to say what is to be trained", expected="one of --trial, --best, --pareto")
    if which.draws is not None and not isinstance(study.space, HasWirings):
        raise InvalidOption(f"the networks of {study.space.name} are not drawn", value=which.draws, place="--draws")
    if which.best is None and not which.pareto:
        trial = chosen_trial(study, which.trial)
        place = place_of(folder, trial.number) if which.several else folder
        return _drawn([Member(trial, study.space.text(trial.architecture), place, trial.proposal.draw)], which.draws)
    found: dict[Any, Member] = {}
    for row in best_trials(study, None if which.pareto else len(study.trials())):
        own = row.trial.proposal.draw
        member = Member(row.trial, row.text, place_of(folder, row.trial.number), own)
        found.setdefault((row.trial.architecture, own if which.draws is None else None), member)
    return _drawn(list(found.values())[: which.best], which.draws)


def _drawn(members: list[Member], draws: int | None) -> list[Member]:
    """So many draws of each, in folders below its own; as it is where no number is given."""
    if draws is None:
        return members
    return [m._replace(draw=draw, place=m.place / f"draw{draw}") for m in members for draw in range(draws)]


def summaries(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean and deviation (n - 1; None of one) of every metric over the draws of each trial, in order."""
    found = []
    for trial in dict.fromkeys(result["trial"] for result in results):
        own = [result["metrics"] for result in results if result["trial"] == trial]
        columns = {name: [metrics[name] for metrics in own] for name in own[0]}
        metrics = {
            name: {"mean": fmean(values), "deviation": stdev(values) if len(values) > 1 else None}
            for name, values in columns.items()
        }
        found.append({"trial": trial, "draws": len(own), "metrics": metrics})
    return found


def _shown_summary(summary: Mapping[str, Any]) -> str:
    parts = []
    for name in tested_first(summary["metrics"]):
        mean, deviation = summary["metrics"][name]["mean"], summary["metrics"][name]["deviation"]
        parts.append(f"{name} {shown(mean)}" + ("" if deviation is None else f" ± {shown(deviation)}"))
    return f"trial {summary['trial']}, {summary['draws']} draws: " + ", ".join(parts)


def _trained(
    train_final: Callable[..., Measurement],
    space: Space,
    member: Member,
    *,
    settings: Mapping[str, Any],
    more: Mapping[str, Any],
    json: bool,
) -> dict[str, Any]:
    """Train and test one architecture, and keep and show the result."""
    trial, text, place, draw = member
    say(f"training {member.name} anew: {text}")
    try:
        measured = train_final(space, trial.architecture, out=place, draw=draw, **settings, **more)
    except KeyboardInterrupt:
        say("stopped before the test; the same command goes on from the last epoch")
        raise typer.Exit(130) from None
    result = _result(member, measured, settings)
    write_final(place, result)
    if not json:
        print(f"{member.name}: {shown_metrics(measured.metrics, tested_first(measured.metrics))}")
        print(f"cost: {device_time(measured.seconds)}; kept in {place}")
    return result


def _check_untested(folder: Path, trial: int) -> None:
    """That nothing lies in the folder, and that the trial has not been trained as one of several."""
    own = read_final(folder)
    if own is not None:
        raise _tested(own["trial"], folder)
    if trial in (trained := finals(folder)):
        raise _tested(trial, trained[trial][0])


def _done(folder: Path, members: Sequence[Member], settings: Mapping[str, Any]) -> dict[Path, dict[str, Any]]:
    """Results of those that have been trained and tested as is wanted now, by the folder of each.

    Raises:
        InvalidOption: one has been trained and tested otherwise.
    """
    done = {}
    trained = finals(folder)
    for member in members:
        number, own = member.trial.number, member.trial.proposal.draw
        place, result = trained.get(number, (member.place, None)) if member.draw == own else (member.place, None)
        result = read_final(place) if result is None else result
        if result is None:
            continue
        if any(result.get(name) != settings.get(name) for name in _COMPARED):
            raise _tested(number, place)
        done[member.place] = result
    return done


def _tested(trial: int, place: Path) -> InvalidOption:
    return InvalidOption(
        f"trial {trial} has been trained and tested already",
        place=str(place / RESULT),
        remedy="Testing until it looks well would make the test worthless; --out keeps another result elsewhere.",
    )


def _settings(evaluator: Mapping[str, Any], options: FinalOptions) -> dict[str, Any]:
    """On what and how to train: what was typed, else what the search trained with; never its short recipe."""
    language = evaluator["name"] in OF_TEXTS
    search = evaluator if language or evaluator["name"] in ("train", "shared_weights") else {}
    data = search.get("data") if options.data is None else data_source(options.data, named=not language)
    if data is None:
        raise InvalidOption("the search trained nothing, so nothing says on which images to train", expected="--data")
    network = _alone(search.get("network")) if options.network is None else options_of("network", options.network)
    settings = {"data": data, "network": network, "device": search.get("device", "cpu")}
    recipe = None if options.recipe is None else recipe_of(options.recipe)
    typed = {"recipe": recipe, "epochs": options.epochs}
    return settings | {name: value for name, value in typed.items() if value is not None}


def _alone(network: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Options of a search's network without the form that members share weights in: alone the usual one does."""
    return None if network is None else {name: value for name, value in network.items() if name != "shared"}


def _train_final(language: bool) -> Callable[..., Measurement]:
    """The last training of a recurrent cell, or of a classifier of images."""
    try:
        if language:
            from nas_train.language.final import train_final_language

            return partial(train_final_language, on_epoch=_say_language_epoch)
        from nas_train.final import train_final
    except ImportError as error:
        raise RegistryError(
            f"training needs nas-train, which does not import ({error})",
            remedy="Install the extra `train` of nas-search.",
        ) from error
    return partial(train_final, on_epoch=_say_epoch)


def _say_epoch(epoch: Epoch) -> None:
    score = epoch.validation
    validated = "" if score is None else f", val_accuracy {shown(score.accuracy)}, val_loss {shown(score.loss)}"
    say(f"epoch {epoch.number}: train_loss {shown(epoch.train_loss)}{validated}")


def _say_language_epoch(epoch: LanguageEpoch) -> None:
    nats = epoch.validation
    validated = "" if nats is None else f", val_perplexity {shown(exp(nats))}, val_loss {shown(nats)}"
    say(f"epoch {epoch.number}: train_loss {shown(epoch.train_loss)}{validated}")


def _result(member: Member, measured: Measurement, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "trial": member.trial.number,
        "draw": member.draw,
        "architecture": member.text,
        "metrics": dict(measured.metrics),
        "seconds": measured.seconds,
        "artefacts": dict(measured.artefacts),
        **settings,
    }
