"""Table files: opening one by path or name, and which space a search of it walks. Served by the extra `spaces`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.errors import RegistryError
from nas_core.space import Enumerable, Space

FloatArray = NDArray[np.float64]


class TableLike(Protocol):
    """What is read of a `nas_spaces.tables.Table`."""

    meta: Mapping[str, Any]
    space: Space

    @property
    def members(self) -> int:
        """Number of architectures, each once."""
        ...

    @property
    def objectives(self) -> list[str]:
        """What the table states to optimise."""
        ...

    def __len__(self) -> int:
        """Number of rows."""
        ...

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics without fidelities."""
        ...

    @property
    def columns(self) -> tuple[str, ...]:
        """Full names of the metrics, such as `val_accuracy@12`."""
        ...

    def fidelities(self, metric: str | None = None) -> tuple[float, ...]:
        """Fidelities of a metric, ascending; () where it does not depend on one."""
        ...

    def column(self, metric: str, fidelity: float | None = None) -> FloatArray:
        """A metric of all rows; NaN in failed ones."""
        ...

    def failed(self, fidelity: float | None = None) -> NDArray[np.bool_]:
        """Which rows failed at a fidelity."""
        ...

    def architecture(self, row: int) -> Architecture:
        """The member of a row."""
        ...


def read_table(source: str | Path) -> TableLike:
    """The table of a file, or the shipped one of this name.

    Raises:
        RegistryError: nas-spaces is not installed.
        InvalidTable: the file is no table.
    """
    try:
        from nas_spaces.tables import Table
    except ImportError as error:
        raise _not_served(error) from error
    return Table.load(source)


def table_file(source: str | Path) -> Path:
    """Where the table of a name or path lies, as an absolute path.

    Raises:
        RegistryError: nas-spaces is not installed.
    """
    try:
        from nas_spaces.tables import located
    except ImportError as error:
        raise _not_served(error) from error
    return located(source).expanduser().resolve()


def table_source(text: str) -> str:
    """The name of a shipped table as it is; a file as an absolute path, so that a run can be resumed from elsewhere.

    Raises:
        RegistryError: it may be a name, and nas-spaces is not installed.
    """
    path = Path(text).expanduser().resolve()
    return text if text.isidentifier() and table_file(text) != path else str(path)


def searched_space(source: str | Path, table: TableLike) -> dict[str, Any]:
    """The configuration of the space in which a table is searched.

    It is the table's own space where that has no other members; otherwise its closed domain (`nas_spaces.restricted`),
    so that only members with results are proposed.
    """
    space = table.space
    if isinstance(space, Enumerable) and space.size == table.members:
        return space.to_config()
    return {"name": "restricted", "table": str(source)}


def _not_served(error: ImportError) -> RegistryError:
    return RegistryError(
        f"tables need nas-spaces, which does not import ({error})", remedy="Install the extra `spaces` of nas-search."
    )
