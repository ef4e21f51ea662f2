"""Figures of the weights themselves, which read the checkpoints of a run: matrices and paths."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import xarray as xr
from matplotlib.figure import Figure

from grokinterp import figures
from grokinterp.analysis.landscape.weight_positions import weight_positions
from grokinterp.analysis.structure.token_positions import token_positions
from grokinterp.report.plate import View
from grokinterp.runs.trajectory import Trajectory


class WeightPlate(NamedTuple):
    """A figure of the weights of a run.

    Attributes:
        measure: returns the data of the figure, which it reads from the checkpoints.
        draw: returns the figure; None if there is nothing to draw.
        title: the name of the figure.
        caption: a sentence.
    """

    measure: Callable[[Trajectory], xr.Dataset]
    draw: Callable[[xr.Dataset, View], Figure | None]
    title: str
    caption: str


PATHS = (
    WeightPlate(
        weight_positions,
        lambda data, view: figures.weight_paths(data, view.phases),
        "Path of the weights",
        "All weights along the principal components of all checkpoints, with the share of the variance that each "
        "explains. Colors are the phases.",
    ),
    WeightPlate(
        token_positions,
        lambda data, _: figures.embedding_paths(data),
        "Paths of the embeddings",
        "The embedding of each token along the two principal components of the last embedding.",
    ),
)
"""Figures of the weights of all checkpoints."""


def weight_plates(run: Trajectory, steps: Sequence[int]) -> Iterator[WeightPlate]:
    """Yield the figures of the weights: the paths, and one for each matrix at the given steps.

    Weights with more than two axes, such as those of several heads, have their rows one below the other.
    """
    yield from PATHS
    for name, shape in run.shapes.items():
        if len(shape) >= 2 and name in run.trained:
            yield matrix_plate(name, steps)


def matrix_plate(name: str, steps: Sequence[int]) -> WeightPlate:
    """Return the figure of one weight matrix."""

    def measure(run: Trajectory) -> xr.Dataset:
        saved = [step for step in steps if step in run]
        values = run.params([name], steps=saved)[name].flatten(1, -2).numpy()
        return xr.Dataset({"weight": (("step", "row", "column"), values)}, {"step": saved})

    def draw(data: xr.Dataset, view: View) -> Figure | None:
        return figures.weight_matrix(data, view.steps, name=name)

    return WeightPlate(measure, draw, f"Weights {name}", f"The matrix {name}, with the same color scale at every step.")
