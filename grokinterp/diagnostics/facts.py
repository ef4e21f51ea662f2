"""Facts about a run for the diagnostic rules: its curves, measures, dates and settings, as far as they are known."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import numpy as np

from grokinterp.errors import GrokinterpError
from grokinterp.phases import GENERALIZED, History
from grokinterp.runs.results import Results

THEIRS = "recorded"
"""Model kind of a run trained by an external loop, whose settings cannot be changed here."""

DECAY = "optimization.weight_decay"
MEASURED = {"optimization.lr": "learning_rate", DECAY: "weight_decay"}
"""Settings of such a run that are known from its metrics, if the recorder was given the optimizer."""


@dataclass(frozen=True)
class Diagnosis:
    """A problem of a run, the numbers that show it, and a remedy.

    Attributes:
        symptom: the problem in a few words.
        evidence: the measured numbers with their steps.
        remedy: the change and its reason, with a source.
        setting: the change as an override, ``optimization.weight_decay=1``, or "".
    """

    symptom: str
    evidence: str
    remedy: str
    setting: str = ""


class Curve(NamedTuple):
    """Finite values over their steps; at least one value."""

    steps: np.ndarray
    values: np.ndarray

    @property
    def last(self) -> float:
        """The last value."""
        return float(self.values[-1])

    def at(self, step: int) -> float:
        """Return the value at the first step from ``step`` on, or the last value."""
        return float(self.values[min(np.searchsorted(self.steps, step), len(self.steps) - 1)])

    def since(self, step: int) -> "Curve":
        """Return the curve from ``step`` on, or its last value if the curve ends before ``step``."""
        first = min(int(np.searchsorted(self.steps, step)), len(self.steps) - 1)
        return Curve(self.steps[first:], self.values[first:])

    def quarters(self) -> tuple[float, float] | None:
        """Return the medians over the third and the last quarter of the steps, or None with fewer than eight values."""
        if len(self.steps) < 8:
            return None
        share = (self.steps - self.steps[0]) / (self.steps[-1] - self.steps[0])
        third, fourth = (share >= 0.5) & (share < 0.75), share >= 0.75
        return (float(np.median(self.values[third])), float(np.median(self.values[fourth]))) if third.any() else None


@final
@dataclass(frozen=True)
class Facts:
    """The facts about a run; ``history`` is None if no curves date it."""

    results: Results
    history: History | None
    experiment: Mapping[str, Any]

    @classmethod
    def of(cls, results: Results) -> "Facts":
        """Collect the facts about a run; values that its files do not hold are unknown."""
        try:
            history = results.history
        except GrokinterpError:
            history = None
        return cls(results, history, results.directory.experiment)

    @property
    def verdict(self) -> str:
        """The verdict of the history, or "" without a history."""
        return self.history.verdict if self.history else ""

    @property
    def memorized(self) -> int | None:
        """The step of memorization, or None."""
        return self.history.memorized_step if self.history else None

    @property
    def stuck(self) -> bool:
        """Whether the run memorized and did not generalize."""
        return self.verdict == "memorized, did not generalize within the run"

    @property
    def generalizes(self) -> bool:
        """Whether the run ends with a network that generalizes."""
        return self.verdict in GENERALIZED

    @property
    def is_right(self) -> bool:
        """Whether the last accuracy, by analysis, import or evaluation, is 1 on all examples.

        Analyses of a run with several answers are of one of them, so that its evaluations decide.
        """
        if self.status == "diverged":
            return False
        if "answer" in self.results.metrics.dims:
            return self._is_evaluated_right()
        measured, imported = self.measured("all_accuracy"), self.results.directory.environment.get("accuracy")
        if measured is not None or imported is not None:
            return (imported if measured is None else measured.last) == 1
        return self._is_evaluated_right()

    def _is_evaluated_right(self) -> bool:
        found = [self.curve(name) for name in ("train_accuracy", "test_accuracy")]
        last = self.results.metrics["step"].values[-1:]
        return all(curve is not None and curve.last == 1 and curve.steps[-1] == last for curve in found)

    @property
    def draws_anew(self) -> bool:
        """Whether every step trains on new examples, so that nothing is memorized and no share is trained on."""
        return self._value("data") == "infinite"

    @property
    def is_analyzed(self) -> bool:
        """Whether any analysis has been run; without analyses only the curves are known."""
        return bool(self.results.analyses)

    @property
    def status(self) -> str:
        """The status: "finished", "diverged", "running", "interrupted", "stopped" or ""."""
        return str(self.results.directory.status.get("status", ""))

    @property
    def cut_short(self) -> bool:
        """Whether training has not reached its last step."""
        return self.status in ("running", "interrupted", "stopped")

    @property
    def is_recorded(self) -> bool:
        """Whether an external loop trained the network."""
        return self._value("model.kind") == THEIRS

    def setting(self, key: str) -> Any:
        """Return a value of the configuration by its dotted key, or None if it is unknown.

        The configuration of a recorded run holds defaults that were never set, except for the loss: its learning rate
        (the largest) and weight decay (the last) are read from the metrics.
        """
        if not self.is_recorded or key == "optimization.loss":
            return self._value(key)
        found = self.curve(MEASURED[key]) if key in MEASURED else None
        if found is None:
            return None
        return found.last if key == DECAY else float(found.values.max())

    def number(self, key: str) -> float | None:
        """Return a numeric value of the configuration by its dotted key, or None if it is unknown or not a number."""
        value = self.setting(key)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def _value(self, key: str) -> Any:
        value: Any = self.experiment
        for part in key.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def filters(self) -> list[Mapping[str, Any]]:
        """Return the gradient filters of the configuration."""
        found = self.setting("optimization.filters")
        return [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list | tuple) else []

    def has_filter(self, kind: str) -> bool:
        """Return whether a gradient filter has the given kind."""
        return any(entry.get("kind") == kind for entry in self.filters())

    def amplifies(self) -> bool:
        """Return whether a gradient filter is a Grokfast filter, which amplifies the slow gradient."""
        return any(str(entry.get("kind", "")).startswith("grokfast") for entry in self.filters())

    def curve(self, name: str) -> Curve | None:
        """Return a training metric as a curve, or None if it is unknown."""
        metrics = self.results.metrics
        if name not in metrics or metrics[name].dims != ("step",):
            return None
        return finite(metrics["step"].values, metrics[name].values)

    def measured(self, name: str, **at: str) -> Curve | None:
        """Return a scalar measure of any analysis, or an entry of a labeled axis: ``precision="float32"``."""
        for part in self.results.analyses.values():
            if name not in part:
                continue
            values = part[name]
            if all(axis in values.dims and label in values[axis].values for axis, label in at.items()):
                values = values.sel(at)
                return finite(part["step"].values, values.values) if values.dims == ("step",) else None
        return None

    def override(self, key: str, value: float | int) -> str:
        """Return the override ``key=value``, or "" for a run trained by an external loop."""
        return "" if self.is_recorded else f"{key}={value if isinstance(value, int) else f'{value:.3g}'}"

    def decayed(self, value: float | int) -> str:
        """Return the change to another weight decay, as PyTorch code for an external loop, or "" if it is unknown."""
        if not self.is_recorded:
            return self.override(DECAY, value)
        return "" if self.number(DECAY) is None else f"torch.optim.AdamW(..., weight_decay={value:.3g})"

    def lower(self, key: str, by: float | int) -> str:
        """Return the override that divides a setting by ``by``, or "" if the setting is unknown or zero."""
        value = self.number(key)
        return self.override(key, value / by) if value else ""

    def outcome(self) -> str:
        """Return the test accuracy or test loss at the last evaluation, as text."""
        for name in ("test_accuracy", "test_loss"):
            if (found := self.curve(name)) is not None:
                return f"{name.replace('_', ' ')} {found.last:.3g} at step {found.steps[-1]}"
        return "no test curve"


def finite(steps: np.ndarray, values: np.ndarray) -> Curve | None:
    """Return the finite values with their steps, or None if there are none."""
    known = np.isfinite(values.astype(float))
    return Curve(steps[known], values[known].astype(float)) if known.any() else None


def times(share: float) -> str:
    """Format a share as a percentage.

    >>> times(0.234), times(0.00042)
    ('23.4 %', '0.042 %')
    """
    return f"{100 * share:.3g} %"
