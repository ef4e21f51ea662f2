"""The examples on which somebody else's network is recorded."""

import re
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from jaxtyping import Int

from grokinterp.errors import ConfigError, short
from grokinterp.lazy import Tensor, torch
from grokinterp.tasks.task import Task

MOST_EXAMPLES = 8192
"""All of them go through the network in float64, several times for every checkpoint."""

MOST_LOGITS = 2**26
"""Examples times classes: half a gigabyte in float64."""


@dataclass(frozen=True, kw_only=True)
class RecordedTask(Task):
    """Example i is the token i: what a module is given for it stands in the run's ``examples.safetensors``.

    ``answers`` are the labels, out of ``classes``; ``digest`` is that of the inputs' file, and ``same``, where some
    inputs are equal, an id per example that equal ones share. ``data`` says in words what the examples are.

    Raises:
        ConfigError: fewer than two examples or more than 8,192, a label that is no class, fewer than two classes.

    >>> task = RecordedTask(answers=(0, 2, 1), classes=3, digest="0" * 64)
    >>> task.tokens().tolist(), task.labels().tolist()
    ([[0], [1], [2]], [0, 2, 1])
    """

    about: ClassVar[str] = "examples that another training loop was recorded on"
    kind: Literal["recorded"] = "recorded"
    answers: tuple[int, ...] = field(repr=False)
    classes: int
    digest: str
    same: tuple[int, ...] | None = field(default=None, repr=False)
    data: str = ""

    def __post_init__(self) -> None:
        n, allowed = len(self.answers), MOST_LOGITS // max(self.classes, 1)
        if not 2 <= n <= MOST_EXAMPLES:
            raise ConfigError("examples", n, f"must be from 2 to {MOST_EXAMPLES:,}: give some of them")
        if self.classes < 2:
            raise ConfigError("classes", self.classes, "must be at least 2: one logit per class")
        if n > allowed:
            raise ConfigError("examples", n, f"must be at most {allowed:,} of {self.classes:,} classes")
        for label in self.answers:
            if not 0 <= label < self.classes:
                raise ConfigError("labels", label, f"must be classes from 0 to {self.classes - 1}")
        if not re.fullmatch("[0-9a-f]{64}", self.digest):
            raise ConfigError("digest", short(self.digest), "must be 64 digits from 0 to f")
        if self.same is not None and len(self.same) != n:
            raise ConfigError("same", len(self.same), f"must have an id for each of the {n} examples")
        if len(self.data) > 200 or not self.data.isprintable():
            raise ConfigError("data", short(self.data), "must be at most 200 characters in one line")

    @property
    def n_examples(self) -> int:
        return len(self.answers)

    @property
    def d_vocab(self) -> int:
        return len(self.answers)

    @property
    def n_classes(self) -> int:
        return self.classes

    @property
    def n_ctx(self) -> int:
        return 1

    def tokens(self) -> Int[Tensor, "example position"]:
        return torch.arange(self.n_examples)[:, None]

    def labels(self) -> Int[Tensor, "example"]:
        return torch.tensor(self.answers)

    def mirror(self) -> Int[Tensor, "example"]:
        return super().mirror() if self.same is None else torch.tensor(self.same)

    @property
    def no_group(self) -> str:
        return "no group is known in which the recorded labels are products: Recorder(task=…) names it"

    @property
    def no_operands(self) -> str:
        return "no operands are known of recorded examples: Recorder(task=…) names them"
