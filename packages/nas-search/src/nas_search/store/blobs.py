"""Carried states as bytes: arrays in numpy's .npz format, the rest as JSON, with a digest over both; no pickle."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from typing import NamedTuple

import numpy as np

from nas_core.errors import InvalidOption, StoreError
from nas_core.optimizer import State


class Blob(NamedTuple):
    """A state as it is stored."""

    digest: str
    arrays: bytes
    plain: str


def pack(state: State) -> Blob:
    """A state as bytes; equal states give equal bytes.

    Raises:
        InvalidOption: an array of Python objects, or values that are not JSON.
    """
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in state.arrays.items():
            if array.dtype.hasobject:
                raise InvalidOption("a carried array of Python objects cannot be stored", value=name)
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, np.asanyarray(array), allow_pickle=False)
    try:
        plain = json.dumps(dict(state.values), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidOption(f"carried values must be JSON ({error})") from error
    arrays = file.getvalue()
    return Blob(_digest(arrays, plain), arrays, plain)


def unpack(blob: Blob) -> State:
    """The state that was packed.

    Raises:
        StoreError: the bytes are not those that were written.
    """
    if _digest(blob.arrays, blob.plain) != blob.digest:
        raise StoreError("a carried state is damaged", remedy="Restore the run from a copy.")
    with np.load(io.BytesIO(blob.arrays), allow_pickle=False) as arrays:
        return State({name: arrays[name] for name in arrays.files}, json.loads(blob.plain))


def _digest(arrays: bytes, plain: str) -> str:
    return hashlib.blake2b(arrays + plain.encode(), digest_size=32).hexdigest()
