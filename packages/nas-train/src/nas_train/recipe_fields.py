"""What recipes of all kinds have in common: fields that are checked by rules, and how they are read from plain data."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, fields, replace
from typing import Any, ClassVar, Protocol, TypeVar

from nas_core.errors import InvalidOption

Rule = tuple[Callable[[Any], bool], str]
"""Which values of a field are legal, and the same in words."""

_NEEDED = ("name", "epochs", "batch", "learning_rate")


class _Fields(Protocol):
    """Any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]


_AnyRecipe = TypeVar("_AnyRecipe", bound=_Fields)


def whole(least: int, optional: bool = False) -> Rule:
    """Whole numbers from `least` on; None too where that is said."""

    def legal(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value >= least

    return _or_none((legal, f"a whole number of at least {least}"), optional)


def number(legal: Callable[[float], bool], expected: str, optional: bool = False) -> Rule:
    """Finite numbers in a range; None too where that is said."""
    return _or_none((lambda value: is_number(value) and legal(value), expected), optional)


def one_of(names: Iterable[str]) -> Rule:
    """One of some words."""
    known = tuple(names)
    return lambda value: isinstance(value, str) and value in known, "one of " + ", ".join(known)


def is_number(value: object) -> bool:
    """Whether a value is a finite number, and no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _or_none(rule: Rule, optional: bool) -> Rule:
    legal, expected = rule
    return (lambda value: value is None or legal(value), f"{expected}, or nothing") if optional else rule


WORD: Rule = lambda value: isinstance(value, str) and bool(value), "a word"
TEXT: Rule = lambda value: isinstance(value, str), "text"
FLAG: Rule = lambda value: isinstance(value, bool), "true or false"
SHARE = number(lambda x: 0 <= x < 1, "a number from 0 up to, not including, 1")
POSITIVE = number(lambda x: x > 0, "a number above 0")
POSITIVE_OR_NONE = number(lambda x: x > 0, "a number above 0", optional=True)
NOT_NEGATIVE = number(lambda x: x >= 0, "a number of at least 0")
FACTOR = number(lambda x: 0 < x <= 1, "a number above 0 and at most 1")


def check_fields(recipe: Any, rules: Mapping[str, Rule], kind: str) -> None:
    """That every field of a recipe is legal.

    Args:
        recipe: a dataclass with the field `name`.
        rules: one for each field.
        kind: what such recipes are called, "recipe" for instance.

    Raises:
        InvalidOption: a field is not.
    """
    for field in fields(recipe):
        legal, expected = rules[field.name]
        value = getattr(recipe, field.name)
        if not legal(value):
            raise InvalidOption(f"{kind} {recipe.name!r}: wrong {field.name}", value=value, expected=expected)


def read_recipe(
    config: str | Mapping[str, Any], cls: type[_AnyRecipe], named: Mapping[str, _AnyRecipe], kind: str
) -> _AnyRecipe:
    """The recipe of a name, or of plain data; data may name a recipe and give only what differs from it.

    Args:
        config: the name, or fields by name.
        cls: the dataclass of such recipes.
        named: those that have a name.
        kind: what such recipes are called.

    Raises:
        InvalidOption: no such recipe, an unknown field or a value out of range.
    """
    if not isinstance(config, str | Mapping):
        raise InvalidOption(f"not a {kind}", value=config, expected="a name, or fields by name")
    options = {"name": config} if isinstance(config, str) else dict(config)
    known = [field.name for field in fields(cls)]
    for key in options:
        if key not in known:
            raise InvalidOption(f"a {kind} has no such field", value=key, expected="one of " + ", ".join(known))
    base = named.get(str(options.get("name")))
    if base is not None:
        return replace(base, **options)
    missing = [key for key in _NEEDED if key not in options]
    if missing:
        raise InvalidOption(
            f"no such {kind}",
            value=options.get("name"),
            expected="one of " + ", ".join(named) + f", or all fields (without: {', '.join(missing)})",
        )
    return cls(**options)
