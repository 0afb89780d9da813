"""CIFAR-10 as an `.npz` set that `--data` takes, from the folder `images` beside the tables.

    python benchmarks/cifar.py cifar10.npz

The file holds x and y (50,000 training images) and x_test and y_test (10,000), uncompressed, as nas-train reads them.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import record


def cifar_npz(path: Path) -> Path:
    """The path, written first where it is not there yet."""
    if not path.exists():
        folder = record.tables_dir().parent / "images"
        parts: dict[str, Any] = {}
        for split, suffix in (("train", ""), ("test", "_test")):
            found = _codec(folder).load(str(folder / f"cifar10_{split}"))
            parts |= {f"x{suffix}": found["x"], f"y{suffix}": found["y"].astype(np.int64)}
        written = path.with_suffix(".part.npz")
        np.savez(written, **parts)
        written.replace(path)
    return path


def _codec(folder: Path) -> Any:
    """The module that decodes the images, which lies beside them."""
    file = folder / "cifar_codec.py"
    if not file.is_file():
        raise SystemExit(f"error: no images at {folder}; set NAS_TABLES to a folder with images beside it")
    spec = importlib.util.spec_from_file_location("cifar_codec", file)
    if spec is None or spec.loader is None:
        raise SystemExit(f"error: {file} cannot be read")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    print(cifar_npz(parser.parse_args().path))


if __name__ == "__main__":
    main()
