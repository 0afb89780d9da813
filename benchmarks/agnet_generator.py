"""AG-Net's generator: shares of valid and distinct graphs, whether z matters, and seconds (paper, section D).

    python benchmarks/agnet_generator.py [--spaces nasbench201 nasbench101 darts nasbench_nlp] [--draws 2000] \
        [--repeats 10] [--pretraining steps=2000] [--cache FOLDER] [--name agnet_generator]

Nothing is drawn again and nothing is repaired. `distinct` counts members up to isomorphism among all draws, beside as
many uniform samples of the space (`distinct_uniform`). `by_z` and `by_noise` are the shares of distinct members among
200 draws where only z, or only the noise, changes: a generator that ignores z has 1/200 in the first.
"""

from __future__ import annotations

import argparse
import time
from functools import lru_cache
from typing import Any

import numpy as np
import record

from nas_core.architecture import Architecture
from nas_core.random import rng
from nas_core.registry import make
from nas_search.config import component
from nas_surrogates import latent_codes
from nas_surrogates.generator_pretraining import Pretrained, Pretraining, pretrained
from nas_surrogates.latent_codes import LATENTS

FEW = 200


def drawn(made: Pretrained, z: np.ndarray[Any, Any], noise: np.ndarray[Any, Any]) -> list[Architecture]:
    """The members among what latent vectors and noise give."""
    members, _ = made.generate(made.network, z, noise)
    return [a for a in members if a is not None]


def measure(name: str, how: Pretraining, cache: str | None, draws: int, repeats: int) -> dict[str, Any]:
    """The figures of one space."""
    space: Any = make("space", name)
    begun = time.perf_counter()
    made = pretrained(space, how, cache)
    seconds = time.perf_counter() - begun
    stream = rng(0, "agnet generator", name)
    g, v, latent = len(made.rules.names), made.rules.nodes, how.latent
    own = 1 if how.joint else g
    figures: dict[str, Any] = {"pretraining_or_reading_seconds": round(seconds, 1), "draws": draws, "repeats": repeats}
    key = lru_cache(1 << 17)(space.graph_key)
    uniform = [len({key(a) for a in space.sample(stream, draws)}) / draws for _ in range(repeats)]
    figures["distinct_uniform"] = round(float(np.mean(uniform)), 4)
    for kind in LATENTS:
        valid, distinct, seconds = [], [], []
        for _ in range(repeats):
            z = latent_codes.drawn(kind, (draws, own, latent), stream)
            begun = time.perf_counter()
            members = drawn(made, z, stream.random((draws, g, v, 2)))
            seconds.append(time.perf_counter() - begun)
            valid.append(len(members) / draws)
            distinct.append(len({key(a) for a in members}) / draws)
        figures[f"{kind}_seconds"] = round(float(np.mean(seconds)), 2)
        figures[f"{kind}_valid"] = round(float(np.mean(valid)), 4)
        figures[f"{kind}_distinct"] = round(float(np.mean(distinct)), 4)
    z, noise = stream.standard_normal((FEW, own, latent)), stream.random((FEW, g, v, 2))
    same_noise, same_z = np.repeat(noise[:1], FEW, axis=0), np.repeat(z[:1], FEW, axis=0)
    figures["by_z"] = len({space.graph_key(a) for a in drawn(made, z, same_noise)}) / FEW
    figures["by_noise"] = len({space.graph_key(a) for a in drawn(made, same_z, noise)}) / FEW
    return figures


def main() -> None:
    """Measure and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spaces", nargs="+", default=["nasbench201", "nasbench101", "darts", "nasbench_nlp"])
    parser.add_argument("--draws", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=10, help="of the draws; figures are means")
    parser.add_argument("--pretraining", default="", help="options of the generator, KEY=VALUE,…")
    parser.add_argument("--cache", help="folder of pretrained generators")
    parser.add_argument("--name", default="agnet_generator")
    given = parser.parse_args()
    read = {key: value for key, value in component("generator:" + given.pretraining).items() if key != "name"}
    how = Pretraining(**read)
    figures: dict[str, Any] = {}
    for name in given.spaces:
        figures[name] = measure(name, how, given.cache, given.draws, given.repeats)
        record.keep(given.name, figures, [])


if __name__ == "__main__":
    main()
