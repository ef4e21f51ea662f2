"""The problem shared by all checkpoints of a run: every example, its labels, and its part."""

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import NamedTuple, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from grokinterp.errors import NotDefined, require
from grokinterp.experiment.experiment import Experiment
from grokinterp.experiment.fresh import FreshExamples
from grokinterp.experiment.optimization import Optimization
from grokinterp.losses import LossForm, close_answers
from grokinterp.models import ReadoutInputs
from grokinterp.tasks import AnswerOf, Task
from grokinterp.tasks.task import Labels, only_answer
from grokinterp.torch_settings import computing

NUMBERS = "the targets are numbers, not classes"
"""The reason why an analysis of classes is not defined for a regression."""


class Part(NamedTuple):
    """A part of the examples of a problem, such as the training set, in the order of the problem.

    Args:
        inputs: the examples, prepared for the fast read-out.
        labels: the labels for losses and accuracies; with label noise, some training labels are wrong. -1: not asked.
            Numbers in a regression.
        correct_labels: the correct answers.
    """

    inputs: ReadoutInputs
    labels: Labels
    correct_labels: Labels

    @property
    def target(self) -> Int[Tensor, "example"] | Float[Tensor, "example output"]:
        """The labels of the only answer, for losses; numbers in a regression."""
        return only_answer(self.labels)

    @property
    def label(self) -> Int[Tensor, "example"]:
        """The labels of the only answer, for losses and accuracies. Raises NotDefined for a regression."""
        return only_class(self.labels)

    def __repr__(self) -> str:
        examples, positions = self.inputs.tokens.shape
        wrong = int((self.labels != self.correct_labels).flatten(1).any(1).sum())
        noise = f", {wrong:,} mislabeled" if wrong else ""
        return f"Part({examples:,} examples of {positions} tokens{noise}, {self.labels.device})"


@final
class Parts(Mapping[str, Part]):
    """The parts of a problem by name, each prepared on first use; the error for an unknown name lists the names.

    Args:
        masks: the examples of each part.
        prepared: function that returns the part with the examples in a mask.
    """

    def __init__(self, masks: Mapping[str, Bool[Tensor, "example"]], prepared: Callable[[Tensor], Part]) -> None:
        self._masks, self._prepared = masks, prepared
        self._parts: dict[str, Part] = {}

    def __getitem__(self, name: str) -> Part:
        if name not in self._masks:
            raise KeyError(f"no part {name!r}; this problem has {', '.join(self)}")
        if name not in self._parts:
            self._parts[name] = self._prepared(self._masks[name])
        return self._parts[name]

    def mask(self, name: str) -> Bool[Tensor, "example"]:
        """Return the mask of the examples of a part."""
        return self._masks[name]

    def __contains__(self, name: object) -> bool:
        return name in self._masks

    def __iter__(self) -> Iterator[str]:
        return iter(self._masks)

    def __len__(self) -> int:
        return len(self._masks)


@final
class Problem:
    """Every example of a task with its labels, and its part: training, validation or test.

    ``is_test`` marks the examples outside the training and validation sets, and ``is_noisy`` the mislabeled examples.
    Analyses are given the problem of a single answer (``at_answer``), whose labels are also ``label`` [example]. In a
    regression, labels are numbers [example, answer, output], ``target`` [example, output] holds those of the single
    answer, and ``label`` is not defined.

    Args:
        task: the task that the examples belong to.
        tokens: the token sequence of every example.
        labels: the correct answers; -1 for answers that are not asked for.
        is_train: the examples trained on.
        is_validation: the examples to validate with (default: none).
        trained_labels: the labels used in training, with label noise (default: the correct answers).
        loss: the loss trained with.
        optimization: how the model is trained; None where that is unknown.
        steps: the planned length of the run, which schedules follow; None where that is unknown.
        fresh: the training examples of every step, if they are drawn anew.
    """

    def __init__(
        self,
        task: Task,
        tokens: Int[Tensor, "example position"],
        labels: Labels,
        is_train: Bool[Tensor, "example"],
        *,
        is_validation: Bool[Tensor, "example"] | None = None,
        trained_labels: Labels | None = None,
        loss: LossForm = "softplus",
        optimization: Optimization | None = None,
        steps: int | None = None,
        fresh: FreshExamples | None = None,
    ) -> None:
        rule = "must be [example, answer]; a single answer is an axis of length 1"
        require(labels.ndim == 2 + labels.is_floating_point(), "labels", list(labels.shape), rule)
        self.task, self.tokens, self.labels, self.loss = task, tokens, labels, loss
        self.optimization, self.steps, self.fresh = optimization, steps, fresh
        self.is_train = is_train
        self.is_validation = torch.zeros_like(is_train) if is_validation is None else is_validation
        self.trained_labels = labels if trained_labels is None else trained_labels
        self.is_test = ~(self.is_train | self.is_validation)
        self.is_noisy = (self.trained_labels != self.labels).flatten(1).any(1)

    @classmethod
    @computing()
    def of(cls, experiment: Experiment) -> "Problem":
        """Return the problem that an experiment trains on."""
        task, split, seed = experiment.task, experiment.split, experiment.seed
        is_train, is_validation = split.draw(task, seed=seed)
        return cls(
            task,
            experiment.tokens(),
            task.labels(),
            is_train,
            is_validation=is_validation,
            trained_labels=split.trained_labels(task, is_train, seed=seed),
            loss=experiment.optimization.loss,
            optimization=None if experiment.model.is_recorded else experiment.optimization,
            steps=experiment.steps,
            fresh=FreshExamples(experiment, ~is_train) if experiment.data == "infinite" else None,
        )

    def to(self, device: torch.device | str) -> "Problem":
        """Return the problem on another device."""
        return Problem(
            self.task,
            self.tokens.to(device),
            self.labels.to(device),
            self.is_train.to(device),
            is_validation=self.is_validation.to(device),
            trained_labels=self.trained_labels.to(device),
            loss=self.loss,
            optimization=self.optimization,
            steps=self.steps,
            fresh=self.fresh,
        )

    @property
    def n_answers(self) -> int:
        """Number of answers per example."""
        return self.labels.shape[1]

    @property
    def is_regression(self) -> bool:
        """Whether labels are numbers, not classes."""
        return self.labels.is_floating_point()

    @property
    def target(self) -> Int[Tensor, "example"] | Float[Tensor, "example output"]:
        """The labels used in training of examples with a single answer: classes, or numbers in a regression."""
        return only_answer(self.trained_labels)

    @property
    def label(self) -> Int[Tensor, "example"]:
        """The correct answers of examples with a single answer. Raises NotDefined for a regression."""
        return only_class(self.labels)

    @property
    def trained_label(self) -> Int[Tensor, "example"]:
        """The labels used in training of examples with a single answer. Raises NotDefined for a regression."""
        return only_class(self.trained_labels)

    def right(
        self,
        outputs: Float[Tensor, "some class"],
        targets: Int[Tensor, "some"] | Float[Tensor, "some class"],
    ) -> Bool[Tensor, "some"]:
        """Return whether each output is largest at its label, or in a regression near the numbers asked for."""
        if self.task.allowed_error is None:
            return outputs.argmax(-1) == targets
        return close_answers(outputs.unsqueeze(1), targets.unsqueeze(1), tolerance=self.task.allowed_error)

    def at_answer(self, answer: int | None = None) -> "Problem":
        """Return the problem of one answer: its sequences end where it is read, after all answers before it.

        Under causal attention, no token after this position has any influence on the answer. Recorded examples stay
        whole. Examples without the answer are left out.

        Args:
            answer: the index of the answer; negative indices count from the end (default: the last).

        Raises:
            ConfigError: if there is no such answer.
        """
        count, index = self.n_answers, -1 if answer is None else answer
        require(-count <= index < count, "answer", index, f"must be from {-count} to {count - 1}")
        if count == 1:
            return self
        index %= count
        asked, length = self.labels[:, index] >= 0, self.tokens.shape[1] - self.task.tokens_after(index)
        return Problem(
            AnswerOf(kind=self.task.kind, task=self.task, answer=index),
            self.tokens[asked, :length],
            self.labels[asked, index : index + 1],
            self.is_train[asked],
            is_validation=self.is_validation[asked],
            trained_labels=self.trained_labels[asked, index : index + 1],
            loss=self.loss,
            optimization=self.optimization,
            steps=self.steps,
        )

    @cached_property
    @computing()
    def held_out(self) -> Bool[Tensor, "example"]:
        """Mask of the examples that, like their mirror images, are not in the training set; all without a split."""
        mirror = self.task.mirror().to(self.is_train.device)
        return ~torch.isin(mirror, mirror[self.is_train])

    @cached_property
    def has_noise(self) -> bool:
        """Whether any training label differs from the correct answer."""
        return bool(self.is_noisy.any())

    @cached_property
    def parts(self) -> Parts:
        """The non-empty parts among "train", "test" and "validation", and "all"."""
        masks = {"train": self.is_train, "test": self.is_test, "validation": self.is_validation}
        masks = {name: mask for name, mask in masks.items() if mask.any()} | {"all": torch.ones_like(self.is_train)}
        return Parts(masks, self._part)

    @computing()  # parts are cached, and training may use parts that another caller created
    def _part(self, mask: Bool[Tensor, "example"]) -> Part:
        """Return the part with the examples in a mask."""
        return Part(ReadoutInputs.of(self.tokens[mask]), self.trained_labels[mask], self.labels[mask])


def only_class(labels: Labels) -> Int[Tensor, "example"]:
    """Return the classes of the only answer.

    Raises:
        NotDefined: the labels are numbers.
    """
    if labels.is_floating_point():
        raise NotDefined("labels", NUMBERS)
    return only_answer(labels)
