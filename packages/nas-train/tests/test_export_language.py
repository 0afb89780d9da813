"""Exported language models compute what the trained ones do, carry their states, and need torch alone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from nas_core import primitives as p
from nas_core.errors import InvalidData, InvalidNetwork, InvalidOption, NasError, StoreError
from nas_core.network import Network, NetworkBuilder, Task
from nas_train.export import (
    About,
    check,
    export_checkpoint,
    export_language,
    language_source,
    language_write,
    onnx_file,
    write,
)
from nas_train.export.card import MEASURED_BY_WORD
from nas_train.export.language_source import time_step
from nas_train.export.language_write import language_weights
from nas_train.language.files import save_language
from nas_train.language.loop import evaluate_language
from nas_train.language.model import LanguageModel, build_language
from nas_train.language.text import UNKNOWN, TextSet, open_text

WORDS = 11
IMPORTED = {"__future__", "argparse", "json", "math", "pathlib", "torch", "torch.nn"}
SOURCE_ONLY = ("source",)


def lstm(width: int = 6, hidden: int | None = None) -> Network:
    """A long short-term memory: two states, and gates that are halves of products."""
    d = hidden or width
    b = NetworkBuilder(Task("language", (width,), WORDS))
    x = b.input()
    h, c = b.add("h_prev", p.StateIn("h", (d,))), b.add("c_prev", p.StateIn("c", (d,)))
    with b.scope("gates"):
        z = b.add("linear", p.Linear(4 * d), b.add("joined", p.Concatenation(), x, h))
        parts = [b.add(f"part{i}", p.ChannelSlice(i * d, (i + 1) * d), z) for i in range(4)]
        i, f, o = (b.add(f"sigmoid{n}", p.Activation("sigmoid"), parts[n]) for n in range(3))
        g = b.add("tanh", p.Activation("tanh"), parts[3])
    with b.scope("memory"):
        c = b.add("sum", p.Add(), b.add("kept", p.Multiply(), f, c), b.add("new", p.Multiply(), i, g))
        b.add("after", p.StateOut("c"), c)
    h = b.add("hidden", p.Multiply(), o, b.add("tanh", p.Activation("tanh"), c))
    b.add("after", p.StateOut("h"), h)
    return b.network(hidden=h)


def odd(width: int = 6) -> Network:
    """States that change places, that stay as they are, and that nothing depends on, or a zero in a sum alone."""
    b = NetworkBuilder(Task("language", (width,), WORDS))
    x = b.input("x")
    first, second, still, dead = (b.add(name, p.StateIn(name, (width,))) for name in ("a", "b", "still", "dead"))
    zero = b.add("zero", p.Zero(), b.add("read_by_zero", p.StateIn("read_by_zero", (width,))))
    y = b.add("sum", p.Add(), x, first, zero, still)
    y = b.add("linear", p.Linear(width), y)
    y = b.add("relu", p.Activation("relu"), b.add("norm", p.Identity(), y))
    b.add("to_a", p.StateOut("a"), second)
    b.add("to_b", p.StateOut("b"), y)
    b.add("to_still", p.StateOut("still"), still)
    b.add("to_zero", p.StateOut("read_by_zero"), b.add("new", p.Linear(width), x))
    b.add("to_dead", p.StateOut("dead"), b.add("lost", p.Linear(width), dead))
    return b.network(hidden=b.add("tanh", p.Activation("tanh"), y))


def forgetful(width: int = 6) -> Network:
    """A cell whose output has nothing of its state."""
    b = NetworkBuilder(Task("language", (width,), WORDS))
    x = b.input()
    b.add("to_h", p.StateOut("h"), b.add("sum", p.Add(), x, b.add("h", p.StateIn("h", (width,)))))
    return b.network(hidden=b.add("tanh", p.Activation("tanh"), x))


def trained(networks: list[Network], tied: bool = True, state_norm: float | None = None) -> LanguageModel:
    """A model whose parameters are all other than at the start."""
    model = build_language(networks, WORDS, tied=tied, state_norm=state_norm, seed=3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.add_(torch.rand(tensor.shape, generator=generator) - 0.5)
    return model.eval()


def logits_of(model: LanguageModel, words: torch.Tensor) -> torch.Tensor:
    """Those of the trained model, t x b x k."""
    outputs = model(words, model.zero_states(words.shape[1])).outputs
    return F.linear(outputs, model.output_weight, model.bias)


def source_of(model: LanguageModel) -> str:
    """The text of the exported module."""
    return language_source(model.networks, tied=model.output is None, state_norm=model.state_norm, about="a\ncell")


def exported(model: LanguageModel) -> tuple[Any, str]:
    """The exported module with the weights of a model, and its source."""
    text = source_of(model)
    module = ModuleType("exported")
    module.__file__ = "network.py"
    exec(compile(text, "network.py", "exec"), module.__dict__)
    network = module.Network()
    network.load_state_dict(language_weights(model))
    return network.eval(), text


MODELS: dict[str, Callable[[], LanguageModel]] = {
    "lstm": lambda: trained([lstm()]),
    "layers of their own": lambda: trained([lstm(6, 5), lstm(5, 5), lstm(5, 5), lstm(5, 6)]),
    "untied": lambda: trained([lstm(6, 4)], tied=False),
    "odd": lambda: trained([odd(), lstm()]),
    "short states": lambda: trained([odd(), lstm()], state_norm=0.5),
    "forgetful": lambda: trained([forgetful()]),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_source_computes_the_same_and_carries_its_states(name: str, assert_formatted: Any) -> None:
    model = MODELS[name]()
    network, text = exported(model)
    words = torch.randint(WORDS, (9, 3), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = logits_of(model, words)
        found, _ = network(words)
        first, states = network(words[:4])
        second, _ = network(words[4:], states)
    assert torch.equal(found, expected)
    assert torch.allclose(torch.cat([first, second]), expected, rtol=0, atol=1e-6)
    if name != "forgetful":  # the states matter: without them the second part is another
        assert not torch.allclose(network(words[4:])[0], second, rtol=0, atol=1e-3)
    assert set(re.findall(r"^(?:from|import) (\S+)", text, re.MULTILINE)) == IMPORTED
    assert text == source_of(model)
    assert_formatted(text)


def test_equal_layers_have_one_class() -> None:
    _, text = exported(MODELS["layers of their own"]())
    assert re.findall(r"^class (\w+)", text, re.MULTILINE) == ["Cell0", "Cell1", "Cell2", "Network"]
    assert "nn.ModuleList([Cell0(), Cell1(), Cell1(), Cell2()])" in text


def test_what_no_logit_depends_on_is_left_out() -> None:
    model = trained([odd()])
    network, text = exported(model)
    assert "dead" not in text
    assert "lost" not in text
    assert network.layers[0].sizes == (6, 6, 6)
    # words' vectors 11 x 6 and a bias for each word; one linear map of 6 to 6 of the three
    assert sum(parameter.numel() for parameter in network.parameters()) == 66 + 11 + 42
    assert sum(parameter.numel() for parameter in model.parameters()) == 66 + 11 + 3 * 42


def test_only_time_steps_are_told(network: Network) -> None:
    with pytest.raises(InvalidNetwork, match="not one time step"):
        language_source([network])
    b = NetworkBuilder(Task("language", (4,), WORDS))
    x = b.input()
    reads = b.network(hidden=b.add("sum", p.Add(), x, b.add("state", p.StateIn("h", (4,)))))
    with pytest.raises(InvalidNetwork, match="gets no new value: 'h'"):
        time_step(reads)


# Whole exports


NAMES = ("a", "b", "café", '"', "\\", "<eos>", UNKNOWN, "c", "d", "e", "f")


@pytest.fixture
def text(make_text: Callable[..., TextSet]) -> TextSet:
    """A text of eleven words with names."""
    return replace(make_text(), vocabulary=NAMES)


def test_everything_is_written_and_checked(text: TextSet, tmp_path: Path) -> None:
    model = trained([lstm()])
    nats = evaluate_language(model, text.validation, streams=1)
    about = About(
        "an LSTM",
        {"name": "toy"},
        {"search": {"val_perplexity": 9.5}, "final": {"val_perplexity": 8.5, "test_perplexity": 8.75, "params": 1.0}},
        {"recipe": "quick"},
        {"seed": 3},
    )
    out = tmp_path / "out"
    card = export_language(model, text, out, formats=("source", "program"), about=about)
    assert {path.name for path in out.iterdir()} == {
        "network.py", "weights.safetensors", "words.json", "network.pt2", "card.json", "card.md",
    }  # fmt: skip
    assert json.loads((out / "card.json").read_text(encoding="utf-8")) == card
    assert list(card["checks"]["results"]) == ["source", "carried states", "program"]
    assert max(card["checks"]["results"].values()) <= check.TOLERANCE
    assert set(card["measured"]) == set(MEASURED_BY_WORD)
    # the LSTM reads 6 + 6 numbers and makes 4 x 6; the output layer makes 11 of 6
    assert card["costs"]["exported"] == {"params": 12 * 24 + 24 + 66 + 11, "multiply_adds": 12 * 24 + 66}
    assert card["costs"]["trained"] == card["costs"]["exported"]
    told = (out / "card.md").read_text(encoding="utf-8").splitlines()
    for line in (
        "| validation | perplexity | 9.5 | 8.5 |",
        "| test | perplexity |  | 8.75 |",
        "| multiply-adds for one word | 354 | 354 |",
        "| program and ONNX file | 1 word at a time (t = 1), any number of texts |",
        "| words | as the text names them |",
    ):
        assert line in told, line
    assert str(tmp_path).encode() not in b"".join(path.read_bytes() for path in out.iterdir())

    found = check.loaded(out / "network.py")
    network, listed = found.load(out / "weights.safetensors"), found.read_words(out / "words.json")
    assert tuple(listed) == NAMES
    words = found.prepare(" ".join(NAMES[number] for number in text.validation), listed)
    assert words[:, 0].tolist() == text.validation.tolist()
    with torch.inference_mode():
        logits, _ = network(words[:-1])
    assert F.cross_entropy(logits[:, 0], words[1:, 0]).item() == pytest.approx(nats, rel=1e-4)


@pytest.mark.skipif(bool(onnx_file.missing()), reason="an ONNX file needs the extra onnx")
@pytest.mark.parametrize("name", ["layers of their own", "odd"])
def test_an_onnx_file_is_checked(name: str, text: TextSet, tmp_path: Path) -> None:
    card = export_language(MODELS[name](), text, tmp_path / "out", formats=("onnx",))
    assert re.search(r"for \d+ texts, run by .*onnx", card["checks"]["results"]["onnx"])


def test_odd_states_pass_through_a_program(text: TextSet, tmp_path: Path) -> None:
    card = export_language(MODELS["odd"](), text, tmp_path / "out", formats=("program",))
    assert card["checks"]["results"]["program"] <= check.TOLERANCE


def test_the_file_reads_text_where_there_is_only_torch(
    text: TextSet, tmp_path: Path, run_alone: Callable[..., str]
) -> None:
    model = trained([lstm()])
    export_language(model, text, tmp_path / "out", formats=SOURCE_ONLY)
    file = str(tmp_path / "out" / "network.py")
    shapes, surprise, *following = run_alone([file], [file, "a b unheard\nc"]).splitlines()
    count = sum(parameter.numel() for parameter in model.parameters())
    assert shapes == f"words t x b, numbers below 11, logits t x b x 11, {count} parameters"
    words = torch.tensor([0, 1, 6, 5, 7])[:, None]  # an unheard word, and the end of a line
    with torch.inference_mode():
        logits = logits_of(model, words)[:, 0]
    perplexity = F.cross_entropy(logits[:-1], words[1:, 0]).exp()
    assert surprise == f"perplexity of the words after the first: {perplexity:.2f}"
    probabilities, numbers = logits[-1].softmax(0).topk(5)
    assert following == [
        f"next word: {NAMES[number]}, probability {probability:.4f}"
        for probability, number in zip(probabilities, numbers, strict=True)
    ]
    found = check.loaded(tmp_path / "out" / "network.py")
    with pytest.raises(ValueError, match="the text holds nothing"):
        found.prepare(" ", list(NAMES))
    with pytest.raises(ValueError, match="the text holds 'z'; expected some of the 2 words"):
        found.prepare("x y z", ["x", "y"])


def test_a_text_is_numbered_as_for_the_training(tmp_path: Path) -> None:
    for split, words in (("train", "one two\nthree"), ("valid", "two four one\n\nthree\n"), ("test", "one two")):
        (tmp_path / f"{split}.txt").write_text(words, encoding="utf-8")
    text = open_text(tmp_path)
    found = check.loaded(_written(tmp_path, language_source([lstm()])))
    numbers = found.prepare((tmp_path / "valid.txt").read_text(encoding="utf-8"), list(text.vocabulary or ()))
    assert numbers[:, 0].tolist() == text.validation.tolist()


def _written(folder: Path, text: str) -> Path:
    (folder / "network.py").write_text(text, encoding="utf-8")
    return folder / "network.py"


def test_words_without_names_are_their_numbers(make_text: Callable[..., TextSet], tmp_path: Path) -> None:
    export_language(trained([lstm()]), make_text(n=40), tmp_path / "out", formats=SOURCE_ONLY)  # shorter than a check
    found = check.loaded(tmp_path / "out" / "network.py")
    listed = found.read_words(tmp_path / "out" / "words.json")
    assert found.prepare("10 0 7", listed)[:, 0].tolist() == [10, 0, 7]
    assert "the text names none" in (tmp_path / "out" / "card.md").read_text(encoding="utf-8")


def test_what_does_not_fit_leaves_nothing(text: TextSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, out = trained([lstm()]), tmp_path / "out"

    def refused(kind: type[NasError], message: str, given: LanguageModel = model, **options: Any) -> None:
        with pytest.raises(kind, match=message):
            export_language(given, text, out, **{"formats": SOURCE_ONLY, **options})

    refused(InvalidOption, "no such format: 'pickle'", formats=("pickle",))
    refused(InvalidNetwork, "another vocabulary: 12", build_language([lstm()], 12))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    with pytest.raises(StoreError, match="empty or new"):
        export_language(model, text, tmp_path / "full", formats=SOURCE_ONLY)

    def wrong(model: LanguageModel) -> dict[str, torch.Tensor]:
        return {name: tensor * 1.01 for name, tensor in language_weights(model).items()}

    monkeypatch.setattr(language_write, "language_weights", wrong)
    refused(InvalidNetwork, "the exported source does not compute what the network does")
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_a_checkpoint_is_exported_with_what_it_says(
    text: TextSet, make_text: Callable[..., TextSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "open_text", {"counting": text, "others": make_text(n=80)}.__getitem__)
    said = {"data": {"checksum": text.checksum}, "recipe": {"name": "quick"}, "architecture": "an LSTM"}
    file = save_language(tmp_path / "a.safetensors", trained([lstm()]), said)
    with pytest.raises(InvalidData, match="not the words"):
        export_checkpoint(file, "others", tmp_path / "out", formats=SOURCE_ONLY)
    with pytest.raises(InvalidNetwork, match=r"checkpoint of another network: 'an LSTM'.*expected a GRU"):
        export_checkpoint(file, "counting", tmp_path / "out", formats=SOURCE_ONLY, about=About("a GRU"))
    card = export_checkpoint(
        file, "counting", tmp_path / "out", formats=SOURCE_ONLY, about=About("an LSTM", training={"epochs": 3})
    )
    assert card["training"] == {"recipe": {"name": "quick"}, "epochs": 3}
    assert np.array_equal(
        check.loaded(tmp_path / "out" / "network.py").load(tmp_path / "out" / "weights.safetensors").bias.detach(),
        trained([lstm()]).bias.detach(),
    )
