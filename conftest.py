"""What every test of the repository runs under: repeatable property tests, and `gpu` tests that skip themselves."""

from __future__ import annotations

import importlib.util

import hypothesis
import pytest

pytest.register_assert_rewrite("nas_core.testing")

# The same examples in every run, however slow the machine; nothing is written beside the sources.
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("repeatable")


def _missing_cuda() -> str | None:
    if importlib.util.find_spec("torch") is None:
        return "torch is not installed"
    import torch

    return None if torch.cuda.is_available() else "torch finds no CUDA device"


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and (reason := _missing_cuda()):
        pytest.skip(reason)
