"""Cells of NAS-Bench-201 that anything passes through."""

from __future__ import annotations

from nas_core.architecture import Architecture
from nas_spaces.nasbench201 import EDGES


def connected(a: Architecture) -> bool:
    """Whether anything of the cell's input reaches its output."""
    reached = {0}
    for operation, (target, source) in zip(a.values, EDGES, strict=True):
        if operation != "none" and source in reached:
            reached.add(target)
    return 3 in reached
