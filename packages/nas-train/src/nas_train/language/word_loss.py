"""Mean cross-entropy of the next word, with its gradients, in one pass over the output layer.

For k = 10,000 words the logits of a chunk fill 90 MB, and torch's own loss writes four arrays of that size, each anew:
on a CPU it then takes five times as long as the products. Here rows are taken in blocks that stay in the cache, and the
gradients of a block are made while its probabilities are at hand, so that nothing of that size is ever kept.

n rows (time steps times streams), d features, k words.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_BLOCK = 256
"""Rows in a block."""


class _WordLoss(torch.autograd.Function):
    """See `word_loss`; the forward pass leaves the gradients for the backward pass to scale."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor, words: Tensor, dtype: torch.dtype) -> Tensor:
        """The loss."""
        wanted = any(ctx.needs_input_grad)
        n = len(words)
        product, shift = weight.to(dtype), bias.to(dtype)
        of_hidden, of_weight, of_bias = (torch.zeros_like(t if wanted else t[:0]) for t in (hidden, weight, bias))
        total = hidden.new_zeros((), dtype=torch.float64)
        for start in range(0, n, _BLOCK):
            rows = hidden[start : start + _BLOCK].to(dtype)
            targets = words[start : start + _BLOCK, None]
            logs = torch.log_softmax(torch.addmm(shift, rows, product.T).float(), 1)
            total -= logs.gather(1, targets).sum()
            if wanted:
                error = logs.exp_()
                error.scatter_add_(1, targets, error.new_full((1, 1), -1.0).expand(len(targets), 1))
                of_bias.add_(error.sum(0))
                error = error.to(dtype)
                of_hidden[start : start + _BLOCK] = error @ product
                of_weight.add_(error.T @ rows)
        if wanted:
            ctx.save_for_backward(of_hidden.div_(n), of_weight.div_(n), of_bias.div_(n))
        return (total / n).float()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> Any:
        """The gradients times that of the loss."""
        hidden, weight, bias = ctx.saved_tensors
        return hidden.mul_(outer), weight.mul_(outer), bias.mul_(outer), None, None


def word_loss(
    hidden: Tensor, weight: Tensor, bias: Tensor, words: Tensor, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Mean of -log p(word) in nats, p = softmax(weight · hidden + bias).

    Args:
        hidden: n x d.
        weight: k x d.
        bias: k.
        words: n numbers from 0 to k - 1.
        dtype: of the products; sums and probabilities are in float32.

    Returns:
        One number; it can be differentiated once, and `backward` called once.
    """
    loss: Tensor = _WordLoss.apply(hidden, weight, bias, words, dtype)
    return loss
