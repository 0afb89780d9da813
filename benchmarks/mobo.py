"""MOBO against botorch's qLogNEHVI with a Gaussian process, and against NSGA-II, on functions with known fronts.

    python benchmarks/mobo.py [--problems zdt1 zdt2 dtlz2] [--methods mobo mobo_gp qlognehvi nsga2] [--seeds 10]

ZDT1, ZDT2 and DTLZ2 with 6 real decisions and 2 objectives, reference point (1.1, 1.1) for each. All methods of a seed
begin with the same 12 random points. After 100 evaluations in batches of 8 the gain is the hypervolume less that of the
first 12; NSGA-II (population 20, one at a time) has 200 evaluations. Keeps the hypervolume after each batch. With
`--add` the runs are added to those that the result has, the same ones replaced.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import record

from nas_core.architecture import Architecture
from nas_core.decisions import Real
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.pareto import hypervolume
from nas_core.random import derived_seed, rng
from nas_core.space import Space
from nas_core.trial import Measurement, Proposal
from nas_search.optimizers.mobo import MOBO
from nas_search.optimizers.nsga2 import NSGA2

DECISIONS, FIRST, BATCH = 6, 12, 8
EVALUATIONS, EVALUATIONS_NSGA2 = 100, 200
REFERENCE = (1.1, 1.1)
OBJECTIVES = Objectives.parse(["min:f1", "min:f2"])


class Box(Space):
    """Real decisions from 0 to 1."""

    name = "box"
    decisions = tuple(Real(f"x{i}", 0.0, 1.0) for i in range(DECISIONS))

    def active(self, values: Sequence[Any]) -> tuple[bool, ...]:
        """All of them."""
        return (True,) * DECISIONS

    def to_config(self) -> dict[str, Any]:
        """No options."""
        return {"name": self.name}


def zdt1(x: np.ndarray) -> tuple[float, float]:
    """Zitzler, Deb, Thiele 2000: a convex front."""
    g = 1 + 9 * x[1:].mean()
    return float(x[0]), float(g * (1 - np.sqrt(x[0] / g)))


def zdt2(x: np.ndarray) -> tuple[float, float]:
    """Zitzler, Deb, Thiele 2000: a concave front."""
    g = 1 + 9 * x[1:].mean()
    return float(x[0]), float(g * (1 - (x[0] / g) ** 2))


def dtlz2(x: np.ndarray) -> tuple[float, float]:
    """Deb, Thiele, Laumanns, Zitzler 2002: a quarter of a circle."""
    g = ((x[1:] - 0.5) ** 2).sum()
    return float((1 + g) * np.cos(x[0] * np.pi / 2)), float((1 + g) * np.sin(x[0] * np.pi / 2))


PROBLEMS: dict[str, Callable[[np.ndarray], tuple[float, float]]] = {"zdt1": zdt1, "zdt2": zdt2, "dtlz2": dtlz2}


def search(problem: str, method: str, seed: int) -> dict[str, Any]:
    """One search: hypervolume after the first points and after each batch."""
    function, space, history = PROBLEMS[problem], Box(), OBJECTIVES.new_history()
    for a in space.sample(rng(seed, "first"), FIRST):
        _measure(history, a, function)
    optimizer: Any = {
        "mobo": lambda: MOBO(space, OBJECTIVES, seed),
        "mobo_gp": lambda: MOBO(space, OBJECTIVES, seed, surrogate="gp"),
        "nsga2": lambda: NSGA2(space, OBJECTIVES, seed),
        "qlognehvi": lambda: None,
    }[method]()
    until, batch = (EVALUATIONS_NSGA2, 1) if method == "nsga2" else (EVALUATIONS, BATCH)
    volumes, begun = [_volume(history)], time.process_time()
    while history.seq < until:
        if optimizer is None:
            members = _qlognehvi(history, space, derived_seed(seed, "botorch", history.seq))
        else:
            members = [proposal.architecture for proposal in optimizer.propose(history, batch)]
        for a in members:
            _measure(history, a, function)
        volumes.append(_volume(history))
    return {
        "problem": problem, "method": method, "seed": seed, "gain": volumes[-1] - volumes[0], "volumes": volumes,
        "cpu_seconds": round(time.process_time() - begun, 1),
    }  # fmt: skip


def _measure(history: History, a: Architecture, function: Callable[[np.ndarray], tuple[float, float]]) -> None:
    f1, f2 = function(np.array(a.values, dtype=np.float64))
    history.finish(history.begin(Proposal(a)).number, Measurement({"f1": f1, "f2": f2}))


def _volume(history: History) -> float:
    return hypervolume(history.values, REFERENCE)


def _qlognehvi(history: History, space: Space, seed: int) -> list[Architecture]:
    """A batch of botorch's, as its tutorial makes it."""
    import torch
    from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import ModelListGP, SingleTaskGP
    from botorch.models.transforms import Standardize
    from botorch.optim import optimize_acqf
    from botorch.sampling import SobolQMCNormalSampler
    from gpytorch.mlls import SumMarginalLogLikelihood

    torch.manual_seed(seed % 2**31)
    x = torch.tensor([trial.architecture.values for trial in history.finished], dtype=torch.float64)
    y = -torch.from_numpy(history.values.copy())
    model = ModelListGP(*(SingleTaskGP(x, y[:, [j]], outcome_transform=Standardize(1)) for j in range(2)))
    fit_gpytorch_mll(SumMarginalLogLikelihood(model.likelihood, model))
    worth = qLogNoisyExpectedHypervolumeImprovement(
        model,
        ref_point=[-r for r in REFERENCE],
        X_baseline=x,
        prune_baseline=True,
        sampler=SobolQMCNormalSampler(torch.Size([128]), seed=seed % 2**31),
    )
    box = torch.stack([torch.zeros(DECISIONS), torch.ones(DECISIONS)]).double()
    points, _ = optimize_acqf(
        worth, bounds=box, q=BATCH, num_restarts=5, raw_samples=256, sequential=True,
        options={"batch_limit": 5, "maxiter": 100},
    )  # fmt: skip
    return [space.project([float(v) for v in row]) for row in points]


def _figures(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each problem and method the mean gain and its seeds, and the share of qLogNEHVI's over the seeds of both."""
    figures: dict[str, Any] = {}
    for problem, method in dict.fromkeys((run["problem"], run["method"]) for run in runs):
        gains, reference = (
            {run["seed"]: run["gain"] for run in runs if (run["problem"], run["method"]) == (problem, name)}
            for name in (method, "qlognehvi")
        )
        own: dict[str, Any] = {"gain": round(float(np.mean(list(gains.values()))), 4), "seeds": len(gains)}
        both = sorted(gains.keys() & reference.keys())
        if both and method != "qlognehvi":
            share = np.mean([gains[seed] for seed in both]) / np.mean([reference[seed] for seed in both])
            own["of_qlognehvi"] = round(float(share), 4)
        figures.setdefault(problem, {})[method] = own
    return figures


def main() -> None:
    """Run and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS), choices=list(PROBLEMS))
    parser.add_argument("--methods", nargs="+", default=["mobo", "mobo_gp", "qlognehvi", "nsga2"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--add", action="store_true")
    options = parser.parse_args()
    runs: list[dict[str, Any]] = []
    for problem in options.problems:
        for seed in range(options.seeds):
            for method in options.methods:
                runs.append(search(problem, method, seed))
                print({name: value for name, value in runs[-1].items() if name != "volumes"}, flush=True)
    kept = record.RESULTS / "mobo.json"  # read now: another process may have added to it meanwhile
    runs = (json.loads(kept.read_text())["raw"] if options.add and kept.exists() else []) + runs
    last = {(run["problem"], run["method"], run["seed"]): run for run in runs}
    record.keep("mobo", _figures(list(last.values())), list(last.values()))


if __name__ == "__main__":
    main()
