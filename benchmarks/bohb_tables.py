"""BOHB, Hyperband, asynchronous halving and random search at equal cost, and HpBandSter's BOHB beside them.

    python benchmarks/bohb_tables.py [--problems nb201 hartmann6] [--methods bohb hpbandster …] [--seeds 50] \
        [--journal bohb_tables.jsonl] [--minutes N]

nb201: CIFAR-10 validation accuracy of NAS-Bench-201 after 12 and after 200 epochs, the table's two rungs as they are;
a trial costs its epochs. hartmann6: the six-dimensional Hartmann function at fidelities 1, 3 and 9; below 9 its
weights are shifted by (9 - f) / 80 each (after Kandasamy et al. 2017) and it has normal noise of deviation
(9 - f) / 40; a trial costs its fidelity. Random search evaluates at the highest fidelity alone. The figure is the best
value at the highest fidelity (of hartmann6 the least) that was known when so much had been spent: mean and standard
error over seeds; `bohb_worse` is how often BOHB was worse than HpBandSter's by the last cost, equal ones counted half.

HpBandSter's BOHB has the same fidelities, share of promoted members, accounts and noise. It runs where hpbandster can
be imported (`hpbandster_bohb.py` says how): run `--methods hpbandster` in its environment, then all methods in ours
with the same journal. `by_model` is the share of its new members that came from its model. Results are kept where all
methods were asked for; where it can be had neither from the journal nor by running, they say nothing of it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import deadline
import numpy as np
import record
from hpbandster_bohb import HpBandSter
from journal import Journal

from nas_core.architecture import Architecture
from nas_core.decisions import Real
from nas_core.objective import Objectives
from nas_core.random import rng
from nas_core.registry import from_config
from nas_core.space import Space
from nas_core.trial import Measurement
from nas_search.optimizers.brackets import Schedule
from nas_spaces.nasbench201 import NASBench201

METHODS: dict[str, dict[str, Any]] = {
    "random": {"name": "random"},
    "hyperband": {"name": "hyperband"},
    "asha": {"name": "successive_halving", "asynchronous": True},
    "bohb": {"name": "bohb"},
}
PEER = "hpbandster"


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


def searcher(one: Problem, method: str, objectives: Objectives, seed: int) -> Any:
    """What proposes."""
    if method == PEER:
        eta = Schedule.of(one.fidelities, None).eta
        return HpBandSter(one.space, objectives, seed, fidelities=one.fidelities, eta=eta)
    more = {} if method == "random" else {"fidelities": list(one.fidelities)}
    return from_config("optimizer", {**METHODS[method], **more}, one.space, objectives, seed)


def search(name: str, method: str, seed: int) -> dict[str, Any]:
    """One search, by one worker."""
    one = problem(name)
    top = one.fidelities[-1]
    objectives = Objectives.parse([one.objective])
    optimizer = searcher(one, method, objectives, seed)
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
    by = [trial.proposal.info["by"] for trial in history if trial.proposal.info.get("rung") == 0]
    model = {"by_model": by.count("model") / len(by), "version": version(PEER)} if method == PEER else {}
    return {"problem": name, "method": method, "seed": seed, "best": read, "trials": len(history), **model}


def figures_of(name: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard error at each cost."""
    figures: dict[str, Any] = {"seeds": len({run["seed"] for run in runs}), "at": list(problem(name).at)}
    for method in dict.fromkeys(run["method"] for run in runs):
        best = np.array([run["best"] for run in runs if run["method"] == method])
        error = best.std(axis=0, ddof=1) / len(best) ** 0.5 if len(best) > 1 else np.full(best.shape[1], np.nan)
        figures[method] = {"mean": best.mean(axis=0).round(3).tolist(), "se": error.round(3).tolist()}
    peer = [run for run in runs if run["method"] == PEER]
    if peer:
        figures[PEER]["by_model"] = round(float(np.mean([run["by_model"] for run in peer])), 3)
    last = {(run["method"], run["seed"]): run["best"][-1] for run in runs}
    maximise = Objectives.parse([problem(name).objective]).objectives[0].maximise
    pairs = [(last["bohb", run["seed"]], run["best"][-1]) for run in peer if ("bohb", run["seed"]) in last]
    if pairs:
        worse = [0.5 if a == b else float((a < b) == maximise) for a, b in pairs]
        figures["bohb_worse"] = round(float(np.mean(worse)), 3)
    return figures


def runs_of(
    journal: Journal, until: deadline.Deadline, name: str, methods: Sequence[str], seeds: int
) -> list[dict[str, Any]]:
    """The runs of a problem, those that are missing made; without HpBandSter where it cannot be imported."""
    runs, left_out = [], False
    for method in methods:
        for seed in range(seeds):
            until.check()
            key = {"problem": name, "method": method, "seed": seed, "at": list(problem(name).at)}
            try:
                runs.append(journal.run(key, partial(search, name, method, seed)))
            except ImportError as error:
                if method != PEER:
                    raise
                left_out = True
                print(f"{PEER}, {name}: left out, since it does not import ({error}); see hpbandster_bohb.py")
                break
    return [run for run in runs if not (left_out and run["method"] == PEER)]


def main() -> None:
    """Run and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="+", default=["nb201", "hartmann6"], choices=["nb201", "hartmann6"])
    parser.add_argument("--methods", nargs="+", default=[*METHODS, PEER], choices=[*METHODS, PEER])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--journal", type=Path, default=Path("bohb_tables.jsonl"))
    deadline.add_option(parser)
    options = parser.parse_args()
    journal, until = Journal(options.journal), deadline.Deadline(options.minutes)
    for name in options.problems:
        runs = runs_of(journal, until, name, options.methods, options.seeds)
        figures = figures_of(name, runs)
        if set(options.methods) == {*METHODS, PEER}:
            record.keep(f"bohb_{name}", figures, runs)
        else:
            print(figures)


if __name__ == "__main__":
    main()
