"""What the network computes with: the verdict on its circuit, causal evidence, irreducible representations."""

from collections.abc import Sequence

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from grokinterp.figures.series import (
    STEP,
    Line,
    Phases,
    curves,
    draw_lines,
    draw_phases,
    legend_below,
    legend_beside,
    small,
    step_limits,
    step_ticks,
    whole_shares,
)
from grokinterp.figures.style import BLUE, BROWN, GRAY, GREEN, INK, ORANGE, PINK, PURPLE, QUIET, blank, place, styled

CIRCUIT_COLORS = {
    "clock": BLUE,
    "pizza": ORANGE,
    "mixed": PURPLE,
    "additive": BROWN,
    "irrep-based": GREEN,
    "memorizer": "#8a94a0",
    "none": "#e4e7eb",
}
"""What a network may compute with; every color is also named."""

EVIDENCE = {
    "gradient_symmetricity": ("gradient symmetricity", BLUE, "-"),
    "distance_irrelevance": ("distance irrelevance", ORANGE, "-"),
    "distance_irrelevance_runner_up": ("… to the runner-up", ORANGE, ":"),
    "circularity": ("circularity", GREEN, "-"),
}
TEMPLATES = {
    "clock_fve": ("clock template", BLUE, "-"),
    "pizza_fve": ("pizza template", ORANGE, "-"),
    "pizza_preference": ("pizza − clock, circles alone", GREEN, ":"),
}
LEFT, PLOT_INCHES = 0.75, 7.2  # as in the timeline
MOST_IRREPS = 9


@styled()
def circuit_verdict(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """A strip that says for every checkpoint what it computes with, and the curves that say why."""
    if "is_circuit" not in dataset or not dataset.sizes["step"]:
        return None
    panels = [
        (title, y_label, lines)
        for title, y_label, names in (
            ("Evidence", "share or cosine [1]", EVIDENCE),
            ("Fit of the logits", "variance explained [1]", TEMPLATES),
        )
        if (lines := _known(dataset, names))
    ]
    if dataset.sizes["step"] == 1:
        lines = [line for _, _, lines in panels for line in lines]
        return curves(f"Circuit: {verdicts(dataset)[0]}", "share or cosine [1]", lines, phases)
    figure = blank(10.0, 1.15 + 1.75 * len(panels))
    strip = place(figure, LEFT, 0.3, PLOT_INCHES, 0.32)
    rows = [place(figure, LEFT, 1.02 + 1.75 * i, PLOT_INCHES, 1.32) for i in range(len(panels))]
    draw_strip(strip, dataset["step"].values, verdicts(dataset))
    for axes, (title, y_label, lines) in zip(rows, panels, strict=True):
        draw_lines(axes, lines)
        draw_phases(axes, phases)
        whole_shares(axes)
        axes.axhline(0, color=GRAY, linewidth=0.8, zorder=0)
        axes.set(title=title, ylabel=y_label)
        axes.yaxis.set_label_coords(-0.52 / PLOT_INCHES, 0.5)
        legend_beside(axes)
    for axes in (strip, *rows):
        step_ticks(axes)
        step_limits(axes, dataset["step"].values)
        axes.tick_params(labelbottom=axes is [strip, *rows][-1])
    [strip, *rows][-1].set_xlabel(STEP)
    return figure


def verdicts(dataset: xr.Dataset) -> list[str]:
    """What each checkpoint computes with."""
    names, chosen = dataset["circuit"].values, dataset["is_circuit"].transpose("step", "circuit").values.astype(bool)
    return [str(names[row.argmax()]) if row.any() else "none" for row in chosen]


def draw_strip(axes: Axes, steps: np.ndarray, names: Sequence[str]) -> None:
    """Each checkpoint's color from half way to the one before until half way to the next."""
    middle = (steps[1:] + steps[:-1]) / 2
    borders = np.concatenate([steps[:1], middle, [max(steps[-1], steps[0] + 1)]])
    starts = [i for i, name in enumerate(names) if i == 0 or name != names[i - 1]]
    for start, stop in zip(starts, [*starts[1:], len(names)], strict=True):
        axes.axvspan(borders[start], borders[stop], color=_color(names[start]), linewidth=0)
    axes.set(title="Circuit", yticks=[], ylim=(0, 1))
    axes.set_ylabel("verdict", labelpad=18)
    axes.spines[:].set_visible(False)
    shown = [name for name in CIRCUIT_COLORS if name in names]
    patches = [Patch(color=_color(name), label=name) for name in shown]
    axes.legend(handles=patches, loc="center left", bbox_to_anchor=(1.01, 0.5), borderaxespad=0.0,
                ncols=2 if len(shown) > 2 else 1, columnspacing=0.9, handlelength=1.0)  # fmt: skip


def causal_evidence(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Whether the network needs its key structure and can do with it alone, and the same of random structure."""
    names = {
        "causal_score": ("score", INK, "-"),
        "necessity": ("necessity", PURPLE, "-"),
        "necessity_control": ("necessity, control", PURPLE, ":"),
        "sufficiency": ("sufficiency", GREEN, "-"),
        "sufficiency_control": ("sufficiency, control", GREEN, ":"),
    }
    lines = _known(dataset, names)
    return curves("Causal evidence", "share of chance loss [1]", lines, phases, zero=True, shares=True)


def irrep_similarity(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Similarity of the logits with the characters of the last checkpoint's key representations; the threshold."""
    return _similarity(
        dataset, phases, "irrep_similarity", "is_key_irrep", "irrep_threshold", "Key representations of the group"
    )


def answer_similarity(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """The same for the group of the answers alone, where the operands have none."""
    return _similarity(
        dataset, phases, "answer_similarity", "is_key_answer", "answer_threshold", "Key representations of the answers"
    )


def explained(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Share of the logits' and of the last hidden layer's variance that representations of the group explain."""
    names = {
        "irreps_explained": ("logits, by characters", GREEN, "-"),
        "answer_fve": ("logits, by characters", BROWN, "-"),
        "hidden_fve": ("hidden layer, by key irreps", BLUE, "-"),
    }
    lines = _known(dataset, names)
    return curves("Explained by representations", "share of variance [1]", lines, phases, shares=True,
                  marks=True)  # fmt: skip


def idealized_network(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """How well the analytic network with the neurons' amplitudes and phases answers, and how often as the real one."""
    names = {
        "idealized_accuracy": ("accuracy", BLUE, "-"),
        "idealized_agreement": ("agreement", ORANGE, "-"),
        "idealized_fve": ("logits explained", GREEN, "-"),
        "idealized_certified": ("margin above its error", PURPLE, "-"),
    }
    return curves("Idealized network", "share [1]", _known(dataset, names), phases, shares=True, marks=True)


@styled()
def operand_power(dataset: xr.Dataset) -> Figure | None:
    """Share of what the last checkpoint reads of each operand at every additive frequency of the residues."""
    if "operand_power" not in dataset or not dataset.sizes["step"]:
        return None
    last = dataset["operand_power"].isel(step=-1)
    figure, axes = small([str(name) for name in last["operand"].values])
    frequencies = last["residue_frequency"].values
    for i, (name, color) in enumerate(zip(last["operand"].values, (BLUE, ORANGE), strict=False)):
        axes.bar(frequencies + 0.4 * i - 0.2, last.sel(operand=name).values, width=0.38, color=color, label=str(name),
                 linewidth=0)  # fmt: skip
    axes.set(title="Operand representation", xlabel="additive frequency of the residues", ylim=(0, None))
    axes.set_ylabel("share of variance [1]")
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    legend_below(figure, axes)
    return figure


@styled()
def cosets(dataset: xr.Dataset) -> Figure | None:
    """How many neurons of the last checkpoint are constant on the cosets of a subgroup, by its order."""
    names = {"coset_order_left": ("left operand", BLUE), "coset_order_right": ("right operand", ORANGE)}
    shown = [name for name in names if name in dataset and dataset.sizes["step"]]
    if not shown:
        return None
    last = dataset.isel(step=-1)
    orders = np.unique(np.concatenate([last[name].values for name in shown]))
    figure, axes = small([names[name][0] for name in shown])
    for i, name in enumerate(shown):
        counts = [(last[name].values == order).sum() for order in orders]
        label, color = names[name]
        axes.bar(np.arange(len(orders)) + 0.4 * i - 0.2, counts, width=0.38, color=color, label=label, linewidth=0)
    axes.set_xticks(range(len(orders)), ["none" if order == 1 else str(order) for order in orders])
    axes.set(title="Neurons constant on cosets", xlabel="order of the largest subgroup", ylabel="neurons [1]")
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    legend_below(figure, axes)
    return figure


@styled()
def circles_alone(dataset: xr.Dataset) -> Figure | None:
    """What the last checkpoint answers with one circle of its embedding alone: fits of both templates, accuracy."""
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
    ticks = [f"{i}{f': k = {k}' if k else ''}" for i, k in zip(last["circle"].values, frequencies, strict=True)]
    axes.set_xticks(at, ticks)
    axes.axhline(0, color=GRAY, linewidth=0.8, zorder=0)
    axes.set(title="One circle of the embedding alone", xlabel="circle: its frequency", ylabel="share [1]")
    axes.set_ylim(max(axes.get_ylim()[0], -1.04), 1.04)
    legend_below(figure, axes)
    return figure


def _similarity(
    dataset: xr.Dataset, phases: Phases, name: str, is_key: str, threshold: str, title: str
) -> Figure | None:
    if name not in dataset or not dataset.sizes["step"]:
        return None
    held_out = f"{name}_held_out"
    values = dataset[held_out if held_out in dataset else name]
    axis = next(str(dim) for dim in values.dims if dim != "step")
    last = values.isel(step=-1).values
    order = np.argsort(-np.nan_to_num(last, nan=-np.inf), kind="stable")
    if is_key in dataset:
        key = dataset[is_key].isel(step=-1).values.astype(bool)
        order = [i for i in order if key[i]] or order[:3]
    chosen = order[:MOST_IRREPS]
    colors = sns.color_palette("colorblind", len(chosen)).as_hex()
    lines = [
        Line(str(values[axis].values[i]), values.isel({axis: i}), color)
        for i, color in zip(chosen, colors, strict=True)
    ]
    if threshold in dataset:
        limit = dataset[threshold]
        limit = limit.isel({axis: chosen}).max(axis) if axis in limit.dims else limit
        lines.append(Line("highest threshold", limit, QUIET, "--"))
    return curves(title, "cosine similarity, held out [1]", lines, phases, zero=True)


def _known(dataset: xr.Dataset, names: dict[str, tuple[str, str, str]]) -> list[Line]:
    """Lines of the variables that there are, with at least one finite value."""
    return [
        Line(label, dataset[name], color, style)
        for name, (label, color, style) in names.items()
        if name in dataset and np.isfinite(dataset[name]).any()
    ]


def _color(name: str) -> str:
    return CIRCUIT_COLORS.get(name, PINK)
