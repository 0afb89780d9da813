"""One update of the weights, launched kernel by kernel or, on a GPU, as one captured graph.

Small networks leave a GPU waiting for launches; a CUDA graph launches a whole step at once (forward, backward, clipping
and update). It needs the same shapes and addresses every time: the learning rate is a tensor, and a batch that is
smaller than the others takes the eager path. What draws random numbers in the network (dropout, dropped paths) and what
talks to other processes takes the eager path always.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas_train.loss_scale import LossScale
from nas_train.modules import DropPath, Noise
from nas_train.recipe import Recipe
from nas_train.scoring import autocast, logits_of
from nas_train.weight_optimizer import WeightOptimizer

STEPS = ("auto", "eager", "graph")
_WARM_UP = 3
"""Steps before the capture, in which libraries choose their kernels and the weight optimizer makes its tensors."""


class Step(Protocol):
    """Updates the weights."""

    kind: str

    def __call__(self, images: Tensor, labels: Tensor, rate: float, share: float) -> Tensor:
        """One update; the loss before it, without waiting for it.

        Args:
            images: b x c x h x w.
            labels: b.
            rate: the learning rate.
            share: factor of the loss; 1 unless processes hold batches of different sizes.
        """
        ...


@final
class EagerStep:
    """A step that is launched kernel by kernel.

    Args:
        module: what is run; perhaps one that averages gradients over processes.
        weights: of the module.
        recipe: says what is minimised.
        device: where.
        scale: of the loss, where it is scaled.
    """

    kind = "eager"

    def __init__(
        self,
        module: nn.Module,
        weights: WeightOptimizer,
        recipe: Recipe,
        device: torch.device,
        scale: LossScale | None,
    ) -> None:
        self._module, self._weights, self._recipe, self._device, self._scale = module, weights, recipe, device, scale
        self._parameters = list(module.parameters())

    def __call__(self, images: Tensor, labels: Tensor, rate: float | Tensor, share: float = 1.0) -> Tensor:
        """One update; the loss before it, without waiting for it."""
        self._weights.zero_grad()
        with autocast(self._device, self._recipe.dtype):
            output = self._module(images)
            loss = self._loss(logits_of(output), labels)
            if isinstance(output, Mapping) and "auxiliary" in output:
                loss = loss + self._recipe.auxiliary_weight * self._loss(output["auxiliary"], labels)
        self._backward(loss if share == 1.0 else loss * share)
        if self._recipe.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self._parameters, self._recipe.gradient_clip)
        if self._scale is None:
            self._weights.step(rate)
        else:
            self._weights.step(rate, self._scale.overflow)
            self._scale.update()
        return loss.detach()

    def _backward(self, loss: Tensor) -> None:
        if self._scale is None:
            loss.backward()
        else:
            self._scale.scaled(loss).backward()
            self._scale.unscale(self._parameters)

    def _loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits.float(), labels, label_smoothing=self._recipe.label_smoothing)


@final
class GraphStep:
    """A step that is captured once and then launched whole; the first steps, and other shapes, are eager.

    Args:
        eager: the same step.
        device: a GPU.
    """

    kind = "graph"

    def __init__(self, eager: EagerStep, device: torch.device) -> None:
        self._eager, self._warm = eager, 0
        self._rate = torch.zeros((), device=device)
        self._images: Tensor | None = None
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, images: Tensor, labels: Tensor, rate: float, share: float = 1.0) -> Tensor:
        """One update; the loss before it, without waiting for it."""
        self._rate.fill_(rate)
        if self._images is None:
            self._images, self._labels = torch.empty_like(images), torch.empty_like(labels)
        if images.shape != self._images.shape or share != 1.0:
            return self._eager(images, labels, self._rate, share)
        if self._warm < _WARM_UP:
            self._warm += 1
            return self._beside(images, labels)
        self._images.copy_(images)
        self._labels.copy_(labels)
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            # records and does not run; other threads, which may pin memory meanwhile, are left alone
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._loss = self._eager(self._images, self._labels, self._rate)
        self._graph.replay()
        return self._loss.clone()

    def _beside(self, images: Tensor, labels: Tensor) -> Tensor:
        """An eager step on a stream of its own, as a capture needs it."""
        stream = torch.cuda.Stream(self._rate.device)
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            loss = self._eager(images, labels, self._rate)
        torch.cuda.current_stream().wait_stream(stream)
        return loss


def make_step(
    wanted: str, eager: EagerStep, module: nn.Module, recipe: Recipe, device: torch.device, processes: int
) -> Step:
    """The step of a training: captured where that is wanted and possible, and eager everywhere else.

    Args:
        wanted: one of `STEPS`.
        eager: the step.
        module: the network.
        recipe: says whether paths are dropped.
        device: where.
        processes: how many train it together.
    """
    if wanted == "eager" or device.type != "cuda" or processes > 1 or _draws(module, recipe):
        return eager
    return GraphStep(eager, device)


def _draws(module: nn.Module, recipe: Recipe) -> bool:
    """Whether a training step of the module draws random numbers."""
    for part in module.modules():
        if isinstance(part, DropPath):
            if recipe.drop_path * part.depth > 0:
                return True
        elif (isinstance(part, Noise) and part.probability > 0) or isinstance(part, nn.modules.dropout._DropoutNd):
            return True
    return False
