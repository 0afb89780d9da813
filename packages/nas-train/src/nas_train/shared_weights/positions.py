"""Whether the members of a space can share weights: a parameter must have one shape wherever its name appears.

Asked before the first group, of a few members at random: a space whose widths depend on the member shows it at once,
and a study does not find out when its first groups fail.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from nas_core.architecture import Architecture
from nas_core.errors import InvalidOption
from nas_core.network import Network
from nas_core.primitives import Shape
from nas_core.random import rng
from nas_core.space import Space

MEMBERS: Final = 8


def check_sharing(space: Space, networks_of: Callable[[Architecture], Sequence[Network]]) -> None:
    """Compare the parameters of some members.

    Args:
        space: whose members are drawn.
        networks_of: the networks of a member, layer by layer.

    Raises:
        InvalidOption: two of them differ in the shape of a parameter of one name.
        NasError: a member has no network, or an option of it is wrong.
    """
    shapes: dict[tuple[int, str], Shape] = {}
    for a in space.sample(rng(0, "prepare"), MEMBERS):
        for layer, network in enumerate(networks_of(a)):
            _compare(space, shapes, ((layer, name, shape) for name, shape in network.parameters()))


def _compare(space: Space, shapes: dict[tuple[int, str], Shape], own: Iterable[tuple[int, str, Shape]]) -> None:
    for layer, name, shape in own:
        held = shapes.setdefault((layer, name), shape)
        if held != shape:
            raise InvalidOption(
                f"members of {space.name} cannot share weights, since they differ in the shape of a parameter",
                value=f"{name} {shape}",
                expected=f"{held}, as in another member",
                remedy=_remedy(space),
            )


def _remedy(space: Space) -> str:
    network = getattr(space, "network", None)
    if network is not None and "shared" in inspect.signature(network).parameters:
        return 'Set the network option "shared" to true.'
    return "Search another space, or train its members alone (the evaluator `train`)."
