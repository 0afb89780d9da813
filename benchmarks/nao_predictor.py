"""NAO's encoder, predictor and decoder (paper, figure 2a): how well they predict, and how exactly they decode.

    python benchmarks/nao_predictor.py nb201 [--labels 156 500 781] [--seeds 3] [--first 0] [--options width=64,…]
    python benchmarks/nao_predictor.py nao_cnn [--labels 100 200 300 400 500 550] [--seeds 1] [--options …]

nb201: NAS-Bench-201, CIFAR-10, 200-epoch validation accuracy; labels drawn at random, 1,000 other cells held out.
nao_cnn: cells of 60 tokens with a synthetic score, a sum of random worths of each cell's operations, of what they read
and of pairs of operations in a node, the same for symmetric twins; 50 cells held out, as in the paper; with and
without the twins that stand in for architectures. Keeps, of the held-out cells, pairwise accuracy, Kendall's tau, the
share of cells that are decoded exactly, the mean Hamming distance in tokens, and the processor seconds of the fit.
Further seeds are added to what the result has (`--first`). Afterwards 10,000 random latent points are decoded
(`--points`); each must be a member.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import record
import torch
from bo_tables import table
from numpy.typing import NDArray

from nas_core.architecture import Architecture
from nas_core.random import rng
from nas_core.space import Space
from nas_core.training_set import TrainingSet
from nas_search.config import component
from nas_search.optimizers.nao import PRESETS
from nas_spaces.nao_cnn import NAOCNN
from nas_surrogates.autoencoder import Autoencoder, AutoencoderPosterior
from nas_surrogates.metrics import kendall_tau, pairwise_accuracy
from nas_surrogates.nao_encoder import Latent

HELD_OUT = {"nb201": 1000, "nao_cnn": 50}
DEFAULTS: dict[str, dict[str, Any]] = {
    "nb201": dict(PRESETS["table"]["surrogate"]),
    "nao_cnn": {"at_once": 3, "epochs": 50, "rate": 5e-3, "predictor": [64], "cool": True, "scale": "rank"},
}


def synthetic(space: NAOCNN, members: list[Architecture]) -> NDArray[np.float64]:
    """Scores to be maximised (n)."""
    stream = rng(0, "synthetic")
    o, kinds = len(space.operations), len(space.kinds)
    worth, reading = stream.normal(size=(kinds, o)), stream.normal(size=(kinds, space.nodes + 2))
    pairs = stream.normal(size=(kinds, o, o))
    number = {operation: i for i, operation in enumerate(space.operations)}
    found = np.zeros(len(members))
    for row, a in enumerate(members):
        for kind, cell in enumerate(space.cells_of(a)):
            for branches in cell:
                own = sorted(number[operation] for _, operation in branches)
                found[row] += worth[kind, own].sum() + 0.5 * pairs[kind, own[0], own[1]]
                found[row] += 0.5 * sum(reading[kind, source] for source, _ in branches)
    return found


def observations(name: str, seed: int) -> tuple[Space, list[Architecture], NDArray[np.float64]]:
    """A space, members in random order and their losses (n)."""
    if name == "nao_cnn":
        space = NAOCNN()
        members = list(dict.fromkeys(space.sample(rng(seed, "members"), 600)))
        return space, members, -synthetic(space, members)
    whole, values = table(name)
    listed = list(values)
    members = [listed[i] for i in rng(seed, "members").permutation(len(listed))]
    return whole, members, -np.array([values[a] for a in members])


def judged(name: str, labels: int, seed: int, options: dict[str, Any]) -> tuple[dict[str, Any], AutoencoderPosterior]:
    """One fit."""
    space, members, loss = observations(name, seed)
    held = HELD_OUT[name]
    train, test = slice(held, held + labels), slice(0, held)
    n = len(members[train])
    data = TrainingSet(tuple(members[train]), loss[train][:, None], np.ones(n, np.int64), np.zeros(n))
    begun = time.process_time()
    posterior = Autoencoder(space, **options).fit(data, rng(seed, "fit", labels))
    seconds = time.process_time() - begun
    asked = members[test]
    predicted = posterior.predict(asked).mean[:, 0]
    decoded = posterior.decode(posterior.encode(asked))
    return {
        "labels": labels,
        "seed": seed,
        "augment": options.get("augment", True),
        "pairwise_accuracy": round(pairwise_accuracy(predicted, loss[test]), 4),
        "kendall_tau": round(kendall_tau(predicted, loss[test]), 4),
        "exact": round(float(np.mean([a == b for a, b in zip(decoded, asked, strict=True)])), 4),
        "hamming": round(float(np.mean([_distance(space, a, b) for a, b in zip(decoded, asked, strict=True)])), 4),
        "seconds": round(seconds, 1),
    }, posterior


def _distance(space: Any, a: Architecture, b: Architecture) -> int:
    """Places at which two members' tokens differ; those beyond the shorter one count."""
    one, other = space.tokens(a), space.tokens(b)
    different = sum(x != y for x, y in zip(one, other, strict=False))
    return int(different + abs(len(one) - len(other)))


def illegal(space: Space, posterior: AutoencoderPosterior, points: int) -> int:
    """How many of random latent points are not decoded to members."""
    width, wrong = posterior.kind.shape.width, 0
    for first in range(0, points, 500):
        n = min(500, points - first)
        states = rng(first, "points").normal(size=(n, 20, width)).astype(np.float32)
        lengths = torch.from_numpy(rng(first, "lengths").integers(1, 21, size=n))
        for a in posterior.decode(Latent(torch.nn.functional.normalize(torch.from_numpy(states), dim=2), lengths)):
            wrong += space.canonical(a.values) != a
    return wrong


def main() -> None:
    """Run and keep, after every fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=list(HELD_OUT))
    parser.add_argument("--labels", nargs="+", type=int)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--options", default="", help="of the surrogate, KEY=VALUE,…")
    parser.add_argument("--points", type=int, default=0, help="random latent points to decode after the last fit")
    parser.add_argument("--name")
    given = parser.parse_args()
    chosen = {key: value for key, value in component("all:" + given.options).items() if key != "name"}
    options = {key: value for key, value in {**DEFAULTS[given.table], **chosen}.items() if key != "name"}
    labels = given.labels or ([156, 500, 781] if given.table == "nb201" else [100, 200, 300, 400, 500, 550])
    name = given.name or f"nao_predictor_{given.table}"
    path = record.RESULTS / f"{name}.json"
    raw: dict[str, Any] = json.loads(path.read_text())["raw"] if path.exists() else {"fits": [], "illegal": None}
    for seed in range(given.first, given.first + given.seeds):
        for n in labels:
            done, posterior = judged(given.table, n, seed, options)
            key = (n, seed, done["augment"])
            raw["fits"] = [f for f in raw["fits"] if (f["labels"], f["seed"], f["augment"]) != key]
            raw["fits"].append({**done, "options": options})
            record.keep(name, figures_of(raw), raw)
    if given.points:
        raw["illegal"] = {"points": given.points, "found": illegal(posterior.kind.space, posterior, given.points)}
        record.keep(name, figures_of(raw), raw)


def figures_of(raw: dict[str, Any]) -> dict[str, Any]:
    """Means over the seeds."""
    figures: dict[str, Any] = {}
    for labels, augment in sorted({(fit["labels"], fit["augment"]) for fit in raw["fits"]}):
        own = [fit for fit in raw["fits"] if (fit["labels"], fit["augment"]) == (labels, augment)]
        keys = ("pairwise_accuracy", "kendall_tau", "exact", "hamming", "seconds")
        figures[f"{labels}{'' if augment else ' not augmented'}"] = {
            "seeds": len(own),
            **{key: round(float(np.mean([fit[key] for fit in own])), 4) for key in keys},
        }
    return {**figures, "illegal": raw["illegal"]}


if __name__ == "__main__":
    main()
