"""Sparse structure and bounds: which neurons count, what was learned when, what the norms and a proof allow."""

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from grokinterp.figures.heatmaps import Heat, over_steps, short, table
from grokinterp.figures.series import (
    STEP,
    Line,
    Phases,
    curves,
    draw_phases,
    legend_below,
    log_axis,
    small,
    step_limits,
    step_ticks,
)
from grokinterp.figures.style import BLUE, BROWN, DIVERGING, GRAY, GREEN, INK, ORANGE, PURPLE, blank, place, styled

MOST_HEADS = 32
MOST_KEYS = 12
MOST_CURVES = 5
ORDER_COLORS = {"lowest IPR first": BLUE, "highest IPR first": ORANGE, "random": GRAY}
NORM_COLORS = {"L1_inf": BLUE, "frobenius": ORANGE, "spectral": GREEN, "path": PURPLE}
PROOF_COLORS = (BROWN, ORANGE, GREEN, PURPLE, BLUE)


@styled()
def learning_order(order: xr.Dataset, phases: Phases = (), *, last: int = 0) -> Figure | None:
    """When every key frequency or representation had half of its last similarity, and from when it was key.

    Args:
        order: a row for each, as ``phases.learning_order`` gives them.
        phases: drawn as bands.
        last: the last step of the run.
    """
    if not order.sizes.get("learned"):
        return None
    rows = order.isel(learned=slice(MOST_KEYS))
    names = [short(str(name)) for name in rows["learned"].values]
    left = 0.45 + 0.073 * max(map(len, names))
    height = max(0.26 * len(names), 1.0)
    figure = blank(5.1, height + 1.1)
    axes = place(figure, left, 0.3, 4.8 - left, height)
    at = np.arange(len(names))
    axes.hlines(at, rows["half_from"].values, rows["key_from"].values, color=GRAY, linewidth=1.2)
    axes.plot(rows["half_from"].values, at, "o", color=BLUE, label="half of its last similarity")
    axes.plot(rows["key_from"].values, at, "D", color=ORANGE, markersize=4.5, label="key from here on")
    draw_phases(axes, phases)
    axes.set_yticks(at, names)
    axes.set(title="Order of learning", xlabel=STEP, ylim=(len(names) - 0.5, -0.5))
    axes.set_ylabel("learned")
    step_limits(axes, np.array([0, max(last, int(rows["key_from"].max()))]))
    step_ticks(axes)
    legend_below(figure, axes)
    return figure


@styled()
def neuron_participation(dataset: xr.Dataset) -> Figure | None:
    """Inverse participation ratios of all neurons, in descending order, a curve for some of the checkpoints."""
    if not _has(dataset, "neuron_ipr"):
        return None
    values = dataset["neuron_ipr"]
    chosen = np.unique(np.linspace(0, values.sizes["step"] - 1, MOST_CURVES).round().astype(int))
    figure, axes = small([f"step {step}" for step in values["step"].values[chosen]])
    for i, color in zip(chosen, sns.color_palette("viridis_r", len(chosen)), strict=True):
        ordered = -np.sort(-values.isel(step=i).values)  # NaN last
        name = f"step {values['step'].values[i]}"
        axes.step(range(1, len(ordered) + 1), ordered, color=color, where="mid", label=name)
    axes.set(title="Inverse participation ratio", xlabel="neuron, by its ratio", ylim=(-0.04, 1.04))
    axes.set_ylabel("IPR of the input weights [1]")
    axes.set_xlim(1, max(values.sizes["neuron"], 2))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    legend_below(figure, axes)
    return figure


@styled()
def neuron_pruning(dataset: xr.Dataset, *, unit: str = "nats") -> Figure | None:
    """Accuracy and loss of the last checkpoint as its neurons are removed, in three orders."""
    if not _has(dataset, "pruned_accuracy"):
        return None
    last = dataset.isel(step=-1)
    figure = blank(10.0, 3.3)
    panels = (("pruned_accuracy", "Accuracy", "share correct [1]"), ("pruned_loss", "Loss", f"loss [{unit}]"))
    for i, (name, title, label) in enumerate(panels):
        axes = place(figure, 0.75 + 4.95 * i, 0.3, 4.1, 2.1)
        _draw_pruning(axes, last[name])
        axes.set(title=f"{title} without a share of the neurons", xlabel="share of the neurons removed [1]")
        axes.set_ylabel(label)
        axes.yaxis.set_label_coords(-0.52 / 4.1, 0.5)
        if name == "pruned_loss" and (last[name] > 0).any():
            log_axis(axes)
        else:
            axes.set_ylim(-0.04, 1.04)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=3, columnspacing=1.4)
    return figure


def _draw_pruning(axes: Axes, values: xr.DataArray) -> None:
    for split, style in (("test", "-"), ("train", ":")):
        for order, color in ORDER_COLORS.items():
            curve = values.sel(split=split, pruning_order=order)
            if np.isfinite(curve).any():
                axes.plot(curve["pruned_share"].values, curve.values, style, color=color, label=f"{order}, {split}")


def faithful_subnetwork(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """How many neurons reach the whole network's accuracy, and how many give its answers."""
    if "subnetwork_size" not in dataset:
        return None
    size, control = dataset["subnetwork_size"], dataset["subnetwork_size_control"]
    lines = [
        Line("test accuracy", size.sel(split="test"), ORANGE),
        Line("train accuracy", size.sel(split="train"), BLUE),
        Line("all answers", dataset["faithful_size"], GREEN),
        Line("test accuracy, random order", control.sel(split="test"), ORANGE, ":"),
    ]
    return curves("Smallest faithful subnetwork", "neurons [1]", lines, phases, zero=True, marks=True)


def head_entropy(dataset: xr.Dataset) -> Figure | None:
    """How diffusely every head attends, over the checkpoints."""
    if not _has(dataset, "attention_entropy"):
        return None
    rows = dataset["attention_entropy"].stack(row=("layer", "head"), create_index=False)
    names = _head_names(rows)
    rows = rows.drop_vars(("layer", "head")).assign_coords(row=names).isel(row=slice(-MOST_HEADS, None))
    return over_steps([Heat("Entropy of attention", rows, "entropy [nats]")], "layer.head")


def head_correlation(dataset: xr.Dataset) -> Figure | None:
    """Which heads of the last layer react to the examples alike, at the last checkpoint."""
    if not _has(dataset, "head_correlation"):
        return None
    heads = slice(MOST_HEADS)
    values = dataset["head_correlation"].isel(step=-1, layer=-1, head=heads, other_head=heads)
    values = values.transpose("head", "other_head")
    return table(values, "Heads that attend alike", "correlation [1]", DIVERGING, Normalize(-1, 1))


def logit_bounds(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """The size that no logit can exceed by the norms of the weights, and that of the largest there is."""
    if "logit_bound" not in dataset:
        return None
    lines = [*_by_norm(dataset["logit_bound"]), Line("largest logit", dataset["largest_logit"], INK, "--")]
    return curves("Bounds on the logits", "decimal logarithm [1]", lines, phases, marks=True)


def norm_products(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Products of the weight matrices' norms, and, dashed, divided by the margin."""
    if "norm_product" not in dataset:
        return None
    lines = _by_norm(dataset["norm_product"])
    divided = _by_norm(dataset["product_per_margin"])
    lines += [line._replace(label=f"{line.label} / margin", style="--") for line in divided]
    return curves("Products of norms", "decimal logarithm [1]", lines, phases, marks=True)


def certified_accuracy(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """What share of the answers is proven to be correct, by the number of directions that the proof uses."""
    if "certified_share" not in dataset:
        return None
    shares = dataset["certified_share"]
    ranks = shares["proof_rank"].values
    lines = [Line("accuracy", dataset["true_share"], INK, "--")]
    lines += [
        Line(f"proven, {rank} directions" if rank else "proven, keys alone", shares.sel(proof_rank=rank), color)
        for rank, color in zip(ranks, PROOF_COLORS, strict=False)
    ]
    return curves("Certified accuracy", "share of the examples [1]", lines, phases, shares=True, marks=True)


def _by_norm(values: xr.DataArray) -> list[Line]:
    return [
        Line(name.replace("_inf", ",∞"), values.sel(norm=name), color)
        for name, color in NORM_COLORS.items()
        if name in values["norm"].values
    ]


def _head_names(rows: xr.DataArray) -> list[str]:
    return [f"{layer}.{head}" for layer, head in zip(rows["layer"].values, rows["head"].values, strict=True)]


def _has(dataset: xr.Dataset, name: str) -> bool:
    """Whether there is a finite value."""
    return name in dataset and bool(np.isfinite(dataset[name]).any())
