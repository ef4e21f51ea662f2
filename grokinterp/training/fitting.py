"""Which experiments can be trained in one stack."""

from collections.abc import Hashable
from dataclasses import fields

from grokinterp.experiment import Experiment
from grokinterp.optim import GradientFilter


def reason_alone(experiment: Experiment) -> str | None:
    """Return the reason why an experiment is trained by itself; None if it fits in a stack with others like it."""
    schedule = experiment.optimization.schedules.batch_size
    if schedule.start():
        return (
            f"optimization.schedules.batch_size.kind={schedule.kind}: the batch size depends on the run's evaluations"
        )
    if experiment.optimization.parts:
        return "optimization.parts: parts of the model have settings of their own"
    if experiment.model.reason_alone or experiment.optimization.reason_alone:
        return experiment.model.reason_alone or experiment.optimization.reason_alone
    if experiment.data == "infinite":
        return "data=infinite: every step draws its own examples"
    if experiment.origin is not None and experiment.origin.optimizer_state:
        return "origin.optimizer_state=True: the optimizer has taken steps before the first one of the run"
    return None


def key_of(experiment: Experiment) -> Hashable | None:
    """Return a key that is equal for experiments that fit in one stack; None for those that are trained alone.

    The runs of a stack have the same examples per step and per part, and the same kinds of work.
    """
    if reason_alone(experiment) is not None:
        return None
    o, sizes = experiment.optimization, experiment.split.sizes(experiment.task)
    growing = o.schedules.batch_size.kind != "constant"
    batches = o.batch_size, (o.schedules.batch_size, experiment.budget) if growing else None
    admitted = (o.curriculum.start, o.curriculum.over) if o.curriculum.is_active else None
    choices = o.optimizer, o.loss, o.constrain_norm, o.average is None, o.momentum == 0
    choices = *choices, o.weight_decay_form, o.precision
    filters = tuple(structure(one) for one in o.filters)
    return experiment.task, experiment.model, sizes, batches, admitted, choices, filters


def structure(filter: GradientFilter) -> Hashable:
    """Return everything in which filters that run together must agree: all settings but floating-point numbers."""
    values = ((field.name, getattr(filter, field.name)) for field in fields(filter))  # ty: ignore[invalid-argument-type]
    return tuple(
        (name, structure(value) if isinstance(value, GradientFilter) else value)
        for name, value in values
        if not isinstance(value, float)
    )
