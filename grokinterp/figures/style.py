"""The common style of all figures, and their deterministic conversion to bytes."""

import base64
import io
import re
import zlib
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.image import imread

from grokinterp.shared import Shared
from grokinterp.storage import write_atomic
from grokinterp.storage.atomic import output_file

INK = "#1f2933"
QUIET = "#52606d"
PHASE_COLORS = {
    "memorization": "#fbe7cf",
    "circuit formation": "#d9e8f6",
    "cleanup": "#d8efe2",
    "generalization": "#ece3f4",
    "decline": "#e6e6e6",
}
"""Pale tints, distinguishable in grayscale print and by color-blind readers; every band is also named."""

BLUE, ORANGE, GREEN, RED, PURPLE, BROWN, PINK, GRAY, YELLOW, CYAN = sns.color_palette("colorblind").as_hex()
SEQUENTIAL = "viridis"
DIVERGING = "vlag"
NOTHING = "#d5d9de"
"""Color of missing values in a heatmap."""

RC = {
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.titley": 1.0,
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
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "lines.linewidth": 1.5,
    "path.simplify_threshold": 0.3,
    "pdf.fonttype": 42,
    "svg.hashsalt": "grokinterp",
}


NOT_XML = bytes({*range(32)} - set(b"\t\n\r"))
"""Control characters, which a label may contain and an XML file may not."""

DIGITS = re.compile(rb"(?<!scale\(0)(\.\d\d)\d+")
"""Decimals beyond a hundredth of a point, except in the scale of the letters."""


EMBEDDED = re.compile(rb"(?<=data:image/png;base64,)[A-Za-z0-9+/=\s]+")
"""An image inside an SVG."""


@contextmanager
def styled() -> Generator[None, None, None]:
    """Apply the settings for drawing and saving a figure inside the block only.

    A function decorated with ``@styled()`` runs inside such a block.
    """
    with _STYLE.held():
        yield


def _style() -> AbstractContextManager[Any]:
    settings: dict[Any, Any] = {**sns.axes_style("ticks"), **RC}
    return mpl.rc_context(settings)


_STYLE = Shared(_style)


def blank(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches."""
    return Figure(figsize=(width, height))


def place(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Add axes at this position, in inches from the upper left corner of the figure.

    Sizes are explicit, because a layout engine takes as long as all the drawing.
    """
    full_width, full_height = figure.get_size_inches()
    bottom = full_height - top - height
    return figure.add_axes((left / full_width, bottom / full_height, width / full_width, height / full_height))


COLOR_BAR = "color bar"
"""The label of axes that a color bar fills."""


def color_bar(axes: Axes, image: ScalarMappable, label: str) -> None:
    """Draw a color bar that fills ``axes``."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    bar = figure.colorbar(image, cax=axes, label=label)
    axes.set_label(COLOR_BAR)
    bar.outline.set_visible(False)
    for part in axes.collections:
        part.set_rasterized(True)


@styled()
def to_svg(figure: Figure, *, palettes: bool = True, outlines: bool = True) -> bytes:
    """Return the figure as SVG without date or random ids; equal figures give equal bytes.

    Args:
        figure: the figure.
        palettes: store heatmaps of at most 256 colors with a palette, which changes no pixel and takes far fewer bytes.
        outlines: draw the text as outlines, which look the same everywhere; else the text can be selected and found.
    """
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "path" if outlines else "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = DIGITS.sub(rb"\1", buffer.getvalue().translate(None, delete=NOT_XML))
    return EMBEDDED.sub(_with_palette, svg) if palettes else svg


@styled()
def to_png(figure: Figure, *, dpi: float = 150) -> bytes:
    """Return the figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


@styled()
def to_pdf(figure: Figure) -> bytes:
    """Return the figure as PDF without a date, with text that can be selected; equal figures give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="pdf", metadata={"CreationDate": None, "Creator": None, "Producer": None})
    return buffer.getvalue()


FORMATS = {"png": to_png, "svg": to_svg, "pdf": to_pdf}
"""The function that returns the bytes of a figure in each format."""


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as PNG, PDF or SVG, depending on the suffix of the file; SVG for any other suffix.

    Raises:
        ConfigError: the file is a directory, a device or a symbolic link.
        GrokinterpError: the file cannot be written.
    """
    path = output_file("path", path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, FORMATS.get(path.suffix.removeprefix("."), to_svg)(figure), replace=True)


def _with_palette(found: re.Match[bytes]) -> bytes:
    """Return an embedded heatmap with a palette, which is much smaller than the pixel colors that matplotlib writes."""
    pixels = (imread(io.BytesIO(base64.b64decode(found[0])), format="png") * 255).round().astype(np.uint8)
    if pixels.ndim != 3 or pixels.shape[2] != 4:
        return found[0]
    colors, index = np.unique(np.ascontiguousarray(pixels).view("<u4")[..., 0], return_inverse=True)
    if len(colors) > 256:
        return found[0]
    palette = colors.view(np.uint8).reshape(-1, 4)
    return base64.b64encode(_png(index.reshape(pixels.shape[:2]).astype(np.uint8), palette))


def _png(index: np.ndarray, palette: np.ndarray) -> bytes:
    """Return a PNG file of colors [row, column] from a palette [color, (red, green, blue, alpha)].

    Source: ISO/IEC 15948:2004, color type 3 with transparency, unfiltered rows.
    """

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    height, width = index.shape
    header = width.to_bytes(4) + height.to_bytes(4) + bytes([8, 3, 0, 0, 0])
    rows = np.pad(index, ((0, 0), (1, 0)))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"PLTE", palette[:, :3].tobytes())
        + chunk(b"tRNS", palette[:, 3].tobytes())
        + chunk(b"IDAT", zlib.compress(rows.tobytes(), 9))
        + chunk(b"IEND", b"")
    )
