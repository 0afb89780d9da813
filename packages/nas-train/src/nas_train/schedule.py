"""Learning rates as a pure function of the step."""

from __future__ import annotations

import math

SCHEDULES = ("cosine", "constant")


def learning_rate(peak: float, schedule: str, step: int, steps: int, warmup: int) -> float:
    """The learning rate of one step.

    Over the first `warmup` steps it grows in equal parts to the peak; then it stays there ("constant") or falls along
    half a cosine to 0, which it would reach at step `steps` (Loshchilov & Hutter 2017).

    Args:
        peak: the largest learning rate.
        schedule: one of `SCHEDULES`.
        step: from 0 up to, not including, `steps`.
        steps: of the whole training.
        warmup: steps of warm-up, fewer than `steps`.
    """
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if schedule == "constant":
        return peak
    return peak * 0.5 * (1.0 + math.cos(math.pi * (step - warmup) / (steps - warmup)))
