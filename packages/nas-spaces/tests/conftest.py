"""What the tests of spaces share: the published arrays, and a second reader of networks."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from nas_core.network import Network
from nas_core.random import rng

FloatArray: TypeAlias = NDArray[np.float64]


@pytest.fixture(scope="session")
def published() -> Path:
    """The folder of the published arrays; skips where it is not there."""
    default = Path(__file__).resolve().parents[4] / "shared" / "tables"
    folder = Path(os.environ.get("NAS_TABLES", default))
    if not (folder / "nb201_c10.npz").is_file():
        pytest.skip(f"no nb201_c10.npz in {folder}; NAS_TABLES names its folder")
    return folder


@pytest.fixture(scope="session")
def logits() -> Callable[[Network, FloatArray], FloatArray]:
    """What a network computes in training mode, by a reader in numpy: (network, images b x c x h x w) -> b x k.

    The parameters are random numbers that depend on their positions alone.
    """
    return outputs


def parameter(name: str, shape: tuple[int, ...]) -> FloatArray:
    """Random numbers that depend on the parameter's position alone."""
    return rng(0, "parameter", name).normal(size=shape)


def outputs(network: Network, images: FloatArray) -> FloatArray:
    """The logits (b x k) of images (b x c x h x w)."""
    owned = {name: parameter(name, shape) for name, shape in network.parameters()}
    values: list[FloatArray] = []
    for i, (name, primitive, inputs) in enumerate(network.nodes):
        own = {key: owned.get(f"{name}.{key}") for key in ("weight", "bias")}
        if type(primitive).__name__ == "Input":
            values.append(images)
        else:
            values.append(computed(primitive, [values[j] for j in inputs], own["weight"], own["bias"]))
        assert values[i].shape[1:] == network.shapes[i], name
    return values[network.outputs[0][1]]


def computed(primitive: Any, xs: list[FloatArray], weight: Any, bias: Any) -> Any:
    """One node."""
    x = xs[0]
    match type(primitive).__name__:
        case "Convolution":
            return convolved(primitive, x, weight)
        case "Normalisation":
            mean, variance = x.mean(axis=(0, 2, 3), keepdims=True), x.var(axis=(0, 2, 3), keepdims=True)
            return (x - mean) / np.sqrt(variance + 1e-5) * weight[:, None, None] + bias[:, None, None]
        case "Activation":
            return np.maximum(x, 0.0)
        case "Pooling":
            return pooled(primitive, x)
        case "AdaptivePooling":
            return x.mean(axis=(2, 3), keepdims=True)
        case "Flatten":
            return x.reshape(len(x), -1)
        case "Linear":
            return x @ weight.T + bias
        case "Zero":
            return np.zeros_like(x[:, :, :: primitive.stride, :: primitive.stride])
        case "Identity":
            return x
        case "Add":
            return np.sum(xs, axis=0)
        case "Concatenation":
            return np.concatenate(xs, axis=1)
        case "ChannelSlice":
            return x[:, primitive.start : primitive.stop]
    raise AssertionError(f"the reader knows no {primitive}")


def taken(primitive: Any, x: FloatArray) -> list[list[FloatArray]]:
    """The image at each place of the kernel, zeros beyond the border."""
    (top, left), (down, right) = primitive.padding, primitive.stride
    padded = np.pad(x, ((0, 0), (0, 0), (top, top), (left, left)))
    h, w = padded.shape[2] - primitive.kernel[0] + 1, padded.shape[3] - primitive.kernel[1] + 1
    return [
        [padded[:, :, i : i + h : down, j : j + w : right] for j in range(primitive.kernel[1])]
        for i in range(primitive.kernel[0])
    ]


def convolved(primitive: Any, x: FloatArray, weight: FloatArray) -> Any:
    places = taken(primitive, x)
    terms = [
        np.einsum("oc,bchw->bohw", weight[:, :, i, j], y) for i, row in enumerate(places) for j, y in enumerate(row)
    ]
    return np.sum(terms, axis=0)


def pooled(primitive: Any, x: FloatArray) -> Any:
    total = np.sum([y for row in taken(primitive, x) for y in row], axis=0)
    counted = np.sum([y for row in taken(primitive, np.ones_like(x)) for y in row], axis=0)
    return total / counted
