"""Figures of group representations: key irreps, the variance that they explain, and coset concentration."""

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from grokinterp.figures.series import (
    Line,
    Phases,
    curves,
    legend_below,
    lines_of,
    small,
)
from grokinterp.figures.style import (
    BLUE,
    GREEN,
    ORANGE,
    QUIET,
    styled,
)

__all__ = ["cosets", "explained", "irrep_similarity"]

MOST_IRREPS = 9


def irrep_similarity(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the similarity of the logits with the characters of the key representations, and the threshold."""
    return character_similarity(
        dataset, phases, "irrep_similarity", "is_key_irrep", "irrep_threshold", "Key representations of the group"
    )


def explained(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the shares of the logits' and the last hidden layer's variance that representations explain."""
    names = {
        "irreps_explained": ("logits, by characters", GREEN),
        "hidden_fve": ("hidden layer, by key irreps", BLUE),
    }
    lines = lines_of(dataset, names)
    return curves("Explained by representations", "share of variance [1]", lines, phases, shares=True, marks=True)


@styled()
def cosets(dataset: xr.Dataset) -> Figure | None:
    """Draw the number of neurons that are constant on cosets, by the order of the subgroup, at the last checkpoint."""
    names = {"coset_order_left": ("left operand", BLUE), "coset_order_right": ("right operand", ORANGE)}
    shown = [name for name in names if name in dataset and dataset.sizes["step"]]
    if not shown:
        return None
    last = dataset.isel(step=-1)
    orders = np.unique(np.concatenate([last[name].values for name in shown]))
    figure, axes = small([names[name][0] for name in shown])
    for i, name in enumerate(shown):
        counts = [(last[name].values == order).sum() for order in orders]
        label, color = names[name]
        axes.bar(np.arange(len(orders)) + 0.4 * i - 0.2, counts, width=0.38, color=color, label=label, linewidth=0)
    axes.set_xticks(range(len(orders)), ["none" if order == 1 else str(order) for order in orders])
    axes.set(title="Neurons constant on cosets", xlabel="order of the largest subgroup", ylabel="neurons [1]")
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    legend_below(figure, axes)
    return figure


def character_similarity(
    dataset: xr.Dataset, phases: Phases, name: str, is_key: str, threshold: str, title: str
) -> Figure | None:
    """Draw the similarity of the logits with the final key characters, or with the three most similar characters."""
    if name not in dataset or not dataset.sizes["step"]:
        return None
    held_out = f"{name}_held_out"
    values = dataset[held_out if held_out in dataset else name]
    axis = next(str(dim) for dim in values.dims if dim != "step")
    last = values.isel(step=-1).values
    order = np.argsort(-np.nan_to_num(last, nan=-np.inf), kind="stable")
    if is_key in dataset:
        key = dataset[is_key].isel(step=-1).values.astype(bool)
        order = [i for i in order if key[i]] or order[:3]
    chosen = order[:MOST_IRREPS]
    colors = sns.color_palette("colorblind", len(chosen)).as_hex()
    lines = [
        Line(str(values[axis].values[i]), values.isel({axis: i}), color)
        for i, color in zip(chosen, colors, strict=True)
    ]
    if threshold in dataset:
        limit = dataset[threshold]
        limit = limit.isel({axis: chosen}).max(axis) if axis in limit.dims else limit
        lines.append(Line("highest threshold", limit, QUIET, "--"))
    return curves(title, "cosine similarity, held out [1]", lines, phases, zero=True)
