"""Configuration of the optimization."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

from grokinterp.display import changed
from grokinterp.errors import require, short
from grokinterp.experiment.kinds import (
    AnyBatchSchedule,
    AnyFilter,
    AnyRateSchedule,
    AnyWeightDecaySchedule,
)
from grokinterp.losses import LossForm
from grokinterp.optim import Constant, Curriculum
from grokinterp.optim.schedules import warm_up
from grokinterp.specification import ADDED, Specification

DecayForm = Literal["to_zero", "to_init", "jiggle"]
Precision = Literal["float32", "float64", "bfloat16", "float16"]

LARGEST = 1000
"""Largest penalty and largest standard deviation of noise."""

MOST_FILTERS = 8
"""Largest number of filters in sequence."""


@dataclass(frozen=True, kw_only=True)
class Schedules(Specification):
    """Factors that multiply ``lr``, ``weight_decay`` and ``batch_size`` in the course of training."""

    lr: AnyRateSchedule = field(default_factory=Constant)
    weight_decay: AnyWeightDecaySchedule = field(default_factory=Constant)
    batch_size: AnyBatchSchedule = field(default_factory=Constant)


@dataclass(frozen=True, kw_only=True)
class PartSettings(Specification):
    """Settings of one part of the model, such as ``embed`` or ``blocks.0.mlp`` (``Model.parts``).

    ``frozen`` keeps the weights of the part. ``lr`` and ``weight_decay`` replace those of the optimization (None: the
    same); warm-up, schedules and normalization multiply them in the same way.

    Raises:
        ConfigError: if the part has no setting of its own, or a frozen part has a rate.
    """

    part: str = "embed"
    frozen: bool = False
    lr: float | None = None
    weight_decay: float | None = None

    def __post_init__(self) -> None:
        rated = self.lr is not None or self.weight_decay is not None
        require(self.frozen or rated, "part", short(self.part), "needs a setting: frozen, lr or weight_decay")
        require(not (self.frozen and rated), "frozen", self.frozen, "leaves no use for an lr or a weight_decay")
        require(self.lr is None or 0 < self.lr < 10, "lr", self.lr, "must be positive and below 10")
        decay = self.weight_decay
        require(decay is None or 0 <= decay < math.inf, "weight_decay", decay, "must be 0 or positive")


@dataclass(frozen=True, kw_only=True)
class Optimization(Specification):
    """An optimizer with linear warm-up, gradient filters, and schedules of its settings.

    ``optimizer``: AdamW or Adam with ``betas`` and ``eps``; stochastic gradient descent with ``momentum``; or Muon with
    ``momentum`` on the matrices and AdamW on the other parameters. ``weight_decay`` of AdamW and Muon is decoupled, per
    unit of learning rate; that of Adam and SGD is added to the gradient after the filters, as in PyTorch. ``loss`` is
    defined in ``losses``.

    ``filters`` are applied in sequence to the gradient of every step. ``lr_normalize`` divides the learning rate by
    1 + λ, the factor by which Grokfast multiplies a steady gradient. ``boost`` multiplies λ once grokking is detected.

    ``batch_size`` is the number of examples per step, taken from a continuous stream of reshuffled epochs; None uses
    all training examples in every step. ``init_scale`` α multiplies all initial weights. ``constrain_norm`` keeps the
    norm of all weights at its initial value: after every step θ ← θ ‖θ₀‖ / ‖θ‖.

    ``average`` d maintains an exponential moving average of the weights, θ̄ ← d θ̄ + (1 - d) θ after every step, which
    is evaluated and saved along with them.

    ``parts`` freezes parts of the model, or gives them a learning rate and weight decay of their own.

    ``l1`` and ``l2`` add l1 Σ |θ| + l2 Σ θ² over all trained parameters to the training loss; the losses in the metrics
    are without them. ``clip_norm`` c multiplies the gradient of norm ‖g‖ by min(1, c / (‖g‖ + 1e-6)), before the
    filters. ``weight_decay_form`` replaces decay to zero, for AdamW and Muon: "to_init" is
    θ ← θ + lr · weight_decay · (θ₀ - θ), and "jiggle" is θ ← θ · exp(lr · weight_decay · ε), with one ε ~ N(0, 1) for
    each tensor. ``weight_noise`` σ computes every gradient at θ + σ ε, and ``update_noise`` σ adds lr · σ · ε to every
    update, with one ε ~ N(0, 1) for each weight. The network that is evaluated and saved has the weights θ.

    ``precision`` is that of the parameters, moments and computation for float32 and float64. With float16 and bfloat16
    the parameters and moments are float32, and the network is computed, in training and in the metrics, from weights
    rounded to that precision (``training.precision``). ``loss`` has its own precision.

    Source: Loshchilov and Hutter 2017 (AdamW); Nanda et al. 2023, §3 for the defaults; Liu et al.
    2022, Omnigrok, §3 (initial scale, constrained norm); Lee et al. 2024 and Prieto et al. 2025 (filters);
    Power et al. 2022, appendix A.1.2, and its release (noise, forms of weight decay); docs/formulas.md, Regularizers.
    """

    lr: float = 1e-3
    weight_decay: float = 1.0
    optimizer: Literal["adamw", "adam", "sgd", "muon"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-8
    momentum: float = 0.9
    warmup_steps: int = 10
    loss: LossForm = "softplus"
    batch_size: int | None = None
    init_scale: float = 1.0
    constrain_norm: bool = False
    filters: tuple[AnyFilter, ...] = ()
    lr_normalize: bool = False
    boost: float = 1.0
    average: float | None = None
    schedules: Schedules = field(default_factory=Schedules)
    curriculum: Curriculum = field(default_factory=Curriculum)
    parts: tuple[PartSettings, ...] = field(default=(), metadata=ADDED)
    l1: float = field(default=0.0, metadata=ADDED)
    l2: float = field(default=0.0, metadata=ADDED)
    clip_norm: float | None = field(default=None, metadata=ADDED)
    weight_decay_form: DecayForm = field(default="to_zero", metadata=ADDED)
    weight_noise: float = field(default=0.0, metadata=ADDED)
    update_noise: float = field(default=0.0, metadata=ADDED)
    precision: Precision = field(default="float32", metadata=ADDED)

    def __post_init__(self) -> None:
        require(0 < self.lr < 10, "lr", self.lr, "must be positive and below 10")
        require(0 <= self.weight_decay < math.inf, "weight_decay", self.weight_decay, "must be 0 or positive")
        most = self.weight_decay * self.schedules.weight_decay.largest
        rule = f"times lr={self.lr} must be below 1" + (" at its most" if most != self.weight_decay else "")
        require(self.lr * most < 1, "weight_decay", self.weight_decay, rule)
        require(all(0 <= beta < 1 for beta in self.betas), "betas", self.betas, "must each lie in [0, 1)")
        require(0 < self.eps < 1, "eps", self.eps, "must lie strictly between 0 and 1")
        require(0 <= self.momentum < 1, "momentum", self.momentum, "must be from 0 to below 1")
        require(0 <= self.warmup_steps <= 10**9, "warmup_steps", self.warmup_steps, "must be from 0 to 10^9")
        require(self.batch_size is None or self.batch_size >= 1, "batch_size", self.batch_size, "must be positive")
        require(0 < self.init_scale <= 1000, "init_scale", self.init_scale, "must be positive and at most 1000")
        self._require_regularizers()
        self._require_fitting()
        self._require_fitting_parts()

    def _require_regularizers(self) -> None:
        """Raise ConfigError if a penalty, a bound or a noise is out of range, or a form of weight decay has no use."""
        for key in ("l1", "l2", "weight_noise", "update_noise"):
            value = getattr(self, key)
            require(0 <= value <= LARGEST, key, value, f"must be from 0 to {LARGEST}")
        clip = self.clip_norm
        require(clip is None or 0 < clip < math.inf, "clip_norm", clip, "must be positive")
        form, plain = self.weight_decay_form, self.weight_decay_form == "to_zero"
        decoupled = self.optimizer in ("adamw", "muon")
        rule = "needs the decoupled weight decay of adamw or muon"
        require(plain or decoupled, "weight_decay_form", form, rule)

    @property
    def is_random(self) -> bool:
        """Whether the update of a step draws random numbers, besides the choice of the examples."""
        return self.weight_noise > 0 or self.update_noise > 0 or self.weight_decay_form == "jiggle"

    @property
    def reason_alone(self) -> str | None:
        """The setting for which a run is trained by itself and not in a stack, with the reason; None without one."""
        if self.is_random:
            key = next(key for key in ("weight_noise", "update_noise", "weight_decay_form") if key in changed(self))
            return f"optimization.{key}={getattr(self, key)}: each run draws random numbers of its own"
        if self.precision in ("bfloat16", "float16"):
            return f"optimization.precision={self.precision}: the rounded network is that of a single run"
        return None

    def _require_fitting(self) -> None:
        """Raise ConfigError if settings are inconsistent."""
        require(len(self.filters) <= MOST_FILTERS, "filters", len(self.filters), f"must be at most {MOST_FILTERS}")
        amplified = self.gain > 1
        rule = "needs a filter that amplifies: a Grokfast with lamb above 0"
        require(amplified or not self.lr_normalize, "lr_normalize", self.lr_normalize, rule)
        require(1 <= self.boost <= 1000, "boost", self.boost, "must be from 1 to 1000")
        require(amplified or self.boost == 1, "boost", self.boost, rule)
        average = self.average
        require(average is None or 0 < average < 1, "average", average, "must lie strictly between 0 and 1")
        kind = self.schedules.batch_size.kind
        rule = "needs a batch_size to change"
        require(kind == "constant" or self.batch_size is not None, "schedules.batch_size.kind", kind, rule)
        kind, rule = self.schedules.weight_decay.kind, "needs a weight_decay above 0 to change"
        require(kind == "constant" or self.weight_decay > 0, "schedules.weight_decay.kind", kind, rule)
        by, hardest_first, rule = self.curriculum.by, self.curriculum.hardest_first, "needs a curriculum.start below 1"
        require(by == "size" or self.curriculum.is_active, "curriculum.by", by, rule)
        require(not hardest_first or self.curriculum.is_active, "curriculum.hardest_first", hardest_first, rule)

    def _require_fitting_parts(self) -> None:
        """Raise ConfigError if the settings of parts are inconsistent with each other or with the others."""
        names = [one.part for one in self.parts]
        for i, one in enumerate(self.parts):
            key, rule = f"parts.{i}", "is given twice"
            require(names.count(one.part) == 1, f"{key}.part", short(one.part), rule)
            rule = f"must not be set, since the part {short(one.part)} is frozen and would be rescaled"
            require(not (one.frozen and self.constrain_norm), "constrain_norm", self.constrain_norm, rule)
            lr, decay = (getattr(self if getattr(one, name) is None else one, name) for name in ("lr", "weight_decay"))
            rule = f"times lr={lr} must be below 1"
            fits = one.frozen or lr * decay * self.schedules.weight_decay.largest < 1
            require(fits, f"{key}.weight_decay", decay, rule)

    @property
    def own_settings(self) -> dict[str, PartSettings]:
        """The settings of each part that has settings of its own, by its name."""
        return {one.part: one for one in self.parts}

    @property
    def gain(self) -> float:
        """The factor by which the filters multiply a steady gradient, before any boost of λ."""
        return float(prod(filter.gain for filter in self.filters))

    def learning_rate(
        self,
        step: int,
        steps: int = 1,
        state: Mapping[str, Any] | None = None,
        *,
        gain: float | None = None,
        base: float | None = None,
    ) -> float:
        """Return the learning rate of the update from ``step`` to ``step + 1``, divided by the gain if normalized.

        ``optim.filtered(..., lr_normalize=True)`` divides too, for optimizers of other loops; the optimizer of
        ``train`` does not, so that the rate is divided once and metrics show the rate of the update.

        Args:
            step: the step of the run.
            steps: the planned length of the run.
            state: the state of an adaptive schedule; None at its start.
            gain: the factor by which the filters multiply a steady gradient (default: ``gain``, before any boost).
            base: the rate before warm-up and schedule (default: ``lr``).
        """
        normalized = (self.gain if gain is None else gain) if self.lr_normalize else 1.0
        rate = (self.lr if base is None else base) * warm_up(step, self.warmup_steps)
        return rate * self.schedules.lr.factor(step, steps, state or {}) / normalized
