"""Figures of curvature, sharpness, and the loss on lines between checkpoints."""

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.figure import Figure

from grokinterp.figures.landscape.weights import path_lines
from grokinterp.figures.series import (
    Line,
    Phases,
    curves,
    legend_beside,
    lines_of,
    log_axis,
)
from grokinterp.figures.style import (
    BLUE,
    PURPLE,
    RED,
    SEQUENTIAL,
    blank,
    place,
    styled,
)

__all__ = ["curvature", "loss_barrier", "loss_lines", "sharpness"]

MOST_LINES = 9

ORDINALS = ("st", "nd", "rd", "th")


def curvature(dataset: xr.Dataset, phases: Phases = (), *, unit: str = "nats") -> Figure | None:
    """Draw the largest eigenvalues, and the smallest found, of the Hessian of the training loss."""
    if "hessian_eigenvalue" not in dataset:
        return None
    values = dataset["hessian_eigenvalue"]
    colors = sns.color_palette("viridis", values.sizes["rank_of_hessian"]).as_hex()
    lines = [
        Line(f"{i + 1}{ORDINALS[min(i, 3)]} largest" if i else "largest", values.isel(rank_of_hessian=i), color)
        for i, color in enumerate(colors)
    ]
    if "hessian_eigenvalue_smallest" in dataset:
        lines.append(Line("smallest found", dataset["hessian_eigenvalue_smallest"], RED, "--"))
    return curves("Hessian of the training loss", f"eigenvalue [{unit}]", lines, phases, zero=True, marks=True)


def sharpness(dataset: xr.Dataset, phases: Phases = (), *, unit: str = "nats") -> Figure | None:
    """Draw the largest increase found of the training loss in a small box around the weights."""
    names = {"sharpness": ("largest increase found", PURPLE)}
    return curves("Sharpness", f"increase of the loss [{unit}]", lines_of(dataset, names), phases, log=True, marks=True)


def loss_barrier(dataset: xr.Dataset, phases: Phases = (), *, unit: str = "nats") -> Figure | None:
    """Draw the barrier of the training loss on the straight line from each checkpoint to the last."""
    names = {"line_barrier": ("training loss", BLUE)}
    lines = path_lines(dataset, names)
    title, label = "Barrier on the line to the final weights", f"loss barrier [{unit}]"
    return curves(title, label, lines, phases, zero=True, marks=True)


@styled()
def loss_lines(dataset: xr.Dataset, *, unit: str = "nats") -> Figure | None:
    """Draw training and test loss on the straight lines from selected checkpoints to the last."""
    titles = {"line_train_loss": "Training loss", "line_test_loss": "Test loss"}
    shown = [name for name in titles if name in dataset and bool((dataset[name] > 0).any())]
    n = dataset.sizes.get("step", 0)
    if not shown or n < 2:
        return None
    chosen = np.unique(np.linspace(0, n - 1, min(n, MOST_LINES)).round().astype(int))
    colors = sns.color_palette(SEQUENTIAL, len(chosen)).as_hex()
    figure = blank(10.0, 3.15)
    for i, name in enumerate(shown):
        axes = place(figure, 0.75 + 4.05 * i, 0.3, 3.45, 2.3)
        for step, color in zip(chosen, colors, strict=True):
            values = dataset[name].isel(step=step)
            label = f"step {int(values['step'])}"
            positive = np.where(values.values > 0, values.values, np.nan)
            axes.plot(values["fraction"].values, positive, color=color, label=label)
        log_axis(axes)
        axes.set(title=titles[name], xlabel="fraction of the line to the last checkpoint [1]", xlim=(0, 1))
        axes.set_ylabel(f"loss [{unit}]")
    legend_beside(axes)
    return figure
