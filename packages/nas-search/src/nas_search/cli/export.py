"""`nas export`: a found network as files that need no part of this toolkit. Served by the extra `train`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from nas_core.errors import InvalidOption, RegistryError, StoreError
from nas_core.trial import Measurement, Trial
from nas_search.cli.draw import chosen_trial
from nas_search.cli.final import finals
from nas_search.cli.output import print_json, say
from nas_search.study import ARTEFACTS, Study
from nas_search.summary import summarise

CHECKPOINT = "checkpoint"
"""The role of a kept network among the artefacts of a measurement."""


class Weights(NamedTuple):
    """Which trained network is exported.

    Args:
        file: its checkpoint.
        data: what it was trained on.
        checksum: of the data, where it is known.
        metrics: by stage ("search", "final") what was measured.
        training: what the store says about its training.
    """

    file: Path
    data: str
    checksum: str | None
    metrics: Mapping[str, Mapping[str, float]]
    training: Mapping[str, Any]


def export(
    directory: Path, number: int | None, final: Path | None, formats: Sequence[str], out: Path, json: bool
) -> None:
    """Export the network that was trained to the end, else the kept one of a trial.

    Raises:
        NasError: there are no weights, a check fails, or nas-train is not installed.
    """
    with Study.open(directory, read_only=True) as study:
        trial, weights = _weights(study, number, directory / "final" if final is None else final)
        text, told = (
            study.space.text(trial.architecture),
            {"space": study.space.to_config(), "found": _found(study, trial)},
        )
    about, export_checkpoint = _exporter()
    say(f"exporting trial {trial.number}: {text}")
    card = export_checkpoint(
        weights.file,
        weights.data,
        out,
        checksum=weights.checksum,
        formats=formats or None,
        about=about(text, metrics=weights.metrics, training=weights.training, **told),
    )
    if json:
        print_json({"directory": str(out), "trial": trial.number, "architecture": text, **card})
        return
    for name, entry in card["files"].items():
        print(f"{out / name}: {entry['what']}, {entry['bytes']:,} bytes")
    for name, result in card["checks"]["results"].items():
        shown = result if isinstance(result, str) else f"differs by {result:.3g} of the largest logit"
        print(f"{name}: {shown}")


def _weights(study: Study, number: int | None, folder: Path) -> tuple[Trial, Weights]:
    """The trial that is exported, and its weights.

    Raises:
        InvalidOption: no weights have been kept, or several networks are trained and none of them is the best.
    """
    trained = finals(folder)
    if number is None and len(trained) == 1:
        [number] = trained
    trial = chosen_trial(study, number)
    if trial.number in trained:
        place, result = trained[trial.number]
        file = place / result.get("artefacts", {}).get(CHECKPOINT, "")
        stages = {"search": trial.metrics, "final": result["metrics"]}
        return trial, Weights(_existing(file), str(result["data"]), None, stages, {})
    if number is None and trained:
        raise InvalidOption(
            "several networks have been trained to the end, and the best of the search is none of them",
            place=str(folder),
            expected="--trial, one of " + ", ".join(map(str, sorted(trained))),
        )
    measured = trial.result
    if not isinstance(measured, Measurement) or CHECKPOINT not in measured.artefacts:
        raise InvalidOption(
            f"no weights have been kept of trial {trial.number}",
            place=str(study.directory),
            remedy=f"`nas train {study.directory} --trial {trial.number}` trains it to the end; a search keeps what it"
            " trains where its evaluator has keep=true (--train keep=true on images).",
        )
    data = study.config.evaluator.get("data")
    details = {name: value for name, value in measured.details.items() if name not in ("curve", "data")}
    checksum = measured.details.get("data", {}).get("checksum")
    file = study.directory / ARTEFACTS / measured.artefacts[CHECKPOINT]
    return trial, Weights(_existing(file), str(data), checksum, {"search": trial.metrics}, details)


def _existing(file: Path) -> Path:
    if not file.is_file():
        raise StoreError("the weights of this network are gone", place=str(file), remedy="Train it to the end again.")
    return file


def _found(study: Study, trial: Trial) -> dict[str, Any]:
    """How the architecture was found, as plain data."""
    config, spec = study.config, study.store.spec
    seen = summarise("", study.trials(), study.history(), study.objectives, study.space, 0.0)
    return {
        "optimizer": dict(config.optimizer),
        **study.objectives.to_config(),
        "seed": config.seed,
        "trials": {"completed": seen.completed, "failed": seen.failed},
        "device_seconds": seen.device_seconds,
        "trial": trial.number,
        "draw": trial.proposal.draw,
        "versions": dict(spec["versions"]),
        "machine": dict(spec["machine"]),
    }


def _exporter() -> tuple[Callable[..., Any], Callable[..., dict[str, Any]]]:
    try:
        from nas_train.export import About, export_checkpoint
    except ImportError as error:
        raise RegistryError(
            f"exporting needs nas-train, which does not import ({error})",
            remedy="Install the extra `train` of nas-search.",
        ) from error
    return About, export_checkpoint
