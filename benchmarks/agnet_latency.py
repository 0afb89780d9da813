"""AG-Net under latency limits: NAS-Bench-201's CIFAR-10 accuracy on two devices (paper, table 5 and figure 4).

    python benchmarks/agnet_latency.py [--devices raspi4 pixel3] [--shares 8 23] [--modes joint0 joint1 random] \
        [--seeds 10] [--labels 200] [--options alpha=0.95] [--cache FOLDER] [--journal agnet_latency.jsonl]

Validation accuracy (%) after 200 epochs under a limit on the latency (ms) that HELP measured on a device. The limit is
the latency that a share of the connected cells, those through which anything passes, keep: the shares are those that
random search finds feasible in table 5. Modes: AG-Net for accuracy alone under the limit (joint=0), for accuracy and
latency (joint=1), and random search. `optimum` is the best accuracy that keeps the limit; of the best cell of each seed
the best and the mean, the shares of labels that keep the limit, in all and in each round, and in how many seeds the
optimum was met. Runs are journalled by device, limit, mode, seed and options; the result holds those asked for.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import record
from bo_latency import joined
from bo_tables import table
from connected import connected
from journal import Journal

from nas_core.architecture import Architecture
from nas_core.objective import Objectives
from nas_core.trial import Measurement
from nas_search.compare.searchers import make_searcher
from nas_search.config import component
from nas_search.optimizers.agnet import AGNet
from nas_surrogates.generator_pretraining import Pretraining, pretrained

SHARES = {"raspi4": (8.0, 23.0, 27.0, 39.0, 47.0, 57.0), "pixel3": (7.5, 13.0, 18.0, 24.0, 28.0)}
"""Per cent of the connected cells that keep each limit."""
MODES: dict[str, dict[str, Any] | None] = {"joint0": {"joint": False}, "joint1": {"joint": True}, "random": None}
Values = dict[Architecture, tuple[float, float]]


def limit_at(values: Values, share: float) -> float:
    """The latency (ms, up to 0.001) that so many per cent of the connected cells keep."""
    latencies = np.array([ms for a, (_, ms) in values.items() if connected(a)])
    return float(np.ceil(1e3 * np.quantile(latencies, share / 100.0)) / 1e3)


def search(
    values: Values, limit: float, mode: dict[str, Any] | None, seed: int, labels: int, options: dict[str, Any]
) -> dict[str, Any]:
    """One search; rounds are those of 16 labels, the first of which are random."""
    space, _ = table("nb201")
    objectives = Objectives.parse(["max:val_accuracy"], [f"latency<={limit}"])
    history, seconds = objectives.new_history(), 0.0
    optimizer = (
        make_searcher({"name": "random"}, space, objectives, seed)
        if mode is None
        else AGNet(space, objectives, seed, **{**options, **mode})
    )
    while len(history) < labels:
        begun = time.perf_counter()
        asked = optimizer.propose(history, min(16, labels - len(history))) if mode is not None else [optimizer.ask()]
        seconds += time.perf_counter() - begun
        for proposal in asked:
            accuracy, latency = values[proposal.architecture]
            measured = Measurement({"val_accuracy": accuracy, "latency": latency})
            history.finish(history.begin(proposal).number, measured)
            if mode is None:
                optimizer.tell(measured)
    feasible = objectives.feasible(history.values)
    best = objectives.best(history)
    return {
        "best": best[0].metrics["val_accuracy"] if best else None,
        "latency": best[0].metrics["latency"] if best else None,
        "member": space.text(best[0].architecture) if best else None,
        "feasible": float(feasible.mean()),
        "rounds": [round(float(feasible[k : k + 16].mean()), 4) for k in range(0, labels, 16)],
        "seconds": round(seconds, 2),
    }


def figures_of(runs: list[dict[str, Any]], optimum: float) -> dict[str, Any]:
    """What the seeds of one limit and mode come to."""
    found = [run["best"] for run in runs if run["best"] is not None]
    return {
        "seeds": len(runs),
        "best": max(found, default=None),
        "mean": round(float(np.mean(found)), 4) if found else None,
        "sd": round(float(np.std(found, ddof=1)), 4) if len(found) > 1 else None,
        "without": len(runs) - len(found),
        "feasible": round(float(np.mean([run["feasible"] for run in runs])), 4),
        "feasible_by_round": np.round(np.mean([run["rounds"] for run in runs], axis=0), 3).tolist(),
        "met_optimum": sum(best == optimum for best in found),
        "seconds_per_search": round(float(np.mean([run["seconds"] for run in runs])), 2),
    }


def main() -> None:
    """Run and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", nargs="+", default=list(SHARES), choices=list(SHARES))
    parser.add_argument("--shares", nargs="+", type=float, help="per cent; those of table 5 by default")
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=list(MODES))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--labels", type=int, default=200)
    parser.add_argument("--options", default="", help="of the optimizer, KEY=VALUE,…")
    parser.add_argument("--pretraining", default="", help="options of the generator, KEY=VALUE,…")
    parser.add_argument("--cache", help="folder of pretrained generators")
    parser.add_argument("--journal", type=Path, default=Path("agnet_latency.jsonl"))
    parser.add_argument("--name", default="agnet_latency")
    given = parser.parse_args()
    options = {key: value for key, value in component("agnet:" + given.options).items() if key != "name"}
    how = {key: value for key, value in component("generator:" + given.pretraining).items() if key != "name"}
    pretrained(table("nb201")[0], Pretraining(**how), given.cache)
    journal = Journal(given.journal)
    figures: dict[str, Any] = {"labels": given.labels, "options": options, "pretraining": how}
    raw: list[dict[str, Any]] = []
    for device in given.devices:
        values = joined(device)
        for share in given.shares or SHARES[device]:
            limit = limit_at(values, share)
            optimum = max(accuracy for accuracy, ms in values.values() if ms <= limit)
            own: dict[str, Any] = {"limit": limit, "optimum": round(optimum, 4)}
            figures[f"{device}_{share:g}"] = own
            for mode in given.modes:
                runs = []
                for seed in range(given.first, given.first + given.seeds):
                    key = {"device": device, "limit": limit, "mode": mode, "seed": seed, "labels": given.labels}
                    if mode != "random":
                        key |= {"options": options, "pretraining": how}
                    more = {**options, "pretraining": how, "cache": given.cache}
                    runs.append(
                        journal.run(
                            key,
                            lambda v=values, m=limit, k=MODES[mode], s=seed, o=more: search(
                                v, m, k, s, given.labels, o
                            ),
                        )
                    )
                    raw.append({"device": device, "share": share, "mode": mode, "seed": seed, **runs[-1]})
                own[mode] = figures_of(runs, optimum)
            record.keep(given.name, figures, raw)


if __name__ == "__main__":
    main()
