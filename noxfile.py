"""The commands of the README: sessions that set up what they need and run it, on uv.

`nox` alone runs what continuous integration runs. Sessions that need torch share one environment, the house, which
holds all five packages in editable mode, since torch is several gigabytes.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import tomllib
from pathlib import Path

import nox
from nox.virtualenv import UV

nox.options.default_venv_backend = "uv"
nox.options.sessions = ["lint", "types", "docs", "release_check", "lowest", "isolated", "workspace"]

PACKAGES = ["nas-core", "nas-spaces", "nas-surrogates", "nas-search", "nas-train"]
PINNED = ("-c", "constraints.txt")
HOUSE = [
    *("-e", "packages/nas-core[testing]"),
    *("-e", "packages/nas-spaces"),
    *("-e", "packages/nas-surrogates"),
    *("-e", "packages/nas-search[report,peers]"),
    *("-e", "packages/nas-train[digits,onnx]"),
]
LOWEST = ["nas-core", "nas-spaces", "nas-search"]  # without torch
SOURCES = [f"packages/{package}/src" for package in PACKAGES]

QUICKSTART = [
    "nas search --space nasbench201 --data digits --optimizer evolution:population=10,tournament=3"
    " --objective max:val_accuracy --trials 30 --seed 0 --out {out}",
    "nas train {out}",
    "nas report {out}",
]


def house(session: nox.Session, *extra: str) -> Path:
    """Make the shared environment, or bring it up to date, put it on the session's path and return its commands."""
    place = session.cache_dir.resolve() / f"house-{sys.version_info.major}.{sys.version_info.minor}"
    session.run(UV, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(place))
    session.run(UV, "pip", "install", "--quiet", "--python", str(place), *PINNED, *HOUSE, *extra)
    commands = place / ("Scripts" if os.name == "nt" else "bin")
    session.env["VIRTUAL_ENV"] = str(place)
    session.env["PATH"] = os.pathsep.join([str(commands), os.environ["PATH"]])
    return commands


def declared(package: str) -> list[str]:
    """The siblings that a package declares, without its extras, each followed by its own."""
    project = tomllib.loads(Path(f"packages/{package}/pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [re.match(r"[\w-]+", line).group() for line in project["dependencies"]]  # type: ignore[union-attr]
    siblings = [name for name in names if name in PACKAGES]
    return siblings + [other for sibling in siblings for other in declared(sibling)]


def needing_extras() -> list[str]:
    """The files of the packages' tests in which something skips itself unless an extra is installed."""
    files = [file for package in PACKAGES for file in sorted(Path(f"packages/{package}/tests").glob("test_*.py"))]
    told = re.compile(r"the extra '?\w+|needs nas-\w+")
    return [str(file) for file in files if told.search(file.read_text(encoding="utf-8"))]


@nox.session(venv_backend="none")
def quickstart(session: nox.Session) -> None:
    """Search 30 networks on the digits, train the best one longer, test it once; `-- --out DIR` names the directory."""
    if len(session.posargs) not in (0, 2) or session.posargs[:1] not in ([], ["--out"]):
        session.error(f"unknown arguments {session.posargs}; expected --out DIR or nothing")
    out = session.posargs[1] if session.posargs else "runs/quickstart"
    commands = house(session)
    for line in QUICKSTART:
        program, *arguments = [part.format(out=out) for part in shlex.split(line)]
        session.run(str(commands / program), *arguments)


@nox.session(venv_backend="none")
@nox.parametrize("package", PACKAGES, ids=PACKAGES)
def tests(session: nox.Session, package: str) -> None:
    """The tests of one package, from its sources, with all packages there: `nox -s "tests(nas-core)"`."""
    commands = house(session)
    session.run(str(commands / "pytest"), f"packages/{package}/tests", *session.posargs)


@nox.session(venv_backend="none")
def workspace(session: nox.Session) -> None:
    """The tests that need several packages, and those of one package that skip themselves without its extras."""
    commands = house(session)
    session.run(str(commands / "pytest"), "tests", *needing_extras(), *session.posargs)


@nox.session
@nox.parametrize("package", PACKAGES, ids=PACKAGES)
def isolated(session: nox.Session, package: str) -> None:
    """The wheel of one package alone, with what it declares and nothing else, under the package's own tests."""
    dist = Path(session.create_tmp()).resolve() / "dist"
    session.run("uv", "build", "--quiet", "--all-packages", "--wheel", "--clear", "--out-dir", str(dist))
    wheels = {
        name: next(dist.glob(f"{name.replace('-', '_')}-*.whl")) for name in ["nas-core", package, *declared(package)]
    }
    core = wheels.pop("nas-core")
    # the files themselves are named, so that no package of the same name can come from an index instead
    session.install(*PINNED, f"{core}[testing]", *[str(wheel) for wheel in wheels.values()])
    module = package.replace("-", "_")
    where = session.run("python", "-c", f"import {module}; print({module}.__file__)", silent=True)
    if "site-packages" not in str(where):
        session.error(f"{module} was imported from {where}, not from its wheel")
    session.run("pytest", f"packages/{package}/tests", *session.posargs)


@nox.session
def lowest(session: nox.Session) -> None:
    """The tests of the packages without torch, under the lowest versions that they declare."""
    extras = {"nas-core": "[testing]", "nas-search": "[report]"}
    projects = [f"packages/{package}{extras.get(package, '')}" for package in LOWEST]
    session.install("--resolution", "lowest-direct", *[word for project in projects for word in ("-e", project)])
    # old libraries warn about the newer ones under them: their releases cannot be mended here
    session.run("pytest", "-W", "default", *[f"packages/{package}/tests" for package in LOWEST], *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, import rules, and the texts that may not stand in the repository."""
    session.install(*PINNED, "import-linter", "ruff")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports", env={"PYTHONPATH": os.pathsep.join(SOURCES)})
    session.run("python", "tools/check_text.py")


@nox.session(venv_backend="none")
def types(session: nox.Session) -> None:
    """The type annotations of every package, strictly."""
    commands = house(session, "mypy")
    session.run(str(commands / "mypy"), *SOURCES, "tools")


@nox.session(venv_backend="none")
def docs(session: nox.Session) -> None:
    """Links between the pages resolve, and every command that a page shows exists."""
    commands = house(session)
    session.run(str(commands / "python"), "tools/check_docs.py")


@nox.session
def build(session: nox.Session) -> None:
    """Wheels and source distributions of all packages, in dist/ or in the directory given after `--`."""
    session.run("uv", "build", "--quiet", "--all-packages", "--out-dir", *(session.posargs or ["dist"]))


@nox.session
def release_check(session: nox.Session) -> None:
    """Versions, changelogs, licences, metadata and contents of what would be published."""
    dist = Path(session.create_tmp()).resolve() / "dist"
    session.run("uv", "build", "--quiet", "--all-packages", "--clear", "--out-dir", str(dist))
    session.run("python", "tools/check_release.py", str(dist))


@nox.session
def pins(session: nox.Session) -> None:
    """Write constraints.txt anew: the newest versions that all packages, extras and tools of this file agree on."""
    tools = Path(session.create_tmp()) / "tools.in"
    tools.write_text("hatchling\nimport-linter\nmypy\nnox[uv]\nruff\n", encoding="utf-8")
    resolved = session.run(
        *("uv", "pip", "compile", "--quiet", "--upgrade", "--python-version", "3.11", "--all-extras"),
        *("--no-annotate", "--no-header", *[f"packages/{package}/pyproject.toml" for package in PACKAGES], str(tools)),
        silent=True,
    )
    # torch names the exact CUDA libraries that it needs, and they differ from platform to platform
    pinned = [
        line
        for line in str(resolved).splitlines()
        if re.match(r"\w[\w.-]*==", line) and not re.match("nvidia-|cuda-", line)
    ]
    header = (
        "# Versions that the sessions of noxfile.py install, for Python 3.11 and 3.12 on Linux.\n"
        "# Made by `nox -s pins`; the ranges that users get stand in packages/*/pyproject.toml.\n"
    )
    Path("constraints.txt").write_text(header + "".join(f"{line}\n" for line in pinned), encoding="utf-8")
