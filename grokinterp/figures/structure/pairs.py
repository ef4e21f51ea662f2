"""Figures of the answers to all pairs of operands: right and wrong, their losses, and their correct logits."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from mpl_toolkits.mplot3d import Axes3D

from grokinterp.figures.heatmaps import heatmap, largest, log_norm, thin
from grokinterp.figures.series import has
from grokinterp.figures.squares import squares, titled
from grokinterp.figures.style import BLUE, CYAN, DIVERGING, NOTHING, ORANGE, RED, SEQUENTIAL, blank, styled

__all__ = ["correct_logit_surface", "pair_losses", "prediction_field"]

FIELD = (("trained, wrong", RED), ("held out, wrong", ORANGE), ("trained, correct", BLUE), ("held out, correct", CYAN))
"""The four kinds of pairs with their colors, by 2 · correct + held out."""

UNDEFINED = ("not defined", NOTHING)

MOST = 8
"""Largest number of checkpoints in a figure."""

Steps = Sequence[int]


@styled()
def prediction_field(dataset: xr.Dataset, steps: Steps) -> Figure | None:
    """Draw which pairs (a, b) are answered correctly, with a map for each step; colors tell trained from held out.

    The title of a map states the share of the held-out pairs that are answered correctly. Pairs for which a ∘ b is not
    defined are gray.
    """
    if not has(dataset, "pair_is_correct"):
        return None
    steps = shown(dataset, steps)
    grid = squares(len(steps), below=0.35)
    kinds = kinds_of(dataset)
    for axes, step in zip(grid.axes, steps, strict=True):
        values, every = thin(kinds.sel(step=step), "a", "b")
        colors = ListedColormap([color for _, color in FIELD])
        heatmap(axes, values.transpose("b", "a").values, Normalize(0, 3), colors, every)
    titled(grid.axes, [f"step {step}: {share(kinds.sel(step=step)):.0%}" for step in steps])
    grid.label("operand a", "operand b")
    named = [*FIELD, *([UNDEFINED] if np.isnan(kinds.values).any() else [])]
    grid.figure.legend(handles=[Patch(color=color, label=name) for name, color in named], loc="lower center", ncols=5)
    return grid.figure


@styled()
def pair_losses(dataset: xr.Dataset, steps: Steps, *, unit: str = "nats") -> Figure | None:
    """Draw the loss of every pair (a, b), with a map for each step and one logarithmic color scale."""
    if not has(dataset, "pair_loss"):
        return None
    steps = shown(dataset, steps)
    grid, losses = squares(len(steps)), dataset["pair_loss"].sel(step=list(steps))
    norm = log_norm(losses)
    for axes, step in zip(grid.axes, steps, strict=True):
        values, every = thin(losses.sel(step=step), "a", "b")
        image = heatmap(axes, values.transpose("b", "a").values, norm, SEQUENTIAL, every)
    titled(grid.axes, [f"step {step}" for step in steps])
    grid.label("operand a", "operand b")
    grid.bar(image, f"loss [{unit}]")
    return grid.figure


@styled()
def correct_logit_surface(dataset: xr.Dataset, step: int, *, unit: str = "nats") -> Figure | None:
    """Draw the correct logit of every pair (a, b) at a step as a surface, above its map."""
    if not has(dataset, "pair_correct_logit"):
        return None
    values, every = thin(dataset["pair_correct_logit"].sel(step=step), "a", "b")
    surface = values.transpose("b", "a").values.astype(float)
    if not np.isfinite(surface).any():
        return None
    norm, colors = scale_of(surface)
    figure = blank(10.0, 4.4)
    left, bottom, width, height = 0.02, 0.06, 0.46, 0.88
    solid = Axes3D(figure, (left, bottom, width, height))
    figure.add_axes(solid)
    a, b = np.meshgrid(values["a"].values, values["b"].values)
    solid.plot_surface(a, b, np.where(np.isfinite(surface), surface, np.nan), cmap=colors, norm=norm, linewidth=0)
    solid.set(xlabel="operand a", ylabel="operand b", title=f"Correct logit, step {step}")
    solid.set_zlabel(f"logit [{unit}]")
    flat = figure.add_axes((0.58, 0.13, 0.3, 0.3 * 10 / 4.4))
    image = heatmap(flat, surface, norm, colors, every)
    flat.set(xlabel="operand a", ylabel="operand b", title="Map")
    bar = figure.add_axes((0.895, 0.13, 0.012, 0.3 * 10 / 4.4))
    figure.colorbar(image, cax=bar, label=f"correct minus mean logit [{unit}]").outline.set_visible(False)
    return figure


def scale_of(values: np.ndarray) -> tuple[Normalize, str]:
    """Return the color scale of values: centered at 0 if they have both signs, else from the least to the largest."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if low < 0 < high:
        reach = largest(values)
        return Normalize(-reach, reach), DIVERGING
    return Normalize(low, high), SEQUENTIAL


def kinds_of(dataset: xr.Dataset) -> xr.DataArray:
    """Return the kind of each pair, an index into FIELD; NaN where the operation is not defined."""
    correct, trained = dataset["pair_is_correct"], dataset["pair_is_trained"]
    return 2 * correct + (1 - trained)


def share(kinds: xr.DataArray) -> float:
    """Return the share of the held-out pairs that are answered correctly, or of all pairs if none is held out."""
    held_out = (kinds % 2 == 1).sum()
    of = kinds.where(kinds % 2 == 1) if held_out else kinds
    return float((of >= 2).sum() / of.notnull().sum())


def shown(dataset: xr.Dataset, steps: Steps) -> list[int]:
    """Return the measured steps nearest to the given ones, at most MOST, or else the last."""
    measured = dataset["step"].values
    found = sorted({int(measured[np.abs(measured - step).argmin()]) for step in steps}) or [int(measured[-1])]
    every = -(-len(found) // MOST)
    return sorted({*found[::every], found[-1]}) if every > 1 else found
