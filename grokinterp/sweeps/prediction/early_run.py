"""A run as it is known at an early step: its settings, the features of its curves, and, for others, how it went on."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, final

import numpy as np
from jaxtyping import Float, Int

from grokinterp.phases import SUSTAINED, sustained_step
from grokinterp.storage import configuration_hash
from grokinterp.sweeps.horizon import planned_horizon
from grokinterp.sweeps.prediction.extrapolation import Setting, range_settings
from grokinterp.sweeps.prediction.features import curve_features, setting_features
from grokinterp.sweeps.prediction.spectrum import low_frequency_energy

KIND = ("task", "model", "optimizer", "loss")
"""The columns in which runs must agree to be compared."""

FREE = ("seed", "name", "save", "patience")
"""The parts of a configuration in which runs of one setting may differ: they do not change the training."""

LEAST = 4
"""Least number of evaluations from which a run is predicted."""

Columns = Mapping[str, Float[np.ndarray, " evaluation"]]


class Outcome(NamedTuple):
    """How a run went on.

    Attributes:
        grok_step: the step at which it grokked; None if it did not, or not yet.
        known_until: the last step at which it is known not to have grokked, if it did not.
        norm: Σθ² at the grok step, NaN if it is unknown.
    """

    grok_step: int | None
    known_until: int
    norm: float = math.nan


@final
@dataclass(frozen=True, kw_only=True)
class EarlyRun:
    """A run as it is known at a step, at which grokking is not yet detected.

    Attributes:
        run_id: the hash of the configuration.
        setting: the hash of the configuration without seed, name, saving, and patience.
        at: the last step that is known.
        earliest: the earliest step at which the run can still grok.
        horizon: the last step at which it could grok within its budget.
        features: the features of settings and curves by name.
        decay: lr · weight decay, the rate at which decay shrinks the weights per step.
        memorized: the step of memorization; None if it is not known at the step ``at``.
        initial_norm: Σθ² at the first evaluation.
        norm: Σθ² at memorization, or at the step ``at`` without it.
        energy: the logarithm of the energy of the training loss at low frequencies.
        outcome: how the run went on; of a run that is predicted, nothing is known.
        settings: the settings in which a run that is predicted must lie among the others.
    """

    run_id: str
    setting: str
    at: int
    earliest: int
    horizon: int
    features: Mapping[str, float]
    decay: float
    memorized: int | None
    initial_norm: float
    norm: float
    energy: float
    outcome: Outcome
    settings: Mapping[str, Setting] = field(default_factory=dict)

    @property
    def grokked(self) -> bool:
        """Whether it grokked later, within its budget."""
        return self.outcome.grok_step is not None

    @property
    def target(self) -> float:
        """The logarithm of the grok step, or of the last step at which the run is known not to have grokked."""
        step = self.outcome.grok_step
        return math.log(max(self.outcome.known_until if step is None else step, 1))

    @property
    def limit(self) -> float:
        """The logarithm of the horizon."""
        return math.log(max(self.horizon, 1))


def early_run(
    row: Mapping[str, Any], steps: Int[np.ndarray, " evaluation"], columns: Columns, outcome: Outcome
) -> EarlyRun | None:
    """Return a run as it is known from its first evaluations.

    It is None if grokking is detected by then, if there are fewer than four evaluations, or if the budget is unknown.

    Args:
        row: the settings of the run, by the columns of the table ``runs``.
        steps: the steps of the first evaluations.
        columns: their metrics.
        outcome: how the run went on.
    """
    accuracy, budget, every = columns.get("test_accuracy"), row["epochs"], row["evaluate_every"]
    if accuracy is None or len(steps) < LEAST or not isinstance(budget, int) or not isinstance(every, int):
        return None
    if sustained_step(steps, accuracy) is not None:
        return None
    memorized = first_at_least(steps, columns["train_accuracy"], SUSTAINED.memorized)
    norms = columns.get("weight_norm", np.full(len(steps), math.nan))
    place = len(steps) - 1 if memorized is None else int(np.searchsorted(steps, memorized))
    return EarlyRun(
        run_id=row["run_id"],
        setting=row["setting"],
        at=int(steps[-1]),
        earliest=earliest_of(steps, accuracy),
        horizon=planned_horizon(budget, every),
        features={**setting_features(row), **curve_features(steps, columns, memorized)},
        decay=(row["learning_rate"] or 0.0) * (row["weight_decay"] or 0.0),
        memorized=memorized,
        initial_norm=float(norms[0]),
        norm=float(norms[place]),
        energy=low_frequency_energy(columns["train_loss"]),
        outcome=outcome,
        settings=range_settings(json.loads(row.get("configuration") or "{}")),
    )


def first_at_least(
    steps: Int[np.ndarray, " evaluation"], values: Float[np.ndarray, " evaluation"], least: float
) -> int | None:
    """Return the first step at which a value is reached; None if it is not.

    >>> first_at_least(np.array([0, 10, 20]), np.array([0.1, 0.99, 1.0]), 0.99)
    10
    """
    passing = np.flatnonzero(values >= least)
    return int(steps[passing[0]]) if len(passing) else None


def earliest_of(steps: Int[np.ndarray, " evaluation"], accuracy: Float[np.ndarray, " evaluation"]) -> int:
    """Return the earliest step at which a run can still grok: where its last streak of generalization began, or next.

    >>> earliest_of(np.array([0, 10, 20, 30]), np.array([0.1, 0.99, 0.2, 0.99]))
    30
    >>> earliest_of(np.array([0, 10, 20, 30]), np.array([0.1, 0.99, 0.2, 0.2]))
    31
    """
    failing = np.flatnonzero(~(accuracy >= SUSTAINED.threshold))
    first = failing[-1] + 1 if len(failing) else 0
    return int(steps[first]) if first < len(steps) else int(steps[-1]) + 1


def setting_of(configuration: Mapping[str, Any]) -> str:
    """Return the hash of a configuration without the parts that do not change the training.

    >>> setting_of({"seed": 0, "steps": 9, "save": {"every": 3}}) == setting_of({"seed": 1, "steps": 9, "name": "a"})
    True
    """
    return configuration_hash({key: value for key, value in configuration.items() if key not in FREE})
