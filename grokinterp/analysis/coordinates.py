"""The values along every dimension that an analysis may name."""

from collections.abc import Mapping, Sequence
from typing import Any

from grokinterp.analysis.weights import RANKS, matrix_names
from grokinterp.experiment import Experiment
from grokinterp.models import Model


def coordinates(experiment: Experiment, model: Model, arguments: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """Dimension name → coordinate values.

    ``key`` are the key frequencies an analysis was given; the rest follows from the task's and the
    model's sizes.
    """
    task, spec = experiment.task, experiment.model
    residues = range(task.n_classes)
    axes: dict[str, Sequence[Any]] = {
        "split": ("train", "test", "all"),
        "precision": ("float32", "float64"),
        "axis": ("cos", "sin"),
        "frequency": range(1, task.n_classes // 2 + 1),
        "class": residues,
        "a": residues,
        "b": residues,
        "sum": residues,
        "token": residues,
        "layer": range(spec.n_layers),
        "head": range(spec.n_heads),
        "position": range(task.n_ctx),
        "neuron": range(spec.d_mlp),
        "parameter": [name for name, _ in model.named_parameters()],
        "matrix": matrix_names(model),
        "rank": range(1, RANKS + 1),
    }
    if "key_frequencies" in arguments:
        axes["key"] = arguments["key_frequencies"].tolist()
    return axes
