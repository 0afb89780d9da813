"""Configurations: what is read from texts, mappings and TOML, and what each mistake is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nas_core.errors import InvalidObjective, InvalidOption
from nas_search.config import StudyConfig, component, read_toml

LEAST: dict[str, Any] = {
    "space": "toy",
    "optimizer": "random",
    "evaluator": {"name": "fake", "constant": True},
    "objectives": ["max:val_accuracy"],
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("random", {"name": "random"}),
        ("evolution:population=20,tournament=5", {"name": "evolution", "population": 20, "tournament": 5}),
        (" evolution : population = 20 ", {"name": "evolution", "population": 20}),
        ("train:lr=1e-3,nesterov=true,data=digits", {"name": "train", "lr": 0.001, "nesterov": True, "data": "digits"}),
        ('train:sizes=[1,2],network={"c":8,"d":1},x=null', {"sizes": [1, 2], "network": {"c": 8, "d": 1}, "x": None}),
        ('table:file="a,b.npz"', {"file": "a,b.npz"}),
        ("table:file=C:/a=b.npz", {"file": "C:/a=b.npz"}),
        ("train:rate=NaN", {"rate": "NaN"}),
        ("my_package.optimizers:Mine", {"name": "my_package.optimizers:Mine"}),
        ("my_package.optimizers:Mine:steps=3", {"name": "my_package.optimizers:Mine", "steps": 3}),
    ],
)
def test_components_are_read(text: str, expected: dict[str, Any]) -> None:
    read = component(text)
    assert read == {"name": read["name"], **expected}
    assert next(iter(read)) == "name"


@pytest.mark.parametrize("text", ["", ":x=1", "random:x", "random:=1", "random:x=1,", "random:1x=1", "a.b:C x"])
def test_what_is_no_component_is_refused(text: str) -> None:
    with pytest.raises(InvalidOption, match=r"not a component.*expected NAME or NAME:KEY=VALUE"):
        component(text)


def test_an_option_given_twice_is_refused() -> None:
    with pytest.raises(InvalidOption, match="'x' is given twice"):
        component("random:x=1,x=2")


def test_defaults() -> None:
    config = StudyConfig.from_mapping(LEAST)
    assert config == StudyConfig(
        {"name": "toy"}, {"name": "random"}, {"name": "fake", "constant": True}, ("max:val_accuracy",)
    )
    assert (config.trials, config.seed, config.executor, config.failure_limit) == (100, 0, "serial", 0.5)


def test_plain_data_comes_back() -> None:
    whole = {
        **LEAST,
        "constraints": "params<=1e6",
        "trials": 7,
        "seed": 3,
        "executor": "processes:2",
        "threads": 1,
        "failure_limit": 1,
        "seconds": 60,
    }
    config = StudyConfig.from_mapping(whole)
    plain = json.loads(json.dumps(config.to_config()))
    assert StudyConfig.from_mapping(plain) == config
    assert plain["constraints"] == ["params<=1e6"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trails": 3}, r"no such setting: 'trails' \(in my.toml\).*Did you mean 'trials'\?"),
        ({"trials": "3"}, r"not such a number: '3' \(in my.toml, key trials\); expected a whole number of at least 1"),
        ({"trials": 0}, "key trials"),
        ({"trials": True}, "key trials"),
        ({"seed": 1.5}, "key seed.*a whole number"),
        ({"threads": 0}, "key threads"),
        ({"failure_limit": 1.5}, "key failure_limit.*a share from 0 to 1"),
        ({"seconds": float("inf")}, "key seconds"),
        ({"executor": 4}, "key executor"),
        ({"space": 4}, "key space"),
        ({"space": {"n": "toy"}}, 'key space.*a table with a "name"'),
        ({"optimizer": "random:x"}, "key optimizer"),
        ({"objectives": [1]}, "key objectives"),
    ],
)
def test_wrong_settings_are_told_with_their_place(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        StudyConfig.from_mapping({**LEAST, **change}, place="my.toml")


@pytest.mark.parametrize(
    "change",
    [
        {"objectives": []},
        {"objectives": "val_accuracy"},
        {"objectives": ["max:accuracy"]},
        {"constraints": ["params<3"]},
    ],
)
def test_wrong_objectives_are_told_with_their_place(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidObjective, match=f"in my.toml, key {next(iter(change))}"):
        StudyConfig.from_mapping({**LEAST, **change}, place="my.toml")


@pytest.mark.parametrize("missing", list(LEAST))
def test_what_is_missing_is_named(missing: str) -> None:
    given = {key: value for key, value in LEAST.items() if key != missing}
    with pytest.raises(InvalidOption, match=f"needs the setting '{missing}'"):
        StudyConfig.from_mapping(given)


def test_toml(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text(
        'trials = 3\nspace = "toy"\nobjectives = "max:val_accuracy"\nevaluator = "fake:constant=true"\n'
        '[optimizer]\nname = "random"\n'
    )
    assert StudyConfig.from_toml(file) == StudyConfig.from_mapping({**LEAST, "trials": 3})
    file.write_text("trials = 3\nspace = \n")
    with pytest.raises(InvalidOption, match=r"no TOML \(.*line 2.*\) \(in .*my.toml\)"):
        read_toml(file)
    file.write_bytes(b"space = '\xff'")
    with pytest.raises(InvalidOption, match="no text in UTF-8"):
        read_toml(file)
    with pytest.raises(InvalidOption, match="cannot be read"):
        read_toml(tmp_path / "none.toml")
