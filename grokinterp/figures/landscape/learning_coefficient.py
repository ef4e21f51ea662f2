"""Figures of the local learning coefficient over training, its chains, and its calibration."""

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from grokinterp.figures.series import (
    Phases,
    bars,
    finish,
    legend_below,
    small,
)
from grokinterp.figures.style import (
    BLUE,
    GRAY,
    NOTHING,
    QUIET,
    RED,
    SEQUENTIAL,
    blank,
    color_bar,
    place,
    styled,
)
from grokinterp.numbers import compact, number

__all__ = ["learning_coefficient", "learning_coefficient_traces", "llc_calibration"]

TITLE, LABEL = "Local learning coefficient", "LLC [1]"

DIVERGED, UNSETTLED, SETTLED = "diverged: no estimate", "not converged", "mean ± deviation over chains"

MOST_CHECKPOINTS = 6


@styled()
def learning_coefficient(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the local learning coefficient with its standard deviation over chains.

    Open markers are checkpoints whose chains have not converged, and crosses those whose chains diverged.
    """
    if "llc" not in dataset or not dataset.sizes["step"]:
        return None
    steps, llc = dataset["step"].values, dataset["llc"].values.astype(float)
    spread = np.nan_to_num(values(dataset, "llc_spread", 0.0))
    bad = ~np.isfinite(llc) | values(dataset, "llc_diverged", False).astype(bool)
    open_ = ~bad & ~values(dataset, "llc_converged", True).astype(bool)
    if len(steps) == 1:
        label = DIVERGED if bad[0] else f"mean ± {compact(float(f'{spread[0]:.2g}'))}"
        label = f"{label}, {UNSETTLED}" if open_[0] else label
        return bars(TITLE, LABEL, [(label, float(llc[0]), RED if bad[0] else BLUE)])
    figure, axes = small([SETTLED, UNSETTLED, DIVERGED])
    for chosen, label, inside in ((~bad & ~open_, SETTLED, BLUE), (open_, UNSETTLED, "white")):
        if chosen.any():
            axes.errorbar(steps[chosen], llc[chosen], spread[chosen], color=BLUE, marker="o", markersize=4, capsize=2.5,
                          elinewidth=1, linestyle="", markerfacecolor=inside, label=label)  # fmt: skip
    if not bad.all():
        axes.plot(steps[~bad], llc[~bad], color=BLUE, linewidth=1, zorder=0)
        axes.axhline(0, color=GRAY, linewidth=0.8, zorder=0)
    if bad.any():
        axes.plot(steps[bad], np.full(int(bad.sum()), 0.04), linestyle="", marker="x", color=RED, clip_on=False,
                  transform=axes.get_xaxis_transform(), label=DIVERGED)  # fmt: skip
    return finish(figure, axes, TITLE, LABEL, phases, steps)


def values(dataset: xr.Dataset, name: str, otherwise: float | bool) -> np.ndarray:
    """Return a variable over the steps, or a constant if the dataset lacks it."""
    return dataset[name].values if name in dataset else np.full(dataset.sizes["step"], otherwise)


@styled()
def learning_coefficient_traces(dataset: xr.Dataset) -> Figure | None:
    """Draw nβ times the increase of the loss along every chain, with gray burn-in, for selected checkpoints."""
    if "llc_trace" not in dataset or not np.isfinite(dataset["llc_trace"]).any():
        return None
    n = dataset.sizes["step"]
    chosen = np.unique(np.linspace(0, n - 1, min(n, MOST_CHECKPOINTS)).round().astype(int))
    colors = sns.color_palette(SEQUENTIAL, len(chosen)).as_hex()
    figure, axes = small([f"step {step}" for step in dataset["step"].values[chosen]])
    burn_in, length = (float(part) for part in chain_length(dataset.isel(step=chosen[-1])))
    for at, color in zip(chosen, colors, strict=True):
        one = dataset.isel(step=at)
        for i, chain in enumerate(one["llc_trace"].transpose("chain", "stretch").values):
            label = f"step {int(one['step'])}" if i == 0 else None
            shown = np.where(np.isfinite(chain), chain, np.nan)
            axes.plot(one["stretch"].values * length, shown, color=color, linewidth=1, label=label)
    axes.set_yscale("symlog", linthresh=1.0)
    axes.axvspan(0, burn_in, color=NOTHING, linewidth=0, zorder=-2)
    axes.set(title="Chains", xlabel="step of the chain", ylabel="nβ × increase of the loss [1]", xlim=(0, length))
    legend_below(figure, axes)
    return figure


def chain_length(one: xr.Dataset) -> tuple[int, int]:
    """Return the number of steps of the burn-in and of the whole chain."""
    burn_in = int(one["llc_burn_in"])
    return burn_in, burn_in + int(one["llc_draws"])


@styled()
def llc_calibration(dataset: xr.Dataset) -> Figure:
    """Draw the learning coefficient over step size and localization, with a map for each temperature.

    Crosses mark diverged chains, and parentheses mark chains that have not converged.
    """
    llc = dataset["llc"]
    temperatures = dataset["inverse_temperature"].values
    rows, columns = dataset.sizes["localization"], dataset.sizes["step_size"]
    width, height = max(1.6, 0.72 * columns), max(1.0, 0.36 * rows)
    figure = blank(0.95 + (width + 0.25) * len(temperatures) + 0.9, height + 1.15)
    finite = llc.values[np.isfinite(llc.values)]
    norm = Normalize(*((float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)))
    for i, heat in enumerate(temperatures):
        left = 0.95 + (width + 0.25) * i
        axes = place(figure, left, 0.35, width, height)
        mesh = draw_map(axes, dataset.sel(inverse_temperature=heat), norm)
        axes.set_title(f"nβ = {number(float(heat))}")
        axes.set_xlabel("step size ε [1]")
        axes.set_ylabel("localization γ [1]" if i == 0 else "")
        axes.tick_params(labelleft=i == 0)
    color_bar(place(figure, left + width + 0.12, 0.35, 0.12, height), mesh, LABEL)
    return figure


def draw_map(axes: Axes, dataset: xr.Dataset, norm: Normalize) -> ScalarMappable:
    """Draw one map with its values."""
    llc = dataset["llc"].transpose("localization", "step_size").values
    settled = dataset["llc_converged"].transpose("localization", "step_size").values.astype(bool)
    mesh = axes.pcolormesh(np.ma.masked_invalid(llc), norm=norm, cmap=SEQUENTIAL)
    axes.set_facecolor(NOTHING)
    for (i, j), value in np.ndenumerate(llc):
        known = np.isfinite(value)
        text = number(float(value)) if known else "×"
        dark = known and float(norm(value)) < 0.6
        axes.text(j + 0.5, i + 0.5, text if settled[i, j] or not known else f"({text})", ha="center", va="center",
                  fontsize=7.5, color="white" if dark else "black" if known else QUIET)  # fmt: skip
    for set_ticks, name in ((axes.set_xticks, "step_size"), (axes.set_yticks, "localization")):
        ticks = [number(float(value)) for value in dataset[name].values]
        set_ticks(np.arange(len(ticks)) + 0.5, ticks)
    axes.tick_params(axis="x", labelrotation=30)
    return mesh
