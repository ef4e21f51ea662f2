"""The methods of a league that apply to any module: those that change only settings of its trainer."""

import inspect
from dataclasses import fields
from typing import Any

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from grokinterp.custom.batches import Loss
from grokinterp.custom.loader_examples import form_of
from grokinterp.custom.optimizer import trained_parameters
from grokinterp.custom.trainer import GrokkingAwareTrainer
from grokinterp.errors import ConfigError
from grokinterp.experiment import Experiment, Optimization
from grokinterp.losses import LossForm, get_stable_loss_function
from grokinterp.optim import GradientFilter, Muon, filtered


def trainer_with(
    module: nn.Module,
    given: Loss,
    tolerance: float | None,
    device: torch.device | str | None,
    *,
    loss: LossForm,
    optimizer: str,
    lr: float,
    weight_decay: float,
    betas: tuple[float, float],
    eps: float,
    momentum: float,
    filters: tuple[GradientFilter, ...],
    lr_normalize: bool,
    boost: float,
    average: float | None,
) -> GrokkingAwareTrainer:
    """Return a trainer of a module; the keyword-only arguments are settings of ``Optimization``.

    ``given`` is the loss if it has the form of the settings; else, a method has replaced it by another form.
    """
    parameters = trained_parameters(module)
    made: Optimizer
    if optimizer in ("adamw", "adam"):
        kind = AdamW if optimizer == "adamw" else Adam
        made = kind(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
    elif optimizer == "sgd":
        made = SGD(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay)
    else:
        made = Muon(parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, betas=betas, eps=eps)
    ignored = getattr(given, "ignore_index", -100)
    return GrokkingAwareTrainer(
        module,
        filtered(made, *filters, lr_normalize=lr_normalize),
        given if form_of(given) == loss else get_stable_loss_function(loss, ignore_index=ignored),
        device=device,
        tolerance=tolerance,
        lambda_boost=boost,
        use_ema=average is not None,
        ema_decay=0.0 if average is None else average,
        grokking_patience=None,
    )


SETTINGS = tuple(
    name
    for name, parameter in inspect.signature(trainer_with).parameters.items()
    if parameter.kind is inspect.Parameter.KEYWORD_ONLY
)
"""The settings of ``Optimization`` that apply to any module."""


def trainer_of(
    module: nn.Module,
    optimization: Optimization,
    loss: Loss,
    tolerance: float | None,
    device: torch.device | str | None,
) -> GrokkingAwareTrainer:
    """Return a trainer of a module with the settings of an optimization, of which only ``SETTINGS`` apply."""
    return trainer_with(module, loss, tolerance, device, **settings_of(optimization))


def settings_of(optimization: Optimization) -> dict[str, Any]:
    """Return the settings of an optimization that apply to any module."""
    return {field.name: getattr(optimization, field.name) for field in fields(optimization) if field.name in SETTINGS}


def require_any_module(made: Experiment, base: Experiment) -> None:
    """Raise ConfigError if a method changes a setting that does not apply to any module."""
    for key, (_, now) in base.differences(made).items():
        part, _, rest = key.partition(".")
        if part != "optimization" or rest.partition(".")[0] not in SETTINGS:
            raise ConfigError(key, now, "can be changed only in the training of an Experiment (run_league)")
