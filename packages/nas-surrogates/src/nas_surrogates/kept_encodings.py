"""Encodings of architectures, computed once for each and kept as rows of tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias, final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nas_core.architecture import Architecture

Arrays: TypeAlias = tuple[NDArray[np.generic], ...]

MOST_KEPT: Final = 50_000
"""Architectures that are kept; when there are more, all are forgotten and encoded again when asked for."""


@final
class KeptEncodings:
    """A function of architectures that remembers.

    Args:
        encode: several architectures to arrays whose first dimension they are. The second may differ from call to call;
            what is shorter is followed by zeros.
    """

    def __init__(self, encode: Callable[[Sequence[Architecture]], Arrays]) -> None:
        self._encode = encode
        self._forget()

    def _forget(self) -> None:
        self._row: dict[Architecture, int] = {}
        self._kept: list[NDArray[np.generic]] = []

    def __call__(self, architectures: Sequence[Architecture]) -> tuple[Tensor, ...]:
        """The encodings of n architectures (n x …)."""
        new = [a for a in dict.fromkeys(architectures) if a not in self._row]
        if new and len(self._row) + len(new) > MOST_KEPT:
            self._forget()
            new = list(dict.fromkeys(architectures))
        if new:
            self._keep(new)
        rows = [self._row[a] for a in architectures]
        return tuple(torch.from_numpy(kept[rows]) for kept in self._kept)

    def _keep(self, new: list[Architecture]) -> None:
        first = len(self._row)
        for i, array in enumerate(self._encode(new)):
            if i == len(self._kept):
                self._kept.append(np.zeros((0, *array.shape[1:]), array.dtype))
            kept, width = self._kept[i], array.shape[1]
            if first + len(new) > len(kept) or width > kept.shape[1]:
                size = (max(2 * len(kept), first + len(new)), max(kept.shape[1], width), *array.shape[2:])
                longer = np.zeros(size, array.dtype)
                longer[:first, : kept.shape[1]] = kept[:first]
                self._kept[i] = kept = longer
            kept[first : first + len(new), :width] = array
        for a in new:
            self._row[a] = len(self._row)
