"""Figure of the inverse participation ratios of the neurons."""

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from grokinterp.figures.series import (
    has,
    legend_below,
    small,
)
from grokinterp.figures.style import (
    styled,
)

__all__ = ["neuron_participation"]

MOST_CURVES = 5
"""Largest number of checkpoints in the figure."""


@styled()
def neuron_participation(dataset: xr.Dataset) -> Figure | None:
    """Draw the inverse participation ratios of all neurons in descending order, with a curve per checkpoint."""
    if not has(dataset, "neuron_ipr"):
        return None
    values = dataset["neuron_ipr"]
    chosen = np.unique(np.linspace(0, values.sizes["step"] - 1, MOST_CURVES).round().astype(int))
    figure, axes = small([f"step {step}" for step in values["step"].values[chosen]])
    for i, color in zip(chosen, sns.color_palette("viridis_r", len(chosen)), strict=True):
        ordered = -np.sort(-values.isel(step=i).values)  # NaN last
        name = f"step {values['step'].values[i]}"
        axes.step(range(1, len(ordered) + 1), ordered, color=color, where="mid", label=name)
    axes.set(title="Inverse participation ratio", xlabel="neuron, sorted by IPR", ylim=(-0.04, 1.04))
    axes.set_ylabel("IPR of the input weights [1]")
    axes.set_xlim(1, max(values.sizes["neuron"], 2))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    legend_below(figure, axes)
    return figure
