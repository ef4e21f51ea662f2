"""Figures of numerical health: softmax collapse, logits and margins, and alignment."""

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
)

__all__ = ["alignment", "alignment_by_parameter", "logit_magnitude", "logit_margin", "softmax_collapse"]

SPLIT_COLORS = {"train": BLUE, "test": ORANGE, "all": INK}


def softmax_collapse(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the shares of training examples for which a softmax loss exhausts the floating-point precision."""
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
    """Draw the largest and the mean absolute logit, and the root mean square of the logits, on all examples."""
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
    """Draw the cosines of the gradient and of the applied update with the weights, over all parameters."""
    names = {"gradient_weight_cosine_total": "raw gradient", "update_weight_cosine_total": "applied update"}
    lines = [
        Line(label, dataset[name], color)
        for (name, label), color in zip(names.items(), (ORANGE, BLUE), strict=True)
        if name in dataset
    ]
    return curves("Alignment with all weights", "cosine [1]", lines, phases, zero=True)


def alignment_by_parameter(dataset: xr.Dataset) -> Figure | None:
    """Draw the cosines of the gradient and of the applied update with each parameter over the checkpoints."""
    names = {"gradient_weight_cosine": "Raw gradient", "update_weight_cosine": "Applied update"}
    heats = [
        Heat(title, dataset[name], "cosine [1]", DIVERGING, Normalize(-1, 1))
        for name, title in names.items()
        if name in dataset
    ]
    return over_steps(heats, "parameter")
