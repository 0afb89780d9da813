"""A recurrent cell as a language model on Penn Treebank, in the small setting, on one CPU core.

    python benchmarks/language_ptb.py [--cell lstm] [--recipe small_text] [--seed 0] [--seconds 420]

A run that has spent `--seconds` stops after the epoch it is at; the same command goes on from there, to the same end.
The text is found through NAS_TEXT, the folder of `ptb_word.npz` (by default ../shared/text beside the checkout). Prints
validation perplexity, processor seconds and words a second of training; the test text is not opened.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import record
import torch

from nas_core.architecture import Architecture
from nas_core.space import Space
from nas_spaces.nasbench_nlp import NASBenchNLP
from nas_spaces.recurrent import Recurrent
from nas_train.language.evaluator import networks_for
from nas_train.language.loop import LanguageEpoch, fit_language, perplexity
from nas_train.language.model import build_language
from nas_train.language.recipe import LanguageRecipe
from nas_train.language.text import open_text

LSTM = {
    "i": ("linear", ["x", "h_prev_0"]),
    "f": ("linear", ["x", "h_prev_0"]),
    "g": ("linear", ["x", "h_prev_0"]),
    "o": ("linear", ["x", "h_prev_0"]),
    "i_act": ("activation_sigm", ["i"]),
    "f_act": ("activation_sigm", ["f"]),
    "g_act": ("activation_tanh", ["g"]),
    "o_act": ("activation_sigm", ["o"]),
    "kept": ("elementwise_prod", ["f_act", "h_prev_1"]),
    "added": ("elementwise_prod", ["i_act", "g_act"]),
    "h_new_1": ("elementwise_sum", ["kept", "added"]),
    "shown": ("activation_tanh", ["h_new_1"]),
    "h_new_0": ("elementwise_prod", ["shown", "o_act"]),
}
"""Hochreiter and Schmidhuber's cell with a forget gate, in the notation of NAS-Bench-NLP: h is state 0, c state 1."""


class Enough(Exception):
    """The time of this run is up."""


def cell_of(name: str) -> tuple[Space, Architecture]:
    """A space and its member."""
    if name == "lstm":
        text = json.dumps({key: {"op": operation, "input": read} for key, (operation, read) in LSTM.items()})
        return NASBenchNLP(), NASBenchNLP().parse(text)
    if name == "gru":
        return NASBenchNLP(), NASBenchNLP().named(name)
    space = Recurrent() if name == "enas" else Recurrent(9, output="all")
    return space, space.named(name)


def text_file() -> Path:
    """Where Penn Treebank lies."""
    default = Path(__file__).resolve().parents[2] / "shared" / "text"
    path = Path(os.environ.get("NAS_TEXT", default)) / "ptb_word.npz"
    if not path.is_file():
        raise SystemExit(f"error: no {path}; set NAS_TEXT to the folder that holds ptb_word.npz")
    return path


def main() -> None:
    """Train, in as many runs as it takes, and keep the figures at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cell", default="lstm", choices=["lstm", "gru", "enas", "darts-v1", "darts-v2"])
    parser.add_argument("--recipe", default="small_text")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="of this run")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    text, recipe = open_text(text_file()), LanguageRecipe.from_config(asked.recipe)
    space, cell = cell_of(asked.cell)
    model = build_language(networks_for(space, cell, text, {}, recipe), text.words, tied=recipe.tied, seed=asked.seed)
    name = f"language_ptb_{asked.cell}_{asked.recipe}_{asked.seed}"
    checkpoint = Path(tempfile.gettempdir()) / f"{name}.safetensors"
    times = checkpoint.with_suffix(".json")
    spent: list[float] = json.loads(times.read_text()) if checkpoint.exists() and times.exists() else []
    begun, last = time.perf_counter(), time.process_time()

    def told(epoch: LanguageEpoch) -> None:
        nonlocal last
        now = time.process_time()
        spent.append(now - last)
        last = now
        times.write_text(json.dumps(spent))
        print(f"epoch {epoch.number}: {perplexity(epoch.validation or 0.0):.1f} after {sum(spent):.0f} s", flush=True)
        if epoch.number < recipe.epochs and time.perf_counter() - begun > asked.seconds:
            raise Enough

    try:
        fitted = fit_language(
            model, text, recipe, seed=asked.seed, threads=1, validate_every=1, checkpoint=checkpoint, on_epoch=told
        )
    except Enough:
        print("stopped; the same command goes on")
        return
    figures: dict[str, Any] = {
        "val_perplexity": round(perplexity(fitted.validation), 2),
        "cpu_seconds": round(sum(spent), 1),
        "words_a_cpu_second": round(len(text.train) * recipe.epochs / sum(spent)),
        "params": sum(parameter.numel() for parameter in model.parameters()),
        "cell": asked.cell,
        "recipe": recipe.to_config(),
    }
    raw = {
        "epochs": [epoch._asdict() for epoch in fitted.epochs],
        "cpu_seconds": spent,
        "text": {"checksum": text.checksum, "sizes": dict(text.sizes), "words": text.words},
    }
    record.keep(f"language_ptb_{asked.cell}", figures, raw)
    checkpoint.unlink()
    times.unlink()


if __name__ == "__main__":
    main()
