"""Fixtures of this package's tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def tables_dir() -> Path:
    """The folder of real benchmark tables: `NAS_TABLES`, by default ../shared/tables beside the checkout."""
    folder = Path(os.environ.get("NAS_TABLES", _REPOSITORY.parent / "shared" / "tables"))
    if not folder.is_dir():
        pytest.skip(f"no benchmark tables at {folder}; set NAS_TABLES to the folder that holds nb101_20k.npz")
    return folder
