"""Generators as text: groups of numbers with a name, such as `top(8,5,0.6) mid(1) bottom(5,4,0.2)`.

A group stands for some consecutive decisions of a space, in order; those that are inactive come last and are left out.
Reals are written with as many digits as tell them from every other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

from nas_core.decisions import Decision, Integer, Value
from nas_core.errors import InvalidArchitecture

Groups: TypeAlias = Mapping[str, int]
"""How many decisions each group stands for, in order."""

_GROUP = re.compile(r"([a-z0-9_]{1,40})\(([^()]{0,1000})\)")
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_REAL = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,400})?(e[-+]?[0-9]{1,4})?")


def write(groups: Groups, values: Sequence[Value | None]) -> str:
    """The values of a member as text."""
    words, at = [], 0
    for name, length in groups.items():
        numbers = [repr(value) for value in values[at : at + length] if value is not None]
        words.append(f"{name}({','.join(numbers)})")
        at += length
    return " ".join(words)


def read(groups: Groups, decisions: Sequence[Decision], text: object, space: str) -> list[Value | None]:
    """The values that a text gives to the decisions of a space; None for those that it leaves out.

    Raises:
        InvalidArchitecture: naming the group and the number that is wrong.
    """
    form = " ".join([f"{name}(…)" for name in groups])
    if not isinstance(text, str):
        raise InvalidArchitecture(f"not the text of a generator of {space}", value=text, expected=form)
    words = text.split(" ")
    if len(words) != len(groups):
        raise InvalidArchitecture(
            f"a generator of {space} has {len(groups)} groups, separated by single spaces", value=text, expected=form
        )
    values: list[Value | None] = []
    for word, (name, length) in zip(words, groups.items(), strict=True):
        own = decisions[len(values) : len(values) + length]
        match = _GROUP.fullmatch(word)
        if match is None or match[1] != name:
            raise InvalidArchitecture("a group is wrong or out of order", value=word, expected=f"{name}(…)")
        entries = match[2].split(",")
        if len(entries) > length:
            raise InvalidArchitecture(f"too many numbers in {name}(…)", value=word, expected=f"at most {length}")
        numbers = [_number(entry, decision) for entry, decision in zip(entries, own, strict=False)]
        values += [*numbers, *[None] * (length - len(numbers))]
    return values


def _number(entry: str, decision: Decision) -> Value:
    if isinstance(decision, Integer):
        if not _WHOLE.fullmatch(entry):
            raise InvalidArchitecture(f"{decision.name!r} is no whole number", value=entry)
        return int(entry)
    if not _REAL.fullmatch(entry):
        raise InvalidArchitecture(f"{decision.name!r} is no number", value=entry, expected="such as 0.25")
    return float(entry)
