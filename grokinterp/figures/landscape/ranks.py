"""Figures of the singular values and the effective rank of the weight matrices."""

import re
from collections.abc import Sequence

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.figure import Figure

from grokinterp.figures.series import Line, Phases, curves
from grokinterp.figures.style import SEQUENTIAL, blank, place, styled

__all__ = ["effective_rank", "singular_values"]

CIRCUIT = re.compile(r"(QK|OV)\.\d+")
MOST_MATRICES = 10


def effective_rank(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the effective rank of the weight matrices, and its mean over the circuits of the heads."""
    if "effective_rank" not in dataset:
        return None
    names = [str(name) for name in dataset["matrix"].values]
    plain, circuits = dense(names), sorted({name.split(".")[0] for name in names if CIRCUIT.fullmatch(name)})
    colors = sns.color_palette("colorblind", len(plain) + len(circuits)).as_hex()
    rank = dataset["effective_rank"]
    lines = [Line(name, rank.sel(matrix=name), color) for name, color in zip(plain, colors, strict=False)]
    for circuit, color in zip(circuits, colors[len(plain) :], strict=True):
        heads = [name for name in names if name.startswith(f"{circuit}.")]
        lines.append(Line(f"{circuit}, mean of heads", rank.sel(matrix=heads).mean("matrix"), color, "--"))
    return curves("Effective rank", "effective rank [1]", lines, phases)


@styled()
def singular_values(dataset: xr.Dataset, steps: Sequence[int]) -> Figure | None:
    """Draw the largest singular values of the weight matrices at selected steps."""
    if "singular_value" not in dataset or not steps:
        return None
    names = [str(name) for name in dataset["matrix"].values]
    matrices = dense(names)[:5] or names[:5]
    figure = blank(10.0, 2.75)
    row = [place(figure, 0.65 + 1.9 * i, 0.3, 1.5, 1.55) for i in range(len(matrices))]
    colors = sns.color_palette(SEQUENTIAL, len(steps)).as_hex()
    for axes, matrix in zip(row, matrices, strict=True):
        for step, color in zip(steps, colors, strict=True):
            values = dataset["singular_value"].sel(step=step, matrix=matrix).values
            axes.plot(np.arange(1, len(values) + 1), values, ".-", color=color, label=f"step {step}", linewidth=1)
        axes.set(title=matrix, xlabel="index, largest first")
        axes.set_ylim(bottom=0)
    row[0].set_ylabel("singular value [1]")
    handles, labels = row[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=min(len(labels), 6))
    return figure


def dense(names: Sequence[str]) -> list[str]:
    """Return the names of the first weight matrices, without the circuits of the heads (QK.0, OV.0, …)."""
    return [name for name in names if not CIRCUIT.fullmatch(name)][:MOST_MATRICES]
