"""From options, and a TOML file under them, to the configuration of a study."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas_core.errors import InvalidOption, NasError
from nas_search.config import StudyConfig, component, read_toml
from nas_search.table_files import read_table, searched_space, table_source

_SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_TRAINING = ("epochs", "recipe", "train", "network")
_OPTIMIZER = {"name": "evolution"}
OF_TEXTS = ("language", "shared_language")
"""Evaluators that train language models; their option `data` is a file or a folder."""
_THAT_TRAIN = ("train", "shared_weights", *OF_TEXTS)
_OF_IMAGES = ("train", "proxies", "measure", "shared_weights")  # whose option `data` is a set, a file or a folder
_OF_TABLES = ("table", "surrogate_table")  # evaluators whose option `file` is a table

# what a file need not say because options may: valid stand-ins, so that the rest of the file can be checked by itself
_STAND_INS = {"space": "space", "optimizer": "optimizer", "evaluator": "evaluator", "objectives": ["max:val_accuracy"]}


@dataclass(frozen=True)
class SearchOptions:
    """The options of `nas search` as they were typed; None where one was not given."""

    space: str | None = None
    optimizer: str | None = None
    data: str | None = None
    table: Path | None = None
    evaluator: str | None = None
    objectives: list[str] | None = None
    constraints: list[str] | None = None
    trials: int | None = None
    seed: int | None = None
    executor: str | None = None
    threads: int | None = None
    epochs: int | None = None
    recipe: str | None = None
    train: str | None = None
    network: str | None = None
    failure_limit: float | None = None
    time_limit: str | None = None


def study_config(options: SearchOptions, file: Path | None = None) -> StudyConfig:
    """The configuration that options and a file give together; an option wins over the file.

    Raises:
        NasError: whatever is missing, unknown or wrong; the message names the option or the file's key.
    """
    mapping = {"optimizer": _OPTIMIZER, **(_of_file(file) if file is not None else {})}
    for name in ("space", "optimizer"):
        if (text := getattr(options, name)) is not None:
            mapping[name] = at_option(name, text)
    if mapping.get("space", {}).get("name") == "restricted" and "table" in mapping["space"]:
        mapping["space"] = mapping["space"] | {"table": table_source(mapping["space"]["table"])}
    for name in ("objectives", "constraints", "trials", "seed", "executor", "threads", "failure_limit"):
        if (value := getattr(options, name)) is not None:
            mapping[name] = value
    if options.time_limit is not None:
        mapping["seconds"] = seconds(options.time_limit)
    _set_evaluator(mapping, options)
    _set_what_the_table_says(mapping)
    if "space" not in mapping:
        raise InvalidOption("nothing says which space to search", expected="--space; `nas list spaces` shows them")
    if "objectives" not in mapping:
        raise InvalidOption("nothing says what is to be optimised", expected="--objective, such as max:val_accuracy")
    return StudyConfig.from_mapping(mapping)


def at_option(name: str, text: str) -> dict[str, Any]:
    """The component that an option's text names; an error in it names the option."""
    try:
        return component(text)
    except NasError as error:
        raise error.at(f"--{name}") from None


def options_of(name: str, text: str) -> dict[str, Any]:
    """The values of an option such as --network channels=8,cells=1."""
    return {key: value for key, value in at_option(name, f"{name}:{text}").items() if key != "name"}


def recipe_of(text: str) -> str | dict[str, Any]:
    """A recipe's name; with fields that differ, such as small:batch=128, as `{"name": …, **fields}`."""
    return at_option("recipe", text) if ":" in text else text


def data_source(text: str, named: bool = True) -> str:
    """A named data set as it is; a file or folder as an absolute path, so that a run can be resumed from elsewhere.

    Args:
        text: as it was typed.
        named: whether data sets of this kind have names.
    """
    return text if named and re.fullmatch(r"\w+(@\d+)?", text) else str(Path(text).expanduser().resolve())


def seconds(text: str) -> float:
    """A time such as "90", "45m", "1.5h" or "2d" in seconds.

    Raises:
        InvalidOption: it is none.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", text)
    if match is None or match[2] not in _SECONDS or float(match[1]) == 0:
        raise InvalidOption(
            "not a time", value=text, place="--time-limit", expected="a number above 0 and s, m, h or d, such as 45m"
        )
    return float(match[1]) * _SECONDS[match[2]]


def _of_file(file: Path) -> dict[str, Any]:
    """What a file says, checked by itself, with components as `{"name": …, **options}`."""
    given = read_toml(file)
    read = StudyConfig.from_mapping(_STAND_INS | given, place=str(file)).to_config()
    return {key: read[key] for key in given}


def _set_evaluator(mapping: dict[str, Any], options: SearchOptions) -> None:
    sources = {"--data": options.data, "--table": options.table, "--evaluator": options.evaluator}
    given = [name for name, value in sources.items() if value is not None]
    if len(given) > 1:
        raise InvalidOption("two ways to measure architectures", value=" and ".join(given), expected="one of them")
    evaluator: dict[str, Any] | None = mapping.get("evaluator")
    if options.data is not None:
        kept = evaluator if evaluator is not None and evaluator["name"] == "train" else {"name": "train"}
        evaluator = kept | {"data": options.data}
    elif options.table is not None:
        evaluator = {"name": "table", "file": str(options.table)}
    elif options.evaluator is not None:
        evaluator = at_option("evaluator", options.evaluator)
    if evaluator is None:
        raise InvalidOption(
            "nothing says how architectures are measured", expected="--data, --table, --evaluator or --config"
        )
    mapping["evaluator"] = _from_anywhere(_with_training(evaluator, options))


def _with_training(evaluator: dict[str, Any], options: SearchOptions) -> dict[str, Any]:
    given = {name: getattr(options, name) for name in _TRAINING if getattr(options, name) is not None}
    if given and evaluator["name"] not in _THAT_TRAIN:
        raise InvalidOption(
            f"--{next(iter(given))} is an option of training, and this search trains nothing", expected="--data"
        )
    if "recipe" in given:
        given["recipe"] = recipe_of(given["recipe"])
    if "network" in given:
        given["network"] = options_of("network", given["network"])
    more = options_of("train", given.pop("train")) if "train" in given else {}
    return evaluator | given | more


def _from_anywhere(evaluator: dict[str, Any]) -> dict[str, Any]:
    """The evaluator with the files that it names as absolute paths."""
    name, found = evaluator["name"], dict(evaluator)
    if name in (*_OF_IMAGES, *OF_TEXTS) and isinstance(found.get("data"), str):
        found["data"] = data_source(found["data"], named=name not in OF_TEXTS)
    if name in _OF_TABLES and isinstance(found.get("file"), str):
        found["file"] = table_source(found["file"])
    return found


def _set_what_the_table_says(mapping: dict[str, Any]) -> None:
    """The space and the objectives of the table that is looked up or fitted, where nothing else says them.

    A table that is looked up is searched where it has results; one that is fitted answers for all of its space, and so
    does one whose isomorphic members stand for others.
    """
    evaluator: Mapping[str, Any] = mapping["evaluator"]
    if evaluator["name"] not in _OF_TABLES or "file" not in evaluator or {"space", "objectives"} <= mapping.keys():
        return
    table = read_table(evaluator["file"])
    closed = evaluator["name"] == "table" and evaluator.get("match", "equal") == "equal"
    mapping.setdefault("space", searched_space(evaluator["file"], table) if closed else table.space.to_config())
    mapping.setdefault("objectives", table.objectives)
