"""Writing the export of a language model, checked on words of the validation text."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nas_core.cost import cost
from nas_core.errors import InvalidNetwork
from nas_core.network import Network
from nas_train.build import BuiltNetwork
from nas_train.checkpoint import write_file
from nas_train.export.card import MEASURED_BY_WORD, TEXTS, About
from nas_train.export.check import TOLERANCE, compare, loaded
from nas_train.export.folder import SOURCE, made, write_card
from nas_train.export.forms import Case, check_formats, write_forms
from nas_train.export.language_source import WORDS, language_source, time_step
from nas_train.export.program import ANY, EXAMPLES
from nas_train.export.source import WEIGHTS, layer_names, live
from nas_train.export.weights import named_weights, write_weights
from nas_train.language.loop import streams_of
from nas_train.language.model import LanguageModel
from nas_train.language.text import TextSet
from nas_train.measure import measure

STEPS = 1
"""Words that a program and an ONNX file read at a time; each more would write out the cells once more."""
WORDS_CHECKED, TEXTS_CHECKED = 32, 4
"""Words of each text that are read in a check, and texts side by side."""
REPEATS = 25
"""Forward passes whose median is a latency."""


def export_language(
    model: LanguageModel,
    text: TextSet,
    out: Path,
    *,
    formats: Sequence[str] | None = None,
    about: About | None = None,
) -> dict[str, Any]:
    """Write a trained language model for use without this toolkit.

    Every form is run on words of the validation text and compared with the model itself before the folder gets its
    name. The source reads them at once, and in two halves, the second from the states after the first; the program and
    the ONNX file word by word.

    Args:
        model: the trained model; it is left on the CPU, in evaluation mode.
        text: what it was trained on, for its words and for the checks.
        out: the folder to make; there may be an empty one.
        formats: some of `nas_train.export.FORMATS`; None for all, without ONNX where packages for it are missing.
        about: for the card.

    Returns:
        The card: files, metrics, costs, checks.

    Raises:
        InvalidNetwork: the text has another number of words, or a form does not compute the same.
        InvalidOption: an unknown format, or one whose packages are missing.
        StoreError: the folder holds something, or cannot be written.
    """
    check_formats(formats)
    if model.words != text.words:
        raise InvalidNetwork("a model of another vocabulary", value=model.words, expected=f"{text.words} words")
    about = About() if about is None else about
    listed = [str(number) for number in range(text.words)] if text.vocabulary is None else list(text.vocabulary)
    words = _words(text)
    expected = _logits(model, words)
    with made(out) as folder:
        told = language_source(
            model.networks, tied=model.output is None, state_norm=model.state_norm, about=about.title
        )
        write_file(folder / SOURCE, told.encode())
        write_file(folder / WORDS, (json.dumps(listed, indent=0, ensure_ascii=False) + "\n").encode())
        write_weights(folder / WEIGHTS, language_weights(model))
        runs = loaded(folder / SOURCE).load(folder / WEIGHTS)
        with torch.inference_mode():
            whole, halves = (_read(runs, words, runs.zero_states, steps) for steps in (len(words), len(words) // 2))
        checks = {
            "source": compare("the exported source", expected, whole),
            "carried states": compare("the exported source in two halves", expected, halves),
        }
        checks |= write_forms(folder, runs, _case(words, expected, runs), formats)
        card = {
            **about.to_card(),
            "words": {"number": text.words, "named": text.vocabulary is not None},
            "steps": STEPS,
            "data": {"name": text.name, "checksum": text.checksum, "sizes": dict(text.sizes)},
            "costs": _costs(model),
            "torch": torch.__version__,
            "measured": measure(_ByWord(runs), (1,), tuple(MEASURED_BY_WORD), repeats=REPEATS),
            "checks": {"words": words.numel(), "texts": words.shape[1], "tolerance": TOLERANCE, "results": checks},
        }
        return write_card(folder, card, TEXTS)


def language_weights(model: LanguageModel) -> dict[str, Tensor]:
    """The parameters under the names of the exported module."""
    found = {name: tensor.detach().cpu().contiguous() for name, tensor in model.named_parameters(recurse=False)}
    for i, layer in enumerate(model.layers):
        step = time_step(model.networks[i])
        own = named_weights(cast(BuiltNetwork, layer), step, layer_names(step))
        found |= {f"layers.{i}.{name}": tensor for name, tensor in own.items()}
    return found


def _words(text: TextSet) -> Tensor:
    """Words of the validation text, t x b; from its start again where it is short."""
    some = np.resize(text.validation, WORDS_CHECKED * TEXTS_CHECKED)
    return streams_of(some, TEXTS_CHECKED, torch.device("cpu"))


def _logits(model: LanguageModel, words: Tensor) -> Tensor:
    """What the model itself gives for words (t x b): b x t x k."""
    model.cpu().eval()
    with torch.inference_mode():
        outputs = model(words, model.zero_states(words.shape[1])).outputs
        return F.linear(outputs, model.output_weight, model.bias).transpose(0, 1)


def _read(form: Callable[..., Any], words: Tensor, zero_states: Callable[[int], Any], steps: int) -> Tensor:
    """What a form gives for words (t x b) that are read so many at a time: b x t x k."""
    states, found = zero_states(words.shape[1]), []
    for part in words.split(steps):
        logits, states = form(part.contiguous(), states)
        found.append(logits)
    return torch.cat(found).transpose(0, 1)


def _case(words: Tensor, expected: Tensor, network: Any) -> Case:
    """Texts word by word, the last of which goes through alone."""

    def run(form: Callable[..., Any], count: int) -> Tensor:
        parts = (words[:, : count - 1], words[:, count - 1 : count])
        return torch.cat([_read(form, part, network.zero_states, STEPS) for part in parts])

    before = network.zero_states(EXAMPLES)
    names = [f"layer{i}_state{j}" for i, layer in enumerate(before) for j in range(len(layer))]
    return Case(
        (words[:STEPS, :EXAMPLES].contiguous(), before),
        ({1: ANY}, tuple(tuple({0: ANY} for _ in layer) for layer in before)),
        ("words", *names),
        ("logits", *(f"{name}_after" for name in names)),
        "texts",
        expected,
        run,
    )


def _costs(model: LanguageModel) -> dict[str, dict[str, float]]:
    """Parameters, and multiply-adds for one word: those of the cells and of the output layer."""
    own = sum(parameter.numel() for parameter in model.parameters(recurse=False))

    def whole(networks: Sequence[Network]) -> dict[str, float]:
        cells = [cost(network) for network in networks]
        return {
            "params": float(own + sum(cell.parameters for cell in cells)),
            "multiply_adds": float(model.output_weight.numel() + sum(cell.multiply_adds for cell in cells)),
        }

    return {
        "exported": whole([live(time_step(network)) for network in model.networks]),
        "trained": whole(model.networks),
    }


@final
class _ByWord(nn.Module):
    """An exported model as `nas_train.measure` calls networks."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, words: Tensor) -> Tensor:
        """One word of each of b texts (b x 1) to logits (b x k)."""
        logits: Tensor = self.network(words.T.long())[0][-1]
        return logits
