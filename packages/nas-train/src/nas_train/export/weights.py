"""The weights of an exported file: a safetensors file whose names are those of the source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from nas_core.network import Network
from nas_core.primitives import Normalisation
from nas_train.build import BuiltNetwork
from nas_train.checkpoint import write_file


def named_weights(module: BuiltNetwork, network: Network, layers: Mapping[int, str]) -> dict[str, Tensor]:
    """Parameters and running statistics under the names of the exported module.

    Args:
        module: what was trained.
        network: its description, with what is exported as output.
        layers: attribute by node.
    """
    found: dict[str, Tensor] = {}
    for i, attribute in layers.items():
        node = network.nodes[i]
        for name, tensor in module.get_submodule(node.name).state_dict().items():
            found[f"{attribute}.{name}"] = tensor.detach().cpu().contiguous()
        if isinstance(node.primitive, Normalisation):  # torch's own module counts batches, which ours need not
            found[f"{attribute}.num_batches_tracked"] = torch.zeros((), dtype=torch.int64)
    return found


def write_weights(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write the file.

    Raises:
        StoreError: it cannot be written.
    """
    write_file(path, safetensors.torch.save(dict(tensors), {"format": "pt"}))
