"""What the process executor and its workers say to each other: plain JSON text over a socket, one object a message.

to a worker      {"job": …} once, then {"task": …} or {"group": …} any number of times, {"end": true}
from a worker    {"ready": true} or {"error": {"kind": …, "message": …}}, then {"outcome": …} for each task and
                 {"outcomes": …, "state": …} for each group

Arrays of a group's state are bytes of the kind that the store keeps, in base 64.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import Any

from nas_core import errors
from nas_core.errors import NasError
from nas_core.executor import Group, GroupOutcome, Job, Outcome, Task
from nas_core.optimizer import State
from nas_core.trial import Failure, Measurement


def send(connection: Connection, message: Mapping[str, Any]) -> None:
    """Send one message."""
    connection.send_bytes(json.dumps(message).encode())


def receive(connection: Connection) -> dict[str, Any]:
    """Wait for one message; EOFError where the other side is gone."""
    message: dict[str, Any] = json.loads(connection.recv_bytes())
    return message


def job_message(job: Job) -> dict[str, Any]:
    """A job; `job_of` reads it."""
    return {
        "space": dict(job.space),
        "evaluator": dict(job.evaluator),
        "seed": job.seed,
        "artefacts": job.artefacts,
        "threads": job.threads,
    }


def job_of(message: Mapping[str, Any]) -> Job:
    """The inverse of `job_message`."""
    return Job(**message)


def task_message(task: Task) -> dict[str, Any]:
    """A task; `task_of` reads it."""
    return asdict(task)


def task_of(message: Mapping[str, Any]) -> Task:
    """The inverse of `task_message`."""
    return Task(**{**message, "values": tuple(message["values"])})


def group_message(group: Group) -> dict[str, Any]:
    """A group; `group_of` reads it."""
    return {"tasks": [task_message(task) for task in group.tasks], "state": _state_message(group.state)}


def group_of(message: Mapping[str, Any]) -> Group:
    """The inverse of `group_message`."""
    return Group(tuple(map(task_of, message["tasks"])), _state_of(message["state"]))


def group_outcome_message(outcome: GroupOutcome) -> dict[str, Any]:
    """The outcome of a group; `group_outcome_of` reads it."""
    return {"outcomes": [outcome_message(one) for one in outcome.outcomes], "state": _state_message(outcome.state)}


def group_outcome_of(message: Mapping[str, Any]) -> GroupOutcome:
    """The inverse of `group_outcome_message`."""
    return GroupOutcome(tuple(map(outcome_of, message["outcomes"])), _state_of(message["state"]))


def _state_message(state: State | None) -> dict[str, Any] | None:
    if state is None:
        return None
    from nas_search.store.blobs import pack  # with the store comes SQLAlchemy, which most workers never need

    blob = pack(state)
    return {**blob._asdict(), "arrays": base64.b64encode(blob.arrays).decode()}


def _state_of(message: Mapping[str, Any] | None) -> State | None:
    if message is None:
        return None
    from nas_search.store.blobs import Blob, unpack

    return unpack(Blob(**{**message, "arrays": base64.b64decode(message["arrays"])}))


def outcome_message(outcome: Outcome) -> dict[str, Any]:
    """An outcome; `outcome_of` reads it."""
    result = outcome.result
    if isinstance(result, Failure):
        return {"number": outcome.number, "attempt": outcome.attempt, "failure": asdict(result)}
    measured = {
        "metrics": {name: float(value) for name, value in result.metrics.items()},
        "seconds": float(result.seconds),
        "artefacts": dict(result.artefacts),
        "details": dict(result.details),
    }
    return {"number": outcome.number, "attempt": outcome.attempt, "measurement": measured}


def outcome_of(message: Mapping[str, Any]) -> Outcome:
    """The inverse of `outcome_message`."""
    if "failure" in message:
        return Outcome(message["number"], message["attempt"], Failure(**message["failure"]))
    return Outcome(message["number"], message["attempt"], Measurement(**message["measurement"]))


def error_message(error: NasError) -> dict[str, Any]:
    """An error in the user's words; `error_of` reads it."""
    return {"kind": type(error).__name__, "message": str(error)}


def error_of(message: Mapping[str, Any]) -> NasError:
    """An error of the same kind with the same words, where nas_core has the kind."""
    kind = getattr(errors, message["kind"], NasError)
    plain = isinstance(kind, type) and issubclass(kind, NasError) and kind is not errors.TrialFailed
    return kind(message["message"]) if plain else NasError(message["message"])
