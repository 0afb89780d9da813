"""Whether an exported form of a network computes what the network does, on real images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nas_core.errors import InvalidNetwork
from nas_train.build import BuiltNetwork
from nas_train.data import ImageSet
from nas_train.data.dataset import LEVELS
from nas_train.export.program import EXAMPLES

TOLERANCE = 1e-4
"""Largest difference of a logit, as a share of the largest logit (or of 1, where all are smaller)."""
IMAGES = 128
"""How many images of the validation split are compared, the first ones; of large images fewer."""
NUMBERS = 2**23
"""How many numbers the images that are compared hold at most."""


class Reference(NamedTuple):
    """What the network itself computes.

    Args:
        pixels: b x c x h x w, uint8.
        images: the same, normalised as in training.
        logits: b x k.
    """

    pixels: Tensor
    images: Tensor
    logits: Tensor


def reference(module: BuiltNetwork, data: ImageSet) -> Reference:
    """The network's logits on validation images; it is left on the CPU, in evaluation mode."""
    count = min(IMAGES, max(EXAMPLES + 1, NUMBERS // math.prod(data.input_shape)))
    pixels = np.asarray(data.split("validation").first(count).images)
    means, deviations = (np.array(values)[:, None, None] for values in data.statistics)
    images = torch.tensor((pixels / LEVELS - means) / deviations, dtype=torch.float32)
    with torch.inference_mode():
        output = module.cpu().eval()(images)
    logits = output["logits"] if isinstance(output, Mapping) else output
    return Reference(torch.tensor(pixels), images, logits.clone())


def loaded(path: Path) -> ModuleType:
    """The exported source as a module of Python, without an entry among the imported ones."""
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    exec(compile(path.read_text(encoding="utf-8"), path.name, "exec"), module.__dict__)
    return module


def compare(what: str, expected: Tensor, found: Tensor) -> float:
    """The largest difference, as `TOLERANCE` counts it.

    Raises:
        InvalidNetwork: it is larger than that, or not a number.
    """
    if found.shape != expected.shape:
        raise InvalidNetwork(f"{what} gives another shape", value=tuple(found.shape), expected=str(expected.shape))
    scale = max(1.0, expected.abs().max().item())
    difference = (found - expected).abs().max().item() / scale
    if not difference <= TOLERANCE:
        raise InvalidNetwork(
            f"{what} does not compute what the network does",
            value=difference,
            expected=f"logits that differ by at most {TOLERANCE} of the largest",
        )
    return difference
