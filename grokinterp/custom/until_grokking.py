"""Train any model until it groks, and for a while beyond, in one call."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn
from torch.optim import Optimizer

from grokinterp.custom.batches import Loss, require_integer, require_reusable
from grokinterp.custom.trainer import DivergedError, GrokkingAwareTrainer
from grokinterp.errors import ConfigError, printable
from grokinterp.optim import GradientFilter
from grokinterp.phases import JumpRule, SustainedRule
from grokinterp.streams import standard_error, tolerant
from grokinterp.training.loggers import Logger, evaluation_line, finish_all, log_all


@runtime_checkable
class Stream(Protocol):
    """A destination of text."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


Report = Callable[[str], object] | Stream | None
"""Destination of progress lines: a function that takes a line, a stream, whose errors are ignored, or None."""


def to_stderr(line: str) -> None:
    """Write a line to the current standard error, if it can be written."""
    standard_error(patience=0.0).write(printable(line) + "\n")


@dataclass(frozen=True)
class GrokkingResult:
    """The result of a training run.

    Attributes:
        grokking_step: first step of the evaluations that established grokking; None without grokking.
        final_train_accuracy, final_eval_accuracy: accuracies of the final weights, at the last evaluation.
        history: a row for every evaluation: ``step``, ``train_loss``, ``train_accuracy``, ``test_loss``,
            ``test_accuracy`` (on the held-out data), ``average_test_loss`` and ``average_test_accuracy`` (of the
            averaged weights, on the same data), and ``lamb``.
        steps: number of batches trained on.
        ended: the reason for the end: "max_steps", "grokked" (and patience), or a message about a value that was not
            finite.
        trainer: the trainer, which can continue from here and contains the averaged model.
    """

    grokking_step: int | None
    final_train_accuracy: float
    final_eval_accuracy: float
    history: tuple[dict[str, float | int], ...]
    steps: int
    ended: str
    trainer: GrokkingAwareTrainer


def train_until_grokking(
    model: nn.Module,
    train_loader: Iterable[Any],
    eval_loader: Iterable[Any],
    max_steps: int = 100_000,
    eval_interval: int = 100,
    device: torch.device | str | None = None,
    grokking_patience: int | None = 200,
    *,
    optimizer: Optimizer | None = None,
    loss: Loss | None = None,
    filters: Sequence[GradientFilter] | None = None,
    boost: float | int = 1.5,
    average: float | None = 0.999,
    rule: SustainedRule | JumpRule | None = None,
    supervision_steps: int = 1,
    loggers: Sequence[Logger] = (),
    report: Report = to_stderr,
) -> GrokkingResult:
    """Train for ``max_steps``, or until ``grokking_patience`` evaluations after grokking was detected.

    Both loaders are fully evaluated at step 0, every ``eval_interval`` batches, and at the end. Training ends early
    only if a loss or gradient is not finite. It then reports a line and keeps the weights before that step, which are
    evaluated if they are finite.

    Args:
        model: any module; it is trained in place.
        train_loader: batches for ``GrokkingAwareTrainer``; it is iterated repeatedly.
        eval_loader: batches of held-out examples.
        max_steps: maximum number of batches to train on.
        eval_interval: number of batches between evaluations.
        device: where to train (default: the model's device).
        grokking_patience: number of evaluations after the detection; None to continue to ``max_steps``.
        optimizer: as in ``GrokkingAwareTrainer``, like the next six arguments.
        loss: the mean loss over labels.
        filters: filters of the gradients.
        boost: factor of λ once grokking is detected.
        average: decay of the moving average of the weights.
        rule: the criterion for grokking.
        supervision_steps: number of optimizer steps per batch.
        loggers: receive the numbers of every evaluation by name, as in ``train``.
        report: receives a line for every evaluation, for the detection, and for the end.

    Raises:
        ConfigError: an argument is invalid, or a loader is empty or can be iterated only once; raised before any step.
    """
    require_integer("max_steps", max_steps, 1)
    require_integer("eval_interval", eval_interval, 1)
    if grokking_patience is not None:
        require_integer("grokking_patience", grokking_patience, 0)
    require_reusable("train_loader", train_loader)
    require_reusable("eval_loader", eval_loader)
    trainer = GrokkingAwareTrainer(
        model, optimizer, loss, filters=filters, boost=boost, average=average, rule=rule,
        patience=grokking_patience, supervision_steps=supervision_steps, device=device,
    )  # fmt: skip
    watch = _Watch(trainer, (train_loader, eval_loader), list(loggers), report)
    try:
        ended = _run(watch, endless(train_loader), max_steps, eval_interval)
    finally:
        finish_all(loggers)
    return watch.result(ended)


def _run(watch: "_Watch", batches: Iterator[Any], max_steps: int, eval_interval: int) -> str:
    trainer = watch.trainer
    watch.evaluate()
    while trainer.step < max_steps:
        try:
            trainer.train_step(next(batches))
        except DivergedError as error:
            watch.say(f"stopped at {error}")
            if all(bool(weight.isfinite().all()) for weight in trainer.model.parameters()):
                watch.evaluate()
            return str(error)
        if trainer.step % eval_interval == 0 or trainer.step == max_steps:
            watch.evaluate()
            if trainer.should_stop:
                return "grokked"
    return "max_steps"


def endless(loader: Iterable[Any]) -> Iterator[Any]:
    """Yield the batches of a loader, epoch after epoch.

    Raises:
        ConfigError: an epoch has no batch.
    """
    while True:
        empty = True
        for batch in loader:
            empty = False
            yield batch
        if empty:
            raise ConfigError("train_loader", "empty", "must yield batches in every epoch")


class _Watch:
    """The evaluations of a training run, recorded, reported, and logged."""

    def __init__(
        self, trainer: GrokkingAwareTrainer, loaders: tuple[Iterable[Any], Iterable[Any]], loggers: list[Logger],
        report: Report,
    ) -> None:  # fmt: skip
        self.trainer, self.loaders, self.loggers = trainer, loaders, loggers
        self.report = report if report is None or callable(report) else tolerant(report)
        self.history: list[dict[str, float | int]] = []

    def say(self, line: str) -> None:
        """Report a line."""
        if callable(self.report):
            self.report(line)
        elif self.report is not None:
            self.report.write(printable(line) + "\n")

    def evaluate(self) -> None:
        """Evaluate both loaders at the current step, and check whether grokking is detected."""
        train, held_out = (self.trainer.evaluate(loader) for loader in self.loaders)
        row = {
            "step": self.trainer.step,
            "train_loss": train.loss,
            "train_accuracy": train.accuracy,
            "test_loss": held_out.loss,
            "test_accuracy": held_out.accuracy,
        }
        if held_out.average_loss is not None and held_out.average_accuracy is not None:
            row |= {"average_test_loss": held_out.average_loss, "average_test_accuracy": held_out.average_accuracy}
        if self.trainer.lamb:
            row["lamb"] = self.trainer.lamb
        self.history.append(row)
        self.loggers = log_all(self.loggers, row)
        self.say(f"step {self.trainer.step}: {evaluation_line(row)}")
        if self.trainer.check_grokking(train.accuracy, held_out.accuracy):
            boosted = f"; λ is now {self.trainer.lamb:.3g}" if self.trainer.lamb else ""
            self.say(f"step {self.trainer.step}: grokked at step {self.trainer.detector.grok_step}{boosted}")

    def result(self, ended: str) -> GrokkingResult:
        """Report the last line, and return the result."""
        grokked, last = self.trainer.detector.grok_step, self.history[-1]
        verdict = "no grokking was detected" if grokked is None else f"grokked at step {grokked}"
        shares = f"train {last['train_accuracy']:.1%}, eval {last['test_accuracy']:.1%}"
        self.say(f"done after {self.trainer.step} steps ({ended}): {verdict}, {shares}")
        return GrokkingResult(
            grokked, last["train_accuracy"], last["test_accuracy"], tuple(self.history), self.trainer.step, ended,
            self.trainer,
        )  # fmt: skip
