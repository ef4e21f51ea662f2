"""The explorer: a slider over the checkpoints of a run that moves its curves and a view of the network."""

from bisect import bisect_right
from pathlib import Path
from typing import Any

from grokinterp.errors import GrokinterpError, RunDirectoryError
from grokinterp.interactive.arrays import STEP
from grokinterp.interactive.layout import WIDTH
from grokinterp.interactive.lines import line
from grokinterp.interactive.packages import go, widgets
from grokinterp.interactive.views import View, views_of
from grokinterp.numbers import whole
from grokinterp.phases import Phase
from grokinterp.runs.results import Results
from grokinterp.runs.trajectory import Trajectory

CURVES = ("train_loss", "test_loss")
INTERVAL = 150
"""Milliseconds between two checkpoints when the slider plays."""


def explore(run: Trajectory | Results | str | Path) -> Any:
    """Return a slider over the checkpoints of a run, with its curves and a view of the network, for Jupyter.

    A menu chooses the view: spectra, circles, neurons, logits and attention, if they were analyzed, and the
    weights. A view that was measured at fewer checkpoints shows the last one before the slider. A click on a curve
    moves the slider. ``explore(run[100:2000])`` shows a part of the run.

    Args:
        run: a trajectory, results, or a run directory.

    Raises:
        RunDirectoryError: the path is not a run directory, or has neither results nor checkpoints.
        GrokinterpError: plotly or ipywidgets is not installed.
    """
    trajectory = opened(run)
    results = trajectory.results
    views = views_of(trajectory, results)
    if not views:
        raise RunDirectoryError(trajectory.path, "has neither results nor checkpoints to explore")
    steps = sorted({step for view in views.values() for step in view.steps})
    slider = widgets.SelectionSlider(
        options=[(whole(step), step) for step in steps], value=steps[-1], description="step", continuous_update=True,
        layout=widgets.Layout(width=f"{WIDTH - 150}px"),
    )  # fmt: skip
    play = widgets.Play(min=0, max=len(steps) - 1, interval=INTERVAL, description="play")
    widgets.jslink((play, "value"), (slider, "index"))
    menu = widgets.Dropdown(options=list(views), description="view")
    picture = go.FigureWidget()

    def choose(_change: object) -> None:
        show_view(picture, views[menu.value], slider.value)

    def move(_change: object) -> None:
        show_step(picture, views[menu.value], slider.value)

    menu.observe(choose, names="value")
    slider.observe(move, names="value")
    choose(None)
    return widgets.VBox([widgets.HBox([play, slider]), *curves(trajectory, results, slider), menu, picture])


def opened(run: Trajectory | Results | str | Path) -> Trajectory:
    """Return the trajectory of a run."""
    if isinstance(run, Trajectory):
        return run
    return Trajectory.open(run.directory.path if isinstance(run, Results) else run)


def curves(run: Trajectory, results: Results, slider: Any) -> list[Any]:
    """Return the chart of the losses, with a line at the step of the slider; empty without curves."""
    metrics = run.metrics
    names = [name for name in CURVES if name in metrics]
    if metrics.sizes[STEP] < 2 or not names:
        return []
    chart = go.FigureWidget(line(metrics[names], log=True, phases=phases_of(results)))
    chart.update_layout(height=260)
    steps = [step for _, step in slider.options]

    def mark(_change: object) -> None:
        with chart.batch_update():
            chart.layout.shapes[-1].update(x0=slider.value, x1=slider.value)

    def jump(_trace: object, points: Any, _state: object) -> None:
        if points.xs:
            slider.value = shown_step(steps, int(points.xs[0]))

    chart.add_vline(x=slider.value, line={"width": 1.5, "dash": "dot"})
    slider.observe(mark, names="value")
    for trace in chart.data:
        trace.on_click(jump)
    return [chart]


def phases_of(results: Results) -> tuple[Phase, ...]:
    """Return the phases of a run; none if its curves cannot be dated."""
    try:
        return results.history.phases
    except GrokinterpError:
        return ()


def show_view(picture: Any, view: View, step: int) -> None:
    """Draw another view into a figure, at the last measured step up to ``step``."""
    with picture.batch_update():
        picture.data = []
        picture.layout = view.layout
        picture.add_traces(traces_at(picture, view, step))


def show_step(picture: Any, view: View, step: int) -> None:
    """Move the view of a figure to another step."""
    with picture.batch_update():
        for old, new in zip(picture.data, traces_at(picture, view, step), strict=True):
            old.update(new.to_plotly_json())


def traces_at(picture: Any, view: View, step: int) -> list[Any]:
    """Return the traces of a view at the last measured step up to ``step``, which the title of the figure names."""
    at = shown_step(view.steps, step)
    picture.layout.title.text = f"{view.name}, step {whole(at)}"
    try:
        return view.traces(at)
    except GrokinterpError as error:  # a damaged checkpoint
        picture.layout.title.text = f"{view.name}: {error}"
        return list(picture.data)


def shown_step(steps: tuple[int, ...] | list[int], step: int) -> int:
    """Return the last of the ascending steps up to ``step``, or else the first.

    >>> shown_step((100, 200, 300), 250), shown_step((100, 200, 300), 0)
    (200, 100)
    """
    return steps[max(0, bisect_right(steps, step) - 1)]
