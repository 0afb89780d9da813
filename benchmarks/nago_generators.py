"""NAGO's surrogates and its premise on generators that were trained: paper, table 1 and figures 2, 4 and 5b, in small.

    python benchmarks/nago_generators.py [--folder nago] [--parts table draws figures] [--minutes N] \
        [--generators 150] [--executor processes:2]

`nago_shared.py` says what is trained on what. table: `nas table build` trains one network of each of 150 random HNAG
generators (8 decisions) to the highest fidelity; the table is FOLDER/generators.npz, its study beside it. draws: 3 more
networks of each of the first 20 generators, and 2 of its networks at each lower fidelity. Both go on after a stop and
can run beside each other. figures: 4 more networks of the generator that is best in the table, and

    table1    10 splits, 50 generators to fit and 100 to predict validation accuracy (a share, as in the paper): mean
              negative log likelihood and root mean square error of the Bayesian neural networks and a Gaussian process
    premise   variance of accuracy (%) between generators and within (one-way analysis of variance); Spearman's
              correlation of the accuracies of single networks at a lower and at the highest fidelity, of networks drawn
              anew (mean over pairs of draws) and of the same ones; accuracy of the best generator's other networks less
              the mean of all generators
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import deadline
import nago_shared as shared
import numpy as np
import record
from journal import Journal

from nas_core.architecture import Architecture
from nas_core.evaluator import Evaluation
from nas_core.objective import Objectives
from nas_core.random import rng
from nas_core.registry import from_config
from nas_core.space import Space
from nas_core.training_set import TrainingSet
from nas_search.optimizers.sweep import Sweep
from nas_spaces.tables import Table
from nas_surrogates.metrics import gaussian_nll, rmse, spearman
from nas_train.evaluator import TrainingEvaluator

PARTS = ("table", "draws", "figures")
REPEATED, NETWORKS, CHEAP, BEST = 20, 4, 2, 4
FITTED, PREDICTED, SPLITS = 50, 100, 10
SEED = 0
SURROGATES: dict[str, dict[str, Any]] = {
    "heteroscedastic": {"name": "bnn"},
    "homoscedastic": {"name": "bnn", "heteroscedastic": False},
    "gp": {"name": "gp", "warp": "none"},
}
_NAS = "from nas_search.cli import main; main()"
_STOPPED = 130


def build_table(
    place: Path, training: dict[str, Any], generators: int, executor: str, until: deadline.Deadline
) -> None:
    """Run `nas table build` to its end, or until the time is over."""
    until.check()
    space = {key: value for key, value in shared.SPACES["hnag"].items() if key != "name"}
    command = [
        sys.executable, "-c", _NAS, "table", "build", "--space", f"hnag:{_text(space)}", "--n", str(generators),
        "--data", training["data"], "--fidelity", str(shared.TOP), "--seed", str(SEED), "--executor", executor,
        "--train", _text({key: value for key, value in training.items() if key != "data"}), "--out", str(place),
    ]  # fmt: skip
    process = subprocess.Popen(command)
    try:
        process.wait(until.seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
    if process.wait() == _STOPPED:
        until.check()
    if process.returncode:
        raise SystemExit(process.returncode)


def _text(options: dict[str, Any]) -> str:
    return ",".join(f"{key}={json.dumps(value)}" for key, value in options.items())


class Networks:
    """Trains networks of generators that the table does not have, and journals them."""

    def __init__(self, space: Space, training: dict[str, Any], journal: Journal, until: deadline.Deadline) -> None:
        self._space, self._journal, self._until = space, journal, until
        self._evaluator = TrainingEvaluator(**training)

    def measured(self, a: Architecture, draw: int, epochs: int) -> dict[str, Any]:
        """What was measured of a drawn network, trained and measured as the table's are."""
        key = {"generator": self._space.text(a), "draw": draw, "epochs": epochs}
        return self._journal.run(key, partial(self._trained, a, draw, epochs))

    def _trained(self, a: Architecture, draw: int, epochs: int) -> dict[str, Any]:
        self._until.check()
        found = self._evaluator.evaluate(Evaluation(self._space, a, fidelity=epochs, draw=draw, seed=SEED))
        return dict(found.metrics)


def regression(members: Sequence[Architecture], accuracy: np.ndarray, space: Space, split: int) -> dict[str, Any]:
    """Error and likelihood of each surrogate on one split (accuracies as shares)."""
    order = rng(SEED, "split", split).permutation(len(members))
    fitted, predicted = order[:FITTED], order[FITTED : FITTED + PREDICTED]
    data = TrainingSet(
        tuple(members[i] for i in fitted), -accuracy[fitted, None], np.ones(FITTED, dtype=np.int64), np.zeros(FITTED)
    )
    found: dict[str, Any] = {"split": split}
    for name, config in SURROGATES.items():
        posterior = from_config("surrogate", config, space).fit(data, rng(SEED, "fit", split, name))
        said = posterior.predict([members[i] for i in predicted])
        noise = np.zeros_like(said.std) if said.noise_std is None else said.noise_std
        std, losses = np.sqrt(said.std**2 + noise**2)[:, 0], -accuracy[predicted]
        found[name] = {"nll": gaussian_nll(said.mean[:, 0], std, losses), "rmse": rmse(said.mean[:, 0], losses)}
    return found


def table1(splits: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over splits."""
    return {
        name: {key: round(float(np.median([split[name][key] for split in splits])), 4) for key in ("nll", "rmse")}
        for name in SURROGATES
    }


def variances(values: np.ndarray) -> dict[str, float]:
    """Components of the variance of k networks of each of n generators (n x k): one-way analysis of variance."""
    k = values.shape[1]
    within = float(values.var(axis=1, ddof=1).mean())
    of_means = float(values.mean(axis=1).var(ddof=1))
    between = max(0.0, of_means - within / k)
    return {"between": between, "within": within, "share_between": between / (between + within)}


def correlations(low: np.ndarray, high: np.ndarray) -> dict[str, float]:
    """Spearman's correlation of networks i at a low fidelity (n x l) with networks j at a high one (n x k)."""
    pairs = [(i == j, spearman(low[:, i], high[:, j])) for i in range(low.shape[1]) for j in range(high.shape[1])]
    return {
        "drawn_anew": float(np.mean([value for same, value in pairs if not same])),
        "same_network": float(np.mean([value for same, value in pairs if same])),
    }


def premise(
    twenty: dict[Architecture, dict[str, float]], best: Architecture, accuracy: np.ndarray, networks: Networks
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Figures and raw values.

    Args:
        twenty: generators, and what the table has of each.
        best: the generator whose network is the best of the table.
        accuracy: of all of the table.
        networks: the others.
    """
    runs = [
        [own, *(networks.measured(a, draw, shared.TOP) for draw in range(1, NETWORKS))] for a, own in twenty.items()
    ]
    high = np.array([[run["val_accuracy"] for run in own] for own in runs])
    memory = np.array([[run[shared.MEMORY] for run in own] for own in runs])
    low = {
        epochs: np.array([[networks.measured(a, d, epochs)["val_accuracy"] for d in range(CHEAP)] for a in twenty])
        for epochs in shared.FIDELITIES[:-1]
    }
    others = [networks.measured(best, draw, shared.TOP)["val_accuracy"] for draw in range(1, BEST + 1)]
    gain = float(np.mean(others) - accuracy.mean())
    figures = {
        "accuracy": _rounded(variances(high)),
        "log_memory": _rounded(variances(np.log(memory))),
        "accuracy_of_generators": _range(high.mean(axis=1)),
        "deviation_within": _range(high.std(axis=1, ddof=1)),
        "mean_against_deviation": round(spearman(high.mean(axis=1), high.std(axis=1, ddof=1)), 3),
        "memory_mb": _range(memory.mean(axis=1)),
        **{f"rank_correlation_{epochs}_{shared.TOP}": _rounded(correlations(own, high)) for epochs, own in low.items()},
        "gain": round(gain, 2),
        "gain_relative": round(gain / float(accuracy.mean()), 4),
        "found": {"mean": round(float(np.mean(others)), 2), "deviation": round(float(np.std(others, ddof=1)), 2)},
        "average": {"mean": round(float(accuracy.mean()), 2), "deviation": round(float(accuracy.std(ddof=1)), 2)},
    }
    raw = {"high": high.tolist(), "memory_mb": memory.tolist(), "best_others": others}
    return figures, raw | {f"epochs_{epochs}": own.tolist() for epochs, own in low.items()}


def _rounded(values: dict[str, float]) -> dict[str, float]:
    return {key: round(value, 4) for key, value in values.items()}


def _range(values: np.ndarray) -> list[float]:
    """Least, median and greatest."""
    return [round(float(np.quantile(values, q)), 3) for q in (0.0, 0.5, 1.0)]


def main() -> None:
    """Run and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared.add_options(parser)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--generators", type=int, default=FITTED + PREDICTED)
    parser.add_argument("--executor", default="serial", help="of the table: serial or processes:N")
    deadline.add_option(parser)
    options = parser.parse_args()
    training, until = shared.training(options), deadline.Deadline(options.minutes)
    place = options.folder / "generators.npz"
    space: Space = from_config("space", shared.SPACES["hnag"])
    networks = Networks(space, training, Journal(options.folder / "draws.jsonl"), until)
    if "table" in options.parts and not place.exists():
        build_table(place, training, options.generators, options.executor, until)
    if "draws" in options.parts:
        objectives = Objectives.parse(["max:val_accuracy"])
        for a in Sweep(space, objectives, SEED, members=options.generators).architectures[:REPEATED]:
            for draw in range(NETWORKS):
                if draw:
                    networks.measured(a, draw, shared.TOP)
                for epochs in shared.FIDELITIES[:-1] if draw < CHEAP else ():
                    networks.measured(a, draw, epochs)
    if "figures" in options.parts:
        keep(Table.load(place), space, networks, training)


def keep(table: Table, space: Space, networks: Networks, training: dict[str, Any]) -> None:
    """All figures, from the table and the journal; what is missing is trained now. Failed rows are left out."""
    names = ("val_accuracy", "train_seconds", shared.MEMORY)
    columns = {name: table.column(name, shared.TOP) for name in names}
    rows = [i for i in range(len(table)) if np.isfinite(columns["val_accuracy"][i])]
    members = [table.architecture(i) for i in rows]
    accuracy = columns["val_accuracy"][rows]
    seen = [{name: round(float(column[i]), 4) for name, column in columns.items()} for i in rows]
    twenty = dict([(a, own) for i, a, own in zip(rows, members, seen, strict=True) if i < REPEATED])
    figures, raw = premise(twenty, members[int(accuracy.argmax())], accuracy, networks)
    splits = [regression(members, accuracy / 100.0, space, split) for split in range(SPLITS)]
    about = {key: value for key, value in training.items() if key != "data"}
    record.keep(
        "nago_generators",
        {
            **about,
            "space": shared.SPACES["hnag"],
            "epochs": shared.TOP,
            "generators": len(rows),
            "train_seconds": _range(columns["train_seconds"][rows]),
            "table1": table1(splits),
            "premise": figures,
        },
        {
            "splits": splits,
            **raw,
            "generators": [{"generator": space.text(a), **own} for a, own in zip(members, seen, strict=True)],
        },
    )


if __name__ == "__main__":
    main()
