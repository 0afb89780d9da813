"""BOHB, Hyperband, asynchronous halving and random search at equal cost.

    python benchmarks/bohb_tables.py [--problems nb201 hartmann6] [--seeds 50] [--first 0]

nb201: CIFAR-10 validation accuracy of NAS-Bench-201 after 12 and after 200 epochs, the table's two rungs as they are;
a trial costs its epochs. hartmann6: the six-dimensional Hartmann function at fidelities 1, 3 and 9; below 9 its
weights are shifted by (9 - f) / 80 each (after Kandasamy et al. 2017) and it has normal noise of deviation
(9 - f) / 40; a trial costs its fidelity. Random search evaluates at the highest fidelity alone. The figure is the best
value at the highest fidelity (of hartmann6 the least) that was known when so much had been spent: mean and standard
error over seeds. With `--first` further seeds are added to those that the result has.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import record

from nas_core.architecture import Architecture
from nas_core.decisions import Real
from nas_core.objective import Objectives
from nas_core.random import rng
from nas_core.registry import from_config
from nas_core.space import Space
from nas_core.trial import Measurement
from nas_spaces.nasbench201 import NASBench201

METHODS: dict[str, dict[str, Any]] = {
    "random": {"name": "random"},
    "hyperband": {"name": "hyperband"},
    "asha": {"name": "successive_halving", "asynchronous": True},
    "bohb": {"name": "bohb"},
}


class Problem(NamedTuple):
    """What is searched: value(member, fidelity, stream), at what cost the best is read."""

    space: Space
    objective: str
    fidelities: tuple[float, ...]
    at: tuple[int, ...]
    value: Callable[[Architecture, float, np.random.Generator], float]


class Cube(Space):
    """Six real decisions from 0 to 1."""

    name = "cube"
    decisions = tuple(Real(f"x{i}", 0.0, 1.0) for i in range(6))

    def active(self, values: Sequence[Any]) -> tuple[bool, ...]:
        """All of them."""
        return (True,) * 6

    def to_config(self) -> dict[str, Any]:
        """No options."""
        return {"name": self.name}


_WEIGHTS = np.array([1.0, 1.2, 3.0, 3.2])
_SHARPNESS = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
_PLACES = 1e-4 * np.array(
    [
        [1312, 1696, 5569, 124, 8283, 5886],
        [2329, 4135, 8307, 3736, 1004, 9991],
        [2348, 1451, 3522, 2883, 3047, 6650],
        [4047, 8828, 8732, 5743, 1091, 381],
    ]
)


def hartmann6(a: Architecture, fidelity: float, stream: np.random.Generator) -> float:
    """The function at a fidelity; its least value at 9 is -3.32237."""
    x = np.array(a.values, dtype=np.float64)
    weights = _WEIGHTS - (9.0 - fidelity) / 80.0
    noise = (9.0 - fidelity) / 40.0 * stream.normal()
    return float(-weights @ np.exp(-(_SHARPNESS * (x - _PLACES) ** 2).sum(axis=1)) + noise)


@lru_cache(maxsize=1)
def problem(name: str) -> Problem:
    """A problem by its name."""
    if name == "hartmann6":
        return Problem(Cube(), "min:loss_value", (1.0, 3.0, 9.0), (90, 270, 540, 900), hartmann6)
    space = NASBench201()
    with np.load(record.tables_dir() / "nb201_c10.npz", allow_pickle=False) as arrays:
        names = [str(operation) for operation in arrays["op_names"]]
        members = [Architecture(space.name, tuple(names[k] for k in row)) for row in arrays["ops"]]
        rungs = {float(e): arrays[f"c10_val_e{e}"].astype(np.float64).tolist() for e in (12, 200)}
    values = {e: dict(zip(members, column, strict=True)) for e, column in rungs.items()}
    return Problem(space, "max:val_accuracy", (12.0, 200.0), (2000, 4000, 8000, 16000), lambda a, e, _: values[e][a])


def search(name: str, method: str, seed: int) -> dict[str, Any]:
    """One search, by one worker."""
    one, config = problem(name), METHODS[method]
    top = one.fidelities[-1]
    objectives = Objectives.parse([one.objective])
    if method != "random":
        config = {**config, "fidelities": list(one.fidelities)}
    optimizer = from_config("optimizer", config, one.space, objectives, seed)
    history, spent, best = objectives.new_history(), 0.0, float("nan")
    read: list[float] = []
    while len(read) < len(one.at):
        (proposal,) = optimizer.propose(history, 1)
        fidelity = top if proposal.fidelity is None else proposal.fidelity
        spent += fidelity
        while len(read) < len(one.at) and spent > one.at[len(read)]:
            read.append(best)
        value = one.value(proposal.architecture, fidelity, rng(seed, "noise", len(history)))
        history.finish(history.begin(proposal).number, Measurement({objectives.metrics[0]: value}))
        if fidelity == top:
            best = float(np.fmax(best, value) if objectives.objectives[0].maximise else np.fmin(best, value))
    return {"problem": name, "method": method, "seed": seed, "best": read, "trials": len(history)}


def figures_of(name: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard error at each cost."""
    figures: dict[str, Any] = {"seeds": len({run["seed"] for run in runs}), "at": list(problem(name).at)}
    for method in METHODS:
        best = np.array([run["best"] for run in runs if run["method"] == method])
        error = best.std(axis=0, ddof=1) / len(best) ** 0.5 if len(best) > 1 else np.full(best.shape[1], np.nan)
        figures[method] = {"mean": best.mean(axis=0).round(3).tolist(), "se": error.round(3).tolist()}
    return figures


def main() -> None:
    """Run and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="+", default=["nb201", "hartmann6"], choices=["nb201", "hartmann6"])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    for name in options.problems:
        kept = record.RESULTS / f"bohb_{name}.json"
        runs: list[dict[str, Any]] = json.loads(kept.read_text())["raw"] if options.first and kept.exists() else []
        for seed in range(options.first, options.first + options.seeds):
            runs += [search(name, method, seed) for method in METHODS]
        record.keep(f"bohb_{name}", figures_of(name, runs), runs)


if __name__ == "__main__":
    main()
