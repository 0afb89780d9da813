"""Several processes that train one network together, each on its share of every batch."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Ranks(NamedTuple):
    """Which of how many processes this is; without others nothing is sent anywhere.

    Args:
        rank: from 0; the process of rank 0 alone writes files.
        size: number of processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def writes(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    def share(self, index: Tensor) -> Tensor:
        """The part of a batch's images that this process takes: the shares of all are the batch, none twice."""
        return index[self.rank :: self.size]

    def parallel(self, module: nn.Module) -> nn.Module:
        """The module whose backward pass averages gradients over the processes; itself where there is one only."""
        if self.size == 1:
            return module
        # the graph is the same at every step, so parameters that no output needs are left out from the second on
        return nn.parallel.DistributedDataParallel(module, broadcast_buffers=False, static_graph=True)

    @torch.no_grad()
    def average(self, tensors: list[Tensor]) -> None:
        """Replace tensors by their means over the processes."""
        if self.size > 1:
            for tensor in tensors:
                dist.all_reduce(tensor)
                tensor.div_(self.size)

    def total(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over the processes, in its place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def wait(self) -> None:
        """Go on when all processes have come here."""
        if self.size > 1:
            dist.barrier()
