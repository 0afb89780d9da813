"""Tables that this package brings, found by name wherever a table file is asked for.

They are made by `nas table build` with the command that the package's README names.
"""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType
from typing import Final

_FOLDER = Path(__file__).resolve().parent / "files"

SHIPPED: Final = MappingProxyType({file.stem: file for file in sorted(_FOLDER.glob("*.npz"))})
"""The file of each, by name."""


def located(source: str | Path) -> Path:
    """The file of a table that is named, or lies at a path; the names of shipped tables come first.

    Args:
        source: the name of a shipped table, or a path.
    """
    return SHIPPED.get(str(source)) or Path(source)
