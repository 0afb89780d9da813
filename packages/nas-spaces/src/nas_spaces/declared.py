"""Spaces declared as data: decisions by name, each a list of choices; what a table of own measurements is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any, final

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical, Decision, Value, decision_from_config
from nas_core.errors import InvalidSpace
from nas_core.space import Space


@final
class DeclaredSpace(Space):
    """Every combination of the values of its decisions; members are written as JSON objects.

    Where no decision is real, the space can list its members and has a `size`.

    Args:
        decisions: by name, in order: a list of choices (JSON scalars of one type), or the configuration of a decision
            without its name, such as `{"kind": "integer", "low": 1, "high": 8}`. Or a list of whole configurations,
            whose order survives what sorts the keys of an object.
        title: what the space is called.

    Raises:
        InvalidSpace: no decisions, or one that cannot be made.
    """

    name: str
    size: int  # only where the space is finite: a capability is had by having its attributes

    def __init__(self, decisions: Mapping[str, Any] | Sequence[Mapping[str, Any]], title: str = "declared") -> None:
        if not isinstance(title, str) or not title:
            raise InvalidSpace("a declared space needs a title", value=title, expected="a non-empty text")
        if isinstance(decisions, str) or not isinstance(decisions, Mapping | Sequence) or not decisions:
            raise InvalidSpace(
                f"the space {title!r} declares no decisions", value=decisions, expected="choices by name"
            )
        self.name = title
        if isinstance(decisions, Mapping):
            self.decisions = tuple(_decision(name, given) for name, given in decisions.items())
        else:
            self.decisions = tuple(_configured(config) for config in decisions)
        names = [decision.name for decision in self.decisions]
        if len(set(names)) < len(names):
            raise InvalidSpace(f"the space {title!r} declares a decision twice", value=names)
        sizes = [decision.size for decision in self.decisions]
        if None not in sizes:
            self.size = prod(size for size in sizes if size is not None)

    def to_config(self) -> dict[str, Any]:
        """The declaration."""
        return {"name": "declared", "decisions": [d.to_config() for d in self.decisions], "title": self.name}

    def enumerate(self) -> Iterator[Architecture]:
        """All members; the last decision varies fastest.

        Raises:
            InvalidSpace: a decision is real.
        """
        for decision in self.decisions:
            if decision.size is None:
                raise InvalidSpace("a space with a real decision cannot be listed", value=decision.name)
        for number in range(self.size):
            yield self._member(number)

    def _member(self, number: int) -> Architecture:
        """The member at a place of the enumeration: its numbers of choices are the digits of the place."""
        values: list[Value] = []
        for decision in reversed(self.decisions):
            number, choice = divmod(number, decision.size or 1)
            values.append(decision.choices[choice] if isinstance(decision, Categorical) else int(decision.low) + choice)
        return Architecture(self.name, tuple(reversed(values)))


def _decision(name: str, given: Any) -> Decision:
    if isinstance(given, Mapping):
        return _configured({**given, "name": name})
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise InvalidSpace(f"the choices of {name!r} must be a list", value=given)
    return Categorical(name, tuple(given))


def _configured(config: Any) -> Decision:
    if not isinstance(config, Mapping):
        raise InvalidSpace("not the configuration of a decision", value=config, expected="an object with kind and name")
    return decision_from_config(config)
