"""The problem that all checkpoints of a run share: every example, its label, and what it is for."""

from functools import cached_property
from typing import final

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from grokinterp.experiment.experiment import Experiment
from grokinterp.experiment.optimization import Optimization
from grokinterp.losses import LossForm
from grokinterp.models import ReadoutInputs, RecordedSpec
from grokinterp.tasks import Task

ordinary_tensors = torch.inference_mode(mode=False)
"""What a property keeps must be usable in training, even if inference mode asked for it first."""


@final
class Problem:
    """Every example of a task, its label, and what it is for: training, validation or testing.

    Args:
        task: what the examples are of.
        tokens: what the model sees of every example.
        labels: the right answers.
        is_train: the examples trained on.
        is_validation: those to validate with (default: none); all others are to test on.
        trained_labels: what is taken for right in training (default: the right answers); with label
            noise some of it is not.
        loss: which loss is trained with.
        optimization: how it is trained, None where that is not known.
        steps: planned for the run, which schedules follow; None where that is not known.
    """

    def __init__(
        self,
        task: Task,
        tokens: Int[Tensor, "example position"],
        labels: Int[Tensor, "example"],
        is_train: Bool[Tensor, "example"],
        *,
        is_validation: Bool[Tensor, "example"] | None = None,
        trained_labels: Int[Tensor, "example"] | None = None,
        loss: LossForm = "softplus",
        optimization: Optimization | None = None,
        steps: int | None = None,
    ) -> None:
        self.task, self.tokens, self.labels, self.loss = task, tokens, labels, loss
        self.optimization, self.steps = optimization, steps
        self.is_train = is_train
        self.is_validation = torch.zeros_like(is_train) if is_validation is None else is_validation
        self.trained_labels = labels if trained_labels is None else trained_labels

    @classmethod
    def of(cls, experiment: Experiment) -> "Problem":
        """The problem an experiment trains on."""
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
            optimization=None if isinstance(experiment.model, RecordedSpec) else experiment.optimization,
            steps=experiment.steps,
        )

    def to(self, device: torch.device | str) -> "Problem":
        """The same on another device."""
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
        )

    @cached_property
    @ordinary_tensors
    def is_test(self) -> Bool[Tensor, "example"]:
        """The examples that are neither trained on nor validated with."""
        return ~(self.is_train | self.is_validation)

    @cached_property
    @ordinary_tensors
    def held_out(self) -> Bool[Tensor, "example"]:
        """The examples that are not trained on and whose mirror images are not either: all where no split is known."""
        mirror = self.task.mirror().to(self.is_train.device)
        return ~torch.isin(mirror, mirror[self.is_train])

    @cached_property
    @ordinary_tensors
    def is_noisy(self) -> Bool[Tensor, "example"]:
        """The examples whose label in training is not the right one."""
        return self.trained_labels != self.labels

    @cached_property
    def has_validation(self) -> bool:
        """Whether any examples are for validation."""
        return bool(self.is_validation.any())

    @cached_property
    def has_noise(self) -> bool:
        """Whether any training label is not the right one."""
        return bool(self.is_noisy.any())

    @cached_property
    @ordinary_tensors
    def inputs(self) -> ReadoutInputs:
        """All examples, prepared for the fast read-out."""
        return ReadoutInputs.of(self.tokens)

    @cached_property
    @ordinary_tensors
    def train_inputs(self) -> ReadoutInputs:
        """The training examples, prepared for the fast read-out."""
        return ReadoutInputs.of(self.tokens[self.is_train])

    @cached_property
    @ordinary_tensors
    def validation_inputs(self) -> ReadoutInputs:
        """The validation examples, prepared for the fast read-out."""
        return ReadoutInputs.of(self.tokens[self.is_validation])

    @cached_property
    @ordinary_tensors
    def test_inputs(self) -> ReadoutInputs:
        """The test examples, prepared for the fast read-out."""
        return ReadoutInputs.of(self.tokens[self.is_test])

    @cached_property
    @ordinary_tensors
    def train_labels(self) -> Int[Tensor, "train"]:
        """What is trained on, with label noise."""
        return self.trained_labels[self.is_train]

    @cached_property
    @ordinary_tensors
    def right_train_labels(self) -> Int[Tensor, "train"]:
        """The right answers of the training examples."""
        return self.labels[self.is_train]

    @cached_property
    @ordinary_tensors
    def validation_labels(self) -> Int[Tensor, "validation"]:
        return self.labels[self.is_validation]

    @cached_property
    @ordinary_tensors
    def test_labels(self) -> Int[Tensor, "test"]:
        return self.labels[self.is_test]
