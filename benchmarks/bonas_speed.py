"""What BONAS costs beside the evaluations: 150 labels on NAS-Bench-201, and milliseconds a label up to 1,500 labels.

    python benchmarks/bonas_speed.py [--searches 3] [--labels 150] [--longest 1500]

One process with torch's own number of threads; looking a value up costs nothing. A search goes on when it has met the
best. The seconds are those of making the optimizer and of all its proposals. Growth: the milliseconds a label in blocks
of 100 labels, and the exponent e for which they grow most nearly like labels^e from the second block on, by least
squares of the logarithms; linear growth is 1.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np
import record
import torch
from bo_tables import table

from nas_core.objective import Objectives
from nas_core.trial import Measurement
from nas_search.optimizers.bonas import Bonas

BLOCK = 100


def times(labels: int, seed: int) -> list[float]:
    """Seconds of each proposal, of the first with the making of the optimizer."""
    space, values = table("nb201")
    objectives = Objectives.parse(["max:val_accuracy"])
    begun = time.perf_counter()
    optimizer, history = Bonas(space, objectives, seed), objectives.new_history()
    seconds: list[float] = []
    for _ in range(labels):
        (proposal,) = optimizer.propose(history, 1)
        seconds.append(time.perf_counter() - begun)
        number = history.begin(proposal).number
        history.finish(number, Measurement({"val_accuracy": values[proposal.architecture]}))
        begun = time.perf_counter()
    return seconds


def growth(milliseconds: list[float]) -> float:
    """The exponent of a power law through the blocks from the second on, each at its middle."""
    labels = BLOCK * (np.arange(len(milliseconds)) + 0.5)
    return float(np.polyfit(np.log(labels[1:]), np.log(milliseconds[1:]), 1)[0])


def main() -> None:
    """Run and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", type=int, default=3)
    parser.add_argument("--labels", type=int, default=150)
    parser.add_argument("--longest", type=int, default=1500, help="labels of the search for the growth; 0 for none")
    given = parser.parse_args()
    table("nb201")
    times(20, 0)  # what is loaded once
    searches = [times(given.labels, seed) for seed in range(given.searches)]
    figures: dict[str, Any] = {
        "labels": given.labels,
        "seconds": [round(sum(seconds), 2) for seconds in searches],
        "threads": torch.get_num_threads(),
    }
    if given.longest >= 3 * BLOCK:
        seconds = times(given.longest, 0)
        blocks = [seconds[i : i + BLOCK] for i in range(0, len(seconds) - BLOCK + 1, BLOCK)]
        milliseconds = [1e3 * float(np.mean(block)) for block in blocks]
        figures |= {"ms_per_label": [round(ms, 1) for ms in milliseconds], "growth": round(growth(milliseconds), 2)}
        searches.append(seconds)
    record.keep("bonas_speed", figures, [[round(second, 5) for second in seconds] for seconds in searches])


if __name__ == "__main__":
    main()
