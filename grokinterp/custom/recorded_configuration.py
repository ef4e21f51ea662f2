"""Derive the configuration of a recorded run, and check whether two recordings are of the same run."""

import re
from dataclasses import replace
from typing import Any

from jaxtyping import Bool
from torch import Tensor
from torch.optim import Optimizer

from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment, Optimization, Split
from grokinterp.experiment.split import written_out
from grokinterp.losses import LossForm
from grokinterp.models import ModelSpec, RecordedSpec
from grokinterp.models.recorded_spec import as_recorded
from grokinterp.tasks import RecordedTask, Task


def difference_between(before: Experiment, now: Experiment) -> str | None:
    """Return the first component in which two recordings differ: "module", "loss", …; None if there is none."""
    reads = reads_of(now.model)
    compared = {
        "set of examples": [without_description(one.task) for one in (before, now)],
        "module": [facts(one.model) for one in (before, now)],
        "last linear layer": [reads_of(before.model) or reads, reads],
        "set of training examples": [before.split, now.split],
        "loss": [before.optimization.loss, now.optimization.loss],
    }
    return next((name for name, (there, here) in compared.items() if there != here), None)


def split_of(task: Task, is_train: Bool[Tensor, "example"]) -> Split:
    """Return the split with these training examples; its fraction excludes the examples that the task gives."""
    given, trained = int(task.given().sum()), int(is_train.sum())
    if trained <= given:
        raise ConfigError("train", f"{trained} examples", f"must be more than the {given} given by {task.kind}")
    return Split(fraction=(trained - given) / (len(is_train) - given), trained_on=written_out(is_train))


def name_of(spec: RecordedSpec) -> str:
    """Return a run name made from the class name of the module."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", spec.class_name).strip("._-")[:64] or "run"


def optimization_of(optimizer: Optimizer | None, loss: LossForm) -> Optimization:
    """Return the learning rate and weight decay of the first group if they are valid; no decay if unknown."""
    group = {} if optimizer is None else optimizer.param_groups[0]
    rate, decay = (group.get(key) for key in ("lr", "weight_decay"))
    try:
        return Optimization(lr=float(rate or 1e-3), weight_decay=float(decay or 0.0), warmup_steps=0, loss=loss)
    except (ConfigError, TypeError, ValueError):
        return Optimization(weight_decay=0.0, warmup_steps=0, loss=loss)


def facts(model: ModelSpec) -> tuple[Any, ...]:
    """Return the properties that identify a recorded module, without hooks, which differ between package versions."""
    model = as_recorded(model)
    known = (model.class_name, model.parameters, model.buffers, model.read_at, model.own_logits)
    return (*known, model.examples, model.parts)


def reads_of(model: ModelSpec) -> tuple[str, ...]:
    """Return the inputs of the last linear layers; empty for a recording by an older version."""
    return as_recorded(model).reads


def without_description(task: Task) -> Task:
    """Return the task without the description of its examples."""
    return replace(task, data="") if isinstance(task, RecordedTask) else task
