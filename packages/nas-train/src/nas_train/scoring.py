"""How well a network does on a split."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas_train.data.dataset import ImageSet, Split
from nas_train.failures import is_out_of_memory
from nas_train.pixels import layout_of
from nas_train.streamed_pixels import AnyPixels, pixels_of

EVALUATION_BATCH = 500
BEST = 5
"""Top-5 accuracy is measured where there are more classes than this."""


class Score(NamedTuple):
    """How well a network does on a split.

    Args:
        loss: mean cross-entropy in nats.
        accuracy: share of images whose class got the largest logit, in per cent.
        top5: share of images whose class got one of the five largest logits, in per cent; None for up to five classes.
    """

    loss: float
    accuracy: float
    top5: float | None = None


def evaluate(
    module: nn.Module, data: ImageSet, split: str | Split, *, images: int | None = None, dtype: str = "float32"
) -> Score:
    """Loss and accuracy on a split, with running statistics; on the module's device, in its mode as before afterwards.

    Where a batch does not fit into memory it is halved, which changes no image's result but by rounding.

    Args:
        module: gives logits, b x k.
        data: the set.
        split: "train", "validation" or "test"; or images of the same kind.
        images: use the first so many of the split only.
        dtype: "float32", "bfloat16" or "float16".

    Raises:
        InvalidOption: no such split.
    """
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    part = (data.split(split) if isinstance(split, str) else split).first(images)
    pixels = pixels_of(data, part, 0, device, layout_of(device, dtype))
    mode, batch = module.training, EVALUATION_BATCH
    module.eval()
    try:
        with torch.inference_mode():
            while True:
                try:
                    return _score(module, pixels, autocast(device, dtype), batch)
                except (MemoryError, RuntimeError) as error:
                    if not is_out_of_memory(error) or batch == 1:
                        raise
                batch //= 2
    finally:
        module.train(mode)


def autocast(device: torch.device, dtype: str) -> Any:
    """A context in which products are taken in that precision."""
    return nullcontext() if dtype == "float32" else torch.autocast(device.type, getattr(torch, dtype))


def logits_of(output: Any) -> Tensor:
    """The logits (b x k) of what a network gives."""
    result: Tensor = output["logits"] if isinstance(output, Mapping) else output
    return result


def _score(module: nn.Module, pixels: AnyPixels, precision: Any, batch: int) -> Score:
    sums = torch.zeros(3, dtype=torch.float64, device=pixels.labels.device)
    several = False
    for images, labels in pixels.plain(batch):
        with precision:
            logits = logits_of(module(images)).float()
        several = logits.shape[1] > BEST
        sums[0] += F.cross_entropy(logits, labels, reduction="sum")
        sums[1] += (logits.argmax(1) == labels).sum()
        if several:
            sums[2] += (logits.topk(BEST, 1).indices == labels[:, None]).sum()
    n = len(pixels)
    loss, first, best = sums.tolist()
    return Score(loss / n, 100.0 * first / n, 100.0 * best / n if several else None)
