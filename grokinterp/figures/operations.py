"""Figures of tasks with many operands, several operations, or two groups that agree on the training examples."""

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.figure import Figure

from grokinterp.figures.groups import character_similarity
from grokinterp.figures.series import Line, Phases, curves, legend_below, small
from grokinterp.figures.style import BLUE, INK, ORANGE, styled

__all__ = ["branch_accuracy", "branch_evidence", "branch_similarity", "factor_power", "rival_groups"]

MOST_BRANCHES = 9


def branch_accuracy(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the test accuracy of each operation."""
    lines = branch_lines(dataset, "branch_accuracy", split="test")
    return curves("Test accuracy by operation", "accuracy [1]", lines, phases, shares=True)


def branch_similarity(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the similarity of each operation's logits with the characters of its key representations."""
    title = "Key representations by operation"
    return character_similarity(dataset, phases, "branch_similarity", "is_key_branch", "branch_threshold", title)


def branch_evidence(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the causal score of the key representations of each operation."""
    lines = branch_lines(dataset, "branch_causal_score")
    return curves("Causal score by operation", "share of chance loss [1]", lines, phases, zero=True, shares=True)


def rival_groups(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the share of the disputed pairs that are answered as in each of two groups."""
    if "disputed_accuracy" not in dataset:
        return None
    disputed = dataset["disputed_accuracy"]
    lines = [
        Line(f"disputed pairs, as in {name}", disputed.isel(rival=i), color)
        for i, (name, color) in enumerate(zip(disputed["rival"].values, (BLUE, ORANGE), strict=True))
    ]
    lines.append(Line("agreed pairs, held out", dataset["agreed_accuracy"], INK, "--"))
    return curves("Answers in each of two groups", "share of the pairs [1]", lines, phases, shares=True)


@styled()
def factor_power(dataset: xr.Dataset) -> Figure | None:
    """Draw the share of each operand's embedding at every representation, at the last checkpoint."""
    if "factor_power" not in dataset or not dataset.sizes["step"]:
        return None
    last = dataset["factor_power"].isel(step=-1)
    values, names = last.values, [str(name) for name in last["irrep"].values]
    figure, axes = small([f"operand {factor}" for factor in last["factor"].values])
    colors = sns.color_palette("colorblind", len(values)).as_hex()
    width = 0.8 / len(values)
    for i, (factor, row) in enumerate(zip(last["factor"].values, values, strict=True)):
        at = np.arange(len(row)) + width * (i - (len(values) - 1) / 2)
        axes.bar(at, row, width=width, color=colors[i], label=f"operand {factor}", linewidth=0)
    every = max(1, len(names) // 8)
    axes.set_xticks(range(0, len(names), every), names[::every], rotation=30 if len(names) > 4 else 0)
    axes.set(
        title="Embeddings of the operands", xlabel="representation", ylabel="share of variance [1]", ylim=(0, None)
    )
    legend_below(figure, axes)
    return figure


def branch_lines(dataset: xr.Dataset, name: str, **chosen: str) -> list[Line]:
    """Return a line for each operation, at most nine."""
    if name not in dataset:
        return []
    values = dataset[name].sel(chosen)
    names = [str(branch) for branch in values["branch"].values][:MOST_BRANCHES]
    colors = sns.color_palette("colorblind", len(names)).as_hex()
    return [
        Line(label, values.isel(branch=i), color) for i, (label, color) in enumerate(zip(names, colors, strict=True))
    ]
