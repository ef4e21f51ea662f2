"""Figures of neurons over all pairs, of two-dimensional Fourier components, and of the neuron-to-logit map."""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from grokinterp.figures.heatmaps import heatmap, largest, thin
from grokinterp.figures.series import has
from grokinterp.figures.squares import squares, titled
from grokinterp.figures.structure.pairs import scale_of, shown
from grokinterp.figures.style import DIVERGING, SEQUENTIAL, blank, color_bar, place, styled

__all__ = ["neuron_grids", "neuron_logit_map", "pair_waves"]

MOST_WAVES = 10
"""Largest number of named waves along an axis."""

Steps = Sequence[int]


@styled()
def neuron_grids(dataset: xr.Dataset, step: int) -> Figure | None:
    """Draw the activation of some neurons for every pair (a, b) at a step, each relative to its largest.

    The title of a neuron is its index, with its frequency and the variance that this explains, if they are known.
    """
    if not has(dataset, "neuron_activation"):
        return None
    at = dataset.sel(step=step)
    norm, colors = scale_of(np.array([-1, 1]) if (at["neuron_activation"] < 0).any() else np.array([0, 1]))
    grid = squares(at.sizes["shown_neuron"], columns=6)
    for axes, neuron in zip(grid.axes, at["shown_neuron"].values, strict=True):
        values, every = thin(at["neuron_activation"].sel(shown_neuron=neuron), "a", "b")
        reach = largest(values.values)
        image = heatmap(axes, values.transpose("b", "a").values / reach, norm, colors, every)
    titled(grid.axes, [neuron_name(at, int(neuron)) for neuron in at["shown_neuron"].values])
    for axes in grid.axes:
        axes.title.set_fontsize(8.5)
    grid.label("operand a", "operand b")
    grid.bar(image, "activation / its largest [1]")
    return grid.figure


def neuron_name(at: xr.Dataset, neuron: int) -> str:
    """Return the index of a neuron with its frequency and the share of its variance that this explains."""
    if "neuron_frequency" not in at:
        return f"neuron {neuron}"
    one = at.sel(neuron=neuron)
    return f"{neuron}: k = {int(one['neuron_frequency'])}, {float(one['neuron_fve']):.0%}"


@styled()
def pair_waves(dataset: xr.Dataset, steps: Steps, *, unit: str = "nats") -> Figure | None:
    """Draw the norms of the two-dimensional Fourier components of the neurons (above) and of the logits (below).

    The constant component, which is the mean over all pairs, is left out.
    """
    if not has(dataset, "neuron_wave") and not has(dataset, "logit_wave"):
        return None
    steps = shown(dataset, steps)[-5:]
    grid = squares(2 * len(steps), columns=len(steps), most=2.4)
    names = [str(name) for name in dataset["wave_a"].values]
    for row, (name, values, label) in enumerate(
        (("neurons", "neuron_wave", "norm [1]"), ("logits", "logit_wave", f"norm [{unit}]"))
    ):
        parts = dataset[values].sel(step=steps).transpose("step", "wave_b", "wave_a").values.astype(float)
        parts[:, 0, 0] = np.nan
        norm = Normalize(0, largest(parts))
        some = grid.axes[row * len(steps) : (row + 1) * len(steps)]
        for axes, part in zip(some, parts, strict=True):
            image = heatmap(axes, part, norm, SEQUENTIAL)
            name_waves(axes, names)
        titled(some, [f"{name}, step {step}" for step in steps])
        left, top = some[-1].get_position().x1 * 10 + 0.12, 0.4 + (grid.side + 0.4) * row
        color_bar(place(grid.figure, left, top, 0.12, grid.side), image, label)
    grid.label("wave in a", "wave in b")
    return grid.figure


def name_waves(axes, names: Sequence[str]) -> None:
    """Write the names of some waves along both axes."""
    at = list(range(0, len(names), -(-len(names) // MOST_WAVES)))
    axes.set_xticks(at, [names[i] for i in at], rotation=90, fontsize=6.5)
    axes.set_yticks(at, [names[i] for i in at], fontsize=6.5)


@styled()
def neuron_logit_map(dataset: xr.Dataset, step: int) -> Figure | None:
    """Draw the weights from the neurons to the logits at a step, and the norm of their frequencies.

    Neurons are sorted by the frequency with the largest norm or, without frequencies, by their class with the largest
    weight.
    """
    if not has(dataset, "neuron_logit_weight"):
        return None
    at = dataset.sel(step=step)
    weights = at["neuron_logit_weight"].transpose("neuron", "class").values.astype(float)
    waves = "neuron_logit_amplitude" in at
    amplitude = at["neuron_logit_amplitude"].transpose("neuron", "frequency").values.astype(float) if waves else weights
    order = np.lexsort((-amplitude.max(1), amplitude.argmax(1)))
    figure = blank(10.0 if waves else 5.4, 4.6)
    left = place(figure, 0.75, 0.4, 3.1, 3.6)
    reach = largest(weights)
    image = heatmap(left, weights[order], Normalize(-reach, reach), DIVERGING)
    left.set(title=f"Neuron-to-logit map, step {step}", xlabel="class", aspect="auto")
    left.set_ylabel(f"neuron, sorted by {'frequency' if waves else 'class'}")
    color_bar(place(figure, 3.95, 0.4, 0.12, 3.6), image, "weight [1]")
    if waves:
        right = place(figure, 5.65, 0.4, 3.2, 3.6)
        image = heatmap(right, amplitude[order], Normalize(0, largest(amplitude)), SEQUENTIAL)
        first = float(at["frequency"].values[0])
        image.set_extent((first - 0.5, first + amplitude.shape[1] - 0.5, -0.5, len(order) - 0.5))
        right.set(title="Norm at each frequency", xlabel="frequency k", ylabel="neuron, same order", aspect="auto")
        color_bar(place(figure, 8.95, 0.4, 0.12, 3.6), image, "norm [1]")
    return figure
