"""NAO on NAS-Bench-201 and on the sample of NAS-Bench-101, and whether its steps help (paper, figure 2b).

    python benchmarks/nao_search.py nb201 [--labels 192] [--seeds 3] [--first 0] [--options children=8,…]
    python benchmarks/nao_search.py nb101 [--labels 192] [--seeds 3]

NAS-Bench-201: CIFAR-10, 200-epoch validation accuracy, the whole space. NAS-Bench-101: 108-epoch validation accuracy in
the closed domain of the sample's 20,001 cells. Every label counts. Keeps each seed's best at 96 and at all labels, the
processor seconds of the optimizer, and for every round the mean true accuracy of what was decoded, of one mutation of
each of its seeds, and of as many random members, none of them met before the round; and the mean predicted accuracy.
Further seeds are added to what the result has (`--first`).
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import record
from bo_tables import table

from nas_core.architecture import Architecture
from nas_core.history import History
from nas_core.objective import Objectives
from nas_core.random import rng
from nas_core.space import Space
from nas_core.trial import Measurement
from nas_search.config import component
from nas_search.optimizers.nao import NAO

OBJECTIVES = Objectives.parse(["max:val_accuracy"])


def search(name: str, labels: int, seed: int, options: dict[str, Any]) -> dict[str, Any]:
    """One search."""
    space, values = table(name)
    optimizer = NAO(space, OBJECTIVES, seed, **options)
    history = OBJECTIVES.new_history()
    best: list[float] = []
    predicted: dict[int, list[float]] = {}
    seconds = 0.0
    while len(best) < labels:
        begun = time.process_time()
        (proposal,) = optimizer.propose(history, 1)
        seconds += time.process_time() - begun
        if proposal.info["by"] == "step" and optimizer.posterior is not None:
            mean = -optimizer.posterior.predict([proposal.architecture]).mean[0, 0]
            predicted.setdefault(int(proposal.info["round"]), []).append(float(mean))
        value = values[proposal.architecture]
        history.finish(history.begin(proposal).number, Measurement({"val_accuracy": value}))
        best.append(max(value, best[-1] if best else value))
    return {
        "seed": seed,
        "best_at_96": best[min(96, labels) - 1],
        "best": best[-1],
        "seconds": round(seconds, 1),
        "rounds": [told(space, values, history, start, seed, means) for start, means in predicted.items()],
    }


def told(
    space: Space, values: dict[Architecture, float], history: History, start: int, seed: int, predicted: list[float]
) -> dict[str, Any]:
    """How the steps of a round fared."""
    known = {history[number].architecture for number in range(start)}
    trials = [trial for trial in history if trial.proposal.info.get("round") == start]
    infos = [(trial.architecture, trial.proposal.info) for trial in trials]
    decoded = [(a, space.parse(str(info["seed"]))) for a, info in infos if info["by"] == "step"]
    stream = rng(seed, "controls", start)
    mutated = [_new(known, lambda parent=parent: space.mutate(parent, stream)) for _, parent in decoded]
    drawn = [_new(known, lambda: space.sample(stream, 1)[0]) for _ in decoded]
    return {
        "start": start,
        "steps": len(decoded),
        "mutations": sum(info["by"] == "mutation" for _, info in infos),
        "predicted": round(float(np.mean(predicted)), 3),
        "true": round(float(np.mean([values[a] for a, _ in decoded])), 3),
        "mutated": round(float(np.mean([values[a] for a in mutated if a is not None])), 3),
        "random": round(float(np.mean([values[a] for a in drawn if a is not None])), 3),
    }


def _new(known: set[Architecture], draw: Any) -> Architecture | None:
    """A draw that was not known; None after a hundred."""
    return next((a for a in (draw() for _ in range(100)) if a not in known), None)


def main() -> None:
    """Run and keep, after every seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=["nb201", "nb101"])
    parser.add_argument("--labels", type=int, default=192)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--options", default="", help="of the optimizer, KEY=VALUE,…")
    parser.add_argument("--name")
    given = parser.parse_args()
    options = {key: value for key, value in component("all:" + given.options).items() if key != "name"}
    name = given.name or f"nao_search_{given.table}"
    path = record.RESULTS / f"{name}.json"
    runs: list[dict[str, Any]] = json.loads(path.read_text())["raw"] if path.exists() else []
    for seed in range(given.first, given.first + given.seeds):
        runs = [run for run in runs if run["seed"] != seed]
        runs.append({**search(given.table, given.labels, seed, options), "labels": given.labels, "options": options})
        record.keep(name, figures_of(runs), runs)


def figures_of(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Means over the seeds."""
    best = np.array([run["best"] for run in runs])
    rounds = [single for run in runs for single in run["rounds"]]
    keys = ("true", "predicted", "mutated", "random")
    means = {key: round(float(np.mean([single[key] for single in rounds])), 3) for key in keys}
    by_start: dict[int, list[dict[str, Any]]] = {}
    for single in rounds:
        by_start.setdefault(single["start"], []).append(single)
    above = [
        np.mean([r["true"] for r in own]) > max(np.mean([r[other] for r in own]) for other in ("mutated", "random"))
        for own in by_start.values()
    ]
    return {
        "seeds": len(runs),
        "best": round(float(best.mean()), 4),
        "se": round(float(best.std(ddof=1) / len(best) ** 0.5), 4) if len(best) > 1 else None,
        "least": round(float(best.min()), 4),
        "best_at_96": round(float(np.mean([run["best_at_96"] for run in runs])), 4),
        "seconds": round(float(np.mean([run["seconds"] for run in runs])), 1),
        "of_steps": means,
        "rounds_above_mutations_and_random": f"{sum(above)} of {len(above)}",
    }


if __name__ == "__main__":
    main()
