"""Figures of a league: time to generalization of each method, as survival curves and times, and accuracy curves."""

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Affine2D

from grokinterp.figures.series import STEP, step_limits, step_ticks
from grokinterp.figures.style import (
    BLUE,
    BROWN,
    CYAN,
    GRAY,
    GREEN,
    INK,
    NOTHING,
    ORANGE,
    PINK,
    PURPLE,
    QUIET,
    RED,
    blank,
    place,
    styled,
)
from grokinterp.phases import SUSTAINED

COLORS = (INK, BLUE, ORANGE, GREEN, RED, PURPLE, BROWN, PINK, GRAY, CYAN)
DASHES = ("solid", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.4, 1.2, 1.4)))
"""Dash styles: colors repeat after ten methods with another style, and neighbors differ in both."""

SPREAD = 0.14
"""Share of the axis over which coinciding curves are spread."""

ACROSS = 4
"""Number of small plots in a row."""

AXES = {"step": STEP, "seconds": "wall time of training [s]"}


def look(index: int) -> tuple[str, object]:
    """Return the color and dash style of a method, distinct for the first forty methods.

    >>> len({(color, str(dashes)) for color, dashes in map(look, range(40))})
    40
    """
    return COLORS[index % len(COLORS)], DASHES[(index + index // len(COLORS)) % len(DASHES)]


@styled()
def survival_curves(dataset: xr.Dataset, *, over: str = "step") -> Figure | None:
    """Draw the share of runs that have not generalized over time; return None without runs.

    Curves are slightly offset. A cross marks the last observation of a run that has not generalized.

    Args:
        dataset: ``unsolved_share_<over>`` [method, time_<over>], ``time_<over>_of`` and ``observed`` [method, seed].
        over: step or seconds.
    """
    methods = [str(name) for name in dataset["method"].values]
    if not methods or not np.isfinite(dataset[f"time_{over}_of"]).any():
        return None
    height = max(3.1, 0.19 * len(methods) + 0.25)
    figure = blank(10.0, height + 0.9)
    axes = place(figure, 0.75, 0.3, 6.4, height)
    times = dataset[f"time_{over}"].values
    for i, name in enumerate(methods):
        shift = SPREAD * (i / max(len(methods) - 1, 1) - 0.5)
        _draw_survival(axes, dataset.sel({"method": name}), times, over, i, shift, name)
    axes.set(title="Runs that have not generalized", xlabel=AXES[over], ylabel="share of runs")
    axes.set_ylim(-SPREAD, 1 + SPREAD)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1])
    axes.axhline(0.5, color=NOTHING, linewidth=0.8, zorder=0)
    axes.set_xlim(0, max(float(np.nanmax(dataset[f"time_{over}_of"])), 1e-9) * 1.02)
    if over == "step":
        step_ticks(axes)
    axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0.0, labelspacing=0.35, handlelength=3.2)
    return figure


def _draw_survival(
    axes: Axes, of: xr.Dataset, times: np.ndarray, over: str, index: int, shift: float, name: str
) -> None:
    """Draw one curve, up to the last observation of a run."""
    color, dashes = look(index)
    share, ends = of[f"unsolved_share_{over}"].values, of[f"time_{over}_of"].values
    if not np.isfinite(ends).any():
        return
    seen = times <= np.nanmax(ends)
    moved = Affine2D().translate(0, shift) + axes.transData  # the values of the curve stay those of the data
    axes.step(times[seen], share[seen], where="post", color=color, linestyle=dashes, label=name, transform=moved)
    lost = ends[np.isfinite(ends) & ~of["observed"].values]
    at = share[np.searchsorted(times, lost, side="right") - 1]
    axes.plot(lost, at, linestyle="", marker="x", markersize=5, color=color, transform=moved)


@styled()
def times_by_method(dataset: xr.Dataset, *, over: str = "step") -> Figure | None:
    """Draw the time of every run, and the median of each method with its interval; return None without runs.

    Args:
        dataset: ``time_<over>_of`` and ``observed`` [method, seed]; ``median_<over>``, ``median_low_<over>`` and
            ``median_high_<over>`` [method], infinite if unbounded.
        over: step or seconds.
    """
    ends = dataset[f"time_{over}_of"].values
    n = dataset.sizes["method"]
    if not n or not np.isfinite(ends).any():
        return None
    figure = blank(10.0, 0.27 * n + 1.35)
    axes = place(figure, 2.1, 0.3, 7.6, 0.27 * n)
    most = float(np.nanmax(ends)) * 1.04 or 1.0
    for i, name in enumerate(dataset["method"].values):
        _draw_times(axes, dataset.sel({"method": name}), over, i, most)
    axes.set_yticks(range(n), [str(name) for name in dataset["method"].values])
    axes.set(ylim=(n - 0.5, -0.5), xlim=(0, most), xlabel=AXES[over], ylabel="method")
    axes.set_title("Time to generalization: runs and median")
    axes.yaxis.set_label_coords(-1.95 / 7.6, 0.5)
    axes.grid(visible=True, axis="y", color="#eef1f4", linewidth=0.8)
    axes.set_axisbelow(True)
    if over == "step":
        step_ticks(axes)
    figure.legend(handles=_key(), loc="lower center", ncols=4, columnspacing=1.6)
    return figure


def _draw_times(axes: Axes, of: xr.Dataset, over: str, row: int, most: float) -> None:
    """Draw one row: points for generalized runs, open triangles for the others, and a bar for the median's interval."""
    ends, observed = of[f"time_{over}_of"].values, of["observed"].values
    low, high, middle = (float(of[f"median{part}_{over}"]) for part in ("_low", "_high", ""))
    if np.isfinite(low):
        axes.plot([low, min(high, most)], [row, row], color="#b9c4cf", linewidth=4.5, solid_capstyle="butt", zorder=1)
    if np.isfinite(middle):
        axes.plot([middle, middle], [row - 0.32, row + 0.32], color=INK, linewidth=1.8, zorder=2)
    axes.plot(ends[observed], np.full(observed.sum(), row), "o", color=BLUE, markersize=4.5, zorder=3)
    lost = ends[~observed & np.isfinite(ends)]
    axes.plot(lost, np.full(len(lost), row), ">", color=ORANGE, markerfacecolor="none", markersize=6, zorder=3)


def _key() -> list[Line2D]:
    return [
        Line2D([], [], linestyle="", marker="o", color=BLUE, markersize=4.5, label="generalized run"),
        Line2D([], [], linestyle="", marker=">", color=ORANGE, markerfacecolor="none", markersize=6,
               label="run that has not generalized (lower bound)"),
        Line2D([], [], color=INK, linewidth=1.8, label="median"),
        Line2D([], [], color="#b9c4cf", linewidth=4.5, label="95 % confidence interval"),
    ]  # fmt: skip


@styled()
def accuracy_by_method(dataset: xr.Dataset, *, threshold: float = SUSTAINED.threshold) -> Figure | None:
    """Draw the test accuracy of every run over the steps, with a small plot per method; return None without runs.

    Args:
        dataset: ``test_accuracy`` and ``train_accuracy`` [method, seed, step].
        threshold: accuracy drawn as a line.
    """
    n = dataset.sizes["method"]
    if not n or dataset.sizes["step"] < 2:
        return None
    rows = -(-n // ACROSS)
    figure = blank(10.0, 1.72 * rows + 0.75)
    for i, name in enumerate(dataset["method"].values):
        row, column = divmod(i, ACROSS)
        axes = place(figure, 0.6 + 2.38 * column, 0.3 + 1.72 * row, 2.0, 1.17)
        _draw_accuracy(axes, dataset.sel({"method": name}), threshold)
        axes.set_title(str(name), fontsize=9)
        axes.set_xlabel(STEP if i + ACROSS >= n else "", fontsize=9)
        axes.set_ylabel("accuracy" if column == 0 else "", fontsize=9)
        axes.tick_params(labelsize=9)
    lines = [
        Line2D([], [], color=BLUE, linewidth=1.2, label="test, each seed"),
        Line2D([], [], color=NOTHING, linewidth=1.2, label="train, each seed"),
        Line2D([], [], color=QUIET, linewidth=0.8, linestyle=":", label=f"{threshold:g}"),
    ]
    figure.legend(handles=lines, loc="lower center", ncols=3, columnspacing=1.6)
    return figure


def _draw_accuracy(axes: Axes, of: xr.Dataset, threshold: float) -> None:
    steps = of["step"].values
    for name, color in (("train_accuracy", NOTHING), ("test_accuracy", BLUE)):
        for curve in of[name].transpose("seed", "step").values:
            axes.plot(steps, curve, color=color, linewidth=1.0, alpha=0.8)
    axes.axhline(threshold, color=QUIET, linewidth=0.8, linestyle=":")
    axes.set_ylim(-0.04, 1.04)
    step_limits(axes, steps)
    step_ticks(axes, most=3)
