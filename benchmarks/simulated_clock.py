"""How many trials a second a study in simulated time runs, on one core.

    python benchmarks/simulated_clock.py [--trials 5000] [--repeats 3]

Studies of 8 simulated workers on the table of NAS-Bench-201, whole: proposing, looking up, keeping in the store, the
summary. Seconds of the clock and of the processor, the median of the repeats; seeds 0, 1, … The disk's part is the
difference between the two. To be reached: thousands a second.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import record

from nas_search.config import StudyConfig
from nas_search.study import Study
from nas_spaces.tables.convert import nb201

WORKERS = 8


def timed(directory: Path, table: Path, optimizer: str, trials: int, seed: int) -> tuple[float, float]:
    """Seconds of the clock and of the processor of one study."""
    config = StudyConfig.from_mapping(
        {
            "space": "nasbench201",
            "optimizer": optimizer,
            "evaluator": {"name": "table", "file": str(table)},
            "objectives": ["max:val_accuracy"],
            "trials": trials,
            "seed": seed,
            "executor": f"simulated:{WORKERS}",
        }
    )
    with Study.create(directory, config) as study:
        clock, processor = time.perf_counter(), time.process_time()
        study.run()
        return time.perf_counter() - clock, time.process_time() - processor


def main() -> None:
    """Run the studies and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    raw, figures = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "nasbench201.npz"
        nb201(record.tables_dir()).save(table)
        for optimizer in ("random", "evolution"):
            raw[optimizer] = [
                timed(Path(folder) / f"{optimizer}{seed}", table, optimizer, options.trials, seed)
                for seed in range(options.repeats)
            ]
            clock, processor = (statistics.median(seconds) for seconds in zip(*raw[optimizer], strict=True))
            figures[optimizer] = {
                "trials_a_second": round(options.trials / clock, 1),
                "trials_a_processor_second": round(options.trials / processor, 1),
            }
    record.keep("simulated_clock", {"trials": options.trials, "workers": WORKERS, **figures}, raw)


if __name__ == "__main__":
    main()
