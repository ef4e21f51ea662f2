"""The examples of a network recorded from an external training loop."""

import math
import re
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from jaxtyping import Int

from grokinterp.errors import ConfigError, require, short
from grokinterp.lazy import Tensor, torch
from grokinterp.specification import ADDED
from grokinterp.tasks.task import Labels, Task

MOST_EXAMPLES = 8192
"""Largest number of examples, since all pass through the network in float64 several times per checkpoint."""

MOST_LABELS = 100_000
"""Largest number of labels of all examples, which are part of the configuration."""

MOST_LOGITS = 2**26
"""Largest number of examples times classes: half a gigabyte in float64."""


@dataclass(frozen=True, kw_only=True)
class RecordedTask(Task):
    """Example i is the token i; the inputs of the module are in the run's ``examples.safetensors``.

    ``answers`` are the labels, out of ``classes``: one per example, or as many for each, where -1 is not asked for;
    ``digest`` is the digest of the inputs' file; ``same``, if some
    inputs are equal, is an id per example that equal inputs share. ``data`` describes the examples in words.

    In a regression, ``answers`` is empty, ``targets`` are the numbers that each example asks for, as many as
    ``classes``, and an answer counts as correct if its root mean squared error is at most ``tolerance``.

    Raises:
        ConfigError: if there are fewer than two or more than 8,192 examples, fewer than two classes, a label is not a
            class, or targets do not fit.

    >>> task = RecordedTask(answers=(0, 2, 1), classes=3, digest="0" * 64)
    >>> task.tokens().tolist(), task.label().tolist()
    ([[0], [1], [2]], [0, 2, 1])
    """

    about: ClassVar[str] = "the examples of a network recorded from an external training loop"
    kind: Literal["recorded"] = "recorded"
    answers: tuple[int, ...] | tuple[tuple[int, ...], ...] = field(repr=False)
    classes: int
    digest: str
    same: tuple[int, ...] | None = field(default=None, repr=False)
    data: str = ""
    targets: tuple[tuple[float, ...], ...] | None = field(default=None, repr=False, metadata=ADDED)
    tolerance: float | None = field(default=None, metadata=ADDED)

    def __post_init__(self) -> None:
        n, allowed = self.n_examples, MOST_LOGITS // max(self.classes, 1)
        if not 2 <= n <= MOST_EXAMPLES:
            raise ConfigError("examples", n, f"must be from 2 to {MOST_EXAMPLES:,}: give a subset")
        if self.classes < 2 and self.targets is None:
            raise ConfigError("classes", self.classes, "must be at least 2: one logit per class")
        if n > allowed:
            raise ConfigError("examples", n, f"must be at most {allowed:,} of {self.classes:,} classes")
        if self.targets is None:
            require(self.tolerance is None, "tolerance", self.tolerance, "is for labels that are numbers: give none")
            self._require_labels()
        else:
            self._require_targets(self.targets)
        if not re.fullmatch("[0-9a-f]{64}", self.digest):
            raise ConfigError("digest", short(self.digest), "must be 64 digits from 0 to f")
        if self.same is not None and len(self.same) != n:
            raise ConfigError("same", len(self.same), f"must have an id for each of the {n} examples")
        if len(self.data) > 200 or not self.data.isprintable():
            raise ConfigError("data", short(self.data), "must be at most 200 characters in one line")

    def _require_labels(self) -> None:
        """Raise ConfigError unless all labels are classes, or -1 among several, and every example has as many."""
        rows = [label if isinstance(label, tuple) else (label,) for label in self.answers]
        least = -1 if isinstance(self.answers[0], tuple) else 0
        for row in rows:
            if len(row) != len(rows[0]) or not row or max(row) < 0:
                raise ConfigError("labels", short(row), f"must be {len(rows[0])} labels for each example, not all -1")
            for label in row:
                if not least <= label < self.classes:
                    raise ConfigError("labels", label, f"must be classes from 0 to {self.classes - 1}")
        if len(rows) * len(rows[0]) > MOST_LABELS:
            count = len(rows) * len(rows[0])
            raise ConfigError("labels", count, f"must be at most {MOST_LABELS:,} of all examples: give a subset")

    def _require_targets(self, targets: tuple[tuple[float, ...], ...]) -> None:
        """Raise ConfigError unless there are as many finite targets per example as outputs, and a tolerance."""
        require(not self.answers, "answers", len(self.answers), "must be empty with targets")
        require(self.classes >= 1, "classes", self.classes, "must be at least 1: the number of outputs")
        count, rule = len(targets) * self.classes, f"must be at most {MOST_LABELS:,} of all examples: give a subset"
        require(count <= MOST_LABELS, "targets", count, rule)
        for row in targets:
            fits = len(row) == self.classes and all(map(math.isfinite, row))
            require(fits, "targets", short(row), f"must be {self.classes} finite numbers, one per output")
        if self.tolerance is None or not 0 < self.tolerance < math.inf:
            rule = "must be a positive number with targets: the largest root mean squared error of a correct answer"
            raise ConfigError("tolerance", self.tolerance, rule)

    @property
    def n_examples(self) -> int:
        return len(self.answers if self.targets is None else self.targets)

    @property
    def n_answers(self) -> int:
        return len(self.answers[0]) if self.answers and isinstance(self.answers[0], tuple) else 1

    def tokens_after(self, answer: int) -> int:
        """Return 0, because a token stands for a whole example."""
        return 0

    @property
    def allowed_error(self) -> float | None:
        return self.tolerance

    @property
    def d_vocab(self) -> int:
        return self.n_examples

    @property
    def n_classes(self) -> int:
        return self.classes

    @property
    def n_ctx(self) -> int:
        return 1

    def tokens(self) -> Int[Tensor, "example position"]:
        return torch.arange(self.n_examples)[:, None]

    def labels(self) -> Labels:
        if self.targets is not None:
            return torch.tensor(self.targets, dtype=torch.float64).unsqueeze(1)
        return torch.tensor(self.answers).reshape(self.n_examples, -1)

    def mirror(self) -> Int[Tensor, "example"]:
        return super().mirror() if self.same is None else torch.tensor(self.same)

    @property
    def no_group(self) -> str:
        if self.targets is not None:
            return "the targets are numbers, not classes, and so no products of a group"
        return "no group is known in which the recorded labels are products: state the task by Recorder(task=…)"

    @property
    def no_operands(self) -> str:
        if self.targets is not None:
            return "the targets are numbers, not classes, and so no results of an operation"
        return "the operands of the recorded examples are unknown: state the task by Recorder(task=…)"
