"""The features from which the grok step of a run is predicted: numbers of its settings and of its early curves."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

LEAST_DECAY = 1e-4
"""Weight decays below this number count as this number, so that 0 has a logarithm."""

LEAST_LOSS = 1e-12
"""Losses below this number count as this number."""

SETTINGS = {
    "learning rate": "learning_rate",
    "weight decay": "weight_decay",
    "prime": "prime",
    "width": "d_model",
}
"""The settings whose logarithms are features, with their columns of the table ``runs``."""

CURVES = {
    "training loss": "train_loss",
    "test loss": "test_loss",
    "squared weight norm": "weight_norm",
    "gradient norm": "gradient_norm",
}
"""The metrics whose logarithms are features, with their change since half of the steps."""


def setting_features(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the logarithms of the settings, and the share of the training examples, where they are known.

    >>> setting_features({"learning_rate": 1.0, "weight_decay": 0.0, "prime": None, "train_fraction": 0.5})
    {'learning rate': 0.0, 'weight decay': -9.210340371976182, 'training share': 0.5}
    """
    found = {name: row.get(column) for name, column in SETTINGS.items()}
    known = {name: float(value) for name, value in found.items() if isinstance(value, int | float)}
    logs = {name: math.log(max(value, LEAST_DECAY)) for name, value in known.items()}
    share = row.get("train_fraction")
    return logs | ({"training share": float(share)} if isinstance(share, int | float) else {})


def curve_features(
    steps: Int[np.ndarray, " evaluation"],
    columns: Mapping[str, Float[np.ndarray, " evaluation"]],
    memorized: int | None,
) -> dict[str, float]:
    """Return the features of the curves at their last step; those that are missing or not finite are left out.

    They are the logarithms of losses and norms, each with its change since half of the steps, the accuracies, and the
    logarithm of the share of the steps at which the network memorized, 0 if it has not.

    Args:
        steps: the steps of the evaluations.
        columns: the metrics.
        memorized: the step of memorization.
    """
    found: dict[str, float] = {}
    half = int(np.searchsorted(steps, steps[-1] / 2))
    for name, column in CURVES.items():
        if column in columns:
            now, then = (math.log(max(float(columns[column][place]), LEAST_LOSS)) for place in (-1, half))
            found |= {name: now, f"{name}, change": now - then}
    for name, column in (("training accuracy", "train_accuracy"), ("test accuracy", "test_accuracy")):
        if column in columns:
            found[name] = float(columns[column][-1])
    last = max(int(steps[-1]), 1)
    found["memorization"] = 0.0 if memorized is None else math.log(max(memorized, 1) / last)
    return {name: value for name, value in found.items() if math.isfinite(value)}
