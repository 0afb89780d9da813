"""Pages tell the truth about the repository: relative links resolve, and the commands that they show exist.

A command is a line of a fenced code block that calls `nox` or `nas`; its sessions must stand in noxfile.py, and its
subcommand and options in the help of `nas`. Run from the root of the repository, where `nas` is installed; exits with 1
and one line a finding where there is any.
"""

from __future__ import annotations

import ast
import functools
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from check_text import files

LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
GROUP = re.compile(r"^Usage: .*COMMAND \[ARGS\]", re.MULTILINE)
OPTION = re.compile(r"--[a-z][a-z-]*")


def broken_links(page: Path) -> Iterator[str]:
    """Targets of relative links that do not exist."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in LINK.findall(text):
        path = target.partition("#")[0]
        if path and not re.match(r"[a-z]+:", path) and not (page.parent / path).exists():
            yield f"the link to {target} leads nowhere"


def commands(text: str) -> Iterator[list[str]]:
    """The words of every command in the fenced blocks of a page, `;`, `&&` and `|` taken apart."""
    for block in FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            words: list[str] = []
            try:
                lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars=True)
                lexer.whitespace_split = True
                for word in [*lexer, ";"]:
                    if re.fullmatch(r"[();<>|&]+", word):
                        yield words
                        words = []
                    else:
                        words.append(word)
            except ValueError:  # an open quote: the line is no command
                continue


def sessions(noxfile: Path) -> set[str]:
    """Names of the functions that noxfile.py declares as sessions."""
    tree = ast.parse(noxfile.read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {f.name for f in functions if any("nox.session" in ast.unparse(mark) for mark in f.decorator_list)}


@functools.cache
def nas_help(*subcommand: str) -> str | None:
    """What `nas … --help` prints, or None where there is no such subcommand."""
    run = subprocess.run(
        [sys.executable, "-c", "from nas_search.cli import main; main()", *subcommand, "--help"],
        env=os.environ | {"COLUMNS": "400", "NO_COLOR": "1", "TERM": "dumb"},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    )
    return run.stdout if run.returncode == 0 else None


def wrong_command(words: list[str], known_sessions: set[str]) -> str | None:
    """What is wrong with a command; None where it exists or is none of ours."""
    program = Path(words[0]).name if words else ""
    if program == "nox" and "-s" in words[:-1]:
        session = words[words.index("-s") + 1].partition("(")[0]
        return None if session in known_sessions else f"noxfile.py has no session {session}"
    if program == "nas":
        subcommand = words[1:2] if len(words) > 1 and not words[1].startswith("-") else []
        text = nas_help(*subcommand)
        if text is not None and GROUP.search(text) and len(words) > 2 and not words[2].startswith("-"):
            subcommand = words[1:3]
            text = nas_help(*subcommand)
        if text is None:
            return f"`{' '.join(['nas', *subcommand])} --help` fails"
        unknown = set(filter(OPTION.fullmatch, (word.partition("=")[0] for word in words))) - set(OPTION.findall(text))
        return f"{' '.join(['nas', *subcommand])} has no {', '.join(sorted(unknown))}" if unknown else None
    return None


def main() -> int:
    """Print every finding; 1 where there is one."""
    known = sessions(Path("noxfile.py"))
    found = []
    for page in (path for path in files(Path()) if path.suffix == ".md"):
        wrong = [wrong_command(words, known) for words in commands(page.read_text(encoding="utf-8"))]
        found += [f"{page}: {what}" for what in [*broken_links(page), *filter(None, wrong)]]
    print("\n".join(found) or "all links resolve, all commands exist")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
