"""How a network is optimized."""

import math
from dataclasses import dataclass

from grokinterp.experiment.rules import FORBID_UNKNOWN_KEYS, require
from grokinterp.losses import LossForm


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """AdamW with a linear warm-up; lr and weight_decay per step, loss as in ``losses``.

    ``batch_size`` examples a step, cut from the endless stream of reshuffled epochs; None takes all
    training examples every step. ``init_scale`` α multiplies all initial weights. ``constrain_norm``
    keeps the norm of all weights together where it began: after every step θ ← θ ‖θ₀‖ / ‖θ‖.

    Source: Loshchilov and Hutter 2017 (AdamW); Nanda et al. 2023, §3 for the defaults; Liu et al.
    2022, Omnigrok, §3 (initial scale, constrained norm).
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    lr: float = 1e-3
    weight_decay: float = 1.0
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-8
    warmup_steps: int = 10
    loss: LossForm = "softplus"
    batch_size: int | None = None
    init_scale: float = 1.0
    constrain_norm: bool = False

    def __post_init__(self) -> None:
        require(0 < self.lr < 10, "lr", self.lr, "must be positive and below 10")
        require(0 <= self.weight_decay < math.inf, "weight_decay", self.weight_decay, "must be 0 or positive")
        require(
            self.lr * self.weight_decay < 1, "weight_decay", self.weight_decay, f"times lr={self.lr} must be below 1"
        )
        require(all(0 <= beta < 1 for beta in self.betas), "betas", self.betas, "must each lie in [0, 1)")
        require(0 < self.eps < 1, "eps", self.eps, "must lie strictly between 0 and 1")
        require(0 <= self.warmup_steps <= 10**9, "warmup_steps", self.warmup_steps, "must be from 0 to 10^9")
        require(self.batch_size is None or self.batch_size >= 1, "batch_size", self.batch_size, "must be positive")
        require(0 < self.init_scale <= 1000, "init_scale", self.init_scale, "must be positive and at most 1000")

    def learning_rate(self, step: int) -> float:
        """The rate of the update from ``step`` to ``step + 1``."""
        return self.lr * min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else self.lr
