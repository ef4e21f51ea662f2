"""Figures of numerical health: softmax collapse, logits and margins, alignment, ranks."""

import re
from collections.abc import Sequence

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from grokinterp.figures.heatmaps import Heat, over_steps
from grokinterp.figures.series import (
    Line,
    Phases,
    curves,
)
from grokinterp.figures.style import (
    BLUE,
    BROWN,
    DIVERGING,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    SEQUENTIAL,
    blank,
    place,
    styled,
)

SPLIT_COLORS = {"train": BLUE, "test": ORANGE, "all": INK}

CIRCUIT = re.compile(r"(QK|OV)\.\d+")

MOST_MATRICES = 10


def softmax_collapse(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the shares of training examples on which a softmax loss runs out of precision."""
    names = {
        "collapsed_share": "denominator is 1",
        "zero_loss_share": "loss is 0",
        "zero_gradient_share": "gradient is 0",
    }
    lines = [
        Line(f"{label}, {precision}", dataset[name].sel(precision=precision), color, style)
        for (name, label), color in zip(names.items(), (PURPLE, ORANGE, GREEN), strict=True)
        if name in dataset
        for precision, style in (("float32", "-"), ("float64", "--"))
    ]
    return curves("Softmax collapse, training examples", "share of examples [1]", lines, phases, limits=(-0.04, 1.04))


def logit_magnitude(dataset: xr.Dataset, phases: Phases = (), *, unit: str = "nats") -> Figure | None:
    """Draw the largest and the mean absolute logit, and their root mean square, on all examples."""
    names = {
        "logit_max_abs": "largest |logit|",
        "logit_mean_abs": "mean |logit|",
        "logit_scale": "scale, root mean square",
    }
    lines = [
        Line(label, dataset[name].sel(split="all"), color)
        for (name, label), color in zip(names.items(), (PURPLE, BLUE, BROWN), strict=True)
        if name in dataset
    ]
    return curves("Logit magnitude, all examples", f"logit [{unit}]", lines, phases, log=True)


def logit_margin(dataset: xr.Dataset, phases: Phases = (), *, unit: str = "nats") -> Figure | None:
    """Draw the mean of the correct logit minus the largest wrong logit."""
    lines = [
        Line(split, dataset["logit_margin"].sel(split=split), color)
        for split, color in SPLIT_COLORS.items()
        if "logit_margin" in dataset and split != "all"
    ]
    return curves("Logit margin: correct minus runner-up", f"mean margin [{unit}]", lines, phases, zero=True)


def alignment(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the cosine of gradient and applied update with the weights, over all parameters."""
    names = {"gradient_weight_cosine_total": "raw gradient", "update_weight_cosine_total": "applied update"}
    lines = [
        Line(label, dataset[name], color)
        for (name, label), color in zip(names.items(), (ORANGE, BLUE), strict=True)
        if name in dataset
    ]
    return curves("Alignment with the weights, all parameters", "cosine [1]", lines, phases, zero=True)


def alignment_by_parameter(dataset: xr.Dataset) -> Figure | None:
    """Draw the cosine of gradient and applied update with each parameter over the checkpoints."""
    names = {"gradient_weight_cosine": "Raw gradient", "update_weight_cosine": "Applied update"}
    heats = [
        Heat(title, dataset[name], "cosine [1]", DIVERGING, Normalize(-1, 1))
        for name, title in names.items()
        if name in dataset
    ]
    return over_steps(heats, "parameter")


def effective_rank(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the effective rank of the weight matrices, and its mean over the heads' circuits."""
    if "effective_rank" not in dataset:
        return None
    names = [str(name) for name in dataset["matrix"].values]
    plain, circuits = dense(names), sorted({name.split(".")[0] for name in names if CIRCUIT.fullmatch(name)})
    colors = sns.color_palette("colorblind", len(plain) + len(circuits)).as_hex()
    rank = dataset["effective_rank"]
    lines = [Line(_subscript(name), rank.sel(matrix=name), color) for name, color in zip(plain, colors, strict=False)]
    for circuit, color in zip(circuits, colors[len(plain) :], strict=True):
        heads = [name for name in names if name.startswith(f"{circuit}.")]
        lines.append(Line(f"{circuit}, mean of heads", rank.sel(matrix=heads).mean("matrix"), color, "--"))
    return curves("Effective rank", "directions in use [1]", lines, phases)


@styled()
def singular_values(dataset: xr.Dataset, steps: Sequence[int]) -> Figure | None:
    """Draw the largest singular values of the weight matrices at a few steps."""
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
        axes.set(title=_subscript(matrix), xlabel="index, largest first")
        axes.set_ylim(bottom=0)
    row[0].set_ylabel("singular value [1]")
    handles, labels = row[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=min(len(labels), 6))
    return figure


def dense(names: Sequence[str]) -> list[str]:
    """Return the names of the first weight matrices, without the heads' circuits (QK.0, OV.0, …)."""
    return [name for name in names if not CIRCUIT.fullmatch(name)][:MOST_MATRICES]


def _subscript(name: str) -> str:
    """Return ``W_in`` as mathematics, and other names unchanged.

    >>> _subscript("W_in"), _subscript("QK.0")
    ('$W_{in}$', 'QK.0')
    """
    return f"$W_{{{name[2:]}}}$" if name.startswith("W_") and name[2:].isalnum() else name
