"""Full training of one network by several processes, as many as there are GPUs.

    torchrun --nproc-per-node 2 -m nas_train.distributed final.json

The file names a space, an architecture by its text, and the arguments of `nas_train.final.train_final`:

    {"space": {"name": "nasbench201"}, "architecture": "|nor_conv_3x3~0|+…", "data": "cifar10",
     "recipe": "nasbench201", "seed": 0, "out": "final"}

A batch of the recipe is the batch of all processes together: each takes its share of every batch, gradients are
averaged (DistributedDataParallel), and batch statistics are those of each process's share, averaged after every epoch.
All processes end with the same weights; that of rank 0 writes. Process i takes "cuda:i", or the CPU where "device" says
so.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from nas_core import registry
from nas_core.errors import InvalidOption, NasError
from nas_train.final import train_final
from nas_train.loop import Epoch
from nas_train.ranks import Ranks


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """Take a place among the processes that torchrun has started; inside they can talk to each other.

    Raises:
        InvalidOption: torchrun has not started this process.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        raise InvalidOption(
            "not one of several processes", remedy="Start it with torchrun --nproc-per-node N -m nas_train.distributed"
        )
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Ranks(dist.get_rank(), dist.get_world_size())
    finally:
        dist.destroy_process_group()


def device_of(kind: str) -> str:
    """The device of this process: the GPU of its number on this machine, or the CPU."""
    if kind == "cpu" or (kind == "auto" and not torch.cuda.is_available()):
        return "cpu"
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"


def main(arguments: list[str]) -> int:
    """Train what a file says; 2 where a user's mistake keeps it from being done."""
    try:
        config = _read(arguments)
        space = registry.from_config("space", config.pop("space"))
        architecture = space.parse(config.pop("architecture"))
        device = device_of(str(config.pop("device", "auto")))
        out = Path(config.pop("out"))
        with joined(torch.device(device)) as ranks:
            say = _say if ranks.writes else None
            measured = train_final(space, architecture, out=out, device=device, ranks=ranks, on_epoch=say, **config)
            if ranks.writes:
                print(json.dumps(dict(measured.metrics)))
    except NasError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


_NEEDED = ("space", "architecture", "data", "seed", "out")
_TAKEN = frozenset(
    {*_NEEDED, "recipe", "network", "epochs", "draw", "with_validation", "device", "threads", "time_limit"}
)


def _read(arguments: list[str]) -> dict[str, Any]:
    if len(arguments) != 1:
        raise InvalidOption("one file is needed", value=arguments, expected="torchrun … -m nas_train.distributed FILE")
    path = Path(arguments[0])
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidOption("the file cannot be read", value=str(error), place=str(path), expected="JSON") from None
    if not isinstance(config, dict):
        raise InvalidOption("the file holds no options", place=str(path), expected="an object")
    for name in _NEEDED:
        if name not in config:
            raise InvalidOption("an option is missing", value=name, place=str(path))
    for name in config:
        if name not in _TAKEN:
            raise InvalidOption(
                "no such option", value=name, place=str(path), expected="one of " + ", ".join(sorted(_TAKEN))
            )
    return config


def _say(epoch: Epoch) -> None:
    validated = "" if epoch.validation is None else f", val_accuracy {epoch.validation.accuracy:.2f}"
    print(f"epoch {epoch.number}: train_loss {epoch.train_loss:.4f}{validated}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
