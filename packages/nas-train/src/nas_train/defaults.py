"""What is trained where nothing else is said: recipes by data set, and the skeletons of networks that fit them.

This is the one place for such choices; every one of them is an option of `nas_train.evaluator.TrainingEvaluator`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Defaults(NamedTuple):
    """The recipe of a search, and the recipe of the last training of the network that it found."""

    search: str
    final: str


_RECIPES: Mapping[str, Defaults] = MappingProxyType({"digits": Defaults("digits", "digits_final")})
_OTHER = Defaults("small", "small_final")

# Narrow and shallow: a network of a search takes one or two seconds on digits, on one core.
_NARROW: Mapping[str, Mapping[str, Any]] = MappingProxyType({"nasbench201": {"channels": 8, "cells": 1}})
_NARROW_RECIPES = frozenset({"digits", "digits_final", "small", "small_final"})


def default_recipes(data: str) -> Defaults:
    """The names of the recipes for a data set."""
    return _RECIPES.get(data, _OTHER)


def default_network(space: str, recipe: str) -> dict[str, Any]:
    """The options of a space's network: narrow for the recipes of this toolkit, the space's own for published ones."""
    return dict(_NARROW.get(space, {})) if recipe in _NARROW_RECIPES else {}


def default_threads(recipe: str) -> int | None:
    """CPU threads of one training: one for networks that are too small to share out, torch's choice for others.

    A second thread spends its time waiting for the first, and where the cores are busy the first waits for it: the same
    training has been seen to take ten times as long. With one thread results do not depend on the executor either.
    """
    return 1 if recipe in _NARROW_RECIPES else None
