"""Recipes: everything about a training but the network, the data and the seed.

A recipe is frozen plain data; the named ones below say where their numbers come from.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import Any

from nas_core.errors import InvalidOption
from nas_train.schedule import SCHEDULES

DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class Recipe:
    """How a network is trained: stochastic gradient descent with momentum on cross-entropy.

    Args:
        name: what it is called.
        epochs: passes over the training images; the schedule spans them.
        batch: images in a step.
        learning_rate: the largest one.
        momentum: of the gradient.
        nesterov: whether the momentum looks ahead.
        weight_decay: added to the gradient, as a multiple of each parameter.
        schedule: "cosine" or "constant".
        warmup: epochs over which the learning rate grows at the start.
        label_smoothing: share of each target that is spread over all classes.
        padding: pixels by which a random crop may shift an image; 0 for no crops.
        flip: whether images are mirrored at random.
        drop_path: probability with which a path at depth 1 is dropped in the last epoch; it grows from 0.
        gradient_clip: largest norm of the gradient; None for no limit.
        auxiliary_weight: of the loss of an auxiliary head, where the network has one.
        images: how many of the training images are used, and at most as many for validation; None for all.
        dtype: "float32", or "bfloat16" for products in that precision.
        citation: where the numbers come from.

    Raises:
        InvalidOption: a value out of range.
    """

    name: str
    epochs: int
    batch: int
    learning_rate: float
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    schedule: str = "cosine"
    warmup: float = 0.0
    label_smoothing: float = 0.0
    padding: int = 0
    flip: bool = False
    drop_path: float = 0.0
    gradient_clip: float | None = None
    auxiliary_weight: float = 0.4
    images: int | None = None
    dtype: str = "float32"
    citation: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            kind, legal, expected = _RULES[field.name]
            value = getattr(self, field.name)
            if not kind(value) or not legal(value):
                raise InvalidOption(f"recipe {self.name!r}: wrong {field.name}", value=value, expected=expected)
        if self.warmup >= self.epochs:
            raise InvalidOption(
                f"recipe {self.name!r}: warm-up does not end",
                value=self.warmup,
                expected=f"fewer than {self.epochs} epochs",
            )

    def to_config(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_config(cls, config: str | Mapping[str, Any]) -> Recipe:
        """The recipe of a name, or of plain data; data may name a recipe and give only what differs from it.

        Raises:
            InvalidOption: no such recipe, an unknown field or a value out of range.
        """
        if not isinstance(config, str | Mapping):
            raise InvalidOption("not a recipe", value=config, expected="a name, or fields by name")
        options = {"name": config} if isinstance(config, str) else dict(config)
        known = [field.name for field in fields(cls)]
        for key in options:
            if key not in known:
                raise InvalidOption("a recipe has no such field", value=key, expected="one of " + ", ".join(known))
        base = RECIPES.get(str(options.get("name")))
        if base is not None:
            return replace(base, **options)
        missing = [key for key in ("name", "epochs", "batch", "learning_rate") if key not in options]
        if missing:
            raise InvalidOption(
                "no such recipe",
                value=options.get("name"),
                expected="one of " + ", ".join(RECIPES) + f", or all fields (without: {', '.join(missing)})",
            )
        return cls(**options)


def _text(value: object) -> bool:
    return isinstance(value, str)


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _or_none(kind: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or kind(value)


_SHARE = (_number, lambda x: 0 <= x < 1, "a number from 0 up to, not including, 1")
_NOT_NEGATIVE = (_number, lambda x: x >= 0, "a number of at least 0")
_RULES: Mapping[str, tuple[Callable[[object], bool], Callable[[Any], bool], str]] = {
    "name": (_text, bool, "a word"),
    "epochs": (_whole, lambda x: x >= 1, "a whole number of at least 1"),
    "batch": (_whole, lambda x: x >= 2, "a whole number of at least 2"),
    "learning_rate": (_number, lambda x: x > 0, "a number above 0"),
    "momentum": _SHARE,
    "nesterov": (_flag, lambda x: True, "true or false"),
    "weight_decay": _NOT_NEGATIVE,
    "schedule": (_text, lambda x: x in SCHEDULES, "one of " + ", ".join(SCHEDULES)),
    "warmup": _NOT_NEGATIVE,
    "label_smoothing": _SHARE,
    "padding": (_whole, lambda x: x >= 0, "a whole number of at least 0"),
    "flip": (_flag, lambda x: True, "true or false"),
    "drop_path": _SHARE,
    "gradient_clip": (_or_none(_number), lambda x: x is None or x > 0, "a number above 0, or nothing"),
    "auxiliary_weight": _NOT_NEGATIVE,
    "images": (_or_none(_whole), lambda x: x is None or x >= 2, "a whole number of at least 2, or nothing"),
    "dtype": (_text, lambda x: x in DTYPES, "one of " + ", ".join(DTYPES)),
    "citation": (_text, lambda x: True, "text"),
}
"""Of each field: its type, its range, and both in words."""

_NASBENCH201 = Recipe(
    "nasbench201",
    epochs=200,
    batch=256,
    learning_rate=0.1,
    padding=4,
    flip=True,
    citation="Dong & Yang 2020 (NAS-Bench-201), §2.3",
)
_DIGITS = Recipe(
    "digits",
    epochs=12,
    batch=64,
    learning_rate=0.03,
    warmup=1.0,
    padding=1,
    citation="this toolkit: a short training for scans of 8 x 8 pixels",
)
_SMALL = Recipe(
    "small",
    epochs=10,
    batch=64,
    learning_rate=0.1,
    warmup=1.0,
    padding=4,
    flip=True,
    images=5000,
    citation="this toolkit: a short training for images of CIFAR's size on a CPU",
)
_NAMED = (
    _DIGITS,
    replace(_DIGITS, name="digits_final", epochs=60, learning_rate=0.2),
    _SMALL,
    replace(_SMALL, name="small_final", epochs=30, images=None),
    _NASBENCH201,
    replace(
        _NASBENCH201, name="nasbench201_12", epochs=12, citation="Dong & Yang 2020 (NAS-Bench-201), §2.3, in 12 epochs"
    ),
)

RECIPES: Mapping[str, Recipe] = MappingProxyType({recipe.name: recipe for recipe in _NAMED})
"""The named recipes."""
