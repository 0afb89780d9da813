"""Texts that may not stand in the repository: hosts of package registries and paths of one machine.

Both make a checkout depend on where it was written. Run from the root of the repository; exits with 1 and one line a
finding where there is any.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

SKIPPED = {"__pycache__", "dist", "runs"}  # and hidden folders other than .ci: environments and caches
SUFFIXES = {"", ".cfg", ".html", ".ini", ".json", ".md", ".py", ".sh", ".svg", ".toml", ".txt", ".yaml", ".yml"}
FORBIDDEN = {
    "the host of a package registry": re.compile(
        r"\bpypi\.(?:org|io|python)|python(?:hosted)\.|download\.pytorch\.|anaconda\.(?:com|org)|npmjs\.|crates\.io"
    ),
    "a path of one machine": re.compile(r"(?<![\w.~)}\]:/-])/(?:work|farm|root|tmp|opt|home/\w+|Users/\w+)(?![\w.-])"),
}


def findings(text: str) -> Iterator[tuple[int, str]]:
    """Line numbers, from 1, and what is wrong there."""
    for number, line in enumerate(text.splitlines(), start=1):
        for what, pattern in FORBIDDEN.items():
            if match := pattern.search(line):
                yield number, f"{what}: {match.group()}"


def files(root: Path) -> Iterator[Path]:
    """The text files under `root`, without environments, caches and build results."""
    for folder, folders, names in os.walk(root):
        kept = {name for name in folders if name == ".ci" or not name.startswith(".")}
        folders[:] = sorted(kept - SKIPPED)
        yield from (Path(folder, name) for name in sorted(names) if Path(name).suffix in SUFFIXES)


def main() -> int:
    """Print every finding; 1 where there is one."""
    found = [
        f"{path}:{number}: {what}"
        for path in files(Path())
        for number, what in findings(path.read_text(encoding="utf-8", errors="replace"))
    ]
    print("\n".join(found) or "no registry hosts and no paths of one machine")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
