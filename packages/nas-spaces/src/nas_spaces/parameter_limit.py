"""Networks as wide as a limit of parameters allows (NAGO, Ru et al. 2020, section 4).

The widths of a drawn network are whole multiples of one number of base channels, c. Its parameters are then a quadratic
polynomial of c, plus a few terms that are counted for each c, and grow with c; so the widest network within a limit is
found by counting alone, and one more base channel would exceed the limit.

    c  base channels
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nas_core.errors import InvalidNetwork


@dataclass(slots=True)
class Count:
    """A number of parameters as square·c² + linear·c + constant; widths are given as multiples of c."""

    square: int = 0
    linear: int = 0
    constant: int = 0

    def convolution(self, inputs: int, outputs: int, area: int, bias: bool = False) -> None:
        """Count a convolution whose kernel has `area` places."""
        self.square += area * inputs * outputs
        self.linear += outputs * bias

    def depthwise(self, channels: int, area: int) -> None:
        """Count a convolution of every channel by itself."""
        self.linear += area * channels

    def normalisation(self, channels: int) -> None:
        """Count a normalisation's scale and shift."""
        self.linear += 2 * channels

    def at(self, c: int) -> int:
        """The number for c base channels."""
        return (self.square * c + self.linear) * c + self.constant


def most_channels(parameters: Callable[[int], int], limit: int) -> int:
    """The most base channels with which a network keeps to a limit.

    Args:
        parameters: of the network with so many base channels; grows with them.
        limit: the most parameters allowed.

    Raises:
        InvalidNetwork: even one base channel gives more parameters.
    """
    if parameters(1) > limit:
        raise InvalidNetwork(
            "no network of this generator has so few parameters", value=limit, expected=f"at least {parameters(1)}"
        )
    low, high = 1, 2
    while parameters(high) <= limit:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if parameters(middle) <= limit:
            low = middle
        else:
            high = middle
    return low
