"""The examples of the README run as they stand, one after the other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[1] / "README.md"


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn", reason="the extra 'digits' is not installed")
    monkeypatch.chdir(tmp_path)
    example = "\n".join(re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL))
    names: dict[str, object] = {}
    exec(compile(example, str(README), "exec"), names)
    found = [float(number) for number in re.findall(r"(\d+\.\d) %", capsys.readouterr().out)]
    assert len(found) == 2
    assert min(found) > 90
    assert (tmp_path / "digits.safetensors").is_file()
    assert (tmp_path / "digits" / "network.py").is_file()
