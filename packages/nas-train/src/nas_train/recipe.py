"""Recipes: everything about a training but the network, the data and the seed.

A recipe is frozen plain data; `nas_train.recipes` holds the named ones and says where their numbers come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nas_core.errors import InvalidOption
from nas_train.recipe_fields import (
    FACTOR,
    FLAG,
    NOT_NEGATIVE,
    POSITIVE,
    POSITIVE_OR_NONE,
    SHARE,
    TEXT,
    WORD,
    Rule,
    check_fields,
    is_number,
    number,
    one_of,
    read_recipe,
    whole,
)
from nas_train.schedule import SCHEDULES

DTYPES = ("float32", "bfloat16", "float16")
WEIGHT_OPTIMIZERS = ("sgd", "rmsprop", "adam")
_KIND = "recipe"


@dataclass(frozen=True)
class Recipe:
    """How a network is trained on cross-entropy.

    Epochs that a field names (warm-up, period, milestones) are those of the recipe: a training over another number of
    epochs stretches them with it.

    Args:
        name: what it is called.
        epochs: passes over the training images; the schedule spans them.
        batch: images in a step.
        learning_rate: the largest one.
        momentum: of the gradient; Adam's first.
        nesterov: whether the momentum of "sgd" looks ahead.
        weight_decay: added to the gradient, as a multiple of each parameter.
        schedule: "cosine", "linear", "step" or "constant" (`nas_train.schedule`).
        warmup: epochs over which the learning rate grows at the start.
        label_smoothing: share of each target that is spread over all classes.
        padding: pixels by which a random crop may shift an image; 0 for no crops.
        flip: whether images are mirrored at random.
        drop_path: probability with which a path at depth 1 is dropped in the last epoch; it grows from 0.
        gradient_clip: largest norm of the gradient; None for no limit.
        auxiliary_weight: of the loss of an auxiliary head, where the network has one.
        images: how many of the training images are used, and at most as many for validation; None for all.
        dtype: "float32", or "bfloat16" or "float16" for products in that precision; "float16" scales the loss.
        citation: where the numbers come from.
        floor: the learning rate that "cosine" and "linear" fall to.
        period: epochs of the first cosine, or between two steps; None for one cosine over all epochs.
        growth: each cosine is so many times as long as the one before.
        decay: factor of "step".
        milestones: epochs at which "step" decays; needed where there is no period.
        cutout: side in pixels of the square that is blotted out in each image; 0 for none.
        resized_crop: whether images that are streamed are cut out at a random place and scale.
        colour: strength of the random change of brightness, contrast and saturation of streamed images, from 0 to 1.
        ema: share of the averaged weights that is kept at a step; 0 for no average. The average is what is measured.
        weight_optimizer: "sgd", "rmsprop" or "adam".
        second_momentum: share of the mean square of the gradient that is kept ("rmsprop", "adam").
        epsilon: added to that mean square ("rmsprop") or to its root ("adam").
        largest_batch: where the device's memory allows, the batch grows up to it; None for `batch` always.
        largest_rate: the learning rate at the largest batch; between the two it goes along a line.

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
    floor: float = 0.0
    period: float | None = None
    growth: float = 1.0
    decay: float = 1.0
    milestones: tuple[float, ...] = ()
    cutout: int = 0
    resized_crop: bool = False
    colour: float = 0.0
    ema: float = 0.0
    weight_optimizer: str = "sgd"
    second_momentum: float = 0.999
    epsilon: float = 1e-8
    largest_batch: int | None = None
    largest_rate: float | None = None

    def __post_init__(self) -> None:
        if isinstance(self.milestones, list):  # as JSON has it
            object.__setattr__(self, "milestones", tuple(self.milestones))
        check_fields(self, _RULES, _KIND)
        for wrong, problem, name, expected in self._contradictions():
            if wrong:
                raise InvalidOption(
                    f"{_KIND} {self.name!r}: {problem}", value=getattr(self, name), place=name, expected=expected
                )

    def _contradictions(self) -> list[tuple[bool, str, str, str]]:
        """What two fields together may not be: whether they are, the problem, one of the fields, what it may be."""
        stepped = self.schedule == "step"
        largest = self.batch if self.largest_batch is None else self.largest_batch
        return [
            (self.warmup >= self.epochs, "warm-up does not end", "warmup", f"fewer than {self.epochs} epochs"),
            (self.floor > self.learning_rate, "wrong floor", "floor", f"at most {self.learning_rate}"),
            (stepped and not self.milestones and self.period is None, "no milestones", "milestones", "or a period"),
            (bool(self.milestones) and not stepped, "wrong milestones", "milestones", "with the schedule step only"),
            (bool(self.milestones) and self.period is not None, "wrong milestones", "milestones", "or a period"),
            (largest < self.batch, "wrong largest_batch", "largest_batch", f"at least {self.batch}"),
            (
                (self.largest_batch is None) != (self.largest_rate is None),
                "wrong largest_rate",
                "largest_rate",
                "given with largest_batch and without it not",
            ),
            (
                self.dtype == "float16" and self.weight_optimizer == "rmsprop",
                "wrong dtype",
                "dtype",
                "float32 or bfloat16 with rmsprop",
            ),
        ]

    def to_config(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"milestones": list(self.milestones)}

    @classmethod
    def from_config(cls, config: str | Mapping[str, Any]) -> Recipe:
        """The recipe of a name, or of plain data; data may name a recipe and give only what differs from it.

        Raises:
            InvalidOption: no such recipe, an unknown field or a value out of range.
        """
        from nas_train.recipes import RECIPES  # they are made of this class

        return read_recipe(config, cls, RECIPES, _KIND)


def _ascending(values: object) -> bool:
    """Whether these are numbers above 0, each larger than the one before."""
    if not isinstance(values, tuple) or not all(map(is_number, values)):
        return False
    return all(a < b for a, b in zip((0, *values), values, strict=False))


_PIXELS = whole(0)
_COUNT_OR_NONE = whole(2, optional=True)
_RULES: Mapping[str, Rule] = {
    "name": WORD,
    "epochs": whole(1),
    "batch": whole(2),
    "learning_rate": POSITIVE,
    "momentum": SHARE,
    "nesterov": FLAG,
    "weight_decay": NOT_NEGATIVE,
    "schedule": one_of(SCHEDULES),
    "warmup": NOT_NEGATIVE,
    "label_smoothing": SHARE,
    "padding": _PIXELS,
    "flip": FLAG,
    "drop_path": SHARE,
    "gradient_clip": POSITIVE_OR_NONE,
    "auxiliary_weight": NOT_NEGATIVE,
    "images": _COUNT_OR_NONE,
    "dtype": one_of(DTYPES),
    "citation": TEXT,
    "floor": NOT_NEGATIVE,
    "period": POSITIVE_OR_NONE,
    "growth": number(lambda x: x >= 1, "a number of at least 1"),
    "decay": FACTOR,
    "milestones": (_ascending, "numbers of epochs in ascending order"),
    "cutout": _PIXELS,
    "resized_crop": FLAG,
    "colour": number(lambda x: 0 <= x <= 1, "a number from 0 to 1"),
    "ema": SHARE,
    "weight_optimizer": one_of(WEIGHT_OPTIMIZERS),
    "second_momentum": SHARE,
    "epsilon": POSITIVE,
    "largest_batch": _COUNT_OR_NONE,
    "largest_rate": POSITIVE_OR_NONE,
}
"""Of each field: its legal values."""
