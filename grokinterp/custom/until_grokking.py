"""One call that trains anyone's model until it groks, and a while beyond."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn
from torch.optim import Optimizer

from grokinterp.custom.batches import Loss, require_again, require_whole
from grokinterp.custom.trainer import DivergedError, GrokkingAwareTrainer
from grokinterp.errors import ConfigError
from grokinterp.optim import GradientFilter
from grokinterp.phases import JumpRule, SustainedRule
from grokinterp.training.loggers import Logger, evaluation_line, finish_all, log_all


@runtime_checkable
class Stream(Protocol):
    """What text is written to."""

    def write(self, text: str, /) -> object: ...

    def flush(self) -> object: ...


Report = Callable[[str], object] | Stream | None
"""Where lines go: a function of one line, a stream, or nowhere."""


def to_stderr(line: str) -> None:
    """Write a line to what standard error now is."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


@dataclass(frozen=True)
class GrokkingResult:
    """What came of a training.

    Attributes:
        grokking_step: first step of the evaluations that established grokking, None without it.
        final_train_accuracy, final_eval_accuracy: at the last evaluation, of the weights that are kept.
        history: a row for every evaluation: ``step``, ``train_loss``, ``train_accuracy``, ``test_loss``,
            ``test_accuracy`` (of the held-out data), ``average_test_loss`` and ``average_test_accuracy`` (there, of the
            averaged weights), ``lamb``.
        steps: batches trained on.
        ended: why no more: "max_steps", "grokked" (and patience), or what was not finite.
        trainer: goes on from here, and has the averaged model.
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
    """Train, and stop at ``max_steps``, or ``grokking_patience`` evaluations after grokking was detected; never before.

    Every ``eval_interval`` batches, at step 0 and at the end, both loaders are evaluated as a whole. A loss that
    is not finite ends it too, with a line, and with the weights before it, which are evaluated if they are finite.

    Args:
        model: any module; trained in place.
        train_loader: batches for ``GrokkingAwareTrainer``, again and again from its beginning.
        eval_loader: batches of held-out examples.
        max_steps: batches to train on at most.
        eval_interval: batches between evaluations.
        device: where to train; None: where the model is.
        grokking_patience: evaluations after detection; None: on to ``max_steps``.
        optimizer: as in ``GrokkingAwareTrainer``, like the following.
        loss: the mean over labels.
        filters: through which gradients pass.
        boost: of λ, once grokking is detected.
        average: decay of the average of the weights.
        rule: what counts as grokking.
        supervision_steps: optimizer steps on every batch.
        loggers: take every evaluation as numbers by name, as in ``train``.
        report: takes a line for every evaluation, for the detection, and for the end.

    Raises:
        ConfigError: an argument that breaks its rule, a loader that is empty or an iterator; before any step.
    """
    require_whole("max_steps", max_steps, 1)
    require_whole("eval_interval", eval_interval, 1)
    if grokking_patience is not None:
        require_whole("grokking_patience", grokking_patience, 0)
    require_again("train_loader", train_loader)
    require_again("eval_loader", eval_loader)
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
    """The batches of a loader, epoch after epoch. Raises ConfigError where an epoch has none."""
    while True:
        empty = True
        for batch in loader:
            empty = False
            yield batch
        if empty:
            raise ConfigError("train_loader", "empty", "must give batches every time it is gone through")


class _Watch:
    """The evaluations of one training, written down, said and logged."""

    def __init__(
        self, trainer: GrokkingAwareTrainer, loaders: tuple[Iterable[Any], Iterable[Any]], loggers: list[Logger],
        report: Report,
    ) -> None:  # fmt: skip
        self.trainer, self.loaders, self.loggers, self.report = trainer, loaders, loggers, report
        self.history: list[dict[str, float | int]] = []

    def say(self, line: str) -> None:
        """One line to wherever lines go."""
        if callable(self.report):
            self.report(line)
        elif self.report is not None:
            self.report.write(line + "\n")
            self.report.flush()

    def evaluate(self) -> None:
        """Both loaders at the present step, and whether this is grokking."""
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
            boosted = f"; λ is {self.trainer.lamb:.3g} from here on" if self.trainer.lamb else ""
            self.say(f"step {self.trainer.step}: grokked at step {self.trainer.detector.grok_step}{boosted}")

    def result(self, ended: str) -> GrokkingResult:
        """What came of it, and its last line."""
        grokked, last = self.trainer.detector.grok_step, self.history[-1]
        verdict = "no grokking was detected" if grokked is None else f"grokked at step {grokked}"
        shares = f"train {last['train_accuracy']:.1%}, eval {last['test_accuracy']:.1%}"
        self.say(f"done after {self.trainer.step} steps ({ended}): {verdict}, {shares}")
        return GrokkingResult(
            grokked, last["train_accuracy"], last["test_accuracy"], tuple(self.history), self.trainer.step, ended,
            self.trainer,
        )  # fmt: skip
