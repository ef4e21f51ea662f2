"""Animations of a run: its curves and views of the network at one checkpoint after another."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap, Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from grokinterp.atlas.arguments import animation_file, require_frames, require_writer
from grokinterp.atlas.films import WRITERS
from grokinterp.atlas.write import opened
from grokinterp.errors import RunDirectoryError
from grokinterp.figures.heatmaps import heatmap, largest, thin
from grokinterp.figures.series import STEP, draw_lines, draw_phases, lines_of, name_phases, step_limits
from grokinterp.figures.structure.circles import draw_circle
from grokinterp.figures.structure.pairs import FIELD, kinds_of, share
from grokinterp.figures.structure.spectra import draw_logits, draw_spectrum
from grokinterp.figures.style import BLUE, INK, ORANGE, SEQUENTIAL, blank, place, styled
from grokinterp.numbers import whole
from grokinterp.progress import track
from grokinterp.report.content import view_of
from grokinterp.report.plate import View
from grokinterp.runs.results import Results
from grokinterp.runs.trajectory import Trajectory
from grokinterp.storage import write_atomic
from grokinterp.storage.atomic import make_directory

FRAMES, RATE, DPI = 100, 12.0, 80
"""Number of frames, frames per second, and dots per inch by default."""

WIDTH, HEIGHT, TOP = 10.0, 5.6, 2.35
"""Size of the frames, and the height of their curves, in inches."""

INK_RGB = tuple(round(255 * part) for part in to_rgb(INK))

MOST_VIEWS = 3
"""Largest number of views of the network beside each other."""


class Moving(NamedTuple):
    """A view of the network that changes from checkpoint to checkpoint.

    Attributes:
        analyses: the analyses that it needs.
        draw: draws the view at a checkpoint, given its results and those of all checkpoints.
    """

    analyses: tuple[str, ...]
    draw: Callable[[Axes, xr.Dataset, xr.Dataset, View], None]


def draw_field(axes: Axes, at: xr.Dataset, _whole: xr.Dataset, _view: View) -> None:
    """Draw which pairs are answered correctly."""
    kinds = kinds_of(at)
    values, every = thin(kinds, "a", "b")
    colors = ListedColormap([color for _, color in FIELD])
    heatmap(axes, values.transpose("b", "a").values, Normalize(0, 3), colors, every)
    axes.set(title=f"Held-out pairs correct: {share(kinds):.0%}", xlabel="operand a", ylabel="operand b")


def draw_attention(axes: Axes, at: xr.Dataset, _whole: xr.Dataset, _view: View) -> None:
    """Draw the attention of the first head to a."""
    values, every = thin(at["attention_to_a"].isel(head=0), "a", "b")
    heatmap(axes, values.transpose("b", "a").values, Normalize(0, 1), SEQUENTIAL, every)
    axes.set(title="Attention to a, head 0", xlabel="operand a", ylabel="operand b")


def draw_first_circle(axes: Axes, at: xr.Dataset, whole_run: xr.Dataset, _view: View) -> None:
    """Draw the embedding in the plane of the key frequency with the largest circle at the end."""
    ends = whole_run["embedding_circle"].isel(step=-1).transpose("key", "exponent", "axis").values
    key = int(np.abs(ends).max((1, 2)).argmax())
    reach = largest(whole_run["embedding_circle"].isel(key=key).values) * 1.1
    draw_circle(axes, at["embedding_circle"].isel(key=key), int(at["key"].values[key]), reach)
    axes.set(title=f"Embedding, k = {int(at['key'].values[key])}", xlabel="cosine direction", ylabel="sine direction")


def draw_frequencies(axes: Axes, at: xr.Dataset, whole_run: xr.Dataset, _view: View) -> None:
    """Draw the spectrum of the embedding."""
    draw_spectrum(axes, at, whole_run)


def draw_labels(axes: Axes, at: xr.Dataset, _whole: xr.Dataset, view: View) -> None:
    """Draw the mean logits of every class for every label."""
    draw_logits(axes, at, view.vocabulary.label, view.vocabulary.logit_unit)


MOVING = (
    Moving(("pair_answers",), draw_field),
    Moving(("embedding_circles",), draw_first_circle),
    Moving(("embedding_spectrum", "logit_spectrum"), draw_frequencies),
    Moving(("logit_map",), draw_labels),
    Moving(("attention_map",), draw_attention),
)
"""Views of the network in order; an animation shows the first that the run has."""


def animate(
    run: Trajectory | Results | str | Path,
    out: str | Path,
    *,
    frames: int = FRAMES,
    fps: float = RATE,
    dpi: int = DPI,
    progress: bool = False,
) -> Path:
    """Write an animation of an analyzed run and return its path.

    Each frame shows the losses and accuracies with the phases and a mark at the step, and up to three views of the
    network: which pairs are answered correctly, the embedding circle of a key frequency, the spectrum of the embedding;
    without these, the logits by label and the attention.

    Args:
        run: a run that was analyzed, or its run directory.
        out: the file, which ends in .gif or, with the program ffmpeg, in .mp4.
        frames: the largest number of frames; more checkpoints are thinned evenly.
        fps: frames per second.
        dpi: dots per inch of frames of 10 × 5.6 inches.
        progress: show a progress bar on standard error.

    Raises:
        ConfigError: the file has another ending, or a number is out of range.
        RunDirectoryError: the path is not a run directory, or has nothing to animate.
        GrokinterpError: ffmpeg is missing or fails, or the file cannot be written.
    """
    file = animation_file(out)
    require_frames(frames, fps, dpi)
    require_writer(file)
    trajectory = opened(run)
    view = view_of(trajectory.results)
    views = views_of(view.results)
    steps = thinned_evenly(steps_of(views, trajectory), frames)
    if len(steps) < 2:
        raise RunDirectoryError(trajectory.path, "has fewer than two analyzed checkpoints to animate: analyze it first")
    pictures = track(drawn(views, steps, view, dpi), "drawing", total=len(steps), shown=progress)
    content = WRITERS[file.suffix](pictures, fps)
    make_directory(file.parent)
    write_atomic(file, content, replace=True)
    return file


def views_of(results: Results) -> list[tuple[Moving, xr.Dataset]]:
    """Return the views of the network that a run has, with their results."""
    found = []
    for one in MOVING:
        data = results.joined(*one.analyses)
        if all(name in results.analyses for name in one.analyses) and data.sizes["step"]:
            found.append((one, data))
    return found[:MOST_VIEWS]


def steps_of(views: Sequence[tuple[Moving, xr.Dataset]], run: Trajectory) -> list[int]:
    """Return the steps at which every view was measured, within the part of the run that is shown."""
    measured = [set(data["step"].values.tolist()) for _, data in views]
    return sorted(step for step in (set.intersection(*measured) if measured else ()) if step in run.window)


def thinned_evenly(steps: Sequence[int], most: int) -> list[int]:
    """Return at most so many of the steps, evenly spaced in their order, with the first and the last.

    >>> thinned_evenly([0, 1, 2, 3, 4], 3)
    [0, 2, 4]
    """
    if len(steps) <= most:
        return list(steps)
    return [steps[round(i * (len(steps) - 1) / (most - 1))] for i in range(most)]


def drawn(
    views: Sequence[tuple[Moving, xr.Dataset]], steps: Sequence[int], view: View, dpi: int
) -> Iterator[np.ndarray]:
    """Yield the frames [row, column, (red, green, blue)] of the steps, with an even number of rows and of columns.

    The curves are drawn once; each frame adds its mark and the views of the network below.
    """
    curves = draw_curves(view, steps)
    above, marks = pixels(curves, dpi), [axes for axes in curves.axes if axes.axison]
    for step in steps:
        top = above.copy()
        for axes in marks:
            x, (low, high) = int(axes.transData.transform((step, 1.0))[0]), (int(axes.bbox.y0), int(axes.bbox.y1))
            top[len(top) - high : len(top) - low, max(0, x - 1) : x + 1] = INK_RGB
        yield np.concatenate([top, pixels(draw_views(views, step, view), dpi)])


@styled()
def draw_views(views: Sequence[tuple[Moving, xr.Dataset]], step: int, view: View) -> Figure:
    """Return the views of the network at a step, side by side."""
    figure = blank(WIDTH, HEIGHT - TOP)
    side, gap = 2.35, (WIDTH - 0.9 - 3 * 2.35) / 3
    for i, (one, data) in enumerate(views):
        axes = place(figure, 0.75 + (side + gap) * i, 0.4, side, side)
        one.draw(axes, data.sel(step=step), data, view)
    figure.text(0.995, 0.99, f"step {whole(step)}", ha="right", va="top", fontsize=11, weight="bold")
    if any(one.draw is draw_field for one, _ in views):
        handles = [Patch(color=color, label=name) for name, color in FIELD]
        figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.06, 1.02), ncols=4, fontsize=8)
    return figure


@styled()
def draw_curves(view: View, steps: Sequence[int]) -> Figure:
    """Return the losses and the accuracies side by side, with the phases."""
    figure, metrics = blank(WIDTH, TOP), view.results.metrics
    for i, (measure, label) in enumerate((("loss", f"loss [{view.vocabulary.unit}]"), ("accuracy", "accuracy [1]"))):
        axes = place(figure, 0.75 + 4.75 * i, 0.55, 3.95, TOP - 1.05)
        lines = lines_of(
            metrics, {f"{part}_{measure}": (part, color) for part, color in (("train", BLUE), ("test", ORANGE))}
        )
        draw_lines(axes, lines, log=measure == "loss")
        draw_phases(axes, view.phases)
        measured = [line.values["step"].values for line in lines]
        step_limits(axes, np.concatenate([*measured, np.array(steps)]))
        axes.set(xlabel=STEP, ylabel=label)
        if lines and i == 0:
            axes.legend(loc="upper right", ncols=2)
        if view.phases:
            strip = place(figure, 0.75 + 4.75 * i, 0.15, 3.95, 0.4)
            strip.set_xlim(axes.get_xlim())
            name_phases(strip, view.phases, inches=3.95)
    return figure


def pixels(figure: Figure, dpi: int) -> np.ndarray:
    """Return a figure as pixels [row, column, (red, green, blue)], cut to even numbers of rows and columns."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    image = np.asarray(canvas.buffer_rgba())[..., :3]
    return image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2].copy()
