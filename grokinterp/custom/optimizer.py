"""Configure the optimizer of any module: settings that support grokking, and filters on a given optimizer."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from torch import nn
from torch.optim import AdamW, Optimizer

from grokinterp.custom.attention import replace_attention
from grokinterp.errors import ConfigError, warn
from grokinterp.losses import StableCrossEntropyLoss
from grokinterp.optim import (
    GradientFilter,
    GrokfastDual,
    GrokfastEMA,
    GrokfastMA,
    OrthoAdamW,
    filtered,
    filters_of,
)
from grokinterp.specification import require_type

GROKFAST = {"alpha": "grokfast_alpha", "lamb": "grokfast_lambda", "window": "grokfast_window"}
"""The arguments of a trainer for the settings of a Grokfast filter."""

AnyModel = TypeVar("AnyModel", bound=nn.Module)


def configure_for_grokking(
    model: AnyModel, lr: float | int = 1e-3, weight_decay: float | int = 0.01, *, stablemax_attention: bool = False
) -> tuple[AnyModel, OrthoAdamW, StableCrossEntropyLoss]:
    """Return the model with an optimizer that cannot just scale up its weights and a loss that cannot collapse.

    ``OrthoAdamW`` removes the component of the gradient along the weights, which lowers the loss without changing the
    answers (naive loss minimization). ``StableCrossEntropyLoss`` is -log StableMax. With ``stablemax_attention``,
    ``replace_attention`` also replaces the softmax of attention, in place, and a warning lists the modules that look
    like attention but were not replaced.

    Args:
        model: any module with trained parameters.
        lr: learning rate.
        weight_decay: decoupled weight decay.
        stablemax_attention: replace the softmax in the model's attention.

    Source: Prieto et al. 2025, §4.1 and §5.

    Raises:
        ConfigError: the model is not a module or has no trained parameters, or lr or weight_decay is out of range.
    """
    parameters = trained_parameters(model)
    if not 0 < lr < 10:
        raise ConfigError("lr", lr, "must be positive and below 10")
    if not 0 <= weight_decay < math.inf:
        raise ConfigError("weight_decay", weight_decay, "must be 0 or positive, and finite")
    if stablemax_attention:
        replacement = replace_attention(model)
        if replacement.kept or not replacement.replaced:
            warn(f"stablemax_attention: {replacement}", stacklevel=2)
    return model, OrthoAdamW(parameters, lr=lr, weight_decay=weight_decay), StableCrossEntropyLoss()


def trained_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that require gradients.

    Raises:
        ConfigError: the model is not a module, has no such parameter, or was made in inference mode.
    """
    if not isinstance(model, nn.Module):
        raise ConfigError("model", type(model).__name__, "must be a torch.nn.Module")
    found = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not found:
        raise ConfigError("model", type(model).__name__, "has no trained parameter")
    if any(parameter.is_inference() for parameter in found):
        raise ConfigError("model", type(model).__name__, "was made in inference mode: its weights cannot be trained")
    return found


def require_optimized(optimizer: Optimizer, parameters: list[nn.Parameter]) -> None:
    """Raise ConfigError if the optimizer has no trained parameter of the model; warn if it lacks some."""
    there = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    lacking = sum(id(parameter) not in there for parameter in parameters)
    if lacking == len(parameters):
        raise ConfigError("optimizer", type(optimizer).__name__, "has none of the model's trained parameters")
    if lacking:
        text = f"{lacking} of the model's {len(parameters)} trained parameters are not in it and will not be trained"
        warn(f"optimizer: {text}", stacklevel=3)


def grokfast_filters(
    alpha: float | int | None, lamb: float | int | None, window: int | None
) -> tuple[GrokfastEMA | GrokfastMA | GrokfastDual, ...] | None:
    """Return the Grokfast filter that these numbers describe; None if there are none.

    With ``alpha``, it is the moving average of the gradients (EMA), with ``window`` their mean (MA), with both the sum
    of both (dual), where ``lamb`` is the λ of the EMA. ``lamb`` alone is that of an EMA, and 0 means no filter.

    Source: Lee et al. 2024 (Grokfast); docs/formulas.md, Accelerators.

    Raises:
        ConfigError: a number is out of range, by the name of its argument.

    >>> grokfast_filters(0.98, None, None), grokfast_filters(None, 3.0, 50)
    ((GrokfastEMA(kind='grokfast_ema', alpha=0.98, lamb=2.0),),
     (GrokfastMA(kind='grokfast_ma', window=50, lamb=3.0, warm_up=True),))
    """
    require_type("grokfast_alpha", alpha, float | None)
    require_type("grokfast_lambda", lamb, float | None)
    require_type("grokfast_window", window, int | None)
    if alpha is None and lamb is None and window is None:
        return None
    try:
        ema = GrokfastEMA(alpha=chosen(alpha, GrokfastEMA.alpha), lamb=chosen(lamb, GrokfastEMA.lamb))
        ma = None if window is None else GrokfastMA(window=window, lamb=chosen(lamb, GrokfastMA.lamb))
    except ConfigError as error:
        raise ConfigError(GROKFAST[error.key], error.value, error.rule) from None
    if lamb == 0:
        return ()
    if ma is None:
        return (ema,)
    return (ma,) if alpha is None else (GrokfastDual(ema=ema, ma=replace(ma, lamb=1.0)),)


def chosen(value: float | int | None, default: float | int) -> float:
    """Return the value, or the default for None."""
    return float(default if value is None else value)


def with_filters(
    optimizer: Optimizer | None,
    filters: Sequence[GradientFilter] | None,
    parameters: list[nn.Parameter],
    learning_rate: float | int | None = None,
) -> Optimizer:
    """Return the optimizer with the filters attached, if any; without an optimizer, make an AdamW.

    Raises:
        ConfigError: the learning rate is out of range, or an optimizer is given with it.
    """
    if learning_rate is not None:
        require_type("learning_rate", learning_rate, float)
        if optimizer is not None:
            raise ConfigError("learning_rate", learning_rate, "cannot be used with optimizer=, which has its own")
        if not 0 < learning_rate < 10:
            raise ConfigError("learning_rate", learning_rate, "must be positive and below 10")
    if optimizer is None:
        default = AdamW(parameters, lr=learning_rate or 1e-3, weight_decay=0.01)
        return filtered(default, *((GrokfastEMA(),) if filters is None else filters))
    if filters:
        return filtered(optimizer, *filters)
    try:
        filters_of(optimizer)
    except ConfigError:
        return filtered(optimizer)
    return optimizer
