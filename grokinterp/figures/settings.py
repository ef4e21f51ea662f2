"""Figure of the settings that changed during training: rates, batches, filters, and examples."""

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from grokinterp.figures.series import Line
from grokinterp.figures.style import BLUE, BROWN, GREEN, ORANGE, PURPLE
from grokinterp.figures.timeline import Panel, stacked
from grokinterp.numbers import compact
from grokinterp.phases import History

SETTINGS = {
    "learning_rate": ("Learning rate", "rate [1]", BLUE),
    "weight_decay": ("Weight decay", "decay [1]", PURPLE),
    "batch_size": ("Batch size", "[examples]", BROWN),
    "lamb": ("Amplification by Grokfast", "λ [1]", ORANGE),
    "examples": ("Training examples in use", "[examples]", GREEN),
}
"""Title, axis label, and color of every column of the metrics that is a setting."""


def training_settings(metrics: xr.Dataset, history: History | None = None) -> Figure | None:
    """Draw a panel for each setting that changed in training, with the phases; return None if none changed."""
    return stacked([panel(metrics[name], *SETTINGS[name]) for name in changing(metrics)], history)


def panel(values: xr.DataArray, title: str, y_label: str, color: str) -> Panel:
    """Return the panel of a setting, labeled with its smallest and largest value."""
    least, largest = (compact(float(f"{bound:.3g}")) for bound in (values.min(), values.max()))
    return Panel(title, y_label, [Line(f"{least} to {largest}", values, color)])


def changing(metrics: xr.Dataset) -> list[str]:
    """Return the settings that changed, disregarding the learning rate in the first hundredth of the run (warm-up).

    >>> rates = {"learning_rate": ("step", [0.1, 1.0, 1.0]), "batch_size": ("step", [8, 16, 32])}
    >>> changing(xr.Dataset(rates, coords={"step": [0, 10, 20]}))
    ['batch_size']
    """
    return [name for name in SETTINGS if name in metrics and len(_values(metrics, name)) > 1]


def unchanged(metrics: xr.Dataset) -> list[str]:
    """Return the settings that did not change."""
    return [name for name in SETTINGS if name in metrics and len(_values(metrics, name)) == 1]


def _values(metrics: xr.Dataset, name: str) -> np.ndarray:
    """Return the distinct values of a setting; for the learning rate, after the first hundredth of the steps."""
    values, steps = metrics[name].values, metrics["step"].values
    if name == "learning_rate" and steps.size:
        values = values[steps > steps[0] + (steps[-1] - steps[0]) / 100]
    return np.unique(values[np.isfinite(values)])
