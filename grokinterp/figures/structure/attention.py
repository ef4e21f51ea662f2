"""Figures of attention patterns at selected checkpoints, and of entropy and correlation of the heads."""

from collections.abc import Sequence

import xarray as xr
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from grokinterp.figures.heatmaps import Heat, head_names, heatmap, largest, name_row, over_steps, table, thin
from grokinterp.figures.series import (
    Line,
    Phases,
    curves,
    has,
)
from grokinterp.figures.style import (
    BLUE,
    DIVERGING,
    GRAY,
    GREEN,
    ORANGE,
    PURPLE,
    SEQUENTIAL,
    blank,
    color_bar,
    place,
    styled,
)

__all__ = ["attention", "attention_by_position", "head_correlation", "head_entropy", "prefix_matching"]

MOST_HEADS = 8

MOST_ROWS = 16
"""Largest number of heads, over all layers, in one table."""

MOST_NAMED = 32
"""Largest number of heads in the figures of entropy and correlation."""

Steps = Sequence[int]


@styled()
def attention(dataset: xr.Dataset, steps: Steps) -> Figure | None:
    """Draw the attention to a over all pairs, with a column for each head and a row for each step.

    Pairs for which a ∘ b is not defined are gray.
    """
    if "attention_to_a" not in dataset:
        return None
    heads = dataset["head"].values[:MOST_HEADS]
    side = min((8.1 + 0.2) / max(len(heads), 1) - 0.2, 2.6)
    figure = blank(10.0, (side + 0.45) * len(steps) + 0.4)
    for i, step in enumerate(steps):
        row = [place(figure, 0.85 + (side + 0.2) * j, 0.3 + (side + 0.45) * i, side, side) for j in range(len(heads))]
        for axes, head in zip(row, heads, strict=True):
            values, every = thin(dataset["attention_to_a"].sel(step=step, head=head), "a", "b")
            image = heatmap(axes, values.transpose("b", "a").values, Normalize(0, 1), SEQUENTIAL, every)
            axes.set_title(_head_title(dataset, step, int(head)))
            axes.tick_params(labelleft=axes is row[0], labelbottom=i == len(steps) - 1)
            axes.set_xlabel("operand a" if i == len(steps) - 1 else "")
        name_row(row[0], step, "operand b")
        bar = place(figure, 0.85 + (side + 0.2) * len(heads) - 0.05, 0.3 + (side + 0.45) * i, 0.12, side)
        color_bar(bar, image, "attention to a [1]")
    return figure


@styled()
def attention_by_position(dataset: xr.Dataset, steps: Steps) -> Figure | None:
    """Draw the mean attention to every position, with a row for each head of the last layers and a column per step."""
    if "attention_mean" not in dataset:
        return None
    names, mean = last_heads(dataset["attention_mean"])
    width, height = min((8.1 + 0.3) / len(steps) - 0.3, 3.6), max(0.2 * len(names), 1.2)
    figure = blank(10.0, height + 0.95)
    row = [place(figure, 0.85 + (width + 0.3) * i, 0.4, width, height) for i in range(len(steps))]
    norm = Normalize(0, largest(mean.sel(step=list(steps)).values))
    for axes, step in zip(row, steps, strict=True):
        image = heatmap(axes, mean.sel(step=step).values, norm, SEQUENTIAL)
        axes.set(title=f"step {step}", xlabel="position", aspect="auto")
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(labelleft=axes is row[0])
    row[0].set_ylabel("layer.head")
    bar = place(figure, 0.85 + (width + 0.3) * len(steps) - 0.15, 0.4, 0.12, height)
    color_bar(bar, image, "attention [1]")
    return figure


def head_entropy(dataset: xr.Dataset) -> Figure | None:
    """Draw the attention entropy of every head over the checkpoints."""
    if not has(dataset, "attention_entropy"):
        return None
    rows = dataset["attention_entropy"].stack(row=("layer", "head"), create_index=False)
    names = head_names(rows)
    rows = rows.drop_vars(("layer", "head")).assign_coords(row=names).isel(row=slice(-MOST_NAMED, None))
    return over_steps([Heat("Entropy of attention", rows, "entropy [nats]")], "layer.head")


def head_correlation(dataset: xr.Dataset) -> Figure | None:
    """Draw the correlation between the attention of the last layer's heads at the last checkpoint."""
    if not has(dataset, "head_correlation"):
        return None
    heads = slice(MOST_NAMED)
    values = dataset["head_correlation"].isel(step=-1, layer=-1, head=heads, other_head=heads)
    values = values.transpose("head", "other_head")
    return table(values, "Correlation of the heads' attention", "correlation [1]", DIVERGING, Normalize(-1, 1))


def prefix_matching(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the prefix-matching score of the strongest heads over the checkpoints, and that of uniform attention."""
    if not has(dataset, "prefix_matching"):
        return None
    rows = dataset["prefix_matching"].stack(row=("layer", "head"), create_index=False).transpose("row", "step")
    strongest, names = rows.isel(step=-1).argsort().values[::-1], head_names(rows)
    lines = [
        Line(f"head {names[i]}", rows.isel(row=i), color)
        for i, color in zip(strongest, (BLUE, ORANGE, GREEN, PURPLE), strict=False)
    ]
    lines.append(Line("uniform attention", dataset["prefix_matching_chance"], GRAY, "--"))
    return curves("Prefix matching", "attention [1]", lines, phases, shares=True, marks=True)


def last_heads(mean: xr.DataArray) -> tuple[list[str], xr.DataArray]:
    """Return ``layer.head`` names and mean attention [step, row, position] of the last MOST_ROWS heads."""
    rows = mean.stack(row=("layer", "head"), create_index=False).transpose("step", "row", "position")
    rows = rows.isel(row=slice(-MOST_ROWS, None))
    return head_names(rows), rows.drop_vars(("layer", "head"))


def _head_title(dataset: xr.Dataset, step: int, head: int) -> str:
    if "attention_frequency" not in dataset:
        return f"head {head}"
    at = dataset.sel(step=step, head=head)
    return f"head {head}: k = {int(at['attention_frequency'])}, {float(at['attention_fve']):.0%}"
