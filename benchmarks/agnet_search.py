"""AG-Net on tables: the best at 96 and 192 labels, its readings, surrogates and ablations (paper, tables 1, 2 and 6).

    python benchmarks/agnet_search.py nb201 [--seeds 20] [--labels 192] [--first 0] [--name agnet_nb201] \
        [--options reading=paper,weigh=none] [--pretraining steps=500] [--cache FOLDER]
    python benchmarks/agnet_search.py nb101 --seeds 20
    python benchmarks/agnet_search.py nb201 --ablations --seeds 20

NAS-Bench-201: CIFAR-10, 200-epoch validation accuracy, the whole space; the test accuracy is that of the best found.
NAS-Bench-101: 108-epoch validation accuracy in the closed domain of the sample's 20,001 cells. Proposals come 16 at a
time. `--ablations` runs the default, both readings, the trees, and the searches without weighted retraining and without
backpropagation, each kept under a name of its own. Seconds are those of all proposals, pretraining apart. With
`--first` further seeds are added to those that the result has; it must then have been made with the same options.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import record
from bo_tables import table

from nas_core.objective import Objectives
from nas_core.space import Space
from nas_core.trial import Measurement
from nas_search.config import component
from nas_search.optimizers.agnet import AGNet
from nas_surrogates.generator_pretraining import Pretraining, pretrained

AT = (96, 192)
ABLATIONS: dict[str, dict[str, Any]] = {
    "": {},
    "_paper": {"reading": "paper"},
    "_normal": {"latent": "normal"},
    "_xgb": {"surrogate": "xgb"},
    "_xgb_rank": {"surrogate": "xgb_rank"},
    "_without_weights": {"weigh": "none"},
    "_weights_in_both": {"weigh": "both"},
    "_without_backprop": {"backprop": False},
    "_one_label": {"labels": 1},
}


def test_values(name: str) -> dict[Any, float]:
    """The test accuracies of NAS-Bench-201 in per cent; none of the sample's."""
    if name != "nb201":
        return {}
    _, values = table(name)
    with np.load(record.tables_dir() / "nb201_c10.npz", allow_pickle=False) as arrays:
        return dict(zip(values, arrays["c10_test_e200"].astype(np.float64).tolist(), strict=True))


def search(space: Space, values: dict[Any, float], labels: int, options: dict[str, Any], seed: int) -> dict[str, Any]:
    """One search; `best` is the architecture of the best validation accuracy."""
    objectives = Objectives.parse(["max:val_accuracy"])
    optimizer = AGNet(space, objectives, seed, **options)
    history, best, seconds = objectives.new_history(), [], 0.0
    valid: list[float] = []
    while len(best) < labels:
        begun = time.perf_counter()
        proposals = optimizer.propose(history, min(optimizer.labels, labels - len(best)))
        seconds += time.perf_counter() - begun
        for proposal in proposals:
            value = values[proposal.architecture]
            history.finish(history.begin(proposal).number, Measurement({"val_accuracy": value}))
            best.append(max(value, best[-1] if best else value))
        valid += [float(proposals[0].info["valid"])] if "valid" in proposals[0].info else []
    optimum = max(values.values())
    found = [max(list(history)[:k], key=lambda trial: values[trial.architecture])
             for k in (min(at, labels) for at in AT)]  # fmt: skip
    return {
        "seed": seed,
        "optimum_at": best.index(optimum) + 1 if optimum in best else None,
        **{f"best_at_{at}": best[min(at, labels) - 1] for at in AT},
        "members": [space.text(trial.architecture) for trial in found],
        "architectures": [trial.architecture for trial in found],
        "valid": valid,
        "seconds": round(seconds, 2),
    }


def figures_of(runs: list[dict[str, Any]], labels: int, options: dict[str, Any]) -> dict[str, Any]:
    """What the seeds come to."""
    keys = [f"best_at_{at}" for at in AT] + [key for key in runs[0] if key.startswith("test_at_")]
    spread = {key: [run[key] for run in runs] for key in keys}
    met = [run["optimum_at"] for run in runs if run["optimum_at"] is not None]
    return {
        "options": options,
        "seeds": len(runs),
        "labels": labels,
        **{key: round(float(np.mean(own)), 4) for key, own in spread.items()},
        **{f"{key}_sd": round(float(np.std(own, ddof=1)), 4) for key, own in spread.items() if len(own) > 1},
        "found": len(met) / len(runs),
        "labels_to_optimum_where_found": round(float(np.mean(met)), 1) if met else None,
        "seconds_per_search": round(float(np.mean([run["seconds"] for run in runs])), 2),
    }


def run(name: str, given: argparse.Namespace, options: dict[str, Any]) -> None:
    """All seeds of one configuration, kept after each."""
    space, values = table(given.table)
    tests = test_values(given.table)
    pretrained(space, Pretraining(**options.get("pretraining", {})), options.get("cache"))
    shown = {key: value for key, value in options.items() if key != "cache"}
    runs: list[dict[str, Any]] = []
    if given.first:
        kept = json.loads((record.RESULTS / f"{name}.json").read_text())
        if kept["figures"]["options"] != shown or kept["figures"]["labels"] != given.labels:
            raise SystemExit("error: the result was made with other options")
        runs = kept["raw"][: given.first]
    for seed in range(given.first, given.first + given.seeds):
        one = search(space, values, given.labels, options, seed)
        found = one.pop("architectures")
        one |= {f"test_at_{at}": tests[a] for at, a in zip(AT, found, strict=True) if tests}
        runs.append(one)
        record.keep(name, figures_of(runs, given.labels, shown), runs)


def main() -> None:
    """Run and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=["nb201", "nb101"])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--labels", type=int, default=192)
    parser.add_argument("--name")
    parser.add_argument("--options", default="", help="of the optimizer, KEY=VALUE,…")
    parser.add_argument("--pretraining", default="", help="options of the generator, KEY=VALUE,…")
    parser.add_argument("--cache", help="folder of pretrained generators")
    parser.add_argument("--ablations", action="store_true")
    given = parser.parse_args()
    options = {key: value for key, value in component("agnet:" + given.options).items() if key != "name"}
    how = {key: value for key, value in component("generator:" + given.pretraining).items() if key != "name"}
    options |= {"pretraining": how, "cache": given.cache}
    name = given.name or f"agnet_{given.table}"
    for suffix, changed in ABLATIONS.items() if given.ablations else [("", {})]:
        run(name + suffix, given, {**options, **changed})


if __name__ == "__main__":
    main()
