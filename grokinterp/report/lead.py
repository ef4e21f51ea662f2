"""The lead figure of a report: losses, progress measures, and accuracies over all steps, with the phases."""

from typing import Any, NamedTuple

import numpy as np

from grokinterp.figures.timeline import LEAD, Panel, panels, stacked
from grokinterp.page.pictures import Picture, picture
from grokinterp.report.plate import View
from grokinterp.report.timeline import ANALYSES, timeline_caption

MOST_POINTS = 500
"""Maximum number of points of a curve; a figure is about twice as many pixels wide."""

DASHES = {"-": "none", "--": "6 4", ":": "2 3", "-.": "6 3 2 3"}


class Lead(NamedTuple):
    """The lead figure as data for the script, as a picture for readers without it, and its caption."""

    data: dict[str, Any]
    picture: Picture
    caption: str


def lead(view: View) -> Lead | None:
    """Return the lead figure; None if it has curves of fewer than two steps."""
    results, history = view.results, view.history
    loss = f"{view.vocabulary.loss} [{view.vocabulary.unit}]"
    found = panels(LEAD, results.metrics, results.joined(*ANALYSES), loss)
    steps = sorted({int(step) for panel in found for line in panel.lines for step in line.values["step"].values})
    figure = stacked(found, history) if len(steps) > 1 else None
    if figure is None:
        return None
    caption = timeline_caption(results.metrics, view)
    data = {
        "panels": [packed(panel) for panel in found],
        "first": steps[0],
        "last": steps[-1],
        "phases": [{"name": phase.name, "start": phase.start, "stop": phase.stop} for phase in view.phases],
        "events": sorted({event.step for event in history.events})[:200] if history else [],
    }
    return Lead(data, picture(figure, caption, "Losses, progress measures, and accuracies over the steps"), caption)


def packed(panel: Panel) -> dict[str, Any]:
    """Return a panel as JSON values; values that are not finite are null."""
    curves = []
    for line in panel.lines:
        n = line.values.sizes["step"]
        chosen = np.unique(np.linspace(0, n - 1, min(n, MOST_POINTS)).round().astype(int))
        values = line.values.values.astype(float)[chosen]
        curves.append({
            "label": line.label,
            "color": line.color,
            "dash": DASHES.get(line.style, "none"),
            "at": line.values["step"].values[chosen].tolist(),
            "values": [float(f"{value:.6g}") if np.isfinite(value) else None for value in values],
        })  # fmt: skip
    return {
        "title": f"{panel.title} [{panel.y_label.rpartition('[')[2]}" if "[" in panel.y_label else panel.title,
        "log": panel.log,
        "limits": list(panel.y_limits) if panel.y_limits else None,
        "curves": curves,
    }
