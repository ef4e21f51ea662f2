"""Gradients, updates, the weight trajectory, and the loss around it."""

import numpy as np
import seaborn as sns
import xarray as xr
from matplotlib.figure import Figure

from grokinterp.figures.series import Line, Phases, bars, curves, finish, legend_beside, log_axis, small
from grokinterp.figures.style import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    PURPLE,
    RED,
    SEQUENTIAL,
    blank,
    place,
    styled,
)

MOST_PARTS = 8
GRADIENT, SHARE = "Gradient by part of the model", "share of squared norm [1]"
MOST_LINES = 9


@styled()
def gradient_shares(dataset: xr.Dataset) -> Figure | None:
    """Share of every part of the model in the squared norm of the gradient, stacked; beyond a few parts, the rest."""
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
    """The applied update along the weights and across them."""
    names = {"update_tangential": ("across the weights", BLUE), "update_radial": ("along the weights", ORANGE)}
    return curves("Applied update", "L2 length [1]", _lines(dataset, names), phases, zero=True)


def weight_decay_share(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """How much of the applied update is weight decay."""
    names = {"weight_decay_share": ("decoupled weight decay", PURPLE)}
    return curves("Weight decay in the update", "share of the update [1]", _lines(dataset, names), phases, zero=True)


def weight_distances(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """L2 distance of the weights from where they began and to where they end."""
    names = {"distance_from_initial": ("from the first", BLUE), "distance_to_final": ("to the last", ORANGE)}
    return curves("Distance of the weights", "L2 distance [1]", _on_a_way(dataset, names), phases, zero=True)


def weight_directions(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Cosine of the update with the one before the previous checkpoint, and of the weights with the first ones."""
    names = {
        "successive_update_cosine": ("update with the one before", GREEN),
        "cosine_to_initial": ("weights with the first", BLUE),
    }
    return curves("Directions", "cosine [1]", _on_a_way(dataset, names), phases, zero=True)


def gradient_noise(dataset: xr.Dataset, phases: Phases = ()) -> Figure | None:
    """Squared mean gradient over the variance of an example's."""
    names = {"gradient_snr_total": ("all parameters", INK)}
    return curves("Gradient: signal to noise", "squared norm over variance [1]", _lines(dataset, names), phases,
                  log=True, marks=True)  # fmt: skip


def curvature(dataset: xr.Dataset, phases: Phases = (), *, unit: str = "nats") -> Figure | None:
    """The largest eigenvalues of the Hessian of the training loss."""
    if "hessian_eigenvalue" not in dataset:
        return None
    values = dataset["hessian_eigenvalue"]
    colors = sns.color_palette("viridis", values.sizes["rank_of_hessian"]).as_hex()
    lines = [
        Line(f"{i + 1}{ORDINALS[min(i, 3)]} largest" if i else "largest", values.isel(rank_of_hessian=i), color)
        for i, color in enumerate(colors)
    ]
    if "hessian_eigenvalue_smallest" in dataset:
        lines.append(Line("smallest found", dataset["hessian_eigenvalue_smallest"], RED, "--"))
    return curves("Hessian of the training loss", f"eigenvalue [{unit}]", lines, phases, zero=True, marks=True)


ORDINALS = ("st", "nd", "rd", "th")


def sharpness(dataset: xr.Dataset, phases: Phases = (), *, unit: str = "nats") -> Figure | None:
    """How much the training loss rises in a small box around the weights."""
    names = {"sharpness": ("largest rise found", PURPLE)}
    return curves("Sharpness", f"rise of the loss [{unit}]", _lines(dataset, names), phases, log=True, marks=True)


def loss_barrier(dataset: xr.Dataset, phases: Phases = (), *, unit: str = "nats") -> Figure | None:
    """How far the training loss rises on the straight way from each checkpoint to the final one."""
    names = {"line_barrier": ("training loss", BLUE)}
    return curves("Barrier on the line to the end", f"rise of the loss [{unit}]", _on_a_way(dataset, names), phases,
                  zero=True, marks=True)  # fmt: skip


@styled()
def loss_lines(dataset: xr.Dataset, *, unit: str = "nats") -> Figure | None:
    """Training and test loss on the straight way from a few checkpoints to the final one."""
    titles = {"line_train_loss": "Training loss", "line_test_loss": "Test loss"}
    shown = [name for name in titles if name in dataset and bool((dataset[name] > 0).any())]
    n = dataset.sizes.get("step", 0)
    if not shown or n < 2:
        return None
    chosen = np.unique(np.linspace(0, n - 1, min(n, MOST_LINES)).round().astype(int))
    colors = sns.color_palette(SEQUENTIAL, len(chosen)).as_hex()
    figure = blank(10.0, 3.15)
    for i, name in enumerate(shown):
        axes = place(figure, 0.75 + 4.05 * i, 0.3, 3.45, 2.3)
        for step, color in zip(chosen, colors, strict=True):
            values = dataset[name].isel(step=step)
            label = f"step {int(values['step'])}"
            positive = np.where(values.values > 0, values.values, np.nan)
            axes.plot(values["fraction"].values, positive, color=color, label=label)
        log_axis(axes)
        axes.set(title=titles[name], xlabel="fraction of the line to the last checkpoint [1]", xlim=(0, 1))
        axes.set_ylabel(f"loss [{unit}]")
    legend_beside(axes)
    return figure


def _lines(dataset: xr.Dataset, names: dict[str, tuple[str, str]]) -> list[Line]:
    """Of the variables that there are."""
    return [Line(label, dataset[name], color) for name, (label, color) in names.items() if name in dataset]


def _on_a_way(dataset: xr.Dataset, names: dict[str, tuple[str, str]]) -> list[Line]:
    """Lines where there is a way: one checkpoint is both of its ends."""
    return _lines(dataset, names) if dataset.sizes.get("step", 0) > 1 else []
