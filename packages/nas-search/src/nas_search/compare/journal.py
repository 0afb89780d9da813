"""The journal of a comparison: `runs.jsonl`, one finished run a line, so that a killed comparison goes on.

The first line says what is compared. A line is synced before the next run begins; a last line without its end is what a
kill left of a run, and that run is done again.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, final

from nas_core.errors import StoreError
from nas_search.compare.run import Record

NAME = "runs.jsonl"


@final
class Journal:
    """Finished runs on disk; use it as a context manager. One process at a time.

    Args:
        directory: made where it is not there.
        identity: what is compared.
        versions: of the packages, by name.

    Raises:
        StoreError: the directory cannot be written, holds another comparison, is in use, or its journal is damaged.
    """

    def __init__(self, directory: Path, identity: Mapping[str, Any], versions: Mapping[str, str]) -> None:
        self.path = directory / NAME
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b")
        except OSError as error:
            raise StoreError(
                f"the directory cannot be written ({error.strerror})", value=str(directory), place="--out"
            ) from None
        try:
            self._lock()
            self.versions: dict[str, str] = dict(versions)
            self.records = self._read(json.loads(json.dumps(identity)))
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, record: Record) -> None:
        """Keep a finished run; it is on disk when this returns."""
        self._append(record)
        self.records.append(record)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StoreError("another process writes this comparison", place=str(self.path)) from None

    def _read(self, identity: dict[str, Any]) -> list[Record]:
        self._file.seek(0)
        text = self._file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._file.truncate(len(whole))
        lines = [self._parsed(number, line) for number, line in enumerate(whole.splitlines(), start=1)]
        if not lines:
            self._append({"comparison": identity, "versions": self.versions})
            return []
        known = lines[0].get("comparison")
        if known != identity:
            raise StoreError(
                "the directory holds another comparison",
                value=_difference(known, identity),
                place=str(self.path),
                remedy="Choose another --out, or give the options that it was begun with.",
            )
        self.versions = dict(lines[0].get("versions", {}))
        return lines[1:]

    def _parsed(self, number: int, line: bytes) -> dict[str, Any]:
        keys = {"comparison"} if number == 1 else {"table", "optimizer", "seed", "values"}
        try:
            read = json.loads(line)
        except ValueError:
            read = None
        if not isinstance(read, dict) or not keys <= read.keys():
            raise StoreError(
                "the journal is damaged", place=f"{self.path}, line {number}", remedy="Choose another --out."
            )
        return read

    def _append(self, line: Mapping[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line, separators=(",", ":"), allow_nan=False).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise StoreError(f"a run cannot be kept ({error.strerror})", place=str(self.path)) from None


def _difference(known: Any, identity: Mapping[str, Any]) -> str:
    """The first setting in which two comparisons differ."""
    if not isinstance(known, dict):
        return "no comparison"
    key = next(key for key in {**identity, **known} if known.get(key) != identity.get(key))
    return f"{key} {_named(known.get(key))}, not {_named(identity.get(key))}"


def _named(value: Any) -> str:
    if isinstance(value, list) and value and all(isinstance(one, dict) for one in value):
        return ", ".join(f"{one.get('name')} ({str(one.get('sha256'))[:8]})" for one in value)
    return str(value)
