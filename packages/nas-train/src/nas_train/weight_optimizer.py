"""Weight optimizers: one fused call a step, and what they remember by the parameter's name.

The arithmetic of `MomentumSGD` and `Adam` is torch's own (`torch.optim.sgd.sgd`, `torch.optim.adam.adam`). torch's
classes around it are left out because making one loads torch's compiler: three seconds in every process, as long as a
search trains a network. A learning rate is a number, or a tensor on the device where a step is to be captured.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, final

import torch
from torch import Tensor, nn
from torch.optim.adam import adam
from torch.optim.sgd import sgd

from nas_train.recipe import Recipe


class WeightOptimizer(Protocol):
    """Moves a module's parameters against their gradients; those without a gradient stay where they are."""

    def zero_grad(self) -> None:
        """Forget all gradients."""
        ...

    def step(self, learning_rate: float | Tensor, overflow: Tensor | None = None) -> None:
        """Move every parameter that has a gradient, unless `overflow` holds a 1."""
        ...

    def state(self) -> dict[str, Tensor]:
        """What it remembers of every parameter that has moved."""
        ...

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up what `state` gave."""
        ...


def weight_optimizer(module: nn.Module, recipe: Recipe) -> WeightOptimizer:
    """The weight optimizer that a recipe asks for."""
    match recipe.weight_optimizer:
        case "rmsprop":
            return RMSProp(
                module,
                momentum=recipe.momentum,
                second_momentum=recipe.second_momentum,
                epsilon=recipe.epsilon,
                weight_decay=recipe.weight_decay,
            )
        case "adam":
            return Adam(
                module,
                momentum=recipe.momentum,
                second_momentum=recipe.second_momentum,
                epsilon=recipe.epsilon,
                weight_decay=recipe.weight_decay,
            )
    return MomentumSGD(module, momentum=recipe.momentum, nesterov=recipe.nesterov, weight_decay=recipe.weight_decay)


class _Slots:
    """One tensor a parameter, made when the parameter first has a gradient, laid out in memory as the parameter is.

    The fused steps walk through a parameter and its slots side by side, so that the layout must be the same.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], initial: float = 0.0, scalar: bool = False) -> None:
        self._parameters, self._initial, self._scalar = parameters, initial, scalar
        self.tensors: dict[str, Tensor] = {}

    def of(self, names: list[str]) -> list[Tensor]:
        for name in names:
            if name not in self.tensors:
                self.tensors[name] = self._new(name).fill_(self._initial)
        return [self.tensors[name] for name in names]

    def restore(self, state: Mapping[str, Tensor], prefix: str = "") -> None:
        found = [name for name in self._parameters if prefix + name in state]
        self.tensors = {name: self._new(name).copy_(state[prefix + name]) for name in found}

    def _new(self, name: str) -> Tensor:
        parameter = self._parameters[name].detach()
        if self._scalar:
            return torch.empty((), dtype=torch.float32, device=parameter.device)
        return torch.empty_like(parameter)


def _with_gradients(parameters: Mapping[str, nn.Parameter]) -> tuple[list[str], list[Tensor], list[Tensor]]:
    """Names, values and gradients of the parameters that have one."""
    moved = [(name, p, p.grad) for name, p in parameters.items() if p.grad is not None]
    return [name for name, _, _ in moved], [p for _, p, _ in moved], [g for _, _, g in moved]


def _forget_gradients(parameters: Mapping[str, nn.Parameter]) -> None:
    for parameter in parameters.values():
        parameter.grad = None


@final
class MomentumSGD:
    """Stochastic gradient descent with momentum (Sutskever et al. 2013).

    Args:
        module: whose parameters.
        momentum: share of the last move that is kept.
        nesterov: whether the momentum looks ahead.
        weight_decay: multiple of each parameter that is added to its gradient.
    """

    def __init__(self, module: nn.Module, *, momentum: float, nesterov: bool, weight_decay: float) -> None:
        self._parameters = dict(module.named_parameters())
        self._momentum = _Slots(self._parameters)
        self._rate, self._nesterov, self._decay = momentum, nesterov and momentum > 0, weight_decay

    def zero_grad(self) -> None:
        """Forget all gradients."""
        _forget_gradients(self._parameters)

    @torch.no_grad()
    def step(self, learning_rate: float | Tensor, overflow: Tensor | None = None) -> None:
        """Move every parameter that has a gradient, unless `overflow` holds a 1."""
        names, parameters, gradients = _with_gradients(self._parameters)
        sgd(
            parameters,
            gradients,
            list(self._momentum.of(names)) if self._rate else [None] * len(names),
            fused=True,
            found_inf=overflow,
            lr=learning_rate,
            dampening=0.0,
            momentum=self._rate,
            nesterov=self._nesterov,
            weight_decay=self._decay,
            maximize=False,
        )

    def state(self) -> dict[str, Tensor]:
        """The momentum of every parameter that has moved, by the parameter's name."""
        return dict(self._momentum.tensors)

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up a momentum."""
        self._momentum.restore(state)


@final
class Adam:
    """Adam (Kingma & Ba 2015), with weight decay added to the gradient.

    Args:
        module: whose parameters.
        momentum: share of the mean gradient that is kept.
        second_momentum: share of the mean square of the gradient that is kept.
        epsilon: added to that square's root.
        weight_decay: multiple of each parameter that is added to its gradient.
    """

    def __init__(
        self, module: nn.Module, *, momentum: float, second_momentum: float, epsilon: float, weight_decay: float
    ) -> None:
        self._parameters = dict(module.named_parameters())
        self._means, self._squares = _Slots(self._parameters), _Slots(self._parameters)
        self._steps = _Slots(self._parameters, scalar=True)
        self._momenta, self._epsilon, self._decay = (momentum, second_momentum), epsilon, weight_decay

    def zero_grad(self) -> None:
        """Forget all gradients."""
        _forget_gradients(self._parameters)

    @torch.no_grad()
    def step(self, learning_rate: float | Tensor, overflow: Tensor | None = None) -> None:
        """Move every parameter that has a gradient, unless `overflow` holds a 1."""
        names, parameters, gradients = _with_gradients(self._parameters)
        adam(
            parameters,
            gradients,
            self._means.of(names),
            self._squares.of(names),
            [],
            self._steps.of(names),
            fused=True,
            found_inf=overflow,
            amsgrad=False,
            beta1=self._momenta[0],
            beta2=self._momenta[1],
            lr=learning_rate,
            weight_decay=self._decay,
            eps=self._epsilon,
            maximize=False,
        )

    def state(self) -> dict[str, Tensor]:
        """Means, mean squares and numbers of steps, as "mean.NAME", "square.NAME" and "steps.NAME"."""
        slots = (("mean.", self._means), ("square.", self._squares), ("steps.", self._steps))
        return {prefix + name: t for prefix, slot in slots for name, t in slot.tensors.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up means, mean squares and numbers of steps."""
        for prefix, slot in (("mean.", self._means), ("square.", self._squares), ("steps.", self._steps)):
            slot.restore(state, prefix)


@final
class RMSProp:
    """RMSProp with momentum as TensorFlow has it, with which NAS-Bench-101 was made (Ying et al. 2019, supplement S2).

    The mean square v begins at 1 and epsilon stands within the root: v = r v + (1 - r) g^2,
    move = momentum move + rate g / sqrt(v + epsilon).

    Args:
        module: whose parameters.
        momentum: share of the last move that is kept.
        second_momentum: share r of the mean square of the gradient that is kept.
        epsilon: added to that square.
        weight_decay: multiple of each parameter that is added to its gradient.
    """

    def __init__(
        self, module: nn.Module, *, momentum: float, second_momentum: float, epsilon: float, weight_decay: float
    ) -> None:
        self._parameters = dict(module.named_parameters())
        self._squares, self._moves = _Slots(self._parameters, initial=1.0), _Slots(self._parameters)
        self._momentum, self._kept, self._epsilon, self._decay = momentum, second_momentum, epsilon, weight_decay

    def zero_grad(self) -> None:
        """Forget all gradients."""
        _forget_gradients(self._parameters)

    @torch.no_grad()
    def step(self, learning_rate: float | Tensor, overflow: Tensor | None = None) -> None:
        """Move every parameter that has a gradient; `overflow` is not known here (`Recipe` allows no float16)."""
        names, parameters, gradients = _with_gradients(self._parameters)
        if not names:
            return
        gradients = list(torch._foreach_add(gradients, parameters, alpha=self._decay))
        squares, moves = self._squares.of(names), self._moves.of(names)
        torch._foreach_mul_(squares, self._kept)
        torch._foreach_addcmul_(squares, gradients, gradients, 1.0 - self._kept)
        roots = torch._foreach_add(squares, self._epsilon)
        torch._foreach_sqrt_(roots)
        torch._foreach_div_(gradients, roots)
        torch._foreach_mul_(gradients, learning_rate)
        torch._foreach_mul_(moves, self._momentum)
        torch._foreach_add_(moves, gradients)
        torch._foreach_sub_(parameters, moves)

    def state(self) -> dict[str, Tensor]:
        """Mean squares and last moves, as "square.NAME" and "move.NAME"."""
        slots = (("square.", self._squares), ("move.", self._moves))
        return {prefix + name: t for prefix, slot in slots for name, t in slot.tensors.items()}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take up mean squares and last moves."""
        for prefix, slot in (("square.", self._squares), ("move.", self._moves)):
            slot.restore(state, prefix)
