"""Train any module with detection of grokking: steps, evaluations, and settings."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from grokinterp.custom.autocast import MixedPrecision
from grokinterp.custom.batches import (
    Batch,
    Loss,
    Program,
    buffers_kept,
    detached,
    mode,
    own_randomness,
)
from grokinterp.custom.optimizer import grokfast_filters, require_optimized, trained_parameters, with_filters
from grokinterp.custom.scores import Scores, StepScores
from grokinterp.errors import ConfigError, GrokinterpError, short
from grokinterp.losses import ClassificationLoss, StableCrossEntropyLoss, close_answers
from grokinterp.optim import GradientFilter, ModelEMA, filters_of
from grokinterp.phases import SUSTAINED, GrokkingDetector, GrokkingStatus, JumpRule, SustainedRule
from grokinterp.specification import require_integer, require_type


class DivergedError(GrokinterpError):
    """A loss or gradient is not finite; the update was not applied, and the weights before it are kept."""

    def __init__(self, step: int, what: str) -> None:
        super().__init__(f"step {step}: {what} is not finite; the update was not applied; try a lower lr")
        self.step = step


class GrokkingAwareTrainer:
    """Steps, evaluations, and the detection of grokking, for your own training loop.

    Only ``grokking_patience`` training steps after the detection of grokking suggest stopping, because a network that
    will grok looks finished and overfitted for most of its training. Batches are (inputs, labels), or dicts with
    "labels" whose other entries are keyword arguments of the model. Logits are the output of the model or its
    ``.logits``, with shape [batch, class], [batch, position, class], or [batch, class, …]. If a batch of a Hugging Face
    causal language model is a dict, labels are compared with the logits at the previous position, as the library does.

    Args:
        model: any module. It is in training mode during a step and in evaluation mode during an evaluation; its modes
            are restored afterwards.
        optimizer: an optimizer of its parameters, with a warning if it lacks some (default: AdamW with torch's
            defaults, the learning rate below, and weight decay 0.01).
        loss: the mean loss, like ``torch.nn.CrossEntropyLoss`` (default: ``StableCrossEntropyLoss``).
        filters: filters of the gradients (default: Grokfast-EMA for the default optimizer, and its own filters for a
            given one).
        rule: the criterion for grokking (default: the sustained rule); the legacy ``JumpRule`` is available for
            comparison.
        device: where to train (default: the model's device).
        learning_rate: that of the default optimizer (default: 1e-3).
        max_supervision_steps: number of calls ``forward(…, state) -> (logits, state)`` of a recursive model on every
            batch. Each call has its own optimizer step, the state is detached in between, and all calls are always
            made. A model without a parameter for the state is called once.
        state_name: the name of that parameter.
        use_ema: whether to keep a moving average of the weights, which is evaluated as well.
        ema_decay: the decay of that average.
        grokfast_alpha: α of Grokfast's moving average of the gradients (EMA), in place of ``filters``, like the next
            two.
        grokfast_lambda: λ of Grokfast; 0 for none.
        grokfast_window: number of gradients in Grokfast's mean (MA); with ``grokfast_alpha``, both are added (dual).
        adaptive_lambda: whether to multiply λ of the filters once grokking is detected.
        lambda_boost: the factor, from 1 to 1000.
        enable_grokking_detection: False to record the accuracies only, so that training never suggests stopping.
        grokking_patience: number of training steps from the evaluation that detects grokking until ``should_stop``;
            None for never.
        tolerance: the largest root mean squared error of an answer that counts as correct, for a regression: batches
            whose labels are numbers [batch, output], or [batch], and a loss such as ``torch.nn.MSELoss``.
        autocast: torch.bfloat16 or torch.float16 for automatic mixed precision, with scaled gradients in float16.

    Attributes:
        detector: the ``GrokkingDetector``, with the histories of all evaluations.
        step: number of batches trained on.

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
        rule: SustainedRule | JumpRule | None = None,
        device: torch.device | str | None = None,
        learning_rate: float | int | None = None,
        max_supervision_steps: int = 16,
        state_name: str = "state",
        use_ema: bool = True,
        ema_decay: float = 0.999,
        grokfast_alpha: float | int | None = None,
        grokfast_lambda: float | int | None = None,
        grokfast_window: int | None = None,
        adaptive_lambda: bool = True,
        lambda_boost: float | int = 1.5,
        enable_grokking_detection: bool = True,
        grokking_patience: int | None = 200,
        tolerance: float | int | None = None,
        autocast: torch.dtype | None = None,
    ) -> None:
        parameters = trained_parameters(model)
        switches = {
            "use_ema": use_ema,
            "adaptive_lambda": adaptive_lambda,
            "enable_grokking_detection": enable_grokking_detection,
        }
        for name, value in switches.items():
            require_type(name, value, bool)
        require_settings(ema_decay, lambda_boost, grokking_patience)
        require_tolerance(tolerance)
        grokfast = grokfast_filters(grokfast_alpha, grokfast_lambda, grokfast_window)
        if filters is not None and grokfast is not None:
            raise ConfigError("filters", short(filters), "cannot be used with grokfast_alpha, _lambda or _window")
        self.device = parameters[0].device if device is None else usable_device(device)
        self.precision = MixedPrecision(autocast, self.device)
        self.model = model.to(self.device)
        self.program = Program(model, max_supervision_steps, state_name)
        self.loss: Loss = StableCrossEntropyLoss() if loss is None else loss
        self.tolerance = tolerance
        parameters = trained_parameters(self.model)
        if optimizer is not None:
            require_optimized(optimizer, parameters)
        self.optimizer = with_filters(optimizer, filters if grokfast is None else grokfast, parameters, learning_rate)
        self.average = ModelEMA(self.model, decay=ema_decay) if use_ema else None
        criterion = (rule or SUSTAINED) if enable_grokking_detection else None
        self.detector = GrokkingDetector(patience=grokking_patience, rule=criterion)
        self.lambda_boost = lambda_boost if adaptive_lambda else 1.0
        self.step = 0

    @property
    def lamb(self) -> float:
        """The boosted λ: the multiple of a constant gradient that the filters add to it; 0 without Grokfast."""
        return filters_of(self.optimizer).gain - 1

    @property
    def should_stop(self) -> bool:
        """Whether the last evaluation was at least ``grokking_patience`` training steps after grokking was detected."""
        return self.detector.should_stop

    @torch.inference_mode(mode=False)
    def train_step(self, batch: Any) -> StepScores:
        """Train on one batch, with one optimizer step per supervision step.

        Returns:
            Loss, accuracy, and gradient norm at the last supervision step, before its update.

        Raises:
            ConfigError: the form of the batch or of the model's output is unknown.
            DivergedError: the loss or its gradient is not finite; the update was not made.
        """
        given, state = Batch.read(batch, self.device), None
        with mode(self.model, training=True):
            for _ in range(self.program.supervision_steps):
                with buffers_kept(self.model):
                    found, state = self._update(given, detached(state))
        self.step += 1
        return found

    def _update(self, batch: Batch, state: Any) -> tuple[StepScores, Any]:
        self.optimizer.zero_grad(set_to_none=True)
        logits, labels, state = self._logits(self.model, batch, state)
        loss = self._mean_loss(logits, labels)
        if not loss.isfinite():
            raise DivergedError(self.step, "the loss")
        self.precision.backward(loss, self.optimizer)
        norm = gradient_norm(self.optimizer)
        if not (is_finite := math.isfinite(norm)) and not self.precision.may_overflow:
            self.optimizer.zero_grad(set_to_none=True)
            self.precision.give_up()
            raise DivergedError(self.step, "the gradient")
        self.precision.step(self.optimizer)
        if self.average is not None and is_finite:
            self.average.update()
        hits, count = self._hits(logits, labels)
        return StepScores(loss.item(), hits / count if count else math.nan, norm), state

    def _logits(self, model: nn.Module, batch: Batch, state: Any = None) -> tuple[Tensor, Tensor, Any]:
        """Return logits [row, class], labels [row], and the model's state."""
        with self.precision.forward():
            logits, labels, state = self.program(model, batch, state)
        if labels.is_floating_point():
            self._require_regression()
        elif self.tolerance is not None:
            raise ConfigError("tolerance", self.tolerance, "is for labels that are numbers: give none")
        return self.precision.widened(logits), labels, state

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
        logits, labels, state = self._logits(model, batch)
        for _ in range(self.program.supervision_steps - 1):
            logits, labels, state = self._logits(model, batch, state)
        hits, count = self._hits(logits, labels)
        return (self._mean_loss(logits, labels).item() * count if count else 0.0), hits, count

    def _require_regression(self) -> None:
        """Raise ConfigError unless the trainer has a loss and a tolerance for labels that are numbers."""
        if isinstance(self.loss, ClassificationLoss):
            rule = "is a loss of classes: labels that are numbers need one such as torch.nn.MSELoss()"
            raise ConfigError("loss", type(self.loss).__name__, rule)
        if self.tolerance is None:
            rule = "must be given with labels that are numbers: the largest root mean squared error of a correct answer"
            raise ConfigError("tolerance", None, rule)

    def _mean_loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        loss = self.loss(logits, labels)
        if loss.numel() != 1:
            raise ConfigError("loss", list(loss.shape), "must be a scalar, the mean over the labels")
        return loss.squeeze()

    def _hits(self, logits: Tensor, labels: Tensor) -> tuple[int, int]:
        """Return the number of correct answers, and the number of labels that count."""
        if self.tolerance is not None and labels.is_floating_point():
            close = close_answers(logits.detach().unsqueeze(1), labels.unsqueeze(1), tolerance=self.tolerance)
            return int(close.sum()), len(close)
        counted = labels != getattr(self.loss, "ignore_index", -100)
        hits = (logits.detach().argmax(-1) == labels) & counted
        return int(hits.sum()), int(counted.sum())

    def check_grokking(self, train_acc: float | int, eval_acc: float | int) -> GrokkingStatus:
        """Record the accuracies of an evaluation, and return what is known after it.

        As a condition, the result is True for the evaluation at which grokking is detected. λ is boosted then. An
        evaluation without a training step since the last evaluation counts as one step later.
        """
        last = self.detector.step_history[-1:]
        status = self.detector.update(max([self.step, *(step + 1 for step in last)]), train_acc, eval_acc)
        if status.newly_detected:
            filters_of(self.optimizer).boost(self.lambda_boost)
        return status

    def state_dict(self) -> dict[str, Any]:
        """Return all that a continuation needs as tensors and plain values, including torch's random state for dropout.

        The order of the loader's batches is not included.
        """
        return {
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "detector": self.detector.state,
            "precision": self.precision.state_dict(),
            "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }

    @torch.inference_mode(mode=False)
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue, bit for bit, from the state of a trainer with the same configuration.

        Raises:
            ConfigError: the trainer of the state has other filters, another rule, another scaling of gradients, or
                differs in whether it averages weights.
            RuntimeError: the state belongs to another model.
        """
        if (state["average"] is None) != (self.average is None):
            rule = f"the state was saved {'without' if state['average'] is None else 'with'} an average"
            raise ConfigError("use_ema", self.average is not None, rule)
        self.precision.require_scaling_of(state["precision"])
        self.detector.require_rule_of(state["detector"])
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.precision.load_state_dict(state["precision"])
        self.detector.load_state(state["detector"])
        self.step = state["step"]
        torch.set_rng_state(state["random"].cpu())
        if state["random_cuda"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["random_cuda"].cpu(), self.device)


def gradient_norm(optimizer: Optimizer) -> float:
    """Return the norm of all gradients of the optimizer's parameters."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    norms = [weight.grad.detach().norm() for weight in weights if weight.grad is not None]
    return float(torch.stack(norms).norm()) if norms else 0.0


def require_tolerance(tolerance: object) -> None:
    """Raise ConfigError unless a tolerance is None or a positive number."""
    require_type("tolerance", tolerance, float | None)
    if tolerance is not None and not 0 < tolerance < math.inf:  # ty: ignore[unsupported-operator] - a number
        raise ConfigError("tolerance", tolerance, "must be a positive number")


def usable_device(device: torch.device | str) -> torch.device:
    """Return a device. Raises ConfigError if it does not exist on this machine."""
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        why = str(error).partition("\n")[0]
        raise ConfigError("device", short(str(device)), f"cannot be used: {why}") from None


def require_settings(ema_decay: object, lambda_boost: object, grokking_patience: object) -> None:
    """Raise ConfigError unless the settings of a trainer are in range."""
    require_type("ema_decay", ema_decay, float)
    require_type("lambda_boost", lambda_boost, float)
    if not 1 <= lambda_boost <= 1000:  # ty: ignore[unsupported-operator] - a number
        raise ConfigError("lambda_boost", lambda_boost, "must be from 1 to 1000")
    if not 0 <= ema_decay < 1:  # ty: ignore[unsupported-operator] - a number
        raise ConfigError("ema_decay", ema_decay, "must be from 0 to below 1")
    if grokking_patience is not None:
        require_integer("grokking_patience", grokking_patience, 0)
