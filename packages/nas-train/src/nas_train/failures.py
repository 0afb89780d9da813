"""What can go wrong with a device during a training, by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from nas_core.errors import TrialFailed

_NO_MEMORY = ("can't allocate memory", "not enough memory")
_NO_DEVICE = ("CUDA error", "cuDNN error", "NCCL error", "no CUDA-capable device", "CUDA driver")


@contextmanager
def named_failures() -> Iterator[None]:
    """Turn what torch raises for want of memory or of the device into failed trials.

    Raises:
        TrialFailed: "out_of_memory"; "device_lost" where the device no longer does what it is asked, after which this
            process cannot use it any more.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error)
        if is_out_of_memory(error):
            raise TrialFailed(
                "out_of_memory",
                "the training does not fit into memory",
                value=text[:200],
                remedy="Take a smaller batch",
            ) from None
        if isinstance(error, torch.AcceleratorError) or any(words in text for words in _NO_DEVICE):
            raise TrialFailed(
                "device_lost",
                "the device has failed; checkpoints that were written are whole",
                value=text.partition("\n")[0][:200],
                remedy="Check the device and go on in a new process",
            ) from None
        raise


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory has run out; on the CPU torch says so in words only."""
    if isinstance(error, TrialFailed):
        return error.reason == "out_of_memory"
    named = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return named or (isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY))
