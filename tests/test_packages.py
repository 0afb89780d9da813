"""Every package imports only what it declares, nothing heavy before it is needed, and its entry points load."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("nas-core", "nas-spaces", "nas-surrogates", "nas-search", "nas-train")

# Distributions whose import name is not their own name in lower case with underscores.
IMPORT_NAME = {"pillow": "PIL", "scikit-learn": "sklearn", "xgboost-cpu": "xgboost"}

# Which modules an extra serves, and so may import what the extra declares. A prefix stands for its submodules too.
SERVED = {
    ("nas-core", "testing"): ("nas_core.testing",),
    ("nas-surrogates", "xgboost"): ("nas_surrogates.trees",),
    ("nas-train", "digits"): ("nas_train.data",),
    ("nas-train", "onnx"): ("nas_train.export.onnx_file",),
    ("nas-search", "surrogates"): (
        "nas_search.optimizers.agnet",
        "nas_search.optimizers.bo",
        "nas_search.optimizers.bonas",
        "nas_search.optimizers.nao",
        "nas_search.optimizers.mobo",
        "nas_search.optimizers.utility_of",
        "nas_search.samplers.learnt",
        "nas_search.transfer",
    ),
    ("nas-search", "spaces"): (
        "nas_search.cli.table",
        "nas_search.cli.table_build",
        "nas_search.table_files",
    ),
    ("nas-search", "train"): ("nas_search.cli.export", "nas_search.cli.train"),
    ("nas-search", "postgres"): ("nas_search.store",),
    ("nas-search", "report"): ("nas_search.report", "nas_search.compare.picture"),
    ("nas-search", "peers"): ("nas_search.compare.peers",),
    ("nas-search", "all"): (),
}


def project(package: str) -> dict[str, Any]:
    text = (ROOT / "packages" / package / "pyproject.toml").read_text(encoding="utf-8")
    result: dict[str, Any] = tomllib.loads(text)["project"]
    return result


def distribution(requirement: str) -> str:
    match = re.match(r"[\w.-]+", requirement)
    assert match, requirement
    return match.group().lower()


def import_names(requirements: list[str]) -> set[str]:
    names = map(distribution, requirements)
    return {IMPORT_NAME.get(name, name.replace("-", "_")) for name in names}


LATE_IMPORTS = {"import_module", "__import__"}


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and top-level name of every absolute import, inside functions and `import_module("…")` too."""
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from ((node.lineno, alias.name.partition(".")[0]) for alias in node.names)
            case ast.ImportFrom(level=0):
                yield node.lineno, str(node.module).partition(".")[0]
            case ast.Call(args=[ast.Constant(value=str(name)), *_]):
                if ast.unparse(node.func).rpartition(".")[2] in LATE_IMPORTS:
                    yield node.lineno, name.partition(".")[0]


def undeclared(package: str, module: str, tree: ast.AST) -> list[str]:
    """The imports of one module that its package's declarations do not cover."""
    declared = project(package)
    allowed = {package.replace("-", "_")} | import_names(declared["dependencies"])
    for extra, requirements in declared.get("optional-dependencies", {}).items():
        if any(f"{module}.".startswith(f"{prefix}.") for prefix in SERVED[package, extra]):
            allowed |= import_names(requirements)
    return [
        f"{module}:{line} imports {name}"
        for line, name in imported(tree)
        if name not in allowed and name not in sys.stdlib_module_names
    ]


def modules(package: str) -> Iterator[tuple[str, ast.Module]]:
    source = ROOT / "packages" / package / "src"
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), ast.parse(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_import_is_declared(package: str) -> None:
    found = list(modules(package))
    assert found
    assert [fault for module, tree in found for fault in undeclared(package, module, tree)] == []


@pytest.mark.parametrize(
    ("package", "module", "code", "faults"),
    [
        ("nas-core", "nas_core.graph", "import networkx, json\nfrom nas_core import errors\nfrom . import space", 0),
        ("nas-core", "nas_core.graph", "def f():\n    import scipy.stats", 1),
        ("nas-core", "nas_core.graph", "import importlib\nimportlib.import_module('torch.nn')", 1),
        ("nas-core", "nas_core.graph", "import pytest", 1),
        ("nas-core", "nas_core.testing.spaces", "import pytest", 0),
        ("nas-core", "nas_core.testing_not", "import pytest", 1),
        ("nas-search", "nas_search.study", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch", 1),
        ("nas-search", "nas_search.study", "from nas_spaces.nasbench201 import NASBench201", 1),
        ("nas-search", "nas_search.store", "import sqlalchemy", 0),
        ("nas-train", "nas_train.data.digits", "from sklearn.datasets import load_digits", 0),
    ],
)
def test_undeclared_imports_are_seen(package: str, module: str, code: str, faults: int) -> None:
    assert len(undeclared(package, module, ast.parse(code))) == faults


def test_packages_require_the_siblings_that_the_design_allows() -> None:
    siblings = {package: {"nas-core"} for package in PACKAGES} | {"nas-core": set()}
    for package in PACKAGES:
        requirements = project(package)["dependencies"]
        assert {name for name in map(distribution, requirements) if name in PACKAGES} == siblings[package]
    assert set(map(distribution, project("nas-core")["dependencies"])) == {"networkx", "numpy"}


def test_every_extra_says_which_modules_it_serves() -> None:
    extras = {(package, extra) for package in PACKAGES for extra in project(package).get("optional-dependencies", {})}
    assert set(SERVED) == extras


def loaded_after(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after running `code`."""
    code += "\nimport json, sys; print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import nas_search",
        "import sys; sys.argv = ['nas', '--help']\nfrom nas_search.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code",
    ],
    ids=["import nas_search", "nas --help"],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(code: str) -> None:
    heavy = {"botorch", "gpytorch", "matplotlib", "scipy.stats", "sklearn", "sqlalchemy", "torch", "torchvision"}
    assert heavy & loaded_after(code) == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_version_is_the_declared_one(package: str) -> None:
    module = __import__(package.replace("-", "_"))
    assert module.__version__ == project(package)["version"]
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = module.nothing


def entry_points() -> list[EntryPoint]:
    found = []
    for package in PACKAGES:
        declared = project(package)
        groups = declared.get("entry-points", {}) | {"console_scripts": declared.get("scripts", {})}
        found += [EntryPoint(name, value, group) for group, points in groups.items() for name, value in points.items()]
    return found


@pytest.mark.parametrize("point", entry_points(), ids=lambda point: f"{point.group}:{point.name}")
def test_every_entry_point_loads(point: EntryPoint) -> None:
    component = point.load()
    assert callable(component)
    assert point.group == "console_scripts" or component.__module__.startswith(point.module.partition(".")[0])
