"""Trained language models as files: `nas_train.checkpoint` with the layers' networks and the number of words."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nas_core.errors import StoreError
from nas_core.network import Network
from nas_train import checkpoint as checkpoints
from nas_train.language.model import LanguageModel

_DESCRIPTION = frozenset({"networks", "words", "tied"})


def save_language(place: Path, model: LanguageModel, metadata: Mapping[str, Any]) -> Path:
    """Write a trained language model: its description and its parameters.

    Args:
        place: the file; or a directory, in which the file is named by its content.
        model: the model.
        metadata: what else to say about it: JSON.

    Returns:
        The file.

    Raises:
        StoreError: it cannot be written.
    """
    described = {
        "networks": [network.to_config() for network in model.networks],
        "words": model.words,
        "tied": model.output is None,
        "state_norm": model.state_norm,
    }
    return checkpoints.save(place, checkpoints.module_tensors(model), {**metadata, **described})


def holds_language(path: Path) -> bool:
    """Whether a checkpoint is one of a language model.

    Raises:
        StoreError: the file cannot be read.
    """
    return checkpoints.load(path).metadata.keys() >= _DESCRIPTION


def load_language(path: Path) -> tuple[LanguageModel, Mapping[str, Any]]:
    """Read a trained language model, in evaluation mode, and what was said about it.

    Raises:
        StoreError: the file cannot be read or holds no language model.
        InvalidNetwork: its description and its parameters contradict each other.
    """
    checkpoint = checkpoints.load(path)
    about = checkpoint.metadata
    if not about.keys() >= _DESCRIPTION:
        raise StoreError("a checkpoint without a language model's description", place=str(path))
    networks = [Network.from_config(network) for network in about["networks"]]
    norm = about.get("state_norm")  # files of earlier versions have none
    model = LanguageModel(networks, about["words"], tied=about["tied"], state_norm=norm)
    checkpoints.restore(model, checkpoint)
    return model.eval(), about
