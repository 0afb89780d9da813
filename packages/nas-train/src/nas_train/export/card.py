"""The card of an exported network: what it is, scores and costs, how it was found, trained and checked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SPLITS = {"train": "training", "val": "validation", "test": "test"}
_STAGES = {"search": "in the search", "final": "after the final training"}
_COSTS = {
    "params": "parameters",
    "multiply_adds": "multiply-adds for one image",
    "activation_bytes": "bytes that a training step keeps for one image",
    "depth": "convolutions and linear maps on the longest path",
}
MEASURED = {
    "latency_cpu_b1_ms": "milliseconds for one image, one thread of a CPU",
    "latency_cpu_b32_ms": "milliseconds for 32 images, one thread of a CPU",
    "peak_memory_cpu_b32_mb": "MB (2^20 bytes) that a training step on 32 images takes",
    "memory_per_sample_cpu_b32_mb": "MB that a training step takes for one image more",
}
"""What is measured of an exported network (`nas_train.measure`)."""


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


def by_split(metrics: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Metrics by the split that their names begin with: {"validation": {"accuracy": 91.2}, …}; costs are left out."""
    found: dict[str, dict[str, float]] = {}
    for name, value in sorted(metrics.items()):
        split, _, rest = name.partition("_")
        if split in SPLITS and rest:
            found.setdefault(SPLITS[split], {})[rest] = value
    return found


def markdown(card: Mapping[str, Any]) -> str:
    """The card for a reader."""
    parts = [
        "# An exported network",
        _files(card["files"]),
        "## What it is",
        f"```\n{card['architecture'] or 'no text of an architecture was given'}\n```",
        _table(("", ""), _input_rows(card)),
        "## What it scores",
        _scores(card["metrics"]),
        "## What it costs",
        _table(("", "exported", "as trained"), _cost_rows(card["costs"])),
        _table(("", "exported"), [(MEASURED[name], value) for name, value in card["measured"].items()]),
        "Exported is what the logits need: no auxiliary head, and no layer that they do not depend on.",
        "## How it was trained",
        _listing(card["training"]),
        "## How it was found",
        _listing({"space": card["space"], **card["found"]}),
        "## How it was checked",
        _checks(card["checks"]),
    ]
    return "\n\n".join(parts) + "\n"


def _files(files: Mapping[str, Mapping[str, Any]]) -> str:
    rows = [(f"`{name}`", entry["what"], f"{entry['bytes']:,}") for name, entry in files.items()]
    return _table(("file", "what it is", "bytes"), rows)


def _input_rows(card: Mapping[str, Any]) -> list[tuple[str, Any]]:
    read = card["input"]
    return [
        ("input", "b x " + " x ".join(map(str, read["shape"])) + ", normalised by channel"),
        ("mean of the pixels, 0 to 1", ", ".join(f"{value:.6g}" for value in read["mean"])),
        ("deviation of the pixels", ", ".join(f"{value:.6g}" for value in read["deviation"])),
        ("output", f"logits, b x {card['classes']}"),
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


def _cost_rows(costs: Mapping[str, Mapping[str, float]]) -> list[tuple[str, ...]]:
    return [(told, _number(costs["exported"][name]), _number(costs["trained"][name])) for name, told in _COSTS.items()]


def _checks(checks: Mapping[str, Any]) -> str:
    rows = [(name, result) for name, result in checks["results"].items()]
    said = (
        f"Logits of the first {checks['images']} validation images, against the network as it was trained; accepted is "
        f"a difference of {checks['tolerance']:g} of the largest logit."
    )
    return f"{said}\n\n{_table(('form', 'largest difference'), rows)}"


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
