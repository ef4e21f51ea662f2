"""The checkpoint slider: its panels, and selected checkpoints packed compactly into the page."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import seaborn as sns  # noqa: F401  (registers the color map vlag)
import xarray as xr

from grokinterp.figures import key_frequencies
from grokinterp.figures.circuit.verdict import verdicts
from grokinterp.figures.style import DIVERGING, SEQUENTIAL
from grokinterp.numbers import number
from grokinterp.page.packing import Packed
from grokinterp.phases import Phase
from grokinterp.report.panels import PANELS, Panel, available
from grokinterp.report.phase_table import MEASURES, series
from grokinterp.report.plate import View, not_shown
from grokinterp.report.vocabulary import by_exponent

MOST_FRAMES = 400
"""Maximum number of frames; a slider is about as many pixels wide."""

READOUTS = ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "restricted_loss", "excluded_loss")
READ = ("performance", "progress_measures", "logit_spectrum", "circuit_verdict")
"""Analyses that provide the numbers and curves of the slider."""


class Explorer(NamedTuple):
    """The slider as plain values for the template; ``frames`` is None without checkpoints and without metrics.

    Attributes:
        frames: the data that the script draws.
        n_steps: number of checkpoints with results for all panels.
        panels: the panels in page order.
        missing: a sentence on panels that are not shown.
    """

    frames: Packed | None
    n_steps: int
    panels: list[Panel]
    missing: str


def explorer(view: View, *, budget: int) -> Explorer:
    """Return the slider of a run, packed into at most about ``budget`` bytes."""
    data, total = explored(view), view.results.dataset.sizes["step"]
    packed = frames(data, view, budget=budget, total=total) or bare(view)
    panels = [panel.with_text(data, view) for panel in available(data)] if packed and packed["panels"] else []
    missing = not_shown([name for panel in PANELS for name in panel.analyses], view)
    return Explorer(packed, data.sizes["step"], panels, missing)


def explored(view: View) -> xr.Dataset:
    """Return the results that the slider shows, over their common steps."""
    names = (*READ, *(name for panel in PANELS for name in panel.analyses))
    return by_exponent(view.results.joined(*names), view.vocabulary)


def bare(view: View) -> Packed | None:
    """Return a slider over the evaluations for the lead figure alone; None without evaluations."""
    metrics = view.results.metrics
    if not metrics.sizes["step"]:
        return None
    chosen = metrics.isel(step=choose(metrics["step"].values, [phase.start for phase in view.phases], MOST_FRAMES))
    return packed(chosen, view, panels=[]) | {"total": metrics.sizes["step"]}


def frames(dataset: xr.Dataset, view: View, *, budget: int = 3_000_000, total: int | None = None) -> Packed | None:
    """Return everything that the slider shows as JSON values; None without checkpoints or without panels.

    Args:
        dataset: analyses over the checkpoints.
        view: provides the phases, near whose boundaries checkpoints are denser, and the vocabulary of the axes.
        budget: maximum size of the packed frames in the page, in bytes; it limits the number of checkpoints.
        total: number of analyzed checkpoints, if the dataset contains only some of them.
    """
    if not dataset.sizes["step"] or not available(dataset):
        return None
    steps = dataset["step"].values
    fixed, per_frame = sizes(dataset, view)
    room = min(int((budget - fixed) // max(per_frame, 1)), MOST_FRAMES)
    chosen = dataset.isel(step=choose(steps, [phase.start for phase in view.phases], max(room, 2)))
    return packed(chosen, view) | {"total": len(steps) if total is None else total}


def packed(chosen: xr.Dataset, view: View, panels: Sequence[Panel] | None = None) -> Packed:
    """Return the frames of the selected checkpoints, for the available panels or some of them."""
    vocabulary = view.vocabulary
    shown = available(chosen) if panels is None else panels
    axis = "" if vocabulary.generator is None else f", as exponent of {vocabulary.generator}"
    return {
        "steps": chosen["step"].values.tolist(),
        "phases": [_phase_of(int(step), view.phases) for step in chosen["step"].values],
        "keys": key_frequencies(chosen),
        "readouts": _readouts(chosen),
        "words": {
            "label": vocabulary.label,
            "class": f"class{axis}",
            "token": "token" if vocabulary.generator is None else "exponent",
            "a": f"operand a{axis}",
            "b": f"operand b{axis}",
            "logit": f"mean centered logit [{vocabulary.logit_unit}]",
        },
        "panels": {panel.name: panel.pack(chosen) for panel in shown},
        "maps": {"sequential": _color_table(SEQUENTIAL), "diverging": _color_table(DIVERGING)},
    }


def sizes(dataset: xr.Dataset, view: View) -> tuple[int, float]:
    """Return the size independent of the frames and the size per frame, in bytes, measured on a sample of the steps."""
    sample = sorted({0, dataset.sizes["step"] // 2, dataset.sizes["step"] - 1})
    one, some = (len(json.dumps(packed(dataset.isel(step=at), view))) for at in (sample[-1:], sample))
    per_frame = (some - one) / (len(sample) - 1) if len(sample) > 1 else float(one)
    return int(one - per_frame), per_frame


def choose(steps: np.ndarray, boundaries: Sequence[int], most: int) -> list[int]:
    """Return indices of at most ``most`` steps: first, last, and evenly between, four times denser near boundaries.

    >>> choose(np.arange(0, 1000, 10), [], 5)
    [0, 25, 50, 74, 99]
    """
    n = len(steps)
    if n <= most:
        return list(range(n))
    index = np.arange(n)
    weight = np.ones(n)
    for boundary in boundaries:
        weight += 3 * np.exp(-0.5 * ((index - np.searchsorted(steps, boundary)) / max(n / 30, 1)) ** 2)
    mass = np.concatenate([[0], np.cumsum((weight[1:] + weight[:-1]) / 2)])
    return np.unique(np.interp(np.linspace(0, mass[-1], most), mass, index).round().astype(int)).tolist()


def _readouts(dataset: xr.Dataset) -> list[dict[str, Any]]:
    """Return the label and the formatted values of a few measures at every selected step."""
    found = [(measure, series(dataset, measure)) for measure in MEASURES if measure.name in READOUTS]
    written = [
        {"label": measure.label.split(",")[0], "values": [number(float(value)) for value in values.values]}
        for measure, values in found
        if values is not None
    ]
    circuit = [{"label": "circuit", "values": verdicts(dataset)}] if "is_circuit" in dataset else []
    return [*written, *circuit]


def _phase_of(step: int, phases: Sequence[Phase]) -> str:
    return next((phase.name for phase in phases if step in phase), "")


def _color_table(name: str) -> str:
    """Return 256 colors as one hexadecimal string."""
    return (mpl.colormaps[name](np.arange(256), bytes=True)[:, :3]).tobytes().hex()
