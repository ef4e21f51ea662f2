"""Collect the examples of a loader, and record a trainer's run on them."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from grokinterp.custom.batches import Batch, Loss, own_randomness
from grokinterp.custom.recorder import Recorder
from grokinterp.custom.trainer import GrokkingAwareTrainer
from grokinterp.errors import ConfigError, short
from grokinterp.experiment import Optimization
from grokinterp.losses import (
    LogSoftmaxCrossEntropyLoss,
    LossForm,
    OneHotMSELoss,
    SoftplusCrossEntropyLoss,
    StableCrossEntropyLoss,
)

MOST = 4096
"""Number of examples of each loader that are recorded, the first ones; a recorder takes twice as many together."""

LOG_SOFTMAX_FORMS: dict[torch.dtype, LossForm] = {
    torch.float16: "float16", torch.bfloat16: "bfloat16", torch.float32: "float32", torch.float64: "float64",
}  # fmt: skip
"""The forms of the cross-entropy by log-softmax, by their precision."""


Examples = tuple[Any, Tensor]
"""Inputs and labels."""


def loaded_examples(
    train_loader: Iterable[Any], eval_loader: Iterable[Any], device: torch.device
) -> tuple[Examples, Examples]:
    """Return the first training and held-out examples of two loaders, on which a recorder evaluates a run."""
    return gathered("train_loader", train_loader, device), gathered("eval_loader", eval_loader, device)


def recorder_of(
    trainer: GrokkingAwareTrainer,
    directory: str | Path,
    examples: tuple[Examples, Examples],
    *,
    max_steps: int,
    eval_interval: int,
    name: str | None = None,
    seed: int = 0,
    optimization: Optimization | None = None,
    data: str = "",
) -> Recorder:
    """Return a recorder of a trainer's run, evaluated on some training and held-out examples.

    Raises:
        ConfigError: the model is recursive or predicts the next token, the loss has no form that can be recorded, or
            the examples do not fit.
        RunDirectoryError: the directory is taken.
    """
    if trainer.program.is_recursive and trainer.program.supervision_steps > 1:
        raise ConfigError("directory", short(directory), "cannot record a recursive model with several calls per batch")
    if trainer.program.shifted:
        raise ConfigError("directory", short(directory), "cannot record a model whose logits predict the next token")
    train, test = examples
    return Recorder(
        directory, trainer.model, train=train, test=test, loss=form_of(trainer.loss), optimizer=trainer.optimizer,
        tolerance=trainer.tolerance if train[1].is_floating_point() else None, run_steps=max_steps,
        evaluate_every=eval_interval, name=name, seed=seed, optimization=optimization, data=data,
    )  # fmt: skip


def gathered(name: str, loader: Iterable[Any], device: torch.device, most: int = MOST) -> tuple[Any, Tensor]:
    """Return the inputs and labels of the first ``most`` examples of a loader, without changing its random numbers.

    The inputs are a tensor, a tuple of tensors, or a dict of tensors, as the model takes them.

    Raises:
        ConfigError: the loader is empty, or its batches have no common shape.

    >>> batches = [(torch.ones(2, 3), torch.tensor([0, 1])), (torch.zeros(2, 3), torch.tensor([1, 0]))]
    >>> inputs, labels = gathered("train_loader", batches, torch.device("cpu"), most=3)
    >>> inputs.shape, labels
    (torch.Size([3, 3]), tensor([0, 1, 1]))
    """
    batches: list[Batch] = []
    with own_randomness(device, loader):
        for batch in loader:
            batches.append(Batch.read(batch, torch.device("cpu")))
            if sum(len(one.labels) for one in batches) >= most:
                break
    if not batches:
        raise ConfigError(name, "empty", "must yield at least one batch")
    labels = joined(name, [one.labels for one in batches], most)
    if batches[0].kwargs:
        keys = batches[0].kwargs
        return {key: joined(name, [one.kwargs.get(key) for one in batches], most) for key in keys}, labels
    several = [joined(name, list(parts), most) for parts in zip(*(one.args for one in batches), strict=True)]
    return (several[0] if len(several) == 1 else tuple(several)), labels


def joined(name: str, parts: list[Any], most: int) -> Tensor:
    """Return the first ``most`` rows of tensors, one after the other.

    Raises:
        ConfigError: they are no tensors of one shape.
    """
    shapes = {tuple(part.shape[1:]) if isinstance(part, Tensor) and part.ndim else None for part in parts}
    if len(shapes) != 1 or None in shapes:
        raise ConfigError(name, "batches", "must hold tensors of one shape per example to be recorded with directory=")
    return torch.cat(parts)[:most]


def form_of(loss: Loss) -> LossForm:
    """Return the form in which a recorder evaluates a loss.

    Raises:
        ConfigError: no form has the same value as the loss.

    >>> form_of(nn.CrossEntropyLoss()), form_of(StableCrossEntropyLoss())
    ('float32', 'stablemax')
    """
    is_plain = isinstance(loss, nn.CrossEntropyLoss) and loss.weight is None and loss.label_smoothing == 0
    if is_plain or loss is functional.cross_entropy:
        return "float32"
    if isinstance(loss, LogSoftmaxCrossEntropyLoss):
        return LOG_SOFTMAX_FORMS[loss.dtype]
    if (isinstance(loss, nn.MSELoss) and loss.reduction == "mean") or loss is functional.mse_loss:
        return "mse"
    forms: dict[type, LossForm] = {
        StableCrossEntropyLoss: "stablemax", SoftplusCrossEntropyLoss: "softplus", OneHotMSELoss: "mse",
    }  # fmt: skip
    if type(loss) not in forms:
        rule = "cannot be recorded with directory=: must be MSELoss, a plain cross-entropy, or a loss of this package"
        raise ConfigError("loss", short(getattr(loss, "__name__", type(loss).__name__)), rule)
    return forms[type(loss)]
