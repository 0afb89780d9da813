"""How a benchmark keeps its result: commit, machine, versions, command, figures and raw values in one JSON file."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("nas-core", "nas-spaces", "nas-surrogates", "nas-search", "nas-train", "numpy", "torch", "sqlalchemy")


def tables_dir() -> Path:
    """Where the real tables lie: `NAS_TABLES`, by default ../shared/tables beside the checkout."""
    default = Path(__file__).resolve().parents[2] / "shared" / "tables"
    folder = Path(os.environ.get("NAS_TABLES", default))
    if not folder.is_dir():
        raise SystemExit(f"error: no tables at {folder}; set NAS_TABLES to the folder that holds nb201_c10.npz")
    return folder


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _machine() -> dict[str, Any]:
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    return {"cpu": model, "cores": os.cpu_count(), "system": platform.system()}


def _commit() -> str:
    head = _git("rev-parse", "--verify", "--quiet", "HEAD")
    return (head or "none") + ("+changes" if _git("status", "--porcelain", "--", ":/packages") else "")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], cwd=RESULTS.parent, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def keep(name: str, figures: dict[str, Any], raw: Any) -> None:
    """Write `results/<name>.json` and print the figures."""
    RESULTS.mkdir(exist_ok=True)
    options = [Path(one).name if Path(one).is_absolute() else one for one in sys.argv[1:]]  # no folders of this machine
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *options])
    whole = {
        "command": command,
        "commit": _commit(),
        "machine": _machine(),
        "versions": _versions(),
        "figures": figures,
        "raw": raw,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(whole, indent=1) + "\n")
    print(json.dumps(figures))
