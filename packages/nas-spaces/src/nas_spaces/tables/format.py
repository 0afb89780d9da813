"""What a table file must hold, checked before anything is looked up: meta, names, members, numbers, masks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical, Decision
from nas_core.errors import InvalidArchitecture, InvalidMeasurement, InvalidObjective, InvalidTable, NasError
from nas_core.objective import Objectives
from nas_core.registry import from_config
from nas_core.space import Space
from nas_core.trial import check_metric_name
from nas_spaces.tables.recognise import remedy_by_arrays

Names: TypeAlias = dict[str, dict[float | None, str]]
"""For each metric the name of its array at each fidelity; None where it does not depend on one."""

KEYS: Final = ("name", "space", "source", "licence", "units", "objective")
"""What the meta text must say."""
MEMBERS: Final = ("architecture", "decisions")
"""The arrays that say which architecture a row is of."""
FAILED: Final = "failed"

_MOST_CHOICES = 1 << 31
_BLOCK = 1 << 15  # rows that are checked at a time


def parsed_meta(arrays: Mapping[str, NDArray[Any]]) -> Mapping[str, Any]:
    """The object that the array `meta` of a file holds.

    Args:
        arrays: all of the file.

    Raises:
        InvalidTable: there is no such array, or it is not the text of a JSON object.
    """
    if "meta" not in arrays:
        raise InvalidTable(
            "a table without meta", expected="an array meta that holds a JSON text", remedy=remedy_by_arrays(arrays)
        )
    array = arrays["meta"]
    if array.dtype.kind != "U" or array.size != 1:
        raise InvalidTable("meta is no text", value=f"{array.dtype} {array.shape}", expected="one JSON text")
    try:
        meta = json.loads(str(array.reshape(-1)[0]), parse_constant=_no_constant, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise InvalidTable(f"meta cannot be read as JSON ({error})") from None
    if not isinstance(meta, dict):
        raise InvalidTable("meta is no JSON object", value=meta)
    return meta


def checked_meta(meta: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a table's meta.

    Raises:
        InvalidTable: a key is missing or of a wrong type, or it is no JSON.
    """
    missing = [key for key in KEYS if key not in meta]
    if missing:
        raise InvalidTable(f"meta does not say {missing[0]!r}", value=sorted(map(str, meta)), expected=", ".join(KEYS))
    try:
        copy: dict[str, Any] = json.loads(json.dumps(dict(meta), allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidTable(f"meta cannot be written as JSON ({error})") from None
    for key in ("name", "source", "licence"):
        if not isinstance(copy[key], str) or not copy[key]:
            raise InvalidTable(f"{key!r} of meta must be a text", value=copy[key])
    units = copy["units"]
    if not isinstance(units, dict) or not all(isinstance(unit, str) for unit in units.values()):
        raise InvalidTable("'units' of meta must say the unit of each metric", value=units, expected="{metric: unit}")
    return copy


def space_of(config: Any) -> Space:
    """The space that a table's meta names, configures or declares.

    Raises:
        InvalidTable: it does none of these, or the space cannot be made.
    """
    if isinstance(config, str):
        config = {"name": config}
    if not isinstance(config, Mapping) or not isinstance(config.get("name"), str):
        raise InvalidTable("'space' of meta is no space", value=config, expected="a name, or an object with a name")
    try:
        return from_config("space", config)  # type: ignore[no-any-return]
    except NasError as error:
        raise InvalidTable(f"the table's space cannot be made: {error}") from None


def check_objective(objective: Any, metrics: Iterable[str]) -> None:
    """Check that a table's meta states objectives on metrics that it has.

    Raises:
        InvalidTable: it does not.
    """
    texts = [objective] if isinstance(objective, str) else objective
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise InvalidTable("'objective' of meta is none", value=objective, expected="such as max:val_accuracy")
    try:
        wanted = Objectives.parse(texts).metrics
    except InvalidObjective as error:
        raise InvalidTable(f"'objective' of meta is none: {error}") from None
    known = list(metrics)
    for metric in wanted:
        if metric.partition("@")[0] not in known:
            raise InvalidTable(
                "'objective' of meta names no metric of the table", value=metric, expected=", ".join(known)
            )


def metric_names(arrays: Mapping[str, NDArray[Any]], n: int) -> tuple[Names, dict[float | None, str]]:
    """The metrics of a table with n rows, and the masks of what failed by fidelity.

    Raises:
        InvalidTable: a name that is none, a metric or mask of a wrong type or length, one that is there twice, none.
    """
    metrics: Names = {}
    masks: Names = {}
    for name, array in arrays.items():
        if name in MEMBERS:
            continue
        try:
            metric, _, fidelity = check_metric_name(name).partition("@")
        except InvalidMeasurement as error:
            raise InvalidTable(f"an array with a name that is none of a table's: {error}") from None
        if metric == FAILED:
            _check_column(name, array, n, "b", "truth values")
        else:
            _check_column(name, array, n, "iuf", "numbers")
        known = (masks if metric == FAILED else metrics).setdefault(metric, {})
        at = float(fidelity) if fidelity else None
        if at in known:
            raise InvalidTable(f"{metric!r} is there twice at one fidelity", value=[known[at], name])
        known[at] = name
    _check_names(metrics, masks.get(FAILED, {}))
    return metrics, masks.get(FAILED, {})


def check_values(arrays: Mapping[str, NDArray[Any]], metrics: Names, masks: Mapping[float | None, str]) -> None:
    """Check that whatever is not marked as failed is a finite number.

    Raises:
        InvalidTable: naming the first metric and row that is none.
    """
    for column in metrics.values():
        for fidelity, name in column.items():
            missing = ~np.isfinite(arrays[name])
            for at, mask in masks.items():
                if at is None or at == fidelity:
                    missing &= ~arrays[mask]
            if missing.any():
                row = int(missing.argmax())
                raise InvalidTable(
                    f"the metric {name!r} is no finite number in row {row} (counted from 0)",
                    value=float(arrays[name][row]),
                    remedy="Mark the rows that failed in an array of truth values, failed or failed@<fidelity>.",
                )


def parsed_members(texts: NDArray[Any], space: Space) -> list[Architecture]:
    """The members that an array of n texts describes.

    Raises:
        InvalidTable: naming the first row that describes none.
    """
    if texts.dtype.kind != "U" or texts.ndim != 1:
        raise InvalidTable(
            "the array 'architecture' holds no texts", value=f"{texts.dtype} {texts.shape}", expected="n texts"
        )
    found = []
    for row, text in enumerate(texts.tolist()):
        try:
            found.append(space.parse(text))
        except InvalidArchitecture as error:
            raise InvalidTable(f"the architecture of row {row} (counted from 0) is no member: {error}") from None
    return found


def checked_numbers(numbers: NDArray[Any], space: Space) -> NDArray[Any]:
    """An array of choice numbers (n x d), -1 where inactive.

    Raises:
        InvalidTable: naming the first row that is no member.
    """
    d = len(space.decisions)
    if numbers.dtype.kind not in "iu" or numbers.ndim != 2 or numbers.shape[1] != d:
        raise InvalidTable(
            "the array 'decisions' does not fit its space",
            value=f"{numbers.dtype} {numbers.shape}",
            expected=f"whole numbers (n, {d})",
        )
    for i, decision in enumerate(space.decisions):
        if decision.size is None or decision.size >= _MOST_CHOICES:
            raise InvalidTable(
                f"the decision {decision.name!r} has no choice numbers", remedy="Write the architectures as text."
            )
        wrong = (numbers[:, i] < -1) | (numbers[:, i] >= decision.size)
        if wrong.any():
            row = int(wrong.argmax())
            raise InvalidTable(
                f"row {row} (counted from 0) of 'decisions' has no choice for {decision.name!r}",
                value=int(numbers[row, i]),
                expected=f"0 to {decision.size - 1}, or -1 where the decision is inactive",
            )
    _check_members(numbers, space)
    return numbers.astype(np.int32) if numbers.itemsize > 4 else numbers


def member(numbers: NDArray[Any], space: Space) -> Architecture:
    """The member of one row of choice numbers (d)."""
    pairs = zip(space.decisions, numbers.tolist(), strict=True)
    return Architecture(space.name, tuple(None if k < 0 else _value(decision, k) for decision, k in pairs))


def _check_members(numbers: NDArray[Any], space: Space) -> None:
    free = type(space).active is Space.active and type(space).project is Space.project  # all choices combine
    rows = np.flatnonzero((numbers < 0).any(axis=1)) if free else np.arange(len(numbers))
    if hasattr(space, "legal_rows"):  # a space that knows many at once
        blocks = [~space.legal_rows(numbers[at : at + _BLOCK]) for at in range(0, len(numbers), _BLOCK)]
        rows = np.flatnonzero(np.concatenate([np.empty(0, dtype=np.bool_), *blocks]))
    for row in rows.tolist():
        try:
            space.canonical(member(numbers[row], space).values)
        except InvalidArchitecture as error:
            raise InvalidTable(f"row {row} (counted from 0) of 'decisions' is no member: {error}") from None


def _check_column(name: str, array: NDArray[Any], n: int, kinds: str, what: str) -> None:
    if array.dtype.kind not in kinds:
        raise InvalidTable(f"the array {name!r} has a wrong type", value=str(array.dtype), expected=what)
    if array.shape != (n,):
        raise InvalidTable(f"the array {name!r} has a wrong shape", value=array.shape, expected=f"({n},), one a row")


def _check_names(metrics: Names, masks: Mapping[float | None, str]) -> None:
    if not metrics:
        raise InvalidTable("a table without metrics", expected="an array such as val_accuracy or val_accuracy@200")
    for metric, column in metrics.items():
        if None in column and len(column) > 1:
            raise InvalidTable(f"{metric!r} is there with and without a fidelity", value=list(column.values()))
    measured = {fidelity for column in metrics.values() for fidelity in column}
    for fidelity, name in masks.items():
        if fidelity is not None and fidelity not in measured:
            raise InvalidTable(f"no metric was measured at the fidelity of {name!r}")


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is given twice")
    return found


def _value(decision: Decision, number: int) -> Any:
    return decision.choices[number] if isinstance(decision, Categorical) else int(decision.low) + number
