"""HW-NAS-Bench: what the cells of NAS-Bench-201 cost on six devices.

Li, Yu, Fu, Zhang, Zhao, You, Yu, Wang, Lin 2021, "HW-NAS-Bench". The public file `HW-NAS-Bench-v1_0.pickle` is, as
far as it is read,

    {"nasbench201": {dataset: {"config": [{"arch_str": text, …}, …], "<device>_latency": [ms, …], "<device>_energy":
     [mJ, …], "eyeriss_arithmetic_intensity": [operations a byte, …]}}}

with lists or numpy arrays in the order of "config", and the datasets "cifar10", "cifar100" and "ImageNet16-120". It is
read by `nas_spaces.tables.unpickle`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from nas_core.errors import InvalidArchitecture, InvalidOption, InvalidTable
from nas_spaces.nasbench201 import NASBench201
from nas_spaces.tables.npz import Arrays
from nas_spaces.tables.table import Table
from nas_spaces.tables.unpickle import unpickle

DATASETS: Final = ("cifar10", "cifar100", "ImageNet16-120")
"""The datasets whose networks were measured."""

_UNITS = {"latency": "ms", "energy": "mJ", "arithmetic_intensity": "operations/byte"}
_LARGEST = 1 << 28
_LONGEST_TEXT = 200


def hwnasbench(source: Path, dataset: str = "cifar10") -> Table:
    """What NAS-Bench-201's networks for one dataset cost, a row an architecture, in the order of the file.

    `latency_<device>` in ms, `energy_<device>` in mJ, `arithmetic_intensity_eyeriss` in operations a byte; whatever
    devices the file has. The objective is the least of its first latency.

    Args:
        source: the file.
        dataset: "cifar10", "cifar100" or "ImageNet16-120".

    Raises:
        InvalidOption: another dataset.
        InvalidTable: the file is damaged, holds anything but plain data, or has another form.
    """
    if dataset not in DATASETS:
        raise InvalidOption("the benchmark has no such dataset", value=dataset, expected=", ".join(DATASETS))
    whole = _loaded(source)
    try:
        given = _entry(_entry(whole, "nasbench201"), dataset)
        decisions = _decisions(_listed(given, "config"))
        columns: Arrays = {}
        for name in given:
            if name != "config":
                columns[_metric(name)] = _numbers(given, name, len(decisions))
    except InvalidTable as error:
        raise error.at(str(source)) from None
    latencies = [name for name in columns if name.startswith("latency_")]
    if not latencies:
        raise InvalidTable("a file without latencies", place=str(source))
    meta = {
        "name": f"HW-NAS-Bench NAS-Bench-201 {dataset}",
        "space": NASBench201.name,
        "source": "HW-NAS-Bench (Li et al., 2021), its public file",
        "licence": "MIT",
        "units": {name: next(unit for kind, unit in _UNITS.items() if name.startswith(kind)) for name in columns},
        "objective": f"min:{latencies[0]}",
    }
    return Table(meta, {"decisions": decisions, **columns})


def _loaded(path: Path) -> Any:
    try:
        size = path.stat().st_size
        if size > _LARGEST:
            raise InvalidTable("the file is too large", value=size, expected=f"at most {_LARGEST} bytes")
        return unpickle(path.read_bytes()).value
    except OSError as error:
        raise InvalidTable(f"the file cannot be read ({error.strerror})", value=str(path)) from None
    except InvalidTable as error:
        raise error.at(str(path)) from None


def _entry(value: Any, key: str) -> dict[Any, Any]:
    inner = value.get(key) if type(value) is dict else None
    if type(inner) is not dict:
        raise InvalidTable(f"the file has no dict {key!r} where it is expected")
    return inner


def _listed(given: dict[Any, Any], name: str) -> list[Any]:
    value = given.get(name)
    if type(value) is np.ndarray and value.ndim == 1:
        return list(value.tolist())
    if type(value) is not list:
        raise InvalidTable(f"{name!r} is no list", value=type(value).__name__)
    return value


def _decisions(configurations: list[Any]) -> NDArray[np.int8]:
    """The choice numbers of all architectures (n x 6)."""
    space, rows = NASBench201(), []
    for i, configuration in enumerate(configurations):
        text = configuration.get("arch_str") if type(configuration) is dict else None
        if type(text) is not str or len(text) > _LONGEST_TEXT:
            raise InvalidTable(f"configuration {i} (counted from 0) has no text of an architecture")
        try:
            rows.append(space.tokens(space.parse(text)))
        except InvalidArchitecture as error:
            raise InvalidTable(f"configuration {i} (counted from 0) is no architecture: {error}") from None
    if not rows or len(set(rows)) < len(rows):
        raise InvalidTable("no architectures, or one that is there twice", value=len(rows))
    return np.array(rows, dtype=np.int8)


def _metric(name: Any) -> str:
    """Our name of a list: latency_pixel3 for pixel3_latency."""
    if type(name) is str:
        for kind in _UNITS:
            device = name.removesuffix(f"_{kind}")
            if device != name and device:
                return f"{kind}_{device}"
    raise InvalidTable(
        "a list of what is not known", value=str(name)[:40], expected="names that end in " + ", ".join(_UNITS)
    )


def _numbers(given: dict[Any, Any], name: str, n: int) -> NDArray[np.float64]:
    values = _listed(given, name)
    if len(values) != n or any(type(value) not in (int, float) for value in values):
        raise InvalidTable(f"{name!r} is no list of a number for each architecture", value=len(values), expected=str(n))
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:
        raise InvalidTable(f"{name!r} holds a number that is too large") from None
