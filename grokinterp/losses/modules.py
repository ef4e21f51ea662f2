"""Losses as modules, with the conventions of ``torch.nn.CrossEntropyLoss``."""

from abc import abstractmethod
from typing import Any, Literal, final, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from grokinterp.errors import ConfigError, require_choice
from grokinterp.losses.examples import LOG_SOFTMAX, LossForm, cross_entropy, squared_error

Reduction = Literal["mean", "sum", "none"]


class ClassificationLoss(nn.Module):
    """A loss of logits [C], [N, C] or [N, C, …] and labels without C, as in ``torch.nn.CrossEntropyLoss``.

    Labels ``ignore_index`` do not count, whatever their logits. The mean over no labels, NaN in PyTorch, is 0 here with
    a gradient of 0, since a batch without labels contains no signal. Logits below single precision are computed in
    float32, which is also the dtype of the loss.

    Raises:
        ConfigError: if the reduction is unknown, or labels or logits have another shape or type; on the CPU also if a
            label is not a class (on other devices the device raises its own error).
    """

    def __init__(self, *, ignore_index: int = -100, reduction: Reduction = "mean") -> None:
        super().__init__()
        require_choice("reduction", reduction, get_args(Reduction))
        self.ignore_index, self.reduction = ignore_index, reduction

    @abstractmethod
    def of_each(
        self, logits: Float[Tensor, "example class"], labels: Int[Tensor, "example"]
    ) -> Float[Tensor, "example"]:
        """Return the loss of every example."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Return the loss of every label, or their sum or mean."""
        require_fitting(input, target)
        axis = min(1, input.ndim - 1)
        logits = input.movedim(axis, -1).reshape(-1, input.shape[axis])
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        labels = target.flatten().long()
        counted = labels != self.ignore_index
        labels = labels.masked_fill(~counted, 0)
        if target.device.type == "cpu":
            require_classes(labels, logits.shape[1])
        losses = self.of_each(logits.masked_fill(~counted.unsqueeze(1), 0.0), labels).masked_fill(~counted, 0.0)
        if self.reduction == "none":
            return losses.reshape(target.shape)
        return losses.sum() if self.reduction == "sum" else losses.sum() / counted.sum().clamp(min=1)

    def extra_repr(self) -> str:
        return f"ignore_index={self.ignore_index}, reduction={self.reduction!r}"


@final
class StableCrossEntropyLoss(ClassificationLoss):
    """-log StableMax: a cross-entropy whose gradient decreases as 1 / gap, not exp(-gap), so that it cannot collapse.

    Source: Prieto et al. 2025, §4.1 (StableMax).

    >>> StableCrossEntropyLoss()(torch.tensor([[1.0, -1.0]]), torch.tensor([0])).exp()  # (2 + 1/2) / 2
    tensor(1.2500)
    """

    def of_each(
        self, logits: Float[Tensor, "example class"], labels: Int[Tensor, "example"]
    ) -> Float[Tensor, "example"]:
        return cross_entropy(logits, labels, form="stablemax")


@final
class SoftplusCrossEntropyLoss(ClassificationLoss):
    """The usual cross-entropy, -log softmax, in a form that keeps its precision however small it is.

    >>> logits = torch.tensor([[30.0, 0.0]])
    >>> SoftplusCrossEntropyLoss()(logits, torch.tensor([0])), nn.CrossEntropyLoss()(logits, torch.tensor([0]))
    (tensor(9.3576e-14), tensor(0.))
    """

    def of_each(
        self, logits: Float[Tensor, "example class"], labels: Int[Tensor, "example"]
    ) -> Float[Tensor, "example"]:
        return cross_entropy(logits, labels, form="softplus")


@final
class LogSoftmaxCrossEntropyLoss(ClassificationLoss):
    """The usual cross-entropy by log-softmax in single or double precision, where it collapses.

    The loss is exactly 0 from a logit gap of about 21 in float32 and 39 in float64 (docs/formulas.md, Numerical
    health).
    """

    def __init__(
        self, dtype: torch.dtype = torch.float32, *, ignore_index: int = -100, reduction: Reduction = "mean"
    ) -> None:
        super().__init__(ignore_index=ignore_index, reduction=reduction)
        if str(dtype).removeprefix("torch.") not in LOG_SOFTMAX:
            raise ConfigError("dtype", dtype, f"must be one of {', '.join(f'torch.{name}' for name in LOG_SOFTMAX)}")
        self.dtype = dtype

    def of_each(
        self, logits: Float[Tensor, "example class"], labels: Int[Tensor, "example"]
    ) -> Float[Tensor, "example"]:
        form: Any = str(self.dtype).removeprefix("torch.")
        return cross_entropy(logits, labels, form=form)


@final
class OneHotMSELoss(ClassificationLoss):
    """Mean over the classes of (logit - 1 for the label, logit - 0 for the others)². Source: Gromov 2023."""

    def of_each(
        self, logits: Float[Tensor, "example class"], labels: Int[Tensor, "example"]
    ) -> Float[Tensor, "example"]:
        return squared_error(logits, labels)


def get_stable_loss_function(
    form: LossForm = "stablemax", *, ignore_index: int = -100, reduction: Reduction = "mean"
) -> ClassificationLoss:
    """Return the module of a form of the loss; by default StableMax cross-entropy, which cannot collapse.

    Raises:
        ConfigError: if the form is unknown.

    >>> get_stable_loss_function()
    StableCrossEntropyLoss(ignore_index=-100, reduction='mean')
    """
    if form in LOG_SOFTMAX:
        return LogSoftmaxCrossEntropyLoss(getattr(torch, form), ignore_index=ignore_index, reduction=reduction)
    modules = {"stablemax": StableCrossEntropyLoss, "softplus": SoftplusCrossEntropyLoss, "mse": OneHotMSELoss}
    require_choice("form", form, get_args(LossForm))
    return modules[form](ignore_index=ignore_index, reduction=reduction)


def require_fitting(logits: Tensor, labels: Tensor) -> None:
    """Raise ConfigError unless there is one label per row of logits."""
    if not logits.ndim or not logits.is_floating_point():
        raise ConfigError("input", f"{logits.dtype} {list(logits.shape)}", "must be logits [C], [N, C] or [N, C, …]")
    wanted = logits.shape[:1] + logits.shape[2:] if logits.ndim > 1 else logits.shape[1:]
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise ConfigError("target", labels.dtype, "must be class indices; probabilities of classes are not supported")
    if labels.shape != wanted:
        given = f"{list(labels.shape)}"
        rule = f"must be {list(wanted)}, the shape of the logits {list(logits.shape)} without the class axis"
        raise ConfigError("target", given, rule)


def require_classes(labels: Int[Tensor, "example"], classes: int) -> None:
    """Raise ConfigError unless all labels are from 0 to ``classes`` - 1."""
    outside = labels[(labels < 0) | (labels >= classes)]
    if len(outside):
        raise ConfigError("target", int(outside[0]), f"must be from 0 to {classes - 1}, or ignore_index")
