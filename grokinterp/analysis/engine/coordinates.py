"""Coordinate values along the dimensions that analyses name."""

from collections.abc import Mapping, Sequence
from inspect import unwrap
from typing import Any, NamedTuple

from grokinterp.analysis.engine.labeled import Analysis
from grokinterp.errors import require, short
from grokinterp.experiment.problem import Problem
from grokinterp.models import Model
from grokinterp.tasks import Task


class Setting(NamedTuple):
    """The inputs that coordinate values may depend on: problem, model, and arguments of the analyses."""

    problem: Problem
    model: Model
    arguments: Mapping[str, Any]

    @property
    def task(self) -> Task:
        """The task of the problem."""
        return self.problem.task


def coordinates(analysis: Analysis, setting: Setting) -> dict[str, Sequence[Any]]:
    """Return coordinate values by dimension: the shared dimensions, and those that this analysis declares.

    An analysis declares its own dimensions in a dictionary ``AXES`` in its module. A value is a sequence, or a function
    from the ``Setting`` to a sequence: ``AXES = {"exponent": lambda setting: range(setting.task.p)}``.

    Raises:
        ConfigError: the analysis declares ``step``, or a shared dimension with other values.
    """
    axes, declared = shared_axes(setting), unwrap(analysis).__globals__.get("AXES", {})
    own = {name: axis(setting) if callable(axis) else axis for name, axis in declared.items()}
    for name, axis in own.items():
        key = f"{analysis.__name__}.{name}"
        require(name != "step", key, short(axis), "must not be declared: it holds the steps of the run")
        rule = "must have another name: all analyses share this axis and its values"
        require(name not in axes or list(axis) == list(axes[name]), key, short(axis), rule)
    return axes | own


def shared_axes(setting: Setting) -> dict[str, Sequence[Any]]:
    """Return the axes determined by the sizes of task and model and by the arguments of the analyses.

    ``key`` holds the key frequencies and ``hook`` the hooks passed to an analysis.
    """
    problem, model, arguments = setting
    classes, tokens = range(setting.task.n_classes), range(setting.task.d_vocab)
    axes: dict[str, Sequence[Any]] = {
        "split": ("train", "test", "all"),
        "class": classes,
        "other_class": classes,
        "label": classes,
        "a": tokens,
        "b": tokens,
        "layer": range(model.n_layers),
        "hook": arguments.get("hooks") or model.feature_hooks,
        "head": range(model.n_heads),
        "other_head": range(model.n_heads),
        "position": range(model.positions(problem.tokens.shape[1])),
        "neuron": range(model.n_neurons),
        "parameter": [name for name, _ in model.named_parameters()],
    }
    if "key_frequencies" in arguments:
        axes["key"] = arguments["key_frequencies"].tolist()
    return axes
