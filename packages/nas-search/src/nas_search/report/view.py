"""Which part of an axis a picture shows: a few networks that learn nothing must not press the rest into a line."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_SHARE = 0.75
_REACH = 1.5
_ROOM = 0.06
_LOGARITHMIC_FROM = 30.0


def in_view(values: FloatArray, maximise: bool) -> tuple[float, float]:
    """The least and the greatest of the values that are worth showing.

    The better three quarters, and what is worse by no more than one and a half times their range. NaN is left out.
    """
    known = np.sort(values[np.isfinite(values)])
    if len(known) == 0:
        return 0.0, 1.0
    if maximise:
        low, high = in_view(-known, False)
        return -high, -low
    last = known[max(int(np.ceil(_SHARE * len(known))), min(len(known), 2)) - 1]
    near = known[known <= last + _REACH * (last - known[0])]
    return float(near[0]), float(near[-1])


def with_room(low: float, high: float) -> tuple[float, float]:
    """A range of an axis with some room at both ends; also where all values are the same."""
    room = _ROOM * (high - low) or _ROOM * abs(low) or 1.0
    return low - room, high + room


def is_logarithmic(values: FloatArray) -> bool:
    """Whether an axis of these values reads better on a logarithmic scale: positive, over a wide range."""
    known = values[np.isfinite(values)]
    return len(known) > 0 and bool(known.min() > 0) and bool(known.max() / known.min() > _LOGARITHMIC_FROM)
