"""The package as a whole: it imports cheaply, its entry point is its class, and its README tells the truth."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[1] / "README.md"


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        ("nas_surrogates", "{'numpy', 'scipy', 'torch', 'nas_core'}"),
        ("nas_surrogates.acquisition, nas_surrogates.blr, nas_surrogates.metrics", "{'scipy', 'torch', 'botorch'}"),
    ],
)
def test_nothing_heavy_is_imported_before_it_is_used(module: str, heavy: str) -> None:
    code = f"import {module}, sys; sys.exit(str({heavy} & set(sys.modules)) if {heavy} & set(sys.modules) else 0)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_surrogate_is_registered() -> None:
    from nas_core.registry import load
    from nas_surrogates.blr import BayesianLinearRegression

    assert load("surrogate", "blr") is BayesianLinearRegression


def test_the_example_prints_what_the_readme_says() -> None:
    text = README.read_text(encoding="utf-8")
    code, expected = (re.search(rf"^```{kind}\n(.*?)^```", text, re.M | re.S) for kind in ("python", "text"))
    assert code is not None
    assert expected is not None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code[1], str(README), "exec"), {"__name__": "readme"})
    assert printed.getvalue() == expected[1]
