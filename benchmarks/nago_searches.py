"""NAGO's searches on CIFAR-10's images at equal budget: paper, tables 2 to 4 and figure 3, in small.

    python benchmarks/nago_searches.py [--folder nago_searches] [--seeds 0 1 2] [--minutes N]

`nago_shared.py` says what is trained on what. Every search may spend 128 epochs, in a study of its own in the folder:

    hnag_bohb, rnag_bohb     validation accuracy; six brackets over 2, 4 and 8 epochs, a promoted generator draws anew
    hnag_mobo, rnag_mobo     validation accuracy and memory per sample; 16 trials of 4 epochs with the Bayesian neural
                             network, after the first half of BOHB's trials of the same seed, of which those of 4 epochs
                             are its first data; one by one. Its choice is the member of the front that is nearest to
                             the front's best values, in units of its ranges
    hnag_random              16 random generators of 8 epochs; the best one is its choice

Then 4 networks that were never trained before are drawn from each choice, trained for 8 epochs and tested; and so are 4
of RNAG-D, the reference generator, and one of each of the first 4 generators of the random search (hnag_rs). Kept for
each: the best validation accuracy of the search at its highest fidelity, mean and deviation of test accuracy and memory
over networks, and of the means over seeds; how much of RNAG's front HNAG's trials dominate; the fronts of MOBO as
`results/nago_searches.svg`.

Processes with different seeds can run beside each other in one folder; the last command, with all seeds, keeps.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import deadline
import nago_shared as shared
import numpy as np
import record
from journal import Journal

from nas_core.architecture import Architecture
from nas_core.evaluator import Evaluation
from nas_core.objective import Objectives
from nas_core.pareto import non_dominated
from nas_core.registry import from_config
from nas_core.space import Space
from nas_core.trial import Trial
from nas_search.config import StudyConfig
from nas_search.report.front import staircase
from nas_search.report.pictures import legend_above, new_figure, save, style
from nas_search.study import DATABASE, Study
from nas_spaces.rnag import RNAG
from nas_train.final import train_final
from nas_train.measuring import MeasuringEvaluator

ACCURACY, MEMORY = "max:val_accuracy", f"min:{shared.MEMORY}"
BOTH = Objectives.parse([ACCURACY, MEMORY])
AT = 4
"""Epochs of MOBO's trials, one of the fidelities."""
HALF, TRIALS_BOHB = 13, 26
TRIALS_MOBO, TRIALS_RANDOM = 16, 16
NETWORKS, FIRST_DRAW = 4, 10
"""Final networks of a generator, and the number of their first draw: a search comes to draw 2 at most."""
COLOURS = {"hnag": "#c2410c", "rnag": "#1668b8"}
SEARCHES = {
    "hnag_bohb": "hnag", "rnag_bohb": "rnag", "hnag_mobo": "hnag", "rnag_mobo": "rnag", "hnag_random": "hnag",
}  # fmt: skip


class Choice(NamedTuple):
    """A generator to be trained to the end, and how often; the search's best validation accuracy, if it had any."""

    space: Space
    generator: Architecture
    draws: range
    best: float | None


def config_of(name: str, seed: int, folder: Path, training: dict[str, Any]) -> StudyConfig:
    """The study of a search."""
    kind = name.partition("_")[2]
    bohb = {"name": "bohb", "fidelities": list(shared.FIDELITIES), "eta": 2, "promote": "resample"}
    mobo = {
        "name": "mobo", "surrogate": "bnn", "fidelity": AT, "initial": 8,
        "start": str(folder / f"{SEARCHES[name]}_bohb_{seed}"), "start_trials": HALF,
    }  # fmt: skip
    optimizer, trials = {
        "bohb": (bohb, TRIALS_BOHB), "mobo": (mobo, TRIALS_MOBO), "random": ({"name": "random"}, TRIALS_RANDOM),
    }[kind]  # fmt: skip
    return StudyConfig.from_mapping(
        {
            "space": shared.SPACES[SEARCHES[name]],
            "optimizer": optimizer,
            "evaluator": {"name": "train", "epochs": shared.TOP, **training},
            "objectives": [ACCURACY, MEMORY] if kind == "mobo" else [ACCURACY],
            "trials": trials,
            "seed": seed,
        }
    )


def searched(name: str, seed: int, folder: Path, training: dict[str, Any], until: deadline.Deadline) -> list[Trial]:
    """The trials of a search, run to its end first."""
    directory = folder / f"{name}_{seed}"
    there = (directory / DATABASE).exists()
    if not there:
        until.check()
    with Study.open(directory) if there else Study.create(directory, config_of(name, seed, folder, training)) as study:
        if study.status().finished < study.config.trials:
            until.check()
            study.run(stop=until.over)
        if study.status().finished < study.config.trials:
            until.check()
            raise SystemExit(f"error: the study in {directory} has stopped")
        return study.trials()


def values(trials: list[Trial]) -> np.ndarray:
    """Accuracy and memory of trials (n x 2)."""
    return np.array([[trial.metrics[name] for name in BOTH.metrics] for trial in trials])


def front_data(searches: dict[str, list[Trial]], space: str) -> list[Trial]:
    """What MOBO had: its own trials and those it began with."""
    earlier = [trial for trial in searches[f"{space}_bohb"][:HALF] if trial.proposal.fidelity == AT]
    return [trial for trial in [*earlier, *searches[f"{space}_mobo"]] if trial.metrics]


def nearest_to_best(trials: list[Trial]) -> Trial:
    """The trial of the front that is nearest to the front's best values, in units of its ranges."""
    losses = BOTH.losses(values(trials))
    front = np.flatnonzero(non_dominated(losses))
    low, high = losses[front].min(axis=0), losses[front].max(axis=0)
    distance = np.linalg.norm((losses[front] - low) / np.where(high > low, high - low, 1.0), axis=1)
    return trials[int(front[distance.argmin()])]


def fullest(trials: list[Trial]) -> list[Trial]:
    """The completed trials of the highest fidelity."""
    completed = [trial for trial in trials if trial.metrics]
    top = max(trial.proposal.fullness for trial in completed)
    return [trial for trial in completed if trial.proposal.fullness == top]


def choices(searches: dict[str, list[Trial]]) -> dict[str, list[Choice]]:
    """What is trained to the end, by row of the result."""
    found: dict[str, list[Choice]] = {}
    draws = range(FIRST_DRAW, FIRST_DRAW + NETWORKS)
    for name, space in SEARCHES.items():
        mobo = name.endswith("mobo")
        data = fullest(front_data(searches, space) if mobo else searches[name])
        accurate = max(data, key=_accuracy)
        chosen = nearest_to_best(data) if mobo else accurate
        found[name] = [Choice(_space(space), chosen.architecture, draws, _accuracy(accurate))]
    some = fullest(searches["hnag_random"])[:NETWORKS]
    found["hnag_rs"] = [Choice(_space("hnag"), trial.architecture, draws[:1], _accuracy(trial)) for trial in some]
    found["rnag_d"] = [Choice(RNAG(), RNAG().named("rnag-d"), draws, None)]
    return found


def _accuracy(trial: Trial) -> float:
    return trial.metrics["val_accuracy"]


def _space(name: str) -> Space:
    space: Space = from_config("space", shared.SPACES[name])
    return space


def finished(choice: Choice, draw: int, seed: int, folder: Path, training: dict[str, Any]) -> dict[str, Any]:
    """A network of a generator, trained with the search's recipe and tested; its memory."""
    space, a = choice.space, choice.generator
    options = {key: training[key] for key in ("data", "recipe", "network")}
    metrics = train_final(
        space, a, seed=seed, draw=draw, epochs=shared.TOP, threads=1, out=folder / "unfinished" / f"{seed}", **options
    ).metrics
    measuring = MeasuringEvaluator(training["data"], [shared.MEMORY], training["network"])
    memory = measuring.evaluate(Evaluation(space, a, draw=draw, seed=seed)).metrics[shared.MEMORY]
    kept = ("test_accuracy", "val_accuracy", "params", "train_seconds")
    return {"generator": space.text(a), **{name: metrics[name] for name in kept}, shared.MEMORY: memory}


def row_of(seeds: list[list[dict[str, Any]]], best: list[float]) -> dict[str, Any]:
    """One row of the tables: over networks of a seed, and over seeds."""
    row: dict[str, Any] = {"best_val_accuracy": _summary(best)} if best else {}
    for name in ("test_accuracy", shared.MEMORY):
        own = [[network[name] for network in networks] for networks in seeds]
        row[name] = _summary([float(np.mean(x)) for x in own])
        row[f"{name}_deviation_of_networks"] = round(float(np.mean([np.std(x, ddof=1) for x in own])), 3)
    row["params"] = round(float(np.mean([network["params"] for networks in seeds for network in networks])))
    return row


def _summary(numbers: list[float]) -> dict[str, Any]:
    deviation = round(float(np.std(numbers, ddof=1)), 3) if len(numbers) > 1 else None
    return {"mean": round(float(np.mean(numbers)), 3), "deviation": deviation}


def dominated(searches: dict[str, list[Trial]]) -> float:
    """The share of the points of RNAG's front that a point of HNAG's dominates."""
    hnag, rnag = (BOTH.losses(values(front_data(searches, space))) for space in ("hnag", "rnag"))
    front = rnag[non_dominated(rnag)]
    beaten = [((hnag <= point).all(axis=1) & (hnag < point).any(axis=1)).any() for point in front]
    return float(np.mean(beaten))


def draw_fronts(searches: dict[int, dict[str, list[Trial]]], place: Path) -> None:
    """Figure 3: what MOBO had of either space, a panel a seed."""
    with style():
        figure = new_figure(3.6 * len(searches) + 0.4, 3.8)
        panels = np.atleast_1d(figure.subplots(1, len(searches), sharex=True, sharey=True))
        for axes, (seed, of_seed) in zip(panels, searches.items(), strict=True):
            for space, colour in COLOURS.items():
                points = values(front_data(of_seed, space))
                front = points[non_dominated(BOTH.losses(points))]
                memory, error = points[:, 1], 100.0 - points[:, 0]
                axes.plot(memory, error, "o", ms=4, mew=1, mfc="none", color=colour, label=space.upper())
                steps = staircase(front[:, 1], 100.0 - front[:, 0], False, False)
                axes.plot(*steps, lw=1.2, color=colour, alpha=0.7)
                axes.plot(front[:, 1], 100.0 - front[:, 0], "o", ms=5, color=colour, label=f"{space.upper()}, front")
            axes.set(xlabel="memory per sample (MB)", title=f"seed {seed}")
        panels[0].set_ylabel(f"validation error after {AT} epochs (%)")
        figure.tight_layout(rect=(0.0, 0.0, 1.0, legend_above(figure, panels[0])))
    save(figure, place)


def main() -> None:
    """Run and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared.add_options(parser)
    parser.set_defaults(folder=Path("nago_searches"))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    deadline.add_option(parser)
    options = parser.parse_args()
    folder, training, until = options.folder.resolve(), shared.training(options), deadline.Deadline(options.minutes)
    journal = Journal(folder / "final.jsonl")
    searches: dict[int, dict[str, list[Trial]]] = {}
    final: dict[str, list[list[dict[str, Any]]]] = {}
    best: dict[str, list[float]] = {}
    for seed in options.seeds:
        searches[seed] = {name: searched(name, seed, folder, training, until) for name in SEARCHES}
        for name, chosen in choices(searches[seed]).items():
            networks = []
            for i, choice in enumerate(chosen):
                for draw in choice.draws:
                    until.check()
                    key = {"row": name, "seed": seed, "choice": i, "draw": draw}
                    networks.append(journal.run(key, partial(finished, choice, draw, seed, folder, training)))
            final.setdefault(name, []).append(networks)
            known = [choice.best for choice in chosen if choice.best is not None]
            best.setdefault(name, []).extend([float(np.mean(known))] if known else [])
    draw_fronts(searches, record.RESULTS / "nago_searches.svg")
    keep(searches, final, best, training)


def keep(
    searches: dict[int, dict[str, list[Trial]]],
    final: dict[str, list[list[dict[str, Any]]]],
    best: dict[str, list[float]],
    training: dict[str, Any],
) -> None:
    """The result."""
    trials = [
        {"search": name, "seed": seed, "generator": list(trial.architecture.values), "seconds": round(trial.seconds, 2),
         "epochs": trial.proposal.fidelity or shared.TOP, "draw": trial.proposal.draw,
         **{metric: trial.metrics.get(metric) for metric in BOTH.metrics}}
        for seed, of_seed in searches.items() for name, own in of_seed.items() for trial in own
    ]  # fmt: skip
    figures = {
        **{key: value for key, value in training.items() if key != "data"},
        "spaces": shared.SPACES,
        "seeds": len(searches),
        **{name: row_of(final[name], best[name]) for name in final},
        "rnag_front_dominated": [round(dominated(of_seed), 3) for of_seed in searches.values()],
    }
    record.keep("nago_searches", figures, {"final": final, "trials": trials})


if __name__ == "__main__":
    main()
