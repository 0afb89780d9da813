"""What a study ran on: versions, machine and threads, so that a result can be had again."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from nas_search.executors import cores

_PACKAGES = ("nas-core", "nas-spaces", "nas-surrogates", "nas-search", "nas-train", "numpy", "scipy", "torch")


def versions() -> dict[str, str]:
    """The versions of Python and of the installed packages that results can depend on; nothing is imported."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, Any]:
    """The kind of machine and the number of cores that this process may use."""
    return {"system": platform.system(), "machine": platform.machine(), "cores": cores()}
