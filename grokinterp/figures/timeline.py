"""Figure of the whole run: losses, accuracies, and progress measures over the steps, with phases."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from grokinterp.figures.series import (
    STEP,
    Line,
    draw_events,
    draw_lines,
    draw_phases,
    legend_beside,
    lines_of,
    name_phases,
    step_limits,
)
from grokinterp.figures.style import BLUE, BROWN, GREEN, INK, ORANGE, PURPLE, RED, blank, place, styled
from grokinterp.phases import History

WIDTH, LEFT, PLOT_INCHES = 10.0, 0.75, 7.05  # the legends go right of the plots
GAP = 0.4
MOST_KEYS = 8


class Panel(NamedTuple):
    """One row of the timeline."""

    title: str
    y_label: str
    lines: list[Line]
    log: bool = False
    y_limits: tuple[float, float] | None = None


def timeline(
    metrics: xr.Dataset, dataset: xr.Dataset, history: History | None = None, *, loss: str = "cross-entropy [nats]"
) -> Figure | None:
    """Draw stacked panels of curves over the optimizer steps, omitting empty panels; return None without any panel.

    Args:
        metrics: training metrics over the evaluations.
        dataset: analyses over the checkpoints.
        history: phases, drawn as named bands, and events, drawn as dotted lines.
        loss: name of the training loss with its unit, which is also the unit of the progress measures.
    """
    return stacked(panels(PANELS, metrics, dataset, loss), history)


def panels(builds: Iterable["Build"], metrics: xr.Dataset, dataset: xr.Dataset, loss: str) -> list[Panel]:
    """Return the panels that have a curve."""
    built = [build(metrics, dataset, loss) for build in builds]
    return [panel for panel in built if panel and panel.lines]


@styled()
def stacked(panels: Sequence[Panel], history: History | None = None) -> Figure | None:
    """Draw panels over the same steps below the names of the phases; return None without panels."""
    if not panels:
        return None
    named = history is not None and bool(history.phases)
    heights = [0.42] * named + [1.38 if panel.log else 1.05 for panel in panels]
    figure = blank(WIDTH, 0.1 + sum(heights) + GAP * len(panels) + 0.42)
    tops = (
        0.1 + np.cumsum([0, *(height + GAP for height in heights[:-1])]) - 0.08 * (np.arange(len(heights)) > 0) * named
    )
    rows = [place(figure, LEFT, top, PLOT_INCHES, height) for top, height in zip(tops, heights, strict=True)]
    steps = np.concatenate([line.values["step"].values for panel in panels for line in panel.lines])
    for panel, axes in zip(panels, rows[named:], strict=True):
        _draw(axes, panel, history)
        axes.tick_params(labelbottom=axes is rows[-1])
    for axes in rows:
        step_limits(axes, steps)
    rows[-1].set_xlabel(STEP)
    if named and history is not None:
        name_phases(rows[0], history.phases, inches=PLOT_INCHES)
    return figure


def _draw(axes: Axes, panel: Panel, history: History | None) -> None:
    draw_lines(axes, panel.lines, log=panel.log)
    axes.set_title(panel.title)
    axes.set_ylabel(panel.y_label)
    axes.yaxis.set_label_coords(-0.52 / PLOT_INCHES, 0.5)
    if panel.y_limits:
        axes.set_ylim(panel.y_limits)
    legend_beside(axes)
    if history is not None:
        draw_phases(axes, history.phases)
        draw_events(axes, history.events)


def losses(metrics: xr.Dataset, dataset: xr.Dataset, loss: str) -> Panel:
    """Return the panel of train, validation and test loss."""
    return Panel("Loss", loss, _by_part(metrics, dataset, "loss"), log=True)


def accuracies(metrics: xr.Dataset, dataset: xr.Dataset, loss: str) -> Panel:
    """Return the panel of train, validation, and test accuracy, and of accuracies on mislabeled training examples."""
    noise = {
        "noisy_accuracy": ("mislabeled, as labeled", PURPLE, "--"),
        "restored_accuracy": ("mislabeled, true answer", RED, "--"),
    }
    source = metrics if "noisy_accuracy" in metrics else dataset
    lines = [*_by_part(metrics, dataset, "accuracy"), *lines_of(source, noise)]
    return Panel("Accuracy", "share correct [1]", lines, y_limits=(-0.04, 1.04))


def progress(metrics: xr.Dataset, dataset: xr.Dataset, loss: str) -> Panel:
    """Return the panel of restricted, excluded, and trig loss, with random frequencies as controls."""
    names = {
        "restricted_loss": ("restricted, all examples", GREEN),
        "restricted_loss_control": ("restricted, control", GREEN, ":"),
        "excluded_loss": ("excluded, train examples", PURPLE),
        "excluded_loss_control": ("excluded, control", PURPLE, ":"),
    }
    lines = lines_of(dataset, names)
    if "trig_loss" in dataset:
        lines.append(Line("trig, test examples", dataset["trig_loss"].sel(split="test"), BROWN, "--"))
    return Panel("Progress measures", loss, lines, log=True)


def excluded_by_key(metrics: xr.Dataset, dataset: xr.Dataset, loss: str) -> Panel | None:
    """Return the panel of the excluded loss of each single key frequency."""
    keys = key_frequencies(dataset)[:MOST_KEYS]
    if "excluded_loss_of" not in dataset or not keys:
        return None
    colors = sns.color_palette("colorblind", len(keys)).as_hex()
    lines = [
        Line(f"without k = {key}", dataset["excluded_loss_of"].sel(frequency=key), color)
        for key, color in zip(keys, colors, strict=True)
    ]
    return Panel("Excluded loss per key frequency, train pairs", loss, lines, log=True)


def sparsity(metrics: xr.Dataset, dataset: xr.Dataset, loss: str) -> Panel:
    """Return the panel of the Gini coefficients of the embedding and neuron-to-logit spectra."""
    names = {
        "gini_embedding": ("embedding W_E", BLUE),
        "gini_neuron_logit": ("neuron to logit W_L", ORANGE),
    }
    title = "Sparsity of the Fourier spectra (Gini coefficient)"
    return Panel(title, "Gini [1]", lines_of(dataset, names), y_limits=(0, 1))


def weight_norm(metrics: xr.Dataset, dataset: xr.Dataset, loss: str) -> Panel:
    """Return the panel of the sum of the squared weights."""
    source = metrics if "weight_norm" in metrics else dataset
    lines = lines_of(source, {"weight_norm": ("all weights", INK)})
    return Panel("Weight norm (sum of squared weights)", "Σθ² [1]", lines)


Build = Callable[[xr.Dataset, xr.Dataset, str], Panel | None]
LEAD: Sequence[Build] = (losses, progress, accuracies)
"""The panels that tell whether and when a run generalized."""

PANELS: Sequence[Build] = (
    losses,
    accuracies,
    progress,
    excluded_by_key,
    sparsity,
    weight_norm,
)


def key_frequencies(dataset: xr.Dataset) -> list[int]:
    """Return the key frequencies of the progress measures or, without them, of the last checkpoint."""
    if "key" in dataset.coords:
        return [int(key) for key in dataset["key"].values]
    if "is_key" not in dataset or not dataset.sizes["step"]:
        return []
    last = dataset["is_key"].isel(step=-1)
    return [int(key) for key in last["frequency"].values[last.values.astype(bool)]]


def _by_part(metrics: xr.Dataset, dataset: xr.Dataset, measure: str) -> list[Line]:
    """Return curves from the training metrics or, without them, from the checkpoints; averaged weights are dashed."""
    source = metrics if f"train_{measure}" in metrics else dataset
    colors = {"train": BLUE, "validation": GREEN, "test": ORANGE}
    raw = {f"{part}_{measure}": (part, color) for part, color in colors.items()}
    averaged = {f"average_{part}_{measure}": (f"{part}, averaged", color, "--") for part, color in colors.items()}
    return [*lines_of(source, raw), *lines_of(metrics, averaged)]
