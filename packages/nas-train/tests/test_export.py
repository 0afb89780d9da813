"""Exported networks compute what the network does, need torch alone, and leave nothing half-written."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from nas_core import primitives as p
from nas_core.cost import cost
from nas_core.errors import InvalidData, InvalidNetwork, InvalidOption, StoreError
from nas_core.network import Network, NetworkBuilder, Task
from nas_train.build import BuiltNetwork, build
from nas_train.checkpoint import save_network
from nas_train.data import ImageSet
from nas_train.export import About, check, export_checkpoint, export_network, onnx_file, source, write
from nas_train.export.card import MEASURED
from nas_train.export.names import attributes, block_of
from nas_train.export.source import inference, layer_names, live
from nas_train.export.weights import named_weights
from nas_train.loop import evaluate

IMPORTED = {"__future__", "argparse", "ast", "json", "math", "pathlib", "torch", "torch.nn"}
SOURCE_ONLY = ("source",)


def trained(network: Network) -> BuiltNetwork:
    """A module whose parameters and running statistics all differ from their initial values."""
    module = build(network, seed=3)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            tensor.add_(torch.rand(tensor.shape, generator=generator) * 0.2)
    return module.eval()


def run_source(text: str) -> ModuleType:
    """The text as a module of Python."""
    module = ModuleType("exported")
    module.__file__ = "network.py"
    exec(compile(text, "network.py", "exec"), module.__dict__)
    return module


def exported(module: BuiltNetwork) -> tuple[Any, str]:
    """The exported module with the weights of another, and its source."""
    network = inference(module.network)
    channels = network.task.input_shape[0]
    text = source(network, [0.5] * channels, [0.2] * channels)
    found = run_source(text).Network()
    found.load_state_dict(named_weights(module, network, layer_names(network)))
    return found.eval(), text


def classifier_of(primitive: p.Primitive, inputs: int) -> Network:
    """A primitive on an image, and on the image in other guises."""
    b = NetworkBuilder(Task("classification", (4, 6, 6), 10))
    x = b.input()
    with b.scope("stem"):
        others = [b.add(f"other{i}", p.Activation("tanh" if i % 2 else "sigmoid"), x) for i in range(inputs - 1)]
    with b.scope("cell0.node"):
        return b.network(logits=b.add("last", primitive, x, *others))


EVERY_PRIMITIVE: list[tuple[p.Primitive, int]] = [
    (p.Convolution(6, (3, 1), (2, 1), (1, 0), (1, 1), 2, True), 1),
    (p.Convolution(4, (3, 3), dilation=(2, 2), padding=(2, 2)), 1),
    (p.Linear(3), 1),
    (p.Linear(3, bias=False), 1),
    (p.Normalisation(), 1),
    (p.Normalisation(affine=False, momentum=0.2, epsilon=1e-3), 1),
    *[(p.Activation(kind), 1) for kind in p.ACTIVATIONS],
    *[(p.Pooling(kind, (3, 2), (2, 2), (1, 1)), 1) for kind in p.POOLINGS],
    (p.AdaptivePooling((1, 1)), 1),
    (p.AdaptivePooling((2, 3), "max"), 1),
    (p.Crop(1, 0), 1),
    (p.Pad((0, 1, 2, 3)), 1),
    (p.ChannelSlice(1, 3), 1),
    (p.Zero(), 1),
    (p.Zero(4), 1),
    (p.Identity(), 1),
    (p.Add(), 1),
    (p.Add(), 3),
    (p.Mean(), 1),
    (p.Mean(), 3),
    (p.Multiply(), 2),
    (p.Complement(), 1),
    (p.WeightedSum(), 3),
    (p.Attention(), 3),
    (p.Concatenation(), 3),
    (p.Flatten(), 1),
    (p.Dropout(0.5), 1),
    (p.DropPath(), 1),
]


def test_the_list_of_primitives_is_complete() -> None:
    others = {p.Input, p.StateIn, p.StateOut}  # an input is in every network; states are refused
    assert {type(primitive) for primitive, _ in EVERY_PRIMITIVE} | others == set(p.PRIMITIVES.values())


@pytest.mark.parametrize(("primitive", "inputs"), EVERY_PRIMITIVE, ids=lambda value: str(value))
def test_every_primitive_is_told_as_it_is_computed(primitive: p.Primitive, inputs: int) -> None:
    module = trained(classifier_of(primitive, inputs))
    found, _ = exported(module)
    x = torch.randn(3, 4, 6, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found(x), module(x))


def long_names(width: int) -> Network:
    """Sums, concatenations, chains and layers whose names leave no room on a line."""
    b = NetworkBuilder(Task("classification", (3, 8, 8), 10))
    x = b.input()
    word = "n" * width
    nodes = []
    with b.scope(f"stage0.cell0.{word}"):
        for i in range(9):
            y = b.add(f"conv{i}", p.Convolution(3, (3, 3), padding=(1, 1), dilation=(1, 1), groups=3), x)
            nodes.append(b.add(f"norm{i}", p.Normalisation(), b.add(f"relu{i}", p.Activation("relu"), y)))
        total = b.add("sum", p.Add(), *nodes)
        mean = b.add("mean", p.Mean(), *nodes)
        weighted = b.add("weighted", p.WeightedSum(), *nodes)
        joined = b.add("joined", p.Concatenation(), total, mean, weighted, *nodes)
    with b.scope("head"):
        flat = b.add("flatten", p.Flatten(), b.add("pool", p.AdaptivePooling((1, 1)), joined))
        return b.network(logits=b.add("linear", p.Linear(10), flat))


@pytest.mark.parametrize("width", [1, 12, 30, 45])
def test_long_names_are_wrapped_as_a_formatter_would(width: int, assert_formatted: Callable[[str], None]) -> None:
    module = trained(long_names(width))
    found, text = exported(module)
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found(x), module(x))
    assert_formatted(text)


def test_the_source_is_formatted_deterministic_and_imports_torch_alone(
    make_network: Callable[..., Network], assert_formatted: Callable[[str], None]
) -> None:
    network = make_network()
    about = 'a text of """quotes""" and \\ and\r\nimport nothing\x00\n' + "w" * 300
    text = source(network, [0.5], [0.2], about)
    assert text == source(Network.from_config(network.to_config()), [0.5], [0.2], about)
    found = re.findall(r"^(?:from|import) (\S+)", text, re.MULTILINE)
    assert set(found) == IMPORTED
    assert "class WeightedSum" not in text
    assert_formatted(text)
    assert_formatted(source(network, [0.5], [0.2]))


def test_what_only_training_needs_is_left_out() -> None:
    b = NetworkBuilder(Task("classification", (2, 4, 4), 3))
    x = b.add("conv", p.Convolution(2, (1, 1)), b.input())
    dead = b.add("dead", p.Convolution(2, (3, 3), padding=(1, 1)), x)
    lost = b.add("lost", p.Convolution(2, (1, 1)), x)  # read by a zero alone
    total = b.add("total", p.Add(), b.add("zero", p.Zero(), lost), b.add("path", p.DropPath(), x))
    empty = b.add("empty", p.Add(), b.add("nothing", p.Zero(), lost))
    logits = b.add("logits", p.Linear(3), b.add("flatten", p.Flatten(), b.add("both", p.Add(), total, empty)))
    b.add("more", p.Identity(), dead)
    with b.scope("auxiliary"):
        other = b.add("linear", p.Linear(3), b.add("flatten", p.Flatten(), x))
    module = trained(b.network(logits=logits, auxiliary=other))
    found, text = exported(module)
    images = torch.randn(5, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found(images), module(images)["logits"])
    assert {name for name, _ in found.named_parameters()} == {"conv.weight", "logits.weight", "logits.bias"}
    assert "auxiliary" not in text
    # a 1x1 convolution of 2 by 2 channels, and a linear map of 32 numbers to 3
    assert cost(live(inference(module.network))).parameters == 2 * 2 + 32 * 3 + 3


def test_names_are_of_python_different_and_unused_by_torch() -> None:
    nodes = ["a.b_c", "a_b.c", "class", "forward", "0.x", "stem.train", "é.x"]
    names = attributes(nodes)
    assert list(names) == nodes
    assert names["a.b_c"] == "a_b_c"
    assert names["stem.train"] == "stem_train"
    assert len(set(names.values())) == len(nodes)
    assert all(name.isidentifier() and name not in ("class", "forward") for name in names.values())


@pytest.mark.parametrize(
    ("node", "block"),
    [
        ("input", ""),
        ("stem.conv", "stem"),
        ("stem.second.conv", "stem"),
        ("stage0.cell1.edge1_0.conv", "stage0.cell1"),
        ("cell0.block2.node0.conv", "cell0.block2"),
        ("stage0.cellar.conv", "stage0"),
    ],
)
def test_blocks(node: str, block: str) -> None:
    assert block_of(node) == block


def test_networks_with_states_and_other_tasks_are_refused(images: ImageSet, tmp_path: Path) -> None:
    b = NetworkBuilder(Task("language", (4,), 10))
    state = b.add("state", p.StateIn("h", (4,)))
    h = b.add("out", p.StateOut("h"), b.add("sum", p.Add(), b.input(), state))
    module = build(b.network(logits=h))
    with pytest.raises(InvalidNetwork, match="only networks that classify images"):
        export_network(module, images, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


# Whole exports


@pytest.fixture
def module(network: Network) -> BuiltNetwork:
    """A network for the images of `images`, with weights like those of a trained one."""
    return trained(network)


def test_everything_is_written_and_checked(module: BuiltNetwork, images: ImageSet, tmp_path: Path) -> None:
    about = About(
        "conv|conv",
        {"name": "toy"},
        {"search": {"val_accuracy": 50.0, "params": 1.0}, "final": {"val_accuracy": 60.0, "test_accuracy": 55.5}},
        {"recipe": "quick"},
        {"optimizer": {"name": "random"}, "seed": 3},
    )
    out = tmp_path / "deep" / "out"
    card = export_network(module, images, out, formats=("source", "program"), about=about)
    assert {path.name for path in out.iterdir()} == {
        "network.py", "weights.safetensors", "network.pt2", "card.json", "card.md",
    }  # fmt: skip
    assert [path.name for path in out.parent.iterdir()] == ["out"]
    assert json.loads((out / "card.json").read_text(encoding="utf-8")) == card
    assert set(card["checks"]["results"]) == {"source", "program"}
    assert max(card["checks"]["results"].values()) <= check.TOLERANCE
    assert card["metrics"] == {
        "search": {"validation": {"accuracy": 50.0}},
        "final": {"validation": {"accuracy": 60.0}, "test": {"accuracy": 55.5}},
    }
    assert set(card["measured"]) == set(MEASURED)
    assert card["costs"]["exported"] == cost(module.network).metrics()
    text = (out / "card.md").read_text(encoding="utf-8")
    for line in (
        "| split | metric | in the search | after the final training |",
        "| validation | accuracy | 50 | 60 |",
        "| test | accuracy |  | 55.5 |",
        f"| parameters | {cost(module.network).parameters:,} | {cost(module.network).parameters:,} |",
        '| optimizer | {"name": "random"} |',
        f"| {MEASURED['latency_cpu_b1_ms']} | {card['measured']['latency_cpu_b1_ms']:.4g} |",
    ):
        assert line in text.splitlines(), line
    assert str(tmp_path).encode() not in b"".join(path.read_bytes() for path in out.iterdir())

    found = check.loaded(out / "network.py")
    score = evaluate(module, images, "validation")
    with torch.inference_mode():
        logits = found.load(out / "weights.safetensors")(found.prepare(torch.tensor(images.validation.images)))
    labels = torch.tensor(images.validation.labels)
    assert F.cross_entropy(logits, labels).item() == pytest.approx(score.loss, rel=1e-4)


def test_the_file_classifies_images_where_there_is_only_torch(
    module: BuiltNetwork, images: ImageSet, tmp_path: Path, run_alone: Callable[..., str]
) -> None:
    out = tmp_path / "out"
    export_network(module, images, out, formats=SOURCE_ONLY)
    file, whole, shares = str(out / "network.py"), str(tmp_path / "whole.npy"), str(tmp_path / "shares.npy")
    pixels = images.validation.images[:6]
    np.save(whole, pixels)
    np.save(shares, pixels.astype(np.float32) / 255)
    first, *lines = run_alone([file], [file, whole], [file, shares]).splitlines()
    count = sum(parameter.numel() for parameter in module.parameters())
    assert first == f"images b x 1 x 8 x 8, logits b x 4, {count} parameters"
    classes = check.reference(module, images).logits[:6].argmax(1).tolist()
    assert [int(line.split()[3].rstrip(",")) for line in lines] == 2 * classes

    found = check.loaded(out / "network.py")
    np.save(whole, pixels.astype(np.float64))
    with pytest.raises(ValueError, match="expected whole images of type uint8 or float32"):
        found.read_images(whole)
    (tmp_path / "text.npy").write_text("no images")
    with pytest.raises(ValueError, match=r"no \.npy file"):
        found.read_images(tmp_path / "text.npy")


def damaged(data: bytes) -> dict[str, bytes]:
    """Weights that are none."""
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    name = next(key for key in header if key != "__metadata__")
    header[name]["data_offsets"] = [0, 10**9]
    moved = json.dumps(header).encode()
    return {
        "empty": b"",
        "cut in the header": data[: 8 + size // 2],
        "cut in the numbers": data[:-1],
        "a header that lies": struct.pack("<Q", len(moved)) + moved + data[8 + size :],
    }


def test_damaged_weights_are_refused(module: BuiltNetwork, images: ImageSet, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export_network(module, images, out, formats=SOURCE_ONLY)
    found = check.loaded(out / "network.py")
    for what, data in damaged((out / "weights.safetensors").read_bytes()).items():
        (tmp_path / "bad").write_bytes(data)
        with pytest.raises(ValueError, match=r"truncated|lie where"):  # noqa: PT012 - the second line names the case
            found.load(tmp_path / "bad")
            pytest.fail(what)
    with pytest.raises(ValueError, match="expected b x 1 x 8 x 8"):
        found.prepare(torch.zeros(2, 3, 8, 8))


def test_the_same_network_gives_the_same_files(
    module: BuiltNetwork, images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "measure", lambda *_, **__: {"latency_cpu_b1_ms": 1.0})
    for name in ("one", "two"):
        export_network(module, images, tmp_path / name, formats=SOURCE_ONLY)
    for file in ("network.py", "weights.safetensors", "card.json", "card.md"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_form_that_computes_something_else_leaves_nothing(
    module: BuiltNetwork, images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*arguments: Any) -> dict[str, torch.Tensor]:
        return {name: tensor * 1.01 for name, tensor in named_weights(*arguments).items()}

    monkeypatch.setattr(write, "named_weights", wrong)
    with pytest.raises(InvalidNetwork, match="the exported source does not compute what the network does"):
        export_network(module, images, tmp_path / "out", formats=SOURCE_ONLY)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("found", [[[0.0, 1.001]], [[0.0, float("nan")]]])
def test_differences_count_as_a_share_of_the_largest_logit(found: list[list[float]]) -> None:
    expected = torch.tensor([[0.0, 1.0]])
    with pytest.raises(InvalidNetwork):
        check.compare("it", expected, torch.tensor(found))
    assert check.compare("it", 1000 * expected, torch.tensor([[0.0, 1000.05]])) == pytest.approx(5e-5, rel=1e-2)
    with pytest.raises(InvalidNetwork, match="another shape"):
        check.compare("it", expected, torch.zeros(1, 3))


def test_a_folder_that_holds_something_is_left_alone(module: BuiltNetwork, images: ImageSet, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    for name in ("full", "file", "file/below"):
        with pytest.raises(StoreError):
            export_network(module, images, tmp_path / name, formats=SOURCE_ONLY)
    export_network(module, images, tmp_path / "empty", formats=SOURCE_ONLY)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file", "full"]
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.tex"]


def test_formats(module: BuiltNetwork, images: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_file, "NEEDED", ("onnx_that_nobody_has",))
    with pytest.raises(InvalidOption, match=r"onnx_that_nobody_has.*extra `onnx`"):
        export_network(module, images, tmp_path / "out", formats=("onnx",))
    with pytest.raises(InvalidOption, match="no such format: 'pickle'"):
        export_network(module, images, tmp_path / "out", formats=("pickle",))
    card = export_network(module, images, tmp_path / "out")
    assert "network.pt2" in card["files"]
    assert "network.onnx" not in card["files"]
    assert "the extra `onnx` of nas-train" in card["checks"]["results"]["onnx"]
    assert "the extra `onnx` of nas-train" in (tmp_path / "out" / "card.md").read_text(encoding="utf-8")


@pytest.mark.skipif(bool(onnx_file.missing()), reason="an ONNX file needs the extra onnx")
def test_an_onnx_file_is_checked(module: BuiltNetwork, images: ImageSet, tmp_path: Path) -> None:
    card = export_network(module, images, tmp_path / "out", formats=("onnx",))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*card["files"], "card.json", "card.md"}
    assert "network.pt2" not in card["files"]
    assert re.search(r"for \d+ images, run by .*onnx", card["checks"]["results"]["onnx"])
    assert str(tmp_path).encode() not in (tmp_path / "out" / "network.onnx").read_bytes()


def test_a_checkpoint_is_exported_with_what_it_says(
    module: BuiltNetwork, make_images: Callable[..., ImageSet], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, others = make_images(), make_images(n=80)
    monkeypatch.setattr(write, "open_data", {"corners": images, "others": others}.__getitem__)
    said = {"data": {"checksum": images.checksum}, "recipe": {"name": "quick"}, "curve": [1.0]}
    file = save_network(tmp_path / "a.safetensors", module, said)
    with pytest.raises(InvalidData, match="not the images"):
        export_checkpoint(file, "others", tmp_path / "out", formats=SOURCE_ONLY)
    about = About(training={"epochs": 3})
    card = export_checkpoint(file, "corners", tmp_path / "out", formats=SOURCE_ONLY, about=about)
    assert card["training"] == {"recipe": {"name": "quick"}, "epochs": 3}
    silent = save_network(tmp_path / "b.safetensors", module, {})
    with pytest.raises(InvalidData, match="not the images"):
        export_checkpoint(silent, "corners", tmp_path / "more", checksum=others.checksum, formats=SOURCE_ONLY)
