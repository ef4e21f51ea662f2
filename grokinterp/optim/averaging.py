"""Averages of a model's weights over training."""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from grokinterp.errors import ConfigError

AnyModel = TypeVar("AnyModel", bound=nn.Module)


class ModelEMA(Generic[AnyModel]):
    """An exponential moving average of a model: θ̄ = θ initially, and θ̄ ← d θ̄ + (1 - d) θ at every update.

    Floating-point buffers, such as the running mean and variance of a BatchNorm, are averaged like the weights; integer
    or non-finite buffers (the number of batches, a mask of -∞) are copied. Tied weights stay tied. ``model`` is a copy
    in evaluation mode, without gradients, on the same device; dropout and BatchNorm of the trained model are
    unaffected. Forward hooks are copied as well.

    Source: docs/formulas.md, Accelerators (decay 0.999); torch.optim.swa_utils.AveragedModel.

    >>> model = nn.Linear(1, 1, bias=False)
    >>> _ = nn.init.constant_(model.weight, 2.0)
    >>> average = ModelEMA(model, decay=0.5)
    >>> for value in (4.0, 8.0):
    ...     _ = nn.init.constant_(model.weight, value)
    ...     average.update()
    >>> average.model.weight.item()  # 2, 3, 5.5
    5.5

    Args:
        model: the model in training.
        decay: d, from 0 (no average) to below 1.

    Raises:
        ConfigError: if the decay is outside [0, 1), or weights are float16 or bfloat16, whose average would not change
            since (1 - d) θ is rounded away.
    """

    def __init__(self, model: AnyModel, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ConfigError("decay", decay, "must be from 0 to below 1")
        for name, weight in model.named_parameters():
            if weight.dtype in (torch.float16, torch.bfloat16):
                raise ConfigError(name, weight.dtype, "an average needs weights in float32, which autocast preserves")
        self.decay, self._trained = decay, model
        with torch.device("cpu"):  # its counter stays there, whatever the caller's default device
            self._average = AveragedModel(model, multi_avg_fn=self._step, use_buffers=True)
        self._average.eval().requires_grad_(False)
        self._average.n_averaged.fill_(1)  # otherwise torch copies the weights at the first update

    @property
    def model(self) -> AnyModel:
        """The model with the averaged weights."""
        return self._average.module  # ty: ignore[invalid-explicit-return]

    def update(self) -> None:
        """Update the average with the current weights."""
        self._average.update_parameters(self._trained)
        for average, buffer in zip(self.model.buffers(), self._trained.buffers(), strict=True):
            average.copy_(torch.where(average.isfinite(), average, buffer))

    def state_dict(self) -> dict[str, Any]:
        """Return the average and its number of updates, as copies."""
        return self._average.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state of an average of the same model.

        Raises:
            RuntimeError: if the state belongs to another model.
        """
        self._average.load_state_dict(state)

    @torch.no_grad()
    def _step(self, averages: tuple[Tensor, ...] | list[Tensor], values: Any, updates: Tensor | int) -> None:
        if averages[0].is_floating_point() or averages[0].is_complex():
            torch._foreach_lerp_(averages, values, 1 - self.decay)
        else:
            torch._foreach_copy_(averages, values)
