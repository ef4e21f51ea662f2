"""Write all figures of a run as files, with the data of each beside it."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure

from grokinterp.atlas.arguments import figure_folder, nearest, require_format
from grokinterp.atlas.plates import AT_LAST, AT_STEPS
from grokinterp.atlas.tables import csv_of
from grokinterp.atlas.weights import WeightPlate, weight_plates
from grokinterp.errors import ConfigError, GrokinterpError
from grokinterp.figures.style import FORMATS
from grokinterp.progress import track
from grokinterp.report import timeline
from grokinterp.report.chapters import CHAPTERS
from grokinterp.report.content import view_of
from grokinterp.report.plate import Plate, View
from grokinterp.runs.results import Results
from grokinterp.runs.trajectory import Trajectory
from grokinterp.storage import write_atomic
from grokinterp.storage.atomic import make_directory

INDEX = "index.csv"
"""The file that lists the figures: file, data, title, and caption or the reason why a figure is missing."""

LARGEST = 100_000
"""Largest number of values of a table; of larger data, a table holds the checkpoints that the figure shows."""


class Drawn(NamedTuple):
    """A figure with its data and its caption; without a figure, the caption is the reason."""

    figure: Figure | None
    data: Sequence[xr.Dataset]
    caption: str


class Sheet(NamedTuple):
    """A figure to be drawn.

    Attributes:
        name: the name of its files, without their ending.
        title: its title.
        draw: returns the figure with its data.
    """

    name: str
    title: str
    draw: Callable[[], Drawn]


def write_figures(
    run: Trajectory | Results | str | Path,
    out: str | Path,
    *,
    format: str = "png",
    steps: Iterable[int] | None = None,
    only: Iterable[str] | None = None,
    progress: bool = False,
) -> list[Path]:
    """Write every figure of a run into a folder, with its data as CSV beside it, and return the paths of the figures.

    These are the figures of the report, figures of all pairs of operands and of all neurons, every weight matrix, and
    the paths of the weights. Each table has a row for each value (``measure``, a column for each axis, ``value``).
    ``index.csv`` lists all figures with their captions, and the reason why others cannot be drawn.

    Args:
        run: a run that was analyzed, or its run directory.
        out: the folder, which is created if it is missing; other files in it stay.
        format: png, svg or pdf.
        steps: the checkpoints that figures of single checkpoints show (default: the first of each phase and the last);
            of each, the nearest measured one is taken.
        only: names of figures, as in ``index.csv`` without the ending (default: all).
        progress: show a progress bar on standard error.

    Raises:
        ConfigError: the format or a name is unknown, the folder is a file, or no figure can be drawn.
        RunDirectoryError: the path is not a run directory.
        GrokinterpError: a file cannot be written.
    """
    require_format(format)
    folder = figure_folder(out)
    trajectory = opened(run)
    view = view_at(trajectory.results, steps)
    chosen = choose(list(sheets(trajectory, view)), only)
    make_directory(folder)
    written, index = [], []
    for sheet in track(chosen, "drawing", total=len(chosen), shown=progress):
        found = sheet.draw()
        file = folder / f"{sheet.name}.{format}"
        table = file.with_suffix(".csv")
        if found.figure is not None:
            write_atomic(file, FORMATS[format](found.figure), replace=True)
            write_atomic(table, csv_of(found.data).encode(), replace=True)
            written.append(file)
        names = (file.name, table.name) if found.figure is not None else ("", "")
        index.append((sheet.name, *names, sheet.title, found.caption))
    if not written:
        raise ConfigError("run", trajectory.path, "has nothing to draw: analyze it first")
    columns = ["name", "figure", "data", "title", "caption"]
    write_atomic(folder / INDEX, pd.DataFrame(index, columns=columns).to_csv(index=False).encode(), replace=True)
    return written


def opened(run: Trajectory | Results | str | Path) -> Trajectory:
    """Return the trajectory of a run."""
    if isinstance(run, Trajectory):
        return run
    return Trajectory.open(run.directory.path if isinstance(run, Results) else run)


def view_at(results: Results, steps: Iterable[int] | None) -> View:
    """Return the view of a run at the nearest measured steps: by default, the first of each phase and the last."""
    view, measured = view_of(results), results.dataset["step"].values.tolist()
    if not measured:
        return view
    wanted = list(steps) if steps is not None else [*(phase.start for phase in view.phases), measured[-1]]
    return view._replace(steps=nearest(wanted, measured))


def choose(found: Sequence[Sheet], only: Iterable[str] | None) -> list[Sheet]:
    """Return the figures of the given names, or all. Raises ConfigError, which lists all names, for another name."""
    known = {sheet.name: sheet for sheet in found}
    for name in only or ():
        if name not in known:
            raise ConfigError("only", name, f"must be among {', '.join(known)}")
    return [known[name] for name in only] if only else list(found)


def sheets(run: Trajectory, view: View) -> Iterator[Sheet]:
    """Yield every figure of a run, by chapters."""
    by_chapter = {chapter.name: (*chapter.checkpoint_plates, *chapter.plates) for chapter in CHAPTERS}
    for name, plates in {"run": timeline.PLATES, **by_chapter, "pairs": AT_STEPS}.items():
        yield from (plate_sheet(name, plate, view) for plate in plates if concerns(plate, view))
    last = view._replace(steps=view.steps[-1:])
    yield from (plate_sheet("pairs", plate, last) for plate in AT_LAST)
    for plate in weight_plates(run, nearest(view.steps, run.steps) if view.steps and run.steps else run.steps[-1:]):
        yield weight_sheet(plate, run, view)


def concerns(plate: Plate, view: View) -> bool:
    """Return whether a figure concerns the task of a run: figures of some tasks only do if they were analyzed."""
    return not plate.of_some or any(name in view.results.analyses for name in plate.analyses)


def plate_sheet(chapter: str, plate: Plate, view: View) -> Sheet:
    """Return a figure of results."""

    def draw() -> Drawn:
        data = plate.data(view)
        if plate.analyses and not (data and data.sizes.get("step")):
            return Drawn(None, (), f"not drawn: {missing(plate, view)}")
        steps = nearest(view.steps, data["step"].values.tolist()) if plate.analyses and view.steps else view.steps
        seen = view._replace(steps=steps)
        figure = plate.draw(data, seen)
        if figure is None:
            return Drawn(None, (), "not drawn: there is nothing to show for this run")
        return Drawn(figure, data_of(plate, data, seen), plate.text(data, seen))

    return Sheet(file_name(chapter, plate.title), plate.title, draw)


def weight_sheet(plate: WeightPlate, run: Trajectory, view: View) -> Sheet:
    """Return a figure of the weights."""

    def draw() -> Drawn:
        try:
            data = plate.measure(run)
            figure = plate.draw(data, view)
        except GrokinterpError as error:  # damaged checkpoints, or a module that was not given
            return Drawn(None, (), f"not drawn: {error}")
        reason = "not drawn: it needs two checkpoints and two directions"
        return Drawn(figure, (data,), plate.caption if figure is not None else reason)

    return Sheet(file_name("weights", plate.title.removeprefix("Weights ")), plate.title, draw)


def data_of(plate: Plate, data: xr.Dataset, view: View) -> list[xr.Dataset]:
    """Return the data of a figure; without analyses of its own, the metrics and what is drawn with them."""
    if not plate.analyses:
        results = view.results
        if plate not in timeline.PLATES:
            return [results.learning_order]
        measured = results.joined(*timeline.ANALYSES).drop_vars(list(results.metrics.data_vars), errors="ignore")
        return [curves_of(part) for part in (results.metrics, measured)]
    size = sum(int(np.prod(values.shape)) for values in data.data_vars.values())
    return [data.sel(step=[*view.steps]) if size > LARGEST and view.steps else data]


def curves_of(dataset: xr.Dataset) -> xr.Dataset:
    """Return the measures of a dataset that are curves over the steps."""
    curves = {"step", "split", "answer"}
    return dataset[[name for name, values in dataset.data_vars.items() if set(values.dims) <= curves]]


def missing(plate: Plate, view: View) -> str:
    """Return the reason why the results of a figure are missing."""
    results = view.results
    reasons = [results.not_defined.get(name, "not analyzed") for name in plate.analyses if name not in results.analyses]
    return "; ".join(dict.fromkeys(reasons)) or "no checkpoint was analyzed by all of its analyses"


def file_name(chapter: str, title: str) -> str:
    """Return the name of the files of a figure.

    >>> file_name("structure", "Spectra and logits"), file_name("weights", "embed.W_E")
    ('structure_spectra_and_logits', 'weights_embed.W_E')
    """
    words = re.sub(r"[^\w.-]+", "_", title).strip("_")
    return f"{chapter}_{words if chapter == 'weights' and '.' in words else words.lower()}"
