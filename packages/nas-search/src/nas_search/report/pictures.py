"""What all pictures share: matplotlib without a screen, one style, and files that do not change between runs.

matplotlib is the extra `report`; it is imported only when a picture is drawn. Figures are made without pyplot, so no
global state is touched beyond the style that holds inside `style()`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas_core.errors import RegistryError, StoreError
from nas_search.report.numbers import shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

INK = "#1f2733"
FAINT = "#b4bcc6"
GRID = "#e4e8ed"
GOOD = "#1668b8"
TRIAL = "#7d9cc0"
BROKEN = "#c2410c"
FRONT = "#0f8a5f"

_DOTS_PER_INCH = 144
_LEGEND_COLUMN = 1.7
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "svg.fonttype": "path",
    "svg.hashsalt": "nas",
    "path.simplify": False,
}


@contextmanager
def style() -> Iterator[None]:
    """Everything drawn or saved inside looks alike.

    Raises:
        RegistryError: matplotlib is not installed.
    """
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise RegistryError(
            f"pictures need matplotlib, which does not import ({error})",
            remedy="Install the extra `report` of nas-search, which brings it.",
        ) from error
    with mpl.rc_context(), mpl.rc_context(_STYLE):
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches; call it inside `style()`."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DOTS_PER_INCH)


def plain_ticks() -> FuncFormatter:
    """Numbers on a linear axis as they are written elsewhere, without a common factor at its end."""
    from matplotlib.ticker import FuncFormatter

    return FuncFormatter(lambda value, _: shown(value))


def legend_above(figure: Figure, axes: Axes) -> float:
    """A legend of what `axes` show, above all panels; returns the share of the figure's height left below it."""
    handles, labels = axes.get_legend_handles_labels()
    named = dict(zip(labels, handles, strict=True))
    width, height = figure.get_size_inches()
    columns = max(int(width / _LEGEND_COLUMN), 1)
    # matplotlib fills column after column; in this order the entries read line by line
    order = [i for first in range(columns) for i in range(first, len(named), columns)]
    entries = list(named.items())
    shown = [entries[i] for i in order]
    figure.legend([handle for _, handle in shown], [label for label, _ in shown], loc="upper left", ncols=columns)
    lines = -(-len(named) // columns)
    return float(1.0 - (0.12 + 0.2 * lines) / height)


def svg_text(figure: Figure) -> str:
    """A figure as the text of an `<svg>` element, the same every time, without the XML declaration."""
    buffer = io.StringIO()
    with style():
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, SVG or PDF, by the end of the file's name.

    Raises:
        StoreError: another ending, or the file cannot be written.
    """
    kind = path.suffix.lower().removeprefix(".")
    dates: dict[str, dict[str, Any]] = {
        "png": {"Software": None},
        "svg": {"Date": None, "Creator": None},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    }
    if kind not in dates:
        raise StoreError(
            "a picture of an unknown kind", value=path.name, expected="a name that ends in .png, .svg or .pdf"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with style():
            figure.savefig(path, format=kind, metadata=dates[kind])
    except OSError as error:
        raise StoreError(f"the picture cannot be written ({error.strerror})", place=str(path)) from error
