"""Figures of the inside of the network: representations, attribution, ablation, patching, grafts, and pruning."""

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from grokinterp.figures.heatmaps import Heat, heatmap, heats_of, largest, log_norm, over_steps, table, thin
from grokinterp.figures.series import (
    Line,
    Phases,
    curves,
    has,
    log_axis,
)
from grokinterp.figures.style import (
    BLUE,
    DIVERGING,
    GRAY,
    GREEN,
    ORANGE,
    blank,
    color_bar,
    place,
    styled,
)
from grokinterp.numbers import compact

__all__ = [
    "ablation",
    "activation_statistics",
    "class_cosine",
    "class_matrix",
    "class_probes",
    "faithful_subnetwork",
    "grafts",
    "logit_attribution",
    "neuron_pruning",
    "patching",
    "representations",
    "token_attribution",
]

MOST_POSITIONS = 9

MOST_BARS = 24

ORDER_COLORS = {"lowest IPR first": BLUE, "highest IPR first": ORANGE, "random": GRAY}


def representations(dataset: xr.Dataset) -> Figure | None:
    """Draw the separation of the classes at every hook, and the R² of linear probes for the waves of the answer."""
    heats = heats_of(dataset, {"class_separation_at": ("Class separation", "share of variance [1]")})
    if "frequency_probe_r2" in dataset:
        waves = dataset["frequency_probe_r2"].mean(("key", "axis"))  # without NaN: k = n/2 has no sine
        heats.append(Heat("Waves of the answer (linear probe)", waves.clip(0, 1), "R² [1]"))
    return over_steps([heat._replace(norm=Normalize(0, 1)) for heat in heats], "hook")


def class_probes(dataset: xr.Dataset) -> Figure | None:
    """Draw the held-out accuracy of a linear probe for the class at every hook."""
    titles = {
        "class_probe_accuracy": ("Class (linear probe)", "accuracy [1]"),
        "class_probe_unseen_accuracy": ("Class, unseen examples", "accuracy [1]"),
    }
    return over_steps(heats_of(dataset, titles, norm=Normalize(0, 1)), "hook")


def activation_statistics(dataset: xr.Dataset) -> Figure | None:
    """Draw the effective rank of the activations at every hook, and the share of constant features."""
    titles = {
        "activation_effective_rank": ("Effective rank", "effective rank [1]"),
        "dead_share": ("Constant features", "share [1]"),
    }
    heats = heats_of(dataset, titles)
    heats = [heat._replace(norm=Normalize(0, 1)) if heat.values.name == "dead_share" else heat for heat in heats]
    return over_steps(heats, "hook")


@styled()
def class_matrix(dataset: xr.Dataset) -> Figure | None:
    """Draw cosines between the classes' examples, and between their centered means, at the last checkpoint."""
    titles = {"class_cosine_matrix": "Examples", "centroid_cosine": "Centered class means"}
    shown = [name for name in titles if has(dataset, name)]
    if not shown:
        return None
    figure = blank(10.0, 3.95)
    for i, name in enumerate(shown):
        values, every = thin(dataset[name].isel(step=-1), "class", "other_class")
        axes = place(figure, 0.85 + 4.7 * i, 0.3, 3.1, 3.1)
        image = heatmap(axes, values.transpose("other_class", "class").values, Normalize(-1, 1), DIVERGING, every)
        axes.set(title=titles[name], xlabel="class", ylabel="other class")
        color_bar(place(figure, 4.05 + 4.7 * i, 0.3, 0.12, 3.1), image, "cosine [1]")
    return figure


def class_cosine(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the mean cosine of the unembedding's input within and between classes."""
    names = {"class_cosine_within_mean": "same class", "class_cosine_between": "different classes"}
    lines = [
        Line(label, dataset[name], color)
        for (name, label), color in zip(names.items(), (GREEN, GRAY), strict=True)
        if name in dataset
    ]
    return curves("Representations by class", "mean cosine similarity [1]", lines, phases, zero=True)


def logit_attribution(dataset: xr.Dataset, *, unit: str = "nats") -> Figure | None:
    """Draw the contribution of each component to the correct logit over the checkpoints."""
    if not has(dataset, "component_logit"):
        return None
    values = dataset["component_logit"]
    reach = largest(values.values)
    heat = Heat("Part of the correct logit", values, f"logit [{unit}]", DIVERGING, Normalize(-reach, reach))
    return over_steps([heat], "component")


def token_attribution(dataset: xr.Dataset, phases: Phases = (), *, unit: str = "nats") -> Figure | None:
    """Draw the integrated gradients of the correct logit for the embedding at every position."""
    if "position_attribution" not in dataset:
        return None
    values = dataset["position_attribution"].isel(position=slice(MOST_POSITIONS))
    colors = sns.color_palette("colorblind", values.sizes["position"]).as_hex()
    lines = [
        Line(f"position {position}", values.sel(position=position), color)
        for position, color in zip(values["position"].values, colors, strict=True)
    ]
    return curves("Attribution to the tokens", f"attribution [{unit}]", lines, phases, zero=True, marks=True)


@styled()
def ablation(dataset: xr.Dataset, *, unit: str = "nats") -> Figure | None:
    """Draw the increase of the loss without each head and without each neuron, at the last checkpoint."""
    draws = {"head_ablation_loss": _draw_heads, "neuron_ablation_loss": _draw_neurons}
    shown = [name for name in draws if has(dataset, name)]
    if not shown:
        return None
    figure = blank(10.0 if len(shown) > 1 else 5.1, 2.95)
    for i, name in enumerate(shown):
        axes = place(figure, 0.75 + 4.95 * i, 0.3, 4.1, 2.1)
        draws[name](axes, dataset[name].isel(step=-1))
        axes.axhline(0, color=GRAY, linewidth=0.8, zorder=0)
        axes.set_ylabel(f"increase of the loss [{unit}]")
        axes.yaxis.set_label_coords(-0.52 / 4.1, 0.5)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _position: compact(value)))
    return figure


def _draw_heads(axes: Axes, values: xr.DataArray) -> None:
    heads = values.stack(row=("layer", "head"), create_index=False)
    names = [f"{layer}.{head}" for layer, head in zip(heads["layer"].values, heads["head"].values, strict=True)]
    axes.bar(range(len(names)), heads.values, color=BLUE, width=0.7, linewidth=0)
    every = -(-len(names) // MOST_BARS)
    axes.set_xticks(range(0, len(names), every), names[::every])
    axes.set(title="Single heads ablated", xlabel="layer.head")


def _draw_neurons(axes: Axes, values: xr.DataArray) -> None:
    ordered = np.sort(values.values)[::-1]
    axes.fill_between(range(1, len(ordered) + 1), ordered, color=ORANGE, alpha=0.35, linewidth=0, step="mid")
    axes.step(range(1, len(ordered) + 1), ordered, color=ORANGE, where="mid")
    axes.set(title="Single neurons of the last layer ablated", xlabel="neuron, sorted by effect")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlim(1, max(len(ordered), 2))


def patching(dataset: xr.Dataset) -> Figure | None:
    """Draw the share of the logit difference that each patched activation restores, at the last checkpoint."""
    if not has(dataset, "patching_effect"):
        return None
    values = dataset["patching_effect"].isel(step=-1).transpose("patch_site", "position")
    norm = Normalize(-1, 1)
    return table(values.rename(patch_site="site"), "Logit difference restored", "share [1]", DIVERGING, norm)


def grafts(dataset: xr.Dataset, *, unit: str = "nats") -> Figure | None:
    """Draw the loss of each checkpoint with a final part, and of the final network with an earlier part."""
    titles = {
        "graft_loss": ("Checkpoint with the final part", f"loss [{unit}]"),
        "graft_back_loss": ("Final network with the checkpoint's part", f"loss [{unit}]"),
    }
    heats = heats_of(dataset, titles)
    if not heats or dataset.sizes["step"] < 2:  # the only checkpoint is the final one
        return None
    norm = log_norm(*(heat.values for heat in heats))
    return over_steps([heat._replace(norm=norm) for heat in heats], "part")


@styled()
def neuron_pruning(dataset: xr.Dataset, *, unit: str = "nats") -> Figure | None:
    """Draw accuracy and loss of the last checkpoint as neurons are removed in three orders."""
    if not has(dataset, "pruned_accuracy"):
        return None
    last = dataset.isel(step=-1)
    figure = blank(10.0, 3.3)
    panels = (("pruned_accuracy", "Accuracy", "share correct [1]"), ("pruned_loss", "Loss", f"loss [{unit}]"))
    for i, (name, title, label) in enumerate(panels):
        axes = place(figure, 0.75 + 4.95 * i, 0.3, 4.1, 2.1)
        _draw_pruning(axes, last[name])
        axes.set(title=f"{title} after pruning neurons", xlabel="share of neurons removed [1]")
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
    """Draw the number of neurons that reach the whole network's accuracy, and that reproduce its answers."""
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
