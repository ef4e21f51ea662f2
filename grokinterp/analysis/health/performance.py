"""Losses and accuracies, including accuracies on mislabeled training examples."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from grokinterp.errors import NotDefined
from grokinterp.experiment.problem import Problem
from grokinterp.runs.checkpoint import Checkpoint


class Performance(NamedTuple):
    """Mean loss and accuracy on the training, test, and all examples.

    train_loss: mean loss of the training examples [nats]
    test_loss: mean loss of the test examples [nats]
    all_loss: mean loss of all examples [nats]
    train_accuracy: share of training examples answered as they are labeled [1]
    test_accuracy: share of test examples answered correctly [1]
    all_accuracy: share of all examples answered as they are labeled [1]
    """

    train_loss: Float[Tensor, ""]
    test_loss: Float[Tensor, ""]
    all_loss: Float[Tensor, ""]
    train_accuracy: Float[Tensor, ""]
    test_accuracy: Float[Tensor, ""]
    all_accuracy: Float[Tensor, ""]


class LabelNoise(NamedTuple):
    """Accuracies on the mislabeled training examples.

    noisy_accuracy: share of the mislabeled training examples answered as they are labeled [1]
    restored_accuracy: share of the mislabeled training examples answered correctly despite their labels [1]
    """

    noisy_accuracy: Float[Tensor, ""]
    restored_accuracy: Float[Tensor, ""]


def performance(checkpoint: Checkpoint) -> Performance:
    """Return the mean loss in float64 and the accuracy on the training, test, and all examples.

    The loss is the training loss of the run: cross-entropy, log Σ_j exp(z_j) - z_label, in nats; cross-entropy with
    StableMax, log Σ_j s(z_j) - log s(z_label); or the squared error. Accuracy is the share of examples whose label has
    the largest of the ``logits [example, class]`` (the first, if several are equal). Labels include label noise, as in
    training. All examples include the validation examples.

    In a regression, the loss is the mean over the outputs of (output - target)², and accuracy is the share of examples
    whose root mean squared error is at most the tolerance given to the recorder.

    Source: Nanda et al. 2023, §3; Levi et al. 2023 (accuracy of a regression).
    """
    problem = checkpoint.problem
    correct = problem.right(checkpoint.readout.logits, problem.target).double()
    losses = over_splits(checkpoint.losses.double(), problem, torch.mean)
    accuracies = over_splits(correct, problem, torch.mean)
    return Performance(*losses.unbind(-1), *accuracies.unbind(-1))


def label_noise(checkpoint: Checkpoint) -> LabelNoise:
    """Return the shares of the mislabeled training examples answered as labeled, and answered correctly nonetheless.

    A network that memorizes the label noise has a noisy accuracy of 1; a network that generalizes despite the noise
    has a restored accuracy of 1. The sum of both is at most 1.

    Source: Doshi et al. 2023 (memorization and inversion of corrupted labels).
    """
    problem = checkpoint.problem
    if not problem.has_noise:
        raise NotDefined("label_noise", "the training labels contain no noise")
    answer, noisy = checkpoint.logits.argmax(-1), problem.is_noisy
    return LabelNoise(*((answer == label)[noisy].double().mean() for label in (problem.trained_label, problem.label)))


def over_splits(
    values: Float[Tensor, "example"], problem: Problem, reduce: Callable[[Tensor], Tensor]
) -> Float[Tensor, "split"]:
    """Reduce a value per example over the training, test, and all examples."""
    return torch.stack([reduce(values[problem.is_train]), reduce(values[problem.is_test]), reduce(values)])
