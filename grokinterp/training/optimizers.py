"""The optimizer of an experiment."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from grokinterp.errors import require, require_choice
from grokinterp.experiment import Experiment, Optimization
from grokinterp.optim import Muon, filtered

NOT_HIDDEN = ("embed.", "pos_embed.", "unembed.")
"""Embedding tables and read-outs, which AdamW updates instead of Muon, since their rows are not mixed."""


def optimizer_of(
    optimization: Optimization,
    parameters: Mapping[str, Tensor],
    part_of: Callable[[str], str],
    factor_of: Callable[[str], float] = lambda name: 1.0,
) -> Optimizer:
    """Return the optimizer with its filters, whose learning rates and weight decays the loop sets at each step.

    Args:
        optimization: the settings.
        parameters: the parameters of the model by name. Those of frozen parts get no gradient from now on.
        part_of: returns the part of the model that a parameter belongs to.
        factor_of: returns the factor of the learning rate of a parameter (default: 1).
    """
    o, groups = optimization, groups_of(optimization, parameters, part_of, factor_of)
    device = next(iter(parameters.values())).device
    lr, on_gpu = torch.zeros((), device=device), device.type == "cuda"
    optimizer: Optimizer
    if o.optimizer in ("adamw", "adam"):
        kind = AdamW if o.optimizer == "adamw" else Adam
        optimizer = kind(
            groups, lr=lr, betas=o.betas, eps=o.eps, weight_decay=o.weight_decay, fused=True, capturable=on_gpu
        )
    elif o.optimizer == "sgd":
        optimizer = SGD(groups, lr=lr, momentum=o.momentum, weight_decay=o.weight_decay, fused=True)
    else:
        optimizer = Muon(groups, lr=lr, momentum=o.momentum, weight_decay=o.weight_decay, betas=o.betas, eps=o.eps)
    return filtered(optimizer, *o.filters) if o.filters else optimizer


def groups_of(
    optimization: Optimization,
    parameters: Mapping[str, Tensor],
    part_of: Callable[[str], str],
    factor_of: Callable[[str], float],
) -> list[dict[str, Any]]:
    """Return the parameters that are trained, in groups of equal settings; ``own`` has those of a part, if it has any.

    ``factor`` multiplies the learning rate and divides the weight decay, whose product stays the same.

    With Muon, the first groups contain the hidden matrices, and the last groups the parameters that AdamW updates.
    """
    settings, muon = optimization.own_settings, optimization.optimizer == "muon"
    found: dict[tuple[bool, Any, float], dict[str, Any]] = {}
    for name, weight in parameters.items():
        own = settings.get(part_of(name))
        if own is not None and own.frozen:
            weight.requires_grad_(False)
            continue
        adamw, factor = muon and not is_hidden(name), factor_of(name)
        group = {"params": [], "own": own, "factor": factor} | ({"adamw": True} if adamw else {})
        found.setdefault((adamw, own, factor), group)["params"].append(weight)
    return [found[key] for key in sorted(found, key=lambda key: key[0])]


def require_parts(experiment: Experiment) -> None:
    """Raise ConfigError unless every part with settings of its own exists, and a part is trained."""
    if not experiment.optimization.parts:
        return
    parts, own = experiment.empty_model(device="meta").parts, experiment.optimization.own_settings
    for i, one in enumerate(experiment.optimization.parts):
        require_choice(f"optimization.parts.{i}.part", one.part, parts)
    trained = [part for part in parts if part not in own or not own[part].frozen]
    require(bool(trained), "optimization.parts", ", ".join(parts), "must not all be frozen")


def is_hidden(name: str) -> bool:
    """Return whether a parameter is a hidden matrix, by its name."""
    return ".W_" in name and not name.startswith(NOT_HIDDEN)
