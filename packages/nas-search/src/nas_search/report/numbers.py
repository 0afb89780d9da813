"""Numbers and durations as a reader wants them, in the terminal, the pictures and the page alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


def shown(value: float) -> str:
    """A metric's value: whole numbers with thousands apart, others with five digits that count."""
    if abs(value) >= 1e15 or value != value:
        return f"{value:g}"
    if value == int(value) or abs(value) >= 1e5:
        return f"{value:,.0f}"
    return f"{value:.5g}"


def shown_metrics(metrics: Mapping[str, float], names: Sequence[str]) -> str:
    """The named metrics that are there: "val_accuracy 0.9612, params 1,073,466"."""
    return ", ".join(f"{name} {shown(metrics[name])}" for name in names if name in metrics)


def tested_first(metrics: Iterable[str]) -> list[str]:
    """Names of metrics: those of the test, those of the validation, the others."""
    splits = ("test", "val")
    return sorted(metrics, key=lambda name: (*(not name.startswith(f"{split}_") for split in splits), name))


def duration(seconds: float) -> str:
    """A duration in its two largest units: "0.8 s", "42 s", "3 min 20 s", "5 h 12 min", "2 d 4 h"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for large, small, size, step in (("d", "h", 86400, 3600), ("h", "min", 3600, 60), ("min", "s", 60, 1)):
        if whole >= size:
            return f"{whole // size} {large} {whole % size // step} {small}"
    return f"{whole} s"


def device_time(seconds: float) -> str:
    """A cost in device-hours, with the duration where that is too short to read in hours."""
    if seconds == 0:
        return "no device time"
    hours = seconds / 3600
    return f"{hours:,.2f} device-hours" if hours >= 0.1 else f"{hours:.4f} device-hours ({duration(seconds)})"
