"""The folder of an export: filled beside its place, and renamed into it when it is whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

from nas_core.errors import StoreError
from nas_train.checkpoint import write_file
from nas_train.export.card import Wording, markdown
from nas_train.export.forms import ONNX, PROGRAM
from nas_train.export.language_source import WORDS
from nas_train.export.source import WEIGHTS

SOURCE, CARD, CARD_TEXT = "network.py", "card.json", "card.md"
_TOLD = {
    SOURCE: "the network as source that needs torch alone",
    WEIGHTS: "its weights",
    WORDS: "the words in the order of their numbers",
    PROGRAM: "a program of torch.export",
    ONNX: "an ONNX file",
}


@contextmanager
def made(out: Path) -> Iterator[Path]:
    """A folder beside `out` that gets its name at the end, and is gone where something fails.

    Raises:
        StoreError: there is something at `out`, or nothing can be written there.
    """
    place = Path(out)
    try:
        if place.is_file() or (place.is_dir() and any(place.iterdir())):
            raise StoreError("the folder of an export must be empty or new", value=str(place), remedy="Choose another.")
        folder = place.absolute().parent / f".{place.name}.{os.getpid()}"
        folder.mkdir(parents=True)
    except OSError as error:
        raise StoreError("a folder cannot be made", value=error.strerror, place=str(place)) from None
    try:
        yield folder
        folder.replace(place)
    except OSError as error:
        raise StoreError("an export cannot be written", value=error.strerror, place=str(place)) from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_card(folder: Path, card: Mapping[str, Any], wording: Wording) -> dict[str, Any]:
    """Write the card of a folder that holds everything else.

    Returns:
        The card, with what it says of the files.
    """
    files = {name: _file(folder / name, told) for name, told in _TOLD.items() if (folder / name).exists()}
    whole = {**card, "files": files}
    write_file(folder / CARD, (json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())
    write_file(folder / CARD_TEXT, markdown(whole, wording).encode())
    return whole


def _file(path: Path, told: str) -> dict[str, Any]:
    data = path.read_bytes()
    return {"what": told, "bytes": len(data), "blake2b": blake2b(data, digest_size=16).hexdigest()}
