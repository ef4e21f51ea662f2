"""The look that all figures share, and how a figure becomes bytes that are the same every time."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#1f2933"
QUIET = "#52606d"
PHASE_COLORS = {
    "memorization": "#fbe7cf",
    "circuit formation": "#d9e8f6",
    "cleanup": "#d8efe2",
    "generalization": "#ece3f4",
}
"""Pale tints that stay apart in grayscale print and for color-blind readers; every band is also named."""

BLUE, ORANGE, GREEN, RED, PURPLE, BROWN, PINK, GRAY, YELLOW, CYAN = sns.color_palette("colorblind").as_hex()
SEQUENTIAL = "viridis"
DIVERGING = "vlag"

RC = {
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelsize": 9.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": QUIET,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
    "text.color": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "lines.linewidth": 1.5,
    "path.simplify_threshold": 0.3,
    "svg.fonttype": "path",
    "svg.hashsalt": "grokinterp",
}


@contextmanager
def styled() -> Iterator[None]:
    """The settings under which a figure is made and saved; nothing outside the block changes.

    A function decorated with ``@styled()`` runs inside it.
    """
    with mpl.rc_context({**sns.axes_style("ticks"), **RC}):
        yield


def grid_of_axes(rows: int, columns: int, size: tuple[float, float], **options: Any) -> tuple[Figure, list[list[Axes]]]:
    """A figure of ``size`` inches, laid out without overlaps, and its axes as rows."""
    figure = Figure(figsize=size, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06, wspace=0.03, hspace=0.03)
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, axes.tolist()


@styled()
def to_svg(figure: Figure) -> bytes:
    """The figure as SVG: no date, no random ids, text as outlines, so equal figures are equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return buffer.getvalue()


@styled()
def to_png(figure: Figure, *, dpi: float = 150) -> bytes:
    """The figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()
