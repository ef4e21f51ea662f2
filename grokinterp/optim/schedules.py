"""The schedules of learning rate, weight decay and batch size, by ``kind``."""

from collections.abc import Callable

from grokinterp.errors import ConfigError
from grokinterp.optim.adaptive import Gap, Mastery, Plateau
from grokinterp.optim.closed_form import Constant, Cosine, Cyclic, Increasing
from grokinterp.optim.schedule import Evaluation, Schedule

LR_SCHEDULES: dict[str, type[Schedule]] = {
    schedule.kind: schedule for schedule in (Constant, Increasing, Cosine, Cyclic, Plateau)
}
"""Schedules of the learning rate; all factors are at most 1."""

WEIGHT_DECAY_SCHEDULES: dict[str, type[Schedule]] = {
    schedule.kind: schedule for schedule in (Constant, Increasing, Gap)
}
"""Schedules of the weight decay; the factor of ``Gap`` is from 1 to its ``most``."""

BATCH_SCHEDULES: dict[str, type[Schedule]] = {schedule.kind: schedule for schedule in (Constant, Increasing, Mastery)}
"""Schedules of the batch size; all factors are at most 1, so no batch exceeds the size in the configuration."""


def as_lambda(schedule: Schedule, *, steps: int, warmup_steps: int = 0) -> Callable[[int], float]:
    """Return the factor of a closed form at every step, with a linear warm-up, for torch's LambdaLR.

    Raises:
        ConfigError: if the schedule depends on evaluations, steps is below 1, or warmup_steps is below 0.

    >>> rate = as_lambda(Cosine(), steps=4, warmup_steps=2)
    >>> [round(rate(t), 3) for t in range(4)]
    [0.5, 0.854, 0.5, 0.146]
    """
    if schedule.start():
        raise ConfigError("schedule", schedule.kind, "depends on the evaluations of a run, not only on the step")
    if steps < 1:
        raise ConfigError("steps", steps, "must be an integer from 1")
    if warmup_steps < 0:
        raise ConfigError("warmup_steps", warmup_steps, "must be 0 or positive")
    return lambda step: warm_up(step, warmup_steps) * schedule.factor(step, steps, {})


def warm_up(step: int, warmup_steps: int) -> float:
    """Return (t + 1) / warmup_steps, at most 1.

    >>> [warm_up(t, 2) for t in range(3)]
    [0.5, 1.0, 1.0]
    """
    return min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0


__all__ = [
    "BATCH_SCHEDULES",
    "LR_SCHEDULES",
    "WEIGHT_DECAY_SCHEDULES",
    "Constant",
    "Cosine",
    "Cyclic",
    "Evaluation",
    "Gap",
    "Increasing",
    "Mastery",
    "Plateau",
    "Schedule",
    "as_lambda",
    "warm_up",
]
