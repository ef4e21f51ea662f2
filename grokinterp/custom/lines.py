"""The lines that a training run reports: its header, evaluations, detection, and completion."""

from collections.abc import Mapping

from grokinterp.custom.trainer import GrokkingAwareTrainer
from grokinterp.phases import GrokkingStatus
from grokinterp.training.loggers import evaluation_line

Row = Mapping[str, float | int]
"""The numbers of an evaluation by name."""


def header(trainer: GrokkingAwareTrainer, max_steps: int, eval_interval: int) -> str:
    """Return a line that says what is trained, for how long, and when it stops."""
    weights = sum(weight.numel() for weight in trainer.model.parameters() if weight.requires_grad)
    patience, rule = trainer.detector.patience, trainer.detector.rule
    stop = "never" if patience is None or rule is None else f"{patience:,} steps after grokking is detected"
    supervision = (
        f", {trainer.program.supervision_steps} supervision steps each" if trainer.program.is_recursive else ""
    )
    return (
        f"training {type(trainer.model).__name__} with {weights:,} weights on {trainer.device} by "
        f"{type(trainer.optimizer).__name__}: at most {max_steps:,} steps{supervision}, evaluated every "
        f"{eval_interval:,}; early stop: {stop}"
    )


def evaluation(row: Row, max_steps: int) -> str:
    """Return the line of an evaluation.

    >>> evaluation({"step": 120, "train_accuracy": 1.0, "test_accuracy": 0.25, "lamb": 2.0}, 500)
    'step 120/500: train 100.0%, eval 25.0%, gap 75.0%, λ 2'
    """
    return f"step {row['step']}/{max_steps}: {evaluation_line(row)}"


def detection(row: Row, status: GrokkingStatus, trainer: GrokkingAwareTrainer, max_steps: int) -> str:
    """Return the line of the evaluation that detects grokking, with its numbers and with what follows."""
    patience = trainer.detector.patience
    last = max_steps if patience is None else min(max_steps, status.step + patience)
    boosted = f"; λ is now {trainer.lamb:.3g}" if trainer.lamb else ""
    return (
        f"step {status.step}/{max_steps}: grokking detected, dated to step {status.grokking_step}: "
        f"{evaluation_line(row)}{boosted}; training continues to step {last}"
    )


def completion(row: Row, trainer: GrokkingAwareTrainer, max_steps: int, ended: str) -> str:
    """Return the last line: how long the run was, why it ended, whether it grokked, and its last evaluation."""
    grokked = trainer.detector.grokking_step
    verdict = "no grokking was detected" if grokked is None else f"grokked at step {grokked}"
    return f"done after {trainer.step}/{max_steps} steps ({ended}): {verdict}; {evaluation_line(row)}"
