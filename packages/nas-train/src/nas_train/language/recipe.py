"""Recipes of language models: everything about a training but the cell, the text and the seed.

Where a paper's text and its authors' code differ, the text counts; what the text leaves out is the code's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any

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
    one_of,
    read_recipe,
    whole,
)

OPTIMIZERS = ("sgd", "adam")
SCHEDULES = ("decay", "cosine")
DTYPES = ("float32", "bfloat16")
_KIND = "language recipe"


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
        state_norm: largest Euclidean norm of what a layer gives at a time step, output and states; what is longer is
            shortened to it. None for no limit. Cells that can grow without bound, as those of relu and identity, need
            one at high learning rates or on shared weights.
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
    state_norm: float | None = None
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
        check_fields(self, _RULES, _KIND)

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
        return read_recipe(config, cls, LANGUAGE_RECIPES, _KIND)


_RULES: Mapping[str, Rule] = {
    "name": WORD,
    "epochs": whole(1),
    "batch": whole(1),
    "learning_rate": POSITIVE,
    "truncation": whole(1),
    "optimizer": one_of(OPTIMIZERS),
    "schedule": one_of(SCHEDULES),
    "decay": FACTOR,
    "decay_from": whole(1),
    "gradient_clip": POSITIVE_OR_NONE,
    "weight_decay": NOT_NEGATIVE,
    "embedding": whole(1),
    "hidden": whole(1, optional=True),
    "layers": whole(1),
    "tied": FLAG,
    "state_norm": POSITIVE_OR_NONE,
    **{f"drop_{what}": SHARE for what in ("words", "embedding", "input", "hidden", "layers", "output", "weights")},
    "activation": NOT_NEGATIVE,
    "slowness": NOT_NEGATIVE,
    "averaging": whole(1, optional=True),
    "random_lengths": FLAG,
    "evaluation_batch": whole(1),
    "tokens": whole(2, optional=True),
    "dtype": one_of(DTYPES),
    "citation": TEXT,
}
"""Of each field: its legal values."""

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
    citation="Luo et al. 2018 (NAO), section 4.3; widths, dropout, slowness and averaging from the authors' code, "
    "renqianluo/NAO, NAO/rnn/train.py",
)
_ENAS = replace(
    _NAO,
    name="enas_ptb",
    epochs=150,
    learning_rate=20.0,
    decay=0.96,
    weight_decay=1e-7,
    embedding=748,
    drop_words=0.21,
    drop_embedding=0.0,
    drop_output=0.76,
    slowness=0.73,  # a sum of 0.001 over 748 widths and 34 of 35 steps there, where the loss is a sum over 35 steps
    averaging=None,
    random_lengths=False,
    citation="Pham et al. 2018 (ENAS), section 3.1; widths, dropout and slowness from the authors' code, "
    "melodyguan/enas, scripts/ptb_final.sh and src/ptb/ptb_enas_child.py",
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
    citation="Klyuchnikov et al. 2022 (NAS-Bench-NLP), section 3.3 and the authors' code, "
    "fmsnew/nas-bench-nlp-release, main_one_model_train.py; after Merity et al. 2018",
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
        citation="Luo et al. 2018 (NAO), section 4.4; epochs from the authors' code, NAO/rnn/train_wt2_final.sh; the "
        "rest as in nao_ptb",
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
        random_lengths=False,
        evaluation_batch=256,
        citation="Luo et al. 2018 (NAO), section 3.4, by the authors' code, NAO-WS/rnn/train_search.py: the bank of "
        "shared weights",
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
