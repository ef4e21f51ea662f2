"""Figures of gradients, updates, the weight trajectory, and the norms of the weights."""

from collections.abc import Mapping

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.figure import Figure

from grokinterp.figures.series import (
    Line,
    Phases,
    bars,
    curves,
    finish,
    lines_of,
    small,
)
from grokinterp.figures.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    styled,
)

__all__ = [
    "gradient_noise",
    "gradient_shares",
    "logit_bounds",
    "norm_products",
    "update_directions",
    "weight_decay_share",
    "weight_directions",
    "weight_distances",
]

MOST_PARTS = 8

GRADIENT, SHARE = "Gradient by part of the model", "share of squared norm [1]"

NORM_COLORS = {"L1_inf": BLUE, "frobenius": ORANGE, "spectral": GREEN, "path": PURPLE}


@styled()
def gradient_shares(dataset: xr.Dataset) -> Figure | None:
    """Draw the share of each part of the model in the squared gradient norm, stacked, with small parts combined."""
    if "gradient_share_of_layer" not in dataset or not np.isfinite(dataset["gradient_share_of_layer"]).any():
        return None
    values = dataset["gradient_share_of_layer"].transpose("part", "step").fillna(0)
    names = [str(name) for name in values["part"].values]
    shown = sorted(np.argsort(-values.values.mean(1), kind="stable")[:MOST_PARTS].tolist())
    rows, labels = [values.values[i] for i in shown], [names[i] for i in shown]
    if len(shown) < len(names):
        rows.append(np.delete(values.values, shown, axis=0).sum(0))
        labels.append("all others")
    colors = sns.color_palette("colorblind", len(labels)).as_hex()
    if dataset.sizes["step"] == 1:
        return bars(
            GRADIENT, SHARE, [(name, float(row[0]), c) for name, row, c in zip(labels, rows, colors, strict=True)]
        )
    figure, axes = small(labels)
    axes.stackplot(values["step"].values, rows, labels=labels, colors=colors, linewidth=0)
    axes.set_ylim(0, 1)
    return finish(figure, axes, GRADIENT, SHARE, (), values["step"].values)  # fmt: skip


def update_directions(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the radial and the tangential component of the applied update."""
    names = {"update_tangential": ("tangential", BLUE), "update_radial": ("radial", ORANGE)}
    return curves("Applied update", "L2 length [1]", lines_of(dataset, names), phases, zero=True)


def weight_decay_share(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the share of weight decay in the applied update."""
    names = {"weight_decay_share": ("decoupled weight decay", PURPLE)}
    return curves("Weight decay in the update", "share of the update [1]", lines_of(dataset, names), phases, zero=True)


def gradient_noise(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the squared norm of the mean gradient over the variance of the example gradients."""
    names = {"gradient_snr_total": ("all parameters", INK)}
    return curves("Gradient signal-to-noise ratio", "squared norm over variance [1]", lines_of(dataset, names), phases,
                  log=True, marks=True)  # fmt: skip


def weight_distances(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the L2 distance of the weights from those of the first and of the last checkpoint."""
    names = {
        "distance_from_initial": ("from the first checkpoint", BLUE),
        "distance_to_final": ("to the last checkpoint", ORANGE),
    }
    return curves("Distances of the weights", "L2 distance [1]", path_lines(dataset, names), phases, zero=True)


def weight_directions(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the cosine of successive updates, and of the weights with the first checkpoint."""
    names = {
        "successive_update_cosine": ("successive updates", GREEN),
        "cosine_to_initial": ("weights and first checkpoint", BLUE),
    }
    return curves("Directions", "cosine [1]", path_lines(dataset, names), phases, zero=True)


def logit_bounds(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the norm-based upper bounds on the logits and the largest actual logit."""
    if "logit_bound" not in dataset:
        return None
    lines = [*_by_norm(dataset["logit_bound"]), Line("largest logit", dataset["largest_logit"], INK, "--")]
    return curves("Bounds on the logits", "decimal logarithm [1]", lines, phases, marks=True)


def norm_products(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the products of the weight matrices' norms and, dashed, these products divided by the margin."""
    if "norm_product" not in dataset:
        return None
    lines = _by_norm(dataset["norm_product"])
    divided = _by_norm(dataset["product_per_margin"])
    lines += [line._replace(label=f"{line.label} / margin", style="--") for line in divided]
    return curves("Products of norms", "decimal logarithm [1]", lines, phases, marks=True)


def path_lines(dataset: xr.Dataset, names: Mapping[str, tuple[str, ...]]) -> list[Line]:
    """Return curves that need two checkpoints; none for a single checkpoint, which is both ends of the trajectory."""
    return lines_of(dataset, names) if dataset.sizes.get("step", 0) > 1 else []


def _by_norm(values: xr.DataArray) -> list[Line]:
    """Return a curve for each norm."""
    return [
        Line(name.replace("_inf", ",∞"), values.sel(norm=name), color)
        for name, color in NORM_COLORS.items()
        if name in values["norm"].values
    ]
