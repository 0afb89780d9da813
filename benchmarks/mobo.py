"""MOBO against botorch's qLogNEHVI with a Gaussian process, and against NSGA-II: functions with known fronts, a table.

    python benchmarks/mobo.py [--problems zdt1 zdt2 dtlz2 nb201_pixel3] [--methods mobo mobo_bnn qlognehvi nsga2] \
        [--seeds 10] [--journal mobo.jsonl] [--processes 2] [--minutes N]

zdt1, zdt2, dtlz2: functions of 6 real decisions with 2 objectives, reference point (1.1, 1.1) for each. nb201_pixel3:
NAS-Bench-201's CIFAR-10 validation accuracy after 200 epochs (%) and the latency on a pixel3 (ms); the reference point,
as in `bo_latency.py`, is 85 % and a tenth more than the latency of the most accurate cell.

All methods of a seed begin with the same 12 random members. After 100 evaluations in batches of 8 the gain is the
hypervolume less that of the first 12; NSGA-II (population 20, one at a time) has 200 evaluations. MOBO has its default
configuration, with a Gaussian process (`mobo`), or NAGO's Bayesian neural network in its place (`mobo_bnn`).

qLogNEHVI: independent Gaussian processes in botorch's default configuration, 128 quasi-random samples, baseline pruned,
batches chosen one by one. On the functions each is found from 5 starts of 256 points. In the table, where the kernel is
botorch's for categories (`MixedSingleTaskGP`), it is the best of the 1,000 cells not yet evaluated that are best alone:
what a pending cell gains can only take away from what the others gain.

Runs are journalled by problem, method and seed. Keeps the hypervolume after each batch.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import record
from portions import Run, known_of, make_missing

from nas_core.architecture import Architecture
from nas_core.decisions import Categorical, Real
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.pareto import hypervolume
from nas_core.random import derived_seed, rng
from nas_core.space import Enumerable, Space
from nas_core.trial import Measurement, Proposal
from nas_search.optimizers.mobo import MOBO
from nas_search.optimizers.nsga2 import NSGA2
from nas_spaces.nasbench201 import NASBench201

DECISIONS, FIRST, BATCH = 6, 12, 8
EVALUATIONS, EVALUATIONS_NSGA2 = 100, 200
METHODS = ("mobo", "mobo_bnn", "qlognehvi", "nsga2")
_CHUNK, _SHORTLIST = 1024, 1000


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


FUNCTIONS: dict[str, Callable[[np.ndarray], tuple[float, float]]] = {"zdt1": zdt1, "zdt2": zdt2, "dtlz2": dtlz2}
PROBLEMS = (*FUNCTIONS, "nb201_pixel3")


class Problem(NamedTuple):
    """What is searched for what, the values of a member, and the reference point of the losses."""

    space: Space
    objectives: Objectives
    values: Callable[[Architecture], tuple[float, float]]
    reference: tuple[float, float]


@cache
def problem_of(name: str) -> Problem:
    """A problem by its name."""
    if name in FUNCTIONS:
        objectives = Objectives.parse(["min:f1", "min:f2"])
        return Problem(Box(), objectives, lambda a: FUNCTIONS[name](np.array(a.values, dtype=np.float64)), (1.1, 1.1))
    from bo_latency import OBJECTIVES, joined

    table = joined("pixel3")
    _, latency = max(table.values(), key=lambda both: (both[0], -both[1]))
    return Problem(NASBench201(), OBJECTIVES, table.__getitem__, (-85.0, 1.1 * latency))


def search(name: str, method: str, seed: int) -> dict[str, Any]:
    """One search: hypervolume after the first members and after each batch."""
    problem = problem_of(name)
    space, objectives, history = problem.space, problem.objectives, problem.objectives.new_history()
    for a in space.sample(rng(seed, "first"), FIRST):
        _measure(history, a, problem)
    optimizer: Any = {
        "mobo": lambda: MOBO(space, objectives, seed),
        "mobo_bnn": lambda: MOBO(space, objectives, seed, surrogate="bnn"),
        "nsga2": lambda: NSGA2(space, objectives, seed),
        "qlognehvi": lambda: None,
    }[method]()
    until, batch = (EVALUATIONS_NSGA2, 1) if method == "nsga2" else (EVALUATIONS, BATCH)
    volumes, begun = [_volume(history, problem)], time.process_time()
    while history.seq < until:
        if optimizer is None:
            members = _qlognehvi(history, problem, derived_seed(seed, "botorch", history.seq))
        else:
            members = [proposal.architecture for proposal in optimizer.propose(history, batch)]
        for a in members:
            _measure(history, a, problem)
        volumes.append(_volume(history, problem))
    return {
        "problem": name, "method": method, "seed": seed, "gain": volumes[-1] - volumes[0], "volumes": volumes,
        "cpu_seconds": round(time.process_time() - begun, 1),
    }  # fmt: skip


def _measure(history: History, a: Architecture, problem: Problem) -> None:
    metrics = dict(zip(problem.objectives.metrics, problem.values(a), strict=True))
    history.finish(history.begin(Proposal(a)).number, Measurement(metrics))


def _volume(history: History, problem: Problem) -> float:
    return hypervolume(problem.objectives.losses(history.values), problem.reference)


def _qlognehvi(history: History, problem: Problem, seed: int) -> list[Architecture]:
    """A batch of botorch's, as its tutorials make it."""
    import torch
    from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import MixedSingleTaskGP, ModelListGP, SingleTaskGP
    from botorch.models.transforms import Standardize
    from botorch.optim import optimize_acqf, optimize_acqf_discrete
    from botorch.sampling import SobolQMCNormalSampler
    from gpytorch.mlls import SumMarginalLogLikelihood

    torch.manual_seed(seed % 2**31)
    space = problem.space
    seen = [trial.architecture for trial in history.finished]
    x = torch.tensor([_numbers(space, a) for a in seen], dtype=torch.float64)
    y = -torch.from_numpy(problem.objectives.losses(history.values))
    kind: Any = SingleTaskGP
    if isinstance(space, Enumerable):
        kind = partial(MixedSingleTaskGP, cat_dims=list(range(x.shape[1])))
    model = ModelListGP(*(kind(x, y[:, [j]], outcome_transform=Standardize(1)) for j in range(2)))
    fit_gpytorch_mll(SumMarginalLogLikelihood(model.likelihood, model))
    worth = qLogNoisyExpectedHypervolumeImprovement(
        model,
        ref_point=[-r for r in problem.reference],
        X_baseline=x,
        prune_baseline=True,
        sampler=SobolQMCNormalSampler(torch.Size([128]), seed=seed % 2**31),
    )
    if isinstance(space, Enumerable):
        left = list(dict.fromkeys([*seen, *space.enumerate()]))[len(set(seen)) :]
        choices = torch.tensor([_numbers(space, a) for a in left], dtype=torch.float64)
        with torch.no_grad():
            alone = torch.cat([worth(part[:, None]) for part in choices.split(_CHUNK)])
        choices = choices[alone.topk(min(_SHORTLIST, len(left))).indices]
        points, _ = optimize_acqf_discrete(worth, q=BATCH, choices=choices, max_batch_size=_CHUNK, unique=True)
        of = {tuple(_numbers(space, a)): a for a in left}
        return [of[tuple(row)] for row in points.tolist()]
    box = torch.stack([torch.zeros(DECISIONS), torch.ones(DECISIONS)]).double()
    points, _ = optimize_acqf(
        worth, bounds=box, q=BATCH, num_restarts=5, raw_samples=256, sequential=True,
        options={"batch_limit": 5, "maxiter": 100},
    )  # fmt: skip
    return [space.project([float(v) for v in row]) for row in points]


def _numbers(space: Space, a: Architecture) -> list[float]:
    """The member's numbers: choices by their place, others as they are."""
    pairs: Any = zip(space.decisions, a.values, strict=True)
    return [float(d.index(value) if isinstance(d, Categorical) else value) for d, value in pairs]


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
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--journal", type=Path, default=Path("mobo.jsonl"))
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--minutes", type=float, help="begin nothing new after so many minutes")
    options = parser.parse_args()
    wanted = [
        Run({"problem": problem, "method": method, "seed": seed}, partial(search, problem, method, seed))
        for problem in options.problems
        for seed in range(options.seeds)
        for method in options.methods
    ]
    make_missing(options.journal, wanted, options.processes, options.minutes)
    known = known_of(options.journal, [run.key for run in wanted])
    runs = [run for run in known if run is not None]
    if len(runs) < len(wanted):
        raise SystemExit(f"{len(wanted) - len(runs)} searches are left; the same command goes on")
    references = {name: list(problem_of(name).reference) for name in options.problems}
    settings = {"first": FIRST, "batch": BATCH, "evaluations": EVALUATIONS, "evaluations_nsga2": EVALUATIONS_NSGA2}
    record.keep("mobo", {**settings, "references": references, **_figures(runs)}, runs)


if __name__ == "__main__":
    main()
