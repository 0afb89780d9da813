"""The fakes as a stranger's installed package: registries, worker processes and the command line find them by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_METADATA = "Metadata-Version: 2.1\nName: nas-core-fakes\nVersion: 0.1.0\n"

_ENTRY_POINTS = """\
[nas.spaces]
toy = nas_core.testing.fakes:ToySpace
continuous_toy = nas_core.testing.fakes:ContinuousToySpace
[nas.optimizers]
fake = nas_core.testing.fakes:FakeOptimizer
fake_group = nas_core.testing.groups:FakeGroupOptimizer
[nas.evaluators]
fake = nas_core.testing.fakes:FakeEvaluator
fake_group = nas_core.testing.groups:FakeGroupEvaluator
[nas.surrogates]
fake = nas_core.testing.fakes:FakeSurrogate
"""


def register_fakes(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the spaces "toy" and "continuous_toy", an optimizer, evaluator and surrogate "fake", and "fake_group".

    Works in this process and in those that it starts.

    Args:
        directory: an empty directory, a test's own; a package's metadata is written there.
        monkeypatch: takes the registration back after the test.
    """
    place = directory / "nas_core_fakes-0.1.0.dist-info"
    place.mkdir(parents=True)
    (place / "METADATA").write_text(_METADATA, encoding="utf-8")
    (place / "entry_points.txt").write_text(_ENTRY_POINTS, encoding="utf-8")
    monkeypatch.syspath_prepend(str(directory))
    monkeypatch.setenv("PYTHONPATH", str(directory), prepend=os.pathsep)
