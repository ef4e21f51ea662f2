"""What the network looks like at chosen checkpoints: spectrum, neurons, logits, attention, circles."""

from collections.abc import Callable, Sequence

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
    NOTHING,
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
MOST_ROWS = 16
"""Heads of all layers in one table."""

MOST_CELLS = 128
"""Rows and columns of a heatmap; about as many as it has pixels."""

SPECIALIZED = 0.85

Steps = Sequence[int]


@styled()
def spectra(dataset: xr.Dataset, steps: Steps, *, label: str = "label", unit: str = "nats") -> Figure | None:
    """Embedding spectrum, neuron frequencies and logits by label, a row for each step; None without any of them.

    Logits alone stand side by side.

    Args:
        dataset: analyses over the checkpoints.
        steps: checkpoints to show.
        label: what the right answer is called, such as (a + b) mod p.
        unit: of the logits.
    """

    def logits(axes: Axes, at: xr.Dataset, _whole: xr.Dataset) -> None:
        draw_logits(axes, at, label, unit)

    columns: list[tuple[Callable[[Axes, xr.Dataset, xr.Dataset], None], str, float]] = [
        (draw_spectrum, "embedding_power", 2.35),
        (draw_neurons, "neuron_frequency", 2.35),
        (logits, "logit_by_label", 1.85),
    ]
    shown = [column for column in columns if column[1] in dataset]
    if not shown:
        return None
    both = dataset.sel(step=list(steps))
    if shown == columns[2:]:
        return _side_by_side(both, label, unit)
    figure = blank(10.0, 2.75 * len(steps))
    for i, step in enumerate(steps):
        row = [place(figure, 0.85 + 3.2 * j, 2.75 * i + 0.35, width, 1.85) for j, (_, _, width) in enumerate(shown)]
        for axes, (draw, _, _) in zip(row, shown, strict=True):
            draw(axes, dataset.sel(step=step), both)
        _name_row(row[0], step)
    return figure


def _side_by_side(dataset: xr.Dataset, label: str, unit: str) -> Figure:
    """Logits by label, a column for each step."""
    side = min((8.9 + 1.7) / dataset.sizes["step"] - 1.7, 2.75)
    figure = blank(10.0, side + 0.9)
    for i, step in enumerate(dataset["step"].values):
        axes = place(figure, 0.65 + (side + 1.7) * i, 0.35, side, side)
        draw_logits(axes, dataset.sel(step=step), label, unit)
        axes.set_title(f"Logits by label, step {step}")
    return figure


@styled()
def attention(dataset: xr.Dataset, steps: Steps) -> Figure | None:
    """Attention to a over all pairs, a column for each head, a row for each step; gray where a ∘ b is not defined."""
    if "attention_to_a" not in dataset:
        return None
    heads = dataset["head"].values[:MOST_HEADS]
    side = min((8.1 + 0.2) / max(len(heads), 1) - 0.2, 2.6)
    figure = blank(10.0, (side + 0.45) * len(steps) + 0.4)
    for i, step in enumerate(steps):
        row = [place(figure, 0.85 + (side + 0.2) * j, 0.3 + (side + 0.45) * i, side, side) for j in range(len(heads))]
        for axes, head in zip(row, heads, strict=True):
            values, every = thin(dataset["attention_to_a"].sel(step=step, head=head), "a", "b")
            image = heatmap(axes, values.transpose("b", "a").values, Normalize(0, 1), SEQUENTIAL, every)
            axes.set_title(_head_title(dataset, step, int(head)))
            axes.tick_params(labelleft=axes is row[0], labelbottom=i == len(steps) - 1)
            axes.set_xlabel("operand a" if i == len(steps) - 1 else "")
        _name_row(row[0], step, "operand b")
        bar = place(figure, 0.85 + (side + 0.2) * len(heads) - 0.05, 0.3 + (side + 0.45) * i, 0.12, side)
        color_bar(bar, image, "attention to a [1]")
    return figure


@styled()
def attention_by_position(dataset: xr.Dataset, steps: Steps) -> Figure | None:
    """Mean attention to every position, a row for each head of the last layers, a column for each step."""
    if "attention_mean" not in dataset:
        return None
    names, mean = last_heads(dataset["attention_mean"])
    width, height = min((8.1 + 0.3) / len(steps) - 0.3, 3.6), max(0.2 * len(names), 1.2)
    figure = blank(10.0, height + 0.95)
    row = [place(figure, 0.85 + (width + 0.3) * i, 0.4, width, height) for i in range(len(steps))]
    norm = Normalize(0, _largest(mean.sel(step=list(steps)).values))
    for axes, step in zip(row, steps, strict=True):
        image = heatmap(axes, mean.sel(step=step).values, norm, SEQUENTIAL)
        axes.set(title=f"step {step}", xlabel="position", aspect="auto")
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(labelleft=axes is row[0])
    row[0].set_ylabel("layer.head")
    bar = place(figure, 0.85 + (width + 0.3) * len(steps) - 0.15, 0.4, 0.12, height)
    color_bar(bar, image, "attention [1]")
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


def draw_logits(axes: Axes, at: xr.Dataset, label: str, unit: str) -> None:
    """Mean centered logit of every class for every label."""
    values, every = thin(at["logit_by_label"], "label", "class")
    reach = _largest(values.values)
    image = heatmap(axes, values.transpose("label", "class").values, Normalize(-reach, reach), DIVERGING, every)
    axes.set(title="Logits by label", xlabel="class", ylabel=label)
    color_bar(axes.inset_axes((1.04, 0, 0.06, 1)), image, f"mean logit [{unit}]")


def draw_circle(axes: Axes, points: xr.DataArray, key: int, reach: float) -> None:
    """Tokens joined in the order of their angle 2πkt/n, t the exponent, so that a circle shows as a closed curve."""
    x, y = points.sel(axis="cos").values, points.sel(axis="sin").values
    exponents = np.arange(len(x))
    order = np.argsort(key * exponents % len(x), kind="stable")
    closed = np.append(order, order[:1])
    axes.plot(x[closed], y[closed], color=GRAY, linewidth=0.6, alpha=0.7, zorder=1)
    axes.scatter(x, y, c=exponents, cmap=SEQUENTIAL, s=14, linewidths=0, zorder=2)
    axes.set(title=f"k = {key}", xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    for locator in (axes.xaxis, axes.yaxis):
        locator.set_major_locator(MaxNLocator(3))


def heatmap(axes: Axes, values: np.ndarray, norm: Normalize, colors: str, every: int = 1) -> AxesImage:
    """Rows upwards from 0, one pixel for one value, which stands for ``every``; gray where it is not a number."""
    rows, columns = values.shape
    left, right, top = -every / 2, (columns - 0.5) * every, (rows - 0.5) * every
    extent = (left, right, left, top)
    image = axes.imshow(values, origin="lower", norm=norm, cmap=colors, interpolation="none", extent=extent)
    axes.set_facecolor(NOTHING)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    return image


def thin(values: xr.DataArray, *dims: str) -> tuple[xr.DataArray, int]:
    """At most MOST_CELLS values along each of some equally long dimensions, every k-th from the first; and k.

    >>> thin(xr.DataArray(np.arange(300), dims="label"), "label")[1]
    3
    """
    every = -(-max(values.sizes[dim] for dim in dims) // MOST_CELLS) or 1
    return values.isel({dim: slice(None, None, every) for dim in dims}), every


def last_heads(mean: xr.DataArray) -> tuple[list[str], xr.DataArray]:
    """Mean attention [step, row, position] of at most MOST_ROWS heads, those of the last layers, and their names."""
    rows = mean.stack(row=("layer", "head"), create_index=False).transpose("step", "row", "position")
    rows = rows.isel(row=slice(-MOST_ROWS, None))
    names = [f"{layer}.{head}" for layer, head in zip(rows["layer"].values, rows["head"].values, strict=True)]
    return names, rows.drop_vars(("layer", "head"))


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
