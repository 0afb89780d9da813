"""Registries: components found by the entry points of installed packages.

A package adds a space by declaring an entry point in the group `nas.spaces`; nothing of ours is touched, and the
command line sees it. Nothing is imported until a component is asked for. Two packages that claim one name are an error
that names both. A name such as "package.module:Class" stands for a component that is not registered.
"""

from __future__ import annotations

import difflib
import importlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from nas_core.errors import InvalidOption, RegistryError

GROUPS: Mapping[str, str] = {
    "space": "nas.spaces",
    "optimizer": "nas.optimizers",
    "evaluator": "nas.evaluators",
    "surrogate": "nas.surrogates",
}
"""Kinds of components and their entry-point groups."""

_DECLARED = "declared"


@dataclass(frozen=True)
class Entry:
    """A registered component: its name, where it is defined and the package that brings it."""

    kind: str
    name: str
    target: str
    package: str
    version: str


def entries(kind: str) -> list[Entry]:
    """Every registered component of a kind, by name; nothing is imported.

    Raises:
        RegistryError: an unknown kind, or a name that two packages claim.
    """
    return [_entry(kind, point) for point in _points(kind).values()]


def load(kind: str, name: str) -> Any:
    """The component registered under a name: a class, imported now.

    A component that nobody registered can be named by its import path, "package.module:Class".

    Raises:
        RegistryError: nobody registered it, two packages claim the name, or its module does not import.
    """
    points = _points(kind)
    if ":" in name:
        return _imported(kind, name)
    if name not in points:
        close = difflib.get_close_matches(name, points, n=1)
        remedy = f"Did you mean {close[0]!r}?" if close else "Is the package that brings it installed?"
        known = ", ".join(sorted(points)) or "none is installed"
        raise RegistryError(f"no {kind} has this name", value=name, expected=f"one of {known}", remedy=remedy)
    try:
        return points[name].load()
    except (ImportError, AttributeError) as error:
        owner = _entry(kind, points[name])
        raise RegistryError(
            f"the {kind} {name!r} of {owner.package} does not import ({error})",
            remedy=f"Install what it needs: the package {owner.package} names its extras in its README.",
        ) from error


def make(kind: str, name: str, /, *positional: Any, **options: Any) -> Any:
    """Load a component and build it with options.

    Raises:
        RegistryError: see `load`.
        InvalidOption: an option that the component does not take; the message lists those it does.
    """
    component = load(kind, name)
    check_options(component, name, options, positional=len(positional))
    return component(*positional, **options)


def check_options(component: Any, name: str, options: Mapping[str, Any], positional: int = 0) -> None:
    """Check that a component's constructor takes these options and is given all that it needs.

    Raises:
        InvalidOption: naming the option and those that exist.
    """
    parameters = list(inspect.signature(component).parameters.values())[positional:]
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
        return
    known = [p.name for p in parameters if p.kind is not inspect.Parameter.VAR_POSITIONAL]
    for option in options:
        if option not in known:
            close = difflib.get_close_matches(option, known, n=1)
            raise InvalidOption(
                f"{name} has no such option",
                value=option,
                expected="one of " + (", ".join(known) or "none: it takes no options"),
                remedy=f"Did you mean {close[0]!r}?" if close else None,
            )
    missing = [
        p.name for p in parameters if p.default is inspect.Parameter.empty and p.name not in options and p.name in known
    ]
    if missing:
        raise InvalidOption(f"{name} needs the option {missing[0]!r}")


def from_config(kind: str, config: Mapping[str, Any], *positional: Any) -> Any:
    """Build a component from its plain data `{"name": …, **options}`.

    A space that nobody registered can be declared on the spot, `{"name": …, "decisions": …}`: the space registered as
    `declared` is made, with that name as its title.

    Raises:
        RegistryError, InvalidOption: see `make`.
    """
    if not isinstance(config.get("name"), str):
        raise InvalidOption(f"the configuration of a {kind} needs a name", value=dict(config))
    name, options = config["name"], {key: value for key, value in config.items() if key != "name"}
    if kind == "space" and "decisions" in options and ":" not in name and name not in _points(kind):
        name, options = _DECLARED, {**options, "title": name}
    return make(kind, name, *positional, **options)


def _imported(kind: str, path: str) -> Any:
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise RegistryError(
            f"the {kind} cannot be imported ({error})",
            value=path,
            expected="package.module:Class, as Python imports it",
        ) from error


def _points(kind: str) -> dict[str, EntryPoint]:
    if kind not in GROUPS:
        raise RegistryError("no such kind of component", value=kind, expected="one of " + ", ".join(GROUPS))
    found: dict[str, EntryPoint] = {}
    for point in sorted(entry_points(group=GROUPS[kind]), key=lambda point: (point.name, point.value)):
        other = found.get(point.name)
        if other is not None and other.value != point.value:
            first, second = _entry(kind, other), _entry(kind, point)
            raise RegistryError(
                f"two packages register the {kind} {point.name!r}",
                value=f"{first.package} ({first.target}) and {second.package} ({second.target})",
                remedy="Uninstall one of them.",
            )
        found[point.name] = point
    return found


def _entry(kind: str, point: EntryPoint) -> Entry:
    package = point.dist.metadata["Name"] if point.dist is not None else "unknown"
    version = point.dist.version if point.dist is not None else "unknown"
    return Entry(kind, point.name, point.value, package, version)
