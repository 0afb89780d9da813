"""Time to draw 1,000 HNAG networks of random generators, each as wide as its limit of parameters allows.

    python benchmarks/hnag_networks.py [--count 1000]

For the paper's eight decisions and the full Θ, at 4 M parameters on 32-pixel images and 6 M on 224-pixel images:
seconds to draw the wirings and choose the channels, seconds to draw, choose and describe the whole networks, how many
networks exceed their limit by the cost model, and how many would not with one more base channel (both must be 0); keeps
the base channels of every network.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import record

from nas_core.cost import cost
from nas_core.network import Task
from nas_core.random import rng
from nas_spaces.hnag import HNAG

TASKS = {
    "4M_32px": (Task("classification", (3, 32, 32), 10), 4_000_000),
    "6M_224px": (Task("classification", (3, 224, 224), 1000), 6_000_000),
}


def measured(space: HNAG, task: Task, limit: int, count: int) -> tuple[dict[str, Any], list[int]]:
    """Figures and base channels of `count` generators, each drawn with its own seed."""
    members = space.sample(rng(0, "hnag_networks"), count)
    start = time.perf_counter()
    channels = [space.base_channels(a, task, seed, limit=limit) for seed, a in enumerate(members)]
    chosen = time.perf_counter()
    total, exceed, wider_fits, nodes, describing = 0, 0, 0, 0, 0.0
    for seed, a in enumerate(members):
        before = time.perf_counter()
        network = space.network(a, task, seed, limit=limit)
        describing += time.perf_counter() - before
        wider = space.network(a, task, seed, limit=None, channels=channels[seed] + 1)
        parameters = cost(network).parameters
        total += parameters
        exceed += parameters > limit
        wider_fits += cost(wider).parameters <= limit
        nodes += len(network.nodes)
    figures = {
        "choose_seconds": round(chosen - start, 2),
        "network_seconds": round(describing, 2),
        "exceed_limit": exceed,
        "one_more_channel_fits": wider_fits,
        "mean_share_of_limit": round(total / count / limit, 4),
        "mean_nodes": round(nodes / count, 1),
    }
    return figures, channels


def main() -> None:
    """Draw, check and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    count = parser.parse_args().count
    figures: dict[str, Any] = {"count": count}
    raw = {}
    for full in (False, True):
        for name, (task, limit) in TASKS.items():
            key = f"{'full' if full else 'eight'}_{name}"
            figures[key], raw[key] = measured(HNAG(full=full), task, limit, count)
    record.keep("hnag_networks", figures, raw)


if __name__ == "__main__":
    main()
