"""Figures of causal evidence, the idealized network, single circles of the embedding, and certified accuracy."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

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
    BROWN,
    GRAY,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    styled,
)

__all__ = ["causal_evidence", "certified_accuracy", "circles_alone", "idealized_network"]

PROOF_COLORS = (BROWN, ORANGE, GREEN, PURPLE, BLUE)


def causal_evidence(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw necessity and sufficiency of the key structure, with random structure as a control."""
    names = {
        "causal_score": ("score", INK, "-"),
        "necessity": ("necessity", PURPLE, "-"),
        "necessity_control": ("necessity, control", PURPLE, ":"),
        "sufficiency": ("sufficiency", GREEN, "-"),
        "sufficiency_control": ("sufficiency, control", GREEN, ":"),
    }
    lines = lines_of(dataset, names)
    return curves("Causal evidence", "share of chance loss [1]", lines, phases, zero=True, shares=True)


def idealized_network(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the accuracy of the idealized network and its agreement with the real network."""
    names = {
        "idealized_accuracy": ("accuracy", BLUE, "-"),
        "idealized_agreement": ("agreement", ORANGE, "-"),
        "idealized_fve": ("logits explained", GREEN, "-"),
        "idealized_certified": ("margin above error", PURPLE, "-"),
    }
    return curves("Idealized network", "share [1]", lines_of(dataset, names), phases, shares=True, marks=True)


@styled()
def circles_alone(dataset: xr.Dataset) -> Figure | None:
    """Draw the template fits and the accuracy of each single circle of the embedding, at the last checkpoint."""
    names = {
        "circle_clock_fve": ("clock template", BLUE),
        "circle_pizza_fve": ("pizza template", ORANGE),
        "circle_accuracy": ("accuracy", GREEN),
    }
    if "circle_accuracy" not in dataset or not dataset.sizes["step"]:
        return None
    last = dataset.isel(step=-1)
    last = last.isel(circle=np.flatnonzero(np.isfinite(last["circle_accuracy"].values)))
    if not last.sizes["circle"]:
        return None
    figure, axes = small([label for label, _ in names.values()])
    at = np.arange(last.sizes["circle"])
    for i, (name, (label, color)) in enumerate(names.items()):
        if name in last:
            axes.bar(at + 0.27 * (i - 1), last[name].values, width=0.25, color=color, label=label, linewidth=0)
    frequencies = last["circle_frequency"].values if "circle_frequency" in last else [0] * len(at)
    pairs = zip(last["circle"].values, frequencies, strict=True)
    ticks = [f"{i}\nk {k}" if k else str(i) for i, k in pairs]
    axes.set_xticks(at, ticks)
    axes.axhline(0, color=GRAY, linewidth=0.8, zorder=0)
    axes.set(title="Single circles of the embedding", xlabel="circle and its frequency", ylabel="share [1]")
    axes.set_ylim(max(axes.get_ylim()[0], -1.04), 1.04)
    legend_below(figure, axes)
    return figure


def certified_accuracy(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Draw the share of answers that are proven correct, by the number of directions in the proof."""
    if "certified_share" not in dataset:
        return None
    shares = dataset["certified_share"]
    ranks = shares["proof_rank"].values
    lines = [Line("accuracy", dataset["true_share"], INK, "--")]
    lines += [
        Line(f"proven, {rank} directions" if rank else "proven, keys only", shares.sel(proof_rank=rank), color)
        for rank, color in zip(ranks, PROOF_COLORS, strict=False)
    ]
    return curves("Certified accuracy", "share of the examples [1]", lines, phases, shares=True, marks=True)
