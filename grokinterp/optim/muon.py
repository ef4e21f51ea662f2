"""Muon for matrices and AdamW for the other parameters, as a single optimizer."""

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer
from torch.optim.optimizer import ParamsT

from grokinterp.errors import ConfigError

OF_MUON = ("lr", "weight_decay", "momentum", "nesterov", "ns_steps", "adjust_lr_fn")
OF_ADAMW = ("lr", "weight_decay", "betas", "eps")


class Muon(Optimizer):
    """An optimizer that uses ``torch.optim.Muon`` for matrices and ``torch.optim.AdamW`` for other parameters.

    ``optim.matrices`` defines the matrices: each head of a [head, d_model, d_head] is a separate matrix, and a
    convolution's kernel is [out, in · height · width]. AdamW updates parameters with fewer than two axes, and all
    parameters of a group with ``adamw=True``, intended for embeddings, read-outs and biases of heads [head, d_head]::

        Muon([{"params": hidden}, {"params": embeddings, "adamw": True, "lr": 1e-3}], lr=0.02, adjust_lr_fn="original")

    Both read the settings in ``param_groups`` at every step, so that schedulers work as usual. The default
    ``adjust_lr_fn`` makes Muon's updates as large as AdamW's, so that both can share a learning rate. As in the
    fused optimizers of torch, an update whose ``found_inf`` is 1 is not applied.

    Source: Jordan et al. 2024 (Muon); Liu et al. 2025, §2.2 (match_rms_adamw).

    Args:
        params: parameters, named parameters or groups, as for any torch optimizer.
        lr: learning rate of both.
        weight_decay: decoupled weight decay of both.
        momentum: momentum of Muon.
        nesterov: whether Muon uses Nesterov momentum.
        ns_steps: Newton-Schulz iterations that orthogonalize an update.
        adjust_lr_fn: factor of the learning rate of a matrix [row, column]: 0.2 √max(row, column)
            ("match_rms_adamw"), or √max(1, row / column) ("original").
        betas: coefficients of AdamW's moments.
        eps: constant in AdamW's denominator.
        adamw: whether AdamW also updates the matrices.

    Raises:
        ConfigError: if a parameter is complex or, in ``step``, a gradient is sparse.
        ValueError: from torch, at the first step, if a setting is out of range.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        *,
        nesterov: bool = True,
        ns_steps: int = 5,
        adjust_lr_fn: Literal["match_rms_adamw", "original"] = "match_rms_adamw",
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        adamw: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "nesterov": nesterov,
            "ns_steps": ns_steps,
            "adjust_lr_fn": adjust_lr_fn,
            "betas": betas,
            "eps": eps,
            "adamw": adamw,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        if any(parameter.is_complex() for parameter in group["params"]):
            raise ConfigError("params", "complex", "Muon takes real parameters only")
        nothing = [torch.zeros(1, 1)]  # both validate the ranges of their settings
        torch.optim.Muon(nothing, **{key: group[key] for key in OF_MUON})
        AdamW(nothing, **{key: group[key] for key in OF_ADAMW})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if bool(getattr(self, "found_inf", None)):
            return loss
        for group in self.param_groups:
            there = [parameter for parameter in group["params"] if parameter.grad is not None]
            matrices = [parameter for parameter in there if parameter.ndim >= 2 and not group["adamw"]]
            self._step_muon(group, matrices)
            self._step_adamw(group, [one for one in there if one.ndim < 2 or group["adamw"]])
        return loss

    def _step_muon(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        """Take a step of torch's Muon, on matrices that share storage with the parameters and their moments."""
        moments = {}
        for parameter in parameters:
            state = self.state[parameter]
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(parameter)
            state["momentum_buffer"] = laid_out(state["momentum_buffer"], parameter)
            tensors = parameter.detach(), laid_out(parameter.grad, parameter), state["momentum_buffer"]
            for weight, weight.grad, moment in zip(*map(matrices_of, tensors), strict=True):
                moments[weight] = {"momentum_buffer": moment}
        if moments:
            muon = torch.optim.Muon(list(moments), **{key: group[key] for key in OF_MUON})
            muon.state.update(moments)
            muon.step()

    def _step_adamw(self, group: dict[str, Any], parameters: list[Tensor]) -> None:
        """Take a step of torch's AdamW, which stores its parameters here."""
        if parameters:
            adamw = AdamW(parameters, **{key: group[key] for key in OF_ADAMW})
            adamw.state = self.state
            adamw.step()


def matrices_of(tensor: Tensor) -> tuple[Tensor, ...]:
    """Return the matrices of a parameter as views; columns of a kernel follow its storage, such as channels_last."""
    if tensor.ndim == 3:
        return tensor.unbind()
    if tensor.ndim == 2:
        return (tensor,)
    axes = sorted(range(1, tensor.ndim), key=tensor.stride, reverse=True)
    return (tensor.permute(0, *axes).view(tensor.shape[0], math.prod(tensor.shape[1:])),)


def laid_out(tensor: Tensor | None, like: Tensor) -> Tensor:
    """Return the tensor itself, or a copy in the memory layout of another tensor."""
    assert tensor is not None
    return tensor if tensor.stride() == like.stride() else torch.empty_like(like).copy_(tensor)
