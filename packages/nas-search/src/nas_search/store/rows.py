"""Trials as rows and back: numbers exactly, everything else as JSON text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from nas_core.architecture import Architecture
from nas_core.errors import InvalidMeasurement, InvalidOption
from nas_core.trial import Failure, Measurement, Proposal, Status, Trial

PROPOSED = ("space", "decisions", "fidelity", "draw", "replicate", "resume_from", "grouped", "info")
RESULTS = ("status", "seconds", "reason", "message", "artefacts", "details")


def plain(what: str, value: Any) -> str:
    """JSON text.

    Raises:
        InvalidOption: it has none.
    """
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidOption(f"{what} must be JSON ({error})", value=value) from error


def proposal_row(proposal: Proposal) -> dict[str, Any]:
    """The columns of `PROPOSED`."""
    return {
        "space": proposal.architecture.space,
        "decisions": plain("an architecture's values", proposal.architecture.values),
        "fidelity": None if proposal.fidelity is None else float(proposal.fidelity),
        "draw": proposal.draw,
        "replicate": proposal.replicate,
        "resume_from": proposal.resume_from,
        "grouped": proposal.group,
        "info": plain("a proposal's info", dict(proposal.info)),
    }


def as_stored(proposal: Proposal, row: Mapping[str, Any]) -> Proposal:
    """The proposal as it will be read back, so that a study that is resumed sees what the first run saw."""
    if row["info"] == "{}" and row["fidelity"] is None:
        return proposal
    return replace(proposal, fidelity=row["fidelity"], info=json.loads(row["info"]))


def proposal_of(row: Mapping[str, Any]) -> Proposal:
    """The inverse of `proposal_row`."""
    return Proposal(
        Architecture(row["space"], tuple(json.loads(row["decisions"]))),
        fidelity=row["fidelity"],
        draw=row["draw"],
        replicate=row["replicate"],
        resume_from=row["resume_from"],
        group=row["grouped"],
        info=json.loads(row["info"]),
    )


def result_row(result: Measurement | Failure) -> tuple[dict[str, Any], dict[str, float]]:
    """The columns of `RESULTS`, and the metrics by name."""
    seconds = _finite("seconds", result.seconds)
    row: tuple[Any, ...]
    if isinstance(result, Failure):
        row = (Status.FAILED.value, seconds, result.reason, result.message, "{}", "{}")
        return dict(zip(RESULTS, row, strict=True)), {}
    artefacts = plain("artefacts", dict(result.artefacts)) if result.artefacts else "{}"
    details = plain("details", dict(result.details)) if result.details else "{}"
    row = (Status.COMPLETED.value, seconds, None, None, artefacts, details)
    metrics = {name: _finite(name, result.metrics[name]) for name in sorted(result.metrics)}
    return dict(zip(RESULTS, row, strict=True)), metrics


def result_of(row: Mapping[str, Any], metrics: Mapping[str, float]) -> Measurement | Failure | None:
    """The inverse of `result_row`; None for a running trial."""
    if row["status"] == Status.RUNNING:
        return None
    if row["status"] == Status.FAILED:
        return Failure(row["reason"], row["message"], row["seconds"])
    return Measurement(metrics, row["seconds"], json.loads(row["artefacts"]), json.loads(row["details"]))


def trial_of(row: Mapping[str, Any], metrics: Mapping[str, float]) -> Trial:
    """A trial as it stands."""
    result = result_of(row, metrics)
    return Trial(row["number"], proposal_of(row), Status(row["status"]), result, row["attempt"])


def _finite(name: str, value: float) -> float:
    if not math.isfinite(value):
        raise InvalidMeasurement(f"{name} must be a finite number", value=value)
    return float(value)
