"""Recipes of language models: everything about a training but the cell, the text and the seed.

Where a paper's text and its authors' code differ, the text counts; what the text leaves out is the code's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import Any

from nas_core.errors import InvalidOption

OPTIMIZERS = ("sgd", "adam")
SCHEDULES = ("decay", "cosine")
DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class LanguageRecipe:
    """How a recurrent cell is trained as a language model, and the size of that model.

    Dropout is variational (Gal & Ghahramani 2016): a mask is drawn for a chunk of text and locked over its time steps.

    Args:
        name: what it is called.
        epochs: passes over the training text.
        batch: streams of text side by side.
        truncation: time steps through which gradients flow; states are carried on from chunk to chunk.
        learning_rate: the first one.
        optimizer: "sgd", without momentum, or "adam".
        schedule: "decay": times `decay` after each epoch from `decay_from` on; "cosine": half a cosine down to 0.
        decay: see there.
        decay_from: see there.
        gradient_clip: largest norm of the gradient; None for no limit.
        weight_decay: added to the gradient, as a multiple of each parameter.
        embedding: width of a word's vector, and of the last layer's state where the weights are tied.
        hidden: width of the states; None for that of the embedding.
        layers: cells upon each other.
        tied: whether the output layer's weights are the words' vectors (Inan et al. 2017).
        drop_words: probability of dropping a word's vector wherever the word stands.
        drop_embedding: of the words' vectors, element by element.
        drop_input: of what a cell's linear maps read of the step's vector.
        drop_hidden: of what a cell's linear maps read of states and nodes; what a gate carries on is left whole.
        drop_layers: of what a layer hands to the next.
        drop_output: of what the last layer hands to the output layer.
        drop_weights: of the matrices that read an old state (Merity et al. 2018, section 2).
        activation: times the mean square of the dropped outputs, added to the loss (Merity et al. 2018, section 4.7).
        slowness: times the mean square of the outputs' change from step to step, added to the loss.
        averaging: weights are averaged as soon as the validation loss is higher than the lowest one of all epochs but
            the last so many (NT-ASGD, Merity et al. 2018, section 3); None for never.
        random_lengths: whether chunks vary in length about `truncation`, and the learning rate with them (section 4.1
            there).
        evaluation_batch: streams side by side in an evaluation; what does not divide by it at the end is left out.
        tokens: how many words of the training text are used; None for all.
        dtype: of the products of the output layer in training: "float32" or "bfloat16"; models are measured in float32.
        citation: where the numbers come from.

    Raises:
        InvalidOption: a value out of range.
    """

    name: str
    epochs: int
    batch: int
    learning_rate: float
    truncation: int = 35
    optimizer: str = "sgd"
    schedule: str = "decay"
    decay: float = 1.0
    decay_from: int = 1
    gradient_clip: float | None = 0.25
    weight_decay: float = 0.0
    embedding: int = 200
    hidden: int | None = None
    layers: int = 1
    tied: bool = True
    drop_words: float = 0.0
    drop_embedding: float = 0.0
    drop_input: float = 0.0
    drop_hidden: float = 0.0
    drop_layers: float = 0.0
    drop_output: float = 0.0
    drop_weights: float = 0.0
    activation: float = 0.0
    slowness: float = 0.0
    averaging: int | None = None
    random_lengths: bool = False
    evaluation_batch: int = 10
    tokens: int | None = None
    dtype: str = "float32"
    citation: str = ""

    def __post_init__(self) -> None:
        for one in fields(self):
            legal, expected = _RULES[one.name]
            value = getattr(self, one.name)
            if not legal(value):
                raise InvalidOption(f"language recipe {self.name!r}: wrong {one.name}", value=value, expected=expected)

    @property
    def widths(self) -> tuple[tuple[int, int], ...]:
        """Of each layer, the widths of the vector that it reads and of its states."""
        hidden = self.hidden or self.embedding
        outs = [hidden] * (self.layers - 1) + [self.embedding if self.tied else hidden]
        return tuple(zip([self.embedding, *outs[:-1]], outs, strict=True))

    def to_config(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_config(cls, config: str | Mapping[str, Any]) -> LanguageRecipe:
        """The recipe of a name, or of plain data; data may name a recipe and give only what differs from it.

        Raises:
            InvalidOption: no such recipe, an unknown field or a value out of range.
        """
        if not isinstance(config, str | Mapping):
            raise InvalidOption("not a language recipe", value=config, expected="a name, or fields by name")
        options = {"name": config} if isinstance(config, str) else dict(config)
        known = [one.name for one in fields(cls)]
        for key in options:
            if key not in known:
                raise InvalidOption("a language recipe has no such field", value=key, expected=", ".join(known))
        base = LANGUAGE_RECIPES.get(str(options.get("name")))
        if base is not None:
            return replace(base, **options)
        missing = [key for key in ("name", "epochs", "batch", "learning_rate") if key not in options]
        if missing:
            raise InvalidOption(
                "no such language recipe",
                value=options.get("name"),
                expected="one of " + ", ".join(LANGUAGE_RECIPES) + f", or all fields (without: {', '.join(missing)})",
            )
        return cls(**options)


_Rule = tuple[Callable[[Any], bool], str]


def _whole(least: int, none: bool = False) -> _Rule:
    def legal(value: Any) -> bool:
        return (none and value is None) or (isinstance(value, int) and not isinstance(value, bool) and value >= least)

    return legal, f"a whole number of at least {least}" + (", or nothing" if none else "")


def _number(legal: Callable[[float], bool], expected: str, none: bool = False) -> _Rule:
    def holds(value: Any) -> bool:
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        return (none and value is None) or (number and legal(value))

    return holds, expected + (", or nothing" if none else "")


def _one_of(names: tuple[str, ...]) -> _Rule:
    return lambda value: value in names, "one of " + ", ".join(names)


_SHARE = _number(lambda x: 0 <= x < 1, "a number from 0 up to, not including, 1")
_NOT_NEGATIVE = _number(lambda x: x >= 0, "a number of at least 0")
_FLAG: _Rule = lambda value: isinstance(value, bool), "true or false"
_RULES: Mapping[str, _Rule] = {
    "name": (lambda value: isinstance(value, str) and bool(value), "a word"),
    "epochs": _whole(1),
    "batch": _whole(1),
    "learning_rate": _number(lambda x: x > 0, "a number above 0"),
    "truncation": _whole(1),
    "optimizer": _one_of(OPTIMIZERS),
    "schedule": _one_of(SCHEDULES),
    "decay": _number(lambda x: 0 < x <= 1, "a number above 0, at most 1"),
    "decay_from": _whole(1),
    "gradient_clip": _number(lambda x: x > 0, "a number above 0", none=True),
    "weight_decay": _NOT_NEGATIVE,
    "embedding": _whole(1),
    "hidden": _whole(1, none=True),
    "layers": _whole(1),
    "tied": _FLAG,
    **{f"drop_{what}": _SHARE for what in ("words", "embedding", "input", "hidden", "layers", "output", "weights")},
    "activation": _NOT_NEGATIVE,
    "slowness": _NOT_NEGATIVE,
    "averaging": _whole(1, none=True),
    "random_lengths": _FLAG,
    "evaluation_batch": _whole(1),
    "tokens": _whole(2, none=True),
    "dtype": _one_of(DTYPES),
    "citation": (lambda value: isinstance(value, str), "text"),
}
"""Of each field: its legal values, and the same in words."""

_NAO = LanguageRecipe(
    "nao_ptb",
    epochs=600,
    batch=64,
    learning_rate=10.0,
    decay=0.9991,
    decay_from=15,
    weight_decay=5e-7,
    embedding=850,
    drop_embedding=0.2,
    drop_input=0.75,
    drop_hidden=0.25,
    drop_output=0.75,
    slowness=1e-3,
    averaging=5,
    random_lengths=True,
    citation="Luo et al. 2018 (NAO), section 4.3; widths, dropout, slowness and averaging from the authors' code",
)
_ENAS = replace(
    _NAO,
    name="enas_ptb",
    epochs=150,
    learning_rate=20.0,
    decay=0.96,
    weight_decay=1e-7,
    citation="Pham et al. 2018 (ENAS), section 3.1; what it leaves out as in nao_ptb, which follows its code",
)
_NASBENCH_NLP = LanguageRecipe(
    "nasbench_nlp",
    epochs=50,
    batch=20,
    learning_rate=1e-3,
    truncation=70,
    optimizer="adam",
    weight_decay=1.2e-6,
    embedding=400,
    hidden=600,
    layers=3,
    drop_words=0.1,
    drop_embedding=0.4,
    drop_layers=0.25,
    drop_output=0.4,
    drop_weights=0.5,
    activation=2.0,
    slowness=1.0,
    random_lengths=True,
    evaluation_batch=50,
    citation="Klyuchnikov et al. 2022 (NAS-Bench-NLP), section 3.3 and the authors' code; after Merity et al. 2018",
)
_SMALL = LanguageRecipe(
    "small_text",
    epochs=3,
    batch=64,
    learning_rate=3e-3,
    optimizer="adam",
    schedule="cosine",
    gradient_clip=1.0,
    drop_embedding=0.1,
    drop_output=0.2,
    evaluation_batch=20,
    dtype="bfloat16",
    citation="this toolkit: a short training of a narrow model on a CPU",
)
_NAMED = (
    _SMALL,
    replace(_SMALL, name="small_text_final", epochs=8),
    _NAO,
    replace(_NAO, name="nao_ptb_final", epochs=2000),
    replace(
        _NAO,
        name="nao_wt2",
        epochs=2000,
        embedding=700,
        drop_hidden=0.15,
        citation="Luo et al. 2018 (NAO), section 4.4; epochs from the authors' code, the rest as in nao_ptb",
    ),
    replace(
        _NAO,
        name="nao_ws_ptb",
        epochs=1000,
        batch=256,
        learning_rate=0.25,
        decay=1.0,
        gradient_clip=10.0,
        embedding=300,
        averaging=None,
        evaluation_batch=256,
        citation="Luo et al. 2018 (NAO), section 3.4, by the authors' code: the bank of shared weights",
    ),
    _ENAS,
    replace(
        _ENAS,
        name="enas_wt2",
        embedding=700,
        weight_decay=5e-7,
        drop_hidden=0.15,
        citation="Luo et al. 2018 (NAO), section 4.4, for the transfer of ENAS's cell; the rest as in enas_ptb",
    ),
    replace(
        _ENAS,
        name="bonas_lstm",
        epochs=10,
        citation="Shi et al. 2020 (BONAS), appendix A.1: ten epochs, the rest as in ENAS",
    ),
    _NASBENCH_NLP,
)

LANGUAGE_RECIPES: Mapping[str, LanguageRecipe] = MappingProxyType({recipe.name: recipe for recipe in _NAMED})
"""The named recipes."""
