"""Results of a training step and of an evaluation."""

from dataclasses import dataclass

from grokinterp.named_values import NamedValues


@dataclass(frozen=True)
class StepScores(NamedValues):
    """The result of a training step, at its last supervision step before the update.

    Attributes:
        loss: mean loss over the labels of the batch.
        accuracy: share of correct answers in the batch; NaN without a label that counts.
        gradient_norm: norm of the unfiltered gradient; not finite if float16 overflowed and the update was skipped.
    """

    loss: float
    accuracy: float
    gradient_norm: float


@dataclass(frozen=True)
class Scores(NamedValues):
    """Mean loss and accuracy over all labels, and the same for the averaged weights; None without averaging."""

    loss: float
    accuracy: float
    average_loss: float | None = None
    average_accuracy: float | None = None
