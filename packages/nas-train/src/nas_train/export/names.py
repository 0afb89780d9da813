"""From positions of nodes ("stage0.cell1.conv") to the names and the blocks of a Python file."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable

from torch import nn

_REPEATED = re.compile(r"(cell|block)\d*")
_USED = ("self", "x", "y", "states", "torch", "nn", "F", "zeros", "min_pool2d")
_RESERVED = frozenset({*_USED, *dir(builtins), *keyword.kwlist})
_MODULE = nn.Module()


def identifier(text: str) -> str:
    """A name with every other character than letters, digits and underscores replaced; never one that Python uses."""
    name = re.sub(r"\W", "_", text, flags=re.ASCII)
    if not name or name[0].isdigit():
        name = f"n{name}"
    return f"{name}_" if name in _RESERVED else name


def attributes(nodes: Iterable[str]) -> dict[str, str]:
    """An attribute of the exported module for each node: its position with underscores, different for all.

    Names that `torch.nn.Module` uses itself get an underscore more.
    """
    found: dict[str, str] = {}
    taken: set[str] = set()
    for node in nodes:
        name = identifier(node)
        while name in taken or hasattr(_MODULE, name):
            name += "_"
        taken.add(name)
        found[node] = name
    return found


def block_of(node: str) -> str:
    """The scope under whose comment a node's line stands: the outermost, with the cells and blocks inside of it.

    "stage0.cell1" of "stage0.cell1.edge1_0.conv"; "stem" of "stem.second.conv"; "" where there is no scope.
    """
    scopes = node.split(".")[:-1]
    kept = scopes[:1]
    for scope in scopes[1:]:
        if not _REPEATED.fullmatch(scope):
            break
        kept.append(scope)
    return ".".join(kept)
