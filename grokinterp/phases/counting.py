"""Text rules that date grokking, memorization or a drop on curves, such as the rules of published papers.

A rule is ``KIND[:COLUMN][:THRESHOLD][xWINDOW]``. Columns are ``test`` (the default) and ``train`` for the accuracies,
``test_loss`` and ``train_loss`` for the losses. An evaluation passes if its accuracy is at least the threshold, or if
its loss is at most the threshold. Only evaluations at which the column was recorded count. The kinds:

* ``first:.99``: the first evaluation that passes;
* ``sustained:.95x10``: the first of 10 consecutive evaluations that all pass;
* ``stays:.95``: the first evaluation from which every evaluation passes, to the end of the log;
* ``grokked:.95x10``: ``sustained``, after an evaluation with train accuracy at least .99 and test accuracy below .5
  (this package's rule, ``grok_step``);
* ``jump:.1``: the first evaluation that improves on the previous evaluation by more than .1;
* ``max``, ``min``, ``last``: the largest, the smallest, or the last value of the column.

The first five kinds return a step, or None if no evaluation qualifies; the others return a value.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from grokinterp.errors import ConfigError, choice_rule
from grokinterp.phases.alignment import aligned
from grokinterp.phases.curves import Curves
from grokinterp.phases.detector import SUSTAINED, first_run, grok_step

COLUMNS = {"train": "train_accuracy", "test": "test_accuracy"} | {
    name: name for name in ("train_loss", "test_loss", "train_accuracy", "test_accuracy")
}
FORM = re.compile(r"(?P<kind>[a-z]+)(:(?P<column>[a-z_]+))?(:(?P<threshold>[0-9.e+-]+)(x(?P<window>[0-9]+))?)?")
RULE = "must be KIND[:COLUMN][:THRESHOLD][xWINDOW], as in sustained:.95x10, first:train:.99 or max"


def first_passing(passes: np.ndarray) -> int | None:
    """Return the index of the first evaluation that passes, or None.

    >>> first_passing(np.array([False, True, False])), first_passing(np.array([False]))
    (1, None)
    """
    return first_run(passes, 1)


def staying(passes: np.ndarray) -> int | None:
    """Return the index of the first evaluation from which all evaluations pass, or None.

    >>> staying(np.array([True, False, True, True])), staying(np.array([True, False]))
    (2, None)
    """
    failing = np.flatnonzero(~passes)
    first = int(failing[-1]) + 1 if failing.size else 0
    return first if first < len(passes) else None


def first_jump(gains: np.ndarray, height: float) -> int | None:
    """Return the index of the first evaluation that exceeds its predecessor by more than ``height``, or None.

    >>> first_jump(np.array([0.0, 0.0, 0.3]), 0.1)
    2
    """
    place = first_run(np.diff(gains) > height, 1)
    return None if place is None else place + 1


VALUES: dict[str, Callable[[np.ndarray], float]] = {"max": np.max, "min": np.min, "last": lambda values: values[-1]}
WINDOWED = ("sustained", "grokked")
STEPS = ("first", "sustained", "stays", "grokked", "jump")


@dataclass(frozen=True, kw_only=True)
class CountingRule:
    """A rule that dates an event on curves, or reads a value from them.

    Attributes:
        text: the rule as written.
        kind: a member of ``STEPS`` or a key of ``VALUES``.
        column: the column that the rule reads.
        threshold: the value at which an evaluation passes; NaN for kinds that return a value.
        window: number of consecutive evaluations that must pass.
    """

    text: str
    kind: str
    column: str
    threshold: float
    window: int

    def __call__(self, curves: Curves) -> int | float | None:
        """Return the step or the value that the rule finds, or None if it finds none or its column is missing."""
        column = getattr(curves, self.column)
        if self.kind == "grokked":
            return self._grokked(aligned(curves))
        if column is None:
            return None
        known = ~np.isnan(column)
        steps, values = curves.steps[known], column[known]
        if self.kind in VALUES:
            return float(VALUES[self.kind](values))
        place = self._place(values)
        return None if place is None else int(steps[place])

    def _place(self, values: np.ndarray) -> int | None:
        loss = self.column.endswith("loss")
        passes = values <= self.threshold if loss else values >= self.threshold
        match self.kind:
            case "first":
                return first_passing(passes)
            case "sustained":
                return first_run(passes, self.window)
            case "stays":
                return staying(passes)
            case _:
                return first_jump(-values if loss else values, self.threshold)

    def _grokked(self, curves: Curves) -> int | None:
        train, test = curves.train_accuracy, curves.test_accuracy
        if train is None or test is None:
            return None
        failing = min(SUSTAINED.failing, self.threshold)
        return grok_step(curves.steps, train, test, threshold=self.threshold, window=self.window, failing=failing)


def read_rule(text: str) -> CountingRule:
    """Parse a rule; the docstring of this module defines the kinds.

    >>> rule = read_rule("sustained:.95x2")
    >>> rule(Curves(steps=[0, 10, 20, 30], test_accuracy=[0.96, 0.5, 0.95, 1.0]))
    20

    Raises:
        ConfigError: if the text has another form, the kind or column is unknown, or the threshold or window is
            missing, superfluous or out of range.
    """
    found = FORM.fullmatch(text.strip())
    if found is None:
        raise ConfigError("rule", text, RULE)
    kind, column, threshold, window = found["kind"], found["column"] or "test", found["threshold"], found["window"]
    if kind not in (*STEPS, *VALUES):
        raise ConfigError("rule", text, f"kind {choice_rule(kind, (*STEPS, *VALUES))}")
    if column not in COLUMNS or (kind == "grokked" and column != "test"):
        raise ConfigError("rule", text, f"column must be {'test' if kind == 'grokked' else ', '.join(COLUMNS)}")
    if (threshold is None) != (kind in VALUES):
        raise ConfigError("rule", text, f"{kind} {'takes no threshold' if kind in VALUES else 'needs a threshold'}")
    if (window is None) == (kind in WINDOWED):
        raise ConfigError("rule", text, f"{kind} {'needs a' if kind in WINDOWED else 'takes no'} window, as in x10")
    return CountingRule(
        text=text.strip(),
        kind=kind,
        column=COLUMNS[column],
        threshold=_threshold(threshold, column, text),
        window=_window(window, text),
    )


def read_rules(texts: list[str]) -> list[CountingRule]:
    """Parse rules from several texts; a bar separates the rules within a text, and duplicate rules count once.

    >>> [rule.text for rule in read_rules(["first:.99|first:.95", "max"])]
    ['first:.99', 'first:.95', 'max']
    """
    parts = dict.fromkeys(part.strip() for text in texts for part in text.split("|"))
    return [read_rule(part) for part in parts]


def _threshold(text: str | None, column: str, rule: str) -> float:
    if text is None:
        return float("nan")
    try:
        value = float(text)
    except ValueError:
        raise ConfigError("rule", rule, RULE) from None
    if not value > 0 or (value > 1 and not column.endswith("loss")):
        raise ConfigError("rule", rule, "threshold must be above 0, and at most 1 for an accuracy")
    return value


def _window(text: str | None, rule: str) -> int:
    window = 1 if text is None else int(text)
    if not 1 <= window <= 10**6:
        raise ConfigError("rule", rule, "window must be from 1 to 1000000")
    return window
