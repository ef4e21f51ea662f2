"""Figures of the paths of weights and of embeddings through training, in the plane of their principal components."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from grokinterp.figures.series import Phases, has
from grokinterp.figures.style import INK, QUIET, SEQUENTIAL, blank, color_bar, place, styled
from grokinterp.phases import Phase

__all__ = ["embedding_paths", "weight_paths"]

STRONG = {
    "memorization": "#c8741a", "circuit formation": "#2f6fb2", "cleanup": "#2e8b57", "generalization": "#7a52a3",
    "decline": "#6b7280",
}  # fmt: skip
"""Colors of the phases that can be seen as lines."""


@styled()
def weight_paths(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the path of the weights in the planes of their first three principal components, colored by phase.

    Args:
        dataset: the variables ``weight_position`` over ``step`` and ``direction`` and ``position_share`` over
            ``direction``.
        phases: the phases of the run.
    """
    if not has(dataset, "weight_position") or dataset.sizes["step"] < 2:
        return None
    planes = [(0, 1), (0, 2)][: max(1, dataset.sizes["direction"] - 1)]
    if dataset.sizes["direction"] < 2:
        return None
    figure = blank(10.0, 4.4)
    for i, (right, up) in enumerate(planes):
        axes = place(figure, 0.8 + 4.9 * i, 0.35, 3.9, 3.1)
        x, y = (dataset["weight_position"].isel(direction=one).values for one in (right, up))
        draw_path(axes, x, y, dataset["step"].values, phases)
        axes.set(xlabel=component(dataset, right), ylabel=component(dataset, up))
        axes.set_title("Path of the weights" if i == 0 else "Along the third component")
        axes.margins(0.06)
    handles, names = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="lower center", ncols=6)
    return figure


def draw_path(axes: Axes, x: np.ndarray, y: np.ndarray, steps: np.ndarray, phases: Phases) -> None:
    """Draw a path with a color for each phase, and its ends."""
    axes.plot(x, y, color=QUIET, linewidth=0.8, zorder=1)
    for phase in phases or (Phase("decline", int(steps[0]), int(steps[-1]) + 1),):
        inside = (steps >= phase.start) & (steps < phase.stop)
        name = phase.name if phases else "checkpoints"
        axes.scatter(x[inside], y[inside], s=11, color=STRONG[phase.name], label=name, zorder=2, linewidths=0)
    axes.plot(x[:1], y[:1], "o", color=INK, markerfacecolor="white", markersize=7, label=f"step {steps[0]}", zorder=3)
    axes.plot(x[-1:], y[-1:], "s", color=INK, markersize=6, label=f"step {steps[-1]}", zorder=3)


@styled()
def embedding_paths(dataset: xr.Dataset) -> Figure | None:
    """Draw the path of each token's embedding in the plane of the last embedding's first two principal components.

    Args:
        dataset: the variables ``token_position`` over ``step``, ``token`` and ``direction``, and ``position_share``
            over ``direction``.
    """
    if not has(dataset, "token_position") or dataset.sizes["direction"] < 2:
        return None
    positions = dataset["token_position"].transpose("step", "token", "direction").values
    tokens = dataset["token"].values
    figure = blank(6.4, 5.3)
    axes = place(figure, 0.85, 0.4, 4.3, 4.3)
    norm = Normalize(0, max(len(tokens) - 1, 1))
    shades = ScalarMappable(norm, SEQUENTIAL)
    for i, color in enumerate(shades.to_rgba(np.arange(len(tokens)))):
        axes.plot(*positions[:, i].T, color=color, linewidth=0.7, alpha=0.55, zorder=1)
    axes.scatter(*positions[-1].T, c=range(len(tokens)), norm=norm, cmap=SEQUENTIAL, s=22, zorder=2, linewidths=0)
    axes.set(xlabel=component(dataset, 0), ylabel=component(dataset, 1))
    axes.set_title(f"Paths of the embeddings to step {dataset['step'].values[-1]}")
    axes.margins(0.06)
    color_bar(place(figure, 5.3, 0.4, 0.12, 4.3), shades, "token [index]")
    return figure


def component(dataset: xr.Dataset, place_: int) -> str:
    """Return the name of a principal component with the share of the variance that it explains."""
    return f"component {place_ + 1}: {float(dataset['position_share'].isel(direction=place_)):.0%} [1]"
