"""Figures of the embedding spectrum, the neuron frequencies, and the logits by label at selected checkpoints."""

from collections.abc import Callable, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from grokinterp.figures.heatmaps import heatmap, largest, name_row, thin
from grokinterp.figures.style import (
    BLUE,
    DIVERGING,
    GRAY,
    INK,
    ORANGE,
    QUIET,
    blank,
    color_bar,
    place,
    styled,
)
from grokinterp.figures.timeline import key_frequencies

__all__ = ["spectra"]

SPECIALIZED = 0.85

Steps = Sequence[int]


@styled()
def spectra(dataset: xr.Dataset, steps: Steps, *, label: str = "label", unit: str = "nats") -> Figure | None:
    """Draw the embedding spectrum, neuron frequencies, and logits by label, with a row for each step.

    If there are only logits, the steps are side by side. Without any of the three, return None.

    Args:
        dataset: analyses over the checkpoints.
        steps: checkpoints to show.
        label: name of the correct answer, such as (a + b) mod p.
        unit: unit of the logits.
    """

    def logits(axes: Axes, at: xr.Dataset, _whole: xr.Dataset) -> None:
        draw_logits(axes, at, label, unit)

    columns: list[tuple[Callable[[Axes, xr.Dataset, xr.Dataset], None], str, float]] = [
        (draw_spectrum, "embedding_power", 2.35),
        (draw_neurons, "neuron_frequency", 2.35),
        (logits, "logit_by_label", 1.85),
    ]
    shown = [column for column in columns if column[1] in dataset]
    if not shown:
        return None
    both = dataset.sel(step=list(steps))
    if shown == columns[2:]:
        return _side_by_side(both, label, unit)
    figure = blank(10.0, 2.75 * len(steps))
    for i, step in enumerate(steps):
        row = [place(figure, 0.85 + 3.2 * j, 2.75 * i + 0.35, width, 1.85) for j, (_, _, width) in enumerate(shown)]
        for axes, (draw, _, _) in zip(row, shown, strict=True):
            draw(axes, dataset.sel(step=step), both)
        name_row(row[0], step)
    return figure


def _side_by_side(dataset: xr.Dataset, label: str, unit: str) -> Figure:
    """Draw the logits by label, with a column for each step."""
    side = min((8.9 + 1.7) / dataset.sizes["step"] - 1.7, 2.75)
    figure = blank(10.0, side + 0.9)
    for i, step in enumerate(dataset["step"].values):
        axes = place(figure, 0.65 + (side + 1.7) * i, 0.35, side, side)
        draw_logits(axes, dataset.sel(step=step), label, unit)
        axes.set_title(f"Logits by label, step {step}")
    return figure


def draw_spectrum(axes: Axes, at: xr.Dataset, whole: xr.Dataset) -> None:
    """Draw the squared norm of the embedding at every frequency, with the key frequencies in orange."""
    keys = set(key_frequencies(whole))
    colors = [ORANGE if int(k) in keys else GRAY for k in at["frequency"].values]
    axes.bar(at["frequency"].values, at["embedding_power"].values, color=colors, width=0.85, linewidth=0)
    axes.set(title="Embedding spectrum", xlabel="frequency k", ylabel="squared norm [1]")
    axes.set_ylim(0, largest(whole["embedding_power"].values) * 1.14)
    _name_keys(axes, at["frequency"].values, at["embedding_power"].values, keys)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def draw_neurons(axes: Axes, at: xr.Dataset, whole: xr.Dataset) -> None:
    """Draw each neuron at its frequency and the share of its variance that this frequency explains."""
    constant = at["neuron_frequency"].values < 1
    axes.scatter(
        at["neuron_frequency"].values[~constant],
        at["neuron_fve"].values[~constant],
        s=13, color=BLUE, alpha=0.35, linewidths=0, rasterized=True,
    )  # fmt: skip
    axes.axhline(SPECIALIZED, color=QUIET, linestyle="--", linewidth=0.8)
    share = np.nanmean(at["neuron_fve"].values > SPECIALIZED)
    axes.set(title=f"Neurons: {share:.0%} specialized", xlabel="neuron frequency k", ylabel="variance explained [1]")
    axes.set(ylim=(-0.03, 1.03), xlim=(0, float(whole["neuron_frequency"].max()) + 1))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def draw_logits(axes: Axes, at: xr.Dataset, label: str, unit: str) -> None:
    """Draw the mean row-centered logit of every class for every label."""
    values, every = thin(at["logit_by_label"], "label", "class")
    reach = largest(values.values)
    image = heatmap(axes, values.transpose("label", "class").values, Normalize(-reach, reach), DIVERGING, every)
    axes.set(title="Logits by label", xlabel="class", ylabel=label)
    color_bar(axes.inset_axes((1.04, 0, 0.06, 1)), image, f"mean logit [{unit}]")


def _name_keys(axes: Axes, frequencies: np.ndarray, power: np.ndarray, keys: set[int]) -> None:
    """Write each key frequency above its bar."""
    top = axes.get_ylim()[1]
    for k, value in zip(frequencies, power, strict=True):
        if int(k) in keys and np.isfinite(value):
            axes.text(k, value + 0.015 * top, str(int(k)), ha="center", va="bottom", fontsize=9, color=INK)
