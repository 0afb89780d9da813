"""Cells of both recurrent spaces as source files: the same logits; and a search that ends in a file that reads text."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

torch = pytest.importorskip("torch")
export = pytest.importorskip("nas_train.export")

from torch.nn import functional as F  # noqa: E402 - after the check for torch

from nas_core.cost import cost  # noqa: E402
from nas_core.network import Task  # noqa: E402
from nas_core.random import rng  # noqa: E402
from nas_spaces.nasbench_nlp import NASBenchNLP  # noqa: E402
from nas_spaces.recurrent import Recurrent  # noqa: E402
from nas_train.export.language_source import time_step  # noqa: E402
from nas_train.export.language_write import language_weights  # noqa: E402
from nas_train.export.source import live  # noqa: E402
from nas_train.language.model import build_language  # noqa: E402

WORDS = 30


def members() -> Iterator[Any]:
    """Random members of the spaces of recurrent cells, with the widths of their layers."""
    spaces: list[tuple[Any, list[tuple[int, int]]]] = [
        (Recurrent(4), [(8, 8)]),
        (Recurrent(8), [(8, 8)]),
        (NASBenchNLP(), [(6, 9), (9, 9), (9, 6)]),
    ]
    for number, (space, widths) in enumerate(spaces):
        for i, member in enumerate(space.sample(rng(0, "export", number), 4)):
            yield pytest.param(space, member, widths, id=f"{space.name}{number}-{i}")


@pytest.mark.parametrize(("space", "member", "widths"), list(members()))
def test_the_source_of_a_cell_gives_its_logits(space: Any, member: Any, widths: list[tuple[int, int]]) -> None:
    networks = [space.network(member, Task("language", (width,), WORDS), 0, hidden=hidden) for width, hidden in widths]
    model = build_language(networks, WORDS, seed=1).eval()
    text = export.language_source(networks, about=space.text(member))
    found = ModuleType("exported")
    found.__file__ = "network.py"
    exec(compile(text, "network.py", "exec"), found.__dict__)
    exported = found.Network()
    exported.load_state_dict(language_weights(model))
    counted = sum(cost(live(time_step(network))).parameters for network in networks)
    assert sum(p.numel() for p in exported.parameters()) == counted + model.embedding.numel() + WORDS

    words = torch.randint(WORDS, (12, 2), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        outputs = model(words, model.zero_states(2)).outputs
        expected = F.linear(outputs, model.output_weight, model.bias)
        first, states = exported(words[:5])
        second, _ = exported(words[5:], states)
        assert torch.allclose(exported(words)[0], expected, rtol=0, atol=1e-6)
    assert torch.allclose(torch.cat([first, second]), expected, rtol=0, atol=1e-6)
    assert not re.search(r"nas_", text.partition("from __future__")[2])

    ruff = shutil.which("ruff") or shutil.which("ruff", path=str(Path(sys.executable).parent))
    if ruff is not None:
        command = [ruff, "format", "--isolated", "--line-length=120", "--diff", "-"]
        run = subprocess.run(command, input=text, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout


TINY = "embedding=8,batch=4,evaluation_batch=2,truncation=6"


@pytest.mark.slow
@pytest.mark.parametrize("evaluator", ["language", "shared_language"])
def test_a_search_ends_in_a_file_that_reads_text(evaluator: str, tmp_path: Path, monkeypatch: Any) -> None:
    """Searched; two trained on; one of them exported: all by the command line, on a text of eight words."""
    boundary = pytest.importorskip("nas_search.cli.boundary")
    from nas_train.export import check
    from nas_train.language.text import open_text

    monkeypatch.chdir(tmp_path)
    Path("texts").mkdir()
    lines = rng(0, "lines").choice(["a b c d", "e f g", "a c b g"], 90)
    for split, part in (("train", lines[:50]), ("valid", lines[50:70]), ("test", lines[70:])):
        Path(f"texts/{split}.txt").write_text("\n".join(part) + "\n", encoding="utf-8")

    def nas(*arguments: str) -> None:
        assert boundary.run(arguments) == 0, arguments

    recipe = json.dumps({"name": "small_text", **{k: int(v) for k, v in (f.split("=") for f in TINY.split(","))}})
    nas(
        "search", "--space", "recurrent:nodes=3", "--evaluator", f"{evaluator}:data=texts,epochs=1,recipe={recipe}",
        "--objective", "min:val_perplexity", "--optimizer", "random", "--trials", "2", "--seed", "1", "--out", "run",
    )  # fmt: skip
    nas("train", "run", "--best", "2", "--recipe", f"small_text_final:{TINY}", "--epochs", "2")
    nas("best", "run")
    nas("export", "run", "--out", "out", "--format", "source")
    card = json.loads(Path("out/card.json").read_text(encoding="utf-8"))
    final = card["metrics"]["final"]
    assert {"perplexity", "loss"} <= final["validation"].keys() & final["test"].keys()
    assert card["metrics"]["search"]["validation"]["perplexity"] != final["validation"]["perplexity"]

    exported = check.loaded(Path("out/network.py"))
    network, listed = exported.load("out/weights.safetensors"), exported.read_words("out/words.json")
    words = exported.prepare(Path("texts/test.txt").read_text(encoding="utf-8"), listed)
    assert words[:, 0].tolist() == open_text("texts").split("test").tolist()
    with torch.inference_mode():
        logits, _ = network(words[:-1])
    loss = F.cross_entropy(logits[:, 0], words[1:, 0]).item()
    assert loss == pytest.approx(final["test"]["loss"], rel=1e-4)
