"""Accuracy and latency together on NAS-Bench-201: `bo` after 100 labels against pymoo's NSGA-II after 300.

    python benchmarks/bo_latency.py [--devices raspi4 pixel3] [--seeds 20]

Objectives: the most 200-epoch validation accuracy on CIFAR-10 (%) and the least latency on one device (ms), joined by
architecture. Hypervolumes are shares of that of the whole table's front. The reference point is the worst value of
each objective in the table, as in `nas compare`; a second one, which leaves the degenerate end of the front out
(disconnected cells, 9.7 %), is 85 % accuracy and a tenth more than the latency of the most accurate cell. Both
searchers run in their default configuration. Keeps each seed's share at each of `AT` labels and every label's values.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import record
from bo_tables import table

from nas_core.architecture import Architecture
from nas_core.objective import Objectives
from nas_core.pareto import hypervolume, non_dominated
from nas_core.trial import Measurement
from nas_search.compare.searchers import make_searcher

AT = (50, 100, 200, 300)
LABELS = {"bo": 100, "pymoo_nsga2": 300}
OBJECTIVES = Objectives.parse(["max:val_accuracy", "min:latency"])


def joined(device: str) -> dict[Architecture, tuple[float, float]]:
    """Accuracy (%) and latency (ms) of each cell."""
    space, accuracies = table("nb201")
    with np.load(record.tables_dir() / "nb201_latency.npz", allow_pickle=False) as arrays:
        names = [str(operation) for operation in arrays["op_names"]]
        rows, latencies = arrays["ops"], arrays[f"help_{device}_lat_ms"].astype(np.float64)
    members = [Architecture(space.name, tuple(names[k] for k in row)) for row in rows]
    return {a: (accuracies[a], ms) for a, ms in zip(members, latencies.tolist(), strict=True)}


def search(name: str, values: dict[Architecture, tuple[float, float]], seed: int) -> tuple[np.ndarray, float]:
    """The losses of each label (n x 2), and milliseconds a proposal."""
    space, _ = table("nb201")
    searcher = make_searcher({"name": name}, space, OBJECTIVES, seed)
    seconds, measured = 0.0, []
    for _ in range(LABELS[name]):
        begun = time.perf_counter()
        proposal = searcher.ask()
        seconds += time.perf_counter() - begun
        accuracy, latency = values[proposal.architecture]
        searcher.tell(Measurement({"val_accuracy": accuracy, "latency": latency}))
        measured.append((accuracy, latency))
    return OBJECTIVES.losses(np.array(measured)), 1e3 * seconds / LABELS[name]


def share(losses: np.ndarray, front: np.ndarray, reference: np.ndarray) -> float:
    """The part of the whole table's hypervolume."""
    inside = losses[(losses < reference).all(axis=1)]
    whole = hypervolume(front[(front < reference).all(axis=1)], reference)
    return hypervolume(inside, reference) / whole if len(inside) else 0.0


def main() -> None:
    """Run and keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--devices", nargs="+", default=["raspi4", "pixel3"], choices=["raspi4", "pixel3"])
    parser.add_argument("--seeds", type=int, default=20)
    options = parser.parse_args()
    for device in options.devices:
        compare(device, options.seeds)


def compare(device: str, seeds: int) -> None:
    """Both searchers on one device; kept as `bo_latency_<device>`."""
    values = joined(device)
    every = OBJECTIVES.losses(np.array(list(values.values())))
    front = every[non_dominated(every)]
    dearest = front[front[:, 0].argmin(), 1]
    references = {"worst": every.max(axis=0), "useful": np.array([-85.0, 1.1 * dearest])}
    figures: dict[str, Any] = {
        "references": {key: OBJECTIVES.measured(point).tolist() for key, point in references.items()}
    }
    raw: list[dict[str, Any]] = []
    for name, labels in LABELS.items():
        runs = [search(name, values, seed) for seed in range(seeds)]
        shares = {
            f"{key}_at_{k}": np.array([share(losses[:k], front, point) for losses, _ in runs])
            for key, point in references.items()
            for k in AT
            if k <= labels
        }
        figures[name] = {
            **{key: [round(float(own.mean()), 5), _error(own)] for key, own in shares.items()},
            "ms_per_label": round(float(np.mean([ms for _, ms in runs])), 1),
        }
        for seed, (losses, _) in enumerate(runs):
            own = {key: round(float(each[seed]), 6) for key, each in shares.items()}
            raw.append(
                {"optimizer": name, "seed": seed, **own, "labels": OBJECTIVES.measured(losses).round(3).tolist()}
            )
    record.keep(f"bo_latency_{device}", figures, raw)


def _error(values: np.ndarray) -> float | None:
    return round(float(values.std(ddof=1) / len(values) ** 0.5), 5) if len(values) > 1 else None


if __name__ == "__main__":
    main()
