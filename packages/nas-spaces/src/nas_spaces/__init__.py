"""Search spaces of neural architectures and tables of their measured results."""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__: str

if not TYPE_CHECKING:

    def __getattr__(name: str) -> str:
        """`__version__`, read from the installed metadata when asked for: importing costs nothing."""
        if name == "__version__":
            from importlib.metadata import version

            return version("nas-spaces")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
