"""An architecture: one member of a space, a value for each of its decisions."""

from __future__ import annotations

from typing import NamedTuple

from nas_core.decisions import Value


class Architecture(NamedTuple):
    """One member of a space: frozen, hashable, ordered like its space's decisions.

    Two architectures are equal when their space and all their values are; only spaces make them (`Space.canonical`,
    `Space.project`, `Space.parse`), so equal values always have equal types. The text form belongs to the space
    (`Space.text`), which knows the notation its field publishes.
    """

    space: str
    values: tuple[Value | None, ...]
