"""Automatic mixed precision: autocast of forward passes, and scaled gradients in float16."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, final

import torch
from torch import Tensor
from torch.optim import Optimizer

from grokinterp.errors import ConfigError


@final
class MixedPrecision:
    """Forward passes under autocast, with weights, loss, and updates in the model's own precision.

    In float16, the loss is scaled, so that small gradients do not vanish. A gradient that overflows skips the update
    and halves the scale; at a scale of 1 or below, the gradient itself is not finite.

    Args:
        dtype: torch.bfloat16 or torch.float16; None computes in the precision of the model.
        device: where the model is trained.

    Source: torch.autocast; torch.amp.GradScaler.

    Raises:
        ConfigError: the dtype is another one.
    """

    def __init__(self, dtype: torch.dtype | None, device: torch.device) -> None:
        if dtype not in (None, torch.bfloat16, torch.float16):
            raise ConfigError("autocast", dtype, "must be torch.bfloat16, torch.float16 or None")
        self.dtype, self.device = dtype, device
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)

    def forward(self) -> AbstractContextManager[Any]:
        """Return the context of a forward pass."""
        return nullcontext() if self.dtype is None else torch.autocast(self.device.type, self.dtype)

    def widened(self, logits: Tensor) -> Tensor:
        """Return the logits in at least float32 for the loss, if they were computed under autocast."""
        return logits if self.dtype is None else logits.to(torch.promote_types(logits.dtype, torch.float32))

    def backward(self, loss: Tensor, optimizer: Optimizer) -> None:
        """Compute the gradients, without a scale."""
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(optimizer)

    def step(self, optimizer: Optimizer) -> None:
        """Take the optimizer's step, or skip it if the scaled gradient overflowed, and adapt the scale."""
        self.scaler.step(optimizer)
        self.scaler.update()

    @property
    def may_overflow(self) -> bool:
        """Whether a gradient that is not finite may be due to the scale."""
        return self.scaler.is_enabled() and self.scaler.get_scale() > 1

    def give_up(self) -> None:
        """Release a gradient for which no step is taken."""
        self.scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """Return the scale and its growth; empty without scaling."""
        return self.scaler.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the scale, if gradients are scaled."""
        if self.scaler.is_enabled():
            self.scaler.load_state_dict(dict(state))

    def require_scaling_of(self, state: Mapping[str, Any]) -> None:
        """Raise ConfigError if a state was saved with another scaling of gradients."""
        if bool(state) != self.scaler.is_enabled():
            rule = f"the state was saved {'with' if state else 'without'} scaled gradients"
            raise ConfigError("autocast", self.dtype, rule)
