"""Views of one checkpoint for the explorer: spectra, circles, neurons, logits, attention, and weights."""

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from grokinterp.figures.style import BLUE, NOTHING
from grokinterp.interactive.arrays import STEP, axis_name, labels_of, value_name
from grokinterp.interactive.heatmap import SIDE, color_scale, heat
from grokinterp.interactive.layout import HEIGHT, laid_out
from grokinterp.interactive.packages import go
from grokinterp.interactive.points import padded, points
from grokinterp.runs.results import Results
from grokinterp.runs.trajectory import Trajectory


class View(NamedTuple):
    """One view of a run: its name, the steps that it can show, and how it draws one of them."""

    name: str
    steps: tuple[int, ...]
    traces: Callable[[int], list[Any]]
    layout: dict[str, Any]


class Source(NamedTuple):
    """A view of the results of an analysis.

    Attributes:
        name: the name of the view.
        analysis: the name of the analysis.
        variables: the variables that it draws.
        axes: the axes that it draws; of each other axis, there is a view for each label.
        draw: returns the view of the variables over the steps and the axes.
    """

    name: str
    analysis: str
    variables: tuple[str, ...]
    axes: tuple[str, ...]
    draw: Callable[..., View]


def heatmap_view(name: str, values: xr.DataArray) -> View:
    """Return the view of a heatmap over the steps, with the same colors at every step."""
    down, right = (dim for dim in values.dims if dim != STEP)
    scale = color_scale(values)
    layout = laid_out(name, axis_name(right), axis_name(down), height=SIDE, width=SIDE + 110, plot_bgcolor=NOTHING)
    layout["yaxis"] |= {"autorange": "reversed", "showgrid": False}
    layout["xaxis"] |= {"showgrid": False}
    return View(name, steps_of(values), lambda step: [heat(values.sel(step=step), scale)], layout)


def bar_view(name: str, values: xr.DataArray) -> View:
    """Return the view of a bar chart over the steps, with the same vertical axis at every step."""
    (dim,) = (dim for dim in values.dims if dim != STEP)
    high = float(values.max()) if np.isfinite(values).any() else 1.0
    layout = laid_out(name, axis_name(dim), value_name(values))
    layout["yaxis"] |= {"range": [min(0.0, float(values.min())), 1.05 * high]}

    def traces(step: int) -> list[Any]:
        return [go.Bar(x=labels_of(values, dim), y=values.sel(step=step).values, marker={"color": BLUE})]

    return View(name, steps_of(values), traces, layout)


def point_view(name: str, x: xr.DataArray, y: xr.DataArray) -> View:
    """Return the view of a scatter chart over the steps, with the same axes at every step."""
    names = (value_name(x), value_name(y))
    layout = laid_out(name, *names, height=HEIGHT + 60)
    layout["xaxis"] |= {"range": padded(x)}
    layout["yaxis"] |= {"range": padded(y)}

    def traces(step: int) -> list[Any]:
        return [points({"x": x.sel(step=step), "y": y.sel(step=step)}, names, {})]

    return View(name, steps_of(x), traces, layout)


def circle_view(name: str, circle: xr.DataArray) -> View:
    """Return the view of an embedding in the plane of a frequency, with tokens joined in order of their exponents."""
    axes = (circle.isel(axis=0), circle.isel(axis=1))
    view = point_view(name, *axes)
    reach = float(np.nanmax(np.abs(circle.values)) or 1.0) * 1.05
    both = {"range": [-reach, reach]}
    titles = ({"title": {"text": "cosine direction"}}, {"title": {"text": "sine direction"}, "scaleanchor": "x"})
    sides = {side: view.layout[side] | both | title for side, title in zip(("xaxis", "yaxis"), titles, strict=True)}
    return view._replace(layout=view.layout | sides | {"height": SIDE, "width": SIDE})


SOURCES = (
    Source("Embedding spectrum", "embedding_spectrum", ("embedding_power",), ("frequency",), bar_view),
    Source("Correct pairs", "pair_answers", ("pair_is_correct",), ("a", "b"), heatmap_view),
    Source("Correct logit", "pair_answers", ("pair_correct_logit",), ("a", "b"), heatmap_view),
    Source("Embedding circle", "embedding_circles", ("embedding_circle",), ("exponent", "axis"), circle_view),
    Source("Neurons", "neuron_frequencies", ("neuron_frequency", "neuron_fve"), ("neuron",), point_view),
    Source("Neuron to logit spectrum", "neuron_logit_spectrum", ("neuron_logit_power",), ("frequency",), bar_view),
    Source("Logits by label", "logit_map", ("logit_by_label",), ("label", "class"), heatmap_view),
    Source("Attention to a", "attention_map", ("attention_to_a",), ("a", "b"), heatmap_view),
    Source("Representations", "irrep_spectrum", ("irrep_similarity",), ("irrep",), bar_view),
    Source("Class cosines", "class_matrix", ("class_cosine_matrix",), ("class", "other_class"), heatmap_view),
)
"""The views of results, in order; a new view joins this table."""


def views_of(run: Trajectory, results: Results) -> dict[str, View]:
    """Return all views of a run by name: those of its results, and the weights of its checkpoints."""
    found = [view for source in SOURCES for view in from_results(source, results.analyses, run)]
    return {view.name: view for view in (*found, *weight_views(run)) if view.steps}


def from_results(source: Source, analyses: Mapping[str, xr.Dataset], run: Trajectory) -> Iterator[View]:
    """Yield the views of a source, one for each label of the axes that it does not draw; none without results."""
    dataset = analyses.get(source.analysis)
    if dataset is None or not set(source.variables) <= set(dataset):
        return
    dataset = dataset.isel(step=[step in run.window for step in dataset[STEP].values.tolist()])
    arrays = [dataset[name] for name in source.variables]
    others = [dim for dim in arrays[0].dims if dim not in (STEP, *source.axes)]
    if not dataset.sizes[STEP] or not all(set(source.axes) <= set(array.dims) for array in arrays):
        return
    for places in product(*(range(arrays[0].sizes[dim]) for dim in others)):
        chosen = dict(zip(others, places, strict=True))
        labels = [f"{axis_name(dim)} {labels_of(arrays[0], dim)[place]}" for dim, place in chosen.items()]
        yield source.draw(", ".join([source.name, *labels]), *(array.isel(chosen) for array in arrays))


def weight_views(run: Trajectory) -> Iterator[View]:
    """Yield the view of each weight matrix, which reads the checkpoint that it shows.

    Weights with more than two axes, such as those of several heads, have their rows one below the other.
    """
    steps = run.steps
    for name, shape in run.shapes.items() if steps else ():
        if len(shape) < 2:
            continue
        layout = laid_out(f"Weights {name}", "column", "row", height=SIDE, width=SIDE + 110)
        layout["yaxis"] |= {"autorange": "reversed", "showgrid": False}
        yield View(f"Weights {name}", steps, lambda step, name=name: [weights(run, step, name)], layout)


def weights(run: Trajectory, step: int, name: str) -> Any:
    """Return the trace of a weight matrix at a step."""
    value = run.weights(step).state[name].float()
    matrix = xr.DataArray(value.reshape(-1, value.shape[-1]).numpy(), dims=("row", "column"), name="weight")
    return heat(matrix, color_scale(matrix))


def steps_of(values: xr.DataArray) -> tuple[int, ...]:
    """Return the steps at which an array was measured."""
    return tuple(values[STEP].values.tolist())
