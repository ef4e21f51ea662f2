"""Heatmaps with named rows over the optimizer steps, tables of named rows and columns, and plain matrices."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from grokinterp.figures.series import SMALL, STEP, has, log_axis, step_ticks
from grokinterp.figures.style import NOTHING, SEQUENTIAL, blank, color_bar, place, styled

MOST_NAMES = 40
LONGEST = 24
WIDE = 10.0
CHARACTER, ROW, BAR, NARROWEST = 0.075, 0.2, 1.02, 1.5
"""Sizes in inches of a letter, a row, a color bar with its numbers, and the narrowest heatmap."""

DECADES = 6
"""Largest range of a logarithmic color scale."""

MOST_CELLS = 128
"""Largest number of rows and columns of a plain heatmap, about its number of pixels."""


class Heat(NamedTuple):
    """One heatmap: values over ``step`` and another dimension, and their colors."""

    title: str
    values: xr.DataArray
    label: str
    colors: str = SEQUENTIAL
    norm: Normalize | None = None


def heats_of(
    dataset: xr.Dataset, titles: Mapping[str, tuple[str, str]], *, norm: Normalize | None = None
) -> list[Heat]:
    """Return a heatmap for each variable with a finite value, given its title and the label of its color bar."""
    found = {name: titled for name, titled in titles.items() if has(dataset, name)}
    return [Heat(title, dataset[name], label, norm=norm) for name, (title, label) in found.items()]


@styled()
def over_steps(heats: Sequence[Heat], rows: str) -> Figure | None:
    """Draw heatmaps side by side with the same named rows over the checkpoints; return None without a finite value.

    Missing values are gray. A single heatmap takes half the width of a page.
    """
    heats = [heat for heat in heats if np.isfinite(heat.values.astype(float)).any()]
    if not heats:
        return None
    names = [short(str(name)) for name in heats[0].values[_row(heats[0].values)].values]
    left = 0.55 + CHARACTER * max(map(len, names))
    height = max(ROW * min(len(names), MOST_NAMES), 1.1)
    figure = blank(WIDE if len(heats) > 1 else half(left), height + 0.85)
    width = (float(figure.get_figwidth()) - left) / len(heats) - BAR
    named = slice(None, None, -(-len(names) // MOST_NAMES))
    for i, heat in enumerate(heats):
        axes = place(figure, left + (width + BAR) * i, 0.3, width, height)
        mesh = draw_rows(axes, heat)
        axes.set(title=heat.title, xlabel=STEP, ylabel=rows if i == 0 else "")
        axes.set_yticks((np.arange(len(names)) + 0.5)[named], names[named])
        axes.tick_params(labelleft=i == 0)
        step_ticks(axes, most=max(3, int(width / 0.55)))
        if heat.values.sizes["step"] == 1:
            axes.set_xticks([float(heat.values["step"].values[0])])
        color_bar(place(figure, left + (width + BAR) * i + width + 0.1, 0.3, 0.12, height), mesh, heat.label)
        if isinstance(heat.norm, LogNorm):
            log_axis(figure.axes[-1])
    return figure


def half(left: float) -> float:
    """Return the width of a small figure with one heatmap that begins ``left`` inches from its edge."""
    return max(SMALL, left + NARROWEST + BAR)


def draw_rows(axes: Axes, heat: Heat) -> ScalarMappable:
    """Draw rows from top to bottom, with columns as wide as the steps between the checkpoints."""
    row, steps = _row(heat.values), heat.values["step"].values
    values = np.ma.masked_invalid(heat.values.transpose(row, "step").values.astype(float))
    rows = np.arange(heat.values.sizes[row] + 1)
    norm = heat.norm or Normalize(float(values.min()), float(values.max()))
    mesh = axes.pcolormesh(edges(steps), rows, values, norm=norm, cmap=heat.colors, rasterized=True)
    axes.set_facecolor(NOTHING)
    axes.invert_yaxis()
    return mesh


@styled()
def table(values: xr.DataArray, title: str, label: str, colors: str, norm: Normalize) -> Figure | None:
    """Draw a half-page heatmap of the first dimension (down) and the second (right), with numbers if there is room."""
    if not np.isfinite(values).any():
        return None
    rows, columns = ([short(str(name)) for name in values[dim].values] for dim in values.dims)
    left = 0.55 + CHARACTER * max(map(len, rows))
    height = max(ROW * len(rows), 1.1)
    figure = blank(half(left), height + 0.85)
    width = half(left) - left - BAR
    axes = place(figure, left, 0.3, width, height)
    masked = np.ma.masked_invalid(values.values.astype(float))
    mesh = axes.pcolormesh(masked, norm=norm, cmap=colors, rasterized=True)
    axes.set_facecolor(NOTHING)
    axes.invert_yaxis()
    every = max(1, -(-len(columns) // 12))
    axes.set_yticks(np.arange(len(rows)) + 0.5, rows)
    axes.set_xticks((np.arange(len(columns)) + 0.5)[::every], columns[::every])
    axes.set(title=title, xlabel=str(values.dims[1]).replace("_", " "), ylabel=str(values.dims[0]).replace("_", " "))
    if len(columns) * 0.45 < width:
        _write(axes, masked, norm)
    color_bar(place(figure, left + width + 0.1, 0.3, 0.12, height), mesh, label)
    return figure


def heatmap(axes: Axes, values: np.ndarray, norm: Normalize, colors: str | Colormap, every: int = 1) -> AxesImage:
    """Draw a matrix with its first row at the bottom, gray where it is not finite.

    ``every`` is the number of values that each cell represents; it scales the axes.
    """
    rows, columns = values.shape
    left, right, top = -every / 2, (columns - 0.5) * every, (rows - 0.5) * every
    extent = (left, right, left, top)
    image = axes.imshow(values, origin="lower", norm=norm, cmap=colors, interpolation="none", extent=extent)
    axes.set_facecolor(NOTHING)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    return image


def thin(values: xr.DataArray, *dims: str) -> tuple[xr.DataArray, int]:
    """Return every k-th value along dimensions of equal length, at most MOST_CELLS values, and k.

    >>> thin(xr.DataArray(np.arange(300), dims="label"), "label")[1]
    3
    """
    every = -(-max(values.sizes[dim] for dim in dims) // MOST_CELLS) or 1
    return values.isel({dim: slice(None, None, every) for dim in dims}), every


def largest(values: np.ndarray) -> float:
    """Return the largest finite magnitude, or 1 if there is none."""
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max(initial=0.0)) or 1.0


def name_row(axes: Axes, step: int, y_label: str | None = None) -> None:
    """Write the step above the label of the y axis, as the name of a row of plots."""
    axes.set_ylabel(f"{STEP.split()[-1]} {step}\n{y_label or axes.get_ylabel()}")


def head_names(rows: xr.DataArray) -> list[str]:
    """Return ``layer.head`` for each row of stacked layers and heads."""
    return [f"{layer}.{head}" for layer, head in zip(rows["layer"].values, rows["head"].values, strict=True)]


def log_norm(*values: xr.DataArray) -> LogNorm:
    """Return a common logarithmic color scale for all positive values, with a range of at most DECADES."""
    flat = np.concatenate([value.values.astype(float).reshape(-1) for value in values])
    found = flat[np.isfinite(flat) & (flat > 0)]
    low, high = (float(found.min()), float(found.max())) if found.size else (0.1, 1.0)
    return LogNorm(max(low, high * 10.0**-DECADES), max(high, low * 1.01), clip=True)


def edges(steps: np.ndarray) -> np.ndarray:
    """Return cell borders halfway between the checkpoints.

    >>> edges(np.array([0, 10, 30]))
    array([ 0.,  5., 20., 30.])
    """
    steps = steps.astype(float)
    if len(steps) == 1:
        return np.array([steps[0] - 0.5, steps[0] + 0.5])
    middle = (steps[1:] + steps[:-1]) / 2
    return np.concatenate([[steps[0]], middle, [steps[-1]]])


def short(name: str) -> str:
    """Return a name without the parts that all names of TransformerLens share, or the end of a long name.

    >>> short("blocks.0.attn.W_Q"), short("blocks.1.mlp.hook_post"), short("a_module.of_a_model.with.a_long.W_in")
    ('0.attn.W_Q', '1.mlp.post', '…_model.with.a_long.W_in')
    """
    name = name.removeprefix("blocks.").replace(".hook_", ".")
    return name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}"


def _row(values: xr.DataArray) -> str:
    """Return the dimension other than ``step``."""
    return next(str(dim) for dim in values.dims if dim != "step")


def _write(axes: Axes, values: np.ma.MaskedArray, norm: Normalize) -> None:
    """Write every value in its cell, in a color that contrasts with the cell."""
    for (i, j), value in np.ndenumerate(values):
        if value is not np.ma.masked:
            dark = abs(float(norm(value)) - 0.5) > 0.36
            axes.text(j + 0.5, i + 0.5, f"{value:.2f}".replace("-", "−"), ha="center", va="center", fontsize=9,
                      color="white" if dark else "black")  # fmt: skip
