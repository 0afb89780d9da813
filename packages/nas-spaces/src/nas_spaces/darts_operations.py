"""The operations of DARTS cells (Liu et al. 2019, section 3.1), as they are in final networks.

none                        zeros
max_pool_3x3, avg_pool_3x3  padding never counts
skip_connect                the identity; with stride 2 a factorized reduction
sep_conv_kxk                twice ReLU, depthwise separable convolution, normalisation; the first has the stride
dil_conv_kxk                ReLU, depthwise separable convolution with dilation 2, normalisation
"""

from __future__ import annotations

from typing import Final

from nas_core.catalogue import dilated_convolution, factorized_reduction, same_pooling, separable_convolution
from nas_core.network import NetworkBuilder
from nas_core.primitives import Identity, Zero

IDENTITY: Final = "skip_connect"
ZERO: Final = "none"
POOLINGS: Final = ("max_pool_3x3", "avg_pool_3x3")
OPERATIONS: Final = (*POOLINGS, IDENTITY, "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5")
"""The seven operations of final cells, in the published order; *none* is the eighth of the search."""

_KERNELS = {operation: int(operation[-1]) for operation in OPERATIONS if operation != IDENTITY}


def operation(b: NetworkBuilder, name: str, x: int, channels: int, stride: int) -> int:
    """Append an operation; the number of its last node."""
    if name == ZERO:
        return b.add("zero", Zero(stride), x)
    if name == IDENTITY:
        return b.add("identity", Identity(), x) if stride == 1 else factorized_reduction(b, x, channels)
    if name in POOLINGS:
        return b.add("pool", same_pooling(name[:3], _KERNELS[name], stride), x)
    convolution = separable_convolution if name.startswith("sep") else dilated_convolution
    return convolution(b, x, channels, _KERNELS[name], stride)
