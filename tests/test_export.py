"""Networks of every space as source files: the same logits, well-formed text; and a search that ends in an export."""

from __future__ import annotations

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

from nas_core.cost import cost  # noqa: E402 - after the check for torch
from nas_core.network import Network, Task  # noqa: E402
from nas_core.random import rng  # noqa: E402
from nas_spaces.bonas_open_domain import BonasOpenDomain  # noqa: E402
from nas_spaces.darts import DARTS  # noqa: E402
from nas_spaces.hnag import HNAG  # noqa: E402
from nas_spaces.nao_cnn import NAOCNN  # noqa: E402
from nas_spaces.nasbench101 import NASBench101  # noqa: E402
from nas_spaces.nasbench201 import NASBench201  # noqa: E402
from nas_spaces.resnet import ResNet  # noqa: E402
from nas_spaces.rnag import RNAG  # noqa: E402
from nas_train.build import build  # noqa: E402
from nas_train.export.source import inference, layer_names, live  # noqa: E402
from nas_train.export.weights import named_weights  # noqa: E402

TASK = Task("classification", (3, 32, 32), 10)
CELLS = {"channels": 6, "cells": 3}


def networks() -> Iterator[Any]:
    """Two random members of every space of image classifiers, with what only training needs where a space has it."""
    spaces: list[tuple[Any, dict[str, Any]]] = [
        (NASBench201(), {"channels": 4, "cells": 2}),
        (NASBench101(), {}),
        (DARTS(none=True), {**CELLS, "auxiliary": True}),
        (NAOCNN(), CELLS),
        (NAOCNN("enas"), CELLS),
        (BonasOpenDomain(), CELLS),
        (HNAG(), {"limit": 200_000}),
        (HNAG(full=True), {"limit": None, "channels": 4, "auxiliary": True, "drop_path": True}),
        (RNAG(), {"limit": 200_000}),
        (ResNet(), {"channels": 4}),
    ]
    for number, (space, options) in enumerate(spaces):
        for seed, member in enumerate(space.sample(rng(0, "export", number), 2)):
            yield pytest.param(space, member, seed, options, id=f"{space.name}{number}-{seed}")


def described(space: Any, member: Any, seed: int, options: dict[str, Any]) -> Network:
    network: Network = space.network(member, TASK, seed, **options)
    return network


@pytest.mark.parametrize(("space", "member", "seed", "options"), list(networks()))
def test_the_source_of_a_network_gives_its_logits(
    space: Any, member: Any, seed: int, options: dict[str, Any], tmp_path: Path
) -> None:
    network = described(space, member, seed, options)
    module = build(network, seed=1).eval()
    needed = inference(network)
    text = export.source(network, (0.4, 0.5, 0.6), (0.2, 0.3, 0.2), space.text(member))
    found = ModuleType("exported")
    found.__file__ = "network.py"
    exec(compile(text, "network.py", "exec"), found.__dict__)
    exported = found.Network()
    exported.load_state_dict(named_weights(module, needed, layer_names(needed)))
    exported.eval()
    assert sum(p.numel() for p in exported.parameters()) == cost(live(needed)).parameters

    x = torch.randn(2, *TASK.input_shape, generator=torch.Generator().manual_seed(0))
    expected = module(x)
    expected = expected["logits"] if isinstance(expected, dict) else expected
    assert torch.equal(exported(x), expected)
    assert not re.search(r"nas_|drop_path|auxiliary", text.partition("from __future__")[2])
    assert max(map(len, text.splitlines())) <= 120

    ruff = shutil.which("ruff") or shutil.which("ruff", path=str(Path(sys.executable).parent))
    if ruff is not None:
        (tmp_path / "network.py").write_text(text, encoding="utf-8")
        command = [ruff, "format", "--isolated", "--line-length=120", "--diff", str(tmp_path / "network.py")]
        run = subprocess.run(command, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout


@pytest.mark.slow
def test_a_search_ends_in_a_file_that_classifies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Searched, kept, exported; two trained on; one of them exported: all by the command line, on real digits."""
    pytest.importorskip("sklearn")
    boundary = pytest.importorskip("nas_search.cli.boundary")
    from nas_train.data import open_data
    from nas_train.export import check

    monkeypatch.chdir(tmp_path)

    def nas(command: str) -> None:
        assert boundary.run(command.split()) == 0, command

    nas(
        "search --space nasbench201 --data digits --objective max:val_accuracy --trials 2 --epochs 1"
        " --network channels=4,cells=1 --train keep=true --out run"
    )
    nas("export run --out kept --format source")
    nas("train run --best 2 --epochs 2")
    nas("train run --best 2 --epochs 2")  # nothing is left to do
    nas("export run --out final --format source")
    assert {path.name for path in Path("final").iterdir()} == {
        "network.py", "weights.safetensors", "card.json", "card.md",
    }  # fmt: skip
    kept, final = Path("kept/card.md").read_text(encoding="utf-8"), Path("final/card.md").read_text(encoding="utf-8")
    assert "| test | accuracy |" in final
    assert "| test |" not in kept

    exported = check.loaded(Path("final/network.py"))
    images = open_data("digits").split("validation")
    with torch.inference_mode():
        logits = exported.load(Path("final/weights.safetensors"))(exported.prepare(torch.tensor(images.images)))
    accuracy = 100 * (logits.argmax(1) == torch.tensor(images.labels)).double().mean().item()
    [told] = re.findall(r"\| validation \| accuracy \| \S+ \| (\S+) \|", final)
    assert float(told) == pytest.approx(accuracy, abs=0.01)
