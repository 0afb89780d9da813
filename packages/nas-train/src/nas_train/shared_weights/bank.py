"""A bank of parameters keyed by position, on which networks share what they have in common (Pham et al. 2018, ENAS).

A parameter's name is its position in the network, and the operation is part of it ("stage0.edge2_0.conv3.weight");
two architectures share a tensor exactly where they do the same thing at the same place. What is at a position for the
first time begins as the bank's seed and the name say, whichever member brings it.

Statistics of batch normalisation are no part of the bank: they belong to the activations of one member, which change
with everything before them. A member in training normalises by its batch's own; `recompute_statistics` gives it those
of a few training batches before it is measured (Bender et al. 2018, section 3.4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from nas_core.errors import InvalidNetwork
from nas_core.optimizer import State
from nas_train.modules import BatchNorm

_BANK, _WEIGHTS = "bank.", "weights."


@final
class Bank(nn.Module):
    """Parameters by position; to a weight optimizer it is one module that holds them all.

    Args:
        device: where they lie.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self._device = torch.device(device)
        self._held: dict[str, nn.Parameter] = {}

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """Position and parameter, in the order in which they came to the bank."""
        for name, parameter in self._held.items():
            yield (f"{prefix}.{name}" if prefix else name), parameter

    def adopt(self, module: nn.Module, initialise: Callable[[], None]) -> None:
        """Let a module share the bank's parameters where it has the same positions, and give the bank the others.

        Args:
            module: anything whose parameters are named by position; it moves to the bank's device.
            initialise: gives all of the module's parameters their initial values; called if a position is new.

        Raises:
            InvalidNetwork: a parameter's shape is not that of the position; bank and module are as they were.
        """
        own = dict(module.named_parameters())
        for name, parameter in own.items():
            held = self._held.get(name)
            if held is not None and held.shape != parameter.shape:
                raise InvalidNetwork(
                    "two networks on one bank of weights differ in a parameter's shape",
                    value=f"{name} {tuple(parameter.shape)}",
                    expected=f"{name} {tuple(held.shape)}",
                    remedy="Build all members of a space with the same options",
                )
        if own.keys() - self._held.keys():
            initialise()
        module.to(self._device)
        for name in own:
            place, _, last = name.rpartition(".")
            part = module.get_submodule(place)
            part._parameters[last] = self._held.setdefault(name, _parameter_of(part, last))

    def state(self, weights: Mapping[str, Tensor], values: Mapping[str, object]) -> State:
        """The bank and what a weight optimizer remembers, as arrays; `values` is JSON."""
        arrays = {_BANK + name: _array(parameter) for name, parameter in self._held.items()}
        return State({**arrays, **{_WEIGHTS + name: _array(tensor) for name, tensor in weights.items()}}, dict(values))

    def restore(self, state: State) -> dict[str, Tensor]:
        """Take up a bank; returns what the weight optimizer remembered."""
        self._held = {name: nn.Parameter(tensor) for name, tensor in self._part(state, _BANK)}
        return dict(self._part(state, _WEIGHTS))

    def _part(self, state: State, prefix: str) -> Iterator[tuple[str, Tensor]]:
        for name, array in state.arrays.items():
            if name.startswith(prefix):
                yield name[len(prefix) :], torch.from_numpy(array.copy()).to(self._device)


def _parameter_of(part: nn.Module, name: str) -> nn.Parameter:
    parameter = part._parameters[name]
    if parameter is None:
        raise InvalidNetwork("a position without a parameter", value=name)
    return parameter


def _array(tensor: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
    return tensor.detach().cpu().contiguous().numpy().copy()


@torch.no_grad()
def recompute_statistics(module: nn.Module, batches: Iterable[Tensor]) -> None:
    """Give every batch normalisation the mean of its statistics over some batches; the module ends in evaluation mode.

    Args:
        module: run in training mode, but without dropout and dropped paths.
        batches: inputs (b x c x h x w); without any, the statistics are as they were.
    """
    norms = [part for part in module.modules() if isinstance(part, BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    module.eval()
    for norm in norms:
        norm.train()
    for i, batch in enumerate(batches):
        for norm in norms:
            norm.momentum = 1.0 / (i + 1)
        module(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    module.eval()
