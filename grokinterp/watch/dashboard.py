"""The dashboard of a run in the terminal: progress, curves, and the verdict so far."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from grokinterp.errors import printable
from grokinterp.lazy import kept_random_state
from grokinterp.numbers import number, percent, whole
from grokinterp.watch.braille import Dotted, dotted
from grokinterp.watch.look import Look, duration

with kept_random_state():  # importing rich draws a random number
    from rich.console import Group, RenderableType
    from rich.panel import Panel
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

PARTS = {"train": "blue", "validation": "green", "test": "yellow"}
"""The curves of losses and accuracies, with their colors."""

WIDTH = 64
"""Largest width of a chart, in characters."""

LOWEST, HIGHEST = 3, 9
"""Smallest and largest height of a chart, in characters."""

AROUND = 16
"""Lines of the dashboard besides its charts."""

MARGIN, NAMES = 10, 12
"""Width of the labels left of a chart and of the names right of it, in characters."""

LABELS = {
    "train_loss": "train loss", "test_loss": "test loss", "validation_loss": "validation loss",
    "train_accuracy": "train accuracy", "test_accuracy": "test accuracy",
    "validation_accuracy": "validation accuracy", "weight_norm": "weight norm Σθ²", "learning_rate": "learning rate",
}  # fmt: skip
"""The metrics whose last value is shown."""


class Chart(NamedTuple):
    """A chart of some metrics: its title, the ending of their names, and whether its values are logarithmic."""

    title: str
    measure: str
    is_log: bool


CHARTS = (Chart("Loss (logarithmic)", "loss", True), Chart("Accuracy", "accuracy", False))


def dashboard(look: Look, *, width: int, height: int) -> RenderableType:
    """Return the dashboard for a terminal of this size, in characters."""
    style = "bold green" if look.status == "finished" else "bold red" if look.is_over else "bold yellow"
    parts: list[RenderableType] = [Text(printable(look.state), style=style), *progress(look)]
    room = max(min(WIDTH, width - MARGIN - NAMES - 4), 12)
    rows = min(max((height - AROUND) // len(CHARTS), LOWEST), HIGHEST)
    for chart in CHARTS:
        parts += chart_lines(look, chart, room, rows)
    parts += [numbers(look, columns=2 if room > 24 else 1), Text(printable(look.verdict))]
    title = Text(printable(look.name))
    return Panel(Group(*parts), title=title, title_align="left", width=min(width, room + MARGIN + NAMES + 4))


def progress(look: Look) -> Iterator[RenderableType]:
    """Yield the bar of the steps done, and the speed, if they are known."""
    if look.share is not None:
        bar = Table.grid()
        bar.add_row(ProgressBar(total=1.0, completed=look.share, width=40))
        yield bar
    facts = [f"{whole(look.checkpoints)} checkpoints"]
    if look.speed and not look.is_over:
        facts.append(f"{number(look.speed)} steps/s")
    if look.seconds_left is not None:
        facts.append(f"at most {duration(look.seconds_left)} left")
    yield Text(" · ".join(facts))


def chart_lines(look: Look, chart: Chart, width: int, height: int) -> Iterator[Text]:
    """Yield the lines of a chart over logarithmic steps; none without values."""
    names = {part: f"{part}_{chart.measure}" for part in PARTS}
    known = {part: look.columns[name] for part, name in names.items() if name in look.columns}
    scaled = {part: np.log10(y, out=np.full(len(y), np.nan), where=y > 0) if chart.is_log else y
              for part, y in known.items()}  # fmt: skip
    finite = np.concatenate([np.zeros(0), *(y[np.isfinite(y)] for y in scaled.values())])
    if not finite.size:
        return
    low, high = (float(finite.min()), float(finite.max())) if chart.is_log else (0.0, 1.0)
    x, span = positions(look.steps), (high - low) or 1.0
    curves = {part: Dotted(PARTS[part], x, (y - low) / span) for part, y in scaled.items()}
    ends = (number(10**high), number(10**low)) if chart.is_log else ("1", "0")
    named = names_by_row(curves, height)
    yield Text(chart.title, style="bold")
    for place, row in enumerate(dotted(list(curves.values()), width, height)):
        label = ends[0] if place == 0 else ends[1] if place == height - 1 else ""
        yield Text.assemble((f"{label:>{MARGIN - 2}} ┤", "dim"), *row, *named.get(place, []))
    steps = f"step {whole(int(look.steps[0]))} to {whole(int(look.steps[-1]))}, logarithmic"
    yield Text(f"{'':{MARGIN}}{steps}", style="dim")


def names_by_row(curves: Mapping[str, Dotted], height: int) -> dict[int, list[tuple[str, str]]]:
    """Return the names of the curves with their colors, by the row in which each curve ends."""
    found: dict[int, list[tuple[str, str]]] = {}
    for part, curve in curves.items():
        ends = curve.y[np.isfinite(curve.y)]
        if ends.size:
            row = (4 * height - 1 - round(float(ends[-1].clip(0, 1)) * (4 * height - 1))) // 4
            found.setdefault(row, []).append((f" {part}", curve.style))
    return found


def positions(steps: np.ndarray) -> np.ndarray:
    """Return the places of the steps on a logarithmic axis from 0 to 1; step 0 is at the left end.

    >>> positions(np.array([0, 10, 100, 1000])).round(2).tolist()
    [0.0, 0.13, 0.57, 1.0]
    """
    positive = steps[steps > 0]
    if not positive.size:
        return np.zeros(len(steps))
    low = float(positive.min()) / (2 if (steps == 0).any() else 1)
    logs = np.log(np.maximum(steps, low) / low)
    return logs / (logs[-1] or 1.0)


def numbers(look: Look, *, columns: int) -> Table:
    """Return the last values of the metrics as a table."""
    table = Table.grid(padding=(0, 3))
    cells = []
    for name, label in LABELS.items():
        value = look.last(name)
        if value is not None:
            shown = percent(value) if name.endswith("accuracy") else number(value)
            cells.append(Text.assemble((f"{label} ", "dim"), shown))
    for place in range(0, len(cells), columns):
        table.add_row(*cells[place : place + columns])
    return table
