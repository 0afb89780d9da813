"""What a table file says about itself, for a search that names the table only. Served by the extra `spaces`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nas_core.errors import RegistryError


def described(file: Path) -> tuple[dict[str, Any], list[str]]:
    """The configuration of a table's space, and the table's objectives.

    Raises:
        RegistryError: nas-spaces is not installed.
        InvalidTable: the file is no table.
    """
    try:
        from nas_spaces.tables import Table
    except ImportError as error:
        raise RegistryError(
            f"tables need nas-spaces, which does not import ({error})",
            remedy="Install the extra `spaces` of nas-search.",
        ) from error
    table = Table.load(file)
    objective = table.meta["objective"]
    return table.space.to_config(), [objective] if isinstance(objective, str) else list(objective)
