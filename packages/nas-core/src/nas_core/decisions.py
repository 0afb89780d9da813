"""Decisions: the single choices that a search makes.

A decision is `Categorical`, `Integer` or `Real`. Each knows its legal values, draws one, checks one, and maps its
values to the unit interval and back, so that a numerical optimizer needs to know no kind. Values are JSON scalars.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from nas_core.errors import InvalidArchitecture, InvalidSpace

Value: TypeAlias = str | int | float | bool
"""What a decision can be set to."""


def _checked_name(name: object) -> None:
    if not isinstance(name, str) or not name:
        raise InvalidSpace("a decision needs a name", value=name, expected="a non-empty text")


@dataclass(frozen=True)
class Categorical:
    """One of a fixed list of choices without an order.

    Args:
        name: unique within its space.
        choices: the legal values, JSON scalars of one type, all distinct.
    """

    name: str
    choices: tuple[Value, ...]

    def __post_init__(self) -> None:
        _checked_name(self.name)
        if isinstance(self.choices, str):
            raise InvalidSpace(f"the choices of {self.name!r} must be a list", value=self.choices)
        object.__setattr__(self, "choices", tuple(self.choices))
        if not self.choices:
            raise InvalidSpace(f"decision {self.name!r} has no choices", expected="at least one")
        kinds = {type(choice) for choice in self.choices}
        if len(kinds) > 1 or not kinds <= {str, int, float, bool}:
            raise InvalidSpace(f"the choices of {self.name!r} must be scalars of one type", value=self.choices)
        index = {choice: i for i, choice in enumerate(self.choices)}
        if len(index) < len(self.choices):
            raise InvalidSpace(f"decision {self.name!r} names a choice twice", value=self.choices)
        object.__setattr__(self, "_index", index)

    @property
    def size(self) -> int:
        """Number of legal values."""
        return len(self.choices)

    def index(self, value: object) -> int:
        """Position of `value` among the choices.

        Raises:
            InvalidArchitecture: it is not one of them.
        """
        index: dict[Any, int] = self.__dict__["_index"]
        if isinstance(value, str | int | float) and type(value) is type(self.choices[0]) and value in index:
            return index[value]
        raise InvalidArchitecture(
            f"decision {self.name!r} has no such choice", value=value, expected="one of " + _listed(self.choices)
        )

    def check(self, value: object) -> Value:
        """`value` itself if it is legal; otherwise InvalidArchitecture."""
        return self.choices[self.index(value)]

    def nearest(self, value: object) -> Value:
        """A legal value for anything: itself where legal, otherwise the first choice."""
        index: dict[Any, int] = self.__dict__["_index"]
        legal = isinstance(value, str | int | float) and type(value) is type(self.choices[0]) and value in index
        return self.choices[index[value]] if legal else self.choices[0]

    def sample(self, rng: np.random.Generator) -> Value:
        """A uniform choice."""
        return self.choices[int(rng.integers(len(self.choices)))]

    def others(self, value: Value) -> tuple[Value, ...]:
        """Every other legal value, in order."""
        return tuple(choice for choice in self.choices if choice != value)

    def to_unit(self, value: Value) -> float:
        """Position of a value in [0, 1]: the middle of its choice's cell."""
        return (self.index(value) + 0.5) / len(self.choices)

    def from_unit(self, unit: float) -> Value:
        """The value whose cell of the unit interval holds `unit` (clipped)."""
        return self.choices[_cell(unit, len(self.choices))]

    def to_config(self) -> dict[str, Any]:
        """Plain data that `decision_from_config` reads back."""
        return {"kind": "categorical", "name": self.name, "choices": list(self.choices)}


@dataclass(frozen=True)
class Integer:
    """A whole number from `low` to `high`, both included."""

    name: str
    low: int
    high: int

    def __post_init__(self) -> None:
        _checked_name(self.name)
        for bound in (self.low, self.high):
            if isinstance(bound, bool) or not isinstance(bound, int):
                raise InvalidSpace(f"the bounds of {self.name!r} must be whole numbers", value=bound)
        if self.low > self.high:
            raise InvalidSpace(
                f"decision {self.name!r} has no values", value=(self.low, self.high), expected="low <= high"
            )

    @property
    def size(self) -> int:
        """Number of legal values."""
        return self.high - self.low + 1

    def check(self, value: object) -> Value:
        """`value` as int if it is legal; otherwise InvalidArchitecture."""
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not whole or not self.low <= int(value) <= self.high:  # type: ignore[call-overload]
            raise InvalidArchitecture(
                f"decision {self.name!r} cannot be set",
                value=value,
                expected=f"a whole number from {self.low} to {self.high}",
            )
        return int(value)  # type: ignore[call-overload,no-any-return]

    def nearest(self, value: object) -> Value:
        """A legal value for anything: rounded and clipped where it is a number, otherwise `low`."""
        if isinstance(value, int | np.integer):
            return min(max(int(value), self.low), self.high)
        if isinstance(value, float | np.floating) and math.isfinite(value):
            return min(max(round(float(value)), self.low), self.high)
        return self.high if value == math.inf else self.low

    def sample(self, rng: np.random.Generator) -> Value:
        """A uniform whole number."""
        return int(rng.integers(self.low, self.high + 1))

    def others(self, value: Value) -> tuple[Value, ...]:
        """Every other legal value, in order."""
        return tuple(other for other in range(self.low, self.high + 1) if other != value)

    def to_unit(self, value: Value) -> float:
        """Position of a value in [0, 1]: the middle of its cell."""
        return (int(value) - self.low + 0.5) / self.size

    def from_unit(self, unit: float) -> Value:
        """The value whose cell of the unit interval holds `unit` (clipped)."""
        return self.low + _cell(unit, self.size)

    def to_config(self) -> dict[str, Any]:
        """Plain data that `decision_from_config` reads back."""
        return {"kind": "integer", "name": self.name, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Real:
    """A number from `low` to `high`, both included; on a logarithmic scale where `log` is set."""

    name: str
    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        _checked_name(self.name)
        try:
            object.__setattr__(self, "low", float(self.low))
            object.__setattr__(self, "high", float(self.high))
        except (TypeError, ValueError, OverflowError):
            raise InvalidSpace(f"the bounds of {self.name!r} must be numbers", value=(self.low, self.high)) from None
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise InvalidSpace(
                f"decision {self.name!r} has no values", value=(self.low, self.high), expected="low < high"
            )
        if self.log and self.low <= 0:
            raise InvalidSpace(f"decision {self.name!r} is logarithmic", value=self.low, expected="low > 0")

    @property
    def size(self) -> None:
        """A real decision has no countable number of values."""
        return None

    def check(self, value: object) -> Value:
        """`value` as float if it is legal; otherwise InvalidArchitecture."""
        number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
        if not number or not self.low <= value <= self.high:  # type: ignore[operator]
            raise InvalidArchitecture(
                f"decision {self.name!r} cannot be set",
                value=value,
                expected=f"a number from {self.low:g} to {self.high:g}",
            )
        return float(value)  # type: ignore[arg-type]

    def nearest(self, value: object) -> Value:
        """A legal value for anything: clipped where it is a number, otherwise `low`."""
        if isinstance(value, int | float | np.integer | np.floating) and value == value:  # NaN does not equal itself
            return float(min(max(value, self.low), self.high))  # clipped first: a whole number can exceed every float
        return self.low

    def sample(self, rng: np.random.Generator) -> Value:
        """Uniform on the decision's own scale."""
        return self.from_unit(float(rng.random()))

    def others(self, value: Value) -> tuple[Value, ...]:
        """Two steps of a tenth of the range down and up, where they fit: a finite neighbourhood of a continuum."""
        unit = self.to_unit(value)
        steps = [unit + step for step in (-0.1, 0.1) if 0.0 <= unit + step <= 1.0]
        return tuple(self.from_unit(step) for step in steps)

    def to_unit(self, value: Value) -> float:
        """Position of a value in [0, 1]."""
        x, low, high = float(value), self.low, self.high
        if self.log:
            x, low, high = math.log(x), math.log(low), math.log(high)
        return (x - low) / (high - low)

    def from_unit(self, unit: float) -> Value:
        """The value at `unit` (clipped) of the range."""
        unit = min(max(float(unit), 0.0), 1.0)
        if self.log:
            value = math.exp(math.log(self.low) + unit * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + unit * (self.high - self.low)
        return min(max(value, self.low), self.high)

    def to_config(self) -> dict[str, Any]:
        """Plain data that `decision_from_config` reads back."""
        return {"kind": "real", "name": self.name, "low": self.low, "high": self.high, "log": self.log}


Decision: TypeAlias = Categorical | Integer | Real


def decision_from_config(config: Mapping[str, Any]) -> Decision:
    """A decision from the plain data of its `to_config`.

    Raises:
        InvalidSpace: an unknown kind, or keys that are missing or too many.
    """
    kinds: dict[str, tuple[type[Decision], set[str]]] = {
        "categorical": (Categorical, {"name", "choices"}),
        "integer": (Integer, {"name", "low", "high"}),
        "real": (Real, {"name", "low", "high", "log"}),
    }
    kind = config.get("kind")
    if kind not in kinds:
        raise InvalidSpace("a decision of an unknown kind", value=kind, expected="one of " + _listed(kinds))
    make, keys = kinds[kind]
    given = set(config) - {"kind"}
    if given - keys or keys - {"log"} - given:
        raise InvalidSpace(
            f"a {kind} decision with wrong keys", value=sorted(given), expected=f"the keys {sorted(keys)}"
        )
    options = {key: config[key] for key in given}
    if "choices" in options:
        if not isinstance(options["choices"], list | tuple):
            raise InvalidSpace("choices must be a list", value=options["choices"])
        options["choices"] = tuple(options["choices"])
    return make(**options)


def _cell(unit: float, cells: int) -> int:
    return min(math.floor(min(max(float(unit), 0.0), 1.0) * cells), cells - 1)


def _listed(values: Any, most: int = 12) -> str:
    shown = [str(value) for value in values]
    return ", ".join(shown[:most]) + (f", … ({len(shown)} in all)" if len(shown) > most else "")
