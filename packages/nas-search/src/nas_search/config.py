"""The configuration of a study: plain data that says everything about what is to run.

trials = 30
objectives = ["max:val_accuracy"]
space = "nasbench201"

[optimizer]
name = "evolution"
population = 10

[evaluator]
name = "train"
data = "digits"
"""

from __future__ import annotations

import difflib
import json
import math
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self, final

from nas_core.errors import InvalidOption, NasError
from nas_core.objective import Constraint, Objectives

_IMPORT_PATH = re.compile(r"[A-Za-z_]\w*(\.\w+)+:[A-Za-z_]\w*")
_NAME = re.compile(r"[A-Za-z_]\w*")


@final
@dataclass(frozen=True)
class StudyConfig:
    """What a study runs. Components are `{"name": …, **options}`; `from_mapping` checks all of it.

    Args:
        space: the space to search.
        optimizer: what proposes.
        evaluator: what measures.
        objectives: "max:METRIC" or "min:METRIC".
        constraints: "METRIC<=NUMBER" or "METRIC>=NUMBER".
        trials: how many are to be finished, failed ones included.
        seed: names all random number streams.
        executor: "serial", "processes", "processes:NUMBER", "simulated" or "simulated:NUMBER".
        threads: CPU threads of one evaluation; None leaves the libraries' choice, or divides the cores among workers.
        failure_limit: the study stops when a greater share of at least 10 finished trials has failed.
        seconds: nothing new is proposed once the finished trials have cost that many device-seconds together.
    """

    space: Mapping[str, Any]
    optimizer: Mapping[str, Any]
    evaluator: Mapping[str, Any]
    objectives: tuple[str, ...]
    constraints: tuple[str, ...] = ()
    trials: int = 100
    seed: int = 0
    executor: str = "serial"
    threads: int | None = None
    failure_limit: float = 0.5
    seconds: float | None = None

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any], place: str | None = None) -> Self:
        """Read and check plain data.

        Args:
            mapping: the fields by name; a component may be a text that `component` reads, a list a single text.
            place: where it comes from, for messages.

        Raises:
            InvalidOption: a key that is unknown or missing, or a value of a wrong type.
            InvalidObjective: an objective or constraint that cannot be read.
        """
        keys = [field.name for field in fields(cls)]
        for key in mapping:
            if key not in keys:
                close = difflib.get_close_matches(str(key), keys, n=1)
                raise InvalidOption(
                    "a study has no such setting",
                    value=key,
                    place=place,
                    expected="one of " + ", ".join(keys),
                    remedy=f"Did you mean {close[0]!r}?" if close else None,
                )
        for key in ("space", "optimizer", "evaluator", "objectives"):
            if key not in mapping:
                raise InvalidOption(f"a study needs the setting {key!r}", place=place)
        read = {key: _at(place, key, _READERS[key], value) for key, value in mapping.items()}
        _at(place, "objectives", Objectives.parse, read["objectives"])
        for text in read.get("constraints", ()):
            _at(place, "constraints", Constraint.parse, text)
        return cls(**read)

    @classmethod
    def from_toml(cls, path: Path) -> Self:
        """Read a TOML file.

        Raises:
            InvalidOption: it cannot be read, is no TOML, or see `from_mapping`; the message names file and key.
        """
        return cls.from_mapping(read_toml(path), place=str(path))

    def to_config(self) -> dict[str, Any]:
        """Plain data that `from_mapping` reads back."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        for key in ("space", "optimizer", "evaluator"):
            values[key] = dict(values[key])
        for key in ("objectives", "constraints"):
            values[key] = list(values[key])
        return values


def read_toml(path: Path) -> dict[str, Any]:
    """The contents of a TOML file.

    Raises:
        InvalidOption: there is no such file, or it is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidOption(f"the file cannot be read ({error.strerror})", place=str(path)) from None
    except UnicodeDecodeError:
        raise InvalidOption("the file is no text in UTF-8", place=str(path)) from None
    except tomllib.TOMLDecodeError as error:
        raise InvalidOption(f"the file is no TOML ({error})", place=str(path)) from None


def component(text: str) -> dict[str, Any]:
    """Read a component such as "evolution:population=20,tournament=5" into `{"name": "evolution", …}`.

    Values are read as JSON where they are JSON, lists and objects included, otherwise as text. The name may be an
    import path: "package.module:Class:option=1".

    Raises:
        InvalidOption: it is none.
    """
    path = _IMPORT_PATH.match(text)
    name = path[0] if path is not None else text.partition(":")[0].strip()
    rest = text[len(path[0]) :] if path is not None else text[len(text.partition(":")[0]) :]
    if not name or (rest and not rest.startswith(":")):
        raise _not_a_component(text, text)
    read: dict[str, Any] = {"name": name}
    for part in _parts(rest[1:]):
        key, equals, value = part.partition("=")
        key = key.strip()
        if not equals or not _NAME.fullmatch(key):
            raise _not_a_component(text, part)
        if key in read:
            raise InvalidOption(f"{key!r} is given twice", value=text)
        read[key] = _scalar(value.strip())
    return read


def _not_a_component(text: str, part: str) -> InvalidOption:
    where = None if part == text else repr(text)
    return InvalidOption("not a component", value=part, place=where, expected="NAME or NAME:KEY=VALUE,KEY=VALUE")


def _parts(text: str) -> list[str]:
    """The text at its commas, those inside brackets and quotes left alone."""
    parts, depth, quoted = [""], 0, False
    for character in text:
        if character == '"':
            quoted = not quoted
        elif not quoted and character in "[{":
            depth += 1
        elif not quoted and character in "]}":
            depth -= 1
        if character == "," and depth == 0 and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return parts if text else []


def _scalar(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return text if isinstance(value, float) and not math.isfinite(value) else value


def _at(place: str | None, key: str, read: Callable[[Any], Any], value: Any) -> Any:
    try:
        return read(value)
    except NasError as error:
        raise error.at(f"{place}, key {key}" if place else f"setting {key}") from None


def _component(value: Any) -> dict[str, Any]:
    if isinstance(value, str):
        return component(value)
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str) or not value["name"]:
        raise InvalidOption("not a component", value=value, expected='a name, or a table with a "name" and options')
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(value), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise InvalidOption(f"the options of a component must be plain data ({error})", value=value) from None
    return plain


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        raise InvalidOption("not a list of texts", value=value, expected='such as ["max:val_accuracy", "min:params"]')
    return tuple(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidOption("not a text", value=value)
    return value


def _whole(least: int | None) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or (least is not None and value < least):
            expected = "a whole number" if least is None else f"a whole number of at least {least}"
            raise InvalidOption("not such a number", value=value, expected=expected)
        return value

    return read


def _number(low: float, high: float, expected: str) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise InvalidOption("not such a number", value=value, expected=expected)
        return float(value)

    return read


def _optional(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "space": _component,
    "optimizer": _component,
    "evaluator": _component,
    "objectives": _texts,
    "constraints": _texts,
    "trials": _whole(1),
    "seed": _whole(None),
    "executor": _text,
    "threads": _optional(_whole(1)),
    "failure_limit": _number(0.0, 1.0, "a share from 0 to 1"),
    "seconds": _optional(_number(1e-9, 1e12, "a number of seconds above 0")),
}
