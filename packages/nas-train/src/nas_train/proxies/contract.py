"""What a zero-cost score is, and what all of them do to a module before they look at it.

A score judges a network without training it: from its initial weights and at most one batch. Each file of this folder
holds one. All have the signature `score(module, images, labels, seed) -> float`:

    module   what `nas_train.build.build` gives for a classifier of images (or any module like it); it is not changed
    images   b x c x h x w, normalised, floating point, on the module's device
    labels   b, int64
    seed     of whatever the score draws itself; scores that draw nothing do not read it

A score looks at a working copy: in training mode, so that normalisation goes by the batch's own statistics, as in all
the papers unless a file says otherwise, and without dropout, so that it depends on nothing but its arguments. Nodes
that no output needs are never run and count for nothing, where the papers' own code runs them.

A score that is not a finite number says that the network cannot be judged: a cell that lets nothing through, say.
`nas_train.proxies.score_network` turns that into a failed trial.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from nas_train.modules import BatchNorm, Noise

Score: TypeAlias = Callable[[nn.Module, Tensor, Tensor, int], float]
M = TypeVar("M", bound=nn.Module)

GATES = frozenset(
    {F.relu, torch.relu, Tensor.relu, torch.relu_, F.leaky_relu, F.hardswish, F.silu, F.gelu},
)
"""Activations that are taken as on where their input, and hence their output, is positive."""


@dataclass(frozen=True)
class Proxy:
    """One score.

    Args:
        name: that of its metric.
        direction: whether more or less promises a better network.
        score: computes it.
        thin: whether it needs a network of its own that is small enough, on small images (`linear_regions`).
    """

    name: str
    direction: Literal["max", "min"]
    score: Score
    thin: bool = False


def working_copy(module: M) -> M:
    """A copy in training mode, without gradients and without dropout or dropped paths."""
    network = getattr(module, "network", None)  # a description is never changed: no need to copy it
    made = copy.deepcopy(module, {id(network): network}).train()
    made.zero_grad(set_to_none=True)
    for part in made.modules():
        if isinstance(part, Noise):
            part.probability = 0.0
        elif isinstance(part, nn.Dropout | nn.Dropout2d):
            part.p = 0.0
    return made


def with_fixed_statistics(module: M, images: Tensor) -> M:
    """A working copy whose normalisations go by the statistics of these images as by constants."""
    copied = working_copy(module)
    for part in normalisations(copied):
        part.momentum = 1.0
    with torch.no_grad():
        copied(images)
    return copied.eval()


def kernels(module: nn.Module) -> list[Tensor]:
    """The weights of convolutions and linear maps, in the order of the module; biases and normalisation left out."""
    return [part.weight for part in module.modules() if isinstance(part, nn.Conv2d | nn.Linear)]


def kernel_gradients(module: nn.Module, scalar: Tensor, retain_graph: bool = False) -> list[tuple[Tensor, Tensor]]:
    """Each of `kernels` that `scalar` depends on, with its gradient.

    A network whose output depends on no weight has none.
    """
    weights = kernels(module)
    if not scalar.requires_grad:
        return []
    found = torch.autograd.grad(scalar, weights, retain_graph=retain_graph, allow_unused=True)
    return [(w.detach(), g) for w, g in zip(weights, found, strict=True) if g is not None]


def normalisations(module: nn.Module) -> list[BatchNorm | nn.BatchNorm1d | nn.BatchNorm2d]:
    """The batch normalisations of a module."""
    return [p for p in module.modules() if isinstance(p, BatchNorm | nn.BatchNorm1d | nn.BatchNorm2d)]


class _Watch(TorchFunctionMode):
    """Calls of some functions, with their first argument and their result."""

    def __init__(self, functions: frozenset[Any], see: Callable[[Tensor, Tensor], None]) -> None:
        super().__init__()
        self.functions, self.see = functions, see

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in self.functions:
            self.see(args[0], result)
        return result


@contextmanager
def watching(functions: frozenset[Any], see: Callable[[Tensor, Tensor], None]) -> Iterator[None]:
    """Inside, `see(input, result)` is called after each call of one of the functions, wherever a module calls it."""
    with _Watch(functions, see):
        yield
