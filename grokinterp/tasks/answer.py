"""One answer of a task with several, as a task of its own."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from jaxtyping import Bool, Float, Int

from grokinterp.lazy import Tensor
from grokinterp.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class AnswerOf(Task):
    """The problem of one answer, given the question and the correct answers before it.

    Args:
        kind: the kind of the task.
        task: the task with several answers.
        answer: the index of the answer. The examples are those that ask for it.
    """

    about: ClassVar[str] = "one answer of a task with several"
    kind: str
    task: Task
    answer: int

    @cached_property
    def asked(self) -> Bool[Tensor, "example"]:
        """Mask of the examples of the task that ask for the answer."""
        return self.task.labels()[:, self.answer] >= 0

    @property
    def n_examples(self) -> int:
        return int(self.asked.sum())

    @property
    def d_vocab(self) -> int:
        return self.task.d_vocab

    @property
    def n_classes(self) -> int:
        return self.task.n_classes

    @property
    def n_ctx(self) -> int:
        return self.task.n_ctx - self.task.tokens_after(self.answer)

    def tokens(self) -> Int[Tensor, "example position"]:
        return self.task.tokens()[self.asked, : self.n_ctx]

    def labels(self) -> Int[Tensor, "example answer"]:
        return self.task.labels()[self.asked, self.answer : self.answer + 1]

    def mirror(self) -> Int[Tensor, "example"]:
        return self.task.mirror()[self.asked]

    def given(self) -> Bool[Tensor, "example"]:
        return self.task.given()[self.asked]

    def difficulty(self) -> Float[Tensor, "example"]:
        return self.task.difficulty()[self.asked]

    @property
    def no_group(self) -> str:
        """The reason of the task for the lack of an algebra."""
        return self.task.no_group

    @property
    def no_operands(self) -> str:
        """The reason of the task why the examples are not pairs of operands."""
        return self.task.no_operands
