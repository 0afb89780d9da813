"""Python statements as a formatter leaves them: on one line where they fit, otherwise in several."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

WIDTH = 120
INDENT = " " * 8
"""Of the lines of a method."""


def fits(line: str) -> bool:
    """Whether a line of a method is short enough."""
    return len(INDENT) + len(line) <= WIDTH


def call(start: str, arguments: Sequence[str], end: str = ")") -> list[str]:
    """The lines of `start`, arguments and `end`, such as "x = f(", ["a", "b"] and ")"; without indentation."""
    together = ", ".join(arguments)
    if fits(f"{start}{together}{end}"):
        return [f"{start}{together}{end}"]
    if fits(f"    {together}"):
        return [start, f"    {together}", end]
    return [start, *[f"    {argument}," for argument in arguments], end]


def comment(text: str) -> list[str]:
    """A text of any kind as lines of comment at the left margin."""
    lines = []
    for line in text.splitlines():
        printable = "".join(c if c.isprintable() else " " for c in line)
        lines += textwrap.wrap(printable, WIDTH - 2, break_on_hyphens=False) or [""]
    return [f"# {line}".rstrip() for line in lines]
