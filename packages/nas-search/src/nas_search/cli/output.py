"""What commands print: text in aligned columns for a reader, one JSON object for a machine."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any


def print_json(value: Mapping[str, Any]) -> None:
    """Exactly one JSON object on standard output."""
    print(json.dumps(value, indent=2, allow_nan=False))


def say(text: str) -> None:
    """A line that is no result: on standard error."""
    print(text, file=sys.stderr, flush=True)


def columns(rows: Sequence[Sequence[str]], right: Sequence[bool] = ()) -> str:
    """Rows of texts in aligned columns, the last one as long as it is.

    Args:
        rows: equally long, the head among them.
        right: which columns are aligned to the right; the rest are to the left.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    right = [*right, *[False] * (len(widths) - len(right))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
