"""What would be published is whole: version, changelog, licence, metadata and contents of every distribution.

Run from the root of the repository with the directory that holds the wheels and source distributions; exits with 1 and
one line a finding where there is any.
"""

from __future__ import annotations

import re
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path

SIBLING = re.compile(r"nas-(?:core|spaces|surrogates|search|train)\b")
HEADING = re.compile(r"^## \[([^\]]+)\]", re.MULTILINE)


def newest(changelog: str) -> str | None:
    """The version of the first heading of a changelog."""
    match = HEADING.search(changelog)
    return match.group(1) if match else None


def sources(package: Path, module: str) -> set[str]:
    """The files of a package as a wheel names them."""
    root = package / "src"
    return {p.relative_to(root).as_posix() for p in (root / module).rglob("*") if p.is_file() and p.suffix != ".pyc"}


def wrong_contents(members: set[str], package: Path, module: str, version: str) -> Iterator[str]:
    """A wheel holds the sources, among them `py.typed`, and its own metadata: nothing else, nothing less."""
    expected = sources(package, module)
    metadata = f"{module}-{version}.dist-info/"
    actual = {name for name in members if not name.startswith(metadata)}
    if f"{module}/py.typed" not in actual:
        yield "the wheel has no py.typed"
    yield from (f"the wheel holds {name}, which is no source" for name in sorted(actual - expected))
    yield from (f"the wheel lacks {name}" for name in sorted(expected - actual))
    if f"{metadata}licenses/LICENSE" not in members:
        yield "the wheel has no licence"


def wrong_metadata(metadata: Message, name: str, version: str) -> Iterator[str]:
    """Metadata say who, which version, which Python and licence, and require siblings by range."""
    wanted = {"Name": name, "Version": version, "Requires-Python": ">=3.11", "License-Expression": "MIT"}
    for key, value in wanted.items():
        if metadata[key] != value:
            yield f"{key} is {metadata[key]!r} in the metadata, not {value!r}"
    if not metadata["Summary"] or not str(metadata.get_payload()).strip():
        yield "the metadata lack a summary or the README"
    for line in metadata.get_all("Requires-Dist", []):
        requirement = line.partition(";")[0]
        if "==" in requirement or "@" in requirement:
            yield f"{requirement.strip()} is no range"
        if (
            SIBLING.match(requirement)
            and "[" not in requirement
            and not {"<0.2", ">=0.1"} <= set(re.split(r"[\s,]", re.sub(r"^[\w-]+", "", requirement).strip()))
        ):
            yield f"the sibling {requirement.strip()} is not required as >=0.1,<0.2"


def faults(package: Path, dist: Path) -> Iterator[str]:
    """Everything that is wrong with one package and its two distributions in `dist`."""
    name, module = package.name, package.name.replace("-", "_")
    version = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    heading = newest((package / "CHANGELOG.md").read_text(encoding="utf-8"))
    if heading != version:
        yield f"the version is {version}, the newest heading of CHANGELOG.md {heading}"
    if (package / "LICENSE").read_bytes() != (package.parents[1] / "LICENSE").read_bytes():
        yield "LICENSE differs from that of the repository"
    with zipfile.ZipFile(dist / f"{module}-{version}-py3-none-any.whl") as wheel:
        yield from wrong_contents(set(wheel.namelist()), package, module, version)
        text = wheel.read(f"{module}-{version}.dist-info/METADATA").decode()
    yield from wrong_metadata(Parser().parsestr(text), name, version)
    with tarfile.open(dist / f"{module}-{version}.tar.gz") as archive:
        members = {member.partition("/")[2] for member in archive.getnames()}
    for wanted in ("pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", f"src/{module}/py.typed"):
        if wanted not in members:
            yield f"the source distribution lacks {wanted}"


def main() -> int:
    """Print every finding; 1 where there is one."""
    packages = sorted(path.parent for path in Path("packages").glob("*/pyproject.toml"))
    found = [
        f"{package.name}: {fault}" for package in packages for fault in faults(package.resolve(), Path(sys.argv[1]))
    ]
    print("\n".join(found) or f"{len(packages)} packages can be published")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
