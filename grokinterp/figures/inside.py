"""Inside the network at few checkpoints: representations at every hook, attribution, ablation, patching, grafts."""

from collections.abc import Mapping

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from grokinterp.figures.heatmaps import Heat, log_norm, over_steps, table
from grokinterp.figures.series import Line, Phases, compact, curves
from grokinterp.figures.structure import heatmap, thin
from grokinterp.figures.style import BLUE, DIVERGING, GRAY, ORANGE, blank, color_bar, place, styled

MOST_POSITIONS = 9
MOST_BARS = 24


def representations(dataset: xr.Dataset) -> Figure | None:
    """How far the classes are apart at every hook, and how well a linear probe finds the key frequencies' waves."""
    heats = _heats(dataset, {"class_separation_at": ("Class separation", "share of variance [1]")})
    if "frequency_probe_r2" in dataset:
        waves = dataset["frequency_probe_r2"].mean(("key", "axis"))  # without NaN: k = n/2 has no sine
        heats.append(Heat("Waves of the answer, by a probe", waves.clip(0, 1), "R² [1]"))
    return over_steps([heat._replace(norm=Normalize(0, 1)) for heat in heats], "hook")


def class_probes(dataset: xr.Dataset) -> Figure | None:
    """How well a linear probe finds the class at every hook, on what it was not fitted on."""
    titles = {
        "class_probe_accuracy": ("Class, by a probe", "accuracy [1]"),
        "class_probe_unseen_accuracy": ("… on what was never trained on", "accuracy [1]"),
    }
    return over_steps(_heats(dataset, titles, norm=Normalize(0, 1)), "hook")


def activation_statistics(dataset: xr.Dataset) -> Figure | None:
    """How many directions the activations use, and how many features never vary."""
    titles = {
        "activation_effective_rank": ("Effective rank", "directions in use [1]"),
        "dead_share": ("Features that never vary", "share [1]"),
    }
    heats = _heats(dataset, titles)
    heats = [heat._replace(norm=Normalize(0, 1)) if heat.values.name == "dead_share" else heat for heat in heats]
    return over_steps(heats, "hook")


@styled()
def class_matrix(dataset: xr.Dataset) -> Figure | None:
    """Cosines between the classes at the last checkpoint: of their examples, and of their centered means."""
    titles = {"class_cosine_matrix": "Examples", "centroid_cosine": "Centered class means"}
    shown = [name for name in titles if _has(dataset, name)]
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


def logit_attribution(dataset: xr.Dataset, *, unit: str = "nats") -> Figure | None:
    """What each component adds to the right answer's logit, over the checkpoints."""
    if not _has(dataset, "component_logit"):
        return None
    values = dataset["component_logit"]
    heat = Heat("What adds to the right answer", values, f"logit [{unit}]", DIVERGING, _symmetric(values))
    return over_steps([heat], "component")


def token_attribution(dataset: xr.Dataset, phases: Phases = (), *, unit: str = "nats") -> Figure | None:
    """Integrated gradients of the right answer's logit on every position's embedding."""
    if "position_attribution" not in dataset:
        return None
    values = dataset["position_attribution"].isel(position=slice(MOST_POSITIONS))
    colors = sns.color_palette("colorblind", values.sizes["position"]).as_hex()
    lines = [
        Line(f"position {position}", values.sel(position=position), color)
        for position, color in zip(values["position"].values, colors, strict=True)
    ]
    return curves("What the tokens bring about", f"attribution [{unit}]", lines, phases, zero=True, marks=True)


@styled()
def ablation(dataset: xr.Dataset, *, unit: str = "nats") -> Figure | None:
    """How much the loss of the last checkpoint grows without one head, and without one neuron."""
    draws = {"head_ablation_loss": _draw_heads, "neuron_ablation_loss": _draw_neurons}
    shown = [name for name in draws if _has(dataset, name)]
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
    axes.set(title="Without one head", xlabel="layer.head")


def _draw_neurons(axes: Axes, values: xr.DataArray) -> None:
    ordered = np.sort(values.values)[::-1]
    axes.fill_between(range(1, len(ordered) + 1), ordered, color=ORANGE, alpha=0.35, linewidth=0, step="mid")
    axes.step(range(1, len(ordered) + 1), ordered, color=ORANGE, where="mid")
    axes.set(title="Without one neuron of the last layer", xlabel="neuron, by its effect")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set_xlim(1, max(len(ordered), 2))


def patching(dataset: xr.Dataset) -> Figure | None:
    """Share of the logit difference that one clean activation restores, by its place, at the last checkpoint."""
    if not _has(dataset, "patching_effect"):
        return None
    values = dataset["patching_effect"].isel(step=-1).transpose("patch_site", "position")
    norm = Normalize(-1, 1)
    return table(values.rename(patch_site="site"), "Restored by a clean activation", "share [1]", DIVERGING, norm)


def grafts(dataset: xr.Dataset, *, unit: str = "nats") -> Figure | None:
    """Loss of each checkpoint with one part of the final one, and of the final one with that part of the checkpoint."""
    titles = {
        "graft_loss": ("Checkpoint with the final part", f"loss [{unit}]"),
        "graft_back_loss": ("Final network with the part of then", f"loss [{unit}]"),
    }
    heats = _heats(dataset, titles)
    if not heats or dataset.sizes["step"] < 2:  # the only checkpoint is the final one
        return None
    norm = log_norm(*(heat.values for heat in heats))
    return over_steps([heat._replace(norm=norm) for heat in heats], "part")


def _heats(dataset: xr.Dataset, titles: Mapping[str, tuple[str, str]], *, norm: Normalize | None = None) -> list[Heat]:
    """Those of the variables that there are."""
    found = {name: titled for name, titled in titles.items() if _has(dataset, name)}
    return [Heat(title, dataset[name], label, norm=norm) for name, (title, label) in found.items()]


def _symmetric(values: xr.DataArray) -> Normalize:
    finite = np.abs(values.values[np.isfinite(values.values)])
    reach = float(finite.max(initial=0.0)) or 1.0
    return Normalize(-reach, reach)


def _has(dataset: xr.Dataset, name: str) -> bool:
    """Whether there is a finite value."""
    return name in dataset and bool(np.isfinite(dataset[name]).any())
