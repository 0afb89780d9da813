"""Devices and CPU threads by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from nas_core.errors import InvalidOption


def find_device(name: str) -> torch.device:
    """The device of a name: "cpu", "cuda", "cuda:1", or "auto" for CUDA where there is a GPU and the CPU elsewhere.

    Raises:
        InvalidOption: no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = name.partition(":")
    if name == "cpu":
        return torch.device("cpu")
    if kind != "cuda" or (number and not number.isdecimal()):
        raise InvalidOption("no such device", value=name, expected="cpu, cuda, cuda:NUMBER or auto")
    if int(number or 0) >= torch.cuda.device_count():
        raise InvalidOption(
            "torch finds no such GPU", value=name, remedy="Use cpu, or auto to take a GPU where there is one"
        )
    return torch.device(name)


@contextmanager
def cpu_threads(threads: int | None) -> Iterator[None]:
    """Let torch use this many CPU threads inside; None changes nothing."""
    before = torch.get_num_threads()
    if threads is not None and threads != before:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


@contextmanager
def fastest_kernels(device: torch.device) -> Iterator[None]:
    """Let cuDNN try its kernels once a shape and keep the fastest, inside; nothing on a CPU."""
    before = torch.backends.cudnn.benchmark
    if device.type == "cuda":
        torch.backends.cudnn.benchmark = True
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = before
