"""A journal of finished runs: one JSON line each, so that a benchmark that was stopped goes on where it was.

A run is found again by its key: everything that its result depends on. Several processes may write one journal.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


class Journal:
    """The runs of a file.

    Args:
        place: made where it is not there.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        lines = place.read_text().splitlines() if place.exists() else []
        self._runs: dict[str, dict[str, Any]] = {_text(entry["key"]): entry["run"] for entry in map(json.loads, lines)}

    def run(self, key: Mapping[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The run of a key, made and written down where it is not there yet."""
        if _text(key) not in self._runs:
            entry = {"key": dict(key), "run": make()}
            with self.place.open("a") as stream:
                stream.write(json.dumps(entry) + "\n")
            self._runs[_text(key)] = json.loads(json.dumps(entry["run"]))
        return self._runs[_text(key)]


def _text(key: Mapping[str, Any]) -> str:
    return json.dumps(key, sort_keys=True)
