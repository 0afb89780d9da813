"""The scores by name, and the one place where they are computed: repeats, new weights, scores that are no number."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from torch import Tensor

from nas_core.errors import InvalidOption, TrialFailed
from nas_core.random import derived_seed
from nas_train.build import BuiltNetwork, initialise
from nas_train.proxies.contract import Proxy
from nas_train.proxies.grad_norm import grad_norm
from nas_train.proxies.jacov import jacov
from nas_train.proxies.linear_regions import linear_regions
from nas_train.proxies.ntk_condition import ntk_condition
from nas_train.proxies.nwot import nwot
from nas_train.proxies.snip import snip
from nas_train.proxies.synflow import synflow
from nas_train.proxies.zen import zen

_ALL = (
    Proxy("synflow", "max", synflow),
    Proxy("nwot", "max", nwot),
    Proxy("jacov", "max", jacov),
    Proxy("zen", "max", zen),
    Proxy("linear_regions", "max", linear_regions, thin=True),
    Proxy("snip", "max", snip),
    Proxy("grad_norm", "max", grad_norm),
    Proxy("ntk_condition", "min", ntk_condition),
)
PROXIES: Mapping[str, Proxy] = MappingProxyType({proxy.name: proxy for proxy in _ALL})
"""Every score by name."""


def find_proxy(name: str) -> Proxy:
    """A score by name.

    Raises:
        InvalidOption: there is none.
    """
    if not isinstance(name, str) or name not in PROXIES:
        raise InvalidOption("no such score", value=name, expected="one of " + ", ".join(PROXIES))
    return PROXIES[name]


def score_network(
    name: str,
    module: BuiltNetwork,
    batches: list[tuple[Tensor, Tensor]],
    *,
    seed: int,
    reinitialise: bool = False,
) -> float:
    """The mean of a score over batches, one repeat a batch.

    Args:
        name: one of `PROXIES`.
        module: the network; its weights change where they are drawn anew.
        batches: images (b x c x h x w, normalised) and labels (b), on the module's device.
        seed: of what scores draw and of new weights.
        reinitialise: whether each repeat draws new initial weights; otherwise the module's own are used every time.

    Raises:
        InvalidOption: no such score.
        TrialFailed: "score_not_finite", naming the score.
    """
    proxy = find_proxy(name)
    values = []
    for repeat, (images, labels) in enumerate(batches):
        if reinitialise:
            initialise(module, derived_seed(seed, "repeat", repeat))
        value = proxy.score(module, images, labels, derived_seed(seed, name, repeat))
        if not math.isfinite(value):
            raise TrialFailed("score_not_finite", f"the score {name} is not a finite number", value=value)
        values.append(value)
    return sum(values) / len(values)
