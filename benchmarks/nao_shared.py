"""NAO with weight sharing: do the cells that it finds beat the best of as many random ones as the same compute trains?

    python benchmarks/nao_shared.py cnn --data cifar10.npz --runs runs [--seeds 3] [--minutes 50]
    python benchmarks/nao_shared.py ptb --data ptb_word.npz --runs runs [--seeds 3] [--minutes 50]

Convolutional cells of 40 tokens on CIFAR-10, trained alone by the recipe `small` in 5 epochs of its 5,000 images;
recurrent cells on the first words of Penn Treebank, trained alone by `small_text` with smaller batches. For each seed a
search goes through groups, each of which begins on a fresh bank of weights unless `--one-bank` is given. The best
members of both of the last two groups, by the sum of their measurements and `--apart` tokens from one another, are
trained alone; the best of these on the validation split is what the search found. Then random cells are trained alone,
in the same way, until that has cost as much as the search and its last trainings together (the one that exceeds it
counts), in processor seconds or, on a GPU, in those of a clock. Keeps what both found, on the validation split and, of
images, on the test split.

Every group and training is written to a journal in `--runs`, where the searches lie too: a run that was stopped, or has
spent its `--minutes`, goes on with the same command.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import record
from cifar import cifar_npz
from journal import Journal

from nas_core import registry
from nas_core.architecture import Architecture
from nas_core.errors import TrialFailed
from nas_core.evaluator import Evaluation
from nas_core.random import derived_seed, rng
from nas_core.trial import Status
from nas_search.config import StudyConfig
from nas_search.study import Study


class Setting(NamedTuple):
    """What is searched and how it is trained: configurations of space and evaluators, and the metrics that count.

    Args:
        space: that the cells are of.
        shared: the evaluator of groups on a bank.
        alone: the evaluator of trainings alone.
        bank: what the search minimises on the bank.
        metric: what counts of a training alone.
        sign: 1 where more of it is better, -1 where less is.
        limits: that the search keeps.
    """

    space: dict[str, Any]
    shared: dict[str, Any]
    alone: dict[str, Any]
    bank: str
    metric: str
    sign: float
    limits: tuple[str, ...] = ()


def images(given: argparse.Namespace) -> Setting:
    """Convolutional cells on CIFAR-10."""
    network = {"channels": given.channels, "cells": given.stack}
    recipe = {"name": "small", "dtype": given.dtype}
    data = {"data": str(cifar_npz(given.data)), "device": given.device, "threads": 1}
    of_bank = {"batch": given.bank_batch, "gradient_clip": given.bank_clip, "warmup": 0.0, "period": given.interval}
    bank = bank_of({**recipe, **of_bank}, given)
    return Setting(
        {"name": "nao_cnn", "operations": "enas"},
        {
            "name": "shared_weights",
            **data,
            **bank,
            "network": {**network, "shared": True},
            "validation": given.check,
            "calibration": given.calibration,
        },
        {"name": "train", **data, "recipe": recipe, "epochs": given.epochs, "network": network, "test": True},
        bank="val_loss",  # of members that have learnt little it tells more than their accuracy
        metric="val_accuracy",
        sign=1.0,
        limits=(f"params>={given.least_params}",) if given.least_params else (),
    )


def text(given: argparse.Namespace) -> Setting:
    """Recurrent cells on Penn Treebank."""
    sizes = {name: getattr(given, name) for name in ("tokens", "batch", "truncation")}
    recipe = {"name": "small_text", **sizes, "embedding": given.width, "state_norm": given.norm}
    data = {"data": str(given.data), "device": given.device, "threads": 1}
    bank = bank_of({**recipe, "schedule": "cosine"}, given)
    return Setting(
        {"name": "recurrent", "nodes": given.nodes},
        {"name": "shared_language", **data, **bank, "validation": given.check},
        {"name": "language", **data, "recipe": {**recipe, "epochs": given.epochs, "learning_rate": given.rate}},
        bank="val_perplexity",
        metric="val_perplexity",
        sign=-1.0,
    )


def bank_of(recipe: dict[str, Any], given: argparse.Namespace) -> dict[str, Any]:
    """Options of a bank that begins anew with each group, or goes on through all of them."""
    epochs = given.groups * given.interval if given.one_bank else given.interval
    recipe = {**recipe, "epochs": epochs, "learning_rate": given.bank_rate}
    return {"recipe": recipe, "epochs": given.interval, "fresh": not given.one_bank}


class Bench:
    """One seed of a setting; `steps` does what is left, piece by piece.

    Args:
        setting: what is searched.
        given: sizes of the search.
        seed: of the search, of the random cells and of all trainings.
    """

    def __init__(self, setting: Setting, given: argparse.Namespace, seed: int) -> None:
        self.setting, self.given, self.seed = setting, given, seed
        self.space = registry.from_config("space", setting.space)
        self.evaluator = registry.from_config("evaluator", setting.alone)
        self.journal = Journal(given.runs / f"nao_shared_{given.kind}.jsonl")
        search = {name: getattr(given, name) for name in ("groups", "group", "interval", "check")}
        limits = {"limits": setting.limits} if setting.limits else {}
        self.key = {"seed": seed, "shared": setting.shared, **search, **limits}
        self._clock = time.process_time if given.device == "cpu" else time.perf_counter
        self.random: list[dict[str, Any]] = []
        self.found: list[dict[str, Any]] = []
        self.search: list[dict[str, Any]] = []

    @property
    def spent(self) -> float:
        """Seconds of the search and of the last trainings."""
        return float(sum(entry["seconds"] for entry in (*self.search, *self.found)))

    def steps(self) -> Iterator[str]:
        """Do everything; tells of every piece."""
        for number in range(self.given.groups):
            key = {**self.key, "number": number}
            self.search.append(self.journal.run(key, partial(self._group, number)))
            yield f"group {number}: best {self.search[-1]['best']:.2f}, {self.search[-1]['seconds']:.0f} s"
        for member in self._chosen()[: self.given.best]:
            self.found.append(self.trained(self.space.parse(member)))
            yield f"found: {self._shown(self.found[-1])}"
        cells = self.at_random()
        while sum(entry["seconds"] for entry in self.random) < self.spent:
            self.random.append(self.trained(next(cells)))
            yield f"random: {self._shown(self.random[-1])}"

    def at_random(self) -> Iterator[Architecture]:
        """Random cells of this seed, without end."""
        stream = rng(self.seed, "nao_shared", "random")
        while True:
            yield self.space.sample(stream, 1)[0]

    def _chosen(self) -> list[str]:
        """Members of both of the last two groups, from the best sum of both measurements on, apart from one another."""
        before, last = (dict(zip(group["members"], group["values"], strict=True)) for group in self.search[-2:])
        ranked = sorted(before.keys() & last.keys(), key=lambda member: (before[member] + last[member], member))
        chosen: dict[str, np.ndarray] = {}
        for member in ranked:
            tokens = np.asarray(self.space.tokens(self.space.parse(member)))
            if all(np.count_nonzero(tokens != other) >= self.given.apart for other in chosen.values()):
                chosen[member] = tokens
        return list(chosen)

    def _shown(self, entry: dict[str, Any]) -> str:
        return f"{self.setting.metric} {entry.get(self.setting.metric, 'failed')}, {entry['seconds']:.0f} s"

    def _group(self, number: int) -> dict[str, Any]:
        """One group more of the search: what it cost, and its members from the best to the worst."""
        size, begun = self.given.group, self._clock()
        with self._study() as study:
            known = study.status().finished >= (number + 1) * size  # stopped between the group and the journal
            study.run((number + 1) * size)
            trials = study.trials()[number * size : (number + 1) * size]
            lived = [trial for trial in trials if trial.status is Status.COMPLETED]
            wanted = study.objectives
            measured = np.array([[trial.metrics[name] for name in wanted.metrics] for trial in lived])
            lived = list(compress(lived, wanted.feasible(measured.reshape(-1, len(wanted.metrics)))))
            lived.sort(key=lambda trial: trial.metrics[self.setting.bank])
            if not lived:
                raise SystemExit(f"error: no member of group {number} was measured and keeps the limits: {trials[0]}")
            values = [trial.metrics[self.setting.bank] for trial in lived]
        spent = sum(trial.seconds for trial in trials) if known else self._clock() - begun
        return {
            "seconds": round(spent, 1),
            "best": values[0],
            "mean": round(float(np.mean(values)), 3),
            "members": [study.space.text(trial.architecture) for trial in lived],
            "told": [trial.proposal.info["by"] for trial in lived],
            "values": [round(value, 3) for value in values],
        }

    def _study(self) -> Study:
        group = self.given.group
        optimizer = {
            "name": "nao",
            "initial": group,
            "group": group,
            "labels": group // 2,
            "random": group // 8,
            "seeds": max(1, group // 4),
            "surrogate": {"at_once": 2},
        }
        config = {
            "space": self.setting.space,
            "optimizer": optimizer,
            "evaluator": self.setting.shared,
            "objectives": [f"min:{self.setting.bank}"],
            "constraints": list(self.setting.limits),
            "trials": self.given.groups * group,
            "seed": self.seed,
            "failure_limit": 1.0,
        }
        place = self.given.runs / f"{self.given.kind}_{derived_seed(0, json.dumps(self.key, sort_keys=True)):016x}"
        return Study.open(place) if place.exists() else Study.create(place, StudyConfig.from_mapping(config))

    def trained(self, a: Architecture) -> dict[str, Any]:
        """What a cell's training alone gave."""
        text = self.space.text(a)

        def train() -> dict[str, Any]:
            begun = self._clock()
            try:
                found: dict[str, Any] = dict(self.evaluator.evaluate(Evaluation(self.space, a, seed=self.seed)).metrics)
            except TrialFailed as error:
                found = {"failed": error.reason}
            kept = {key: value for key, value in found.items() if key.startswith(("val_", "test_", "params", "failed"))}
            return {"seconds": round(self._clock() - begun, 1), **kept}

        key = {"seed": self.seed, "alone": self.setting.alone, "cell": text}
        return {"cell": text, **self.journal.run(key, train)}

    def told(self) -> dict[str, Any]:
        """What both have come to."""
        return {
            "seed": self.seed,
            "found": self._best(self.found),
            "random": self._best(self.random),
            "seconds": round(self.spent, 1),
            "search": self.search,
            "trainings_of_found": self.found,
            "trainings_at_random": self.random,
        }

    def _best(self, entries: list[dict[str, Any]]) -> dict[str, Any]:
        lived = [entry for entry in entries if self.setting.metric in entry]
        best = max(lived, key=lambda entry: self.setting.sign * entry[self.setting.metric])
        middle = float(np.median([entry[self.setting.metric] for entry in lived]))
        return {**best, "cells": len(entries), "median": round(middle, 3)}


def figures_of(setting: Setting, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What both found with each seed, and how often the search won."""
    metrics = [name for name in (setting.metric, "test_accuracy") if name in runs[0]["found"]]
    figures: dict[str, Any] = {"seeds": [run["seed"] for run in runs]}
    for name in metrics:
        for side in ("found", "random"):
            figures[f"{side}_{name}"] = [round(run[side][name], 3) for run in runs]
        sign = setting.sign if name == setting.metric else 1.0
        won = sum(sign * run["found"][name] > sign * run["random"][name] for run in runs)
        figures[f"wins_{name}"] = f"{won} of {len(runs)}"
    return {
        **figures,
        "median_of_found": [run["found"]["median"] for run in runs],
        "median_at_random": [run["random"]["median"] for run in runs],
        "random_cells": [run["random"]["cells"] for run in runs],
        "seconds": [run["seconds"] for run in runs],
    }


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """What a run is given, by default on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    for kind, help_ in (("cnn", "convolutional cells on CIFAR-10"), ("ptb", "recurrent cells on Penn Treebank")):
        own = kinds.add_parser(kind, help=help_)
        own.add_argument("--data", type=Path, required=True)
        own.add_argument("--runs", type=Path, required=True, help="folder of the journal and the searches")
        own.add_argument("--seeds", type=int, default=3)
        own.add_argument("--first", type=int, default=0)
        own.add_argument("--minutes", type=float, default=float("inf"), help="of this run")
        own.add_argument("--groups", type=int, default=5 if kind == "cnn" else 3)
        own.add_argument("--group", type=int, default=64, help="members of a group")
        own.add_argument("--one-bank", action="store_true", help="for all groups; else each begins on a fresh one")
        own.add_argument("--best", type=int, default=8, help="members that are trained alone")
        own.add_argument("--apart", type=int, default=1, help="tokens in which any two of these differ at least")
        own.add_argument("--epochs", type=int, default=5 if kind == "cnn" else 2, help="of a training alone")
        own.add_argument("--device", default="cpu")
        own.add_argument("--name", help="of the result")
    images_, text_ = kinds.choices["cnn"], kinds.choices["ptb"]
    images_.add_argument("--interval", type=int, default=2, help="epochs of the bank for each group")
    images_.add_argument("--check", type=int, default=500, help="validation images of a member of a group")
    images_.add_argument("--calibration", type=int, default=16, help="batches for a member's statistics")
    images_.add_argument("--least-params", type=int, default=0, help="limit of the search; 0: none")
    images_.add_argument("--bank-rate", type=float, default=0.05, help="learning rate of the bank")
    images_.add_argument("--bank-clip", type=float, default=1.0, help="largest norm of the bank's gradient")
    images_.add_argument("--bank-batch", type=int, default=16, help="images of a step of the bank")
    images_.add_argument("--channels", type=int, default=8)
    images_.add_argument("--stack", type=int, default=1, help="normal cells between reductions")
    images_.add_argument("--dtype", default="float32", help="bfloat16 is quicker where the processor has it")
    text_.add_argument("--interval", type=int, default=1, help="epochs of the bank for each group")
    text_.add_argument("--check", type=int, default=5_000, help="validation words of a member of a group")
    text_.add_argument("--tokens", type=int, default=200_000, help="training words")
    text_.add_argument("--batch", type=int, default=16, help="streams; with the recipe's 64 no cell learns in 3 epochs")
    text_.add_argument("--rate", type=float, default=2e-2, help="learning rate of a training alone")
    text_.add_argument("--bank-rate", type=float, default=1e-2, help="learning rate of the bank")
    text_.add_argument("--norm", type=float, default=30.0, help="largest norm of outputs and states")
    text_.add_argument("--truncation", type=int, default=20, help="words between two updates")
    text_.add_argument("--width", type=int, default=100, help="of words' vectors and states")
    text_.add_argument("--nodes", type=int, default=8, help="of a cell")
    given = parser.parse_args(words)
    if given.groups < 2:
        parser.error("a member is chosen by what two groups say of it: --groups must be at least 2")
    given.runs.mkdir(parents=True, exist_ok=True)
    return given


def main() -> None:
    """Run, and keep what is complete."""
    given = arguments()
    setting = images(given) if given.kind == "cnn" else text(given)
    begun, runs = time.perf_counter(), []
    for seed in range(given.first, given.first + given.seeds):
        bench = Bench(setting, given, seed)
        for step in bench.steps():
            print(f"seed {seed}: {step}", flush=True)
            if time.perf_counter() - begun > 60 * given.minutes:
                print("stopped; the same command goes on")
                return
        runs.append(bench.told())
        record.keep(given.name or f"nao_shared_{given.kind}", figures_of(setting, runs), runs)


if __name__ == "__main__":
    main()
