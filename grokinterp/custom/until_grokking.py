"""Train any model until it groks, and for a while beyond, in one call."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn
from torch.optim import Optimizer

from grokinterp.custom import lines
from grokinterp.custom.batches import Loss, require_reusable
from grokinterp.custom.loader_examples import loaded_examples, recorder_of
from grokinterp.custom.recorder import Recorder
from grokinterp.custom.scores import Scores
from grokinterp.custom.trainer import DivergedError, GrokkingAwareTrainer
from grokinterp.errors import ConfigError, printable, require
from grokinterp.named_values import NamedValues
from grokinterp.optim import GradientFilter
from grokinterp.phases import JumpRule, SustainedRule
from grokinterp.specification import require_integer, require_type
from grokinterp.streams import standard_error, tolerant
from grokinterp.training.loggers import AnyLogger, finish_all, log_all


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
class GrokkingResult(NamedValues):
    """The result of a training run.

    Attributes:
        grokking_step: first step of the evaluations that established grokking; None without grokking.
        final_train_acc, final_eval_acc: accuracies of the final weights, at the last evaluation.
        history: a row for every evaluation: ``step``, ``train_loss``, ``train_accuracy``, ``test_loss``,
            ``test_accuracy`` (on the held-out data), ``average_test_loss`` and ``average_test_accuracy`` (of the
            averaged weights, on the same data), ``lamb``, ``current_gap`` (mean over the detector's window), and
            ``detected`` (1 from the evaluation on that detects grokking, 0 before).
        steps: number of batches trained on.
        ended: the reason for the end: "max_steps", "grokked" (and patience), or a message about a value that was not
            finite.
        trainer: the trainer, which can continue from here and contains the averaged model and the detector.
    """

    grokking_step: int | None
    final_train_acc: float
    final_eval_acc: float
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
    rule: SustainedRule | JumpRule | None = None,
    learning_rate: float | int | None = None,
    max_supervision_steps: int = 16,
    use_ema: bool = True,
    ema_decay: float = 0.999,
    lambda_boost: float | int = 1.5,
    tolerance: float | int | None = None,
    autocast: torch.dtype | None = None,
    directory: str | Path | None = None,
    save_interval: int | None = None,
    loggers: Sequence[AnyLogger] = (),
    log_prefix: str = "",
    report: Report = to_stderr,
) -> GrokkingResult:
    """Train for ``max_steps``, or until ``grokking_patience`` training steps after grokking was detected.

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
        grokking_patience: number of training steps after the evaluation that detects grokking, rounded up to an
            evaluation; None to continue to ``max_steps``.
        optimizer: as in ``GrokkingAwareTrainer``, like the next nine arguments.
        loss: the mean loss over labels.
        filters: filters of the gradients.
        rule: the criterion for grokking.
        learning_rate: that of the default optimizer.
        max_supervision_steps: number of optimizer steps per batch of a recursive model.
        use_ema: whether to average the weights.
        ema_decay: decay of the moving average of the weights.
        lambda_boost: factor of λ once grokking is detected; 1 for none.
        tolerance: the largest root mean squared error of an answer that counts as correct, for a regression.
        autocast: torch.bfloat16 or torch.float16 for automatic mixed precision.
        directory: a new or empty directory for a run directory, as by ``Recorder``, evaluated on the first 4,096
            examples of each loader. ``grokinterp report`` writes its report.
        save_interval: number of batches between its checkpoints, rounded up to an evaluation (default: every
            evaluation).
        loggers: receive the numbers of every evaluation by name, as in ``train``, through ``log_metrics`` or ``log``.
        log_prefix: precedes these names, such as "grokking/".
        report: receives a header and a line for every evaluation, for the detection, and for the end.

    Raises:
        ConfigError: an argument is invalid, or a loader is empty or can be iterated only once; raised before any step.
        RunDirectoryError: the directory is taken.
    """
    require_integer("max_steps", max_steps, 1)
    require_integer("eval_interval", eval_interval, 1)
    if save_interval is not None:
        require_integer("save_interval", save_interval, 1)
        require(directory is not None, "save_interval", save_interval, "needs a directory, in which to save")
    require_type("log_prefix", log_prefix, str)
    require_reusable("train_loader", train_loader)
    require_reusable("eval_loader", eval_loader)
    trainer = GrokkingAwareTrainer(
        model, optimizer, loss, filters=filters, rule=rule, device=device, learning_rate=learning_rate,
        max_supervision_steps=max_supervision_steps, use_ema=use_ema, ema_decay=ema_decay, lambda_boost=lambda_boost,
        grokking_patience=grokking_patience, tolerance=tolerance, autocast=autocast,
    )  # fmt: skip
    recorder = None
    with ExitStack() as stack:
        stack.callback(finish_all, loggers)
        if directory is not None:
            examples = loaded_examples(train_loader, eval_loader, trainer.device)
            recorder = recorder_of(trainer, directory, examples, max_steps=max_steps, eval_interval=eval_interval)
        return run_trainer(
            trainer, train_loader, eval_loader, max_steps=max_steps, eval_interval=eval_interval, recorder=recorder,
            save_interval=save_interval, loggers=loggers, log_prefix=log_prefix, report=report,
        )  # fmt: skip


def run_trainer(
    trainer: GrokkingAwareTrainer,
    train_loader: Iterable[Any],
    eval_loader: Iterable[Any],
    *,
    max_steps: int,
    eval_interval: int,
    recorder: Recorder | None = None,
    save_interval: int | None = None,
    loggers: Sequence[AnyLogger] = (),
    log_prefix: str = "",
    report: Report = None,
) -> GrokkingResult:
    """Train with a trainer as ``train_until_grokking`` does, which describes the arguments, and finish the recorder."""
    watch = _Watch(trainer, (train_loader, eval_loader), max_steps, report)
    watch.loggers, watch.log_prefix = list(loggers), log_prefix
    with recorder or nullcontext():
        watch.recorder, watch.save_interval = recorder, save_interval or eval_interval
        watch.say(lines.header(trainer, max_steps, eval_interval))
        return watch.result(_run(watch, endless(train_loader), max_steps, eval_interval))


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
            watch.finish_recording("diverged")
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


def averaged(part: str, scores: Scores) -> dict[str, float]:
    """Return the loss and the accuracy of the averaged weights, by the names of the metrics; empty without an average.

    >>> averaged("test", Scores(0.5, 0.75, 0.25, 1.0))
    {'average_test_loss': 0.25, 'average_test_accuracy': 1.0}
    """
    if scores.average_loss is None or scores.average_accuracy is None:
        return {}
    return {f"average_{part}_loss": scores.average_loss, f"average_{part}_accuracy": scores.average_accuracy}


class _Watch:
    """The evaluations of a training run, recorded, reported, and logged."""

    def __init__(
        self,
        trainer: GrokkingAwareTrainer,
        loaders: tuple[Iterable[Any], Iterable[Any]],
        max_steps: int,
        report: Report,
    ) -> None:
        self.trainer, self.loaders, self.max_steps = trainer, loaders, max_steps
        self.report = report if report is None or callable(report) else tolerant(report)
        self.loggers: list[AnyLogger] = []
        self.log_prefix = ""
        self.recorder: Recorder | None = None
        self.save_interval = 1
        self.saved = -1
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
        row: dict[str, float | int] = {
            "step": self.trainer.step,
            "train_loss": train.loss,
            "train_accuracy": train.accuracy,
            "test_loss": held_out.loss,
            "test_accuracy": held_out.accuracy,
        }
        row |= averaged("test", held_out)
        if self.trainer.lamb:
            row["lamb"] = self.trainer.lamb
        status = self.trainer.check_grokking(train.accuracy, held_out.accuracy)
        row |= {"current_gap": status.current_gap, "detected": int(status.grokking_detected)}
        self.history.append(row)
        self.record(row, averaged("train", train) | averaged("test", held_out))
        self.loggers = log_all(self.loggers, row, prefix=self.log_prefix)
        self.say(lines.evaluation(row, self.max_steps))
        if status.newly_detected:
            self.say(lines.detection(row, status, self.trainer, self.max_steps))

    def record(self, row: Mapping[str, float | int], averages: Mapping[str, float]) -> None:
        """Record the evaluation in the run directory, if there is one, and save the weights if they are due.

        The scores of the averaged weights are recorded if the configuration of the run has the average.
        """
        if self.recorder is None:
            return
        step = self.trainer.step
        due = step // self.save_interval > self.saved or step == self.max_steps or self.trainer.should_stop
        self.saved = step // self.save_interval if due else self.saved
        extra = {name: row[name] for name in ("lamb", "current_gap", "detected") if name in row}
        extra |= averages if self.recorder.experiment.optimization.average is not None else {}
        self.recorder.record(step, save=due, **extra)

    def finish_recording(self, status: str) -> None:
        """Close the run directory, if there is one, with a status."""
        if self.recorder is not None:
            self.recorder.finish(status)

    def result(self, ended: str) -> GrokkingResult:
        """Report the last line, and return the result."""
        last = self.history[-1]
        self.say(lines.completion(last, self.trainer, self.max_steps, ended))
        return GrokkingResult(
            self.trainer.detector.grokking_step, last["train_accuracy"], last["test_accuracy"], tuple(self.history),
            self.trainer.step, ended, self.trainer,
        )  # fmt: skip
