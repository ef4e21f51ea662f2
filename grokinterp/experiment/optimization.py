"""How a network is optimized."""

import math
from dataclasses import dataclass

from grokinterp.experiment.rules import FORBID_UNKNOWN_KEYS, require
from grokinterp.losses import LossForm


@dataclass(frozen=True, kw_only=True)
class Optimization:
    """Full-batch AdamW with a linear warm-up; lr and weight_decay per step, loss as in ``losses``.

    Source: Loshchilov and Hutter 2017 (AdamW); Nanda et al. 2023, §3 for the defaults.
    """

    __pydantic_config__ = FORBID_UNKNOWN_KEYS

    lr: float = 1e-3
    weight_decay: float = 1.0
    betas: tuple[float, float] = (0.9, 0.98)
    eps: float = 1e-8
    warmup_steps: int = 10
    loss: LossForm = "softplus"

    def __post_init__(self) -> None:
        require(0 < self.lr < 10, "lr", self.lr, "must be positive and below 10")
        require(0 <= self.weight_decay < math.inf, "weight_decay", self.weight_decay, "must be 0 or positive")
        require(
            self.lr * self.weight_decay < 1, "weight_decay", self.weight_decay, f"times lr={self.lr} must be below 1"
        )
        require(all(0 <= beta < 1 for beta in self.betas), "betas", self.betas, "must each lie in [0, 1)")
        require(0 < self.eps < 1, "eps", self.eps, "must lie strictly between 0 and 1")
        require(0 <= self.warmup_steps <= 10**9, "warmup_steps", self.warmup_steps, "must be from 0 to 10^9")

    def learning_rate(self, step: int) -> float:
        """The rate of the update from ``step`` to ``step + 1``."""
        return self.lr * min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else self.lr


