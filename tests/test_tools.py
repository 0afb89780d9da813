"""The checks of lint, docs and release see what they are there to see."""

from __future__ import annotations

from email.message import Message
from pathlib import Path

import pytest

import check_docs
from check_docs import broken_links, commands, sessions, wrong_command
from check_release import newest, wrong_contents, wrong_metadata
from check_text import findings

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("see https://" + "pypi." + "org/project/x", True),
        ("--index-url https://download." + "pytorch.org/whl", True),
        ("open('/" + "tmp/x')", True),
        ("cd /" + "home/me/x", True),
        ("in /" + "root", True),
        ("PyPI, the tmp/ folder, a/work/b, ./tmp/x, ~/work/x", False),
        ("https://example.org/work/x", False),
        ("/workspace and /optional", False),
    ],
)
def test_texts(line: str, seen: bool) -> None:
    assert [number for number, _ in findings(f"fine\n{line}\n")] == ([2] if seen else [])


def test_broken_links(tmp_path: Path) -> None:
    (tmp_path / "there.md").touch()
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md) [b](there.md#part) [c](#here) [d](https://example.org/x) [e](gone.md)\n```\n[f](no)\n```"
    )
    assert list(broken_links(page)) == ["the link to gone.md leads nowhere"]


def test_commands_of_a_page() -> None:
    lines = ["nas outside", "```sh", "$ nas search --space a \\", "  --out 'b c' && .venv/bin/nox -s tests; ls | wc"]
    text = "\n".join([*lines, "it's prose", "```", ""])
    found = [words for words in commands(text) if words]
    assert found == [
        ["nas", "search", "--space", "a", "--out", "b c"],
        [".venv/bin/nox", "-s", "tests"],
        ["ls"],
        ["wc"],
    ]


def test_sessions_that_do_not_exist() -> None:
    known = sessions(ROOT / "noxfile.py")
    assert {"quickstart", "tests", "isolated"} <= known
    assert "house" not in known
    assert wrong_command([".venv/bin/nox", "-s", "tests(nas-core)"], known) is None
    assert wrong_command(["nox", "-s", "nothing"], known) == "noxfile.py has no session nothing"


def test_options_that_do_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {(): "search", ("search",): "--space TEXT\n--out PATH"}
    monkeypatch.setattr(check_docs, "nas_help", lambda *words: pages.get(words))
    assert wrong_command(["nas", "search", "--space=a", "--out", "-"], set()) is None
    assert wrong_command(["nas", "search", "--spice", "a"], set()) == "nas search has no --spice"
    assert wrong_command(["nas", "find"], set()) == "`nas find --help` fails"
    assert wrong_command(["ls", "--all"], set()) is None


def test_options_of_commands_within_commands(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = {("table",): "Usage: nas table [OPTIONS] COMMAND [ARGS]...\n", ("table", "join"): "--out PATH"}
    monkeypatch.setattr(check_docs, "nas_help", lambda *words: pages.get(words))
    assert wrong_command(["nas", "table", "join", "--out", "-"], set()) is None
    assert wrong_command(["nas", "table", "join", "--in", "-"], set()) == "nas table join has no --in"
    assert wrong_command(["nas", "table", "jion"], set()) == "`nas table jion --help` fails"


def test_newest_version_of_a_changelog() -> None:
    assert newest("# Changelog\n\n## [0.2.0] - unreleased\n\n## [0.1.0] - 2026-01-01\n") == "0.2.0"
    assert newest("# Changelog\n") is None


def test_contents_of_a_wheel(tmp_path: Path) -> None:
    source = tmp_path / "src" / "nas_x"
    source.mkdir(parents=True)
    for name in ("__init__.py", "py.typed"):
        (source / name).touch()
    whole = {"nas_x/__init__.py", "nas_x/py.typed", "nas_x-1.dist-info/licenses/LICENSE", "nas_x-1.dist-info/RECORD"}
    assert list(wrong_contents(whole, tmp_path, "nas_x", "1")) == []
    assert list(wrong_contents(whole | {"tests/a.py"}, tmp_path, "nas_x", "1")) == [
        "the wheel holds tests/a.py, which is no source"
    ]
    assert len(list(wrong_contents(whole - {"nas_x/py.typed"}, tmp_path, "nas_x", "1"))) == 2
    assert list(wrong_contents(whole - {"nas_x-1.dist-info/licenses/LICENSE"}, tmp_path, "nas_x", "1")) == [
        "the wheel has no licence"
    ]


def sound_metadata(*requirements: str) -> Message:
    message = Message()
    message["Name"], message["Version"], message["Requires-Python"] = "nas-x", "1", ">=3.11"
    message["License-Expression"], message["Summary"] = "MIT", "x"
    for requirement in requirements:
        message["Requires-Dist"] = requirement
    message.set_payload("# x")
    return message


@pytest.mark.parametrize(
    ("requirement", "fault"),
    [
        ("nas-core<0.2,>=0.1", None),
        ("nas-spaces<0.2,>=0.1; extra == 'spaces'", None),
        ("nas-x[report]; extra == 'all'", None),
        ("numpy>=1.26", None),
        ("nas-core>=0.1", "the sibling nas-core>=0.1 is not required as >=0.1,<0.2"),
        ("nas-core", "the sibling nas-core is not required as >=0.1,<0.2"),
        ("numpy==1.26", "numpy==1.26 is no range"),
        ("numpy @ file:x", "numpy @ file:x is no range"),
    ],
)
def test_requirements_in_metadata(requirement: str, fault: str | None) -> None:
    assert list(wrong_metadata(sound_metadata(requirement), "nas-x", "1")) == ([fault] if fault else [])


def test_name_and_readme_in_metadata() -> None:
    message = sound_metadata()
    message.set_payload("")
    assert list(wrong_metadata(message, "nas-y", "1")) == [
        "Name is 'nas-x' in the metadata, not 'nas-y'",
        "the metadata lack a summary or the README",
    ]
