"""Learning rates as a pure function of the step."""

from __future__ import annotations

import math
from collections.abc import Sequence

SCHEDULES = ("cosine", "linear", "step", "constant")


def learning_rate(
    peak: float,
    schedule: str,
    step: int,
    steps: int,
    warmup: int,
    *,
    floor: float = 0.0,
    period: float | None = None,
    growth: float = 1.0,
    decay: float = 1.0,
    milestones: Sequence[float] = (),
) -> float:
    """The learning rate of one step.

    Over the first `warmup` steps it grows in equal parts to the peak. Then, with s steps since:

    * "constant": it stays there;
    * "linear": it falls along a line to the floor, which it would reach at step `steps`;
    * "cosine": it falls along half a cosine to the floor, which it would reach at step `steps` or after `period` steps;
      then it starts again from the peak, with a period `growth` times as long (Loshchilov & Hutter 2017);
    * "step": it is multiplied by `decay` at each milestone, or every `period` steps.

    Args:
        peak: the largest learning rate.
        schedule: one of `SCHEDULES`.
        step: from 0 up to, not including, `steps`.
        steps: of the whole training.
        warmup: steps of warm-up, fewer than `steps`.
        floor: the smallest learning rate of "cosine" and "linear".
        period: steps; None for a cosine over the whole training.
        growth: of the period, at least 1.
        decay: factor of "step".
        milestones: steps, in ascending order.
    """
    if step < warmup:
        return peak * (step + 1) / (warmup + 1)
    if schedule == "constant":
        return peak
    if schedule == "step":
        passed = sum(step >= m for m in milestones) if period is None else int(step / period)
        return float(peak * decay**passed)
    done, length = float(step - warmup), float(steps - warmup)
    if schedule == "linear":
        return floor + (peak - floor) * (1.0 - done / length)
    if period is not None:
        length = period
        while done >= length:
            done, length = done - length, length * growth
    return floor + (peak - floor) * 0.5 * (1.0 + math.cos(math.pi * done / length))
