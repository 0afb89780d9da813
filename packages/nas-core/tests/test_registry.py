"""Registries: names claimed twice, unknown names, modules that do not load, and the check of options."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import Distribution, EntryPoint
from pathlib import Path
from typing import Any

import pytest

from nas_core import registry
from nas_core.errors import InvalidOption, RegistryError
from nas_core.testing import FakeEvaluator, ToySpace, register_fakes
from nas_core.testing.processes import in_fresh_process

Install = Callable[..., None]


class Installed(Distribution):
    """An installed package that brings components."""

    def __init__(self, package: str, version: str) -> None:
        self._text = f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n"

    def read_text(self, filename: str) -> str | None:
        return self._text if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Any:
        return Path(path)


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """install(package, name="module:Class", …): these entry points of the group `nas.spaces`, and no others."""
    points: list[EntryPoint] = []

    def found(group: str) -> list[EntryPoint]:
        return [point for point in points if point.group == group]

    monkeypatch.setattr(registry, "entry_points", found)

    def install(package: str, version: str = "1.0", **components: str) -> None:
        distribution = Installed(package, version)
        for name, target in components.items():
            point = EntryPoint(name, target, "nas.spaces")
            vars(point)["dist"] = distribution
            points.append(point)

    return install


TOY = "nas_core.testing.fakes:ToySpace"


def test_entries_are_sorted_and_name_their_owner(install: Install) -> None:
    install("beta", "2.1", zoo="zoo:Zoo", toy=TOY)
    install("alpha", "1.0", ant="ant:Ant")
    assert registry.entries("space") == [
        registry.Entry("space", "ant", "ant:Ant", "alpha", "1.0"),
        registry.Entry("space", "toy", TOY, "beta", "2.1"),
        registry.Entry("space", "zoo", "zoo:Zoo", "beta", "2.1"),
    ]
    assert registry.entries("optimizer") == []


def test_two_packages_with_one_name_are_both_named(install: Install) -> None:
    install("beta", toy="beta.spaces:Toy")
    install("alpha", toy=TOY)
    message = (
        f"two packages register the space 'toy': 'beta (beta.spaces:Toy) and alpha ({TOY})'. Uninstall one of them."
    )
    for call in (lambda: registry.entries("space"), lambda: registry.load("space", "toy")):
        with pytest.raises(RegistryError) as caught:
            call()
        assert str(caught.value) == message


def test_one_package_found_twice_is_no_conflict(install: Install) -> None:
    install("alpha", toy=TOY)
    install("alpha", toy=TOY)
    assert registry.load("space", "toy") is ToySpace


def test_an_unknown_name_suggests_a_close_one(install: Install) -> None:
    install("alpha", nasbench201="a:B", darts="a:C")
    with pytest.raises(RegistryError) as caught:
        registry.load("space", "nasbench_201")
    assert str(caught.value) == (
        "no space has this name: 'nasbench_201'; expected one of darts, nasbench201. Did you mean 'nasbench201'?"
    )
    with pytest.raises(RegistryError, match="Is the package that brings it installed"):
        registry.load("space", "resnet")
    with pytest.raises(RegistryError, match="expected one of none is installed"):
        registry.load("evaluator", "table")


def test_an_unknown_kind_names_the_kinds() -> None:
    with pytest.raises(RegistryError, match="no such kind of component: 'spaces'; expected one of space, optimizer"):
        registry.entries("spaces")


@pytest.mark.parametrize("target", ["nas_core.no_such_module:Toy", "nas_core.space:NoSuchClass"])
def test_what_does_not_load_names_its_package(install: Install, target: str) -> None:
    install("alpha", toy=target)
    with pytest.raises(RegistryError, match="the space 'toy' of alpha does not import"):
        registry.load("space", "toy")


def test_what_nobody_registered_is_named_by_its_import_path(install: Install) -> None:
    assert registry.load("space", TOY) is ToySpace
    assert registry.make("space", TOY, operations=2).operations == 2
    for path in ("nas_core.no_such_module:Toy", "nas_core.space:NoSuchClass", ":", "nas_core.space:"):
        with pytest.raises(RegistryError, match=r"expected package\.module:Class, as Python imports it"):
            registry.load("space", path)


def test_make_builds_with_options(install: Install) -> None:
    install("alpha", toy=TOY)
    space = registry.make("space", "toy", operations=2)
    assert space.to_config() == {"name": "toy", "operations": 2, "deepest": 2}
    assert registry.from_config("space", space.to_config()).to_config() == space.to_config()


@pytest.mark.parametrize("config", [{}, {"operations": 2}, {"name": 3}])
def test_a_config_needs_a_name(config: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption, match="the configuration of a space needs a name"):
        registry.from_config("space", config)


def needs(space: object, objectives: object, seed: int, *, population: int, tournament: int = 5) -> None:
    """A component's constructor."""


def takes_anything(*, width: int, **others: Any) -> None:
    """A component's constructor that hands options on."""


def test_options_are_checked_against_the_constructor() -> None:
    registry.check_options(needs, "evolution", {"population": 3}, positional=3)
    registry.check_options(takes_anything, "any", {"width": 1, "depth": 2})
    with pytest.raises(InvalidOption) as caught:
        registry.check_options(needs, "evolution", {"populaton": 3}, positional=3)
    assert str(caught.value) == (
        "evolution has no such option: 'populaton'; expected one of population, tournament. Did you mean 'population'?"
    )
    with pytest.raises(InvalidOption, match="evolution needs the option 'population'"):
        registry.check_options(needs, "evolution", {"tournament": 3}, positional=3)
    with pytest.raises(InvalidOption, match="evolution has no such option: 'seed'"):
        registry.check_options(needs, "evolution", {"population": 3, "seed": 1}, positional=3)
    with pytest.raises(InvalidOption, match="none: it takes no options"):
        registry.check_options(lambda: None, "plain", {"width": 1})


def test_make_names_the_component_whose_option_is_wrong(install: Install) -> None:
    install("alpha", toy=TOY)
    with pytest.raises(InvalidOption, match=r"toy has no such option: 'operation'.*Did you mean 'operations'"):
        registry.make("space", "toy", operation=2)


def names(kind: str) -> list[str]:
    return [entry.name for entry in registry.entries(kind) if entry.package == "nas-core-fakes"]


def test_the_fakes_are_registered_for_one_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        register_fakes(tmp_path / "fakes", patch)
        assert names("space") == ["continuous_toy", "toy"]
        assert registry.load("evaluator", "fake") is FakeEvaluator
        (tmp_path / "fakes" / "stranger.py").write_text(
            "from nas_core import registry\n\ndef metrics(name):\n    return registry.make('evaluator', name).metrics\n"
        )
        assert in_fresh_process("stranger:metrics", "fake") == ["val_accuracy", "test_accuracy", "params"]
    assert names("space") == names("evaluator") == []
