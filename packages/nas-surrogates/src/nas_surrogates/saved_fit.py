"""A fitted surrogate in a file: the network and the regressions of `gcn`, `mlp` or `lstm`, to begin a search elsewhere.

One safetensors file: tensors by name, and one JSON text that says with which options and on which operations it was
fitted. Nothing is unpickled. What was fitted in one space is taken over in another where both have the same operations
and the surrogate the same options (BONAS 4.4.2): graphs of any size have the same network.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor

from nas_core.errors import InvalidOption, StoreError
from nas_surrogates.blr import BLRPosterior
from nas_surrogates.network_training import Predictor
from nas_surrogates.neural_linear import Kind, NeuralLinearPosterior
from nas_surrogates.target_scale import TargetScale
from nas_surrogates.warp import Warp

FORMAT: Final = 1
_HEADER = "nas_surrogates"
_UNTRAINED = np.random.Generator(np.random.PCG64(0))  # parameters that are replaced at once


@runtime_checkable
class Transferable(Kind, Protocol):
    """A surrogate whose fits can be taken over."""

    def operations(self) -> dict[str, Any]:
        """What must be equal in both spaces, as plain data."""
        ...

    def to_config(self) -> dict[str, Any]:
        """Its name and options."""
        ...


def save(path: str | Path, posterior: NeuralLinearPosterior) -> None:
    """Write what was fitted; a whole file appears or none.

    Raises:
        InvalidOption: the surrogate cannot be taken over.
        StoreError: the file cannot be written.
    """
    kind = _transferable(posterior.kind)
    tensors = {f"network.{name}": t.contiguous() for name, t in posterior.predictor.state_dict().items()}
    for j, regression in enumerate(posterior.regressions):
        for name in ("centre", "mean", "factor"):
            tensors[f"regression.{j}.{name}"] = torch.from_numpy(np.ascontiguousarray(getattr(regression, name)))
    values = {
        "format": FORMAT,
        "surrogate": kind.to_config(),
        "operations": kind.operations(),
        "scales": [asdict(scale) for scale in posterior.scales],
        "deviations": [[regression.weight_std, regression.noise_std] for regression in posterior.regressions],
    }
    data = safetensors.torch.save(tensors, {_HEADER: json.dumps(values, sort_keys=True, allow_nan=False)})
    place = Path(path)
    beside = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        beside.write_bytes(data)
        beside.replace(place)
    except OSError as error:
        raise StoreError(f"a fitted surrogate cannot be written ({error.strerror})", place=str(place)) from None


def load(path: str | Path, surrogate: Any) -> NeuralLinearPosterior:
    """What was fitted, taken over by a surrogate of another space, or of the same.

    Raises:
        StoreError: the file cannot be read or holds no fitted surrogate.
        InvalidOption: other operations, or a surrogate of other options.
    """
    kind, place = _transferable(surrogate), str(path)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise StoreError(f"the file cannot be read ({error.strerror})", place=place) from None
    try:
        tensors = safetensors.torch.load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        values = json.loads(header["__metadata__"][_HEADER])
        scales = tuple(_scale(scale) for scale in values["scales"])
        regressions = tuple(
            BLRPosterior(*(_array(tensors, j, name) for name in ("centre", "mean", "factor")), *map(float, deviations))
            for j, deviations in enumerate(values["deviations"])
        )
        given, operations, number = values["surrogate"], values["operations"], values["format"]
    except (safetensors.SafetensorError, KeyError, ValueError, TypeError) as error:
        raise StoreError("no fitted surrogate, or a truncated one", value=str(error), place=place) from None
    if number != FORMAT:
        raise StoreError("a fitted surrogate of another format", value=number, place=place, expected=str(FORMAT))
    check_operations(kind, operations, place)
    _check_options(kind, given, place)
    predictor = Predictor(kind.embedder(_UNTRAINED), [scale.bounded for scale in scales], _UNTRAINED)
    prefix = "network."
    state = {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    try:
        predictor.load_state_dict(state)
    except RuntimeError as error:
        raise StoreError("the parameters of another network", value=str(error), place=place) from None
    return NeuralLinearPosterior(kind, predictor.eval(), scales, regressions)


def taken_over(posterior: NeuralLinearPosterior, surrogate: Any, place: str | None = None) -> NeuralLinearPosterior:
    """What was fitted in one space as a posterior of another.

    Raises:
        InvalidOption: other operations, or a surrogate of other options.
    """
    there, here = _transferable(posterior.kind), _transferable(surrogate)
    check_operations(here, there.operations(), place)
    _check_options(here, there.to_config(), place)
    return NeuralLinearPosterior(here, posterior.predictor, posterior.scales, posterior.regressions)


def check_operations(kind: Transferable, operations: Mapping[str, Any], place: str | None) -> None:
    """Raise InvalidOption where a fit was made on other operations than a surrogate reads."""
    own = json.loads(json.dumps(kind.operations()))
    given = json.loads(json.dumps(operations))
    for key in own:
        if given.get(key) != own[key]:
            raise InvalidOption(
                f"the surrogate was fitted in a space with other {key}",
                value=given.get(key),
                place=place,
                expected=str(own[key]),
                remedy="A search can start from spaces with the same operations only.",
            )


def _check_options(kind: Transferable, given: Mapping[str, Any], place: str | None) -> None:
    """The options that shape the network; how it was trained may differ."""
    trained = set(asdict(kind.training))
    own = {key: value for key, value in kind.to_config().items() if key not in trained}
    other = {key: value for key, value in given.items() if key not in trained}
    if own != other:
        raise InvalidOption("the surrogate was fitted with other options", value=other, place=place, expected=str(own))


def _transferable(surrogate: Any) -> Transferable:
    if not isinstance(surrogate, Transferable):
        name = type(surrogate).__name__
        raise InvalidOption("this surrogate cannot begin elsewhere", value=name, expected="gcn, mlp or lstm")
    return surrogate


def _scale(values: Mapping[str, Any]) -> TargetScale:
    warp = values["warp"]
    return TargetScale(**{**values, "warp": None if warp is None else Warp(**warp)})


def _array(tensors: Mapping[str, Tensor], j: int, name: str) -> Any:
    return tensors[f"regression.{j}.{name}"].numpy()
