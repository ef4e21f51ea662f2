"""The optimizer of an experiment."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from grokinterp.experiment import Optimization
from grokinterp.optim import Muon, filtered

NOT_HIDDEN = ("embed.", "pos_embed.", "unembed.")
"""Embedding tables and read-outs, which AdamW updates instead of Muon, since their rows are not mixed."""


def optimizer_of(optimization: Optimization, parameters: Mapping[str, Tensor], lr: Tensor) -> Optimizer:
    """Return the optimizer with its filters; its learning rate is the tensor ``lr``, set by the loop at each step."""
    o, on_gpu, weights = optimization, lr.device.type == "cuda", list(parameters.values())
    optimizer: Optimizer
    if o.optimizer in ("adamw", "adam"):
        kind = AdamW if o.optimizer == "adamw" else Adam
        optimizer = kind(
            weights, lr=lr, betas=o.betas, eps=o.eps, weight_decay=o.weight_decay, fused=True, capturable=on_gpu
        )
    elif o.optimizer == "sgd":
        optimizer = SGD(weights, lr=lr, momentum=o.momentum, weight_decay=o.weight_decay, fused=True)
    else:
        optimizer = Muon(
            muon_groups(parameters), lr=lr, momentum=o.momentum, weight_decay=o.weight_decay, betas=o.betas, eps=o.eps
        )
    return filtered(optimizer, *o.filters) if o.filters else optimizer


def muon_groups(parameters: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    """Return the hidden matrices, for Muon, and the other parameters, for AdamW."""
    groups = [
        {"params": [parameters[name] for name in parameters if is_hidden(name)]},
        {"params": [parameters[name] for name in parameters if not is_hidden(name)], "adamw": True},
    ]
    return [group for group in groups if group["params"]]


def is_hidden(name: str) -> bool:
    """Return whether a parameter is a hidden matrix, by its name."""
    return ".W_" in name and not name.startswith(NOT_HIDDEN)
