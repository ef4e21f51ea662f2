"""The last measures and the last step of a run."""

import math
from typing import Any

from grokinterp.numbers import whole
from grokinterp.report.plate import View

FROM_METRICS = ("train_loss", "test_loss", "train_accuracy", "test_accuracy")


def last_measures(view: View) -> dict[str, Any]:
    """Return the measures of the last checkpoint; metrics of the last evaluation replace missing ones."""
    metrics = view.results.metrics
    names = [name for name in FROM_METRICS if name in metrics and metrics.sizes["step"]]
    last = {name: float(metrics[name].values[-1]) for name in names}
    return {name: value for name, value in last.items() if math.isfinite(value)} | view.results.measures()


def last_step(view: View) -> str:
    """Return the step of the last evaluation."""
    return whole(int(view.results.metrics["step"].values[-1]))
