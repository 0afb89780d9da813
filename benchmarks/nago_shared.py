"""What the benchmarks of NAGO share: small images, generators of small networks, and how these are trained on a CPU.

CIFAR-10's images are averaged over 2 x 2 pixels (`--side 32` leaves them as they are, for more than twice the time).
Networks have at most 200,000 parameters, a twentieth of the paper's. HNAG has its eight decisions with smaller ranges
of nodes, so that the widths do not shrink as much. The recipe is `small`, of 1,500 images, in bfloat16. The highest
fidelity is 8 epochs, the others are a half and a quarter of it, as in the paper.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from cifar import cifar_npz

SPACES: dict[str, dict[str, Any]] = {
    "hnag": {"name": "hnag", "top": [3, 6], "mid": [1, 3], "bottom": [3, 6]},
    "rnag": {"name": "rnag"},
}
FIDELITIES = (2, 4, 8)
TOP = FIDELITIES[-1]
MEMORY = "memory_per_sample_b8_mb"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Where the run lies, and what is trained."""
    parser.add_argument("--folder", type=Path, default=Path("nago"), help="of images, studies and journal")
    parser.add_argument("--data", help="another set than CIFAR-10, to try the benchmark")
    parser.add_argument("--side", type=int, default=16, choices=[16, 32], help="pixels")
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--limit", type=int, default=200_000, help="parameters of a network")
    parser.add_argument("--dtype", default="bfloat16", help="float32 is quicker where the processor has no bfloat16")


def training(options: argparse.Namespace) -> dict[str, Any]:
    """The options of the evaluator `train` that are asked for; the folder is made, and refused if it has others."""
    options.folder.mkdir(parents=True, exist_ok=True)
    data = options.data or str(small_images(options.folder.resolve(), options.side))
    recipe = {"name": "small", "images": options.images, "padding": options.side // 8, "dtype": options.dtype}
    asked = {"data": data, "recipe": recipe, "network": {"limit": options.limit}, "measure": [MEMORY]}
    kept = options.folder / "training.json"
    if not kept.exists():
        kept.write_text(json.dumps(asked))
    if json.loads(kept.read_text()) != asked:
        raise SystemExit(f"error: {options.folder} was begun with other options: {kept.read_text()}")
    return asked


def small_images(folder: Path, side: int) -> Path:
    """CIFAR-10 as an `.npz` set in a folder, averaged to `side` pixels; written where it is not there yet."""
    whole = folder / "cifar10.npz"
    path = whole if side == 32 else folder / f"cifar10_{side}.npz"
    if not path.exists():
        with np.load(cifar_npz(whole), allow_pickle=False) as arrays:
            parts: dict[str, Any] = {
                name: shrunk(array, side) if array.ndim == 4 else array for name, array in arrays.items()
            }
        written = path.with_suffix(".part.npz")
        np.savez(written, **parts)
        written.replace(path)
    return path


def shrunk(images: np.ndarray, side: int) -> np.ndarray:
    """Means over squares of pixels (n x h x w x c, uint8)."""
    n, height, width, channels = images.shape
    squares = images.reshape(n, side, height // side, side, width // side, channels)
    means: np.ndarray = np.rint(squares.mean(axis=(2, 4), dtype=np.float32)).astype(np.uint8)
    return means
