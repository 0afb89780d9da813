"""The card of an exported network: what it is, scores and costs, how it was found, trained and checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

SPLITS = {"train": "training", "val": "validation", "test": "test"}
_STAGES = {"search": "in the search", "final": "after the final training"}
MEASURED = {
    "latency_cpu_b1_ms": "milliseconds for one image, one thread of a CPU",
    "latency_cpu_b32_ms": "milliseconds for 32 images, one thread of a CPU",
    "peak_memory_cpu_b32_mb": "MB (2^20 bytes) that a training step on 32 images takes",
    "memory_per_sample_cpu_b32_mb": "MB that a training step takes for one image more",
}
"""What is measured of an exported network (`nas_train.measure`)."""
MEASURED_BY_WORD = {
    "latency_cpu_b1_ms": "milliseconds for one word, one thread of a CPU",
    "latency_cpu_b32_ms": "milliseconds for one word of each of 32 texts, one thread of a CPU",
    "peak_memory_cpu_b32_mb": "MB (2^20 bytes) that a training step on one word of each of 32 texts takes",
    "memory_per_sample_cpu_b32_mb": "MB that a training step takes for one word more",
}
"""The same of an exported language model."""


@dataclass(frozen=True)
class About:
    """What the caller knows of a network; all of it JSON, and all of it may be missing.

    Args:
        architecture: the text of the architecture.
        space: its space, as plain data.
        metrics: by stage ("search", "final") the metrics that were measured then.
        training: how the exported weights were trained: recipe, epochs, data, device, versions.
        found: how the architecture was found: optimizer, objectives, seed, trials, versions.
    """

    architecture: str = ""
    space: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    found: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What stands at the top of the source."""
        space = f" of the space {self.space['name']}" if "name" in self.space else ""
        return f"The architecture{space}:\n{self.architecture}" if self.architecture else ""

    def to_card(self) -> dict[str, Any]:
        """The part of a card that the caller knows."""
        return {
            "architecture": self.architecture,
            "space": dict(self.space),
            "metrics": {stage: by_split(metrics) for stage, metrics in self.metrics.items()},
            "training": dict(self.training),
            "found": dict(self.found),
        }


class Wording(NamedTuple):
    """How a card speaks of one kind of network.

    Args:
        rows: what goes in and out.
        costs: what each cost is.
        measured: what each measured quantity is.
        exported: what of the trained network is exported.
        checked: what the forms were checked on, with the card's `checks` to be filled in.
    """

    rows: Callable[[Mapping[str, Any]], list[tuple[str, Any]]]
    costs: Mapping[str, str]
    measured: Mapping[str, str]
    exported: str
    checked: str


def by_split(metrics: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Metrics by the split that their names begin with: {"validation": {"accuracy": 91.2}, …}; costs are left out."""
    found: dict[str, dict[str, float]] = {}
    for name, value in sorted(metrics.items()):
        split, _, rest = name.partition("_")
        if split in SPLITS and rest:
            found.setdefault(SPLITS[split], {})[rest] = value
    return found


def markdown(card: Mapping[str, Any], wording: Wording) -> str:
    """The card for a reader."""
    parts = [
        "# An exported network",
        _files(card["files"]),
        "## What it is",
        f"```\n{card['architecture'] or 'no text of an architecture was given'}\n```",
        _table(("", ""), wording.rows(card)),
        "## What it scores",
        _scores(card["metrics"]),
        "## What it costs",
        _table(("", "exported", "as trained"), _cost_rows(card["costs"], wording.costs)),
        _table(("", "exported"), [(wording.measured[name], value) for name, value in card["measured"].items()]),
        wording.exported,
        "## How it was trained",
        _listing(card["training"]),
        "## How it was found",
        _listing({"space": card["space"], **card["found"]}),
        "## How it was checked",
        _checks(card["checks"], wording.checked),
    ]
    return "\n\n".join(parts) + "\n"


def _files(files: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [(f"`{name}`", entry["what"], f"{entry['bytes']:,}") for name, entry in files.items()]
    return _table(("file", "what it is", "bytes"), rows)


def _image_rows(card: Mapping[str, Any]) -> list[tuple[str, Any]]:
    read = card["input"]
    return [
        ("input", "b x " + " x ".join(map(str, read["shape"])) + ", normalised by channel"),
        ("mean of the pixels, 0 to 1", ", ".join(f"{value:.6g}" for value in read["mean"])),
        ("deviation of the pixels", ", ".join(f"{value:.6g}" for value in read["deviation"])),
        ("output", f"logits, b x {card['classes']}"),
        ("data", f"{card['data']['name']}, checksum {card['data']['checksum']}"),
    ]


def _text_rows(card: Mapping[str, Any]) -> list[tuple[str, Any]]:
    words, steps = card["words"], card["steps"]
    return [
        ("input", "numbers of words, t x b: t words of each of b texts; and the states before them"),
        ("output", f"logits of the word after each, t x b x {words['number']:,}; and the states after them"),
        ("program and ONNX file", f"{steps} word{'s' * (steps > 1)} at a time (t = {steps}), any number of texts"),
        ("words", "as the text names them" if words["named"] else "the text names none: they are their numbers"),
        ("data", f"{card['data']['name']}, checksum {card['data']['checksum']}"),
    ]


def _scores(metrics: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    stages = [stage for stage in _STAGES if metrics.get(stage)]
    if not stages:
        return "Nothing was measured."
    names = sorted(
        {(split, name) for stage in stages for split, scores in metrics[stage].items() for name in scores},
        key=lambda pair: (list(SPLITS.values()).index(pair[0]), pair[1]),
    )
    rows = [
        (split, name, *(_number(metrics[stage].get(split, {}).get(name)) for stage in stages)) for split, name in names
    ]
    return _table(("split", "metric", *(_STAGES[stage] for stage in stages)), rows)


def _cost_rows(costs: Mapping[str, Mapping[str, float]], told: Mapping[str, str]) -> list[tuple[str, ...]]:
    exported, trained = costs["exported"], costs["trained"]
    return [(told[name], _number(value), _number(trained[name])) for name, value in exported.items()]


def _checks(checks: Mapping[str, Any], told: str) -> str:
    rows = [(name, result) for name, result in checks["results"].items()]
    accepted = f"accepted is a difference of {checks['tolerance']:g} of the largest logit."
    return f"{told.format(**checks)}; {accepted}\n\n{_table(('form', 'largest difference'), rows)}"


def _listing(entries: Mapping[str, Any]) -> str:
    if not entries:
        return "Nothing is known."
    return _table(("", ""), [(name, _plain(value)) for name, value in entries.items()])


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if value == int(value) else f"{value:.5g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


IMAGES = Wording(
    _image_rows,
    {
        "params": "parameters",
        "multiply_adds": "multiply-adds for one image",
        "activation_bytes": "bytes that a training step keeps for one image",
        "depth": "convolutions and linear maps on the longest path",
    },
    MEASURED,
    "Exported is what the logits need: no auxiliary head, and no layer that they do not depend on.",
    "Logits of the first {images} validation images, against the network as it was trained",
)
TEXTS = Wording(
    _text_rows,
    {"params": "parameters, words' vectors included", "multiply_adds": "multiply-adds for one word"},
    MEASURED_BY_WORD,
    "Exported is what the logits need: no dropout, and no layer or state that they do not depend on.",
    "Logits of {words} words of the validation text, read as {texts} texts side by side, against the network as it was"
    " trained. The source reads each text at once and, with carried states, in two halves; a program and an ONNX file"
    " read it word by word",
)
