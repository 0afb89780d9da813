"""The results of final trainings, kept beside the run so that nobody tests twice without knowing it.

One network's result lies in the folder itself, those of several in subfolders `trialN`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas_core.errors import StoreError

RESULT = "result.json"


def read_final(directory: Path) -> dict[str, Any] | None:
    """The result that stands in a directory; None where there is none.

    Raises:
        StoreError: the file is damaged.
    """
    path = directory / RESULT
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StoreError(f"the final result cannot be read ({error.strerror})", place=str(path)) from error
    try:
        found = json.loads(text)
        complete = {"trial", "metrics", "seconds"} <= found.keys()
    except (ValueError, AttributeError):
        complete = False
    if not complete:
        raise StoreError("the file of the final result is damaged", place=str(path), remedy="Remove it to train anew.")
    return dict(found)


def place_of(folder: Path, trial: int) -> Path:
    """Where the final training of a trial lies that is one of several."""
    return folder / f"trial{trial}"


def finals(folder: Path) -> dict[int, tuple[Path, dict[str, Any]]]:
    """Place and result of every final training in a folder, by trial; one in the folder itself before its subfolders.

    Raises:
        StoreError: a result is damaged.
    """
    found: dict[int, tuple[Path, dict[str, Any]]] = {}
    for place in (folder, *sorted(folder.glob("trial*"))):
        result = read_final(place)
        if result is not None:
            found.setdefault(int(result["trial"]), (place, result))
    return found


def write_final(directory: Path, result: Mapping[str, Any]) -> None:
    """Keep a result: synced and renamed into place, so that it is there whole or not at all.

    Raises:
        StoreError: it cannot be written.
    """
    path = directory / RESULT
    draft = path.with_suffix(".tmp")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with draft.open("w", encoding="utf-8") as file:
            json.dump(result, file, indent=2, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise StoreError(f"the final result cannot be written ({error.strerror})", place=str(path)) from error
