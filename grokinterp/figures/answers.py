"""The figure of the accuracies of several answers."""

import xarray as xr
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from grokinterp.figures.heatmaps import Heat, over_steps

__all__ = ["accuracy_of_answers"]


def accuracy_of_answers(metrics: xr.Dataset) -> Figure | None:
    """Draw the training and the test accuracy of each answer over the steps; return None for a single answer."""
    found = {
        title: metrics[name]
        for title, name in (("training", "train_accuracy_of_answer"), ("test", "test_accuracy_of_answer"))
        if name in metrics
    }
    return over_steps([Heat(title, of, "accuracy [1]", norm=Normalize(0, 1)) for title, of in found.items()], "answer")
