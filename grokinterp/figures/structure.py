"""What the network looks like at chosen checkpoints: spectrum, neurons, logits, attention, circles; one row a step."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from grokinterp.figures.series import STEP
from grokinterp.figures.style import (
    BLUE,
    DIVERGING,
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
from grokinterp.figures.timeline import key_frequencies

MOST_HEADS = 8
MOST_CIRCLES = 6
SPECIALIZED = 0.85

Steps = Sequence[int]


@styled()
def spectra(dataset: xr.Dataset, steps: Steps) -> Figure | None:
    """Embedding spectrum, neuron frequencies and logits by residue, a row for each step; None without any of them."""
    columns = [
        (draw_spectrum, "embedding_power", 2.35),
        (draw_neurons, "neuron_frequency", 2.35),
        (draw_logits, "logit_by_label", 1.85),
    ]
    shown = [column for column in columns if column[1] in dataset]
    if not shown:
        return None
    figure, both = blank(10.0, 2.75 * len(steps)), dataset.sel(step=list(steps))
    for i, step in enumerate(steps):
        row = [place(figure, 0.85 + 3.2 * j, 2.75 * i + 0.35, width, 1.85) for j, (_, _, width) in enumerate(shown)]
        for axes, (draw, _, _) in zip(row, shown, strict=True):
            draw(axes, dataset.sel(step=step), both)
        _name_row(row[0], step)
    return figure


@styled()
def attention(dataset: xr.Dataset, steps: Steps) -> Figure | None:
    """Attention of the last position to a over all pairs, a column for each head, a row for each step."""
    if "attention_to_a" not in dataset:
        return None
    heads = dataset["head"].values[:MOST_HEADS]
    side = min((8.1 + 0.2) / max(len(heads), 1) - 0.2, 2.6)
    figure = blank(10.0, (side + 0.45) * len(steps) + 0.4)
    for i, step in enumerate(steps):
        row = [place(figure, 0.85 + (side + 0.2) * j, 0.3 + (side + 0.45) * i, side, side) for j in range(len(heads))]
        for axes, head in zip(row, heads, strict=True):
            values = dataset["attention_to_a"].sel(step=step, head=head)
            image = heatmap(axes, values.values.T, Normalize(0, 1), SEQUENTIAL)
            axes.set_title(_head_title(dataset, step, int(head)))
            axes.tick_params(labelleft=axes is row[0], labelbottom=i == len(steps) - 1)
            axes.set_xlabel("a (residue)" if i == len(steps) - 1 else "")
        _name_row(row[0], step, "b (residue)")
        bar = place(figure, 0.85 + (side + 0.2) * len(heads) - 0.05, 0.3 + (side + 0.45) * i, 0.12, side)
        color_bar(bar, image, "attention to a [1]")
    return figure


@styled()
def circles(dataset: xr.Dataset, steps: Steps) -> Figure | None:
    """Tokens in the embedding's plane of each key frequency, one scale per frequency; None without key frequencies."""
    if "embedding_circle" not in dataset or not dataset.sizes["key"]:
        return None
    keys = dataset["key"].values[:MOST_CIRCLES]
    side = min((8.9 + 0.4) / len(keys) - 0.4, 2.4)
    figure = blank(10.0, (side + 0.55) * len(steps) + 0.35)
    rows = [
        [place(figure, 0.85 + (side + 0.4) * j, 0.3 + (side + 0.55) * i, side, side) for j in range(len(keys))]
        for i in range(len(steps))
    ]
    for column, key in enumerate(keys):
        points = dataset["embedding_circle"].sel(step=list(steps)).isel(key=column)
        reach = _largest(points.values) * 1.12
        for step, row in zip(steps, rows, strict=True):
            draw_circle(row[column], points.sel(step=step), int(key), reach)
            if row is rows[-1]:
                row[column].set_xlabel("cosine direction [1]")
    for step, row in zip(steps, rows, strict=True):
        _name_row(row[0], step, "sine direction [1]")
    return figure


def draw_spectrum(axes: Axes, at: xr.Dataset, whole: xr.Dataset) -> None:
    """Squared norm of the embedding at every frequency; the key frequencies stand out."""
    keys = set(key_frequencies(whole))
    colors = [ORANGE if int(k) in keys else GRAY for k in at["frequency"].values]
    axes.bar(at["frequency"].values, at["embedding_power"].values, color=colors, width=0.85, linewidth=0)
    axes.set(title="Embedding spectrum", xlabel="frequency k", ylabel="squared norm [1]")
    axes.set_ylim(0, _largest(whole["embedding_power"].values) * 1.14)
    _name_keys(axes, at["frequency"].values, at["embedding_power"].values, keys)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def draw_neurons(axes: Axes, at: xr.Dataset, whole: xr.Dataset) -> None:
    """Every neuron: its best frequency, and the share of its variance that this explains."""
    constant = at["neuron_frequency"].values < 1
    axes.scatter(
        at["neuron_frequency"].values[~constant],
        at["neuron_fve"].values[~constant],
        s=13, color=BLUE, alpha=0.35, linewidths=0, rasterized=True,
    )  # fmt: skip
    axes.axhline(SPECIALIZED, color=QUIET, linestyle="--", linewidth=0.8)
    share = np.nanmean(at["neuron_fve"].values > SPECIALIZED)
    axes.set(title=f"Neurons: {share:.0%} specialized", xlabel="neuron's frequency k", ylabel="variance explained [1]")
    axes.set(ylim=(-0.03, 1.03), xlim=(0, float(whole["neuron_frequency"].max()) + 1))
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def draw_logits(axes: Axes, at: xr.Dataset, whole: xr.Dataset) -> None:
    """Mean centered logit of every class for every residue of a + b."""
    reach = _largest(at["logit_by_label"].values)
    image = heatmap(axes, at["logit_by_label"].values, Normalize(-reach, reach), DIVERGING)
    axes.set(title="Logits by residue", xlabel="class c", ylabel="(a + b) mod p")
    color_bar(axes.inset_axes((1.04, 0, 0.06, 1)), image, "mean logit [nats]")


def draw_circle(axes: Axes, points: xr.DataArray, key: int, reach: float) -> None:
    """Tokens joined in the order of their angle 2πkt/p, so that a circle shows as a closed curve."""
    x, y = points.sel(axis="cos").values, points.sel(axis="sin").values
    tokens = np.arange(len(x))
    order = np.argsort(key * tokens % len(x), kind="stable")
    closed = np.append(order, order[:1])
    axes.plot(x[closed], y[closed], color=GRAY, linewidth=0.6, alpha=0.7, zorder=1)
    axes.scatter(x, y, c=tokens, cmap=SEQUENTIAL, s=14, linewidths=0, zorder=2)
    axes.set(title=f"k = {key}", xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    for locator in (axes.xaxis, axes.yaxis):
        locator.set_major_locator(MaxNLocator(3))


def heatmap(axes: Axes, values: np.ndarray, norm: Normalize, colors: str) -> AxesImage:
    """Rows upwards from 0; one pixel for one value."""
    image = axes.imshow(values, origin="lower", norm=norm, cmap=colors, interpolation="none")
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    return image


def _name_keys(axes: Axes, frequencies: np.ndarray, power: np.ndarray, keys: set[int]) -> None:
    """The key frequencies' numbers above their bars."""
    top = axes.get_ylim()[1]
    for k, value in zip(frequencies, power, strict=True):
        if int(k) in keys and np.isfinite(value):
            axes.text(k, value + 0.015 * top, str(int(k)), ha="center", va="bottom", fontsize=7.5, color=INK)


def _head_title(dataset: xr.Dataset, step: int, head: int) -> str:
    if "attention_frequency" not in dataset:
        return f"head {head}"
    at = dataset.sel(step=step, head=head)
    return f"head {head}: k = {int(at['attention_frequency'])}, {float(at['attention_fve']):.0%}"


def _name_row(axes: Axes, step: int, y_label: str | None = None) -> None:
    """The step, in front of the row's own axis label."""
    axes.set_ylabel(f"{STEP.split()[-1]} {step}\n{y_label or axes.get_ylabel()}")


def _largest(values: np.ndarray) -> float:
    """Largest finite magnitude, 1 where there is none."""
    finite = np.abs(values[np.isfinite(values)])
    return float(finite.max(initial=0.0)) or 1.0
