"""Figures of the networks of many runs: their key frequencies, how many circuits differ, and losses at fixed norms."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter

from grokinterp.figures.style import (
    BLUE,
    GRAY,
    INK,
    ORANGE,
    QUIET,
    SEQUENTIAL,
    blank,
    color_bar,
    place,
    styled,
)
from grokinterp.numbers import compact

ROW = 0.165
"""Height of the row of a network in inches."""

UNUSED = "#edf0f3"
"""Color of a frequency that a network does not use."""

SPREAD = "#b9c4cf"
"""Color of an interval."""


class KeySets(NamedTuple):
    """The keys of the networks of a setting.

    Args:
        name: the setting.
        networks: a short name of every network, such as its seed.
        similarity: [network, label], NaN where a label is not key; labels beyond the last column do not exist.
        relabeled: the same after the relabeling that puts each set into its first form; None without relabelings.
        classes: the class of every network, as a text.
    """

    name: str
    networks: Sequence[str]
    similarity: Float[np.ndarray, "network label"]
    relabeled: Float[np.ndarray, "network label"] | None
    classes: Sequence[str]


@styled()
def key_sets(settings: Sequence[KeySets], labels: Sequence[str], *, axis: str, title: str, relabeled: str) -> Figure:
    """Draw the keys of every network as a row of colored cells, grouped by setting; on the right in their first form.

    Args:
        settings: the keys of the networks of each setting, at least one.
        labels: the names of the labels, in the order of the columns.
        axis: the name of the horizontal axis.
        title: the title of the left side.
        relabeled: the title of the right side, which is omitted if no setting has relabelings.
    """
    sides = [title] + [relabeled] * any(one.relabeled is not None for one in settings)
    rows = sum(len(one.networks) + 1 for one in settings)
    height, left, bar = max(ROW * rows, 1.1), 0.75, 1.05
    room = (10.0 - left - bar) / len(sides) - 0.45
    width = min(room, len(labels) * max(0.6, 0.1 * max(map(len, labels))))
    most = max(float(np.nanmax(one.similarity, initial=0.0)) for one in settings) or 1.0
    figure = blank(10.0, height + 0.9)
    for i, heading in enumerate(sides):
        axes = place(figure, left + i * (width + 0.45), 0.3, width, height)
        values = [one.similarity if i == 0 or one.relabeled is None else one.relabeled for one in settings]
        mesh = draw_keys(axes, settings, values, len(labels), Normalize(0, most), named=i == 0)
        every = -(-len(labels) * max(map(len, labels)) * 0.085 // width)
        axes.set_xticks((np.arange(len(labels)) + 0.5)[:: max(int(every), 1)], labels[:: max(int(every), 1)])
        axes.set(title=heading, xlabel=axis, ylabel="seed" if i == 0 else "")
        if i == len(sides) - 1:
            mark_classes(axes, settings)
    right = left + len(sides) * (width + 0.45) + 0.1
    color_bar(place(figure, right, 0.3, 0.12, min(height, 2.4)), mesh, "similarity [1]")
    return figure


def draw_keys(
    axes: Axes,
    settings: Sequence[KeySets],
    values: Sequence[np.ndarray],
    n_labels: int,
    norm: Normalize,
    *,
    named: bool,
) -> ScalarMappable:
    """Draw the rows of all settings from top to bottom, each setting below its name."""
    rows = sum(len(one.networks) + 1 for one in settings)
    cells, exists = np.full((rows, n_labels), np.nan), np.zeros((rows, n_labels), dtype=bool)
    ticks, names, at = [], [], 0
    for one, found in zip(settings, values, strict=True):
        if named:
            axes.text(0, at + 0.82, one.name, fontsize=8, color=INK, va="baseline", ha="left")
        shape = slice(at + 1, at + 1 + len(found)), slice(0, found.shape[1])
        cells[shape], exists[shape] = found, True
        ticks += [at + 1.5 + i for i in range(len(found))]
        names += list(one.networks)
        at += 1 + len(found)
    axes.pcolormesh(
        np.ma.masked_where(~exists, np.zeros(exists.shape)),
        cmap=ListedColormap([UNUSED]),
        edgecolors="white",
        linewidth=0.6,
    )
    mesh = axes.pcolormesh(np.ma.masked_invalid(cells), norm=norm, cmap=SEQUENTIAL, edgecolors="white", linewidth=0.6)
    axes.set_ylim(rows, 0)
    axes.set_yticks(ticks, names if named else [""] * len(names), fontsize=7)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return mesh


def mark_classes(axes: Axes, settings: Sequence[KeySets]) -> None:
    """Write the class of every network to the right of its row."""
    at = 0
    for one in settings:
        for i, name in enumerate(("class", *one.classes)):
            end_of_row = (one.similarity.shape[1], at + 0.5 + i)
            axes.annotate(
                name, end_of_row, (4, 0), textcoords="offset points", annotation_clip=False, fontsize=7, color=QUIET,
                va="center", ha="left",
            )  # fmt: skip
        at += 1 + len(one.classes)


class ClassCount(NamedTuple):
    """The number of classes among the networks of a setting, and its distribution among random sets.

    Args:
        name: the setting, with the number of its networks.
        classes: the number of classes found.
        expected: the expected number among random sets.
        low, high: the central 95 % of the numbers among random sets.
        note: a text after the row, such as the p-value.
    """

    name: str
    classes: int
    expected: float
    low: int
    high: int
    note: str


@styled()
def class_counts(counts: Sequence[ClassCount]) -> Figure:
    """Draw the number of classes of every setting beside the number that random sets have."""
    height, left = max(0.27 * len(counts), 0.6), min(0.55 + 0.075 * max(len(one.name) for one in counts), 4.5)
    width = 10.0 - left - 1.3
    figure = blank(10.0, height + 1.15)
    axes = place(figure, left, 0.3, width, height)
    for i, one in enumerate(counts):
        axes.plot([one.low, one.high], [i, i], color=SPREAD, linewidth=5.5, solid_capstyle="butt", zorder=1)
        axes.plot([one.expected] * 2, [i - 0.32, i + 0.32], color=INK, linewidth=1.6, zorder=2)
        axes.plot([one.classes], [i], "o", color=ORANGE, markersize=6, zorder=3)
        axes.annotate(one.note, (1.0, i), (6, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                      va="center", fontsize=8.5, annotation_clip=False)  # fmt: skip
    axes.set_yticks(range(len(counts)), [one.name for one in counts])
    axes.set_ylabel("setting")
    axes.yaxis.set_label_coords(-(left - 0.28) / width, 0.5)
    most = max(max(one.high, one.classes) for one in counts)
    axes.set(ylim=(len(counts) - 0.5, -0.5), xlim=(0, most + 0.6), xlabel="number of classes [1]")
    axes.set_title("Different circuits among the networks of a setting")
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.grid(visible=True, axis="y", color="#eef1f4", linewidth=0.8)
    axes.set_axisbelow(True)
    key = [
        Line2D([], [], linestyle="", marker="o", color=ORANGE, markersize=6, label="found"),
        Line2D([], [], color=INK, linewidth=1.6, label="expected among random sets"),
        Line2D([], [], color=SPREAD, linewidth=5.5, label="95 % of random sets"),
    ]
    figure.legend(handles=key, loc="lower center", ncols=3, columnspacing=1.6)
    return figure


class Landscape(NamedTuple):
    """Measures at the end of runs that were trained at a constrained norm.

    Args:
        name: the further settings of the runs, if any.
        norm: the norm of the weights of every run.
        scale: the same as a multiple of the usual initial norm.
        train_loss, test_loss, train_accuracy, test_accuracy: the measures of every run.
    """

    name: str
    norm: Float[np.ndarray, "run"]
    scale: Float[np.ndarray, "run"]
    train_loss: Float[np.ndarray, "run"]
    test_loss: Float[np.ndarray, "run"]
    train_accuracy: Float[np.ndarray, "run"]
    test_accuracy: Float[np.ndarray, "run"]


LEAST_LOSS = 1e-8
"""Smallest loss that is drawn; smaller losses lie on the edge."""


@styled()
def norm_landscape(landscapes: Sequence[Landscape], *, unit: str = "nats") -> Figure:
    """Draw the losses and accuracies of every run over the norm of its weights, and their medians over the seeds.

    Args:
        landscapes: at least one; each has a row of the figure.
        unit: the unit of the losses.
    """
    figure = blank(10.0, 3.1 * len(landscapes) + 0.45)
    for row, found in enumerate(landscapes):
        named = f": {found.name}" if found.name else ""
        for column, measure in enumerate(("loss", "accuracy")):
            axes = place(figure, 0.75 + 4.95 * column, 0.3 + 3.1 * row, 4.1, 2.35)
            draw_measure(axes, found, measure)
            axes.set_title(f"{measure.capitalize()} at fixed norm{named}")
            axes.set_ylabel(f"{measure} [{unit if measure == 'loss' else 1}]")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(labels), columnspacing=1.6)
    return figure


def draw_measure(axes: Axes, found: Landscape, measure: str) -> None:
    """Draw the training and the test loss, or both accuracies, over the norm."""
    for part, name, color, marker in (("train", "training", GRAY, "s"), ("test", "test", BLUE, "o")):
        values = getattr(found, f"{part}_{measure}")
        draw_over_norm(
            axes, found, np.maximum(values, LEAST_LOSS) if measure == "loss" else values, color, marker, name
        )
    axes.set_xscale("log")
    if measure == "loss":
        axes.set_yscale("log")
    else:
        axes.set_ylim(-0.04, 1.04)
    norms = np.array([np.median(found.norm[found.scale == scale]) for scale in np.unique(found.scale)])
    axes.set_xticks(norms, _apart(norms, 4.1))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.minorticks_off()
    axes.set_xlabel("norm of the weights ‖θ‖ [1]")


def draw_over_norm(axes: Axes, found: Landscape, values: np.ndarray, color: str, marker: str, name: str) -> None:
    """Draw a measure of every run, and a curve through the medians of the runs with the same norm."""
    scales = np.unique(found.scale)
    norms, middles = ([np.nanmedian(of[found.scale == scale]) for scale in scales] for of in (found.norm, values))
    axes.plot(found.norm, values, marker, color=color, markersize=4, alpha=0.5, linewidth=0, label=f"{name}, each run")
    axes.plot(norms, middles, color=color, linewidth=1.8, label=f"{name}, median of the seeds")


def _apart(norms: np.ndarray, inches: float) -> list[str]:
    """Return the norms as texts, without those that would overlap the text before."""
    texts, free_from = [], -np.inf
    span = np.log(norms[-1] / norms[0]) or 1.0
    for norm in norms:
        text, at = compact(float(f"{norm:.3g}")), np.log(norm / norms[0]) / span * inches
        half = 0.075 * (len(text) + 1) / 2
        texts.append(text if at - half >= free_from else "")
        free_from = at + half if texts[-1] else free_from
    return texts
