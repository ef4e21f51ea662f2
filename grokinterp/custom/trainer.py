"""Train any module with detection of grokking: steps, evaluations, and settings."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from grokinterp.custom.batches import (
    Batch,
    Loss,
    Program,
    buffers_kept,
    detached,
    mode,
    own_randomness,
    require_integer,
)
from grokinterp.custom.optimizer import require_optimized, trained_parameters, with_filters
from grokinterp.errors import ConfigError, GrokinterpError
from grokinterp.losses import StableCrossEntropyLoss
from grokinterp.optim import GradientFilter, ModelEMA, filters_of
from grokinterp.phases import SUSTAINED, GrokkingDetector, JumpDetector, JumpRule, SustainedRule
from grokinterp.specification import require_type


class DivergedError(GrokinterpError):
    """A loss or gradient is not finite; the update was not applied, and the weights before it are kept."""

    def __init__(self, step: int, what: str) -> None:
        super().__init__(f"step {step}: {what} is not finite; the update was not applied; try a lower lr")
        self.step = step


class Scores(NamedTuple):
    """Mean loss and accuracy over all labels, and the same for the averaged weights; None without averaging."""

    loss: float
    accuracy: float
    average_loss: float | None = None
    average_accuracy: float | None = None


class GrokkingAwareTrainer:
    """Steps, evaluations, and the detection of grokking, for your own training loop.

    Only ``patience`` after the detection of grokking suggests stopping, because a network that will grok looks finished
    and overfitted for most of its training. Batches are (inputs, labels), or dicts with "labels" whose other entries
    are keyword arguments of the model. Logits are the output of the model or its ``.logits``, with shape [batch,
    class], [batch, position, class], or [batch, class, …]. If a batch of a Hugging Face causal language model is a
    dict, labels are compared with the logits at the previous position, as the library does.

    Args:
        model: any module. It is in training mode during a step and in evaluation mode during an evaluation; its modes
            are restored afterwards.
        optimizer: an optimizer of its parameters, with a warning if it lacks some (default: AdamW with torch's
            defaults, lr 1e-3, and weight decay 0.01).
        loss: the mean loss, like ``torch.nn.CrossEntropyLoss`` (default: ``StableCrossEntropyLoss``).
        filters: filters of the gradients (default: Grokfast-EMA for the default optimizer, and its own filters for a
            given one).
        boost: factor from 1 to 1000 by which λ of the filters is multiplied once grokking is detected.
        average: decay of a moving average of the weights, which is evaluated as well; None for no average.
        rule: the criterion for grokking; ``JumpRule`` is available for comparison.
        patience: number of evaluations after the detection until ``should_stop``; None for never.
        supervision_steps: number of calls ``forward(…, state) -> (logits, state)`` on every batch. Each call has its
            own optimizer step, the state is detached in between, and all calls are always made.
        device: where to train (default: the model's device).

    Source: Lee et al. 2024 (Grokfast); Jolicoeur-Martineau 2025 (deep supervision); docs/formulas.md, Accelerators.

    Raises:
        ConfigError: an argument is invalid.
    """

    @torch.inference_mode(mode=False)  # this enables gradients, even if the caller has disabled them
    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer | None = None,
        loss: Loss | None = None,
        *,
        filters: Sequence[GradientFilter] | None = None,
        boost: float | int = 1.5,
        average: float | None = 0.999,
        rule: SustainedRule | JumpRule | None = None,
        patience: int | None = 200,
        supervision_steps: int = 1,
        device: torch.device | str | None = None,
    ) -> None:
        parameters = trained_parameters(model)
        require_type("boost", boost, float)
        require_type("average", average, float | None)
        if not 1 <= boost <= 1000:
            raise ConfigError("boost", boost, "must be from 1 to 1000")
        if patience is not None:
            require_integer("patience", patience, 0)
        if average is not None and not 0 <= average < 1:
            raise ConfigError("average", average, "must be from 0 to below 1, or None")
        self.device = torch.device(device) if device is not None else parameters[0].device
        self.model = model.to(self.device)
        self.program = Program(model, supervision_steps)
        self.loss: Loss = StableCrossEntropyLoss() if loss is None else loss
        parameters = trained_parameters(self.model)
        if optimizer is not None:
            require_optimized(optimizer, parameters)
        self.optimizer = with_filters(optimizer, filters, parameters)
        self.average = None if average is None else ModelEMA(self.model, decay=average)
        self.detector = JumpDetector(rule) if isinstance(rule, JumpRule) else GrokkingDetector(rule or SUSTAINED)
        self.boost, self.patience, self.step, self.since_detection = boost, patience, 0, 0

    @property
    def lamb(self) -> float:
        """The boosted λ: the multiple of a constant gradient that the filters add to it; 0 without Grokfast."""
        return filters_of(self.optimizer).gain - 1

    @property
    def should_stop(self) -> bool:
        """Whether at least ``patience`` evaluations were made after the detection of grokking."""
        return (
            self.detector.grok_step is not None and self.patience is not None and self.patience <= self.since_detection
        )

    @torch.inference_mode(mode=False)
    def train_step(self, batch: Any) -> dict[str, float]:
        """Train on one batch, with one optimizer step per supervision step.

        Returns:
            ``loss`` and ``accuracy`` at the last supervision step before its update, and ``gradient_norm`` of the
                unfiltered gradient.

        Raises:
            ConfigError: the form of the batch or of the model's output is unknown.
            DivergedError: the loss or its gradient is not finite; the update was not made.
        """
        given, state, found = Batch.read(batch, self.device), None, {}
        with mode(self.model, training=True):
            for _ in range(self.program.supervision_steps):
                with buffers_kept(self.model):
                    found, state = self._update(given, detached(state))
        self.step += 1
        return found

    def _update(self, batch: Batch, state: Any) -> tuple[dict[str, float], Any]:
        self.optimizer.zero_grad(set_to_none=True)
        logits, labels, state = self.program(self.model, batch, state)
        loss = self._mean_loss(logits, labels)
        if not loss.isfinite():
            raise DivergedError(self.step, "the loss")
        loss.backward()
        gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
        norm = torch.stack([gradient.detach().norm() for gradient in gradients]).norm()
        if not norm.isfinite():
            self.optimizer.zero_grad(set_to_none=True)
            raise DivergedError(self.step, "the gradient")
        self.optimizer.step()
        if self.average is not None:
            self.average.update()
        hits, count = self._hits(logits, labels)
        accuracy = hits / count if count else math.nan
        return {"loss": loss.item(), "accuracy": accuracy, "gradient_norm": norm.item()}, state

    def evaluate(self, loader: Iterable[Any]) -> Scores:
        """Return loss and accuracy over all batches, for the weights and for their average.

        Nothing is changed, including later random numbers, even if the loader shuffles with its own generator.

        Raises:
            ConfigError: the loader yields no batch, or no label that counts.
        """
        models = [self.model] if self.average is None else [self.model, self.average.model]
        totals = [[0.0, 0, 0] for _ in models]
        with own_randomness(self.device, loader), torch.no_grad():
            for batch in loader:
                given = Batch.read(batch, self.device)
                for model, total in zip(models, totals, strict=True):
                    with mode(model, training=False):
                        for place, value in enumerate(self._score(model, given)):
                            total[place] += value
        if not totals[0][2]:
            raise ConfigError("loader", "empty", "must yield at least one batch with a label that counts")
        scores = [(loss / count, hits / count) for loss, hits, count in totals]
        return Scores(*scores[0], *(scores[1] if len(scores) > 1 else ()))

    def _score(self, model: nn.Module, batch: Batch) -> tuple[float, int, int]:
        """Return a batch's summed loss, correct answers, and counted labels at the last supervision step."""
        logits, labels, state = self.program(model, batch)
        for _ in range(self.program.supervision_steps - 1):
            logits, labels, state = self.program(model, batch, state)
        hits, count = self._hits(logits, labels)
        return (self._mean_loss(logits, labels).item() * count if count else 0.0), hits, count

    def _mean_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        loss = self.loss(logits, labels)
        if loss.numel() != 1:
            raise ConfigError("loss", list(loss.shape), "must be a scalar, the mean over the labels")
        return loss.squeeze()

    def _hits(self, logits: Tensor, labels: Tensor) -> tuple[int, int]:
        """Return the number of correct answers, and the number of labels that count."""
        counted = labels != getattr(self.loss, "ignore_index", -100)
        hits = (logits.detach().argmax(-1) == labels) & counted
        return int(hits.sum()), int(counted.sum())

    def check_grokking(self, train_acc: float | int, eval_acc: float | int) -> bool:
        """Record the accuracies of an evaluation; return True for the one at which grokking is detected.

        On detection, λ is boosted. ``detector.grok_step`` is the step to which grokking is dated. An evaluation without
        a training step since the last evaluation counts as one step later.
        """
        if self.detector.grok_step is not None:
            self.since_detection += 1
        last = self.detector.last_step
        detected = self.detector.update(self.step if last is None else max(self.step, last + 1), train_acc, eval_acc)
        if detected:
            filters_of(self.optimizer).boost(self.boost)
        return detected

    def state_dict(self) -> dict[str, Any]:
        """Return all that a continuation needs as tensors and plain values, including torch's random state for dropout.

        The order of the loader's batches is not included.
        """
        return {
            "step": self.step,
            "since_detection": self.since_detection,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "detector": self.detector.state,
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }

    @torch.inference_mode(mode=False)
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue, bit for bit, from the state of a trainer with the same configuration.

        Raises:
            ConfigError: the trainer of the state has other filters, another rule, or differs in whether it averages
                weights.
            RuntimeError: the state belongs to another model.
        """
        if (state["average"] is None) != (self.average is None):
            rule = f"the state was saved {'without' if state['average'] is None else 'with'} an average"
            raise ConfigError("average", self.average and self.average.decay, rule)
        if set(state["detector"]) != set(self.detector.state):
            raise ConfigError("rule", type(self.detector.rule).__name__, "the state was saved with another rule")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.detector = type(self.detector).from_state(dict(state["detector"]))
        self.step, self.since_detection = state["step"], state["since_detection"]
        torch.set_rng_state(state["random"].cpu())
        if state["random_cuda"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["random_cuda"].cpu(), self.device)
