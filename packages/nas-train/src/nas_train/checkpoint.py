"""Checkpoints: one safetensors file each, tensors by name and one JSON text, and no pickle anywhere.

A file is written beside its place, synced and renamed into it, so that a reader finds a whole file, the old or the new
one, whatever happens in between. The JSON carries a digest of the tensors, which loading checks.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from nas_core.errors import InvalidNetwork, StoreError
from nas_core.network import Network
from nas_train.build import BuiltNetwork

FORMAT = 1
_HEADER = "nas_train"
_MODULE = "module."


class Checkpoint(NamedTuple):
    """What a file holds.

    Args:
        tensors: by name; those of a module begin with "module.".
        metadata: JSON.
    """

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, Any]


def save(place: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> Path:
    """Write a checkpoint.

    Args:
        place: the file; or a directory, in which the file is named by its content.
        tensors: by name.
        metadata: JSON.

    Returns:
        The file.

    Raises:
        StoreError: it cannot be written; an older file of that name is as it was.
    """
    data = _to_bytes(tensors, metadata)
    if place.is_dir():
        place = place / f"{hashlib.blake2b(data, digest_size=16).hexdigest()}.safetensors"
    write_file(place, data)
    return place


def load(path: Path) -> Checkpoint:
    """Read a checkpoint; its tensors lie on the CPU.

    Raises:
        StoreError: there is none, or it is truncated, damaged or of another format.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise StoreError("a checkpoint cannot be read", value=error.strerror, place=str(path)) from None
    try:
        tensors = safetensors.torch.load(data)
        start = 8  # the header's length comes first (safetensors format)
        header = json.loads(data[start : start + int.from_bytes(data[:start], "little")])
        metadata = json.loads(header["__metadata__"][_HEADER])
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
        raise StoreError(
            "no checkpoint, or a truncated one", value=str(error), place=str(path), remedy="Delete it and train again"
        ) from None
    if metadata.get("format") != FORMAT:
        raise StoreError(
            "a checkpoint of another format", value=metadata.get("format"), place=str(path), expected=str(FORMAT)
        )
    if metadata.get("digest") != _digest(tensors):
        raise StoreError("a damaged checkpoint", place=str(path), remedy="Delete it and train again")
    return Checkpoint(tensors, metadata)


def module_tensors(module: nn.Module, prefix: str = _MODULE) -> dict[str, Tensor]:
    """Parameters and running statistics of a module, under the names they have in a checkpoint."""
    return {prefix + name: tensor for name, tensor in module.state_dict().items()}


def restore(module: nn.Module, checkpoint: Checkpoint, prefix: str = _MODULE) -> None:
    """Give a module the parameters and running statistics of a checkpoint whose names begin with the prefix.

    Raises:
        InvalidNetwork: they are not those of this module; it is left as it was.
    """
    state = tensors_of(checkpoint, prefix)
    found = {name: tuple(tensor.shape) for name, tensor in state.items()}
    wanted = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    if found != wanted:
        other = sorted(name for name in found.keys() | wanted.keys() if found.get(name) != wanted.get(name))[0]
        raise InvalidNetwork(
            "the checkpoint of another network",
            value=f"{other} {found.get(other, 'missing')}",
            expected=f"{other} {wanted.get(other, 'missing')}",
        )
    module.load_state_dict(state)


def tensors_of(checkpoint: Checkpoint, prefix: str) -> dict[str, Tensor]:
    """The tensors of a checkpoint whose names begin with a prefix, by the rest of the name."""
    return {name[len(prefix) :]: t for name, t in checkpoint.tensors.items() if name.startswith(prefix)}


def save_network(place: Path, module: BuiltNetwork, metadata: Mapping[str, Any]) -> Path:
    """Write a trained network: its description, parameters and running statistics.

    Args:
        place: the file; or a directory, in which the file is named by its content.
        module: the network.
        metadata: what else to say about it: JSON.

    Returns:
        The file.

    Raises:
        StoreError: it cannot be written.
    """
    return save(place, module_tensors(module), {**metadata, "network": module.network.to_config()})


def load_network(path: Path) -> tuple[BuiltNetwork, Mapping[str, Any]]:
    """Read a trained network, in evaluation mode, and what was said about it.

    Raises:
        StoreError: the file cannot be read or holds no network.
        InvalidNetwork: its description and its parameters contradict each other.
    """
    checkpoint = load(path)
    if not checkpoint.metadata.get("network"):
        raise StoreError("a checkpoint without a network's description", place=str(path))
    module = BuiltNetwork(Network.from_config(checkpoint.metadata["network"]))
    restore(module, checkpoint)
    return module.eval(), checkpoint.metadata


def _to_bytes(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> bytes:
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps({**metadata, "format": FORMAT, "digest": _digest(plain)}, sort_keys=True, allow_nan=False)
    return safetensors.torch.save(plain, {_HEADER: text})


def _digest(tensors: Mapping[str, Tensor]) -> str:
    """BLAKE2b of all tensors in the order of their names."""
    digest = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def write_file(path: Path, data: bytes) -> None:
    """Put a whole file in its place."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        try:
            with beside.open("wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise StoreError(
            "a checkpoint cannot be written", value=error.strerror, place=str(path), remedy="Is there room on the disk?"
        ) from None
